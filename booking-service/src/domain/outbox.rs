/// The destinations of outbox messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum OutboxDestination {
    /// conversation-service, for follow-ups and consents.
    ConversationService,
    /// NATS JetStream, if it is configured.
    EventStream,
}
