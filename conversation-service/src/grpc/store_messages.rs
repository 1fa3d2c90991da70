use chrono::{DateTime, Utc};
use teppan_shared::{contract::conversation::v1 as wire, status::Violations};
use tonic::Status;

use super::{decode, store_message};
use crate::{
    domain::{ConversationId, MessageId},
    messages::{NewMessage, RequestRules, Stored},
};

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(
    request: wire::StoreMessagesRequest,
    now: DateTime<Utc>,
) -> Result<(ConversationId, Vec<NewMessage>), Status> {
    decode::request(|violations| {
        let raw_id = request.conversation_id;
        let conversation_id = violations.check("conversation_id", ConversationId::parse(raw_id.clone()));
        // A longer list may be very long; report one violation.
        if !(1..=RequestRules::MESSAGES_MAX).contains(&request.messages.len()) {
            violations.add("messages", "must be 1 to 100 messages");
            return None;
        }
        let mut rules = RequestRules::default();
        let sizes = request.messages.iter().map(bytes).try_for_each(|bytes| rules.size(bytes));
        violations.check("messages", sizes);
        // All of them first: everything that is wrong is a violation.
        let messages: Vec<Option<NewMessage>> = request
            .messages
            .into_iter()
            .enumerate()
            .map(|(index, message)| {
                violations.within(format_args!("messages[{index}]."), |violations| {
                    decode_message(message, &raw_id, conversation_id.clone(), now, &mut rules, violations)
                })
            })
            .collect();
        let messages = messages.into_iter().collect::<Option<Vec<_>>>();
        sizes.ok()?;
        Some((conversation_id?, messages?))
    })
}

/// What counts of a message against the bound of a request.
fn bytes(message: &wire::StoreMessageRequest) -> usize {
    let parts: usize = message.parts.iter().map(prost::Message::encoded_len).sum();
    message.content.len() + parts + message.metadata.as_ref().map_or(0, prost::Message::encoded_len)
}

fn decode_message(
    message: wire::StoreMessageRequest,
    raw_id: &str,
    conversation_id: Option<ConversationId>,
    now: DateTime<Utc>,
    rules: &mut RequestRules,
    violations: &mut Violations,
) -> Option<NewMessage> {
    let is_of_it = message.conversation_id.is_empty() || message.conversation_id == raw_id;
    if !is_of_it {
        violations.add("conversation_id", "must be that of the request, or empty");
    }
    // One that is no id is reported below.
    let occurs_once = MessageId::parse(&message.message_id).map_or(Ok(()), |id| rules.message(id));
    let occurs_once = violations.check("message_id", occurs_once);
    let new = store_message::decode_message(message, conversation_id, now, rules, violations)?;
    occurs_once?;
    is_of_it.then_some(new)
}

pub fn encode(stored: Vec<Stored>) -> wire::StoreMessagesResponse {
    wire::StoreMessagesResponse { results: stored.into_iter().map(store_message::encode).collect() }
}
