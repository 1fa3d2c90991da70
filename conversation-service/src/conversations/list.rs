use chrono::{DateTime, Utc};
use strum::VariantArray;
use teppan_shared::postgres::DatabaseError;

use super::{
    Conversation, ConversationStatus, Conversations,
    stale::{LOOKED_AT_MAX, StaleBy},
};
use crate::domain::{Channel, ConversationId, UserId};

/// The filters of a list. `None` matches any value.
#[derive(Debug, Clone, Default)]
pub struct ConversationFilter {
    pub user_id: Option<UserId>,
    pub channel: Option<Channel>,
    pub status: Option<ConversationStatus>,
    pub stale_by: Option<StaleBy>,
}

/// The cursor of a list: a page starts after this conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationCursor {
    pub created_at: DateTime<Utc>,
    pub conversation_id: ConversationId,
}

/// Conversations, and the cursor of the next page if there is one.
pub struct ConversationPage {
    pub conversations: Vec<Conversation>,
    pub next: Option<ConversationCursor>,
}

impl Conversation {
    /// The position of the conversation in lists.
    pub fn cursor(&self) -> ConversationCursor {
        ConversationCursor { created_at: self.created_at, conversation_id: self.conversation_id.clone() }
    }
}

impl Conversations {
    /// Lists conversations after the cursor, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(
        &self,
        filter: &ConversationFilter,
        after: Option<&ConversationCursor>,
        page_size: u16,
    ) -> Result<ConversationPage, DatabaseError> {
        let channels = matching(filter.channel.as_ref());
        let statuses = matching(filter.status.as_ref());
        let after_created_at = after.map(|cursor| cursor.created_at);
        let after_id = after.map(|cursor| cursor.conversation_id.as_str());
        // A filter that no index has looks at a bounded number of conversations.
        let looked_at = if filter.stale_by.is_some() { LOOKED_AT_MAX } else { page_size };
        let limit = i64::from(looked_at) + 1;
        macro_rules! page {
            ($file:literal $(, $user_id:expr)?) => {
                self.database
                    .fetch_all(|| {
                        sqlx::query_file!(
                            $file,
                            &channels as &[&str],
                            &statuses as &[&str],
                            after_created_at,
                            after_id,
                            limit
                            $(, $user_id)?
                        )
                    })
                    .await?
                    .into_iter()
                    .map(|row| row.conversation)
                    .collect::<Vec<_>>()
            };
        }
        let mut conversations = match &filter.user_id {
            None => page!("src/conversations/list.sql"),
            Some(user_id) => page!("src/conversations/list_by_user.sql", user_id.as_str()),
        };
        let more = conversations.len() > looked_at.into();
        conversations.truncate(looked_at.into());
        let next = conversations.last().filter(|_| more).map(Conversation::cursor);
        match filter.stale_by {
            Some(stale_by) => self.stale_page(conversations, next, stale_by, page_size).await,
            None => Ok(ConversationPage { conversations, next }),
        }
    }
}

/// The column values that match a filter.
fn matching<T: VariantArray + AsRef<str>>(filter: Option<&T>) -> Vec<&str> {
    filter.map_or(T::VARIANTS, std::slice::from_ref).iter().map(AsRef::as_ref).collect()
}
