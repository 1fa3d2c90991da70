/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The customer.
    User,
    Assistant,
    /// An instruction to the assistant, or a note of the system.
    System,
    /// The result of a tool that the assistant called.
    Tool,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::User, Self::Assistant, Self::System, Self::Tool];

    /// What the database keeps.
    pub fn as_column(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Assistant => "ASSISTANT",
            Self::System => "SYSTEM",
            Self::Tool => "TOOL",
        }
    }

    /// Reads what the database keeps; `None` for what its constraint forbids.
    pub fn from_column(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_column() == raw)
    }
}
