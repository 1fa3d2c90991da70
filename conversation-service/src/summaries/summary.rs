use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing},
};

use crate::{
    domain::{Content, ConversationId, printable_text},
    messages::TokenCount,
};

/// The summary of a conversation.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The watermark: it covers the messages up to this one.
    pub through_sequence: i64,
    pub text: Content,
    pub written_by: WrittenBy,
    pub token_count: Option<TokenCount>,
    pub updated_at: DateTime<Utc>,
}

printable_text!(
    /// Who or what wrote a summary: 1 to 100 printable ASCII characters.
    WrittenBy, "must be 1 to 100 printable ASCII characters"
);

/// A row of `conversation_summaries`, in the order of its columns.
///
/// Statements return it as an anonymous record: sqlx would ask the server to describe the table's own type.
#[derive(sqlx::Type)]
#[sqlx(type_name = "record")]
pub struct SummaryRow {
    pub conversation_id: ConversationId,
    pub through_sequence: i64,
    pub text_sealed: Vec<u8>,
    pub written_by: WrittenBy,
    pub token_count: Option<TokenCount>,
    pub updated_at: DateTime<Utc>,
}

/// Seals or opens with the associated data of a summary. They contain the conversation and the watermark, so that an
/// earlier summary does not open in the row of a later one.
pub fn with_associated_data<T>(
    conversation_id: &ConversationId,
    through_sequence: i64,
    with: impl FnOnce(AssociatedData<'_>) -> T,
) -> T {
    // The id has no NUL.
    let row = [conversation_id.as_str().as_bytes(), &[0], &through_sequence.to_be_bytes()].concat();
    with(AssociatedData { table: "conversation_summaries", column: "text_sealed", row: &row })
}

impl SummaryRow {
    /// The summary, if it is that of this conversation.
    pub fn open(self, conversation_id: &ConversationId, ring: &KeyRing) -> Result<Summary, Corrupted> {
        let open = |data: AssociatedData<'_>| ring.open_text(data, &self.text_sealed);
        let text = with_associated_data(conversation_id, self.through_sequence, open)?;
        Ok(Summary {
            through_sequence: self.through_sequence,
            text: Content::parse(text).map_err(|_| Corrupted::Column("conversation_summaries.text_sealed"))?,
            written_by: self.written_by,
            token_count: self.token_count,
            updated_at: self.updated_at,
        })
    }
}
