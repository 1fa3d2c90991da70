//! Lists only conversations whose summary is stale.

use std::collections::HashMap;

use teppan_shared::postgres::DatabaseError;

use super::{Conversation, ConversationCursor, ConversationPage, Conversations};
/// The most conversations that one page looks at. A page ends there, perhaps with no conversation, and the next page
/// continues.
pub const LOOKED_AT_MAX: u16 = 1000;

/// The messages of a conversation by which its summary may be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleBy(i64);

impl StaleBy {
    pub fn parse(raw: i64) -> Result<Self, &'static str> {
        if raw >= 0 { Ok(Self(raw)) } else { Err("must be 0 or more") }
    }

    /// Whether more messages follow those that the summary covers.
    fn is_exceeded(self, conversation: &Conversation, through_sequence: i64) -> bool {
        conversation.message_count - through_sequence > self.0
    }
}

impl Conversations {
    /// The stale ones of `looked_at`, which the list contains from the beginning of the page on. `next` is the
    /// cursor of the conversations after these, if there are any.
    pub(super) async fn stale_page(
        &self,
        looked_at: Vec<Conversation>,
        next: Option<ConversationCursor>,
        stale_by: StaleBy,
        page_size: u16,
    ) -> Result<ConversationPage, DatabaseError> {
        let ids: Vec<_> = looked_at.iter().map(|conversation| conversation.conversation_id.to_string()).collect();
        let read = || sqlx::query_file!("src/conversations/watermarks.sql", &ids);
        let rows = self.database.fetch_all(read).await?;
        let watermarks = rows.into_iter().map(|row| (row.conversation_id, row.through_sequence)).collect();
        Ok(page(looked_at, next, &watermarks, stale_by, page_size))
    }
}

fn page(
    looked_at: Vec<Conversation>,
    next: Option<ConversationCursor>,
    watermarks: &HashMap<String, i64>,
    stale_by: StaleBy,
    page_size: u16,
) -> ConversationPage {
    let is_stale = |conversation: &Conversation| {
        let through = watermarks.get(conversation.conversation_id.as_str()).copied().unwrap_or(0);
        stale_by.is_exceeded(conversation, through)
    };
    let mut stale = looked_at.into_iter().filter(is_stale);
    let conversations: Vec<_> = stale.by_ref().take(page_size.into()).collect();
    let next = if stale.next().is_some() { conversations.last().map(Conversation::cursor) } else { next };
    ConversationPage { conversations, next }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::{
        conversations::ConversationStatus,
        domain::{Channel, ConversationId},
    };

    fn conversation(name: &str, message_count: i64) -> Conversation {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        Conversation {
            conversation_id: ConversationId::parse(name.to_owned()).expect("an id"),
            user_id: None,
            channel: Channel::Web,
            status: ConversationStatus::Open,
            message_count,
            newest_scored_sequence: 0,
            last_message_at: now,
            customer_wrote_at: None,
            created_at: now,
            updated_at: now,
            closed_at: None,
        }
    }

    fn names(page: &ConversationPage) -> Vec<&str> {
        page.conversations.iter().map(|conversation| conversation.conversation_id.as_str()).collect()
    }

    #[test]
    fn a_summary_is_stale_when_more_messages_follow_and_none_covers_nothing() {
        let looked_at = vec![conversation("a", 10), conversation("b", 11), conversation("c", 5), conversation("d", 6)];
        let watermarks = [("a".to_owned(), 5), ("b".to_owned(), 5)].into();
        let by = StaleBy::parse(5).expect("a bound");
        assert_eq!(names(&page(looked_at, None, &watermarks, by, 50)), ["b", "d"]);
        assert!(StaleBy::parse(-1).is_err());
    }

    #[test]
    fn a_page_goes_on_after_its_last_conversation_or_after_the_last_one_that_was_looked_at() {
        let looked_at = || vec![conversation("a", 9), conversation("b", 9), conversation("c", 1), conversation("d", 9)];
        let by = StaleBy::parse(5).expect("a bound");
        let full = page(looked_at(), None, &HashMap::new(), by, 2);
        assert_eq!(
            (names(&full), full.next.as_ref().map(|next| next.conversation_id.to_string())),
            (vec!["a", "b"], Some("b".to_owned()))
        );
        let cursor = conversation("d", 9).cursor();
        let last = page(looked_at(), Some(cursor.clone()), &HashMap::new(), by, 3);
        assert_eq!((names(&last), &last.next), (vec!["a", "b", "d"], &Some(cursor)));
    }
}
