use crate::domain::bounded_number;

/// System messages that are kept.
pub const SYSTEM_MAX: usize = 20;
/// What the system messages that are kept may take, of [`BYTES_MAX`].
pub const SYSTEM_BYTES_MAX: usize = 1 << 20;
/// What texts, parts and metadata of a window may take. With everything else of 220 messages it stays below the 4 MiB
/// that gRPC clients accept by default.
pub const BYTES_MAX: usize = 2 << 20;

bounded_number!(
    /// How many messages a window has at most, besides system messages.
    MaxMessages, (1..=200), "must be 1 to 200, or 0 for the default of 20", 0 => 20
);

/// How large a window may be.
#[derive(Debug, Clone, Copy)]
pub struct WindowBounds {
    pub messages: MaxMessages,
    /// `None`: no bound.
    pub tokens: Option<i64>,
}
