use teppan_shared::{contract::conversation::v1 as wire, page, wire::timestamp};
use tonic::Status;

use super::{
    decode::{self, PAGE_SIZES},
    encode,
    enums::WireEnum as _,
};
use crate::{
    domain::{ConversationId, Role, SequenceOrder, SequenceRange},
    emotions::{EmotionEntry, EmotionPage},
};

/// A decoded request for a page of emotions.
pub struct PageRequest {
    pub conversation_id: ConversationId,
    pub range: SequenceRange,
    pub order: SequenceOrder,
    pub role: Option<Role>,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// The filters that a page token is bound to: the list, conversation, whether the newest come first, role.
type TokenFilter = (&'static str, String, bool, i32);

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: wire::GetEmotionHistoryRequest) -> Result<PageRequest, Status> {
    decode::request(|violations| {
        let order = violations.check("order", SequenceOrder::optional(request.order));
        let order = order.map(Option::unwrap_or_default);
        let newest_first = order == Some(SequenceOrder::NewestFirst);
        let token_filter = ("emotions", request.conversation_id.clone(), newest_first, request.role);
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
        let last = violations.check("page_token", page::decode_token::<i64>(&token_filter, &request.page_token));
        let role = violations.check("role", Role::optional(request.role));

        let (order, all) = (order?, SequenceRange { after: 0, before: i64::MAX });
        Some(PageRequest {
            conversation_id: conversation_id?,
            range: last?.map_or(all, |last| all.beyond(last, order)),
            order,
            role: role?,
            page_size: page_size?,
            token_filter,
        })
    })
}

pub fn encode(requested: &PageRequest, page: EmotionPage) -> wire::GetEmotionHistoryResponse {
    wire::GetEmotionHistoryResponse {
        entries: page.entries.iter().map(entry).collect(),
        next_page_token: page.next.map_or_else(String::new, |last| token(requested, last)),
        statistics: page.statistics.map(encode::emotion_statistics),
    }
}

/// The token of the page after this sequence.
pub fn token(requested: &PageRequest, sequence: i64) -> String {
    page::encode_token(&requested.token_filter, &sequence)
}

fn entry(entry: &EmotionEntry) -> wire::EmotionHistoryEntry {
    wire::EmotionHistoryEntry {
        message_id: entry.message_id.to_string(),
        sequence: entry.sequence,
        role: wire::Role::from(entry.role).into(),
        emotion: entry.emotion.as_ref().map(encode::emotion),
        sent_at: Some(timestamp(entry.sent_at)),
    }
}
