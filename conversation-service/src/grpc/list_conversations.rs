use chrono::DateTime;
use prost::Message as _;
use teppan_shared::{
    contract::conversation::v1::{ListConversationsRequest, ListConversationsResponse},
    page::{self, TokenError},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{
    decode::{self, PAGE_SIZES},
    encode,
    enums::{ConversationHolder, WireEnum as _},
};
use crate::{
    conversations::{
        ConversationCursor, ConversationFilter, ConversationOrder, ConversationPage, ConversationStatus, HolderFilter,
        StaleBy,
    },
    domain::{Channel, ConversationId, UserId},
    emotions::EmotionLevel,
    handoffs::{Assignee, EscalationReason},
};

/// A decoded request for a page of conversations.
pub struct PageRequest {
    pub filter: ConversationFilter,
    pub order: ConversationOrder,
    pub after: Option<ConversationCursor>,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// The request without its page: what a page token is bound to.
type TokenFilter = Vec<u8>;

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: ListConversationsRequest) -> Result<PageRequest, Status> {
    decode::request(|violations| {
        let unpaged = ListConversationsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
        let token_filter = unpaged.encode_to_vec();
        let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
        let after = violations.check("page_token", decode_token(&token_filter, &request.page_token));
        let user_id = violations.check_optional("user_id", given(request.user_id).map(UserId::parse));
        let status = violations.check("status", ConversationStatus::optional(request.status));
        let channel = violations.check("channel", Channel::optional(request.channel));
        let stale_by = request.summary_stale_by.map(StaleBy::parse);
        let stale_by = violations.check_optional("summary_stale_by", stale_by);
        let holder = holder(request.holder, request.assignee, violations);
        let reason = violations.check("escalation_reason", EscalationReason::optional(request.escalation_reason));
        let created_from = violations.check_optional("created_from", request.created_from.map(decode::time));
        let created_before = violations.check_optional("created_before", request.created_before.map(decode::time));
        let level = violations.check("emotion_level", EmotionLevel::optional(request.emotion_level));
        let order = violations.check("order", ConversationOrder::optional(request.order));
        let order = order?.unwrap_or(ConversationOrder::NewestFirst);
        let filter = ConversationFilter {
            user_id: user_id?,
            channel: channel?,
            status: status?,
            created_from: created_from?,
            created_before: created_before?,
            holder: holder?,
            reason: reason?,
            level: level?,
            stale_by: stale_by?,
        };
        if order == ConversationOrder::LongestWaitingFirst && !filter.statuses().contains(&"ESCALATED") {
            let must =
                "must be an order of the list: only escalated conversations wait, and other filters exclude them";
            violations.add("order", must);
            return None;
        }
        Some(PageRequest { filter, order, after: after?, page_size: page_size?, token_filter })
    })
}

/// `Some(None)` for any holder.
fn holder(holder: i32, assignee: String, violations: &mut Violations) -> Option<Option<HolderFilter>> {
    let assignee = violations.check_optional("assignee", given(assignee).map(Assignee::parse))?;
    let holder = violations.check("holder", ConversationHolder::optional(holder))?;
    match (holder, assignee) {
        (None, None) => Some(None),
        (None | Some(ConversationHolder::Person), assignee) => Some(Some(HolderFilter::Person(assignee))),
        (Some(ConversationHolder::Assistant), None) => Some(Some(HolderFilter::Assistant)),
        (Some(ConversationHolder::Queue), None) => Some(Some(HolderFilter::Queue)),
        (Some(_), Some(_)) => {
            violations.add("assignee", "must be empty unless holder is CONVERSATION_HOLDER_PERSON or unspecified");
            None
        }
    }
}

pub fn encode(requested: &PageRequest, page: &ConversationPage) -> ListConversationsResponse {
    ListConversationsResponse {
        conversations: page.conversations.iter().map(encode::conversation).collect(),
        next_page_token: page.next.as_ref().map_or_else(String::new, |cursor| token(requested, cursor)),
    }
}

/// The token of the page after this conversation.
pub fn token(requested: &PageRequest, cursor: &ConversationCursor) -> String {
    encode_token(&requested.token_filter, cursor)
}

fn encode_token(filter: &TokenFilter, cursor: &ConversationCursor) -> String {
    page::encode_token(filter, &(cursor.at.timestamp_micros(), cursor.conversation_id.as_str()))
}

fn decode_token(filter: &TokenFilter, token: &str) -> Result<Option<ConversationCursor>, TokenError> {
    let Some((at, id)) = page::decode_token::<(i64, String)>(filter, token)? else { return Ok(None) };
    // A forged token must not contain values that the database cannot represent.
    let at = DateTime::from_timestamp_micros(at).filter(|time| *time >= DateTime::UNIX_EPOCH);
    match (at, ConversationId::parse(id)) {
        (Some(at), Ok(conversation_id)) => Ok(Some(ConversationCursor { at, conversation_id })),
        _ => Err(TokenError::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_is_refused() {
        let filter = Vec::new();
        let decode = |cursor: (i64, &str)| decode_token(&filter, &page::encode_token(&filter, &cursor));
        let cursor = decode((1_700_000_000_123_456, "web-7f3a91")).expect("readable").expect("there");
        assert_eq!(decode_token(&filter, &encode_token(&filter, &cursor)), Ok(Some(cursor)));
        for bad in [(-1, "web-7f3a91"), (i64::MAX, "web-7f3a91"), (0, ""), (0, "a\0b")] {
            assert_eq!(decode(bad), Err(TokenError::Unreadable), "{bad:?}");
        }
    }
}
