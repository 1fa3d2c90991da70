use chrono::DateTime;
use teppan_shared::{
    contract::conversation::v1::{ListConversationsRequest, ListConversationsResponse},
    page::{self, TokenError},
    wire::given,
};
use tonic::Status;

use super::{
    decode::{self, PAGE_SIZES},
    encode,
    enums::WireEnum as _,
};
use crate::{
    conversations::{ConversationCursor, ConversationFilter, ConversationPage, ConversationStatus, StaleBy},
    domain::{Channel, ConversationId, UserId},
};

/// A decoded request for a page of conversations.
pub struct PageRequest {
    pub filter: ConversationFilter,
    pub after: Option<ConversationCursor>,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// The filters that a page token is bound to: user, status, channel, staleness of the summary.
type TokenFilter = (String, i32, i32, Option<i64>);

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: ListConversationsRequest) -> Result<PageRequest, Status> {
    decode::request(|violations| {
        let token_filter = (request.user_id.clone(), request.status, request.channel, request.summary_stale_by);
        let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
        let after = violations.check("page_token", decode_token(&token_filter, &request.page_token));
        let user_id = violations.check_optional("user_id", given(request.user_id).map(UserId::parse));
        let status = violations.check("status", ConversationStatus::optional(request.status));
        let channel = violations.check("channel", Channel::optional(request.channel));
        let stale_by = request.summary_stale_by.map(StaleBy::parse);
        let stale_by = violations.check_optional("summary_stale_by", stale_by);
        Some(PageRequest {
            filter: ConversationFilter { user_id: user_id?, channel: channel?, status: status?, stale_by: stale_by? },
            after: after?,
            page_size: page_size?,
            token_filter,
        })
    })
}

pub fn encode(requested: &PageRequest, page: &ConversationPage) -> ListConversationsResponse {
    ListConversationsResponse {
        conversations: page.conversations.iter().map(encode::conversation).collect(),
        next_page_token: page
            .next
            .as_ref()
            .map_or_else(String::new, |cursor| encode_token(&requested.token_filter, cursor)),
    }
}

fn encode_token(filter: &TokenFilter, cursor: &ConversationCursor) -> String {
    page::encode_token(filter, &(cursor.created_at.timestamp_micros(), cursor.conversation_id.as_str()))
}

fn decode_token(filter: &TokenFilter, token: &str) -> Result<Option<ConversationCursor>, TokenError> {
    let Some((created_at, id)) = page::decode_token::<(i64, String)>(filter, token)? else { return Ok(None) };
    // A forged token must not contain values that the database cannot represent.
    let created_at = DateTime::from_timestamp_micros(created_at).filter(|time| *time >= DateTime::UNIX_EPOCH);
    match (created_at, ConversationId::parse(id)) {
        (Some(created_at), Ok(conversation_id)) => Ok(Some(ConversationCursor { created_at, conversation_id })),
        _ => Err(TokenError::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_is_refused() {
        let filter = (String::new(), 0, 0, None);
        let decode = |cursor: (i64, &str)| decode_token(&filter, &page::encode_token(&filter, &cursor));
        let cursor = decode((1_700_000_000_123_456, "web-7f3a91")).expect("readable").expect("there");
        assert_eq!(decode_token(&filter, &encode_token(&filter, &cursor)), Ok(Some(cursor)));
        for bad in [(-1, "web-7f3a91"), (i64::MAX, "web-7f3a91"), (0, ""), (0, "a\0b")] {
            assert_eq!(decode(bad), Err(TokenError::Unreadable), "{bad:?}");
        }
    }
}
