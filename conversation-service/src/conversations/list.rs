use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use super::{Conversation, ConversationStatus, Conversations, row::ConversationRow};
use crate::domain::{Channel, ConversationId, UserId};

/// Which conversations are wanted; what is `None` may be any.
#[derive(Debug, Clone, Default)]
pub struct ConversationFilter {
    pub user_id: Option<UserId>,
    pub channel: Option<Channel>,
    pub status: Option<ConversationStatus>,
}

/// Where a page of conversations starts: behind the one made then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationCursor {
    pub created_at: DateTime<Utc>,
    pub conversation_id: ConversationId,
}

/// Conversations, and where the next page starts if there is one.
pub struct ConversationPage {
    pub conversations: Vec<Conversation>,
    pub next: Option<ConversationCursor>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListConversationsError {
    #[error("a conversation is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Conversations {
    /// Lists conversations, the newest first, from after the cursor on.
    ///
    /// # Errors
    /// [`ListConversationsError`].
    pub async fn list(
        &self,
        filter: &ConversationFilter,
        after: Option<&ConversationCursor>,
        page_size: u16,
    ) -> Result<ConversationPage, ListConversationsError> {
        let mut rows = self.conversation_rows(filter, after, page_size).await?;
        let more = rows.len() > page_size.into();
        rows.truncate(page_size.into());
        let conversations = rows.into_iter().map(ConversationRow::read).collect::<Result<Vec<_>, _>>()?;
        let next = conversations.last().filter(|_| more).map(|last| ConversationCursor {
            created_at: last.created_at,
            conversation_id: last.conversation_id.clone(),
        });
        Ok(ConversationPage { conversations, next })
    }

    /// The page, and the row after it if there is one.
    async fn conversation_rows(
        &self,
        filter: &ConversationFilter,
        after: Option<&ConversationCursor>,
        page_size: u16,
    ) -> Result<Vec<ConversationRow>, DatabaseError> {
        let channels = wanted(filter.channel, &Channel::ALL, Channel::as_column);
        let statuses = wanted(filter.status, &ConversationStatus::ALL, ConversationStatus::as_column);
        let after_created_at = after.map(|cursor| cursor.created_at);
        let after_id = after.map(|cursor| cursor.conversation_id.as_str());
        let limit = i64::from(page_size) + 1;
        match filter.user_id.as_ref().map(UserId::as_str) {
            None => {
                let all = || {
                    sqlx::query_file_as!(
                        ConversationRow,
                        "src/conversations/list.sql",
                        &channels as &[&str],
                        &statuses as &[&str],
                        after_created_at,
                        after_id,
                        limit,
                    )
                };
                self.database.fetch_all(all).await
            }
            Some(user_id) => {
                let of_the_user = || {
                    sqlx::query_file_as!(
                        ConversationRow,
                        "src/conversations/list_by_user.sql",
                        &channels as &[&str],
                        &statuses as &[&str],
                        after_created_at,
                        after_id,
                        limit,
                        user_id,
                    )
                };
                self.database.fetch_all(of_the_user).await
            }
        }
    }
}

/// The columns' values that match a filter.
fn wanted<T: Copy>(filter: Option<T>, all: &[T], as_column: fn(T) -> &'static str) -> Vec<&'static str> {
    match filter {
        Some(one) => vec![as_column(one)],
        None => all.iter().copied().map(as_column).collect(),
    }
}
