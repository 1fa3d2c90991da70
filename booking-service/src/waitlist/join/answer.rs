//! The row that `join.sql` returns.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::read_error::Corrupted::{self, Column};
use uuid::Uuid;

use crate::{
    customers::draft::KnownCustomer,
    domain::{JoinRefusal, PhoneRegion, Refusal, SlotRefusal, WaitlistEntryId},
    waitlist::row::{WaitlistEntryRow, read_status},
};

/// The outcome of `join.sql`; its comment describes each value.
pub enum Outcome {
    Joined(WaitlistEntryRow),
    Replayed {
        fingerprint: Vec<u8>,
        row: WaitlistEntryRow,
    },
    /// The customer has this place already, which overlaps the window of the call.
    Existing(WaitlistEntryRow),
    /// The entry would be made, at this place of the queue of this slot.
    Valid {
        start_time: NaiveTime,
        starts_at: DateTime<Utc>,
        time_zone: String,
        position: i32,
    },
    /// The national telephone number must be read with this region.
    OtherPhoneRegion(PhoneRegion),
    /// The customer must be drafted again, with what is known.
    OtherContact(Option<KnownCustomer>),
    Refused(JoinRefusal),
    Contended,
}

/// The one row of the statement: the outcome, and the columns that this outcome has.
pub struct Answer {
    pub outcome: String,
    pub refusal: Option<String>,
    pub figure: Option<i32>,
    pub phone_region: Option<String>,
    pub known_customer_id: Option<Uuid>,
    pub known_version: Option<i64>,
    pub known_contact_sealed: Option<Vec<u8>>,
    pub waiting_entry_id: Option<Uuid>,
    pub waiting_status: Option<String>,
    pub fingerprint: Option<Vec<u8>>,
    pub waitlist_entry_id: Option<Uuid>,
    pub status: Option<String>,
    pub venue_id: Option<Uuid>,
    pub slot_date: Option<NaiveDate>,
    pub start_time: Option<NaiveTime>,
    pub starts_at: Option<DateTime<Utc>>,
    pub time_zone: Option<String>,
    pub party_size: Option<i32>,
    pub position: Option<i32>,
    pub customer_id: Option<Uuid>,
    pub conversation_id: Option<String>,
    pub booking_id: Option<Uuid>,
    pub offer_expires_at: Option<DateTime<Utc>>,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    pub from_time: Option<NaiveTime>,
    pub until_time: Option<NaiveTime>,
    pub areas: Option<Vec<String>>,
    pub offered_total_cents: Option<i64>,
    pub offered_currency: Option<String>,
    pub offered_area: Option<String>,
}

impl Answer {
    pub fn outcome(mut self) -> Result<Outcome, Corrupted> {
        let fingerprint = self.fingerprint.take();
        match self.outcome.as_str() {
            "joined" => Ok(Outcome::Joined(self.entry().ok_or(Column("join_waitlist.waitlist_entry_id"))?)),
            "replayed" => Ok(Outcome::Replayed {
                fingerprint: fingerprint.ok_or(Column("join_waitlist.fingerprint"))?,
                row: self.entry().ok_or(Column("join_waitlist.waitlist_entry_id"))?,
            }),
            "existing" => Ok(Outcome::Existing(self.entry().ok_or(Column("join_waitlist.waitlist_entry_id"))?)),
            "valid" => Ok(Outcome::Valid {
                start_time: self.start_time.ok_or(Column("join_waitlist.start_time"))?,
                starts_at: self.starts_at.ok_or(Column("join_waitlist.starts_at"))?,
                time_zone: self.time_zone.ok_or(Column("join_waitlist.time_zone"))?,
                position: self.position.unwrap_or_default(),
            }),
            "refused" if self.refusal.as_deref() == Some("PHONE_REGION") => {
                let region = PhoneRegion::parse(self.phone_region.as_deref().unwrap_or_default());
                Ok(Outcome::OtherPhoneRegion(region.map_err(|_| Column("venues.phone_region"))?))
            }
            "refused" if self.refusal.as_deref() == Some("CONTACT") => Ok(Outcome::OtherContact(KnownCustomer::read(
                self.known_customer_id,
                self.known_version,
                self.known_contact_sealed,
            ))),
            "refused" => Ok(Outcome::Refused(self.refusal()?)),
            "contended" => Ok(Outcome::Contended),
            _ => Err(Column("join_waitlist.outcome")),
        }
    }

    fn refusal(&self) -> Result<JoinRefusal, Corrupted> {
        let figure = || self.figure.ok_or(Column("join_waitlist.figure"));
        match self.refusal.as_deref().unwrap_or_default() {
            "VENUE_NOT_FOUND" => Ok(JoinRefusal::Slot(Refusal::VenueNotFound)),
            "AREA_NOT_FOUND" => Ok(JoinRefusal::Slot(Refusal::AreaNotFound)),
            "SLOT_AVAILABLE" => Ok(JoinRefusal::SlotAvailable { open_seats: figure()? }),
            "PARTY_EXCEEDS_CAPACITY" => Ok(JoinRefusal::PartyExceedsCapacity { capacity: figure()? }),
            "ALREADY_WAITING" => Ok(JoinRefusal::AlreadyWaiting {
                waitlist_entry_id: self
                    .waiting_entry_id
                    .map(WaitlistEntryId)
                    .ok_or(Column("join_waitlist.waiting_entry_id"))?,
                status: read_status(self.waiting_status.as_deref().unwrap_or_default())?,
            }),
            slot => {
                let refusal = SlotRefusal::from_column(slot).ok_or(Column("join_waitlist.refusal"))?;
                refusal.with_figure(figure).map(JoinRefusal::Slot)
            }
        }
    }

    fn entry(self) -> Option<WaitlistEntryRow> {
        Some(WaitlistEntryRow {
            waitlist_entry_id: self.waitlist_entry_id?,
            status: self.status?,
            venue_id: self.venue_id?,
            slot_date: self.slot_date?,
            start_time: self.start_time?,
            starts_at: self.starts_at?,
            time_zone: self.time_zone?,
            party_size: self.party_size?,
            position: self.position?,
            customer_id: self.customer_id?,
            conversation_id: self.conversation_id?,
            booking_id: self.booking_id,
            offer_expires_at: self.offer_expires_at,
            created_at: self.created_at?,
            updated_at: self.updated_at?,
            from_time: self.from_time,
            until_time: self.until_time,
            areas: self.areas,
            offered_total_cents: self.offered_total_cents,
            offered_currency: self.offered_currency,
            offered_area: self.offered_area,
        })
    }
}
