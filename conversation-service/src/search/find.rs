use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use super::{Search, SearchWords};
use crate::{
    domain::{ConversationId, UserId},
    messages::{Message, MessageRow},
};

/// The most bytes of a page's texts, parts and metadata, unless its first message is larger.
const PAGE_BYTES_MAX: i64 = 2 << 20;
/// The most conversations of a user that a page searches.
const CONVERSATIONS_MAX: usize = 100;

/// Where to search.
#[derive(Debug, Clone)]
pub enum Searched {
    Conversation(ConversationId),
    User(UserId),
}

/// Where a page starts: with this conversation, and in it before this sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPosition {
    /// Of the conversation; not used in the search of one conversation.
    pub created_at: DateTime<Utc>,
    pub conversation_id: ConversationId,
    pub before_sequence: i64,
}

/// Messages with the words, and the position of the next page if there may be one.
pub struct Found {
    pub messages: Vec<Message>,
    pub next: Option<SearchPosition>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("the search is off")]
    Disabled,
    /// The search continues after this message.
    #[error("the first message of the page is corrupted")]
    Unreadable { position: SearchPosition, source: Corrupted },
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Search {
    /// Finds the messages that have all words: of the newest conversation first, and in it the newest first. A page of a
    /// user's messages searches a bounded number of conversations, and ends before a message that cannot be opened.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn find(
        &self,
        searched: &Searched,
        words: &SearchWords,
        from: Option<&SearchPosition>,
        page_size: u16,
    ) -> Result<Found, SearchError> {
        if !self.is_on {
            return Err(SearchError::Disabled);
        }
        let before = from.map_or(i64::MAX, |from| from.before_sequence);
        let mut conversations = match searched {
            Searched::Conversation(id) => vec![(id.clone(), DateTime::UNIX_EPOCH)],
            Searched::User(user_id) => self.conversations(user_id, from).await?,
        };
        // The first conversation of the page may be deleted by now.
        let is_first = |from: &SearchPosition| conversations.first().is_some_and(|(id, _)| *id == from.conversation_id);
        let before = if from.is_none_or(is_first) { before } else { i64::MAX };
        let rest = conversations.get(CONVERSATIONS_MAX).cloned();
        conversations.truncate(CONVERSATIONS_MAX);
        let rows = self.rows(&conversations, words, before, i64::from(page_size) + 1).await?;

        let at = |row: &Row, before_sequence| {
            let (conversation_id, created_at) = usize::try_from(row.position - 1)
                .ok()
                .and_then(|index| conversations.get(index).cloned())
                .unwrap_or_else(|| (row.message.conversation_id.clone(), DateTime::UNIX_EPOCH));
            SearchPosition { created_at, conversation_id, before_sequence }
        };
        let found = rows.first().map_or(0, |row| row.found);
        let (mut messages, mut last) = (Vec::with_capacity(rows.len()), None);
        for row in rows.into_iter().take(page_size.into()) {
            let position = at(&row, row.message.sequence);
            match row.message.open(&self.ring) {
                Ok(message) => messages.push(message),
                Err(source) if messages.is_empty() => return Err(SearchError::Unreadable { position, source }),
                Err(_) => break,
            }
            last = Some(position);
        }
        let is_cut = found > i64::try_from(messages.len()).unwrap_or(i64::MAX);
        let rest = rest.map(|(conversation_id, created_at)| SearchPosition {
            created_at,
            conversation_id,
            before_sequence: i64::MAX,
        });
        Ok(Found { messages, next: if is_cut { last } else { rest } })
    }

    async fn conversations(
        &self,
        user_id: &UserId,
        from: Option<&SearchPosition>,
    ) -> Result<Vec<(ConversationId, DateTime<Utc>)>, DatabaseError> {
        let limit = i64::try_from(CONVERSATIONS_MAX).unwrap_or(i64::MAX) + 1;
        let (created_at, id) = from.map(|from| (from.created_at, from.conversation_id.as_str())).unzip();
        let users = self.users.hashes(user_id);
        let read = || sqlx::query_file!("src/search/conversations.sql", &users, created_at, id, limit);
        let rows = self.database.fetch_all(read).await?;
        Ok(rows.into_iter().map(|row| (row.conversation_id, row.created_at)).collect())
    }

    async fn rows(
        &self,
        conversations: &[(ConversationId, DateTime<Utc>)],
        words: &SearchWords,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Row>, DatabaseError> {
        let (mut ids, mut tokens, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        for (position, (id, _)) in (1_i64..).zip(conversations) {
            for array in self.words.of_search(id, words) {
                ids.push(id.to_string());
                tokens.push(array);
                positions.push(position);
            }
        }
        let find = || {
            sqlx::query_file_as!(Row, "src/search/find.sql", &ids, &tokens, &positions, before, limit, PAGE_BYTES_MAX)
        };
        self.database.fetch_all(find).await
    }
}

/// A row of `find.sql`.
struct Row {
    position: i64,
    found: i64,
    message: MessageRow,
}
