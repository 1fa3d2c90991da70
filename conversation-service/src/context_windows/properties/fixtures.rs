//! Messages and windows for the tests.

use chrono::{DateTime, Utc};

use crate::{
    context_windows::{
        MaxMessages, WindowBounds,
        choose::{Candidates, ContextWindow, OmissionReason, choose},
    },
    domain::{
        CallId, Channel, Content, ConversationId, MessageId, Part, Parts, Role, ToolCall, ToolName, ToolOutput,
        ToolResult,
    },
    messages::{Message, Redaction},
    summaries::{Summary, WrittenBy},
};

/// A message without text, calls or results.
pub fn message(sequence: i64, role: Role) -> Message {
    let now = DateTime::<Utc>::UNIX_EPOCH;
    Message {
        message_id: MessageId::generate(),
        conversation_id: ConversationId::parse("web-7f3a91".to_owned()).expect("an id"),
        sequence,
        role,
        content: None,
        parts: None,
        channel: Channel::Web,
        emotion: None,
        metadata: None,
        sent_at: now,
        stored_at: now,
        input_tokens: None,
        output_tokens: None,
        redaction: None,
    }
}

pub fn text(sequence: i64, role: Role, bytes: usize) -> Message {
    Message { content: Content::parse("x".repeat(bytes)).ok(), ..message(sequence, role) }
}

pub fn call_id(call: usize) -> CallId {
    CallId::parse(format!("call-{call}")).expect("an id")
}

pub fn calls(sequence: i64, calls: &[usize]) -> Message {
    let name = ToolName::parse("search".to_owned()).expect("a name");
    let call = |call: &usize| Part::ToolCall(ToolCall { call_id: call_id(*call), name: name.clone(), arguments: None });
    Message { parts: Parts::parse(calls.iter().map(call).collect()).ok(), ..message(sequence, Role::Assistant) }
}

pub fn results(sequence: i64, calls: &[usize], bytes: usize) -> Message {
    let content = ToolOutput::parse("x".repeat(bytes)).expect("an output");
    let result = |call: &usize| {
        Part::ToolResult(ToolResult { call_id: call_id(*call), content: content.clone(), is_error: false })
    };
    Message { parts: Parts::parse(calls.iter().map(result).collect()).ok(), ..message(sequence, Role::Tool) }
}

pub fn redacted(sequence: i64, role: Role) -> Message {
    let redaction = Redaction { redacted_at: DateTime::UNIX_EPOCH, redacted_by: "desk".to_owned() };
    Message { redaction: Some(redaction), ..message(sequence, role) }
}

pub fn summary(bytes: usize) -> Summary {
    Summary {
        through_sequence: 1,
        text: Content::parse("x".repeat(bytes)).expect("a text"),
        written_by: WrittenBy::parse("summariser-3".to_owned()).expect("a writer"),
        token_count: None,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

pub fn bounds(messages: i32, tokens: Option<i64>) -> WindowBounds {
    WindowBounds { messages: MaxMessages::parse(messages).expect("a bound"), tokens }
}

pub fn window(messages: Vec<Message>, messages_max: i32, tokens: Option<i64>) -> ContextWindow {
    let message_count = messages.last().map_or(0, |newest| newest.sequence);
    choose(Candidates { messages, summary: None, message_count }, bounds(messages_max, tokens))
}

pub fn sequences(window: &ContextWindow) -> Vec<i64> {
    window.messages.iter().map(|message| message.sequence).collect()
}

pub fn omitted(window: &ContextWindow, reason: OmissionReason) -> Vec<i64> {
    window.omitted.iter().filter(|omission| omission.reason == reason).map(|omission| omission.sequence).collect()
}
