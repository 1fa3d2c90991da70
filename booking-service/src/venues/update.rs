use chrono::{DateTime, NaiveDate, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    time_zone::Rules,
};
use uuid::Uuid;

use crate::{
    domain::{Currency, ReminderMinutes, TimeZone, VenueChange, VenueId, VenueName, VenuePlace, VenueTags},
    slots::lay_out::LayoutRow,
    venues::Venues,
    venues::get::Venue,
};

/// Each attempt after the first follows a concurrent change of the venue.
const ATTEMPTS_MAX: usize = 20;

/// Why a venue was not changed. Nothing was written, except for `Layout`; after a [`DatabaseError`] the outcome may be
/// unknown.
#[derive(Debug, thiserror::Error)]
pub enum UpdateVenueError {
    #[error("there is no such venue")]
    NotFound,
    #[error("the venue is at another version")]
    Stale,
    #[error("the venue has slots, so that neither its time zone nor its currency can change")]
    HasSlots,
    #[error("the maximum party size would be smaller than the minimum")]
    PartyRange,
    #[error("the venue changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[source] DatabaseError),
    /// The venue was changed. Its slots are laid out when the call is repeated, or by the worker.
    #[error("the venue was changed, but its new days were not laid out")]
    Layout(#[source] ReadError),
}

impl Venues {
    /// Changes a venue, in one round trip unless its horizon moves. Then a second round trip lays out the days that are
    /// now within the horizon; if they have many slots, it lays out the first days and the worker the others. Days that
    /// are now beyond the horizon keep their slots, which cannot be booked.
    ///
    /// A venue that already is as requested is not changed, also with a stale etag.
    ///
    /// # Errors
    /// [`UpdateVenueError`].
    pub async fn update_venue(
        &self,
        venue_id: VenueId,
        change: &VenueChange,
        version: Option<i64>,
    ) -> Result<Venue, UpdateVenueError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some((venue, layout)) = self.change_venue(venue_id, change, version).await? {
                self.freed_seats.wake_if_entries_wait();
                if let Some(layout) = layout {
                    self.slots.lay_out_missing_slots(&layout).await.map_err(UpdateVenueError::Layout)?;
                }
                return Ok(venue);
            }
        }
        Err(UpdateVenueError::Contended)
    }

    /// The venue, and the data for its layout if days may have no slots yet; `None` if the venue changed meanwhile.
    async fn change_venue(
        &self,
        venue_id: VenueId,
        change: &VenueChange,
        version: Option<i64>,
    ) -> Result<Option<(Venue, Option<LayoutRow>)>, UpdateVenueError> {
        let now = self.clock.now();
        let phone_region = change.phone_region.map(|region| region.to_string());
        let clock = change.time_zone.map(|zone| zone.clock_from(now));
        let row = self
            .database
            .fetch_optional(|| {
                sqlx::query_file_as!(
                    VenueRow,
                    "src/venues/update.sql",
                    venue_id.0,
                    version,
                    change.name.as_ref().map(VenueName::as_str),
                    change.time_zone.map(TimeZone::name),
                    change.currency.map(Currency::code),
                    change.min_party_size,
                    change.max_party_size,
                    change.notice_minutes,
                    change.horizon_days,
                    change.hold_minutes,
                    change.deposit_percent,
                    change.full_refund_hours,
                    change.late_refund_percent,
                    change.waitlist_hold_minutes,
                    now,
                    phone_region.as_deref(),
                    clock.map(|clock| clock.offset_seconds),
                    clock.and_then(|clock| clock.changes_at),
                    clock.map(|clock| clock.next_offset_seconds),
                    Rules::in_force().version().as_str(),
                    change.tags.as_ref().map(VenueTags::as_slice),
                    change.place.as_ref().map(VenuePlace::as_str),
                    change.undo_minutes,
                    change.reminders.as_ref().map(ReminderMinutes::as_slice),
                    change.deposit_per_person_cents,
                    change.deposit_fixed_cents,
                    change.deposit_min_party_size,
                    change.minimum_spend_cents,
                    change.no_show_fee_per_person_cents,
                )
            })
            .await
            .map_err(refused)?
            .ok_or(UpdateVenueError::NotFound)?;
        match row.outcome.as_str() {
            "updated" | "unchanged" => Ok(Some(row.venue())),
            "contended" => Ok(None),
            "stale" => Err(UpdateVenueError::Stale),
            "has_slots" => Err(UpdateVenueError::HasSlots),
            _ => Err(Corrupted::Column("update_venue.outcome").into()),
        }
    }
}

/// Maps the party range constraint: only the database can check it, because it also depends on fields that stay.
fn refused(error: DatabaseError) -> UpdateVenueError {
    if error.violates("venue_party_range") { UpdateVenueError::PartyRange } else { UpdateVenueError::Database(error) }
}

/// The row of `update.sql`.
struct VenueRow {
    outcome: String,
    layout_due: bool,
    venue_id: Uuid,
    name: String,
    time_zone: String,
    currency: String,
    min_party_size: i32,
    max_party_size: i32,
    notice_minutes: i32,
    horizon_days: i32,
    hold_minutes: i32,
    deposit_percent: i32,
    full_refund_hours: i32,
    late_refund_percent: i32,
    waitlist_hold_minutes: i32,
    undo_minutes: i32,
    phone_region: String,
    tags: Vec<String>,
    place: String,
    reminder_minutes: Vec<i32>,
    deposit_per_person_cents: i64,
    deposit_fixed_cents: i64,
    deposit_min_party_size: i32,
    minimum_spend_cents: i64,
    no_show_fee_per_person_cents: i64,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    laid_out_until: Option<NaiveDate>,
    periods: Option<serde_json::Value>,
    exceptions: Option<serde_json::Value>,
    special_days: Option<serde_json::Value>,
    schedule_version: Option<i64>,
}

impl VenueRow {
    fn venue(self) -> (Venue, Option<LayoutRow>) {
        let schedule = (self.periods, self.exceptions, self.special_days, self.schedule_version);
        let layout = match schedule {
            (Some(periods), Some(exceptions), Some(special_days), Some(schedule_version)) if self.layout_due => {
                Some(LayoutRow {
                    venue_id: self.venue_id,
                    venue_version: self.version,
                    time_zone: self.time_zone.clone(),
                    horizon_days: self.horizon_days,
                    laid_out_until: self.laid_out_until,
                    periods,
                    exceptions,
                    special_days,
                    schedule_version,
                    due_since: self.updated_at,
                })
            }
            _ => None,
        };
        let venue = Venue {
            venue_id: self.venue_id,
            name: self.name,
            time_zone: self.time_zone,
            currency: self.currency,
            min_party_size: self.min_party_size,
            max_party_size: self.max_party_size,
            notice_minutes: self.notice_minutes,
            horizon_days: self.horizon_days,
            hold_minutes: self.hold_minutes,
            deposit_percent: self.deposit_percent,
            full_refund_hours: self.full_refund_hours,
            late_refund_percent: self.late_refund_percent,
            waitlist_hold_minutes: self.waitlist_hold_minutes,
            undo_minutes: self.undo_minutes,
            phone_region: self.phone_region,
            tags: self.tags,
            place: self.place,
            reminder_minutes: self.reminder_minutes,
            deposit_per_person_cents: self.deposit_per_person_cents,
            deposit_fixed_cents: self.deposit_fixed_cents,
            deposit_min_party_size: self.deposit_min_party_size,
            minimum_spend_cents: self.minimum_spend_cents,
            no_show_fee_per_person_cents: self.no_show_fee_per_person_cents,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        (venue, layout)
    }
}
