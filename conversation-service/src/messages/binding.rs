//! What the sealed values of a message are bound to.

use teppan_shared::sealing::AssociatedData;

use crate::domain::{ConversationId, MessageId, Role};

/// A message, as far as it is known before it is stored. Its sealed values open only there: not in another message, not
/// in another conversation, and not under another role. Its sequence is not bound, because the statement that stores it
/// assigns it.
#[derive(Debug, Clone, Copy)]
pub struct MessageBinding<'a> {
    pub message_id: MessageId,
    pub conversation_id: &'a ConversationId,
    pub role: Role,
}

/// Which sealed values a message has beside its text. Text, parts and metadata are bound to it, so that none of them can
/// be removed unnoticed. Redacting removes all three.
#[derive(Debug, Clone, Copy, Default)]
pub struct Companions {
    pub parts: bool,
    pub metadata: bool,
    pub emotions: bool,
}

/// The row that the associated data name. `app::SEALED_TABLES` has the same in SQL.
pub struct BoundRow(Vec<u8>);

impl MessageBinding<'_> {
    /// For text, parts and metadata.
    pub fn row(self, companions: Companions) -> BoundRow {
        let names = [(companions.parts, b'p'), (companions.metadata, b'm'), (companions.emotions, b'e')];
        let names = names.into_iter().filter(|(is_present, _)| *is_present).map(|(_, name)| name);
        let mut row = Vec::with_capacity(160);
        row.extend_from_slice(self.message_id.0.as_bytes());
        row.extend_from_slice(self.role.as_ref().as_bytes());
        row.push(b'/');
        row.extend(names);
        row.push(b'/');
        row.extend_from_slice(self.conversation_id.as_str().as_bytes());
        BoundRow(row)
    }

    /// For the names of emotions, which stay when the message is redacted.
    pub fn emotions_row(self) -> BoundRow {
        self.row(Companions::default())
    }
}

impl BoundRow {
    /// The associated data of a column.
    pub fn of(&self, column: &'static str) -> AssociatedData<'_> {
        AssociatedData { table: "messages", column, row: &self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_messages_roles_conversations_or_sets_of_values_have_the_same_row() {
        let conversations = ["a", "pm", "ASSISTANT"].map(|id| ConversationId::parse(id.to_owned()).expect("an id"));
        let mut rows = Vec::new();
        for message_id in [MessageId::generate(), MessageId::generate()] {
            for role in [Role::User, Role::Assistant] {
                for conversation_id in &conversations {
                    for bits in 0..8 {
                        let companions =
                            Companions { parts: bits & 1 > 0, metadata: bits & 2 > 0, emotions: bits & 4 > 0 };
                        rows.push(MessageBinding { message_id, conversation_id, role }.row(companions).0);
                    }
                }
            }
        }
        let count = rows.len();
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), count);
    }
}
