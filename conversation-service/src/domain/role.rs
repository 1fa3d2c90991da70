/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::AsRefStr)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// The customer.
    User,
    Assistant,
    /// An instruction to the assistant, or a note of the system.
    System,
    /// The result of a tool that the assistant called.
    Tool,
}
