//! The rules between the messages of one request. Pure.

use std::collections::HashSet;

use crate::domain::{CallId, MessageId};

/// What texts, parts and metadata of one request may take together. With everything else of a hundred messages a
/// request stays below MAX_MESSAGE_BYTES, and an answer below the 4 MiB that gRPC clients accept by default.
const BYTES_MAX: usize = 2 << 20;

/// The messages of a request that were read so far, in their order.
#[derive(Default)]
pub struct RequestRules {
    messages: HashSet<MessageId>,
    calls: HashSet<CallId>,
    results: HashSet<CallId>,
    bytes: usize,
}

impl RequestRules {
    pub const MESSAGES_MAX: usize = 100;

    /// # Errors
    /// When a message before has this id.
    pub fn message(&mut self, id: MessageId) -> Result<(), &'static str> {
        if self.messages.insert(id) { Ok(()) } else { Err("must not be that of another message of the request") }
    }

    /// # Errors
    /// When a call before has this id, or its result comes before it.
    pub fn call(&mut self, id: &CallId) -> Result<(), &'static str> {
        if self.results.contains(id) {
            Err("must come before its result")
        } else if self.calls.insert(id.clone()) {
            Ok(())
        } else {
            Err("must not be that of another tool call of the request")
        }
    }

    /// # Errors
    /// When a result before answers the same call.
    pub fn result(&mut self, id: &CallId) -> Result<(), &'static str> {
        if self.results.insert(id.clone()) { Ok(()) } else { Err("must not be answered twice in a request") }
    }

    /// Counts the bytes of a message's text, parts and metadata, as the request has them.
    ///
    /// # Errors
    /// When the messages are too large together.
    pub fn size(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= BYTES_MAX { Ok(()) } else { Err("must have 2 MiB of texts, parts and metadata at most") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(raw: &str) -> CallId {
        CallId::parse(raw.to_owned()).expect("an id")
    }

    #[test]
    fn an_id_occurs_once_in_a_request() {
        let mut rules = RequestRules::default();
        let message = MessageId::generate();
        assert!(rules.message(message).is_ok());
        assert!(rules.message(message).is_err());
        assert!(rules.message(MessageId::generate()).is_ok());
        assert!(rules.call(&id("a")).is_ok());
        assert!(rules.call(&id("a")).is_err());
        assert!(rules.call(&id("b")).is_ok());
    }

    #[test]
    fn a_call_is_answered_once_and_after_it_was_made() {
        let mut rules = RequestRules::default();
        assert!(rules.call(&id("a")).is_ok());
        assert!(rules.result(&id("a")).is_ok());
        assert!(rules.result(&id("a")).is_err());
        // The call may be in the conversation already.
        assert!(rules.result(&id("b")).is_ok());
        assert_eq!(rules.call(&id("b")), Err("must come before its result"));
    }
}
