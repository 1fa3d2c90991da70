//! Loads the data for calls that only validate or price a new booking or waitlist entry: nothing is written, no seats are
//! held.

use serde_json::Value;
use teppan_shared::read_error::{Corrupted, ReadError};
use uuid::Uuid;

use crate::{
    bookings::Bookings,
    customers::draft::DraftCustomer,
    domain::{FloorState, PhoneRegion, SlotKey, Visit},
    slots::row::SlotRow,
    venues::policy::VenuePolicy,
};

/// The loaded data; the comment of `preview.sql` describes it.
pub struct Preview {
    pub venue: VenuePolicy,
    pub slot: Option<SlotRow>,
    pub floor: Option<FloorState>,
    pub prior: Option<(Vec<u8>, Uuid)>,
    pub waiting: Option<(Uuid, String)>,
    /// Other bookings of the customer, for CreateBooking.
    pub visits: Vec<Visit>,
    pub position: i32,
}

struct Row {
    venue: Value,
    slot: Option<Value>,
    floor: Option<Value>,
    prior_fingerprint: Option<Vec<u8>>,
    prior_resource_id: Option<Uuid>,
    waiting_entry_id: Option<Uuid>,
    waiting_status: Option<String>,
    visits: Option<Value>,
    position: i32,
}

impl Bookings {
    /// `None` if there is no such venue.
    pub(crate) async fn preview(
        &self,
        slot: SlotKey,
        method: &str,
        key: &str,
        customer: Option<&DraftCustomer>,
    ) -> Result<Option<Preview>, ReadError> {
        let preview = || {
            let SlotKey { venue_id, date, start_time } = slot;
            let hashes = customer.map(|it| (it.email_hashes.as_slice(), it.phone_hashes.as_slice()));
            let (emails, phones) = hashes.unwrap_or_default();
            sqlx::query_file_as!(
                Row,
                "src/bookings/preview.sql",
                venue_id.0,
                date,
                start_time,
                method,
                key,
                emails,
                phones
            )
        };
        let Some(row) = self.database.fetch_optional(preview).await? else { return Ok(None) };
        let read = |_| Corrupted::Column("preview");
        Ok(Some(Preview {
            venue: serde_json::from_value(row.venue).map_err(read)?,
            slot: row.slot.map(serde_json::from_value).transpose().map_err(read)?,
            floor: row.floor.map(serde_json::from_value).transpose().map_err(read)?,
            prior: row.prior_fingerprint.zip(row.prior_resource_id),
            waiting: row.waiting_entry_id.zip(row.waiting_status),
            visits: row.visits.map(serde_json::from_value).transpose().map_err(read)?.unwrap_or_default(),
            position: row.position,
        }))
    }
}

impl Preview {
    pub fn phone_region(&self) -> Result<PhoneRegion, Corrupted> {
        PhoneRegion::parse(&self.venue.phone_region).map_err(|_| Corrupted::Column("venues.phone_region"))
    }
}
