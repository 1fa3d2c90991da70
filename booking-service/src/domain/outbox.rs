use std::fmt;

/// The destinations of outbox messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxDestination {
    /// conversation-service, for follow-ups and consents.
    ConversationService,
    /// NATS JetStream, if it is configured.
    EventStream,
}

impl OutboxDestination {
    pub const ALL: [Self; 2] = [Self::ConversationService, Self::EventStream];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConversationService => "conversation-service",
            Self::EventStream => "event-stream",
        }
    }
}

impl From<OutboxDestination> for &'static str {
    fn from(destination: OutboxDestination) -> Self {
        destination.as_str()
    }
}

impl fmt::Display for OutboxDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
