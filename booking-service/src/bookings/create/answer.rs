//! The row that `create.sql` returns.

use sqlx::{FromRow, Row as _, postgres::PgRow};
use teppan_shared::read_error::Corrupted::{self, Column};

use crate::{
    bookings::booking::Booking,
    customers::draft::KnownCustomer,
    domain::{Duplicate, PhoneRegion, Refusal},
};

/// The outcome of `create.sql`; its comment describes each value.
pub enum Outcome {
    Created(Booking),
    Replayed {
        fingerprint: Vec<u8>,
        booking: Booking,
    },
    /// The national telephone number must be read with this region.
    OtherPhoneRegion(PhoneRegion),
    /// The customer must be drafted again, with what is known.
    OtherContact(Option<KnownCustomer>),
    Refused(Refusal),
    Contended,
}

/// The one row of the statement.
pub struct Answer {
    verdict: String,
    refusal: Option<String>,
    figure: Option<i64>,
    phone_region: Option<String>,
    duplicate: Option<Duplicate>,
    known: Option<KnownCustomer>,
    fingerprint: Option<Vec<u8>>,
    booking: Option<Booking>,
}

impl FromRow<'_, PgRow> for Answer {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let verdict: String = row.try_get("verdict")?;
        let has_booking = matches!(verdict.as_str(), "created" | "replayed");
        Ok(Self {
            refusal: row.try_get("refusal")?,
            figure: row.try_get("figure")?,
            phone_region: row.try_get("offered_phone_region")?,
            duplicate: read_duplicate(row)?,
            known: known_customer(row)?,
            fingerprint: row.try_get("fingerprint")?,
            booking: has_booking.then(|| Booking::from_row(row)).transpose()?,
            verdict,
        })
    }
}

impl Answer {
    pub fn outcome(self) -> Result<Outcome, Corrupted> {
        match (self.verdict.as_str(), self.refusal.as_deref()) {
            ("created", _) => Ok(Outcome::Created(self.booking.ok_or(Column("create.booking_id"))?)),
            ("replayed", _) => Ok(Outcome::Replayed {
                fingerprint: self.fingerprint.ok_or(Column("create.fingerprint"))?,
                booking: self.booking.ok_or(Column("create.booking_id"))?,
            }),
            ("refused", Some("PHONE_REGION")) => {
                let region = PhoneRegion::parse(self.phone_region.as_deref().unwrap_or_default());
                Ok(Outcome::OtherPhoneRegion(region.map_err(|_| Column("venues.phone_region"))?))
            }
            ("refused", Some("DUPLICATE_BOOKING")) => {
                let other = self.duplicate.ok_or(Column("create.duplicate_id"))?;
                Ok(Outcome::Refused(Refusal::Duplicate(other)))
            }
            ("refused", Some("CONTACT")) => Ok(Outcome::OtherContact(self.known)),
            ("refused", Some(refusal)) => {
                Refusal::from_column(refusal, self.figure).map(Outcome::Refused).ok_or(Column("create.refusal"))
            }
            ("contended", _) => Ok(Outcome::Contended),
            _ => Err(Column("create.verdict")),
        }
    }
}

/// The customer's other booking, if there is one.
pub fn read_duplicate(row: &PgRow) -> Result<Option<Duplicate>, sqlx::Error> {
    let (booking_id, starts_at) = (row.try_get("duplicate_id")?, row.try_get("duplicate_starts_at")?);
    Ok(Option::zip(booking_id, starts_at).map(|(booking_id, starts_at)| Duplicate { booking_id, starts_at }))
}

/// The known customer, if the customer must be drafted again.
fn known_customer(row: &PgRow) -> Result<Option<KnownCustomer>, sqlx::Error> {
    let (version, contact_sealed) = (row.try_get("known_version")?, row.try_get("known_contact_sealed")?);
    let known = KnownCustomer::read(row.try_get("known_customer_id")?, version, contact_sealed);
    Ok(known)
}
