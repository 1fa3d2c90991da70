use std::ops::AddAssign;

use crate::{
    domain::Role,
    messages::{Message, TokenCount},
    summaries::Summary,
};

/// Where the number of tokens is unknown, each started 4 bytes are one.
const BYTES_PER_TOKEN: usize = 4;

/// A number of tokens, and whether it is partly a guess.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    pub count: i64,
    pub is_estimated: bool,
}

impl Tokens {
    fn of(known: Option<TokenCount>, bytes: usize) -> Self {
        let estimate = || i64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(i64::MAX);
        Self { count: known.map_or_else(estimate, |known| known.get().into()), is_estimated: known.is_none() }
    }

    /// The assistant's messages count with what the model generated, all others with what it reads.
    pub fn of_message(message: &Message) -> Self {
        let known = if message.role == Role::Assistant { message.output_tokens } else { message.input_tokens };
        let text = message.content.as_ref().map_or(0, |content| content.as_str().len());
        Self::of(known, text + message.parts.as_ref().map_or(0, |parts| parts.as_bytes().len()))
    }

    pub fn of_summary(summary: &Summary) -> Self {
        Self::of(summary.token_count, summary.text.as_str().len())
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.is_estimated |= other.is_estimated;
    }
}
