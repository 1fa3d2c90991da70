use std::collections::HashMap;

use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use super::{ConversationFilter, ConversationOrder, ConversationRow, Conversations, filter::Figures};
use crate::{
    domain::ConversationId,
    handoffs::{HandoffRow, HeldConversation},
};

/// The most conversations that one page with a filter beyond the index looks at. The page ends there, perhaps with no
/// conversation, and the next page continues.
const LOOKED_AT_MAX: u16 = 1000;

/// The cursor of a list: a page starts after this conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationCursor {
    /// `created_at`, or `held_since` in the order of waiting.
    pub at: DateTime<Utc>,
    pub conversation_id: ConversationId,
}

/// Conversations, and the cursor of the next page if there is one.
pub struct ConversationPage {
    pub conversations: Vec<HeldConversation>,
    pub next: Option<ConversationCursor>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListConversationsError {
    /// The first conversation of the page is corrupted. The list continues after this cursor.
    #[error("a conversation is corrupted")]
    Unreadable { cursor: ConversationCursor, source: Corrupted },
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// A row of the statements.
struct Row {
    conversation: ConversationRow,
    handoff: Option<HandoffRow>,
}

impl Row {
    fn cursor(&self, order: ConversationOrder) -> ConversationCursor {
        let created_at = self.conversation.created_at;
        let at = match order {
            ConversationOrder::NewestFirst => created_at,
            ConversationOrder::LongestWaitingFirst => {
                self.handoff.as_ref().and_then(|handoff| handoff.held_since).unwrap_or(created_at)
            }
        };
        ConversationCursor { at, conversation_id: self.conversation.conversation_id.clone() }
    }
}

impl HeldConversation {
    /// The position of the conversation in lists of this order.
    pub fn cursor(&self, order: ConversationOrder) -> ConversationCursor {
        let created_at = self.conversation.created_at;
        let at = match order {
            ConversationOrder::NewestFirst => created_at,
            ConversationOrder::LongestWaitingFirst => {
                self.handoff.as_ref().map_or(created_at, |handoff| handoff.held_since)
            }
        };
        ConversationCursor { at, conversation_id: self.conversation.conversation_id.clone() }
    }
}

impl Conversations {
    /// Lists conversations after the cursor. A page ends before a conversation that cannot be opened.
    ///
    /// # Errors
    /// [`ListConversationsError`].
    pub async fn list(
        &self,
        filter: &ConversationFilter,
        order: ConversationOrder,
        after: Option<&ConversationCursor>,
        page_size: u16,
    ) -> Result<ConversationPage, ListConversationsError> {
        let exceeds_index = filter.exceeds_index(order);
        let looked_at = if exceeds_index { LOOKED_AT_MAX } else { page_size };
        let limit = i64::from(looked_at) + 1;
        let mut rows = match order {
            ConversationOrder::NewestFirst => self.newest(filter, after, limit).await?,
            ConversationOrder::LongestWaitingFirst => self.longest_waiting(filter.one_holder(), after, limit).await?,
        };
        let mut more = rows.len() > looked_at.into();
        rows.truncate(looked_at.into());
        let mut conversations = Vec::with_capacity(rows.len());
        for row in rows {
            let cursor = row.cursor(order);
            match row.conversation.open(&self.users) {
                Ok(conversation) => conversations.push(HeldConversation::new(conversation, row.handoff)),
                Err(source) if conversations.is_empty() => {
                    return Err(ListConversationsError::Unreadable { cursor, source });
                }
                Err(_) => {
                    more = true;
                    break;
                }
            }
        }
        let next = conversations.last().filter(|_| more).map(|last| last.cursor(order));
        let page = ConversationPage { conversations, next };
        if !exceeds_index {
            return Ok(page);
        }
        let figures = if filter.needs_figures() { self.figures(&page.conversations).await? } else { HashMap::new() };
        Ok(filter.select(page, &figures, order, page_size))
    }

    async fn newest(
        &self,
        filter: &ConversationFilter,
        after: Option<&ConversationCursor>,
        limit: i64,
    ) -> Result<Vec<Row>, DatabaseError> {
        let (channels, statuses) = (filter.channels(), filter.statuses());
        let (after_at, after_id) = after.map(|cursor| (cursor.at, cursor.conversation_id.as_str())).unzip();
        macro_rules! page {
            ($file:literal $(, $user_id:expr)?) => {
                self.database
                    .fetch_all(|| {
                        sqlx::query_file!(
                            $file,
                            &channels as &[&str],
                            &statuses as &[&str],
                            after_at,
                            after_id,
                            limit,
                            filter.created_from,
                            filter.created_before
                            $(, $user_id)?
                        )
                    })
                    .await?
                    .into_iter()
                    .map(|row| Row { conversation: row.conversation, handoff: row.handoff })
                    .collect()
            };
        }
        Ok(match filter.user_id.as_ref().map(|user_id| self.users.hashes(user_id)) {
            None => page!("src/conversations/list.sql"),
            Some(hashes) => page!("src/conversations/list_by_user.sql", &hashes),
        })
    }

    /// Escalated conversations, of one holder or of all: a person, or `""` for the queue.
    async fn longest_waiting(
        &self,
        holder: Option<&str>,
        after: Option<&ConversationCursor>,
        limit: i64,
    ) -> Result<Vec<Row>, DatabaseError> {
        let (after_at, after_id) = after.map(|cursor| (cursor.at, cursor.conversation_id.as_str())).unzip();
        macro_rules! page {
            ($file:literal $(, $holder:expr)?) => {
                self.database
                    .fetch_all(|| sqlx::query_file!($file, after_at, after_id, limit $(, $holder)?))
                    .await?
                    .into_iter()
                    .map(|row| Row { conversation: row.conversation, handoff: Some(row.handoff) })
                    .collect()
            };
        }
        Ok(match holder {
            None => page!("src/conversations/queue.sql"),
            Some(holder) => page!("src/conversations/queue_by_assignee.sql", holder),
        })
    }

    async fn figures(&self, of: &[HeldConversation]) -> Result<HashMap<String, Figures>, DatabaseError> {
        let ids: Vec<_> = of.iter().map(|held| held.conversation.conversation_id.to_string()).collect();
        let read = || sqlx::query_file!("src/conversations/figures.sql", &ids);
        let rows = self.database.fetch_all(read).await?;
        let figures = |through_sequence, recent_mean| Figures { through_sequence, recent_mean };
        Ok(rows.into_iter().map(|row| (row.conversation_id, figures(row.through_sequence, row.recent_mean))).collect())
    }
}
