//! CreateBooking for many calls in one statement.

use sqlx::{FromRow, Row as _, postgres::PgRow};
use teppan_shared::{
    gather::Gathered,
    postgres::{Database, DatabaseError},
};

use super::draft::Draft;
use crate::{
    bookings::booking::{Booking, to_hex},
    domain::Refusal,
};

/// The statement; new connections prepare it when they open.
pub const STATEMENT_FOR_MANY: &str = include_str!("../create_many.sql");

/// The calls of CreateBooking.
pub struct Creations {
    pub database: Database,
}

/// How a statement for many calls settled one of them.
pub enum Settled {
    Created(Box<Booking>),
    Refused(Refusal),
}

impl Gathered for Creations {
    const NAME: &'static str = "CreateBooking";
    type Call = Draft;
    type Answer = Settled;

    /// The key, and the hashes of the contact: two calls that make the same customer would fail together.
    fn fences(&self, draft: &Draft) -> Vec<Vec<u8>> {
        let customer = &draft.customer;
        let hashes =
            [&customer.email_hashes, &customer.phone_hashes].into_iter().filter_map(|all| all.first().cloned());
        hashes.chain([draft.key.clone().into_bytes()]).collect()
    }

    async fn run(&self, drafts: &[Draft]) -> Result<Vec<Option<Settled>>, DatabaseError> {
        let rows = self.database.fetch_all(|| bind(drafts).try_map(|row: PgRow| Answer::from_row(&row))).await?;
        let mut answers: Vec<_> = drafts.iter().map(|_| None).collect();
        for row in rows {
            // Rows are counted from 1.
            let place = usize::try_from(row.n).ok().and_then(|n| answers.get_mut(n.checked_sub(1)?));
            if let Some(place) = place {
                *place = row.settled();
            }
        }
        Ok(answers)
    }
}

/// Each parameter is the column of all drafts.
fn bind(drafts: &[Draft]) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
    fn column<'a, T>(drafts: &'a [Draft], value: impl Fn(&'a Draft) -> T) -> Vec<T> {
        drafts.iter().map(value).collect()
    }
    sqlx::query(STATEMENT_FOR_MANY)
        .bind(column(drafts, |draft| draft.key.as_str()))
        .bind(column(drafts, |draft| draft.fingerprint.newest().as_slice()))
        .bind(column(drafts, |draft| draft.slot.venue_id.0))
        .bind(column(drafts, |draft| draft.slot.date))
        .bind(column(drafts, |draft| draft.slot.start_time))
        .bind(column(drafts, |draft| draft.party_size))
        .bind(column(drafts, |draft| draft.expected_total_cents))
        .bind(column(drafts, |draft| draft.customer.customer_id.0))
        .bind(column(drafts, |draft| array(draft.customer.email_hashes.iter().map(|hash| to_hex(hash)))))
        .bind(column(drafts, |draft| array(draft.customer.phone_hashes.iter().map(|hash| to_hex(hash)))))
        .bind(column(drafts, |draft| draft.customer.contact_sealed.as_slice()))
        .bind(column(drafts, |draft| draft.booking_id.0))
        .bind(column(drafts, |draft| draft.confirmation_code.as_str()))
        .bind(column(drafts, |draft| draft.conversation_id.as_str()))
        .bind(column(drafts, |draft| draft.event_id.0))
        .bind(column(drafts, |draft| draft.traceparent.as_deref()))
        .bind(column(drafts, |draft| draft.details_sealed.as_slice()))
        .bind(column(drafts, |draft| draft.source.as_str()))
        .bind(column(drafts, |draft| array(draft.destinations.iter().cloned())))
        .bind(column(drafts, |draft| draft.now))
        .bind(column(drafts, |draft| draft.customer.phone_region.as_deref()))
}

/// An array as the text that PostgreSQL reads. An array of arrays of different lengths cannot be a parameter.
fn array(elements: impl Iterator<Item = String>) -> String {
    let elements: Vec<_> = elements.map(|element| format!("\"{}\"", element.replace('\\', "\\\\"))).collect();
    format!("{{{}}}", elements.join(","))
}

/// A row of the statement.
struct Answer {
    n: i64,
    verdict: String,
    refusal: Option<String>,
    figure: Option<i64>,
    booking: Option<Booking>,
}

impl FromRow<'_, PgRow> for Answer {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let verdict: String = row.try_get("verdict")?;
        Ok(Self {
            n: row.try_get("n")?,
            refusal: row.try_get("refusal")?,
            figure: row.try_get("figure")?,
            booking: (verdict == "created").then(|| Booking::from_row(row)).transpose()?,
            verdict,
        })
    }
}

impl Answer {
    fn settled(self) -> Option<Settled> {
        match self.verdict.as_str() {
            "created" => self.booking.map(Box::new).map(Settled::Created),
            "refused" => Refusal::from_column(&self.refusal?, self.figure).map(Settled::Refused),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_written_as_postgresql_reads_it() {
        assert_eq!(array([].into_iter()), "{}");
        assert_eq!(array(["\\xab".to_owned(), "\\xcd".to_owned()].into_iter()), r#"{"\\xab","\\xcd"}"#);
        assert_eq!(array(["event-stream".to_owned()].into_iter()), r#"{"event-stream"}"#);
    }
}
