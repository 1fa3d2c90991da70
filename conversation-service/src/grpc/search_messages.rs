use chrono::DateTime;
use teppan_shared::{
    contract::conversation::v1::{SearchMessagesRequest, SearchMessagesResponse},
    page::{self, PageSizes, TokenError},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{decode, encode};
use crate::{
    domain::{ConversationId, UserId},
    search::{Found, SearchPosition, SearchWords, Searched},
};

const PAGE_SIZES: PageSizes = PageSizes { default: 50, max: 100 };

/// A decoded request for a page of messages.
pub struct PageRequest {
    pub searched: Searched,
    pub words: SearchWords,
    pub from: Option<SearchPosition>,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// What a page token is bound to: conversation, user, words.
type TokenFilter = (String, String, String);

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: SearchMessagesRequest) -> Result<PageRequest, Status> {
    decode::request(|violations| {
        let token_filter = (request.conversation_id.clone(), request.user_id.clone(), request.words.clone());
        let searched = searched(request.conversation_id, request.user_id, violations);
        let words = violations.check("words", SearchWords::parse(&request.words));
        let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
        let from = violations.check("page_token", decode_token(&token_filter, &request.page_token));
        Some(PageRequest { searched: searched?, words: words?, from: from?, page_size: page_size?, token_filter })
    })
}

fn searched(conversation_id: String, user_id: String, violations: &mut Violations) -> Option<Searched> {
    let conversation_id = given(conversation_id).map(ConversationId::parse);
    let conversation_id = violations.check_optional("conversation_id", conversation_id);
    let user_id = violations.check_optional("user_id", given(user_id).map(UserId::parse));
    match (conversation_id?, user_id?) {
        (Some(conversation_id), None) => Some(Searched::Conversation(conversation_id)),
        (None, Some(user_id)) => Some(Searched::User(user_id)),
        _ => {
            violations.add("conversation_id", "give either a conversation_id or a user_id");
            None
        }
    }
}

pub fn encode(requested: &PageRequest, found: Found) -> SearchMessagesResponse {
    SearchMessagesResponse {
        messages: found.messages.into_iter().map(encode::message).collect(),
        next_page_token: found.next.map(|position| token(requested, &position)).unwrap_or_default(),
    }
}

/// The token of the page that starts at this position.
pub fn token(requested: &PageRequest, position: &SearchPosition) -> String {
    let SearchPosition { created_at, conversation_id, before_sequence } = position;
    let cursor = (created_at.timestamp_micros(), conversation_id.as_str(), before_sequence);
    page::encode_token(&requested.token_filter, &cursor)
}

fn decode_token(filter: &TokenFilter, token: &str) -> Result<Option<SearchPosition>, TokenError> {
    let cursor = page::decode_token::<(i64, String, i64)>(filter, token)?;
    let Some((created_at, id, before_sequence)) = cursor else { return Ok(None) };
    // A forged token must not contain values that the database cannot represent.
    let created_at = DateTime::from_timestamp_micros(created_at).filter(|time| *time >= DateTime::UNIX_EPOCH);
    match (created_at, ConversationId::parse(id)) {
        (Some(created_at), Ok(conversation_id)) => {
            Ok(Some(SearchPosition { created_at, conversation_id, before_sequence }))
        }
        _ => Err(TokenError::Unreadable),
    }
}
