use teppan_shared::{
    contract::conversation::v1::{ListMessagesRequest, ListMessagesResponse},
    page,
    status::Violations,
};
use tonic::Status;

use super::{
    decode::{self, PAGE_SIZES},
    encode,
};
use crate::{
    domain::{ConversationId, SequenceOrder, SequenceRange},
    messages::MessagePage,
};

/// A page of messages that is asked for.
pub struct Wanted {
    pub conversation_id: ConversationId,
    pub range: SequenceRange,
    pub order: SequenceOrder,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// What a page token is bound to: conversation, whether the newest come first, bounds.
type TokenFilter = (String, bool, i64, i64);

/// Reads the request, or lists everything that is wrong with it.
pub fn decode(request: ListMessagesRequest) -> Result<Wanted, Status> {
    let mut violations = Violations::default();
    decode_fields(request, &mut violations).ok_or_else(|| violations.into_status())
}

/// `None` when a field is wrong, which is then among the violations.
fn decode_fields(request: ListMessagesRequest, violations: &mut Violations) -> Option<Wanted> {
    let order = violations.check("order", decode::order(request.order));
    // The order that is meant when none is given and the same one given make one list.
    let newest_first = order == Some(SequenceOrder::NewestFirst);
    let token_filter = (request.conversation_id.clone(), newest_first, request.after_sequence, request.before_sequence);
    let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
    let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
    let last = violations.check("page_token", page::decode_token::<i64>(&token_filter, &request.page_token));
    let after = violations.check("after_sequence", decode_bound(request.after_sequence));
    let before = violations.check("before_sequence", decode_bound(request.before_sequence));

    let (order, before) = (order?, before?);
    let range = SequenceRange { after: after?, before: if before == 0 { i64::MAX } else { before } };
    Some(Wanted {
        conversation_id: conversation_id?,
        range: last?.map_or(range, |last| range.beyond(last, order)),
        order,
        page_size: page_size?,
        token_filter,
    })
}

fn decode_bound(raw: i64) -> Result<i64, &'static str> {
    if raw >= 0 { Ok(raw) } else { Err("must be 0 or more") }
}

pub fn encode(wanted: &Wanted, page: MessagePage) -> ListMessagesResponse {
    ListMessagesResponse {
        messages: page.messages.into_iter().map(encode::message).collect(),
        next_page_token: page.next.map_or_else(String::new, |last| token(wanted, last)),
    }
}

/// The token of the page behind this sequence.
pub fn token(wanted: &Wanted, last: i64) -> String {
    page::encode_token(&wanted.token_filter, &last)
}
