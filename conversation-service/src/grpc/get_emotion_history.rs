use teppan_shared::{
    contract::conversation::v1::{EmotionHistoryEntry, GetEmotionHistoryRequest, GetEmotionHistoryResponse},
    page,
    status::Violations,
    wire::timestamp,
};
use tonic::Status;

use super::{
    decode::{self, PAGE_SIZES},
    encode,
};
use crate::{
    domain::{ConversationId, Role, SequenceOrder, SequenceRange},
    emotions::{EmotionEntry, EmotionPage},
};

/// A page of emotions that is asked for.
pub struct Wanted {
    pub conversation_id: ConversationId,
    pub range: SequenceRange,
    pub order: SequenceOrder,
    pub role: Option<Role>,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// What a page token is bound to: the list, conversation, whether the newest come first, role.
type TokenFilter = (&'static str, String, bool, i32);

/// Reads the request, or lists everything that is wrong with it.
pub fn decode(request: GetEmotionHistoryRequest) -> Result<Wanted, Status> {
    let mut violations = Violations::default();
    decode_fields(request, &mut violations).ok_or_else(|| violations.into_status())
}

/// `None` when a field is wrong, which is then among the violations.
fn decode_fields(request: GetEmotionHistoryRequest, violations: &mut Violations) -> Option<Wanted> {
    let order = violations.check("order", decode::order(request.order));
    let newest_first = order == Some(SequenceOrder::NewestFirst);
    let token_filter = ("emotions", request.conversation_id.clone(), newest_first, request.role);
    let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
    let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
    let last = violations.check("page_token", page::decode_token::<i64>(&token_filter, &request.page_token));
    let role = violations.check("role", decode::role_filter(request.role));

    let (order, all) = (order?, SequenceRange { after: 0, before: i64::MAX });
    Some(Wanted {
        conversation_id: conversation_id?,
        range: last?.map_or(all, |last| all.beyond(last, order)),
        order,
        role: role?,
        page_size: page_size?,
        token_filter,
    })
}

pub fn encode(wanted: &Wanted, page: EmotionPage) -> GetEmotionHistoryResponse {
    GetEmotionHistoryResponse {
        entries: page.entries.iter().map(entry).collect(),
        next_page_token: page.next.map_or_else(String::new, |last| page::encode_token(&wanted.token_filter, &last)),
        statistics: page.statistics.map(encode::emotion_statistics),
    }
}

fn entry(entry: &EmotionEntry) -> EmotionHistoryEntry {
    EmotionHistoryEntry {
        message_id: entry.message_id.to_string(),
        sequence: entry.sequence,
        role: encode::role(entry.role).into(),
        emotion: entry.emotion.as_ref().map(encode::emotion),
        sent_at: Some(timestamp(entry.sent_at)),
    }
}
