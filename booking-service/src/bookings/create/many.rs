//! CreateBooking for many calls in one statement.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Row as _, postgres::PgRow, types::Json};
use teppan_shared::{
    gather::Gathered,
    postgres::{Database, DatabaseError},
};

use super::{answer::read_duplicate, draft::Draft};
use crate::{
    bookings::booking::{Booking, to_hex},
    domain::{BookingStatus, CustomerId, Duplicate, Refusal, Terms},
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
    const METHOD: &'static str = "CreateBooking";
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
            let Some(number) = usize::try_from(row.n).ok().and_then(|n| n.checked_sub(1)) else { continue };
            if let (Some(answer), Some(draft)) = (answers.get_mut(number), drafts.get(number)) {
                *answer = row.settled(draft);
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
        .bind(column(drafts, |draft| draft.area.as_str()))
        .bind(column(drafts, |draft| draft.allows_duplicate))
        .bind(column(drafts, |draft| draft.is_walk_in))
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
    duplicate: Option<Duplicate>,
    made: Option<Made>,
}

/// What the database decided of a booking.
#[derive(FromRow)]
struct Made {
    status: BookingStatus,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    customer_id: CustomerId,
    price_per_person_cents: i64,
    total_cents: i64,
    deposit_cents: i64,
    currency: String,
    hold_expires_at: Option<DateTime<Utc>>,
    confirmed_at: Option<DateTime<Utc>>,
    event_hash: Vec<u8>,
    time_zone: String,
    area: Option<String>,
    occupied_until: Option<DateTime<Utc>>,
    tables: Option<Vec<String>>,
    terms: Option<Json<Terms>>,
}

impl FromRow<'_, PgRow> for Answer {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let verdict: String = row.try_get("verdict")?;
        Ok(Self {
            n: row.try_get("n")?,
            refusal: row.try_get("refusal")?,
            figure: row.try_get("figure")?,
            duplicate: read_duplicate(row)?,
            made: (verdict == "created").then(|| Made::from_row(row)).transpose()?,
            verdict,
        })
    }
}

impl Answer {
    fn settled(self, draft: &Draft) -> Option<Settled> {
        match self.verdict.as_str() {
            "created" => self.made.map(|made| Settled::Created(Box::new(made.booking(draft)))),
            "refused" if self.duplicate.is_some() => {
                self.duplicate.map(|other| Settled::Refused(Refusal::Duplicate(other)))
            }
            "refused" => Refusal::from_column(&self.refusal?, self.figure).map(Settled::Refused),
            _ => None,
        }
    }
}

impl Made {
    /// The row that the statement has inserted.
    fn booking(self, draft: &Draft) -> Booking {
        Booking {
            booking_id: draft.booking_id,
            confirmation_code: draft.confirmation_code.as_str().to_owned(),
            status: self.status,
            venue_id: draft.slot.venue_id,
            slot_date: draft.slot.date,
            start_time: draft.slot.start_time,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            customer_id: self.customer_id,
            party_size: draft.party_size,
            price_per_person_cents: self.price_per_person_cents,
            total_cents: self.total_cents,
            deposit_cents: self.deposit_cents,
            paid_cents: 0,
            refunded_cents: 0,
            refund_due_cents: 0,
            disputed_cents: 0,
            kept_cents: 0,
            currency: self.currency,
            hold_expires_at: self.hold_expires_at,
            unpaid_hold_expires_at: None,
            confirmed_at: self.confirmed_at,
            cancelled_at: None,
            cancelled_by: None,
            conversation_id: draft.conversation_id.clone(),
            details_sealed: Some(draft.details_sealed.clone()),
            erased_at: None,
            source: draft.source.clone(),
            waitlist_entry_id: None,
            area: self.area,
            occupied_until: self.occupied_until,
            tables: self.tables,
            terms: self.terms,
            retained_cents: None,
            refund_base_cents: None,
            refund_percent_max: None,
            guest_confirmed_at: None,
            seated_at: None,
            extras_cents: None,
            no_show_fee_cents: None,
            version: 1,
            event_hash: self.event_hash,
            created_at: draft.now,
            updated_at: draft.now,
            time_zone: self.time_zone,
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
