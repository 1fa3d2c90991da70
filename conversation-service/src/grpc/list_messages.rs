use teppan_shared::{
    contract::conversation::v1::{ListMessagesRequest, ListMessagesResponse},
    page,
};
use tonic::Status;

use super::{
    decode::{self, PAGE_SIZES},
    encode,
    enums::WireEnum as _,
};
use crate::{
    domain::{ConversationId, SequenceOrder, SequenceRange},
    messages::MessagePage,
};

/// A decoded request for a page of messages.
pub struct PageRequest {
    pub conversation_id: ConversationId,
    pub range: SequenceRange,
    pub order: SequenceOrder,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// The filters that a page token is bound to: conversation, whether the newest come first, bounds.
type TokenFilter = (String, bool, i64, i64);

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: ListMessagesRequest) -> Result<PageRequest, Status> {
    decode::request(|violations| {
        let order = violations.check("order", SequenceOrder::optional(request.order));
        let order = order.map(Option::unwrap_or_default);
        // The default order is the same list, whether or not it is given.
        let newest_first = order == Some(SequenceOrder::NewestFirst);
        let token_filter =
            (request.conversation_id.clone(), newest_first, request.after_sequence, request.before_sequence);
        let conversation_id = violations.check("conversation_id", ConversationId::parse(request.conversation_id));
        let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
        let last = violations.check("page_token", page::decode_token::<i64>(&token_filter, &request.page_token));
        let after = violations.check("after_sequence", decode_bound(request.after_sequence));
        let before = violations.check("before_sequence", decode_bound(request.before_sequence));

        let (order, before) = (order?, before?);
        let range = SequenceRange { after: after?, before: if before == 0 { i64::MAX } else { before } };
        Some(PageRequest {
            conversation_id: conversation_id?,
            range: last?.map_or(range, |last| range.beyond(last, order)),
            order,
            page_size: page_size?,
            token_filter,
        })
    })
}

fn decode_bound(raw: i64) -> Result<i64, &'static str> {
    if raw >= 0 { Ok(raw) } else { Err("must be 0 or more") }
}

pub fn encode(requested: &PageRequest, page: MessagePage) -> ListMessagesResponse {
    ListMessagesResponse {
        messages: page.messages.into_iter().map(encode::message).collect(),
        next_page_token: page.next.map_or_else(String::new, |last| token(requested, last)),
    }
}

/// The token of the page after this sequence.
pub fn token(requested: &PageRequest, last: i64) -> String {
    page::encode_token(&requested.token_filter, &last)
}
