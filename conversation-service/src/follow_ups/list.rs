use chrono::{DateTime, Utc};
use strum::VariantArray as _;
use teppan_shared::{page, postgres::DatabaseError, read_error::Corrupted};
use uuid::Uuid;

use super::{FollowUp, FollowUpId, FollowUpRow, FollowUpStatus, FollowUpTrigger, FollowUps, Subject};
use crate::domain::ConversationId;

/// The most bytes of text and metadata of a page. With the other fields of a thousand follow-ups, an answer stays below
/// the 4 MiB that gRPC clients accept by default.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// The filters of a list. `None` matches any value.
#[derive(Debug, Clone)]
pub struct FollowUpFilter {
    pub conversation_id: Option<ConversationId>,
    pub trigger: Option<FollowUpTrigger>,
    pub subject: Option<Subject>,
    /// A follow-up must have one of these.
    pub statuses: Vec<FollowUpStatus>,
    pub due_from: Option<DateTime<Utc>>,
    pub due_before: Option<DateTime<Utc>>,
}

/// The direction of a list of follow-ups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FollowUpOrder {
    #[default]
    EarliestFirst,
    LatestFirst,
}

/// The cursor of a list: a page starts after this follow-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowUpCursor {
    pub due_at: DateTime<Utc>,
    pub follow_up_id: FollowUpId,
}

/// Follow-ups, and the cursor of the next page if there is one.
pub struct FollowUpPage {
    pub follow_ups: Vec<FollowUp>,
    pub next: Option<FollowUpCursor>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListFollowUpsError {
    /// The first follow-up of the page is corrupted. The list continues after this cursor.
    #[error("a follow-up is corrupted")]
    Unreadable { cursor: FollowUpCursor, source: Corrupted },
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl FollowUps {
    /// Lists follow-ups by due time and id, after the cursor. A page ends before a follow-up that cannot be opened.
    ///
    /// # Errors
    /// [`ListFollowUpsError`].
    pub async fn list(
        &self,
        filter: &FollowUpFilter,
        order: FollowUpOrder,
        after: Option<FollowUpCursor>,
        page_size: u16,
    ) -> Result<FollowUpPage, ListFollowUpsError> {
        let mut rows = self.follow_up_rows(filter, order, after, page_size).await?;
        let fitting = page::fitting(rows.iter().map(sealed_bytes), PAGE_BYTES_MAX, page_size);
        let mut more = rows.len() > fitting;
        rows.truncate(fitting);
        let mut follow_ups = Vec::with_capacity(rows.len());
        for row in rows {
            let cursor = FollowUpCursor { due_at: row.due_at, follow_up_id: row.follow_up_id };
            match row.open(&self.ring) {
                Ok(follow_up) => follow_ups.push(follow_up),
                Err(source) if follow_ups.is_empty() => return Err(ListFollowUpsError::Unreadable { cursor, source }),
                Err(_) => {
                    more = true;
                    break;
                }
            }
        }
        let next = follow_ups
            .last()
            .filter(|_| more)
            .map(|last| FollowUpCursor { due_at: last.row.due_at, follow_up_id: last.row.follow_up_id });
        Ok(FollowUpPage { follow_ups, next })
    }

    /// The page, and the row after it if there is one.
    async fn follow_up_rows(
        &self,
        filter: &FollowUpFilter,
        order: FollowUpOrder,
        after: Option<FollowUpCursor>,
        page_size: u16,
    ) -> Result<Vec<FollowUpRow>, DatabaseError> {
        let triggers = filter.trigger.as_ref().map_or(FollowUpTrigger::VARIANTS, std::slice::from_ref);
        let triggers: Vec<&str> = triggers.iter().map(AsRef::as_ref).collect();
        let statuses: Vec<&str> = filter.statuses.iter().map(AsRef::as_ref).collect();
        let conversation_id = filter.conversation_id.as_ref().map(ConversationId::as_str);
        let subject = filter.subject.as_ref().map(Subject::as_str);
        let after_due_at = after.map(|cursor| cursor.due_at);
        let after_id = after.map_or(Uuid::nil(), |cursor| cursor.follow_up_id.0);
        let limit = i64::from(page_size) + 1;
        let bytes_max = i64::try_from(PAGE_BYTES_MAX).unwrap_or(i64::MAX);
        macro_rules! page {
            ($file:literal) => {
                self.database
                    .fetch_all(|| {
                        sqlx::query_file!(
                            $file,
                            &triggers as &[&str],
                            &statuses as &[&str],
                            conversation_id,
                            subject,
                            filter.due_from,
                            filter.due_before,
                            after_due_at,
                            after_id,
                            limit,
                            bytes_max,
                        )
                    })
                    .await?
                    .into_iter()
                    .map(|row| row.follow_up)
                    .collect()
            };
        }
        Ok(match order {
            FollowUpOrder::EarliestFirst => page!("src/follow_ups/list_earliest_first.sql"),
            FollowUpOrder::LatestFirst => page!("src/follow_ups/list_latest_first.sql"),
        })
    }
}

/// The bytes of a row's text and metadata; the other columns are small.
fn sealed_bytes(row: &FollowUpRow) -> usize {
    let of = |column: &Option<Vec<u8>>| column.as_ref().map_or(0, Vec::len);
    of(&row.content_sealed) + of(&row.metadata_sealed)
}
