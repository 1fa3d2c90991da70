use chrono::{DateTime, Utc};
use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use crate::{
    domain::{SlotChange, SlotKey},
    slots::Slots,
};

/// Each attempt after the first follows a concurrent commit on the slot. The slot queue limits concurrent calls of this
/// process, so there are few attempts.
const ATTEMPTS_MAX: usize = 20;

/// A slot with the fields that the venue manages.
pub struct Slot {
    pub key: SlotKey,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i32,
    pub reserved: i32,
    pub closed: bool,
    pub price_per_person_cents: i64,
}

/// Why a slot was not changed. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum UpdateSlotError {
    #[error("there is no such venue")]
    VenueNotFound,
    #[error("the venue has no such slot")]
    SlotNotFound,
    #[error("{reserved} seats are reserved, more than the {capacity} the slot would have")]
    CapacityBelowReserved { capacity: i32, reserved: i32 },
    #[error("the slot changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Slots {
    /// Closes or reopens a slot, or sets its seats or price. No booking is changed.
    ///
    /// Each value that is set here is pinned: SetWeeklySchedule and the slot layout no longer change it, and still
    /// update the other values. A slot that was opened here stays open when it is no longer scheduled; a slot that was
    /// closed here stays closed when it is scheduled. Only UpdateSlot changes a pinned value.
    ///
    /// # Errors
    /// [`UpdateSlotError`].
    pub async fn update_slot(&self, key: SlotKey, change: SlotChange) -> Result<Slot, UpdateSlotError> {
        let _permit = self.slot_queues.permit(key).await?;
        for _ in 0..ATTEMPTS_MAX {
            if let Some(slot) = self.change_slot(key, change).await? {
                self.freed_seats.wake_if_entries_wait();
                return Ok(slot);
            }
        }
        Err(UpdateSlotError::Contended)
    }

    /// `None` if the slot changed meanwhile.
    async fn change_slot(&self, key: SlotKey, change: SlotChange) -> Result<Option<Slot>, UpdateSlotError> {
        let row = self
            .database
            .fetch_one(|| {
                sqlx::query_file_as!(
                    SlotRow,
                    "src/slots/update.sql",
                    key.venue_id.0,
                    key.date,
                    key.start_time,
                    change.capacity,
                    change.price_per_person_cents,
                    change.closed,
                )
            })
            .await?;
        match row.outcome.as_str() {
            "updated" | "unchanged" => row.slot(key).map(Some),
            "contended" => Ok(None),
            "below_reserved" => Err(UpdateSlotError::CapacityBelowReserved {
                capacity: change.capacity.unwrap_or_default(),
                reserved: row.reserved.unwrap_or_default(),
            }),
            "slot_not_found" => Err(UpdateSlotError::SlotNotFound),
            "venue_not_found" => Err(UpdateSlotError::VenueNotFound),
            _ => Err(Corrupted::Column("update_slot.outcome").into()),
        }
    }
}

/// The row of `update.sql`.
struct SlotRow {
    outcome: String,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    capacity: Option<i32>,
    reserved: Option<i32>,
    price_per_person_cents: Option<i64>,
    closed: Option<bool>,
}

impl SlotRow {
    fn slot(self, key: SlotKey) -> Result<Slot, UpdateSlotError> {
        let slot = || {
            Some(Slot {
                key,
                starts_at: self.starts_at?,
                ends_at: self.ends_at?,
                capacity: self.capacity?,
                reserved: self.reserved?,
                closed: self.closed?,
                price_per_person_cents: self.price_per_person_cents?,
            })
        };
        slot().ok_or_else(|| Corrupted::Column("update_slot.capacity").into())
    }
}
