//! StoreMessage for many calls in one statement.

use chrono::TimeDelta;
use sqlx::{Postgres, Row as _, postgres::PgArguments, postgres::PgRow, query::Query};
use teppan_shared::{
    gather::Gathered,
    postgres::{Database, DatabaseError},
};

use super::{
    NewMessage, TokenCount,
    draft::{Draft, Receipt, score},
};
use crate::emotions::Emotion;

/// The statement, to be prepared when a connection opens.
pub const STATEMENT_FOR_MANY: &str = include_str!("store_gathered.sql");

/// The calls of StoreMessage with plain text.
pub struct PlainMessages {
    pub database: Database,
    /// See [`super::Messages`].
    pub reengagement_after: TimeDelta,
}

/// A call of StoreMessage.
pub struct PlainMessage {
    pub new: NewMessage,
    pub draft: Draft,
}

impl PlainMessage {
    fn emotion(&self) -> Option<&Emotion> {
        self.new.emotion.as_ref()
    }
}

impl Gathered for PlainMessages {
    const METHOD: &'static str = "StoreMessage";
    type Call = PlainMessage;
    type Answer = Receipt;

    fn fences(&self, call: &PlainMessage) -> Vec<Vec<u8>> {
        vec![call.new.message_id.0.as_bytes().to_vec()]
    }

    async fn run(&self, calls: &[PlainMessage]) -> Result<Vec<Option<Receipt>>, DatabaseError> {
        let place = |row: PgRow| Ok((row.try_get::<i64, _>("n")?, row.try_get::<i64, _>("sequence")?));
        let rows = self.database.fetch_all(|| bind(calls, self.reengagement_after).try_map(place)).await?;
        let mut receipts: Vec<_> = calls.iter().map(|_| None).collect();
        for (n, sequence) in rows {
            // Rows are counted from 1.
            let index = usize::try_from(n).unwrap_or_default().wrapping_sub(1);
            if let (Some(receipt), Some(call)) = (receipts.get_mut(index), calls.get(index)) {
                let PlainMessage { draft: Draft { sent_at, stored_at, .. }, .. } = call;
                *receipt = Some(Receipt { sequence, sent_at: *sent_at, stored_at: *stored_at });
            }
        }
        Ok(receipts)
    }
}

/// Each parameter is the column of all messages.
fn bind(calls: &[PlainMessage], reengagement_after: TimeDelta) -> Query<'_, Postgres, PgArguments> {
    fn column<'a, T>(calls: &'a [PlainMessage], value: impl Fn(&'a PlainMessage) -> T) -> Vec<T> {
        calls.iter().map(value).collect()
    }
    sqlx::query(STATEMENT_FOR_MANY)
        .bind(column(calls, |call| call.new.message_id.0))
        .bind(column(calls, |call| call.new.conversation_id.as_str()))
        .bind(column(calls, |call| call.new.role.as_ref()))
        .bind(column(calls, |call| call.new.channel.as_ref()))
        .bind(column(calls, |call| call.draft.content_sealed.as_slice()))
        .bind(column(calls, |call| call.draft.metadata_sealed.as_deref()))
        .bind(column(calls, |call| call.draft.emotions_sealed.as_deref()))
        .bind(column(calls, |call| score(call.emotion())))
        .bind(column(calls, |call| call.emotion().is_some_and(Emotion::is_counted)))
        .bind(column(calls, |call| call.draft.sent_at))
        .bind(column(calls, |call| call.draft.stored_at))
        .bind(column(calls, |call| call.new.input_tokens.map(TokenCount::get)))
        .bind(column(calls, |call| call.new.output_tokens.map(TokenCount::get)))
        .bind(column(calls, |call| call.draft.fingerprint().as_slice()))
        .bind(column(calls, |call| call.draft.traceparent.as_deref()))
        .bind(column(calls, |call| call.draft.user.as_ref().map(|user| user.hash.as_slice())))
        .bind(column(calls, |call| call.draft.user.as_ref().map(|user| user.sealed.as_slice())))
        .bind(column(calls, |call| call.draft.stored_at + reengagement_after))
}
