mod answer;

use chrono::{DateTime, Utc};
use teppan_shared::{
    fingerprint::optional,
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    sealing::Hashes,
    telemetry,
};

use uuid::Uuid;

use self::answer::{Answer, Outcome};
use crate::{
    bookings::{change::is_deadlock, details::BookingDetails, metrics::WaitlistChange, preview::Preview},
    customers::draft::{DraftCustomer, LOST_TO_ANOTHER_CONTACT},
    domain::{
        BookingId, ConversationId, CustomerId, Email, GivenPhone, JoinRefusal, NewWaitlistEntry, PhoneFault, Refusal,
        SlotKey, Source, SpecialRequests, StartWindow, WaitlistEntryId, WaitlistEntryStatus,
    },
    slots::row::{seat, slot_refusal},
    waitlist::Waitlist,
    waitlist::row::{WaitlistEntry, read_status},
};

/// The most runs of the statement for one call. Each run after the first follows a concurrent commit on the same slot,
/// customer or key.
const ATTEMPTS_MAX: usize = 8;

/// Constraints on which a run can lose: the key, to a concurrent duplicate; the customer's entry, to another call for
/// the same customer; the ids, to an earlier run of the same call.
const LOST_ON: [&str; 4] =
    ["idempotency_keys_pkey", "waitlist_entries_wait_once", "waitlist_entries_pkey", "waitlist_entries_booking_key"];

/// An entry, and whether an earlier call with the same key created it.
pub struct Joined {
    pub entry: WaitlistEntry,
    pub replayed: bool,
    /// The call had a window, and the customer has this live entry, which overlaps it. Nothing was written.
    pub already_waiting: bool,
}

/// Why there is no entry. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum JoinWaitlistError {
    #[error("the key was used for another request")]
    KeyReused,
    #[error("the telephone number cannot be read with the venue's region")]
    Phone(PhoneFault),
    #[error("the customer cannot wait: {0:?}")]
    Refused(JoinRefusal),
    #[error("the slot changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl From<ReadError> for JoinWaitlistError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::Corrupted(Corrupted::Column("idempotency_keys.resource_id")),
            ReadError::Corrupted(error) => Self::Corrupted(error),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}

impl Waitlist {
    /// Adds a customer to the queue for a slot that has not enough open seats, in one round trip; in two if the
    /// telephone number must be read again, as for CreateBooking.
    ///
    /// A second call with the same key and request returns the entry of the first call in its current state, also while
    /// the first call is still running.
    ///
    /// # Errors
    /// [`JoinWaitlistError`].
    pub async fn join_waitlist(&self, new: &NewWaitlistEntry) -> Result<Joined, JoinWaitlistError> {
        // The statement for a window can also decide without writing.
        if new.validate_only && new.window.is_none() {
            return self.would_join(new).await;
        }
        let _permit = self.slot_queues.permit(new.slot).await?;
        let mut draft = self.draft_entry(new);
        for _ in 0..ATTEMPTS_MAX {
            let answer = match self.insert_entry(new, &draft).await {
                Ok(answer) => answer,
                // The next run sees the rows of the faster call.
                Err(error) if LOST_ON.iter().any(|constraint| error.violates(constraint)) => continue,
                Err(error) if is_deadlock(&error) => continue,
                Err(error) if LOST_TO_ANOTHER_CONTACT.iter().any(|constraint| error.violates(constraint)) => {
                    draft.customer = self.customers.draft(Some(&new.contact), new.slot.venue_id);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match answer.outcome()? {
                Outcome::Joined(row) => {
                    self.freed_seats.set_entries_wait(true);
                    self.metrics.waitlist(WaitlistChange::Joined, 1);
                    return Ok(Joined { entry: row.read()?, replayed: false, already_waiting: false });
                }
                Outcome::Existing(row) => {
                    return Ok(Joined { entry: row.read()?, replayed: false, already_waiting: true });
                }
                Outcome::Valid { start_time, starts_at, time_zone, position } => {
                    let slot = SlotKey { start_time, ..new.slot };
                    let entry = unsaved(new, slot, starts_at, time_zone, position, draft.now);
                    return Ok(Joined { entry, replayed: false, already_waiting: false });
                }
                Outcome::Replayed { fingerprint, .. } if !draft.fingerprint.matches(&fingerprint) => {
                    return Err(JoinWaitlistError::KeyReused);
                }
                // With this call's id, an earlier run of this call created the entry, and its answer was lost.
                Outcome::Replayed { row, .. } => {
                    let replayed = row.waitlist_entry_id != draft.entry_id.0;
                    return Ok(Joined { entry: row.read()?, replayed, already_waiting: false });
                }
                Outcome::OtherPhoneRegion(region) => {
                    let redraft = self.customers.redraft(Some(&new.contact), new.slot.venue_id, region);
                    draft.customer = redraft.map_err(JoinWaitlistError::Phone)?;
                    draft.details_sealed = self.seal_details(new, draft.booking_id, &draft.customer);
                }
                Outcome::OtherContact(known) => self.customers.fit_to_known(&mut draft.customer, known)?,
                Outcome::Refused(refusal) => return Err(JoinWaitlistError::Refused(refusal)),
                Outcome::Contended => {}
            }
        }
        Err(JoinWaitlistError::Contended)
    }

    /// The entry as a call would create it now. It has no id and no customer.
    async fn would_join(&self, new: &NewWaitlistEntry) -> Result<Joined, JoinWaitlistError> {
        let draft = self.draft_entry(new);
        let preview = self.bookings.preview(new.slot, "JoinWaitlist", new.key.as_str(), Some(&draft.customer)).await?;
        let refused = JoinWaitlistError::Refused;
        let preview = preview.ok_or(refused(JoinRefusal::Slot(Refusal::VenueNotFound)))?;
        if let Some((fingerprint, _)) = &preview.prior {
            if !draft.fingerprint.matches(fingerprint) {
                return Err(JoinWaitlistError::KeyReused);
            }
            return match self.insert_entry(new, &draft).await?.outcome()? {
                Outcome::Replayed { row, .. } => {
                    Ok(Joined { entry: row.read()?, replayed: true, already_waiting: false })
                }
                _ => Err(JoinWaitlistError::Contended),
            };
        }
        let redraft = self.customers.redraft(Some(&new.contact), new.slot.venue_id, preview.phone_region()?);
        redraft.map_err(JoinWaitlistError::Phone)?;
        if let Some(refusal) = join_refusal(&preview, new, draft.now)? {
            return Err(refused(refusal));
        }
        let starts_at = preview.slot.as_ref().map_or(draft.now, |slot| slot.starts_at);
        let time_zone = preview.venue.time_zone;
        let entry = unsaved(new, new.slot, starts_at, time_zone, preview.position, draft.now);
        Ok(Joined { entry, replayed: false, already_waiting: false })
    }

    /// Everything about the entry that is known before the statement runs. The details are sealed with the id of the
    /// booking that an offer will create.
    fn draft_entry(&self, new: &NewWaitlistEntry) -> Draft {
        let booking_id = BookingId::generate();
        let customer = self.customers.draft(Some(&new.contact), new.slot.venue_id);
        Draft {
            fingerprint: self.fingerprint_of_entry(new),
            entry_id: WaitlistEntryId::generate(),
            details_sealed: self.seal_details(new, booking_id, &customer),
            customer,
            booking_id,
            traceparent: telemetry::current_traceparent(),
            now: self.clock.now(),
        }
    }

    fn seal_details(&self, new: &NewWaitlistEntry, booking_id: BookingId, customer: &DraftCustomer) -> Vec<u8> {
        BookingDetails::new(&customer.given, new.special_requests.as_ref()).seal(&self.ring, booking_id)
    }

    /// The keyed hash of the normalised request without its key.
    fn fingerprint_of_entry(&self, new: &NewWaitlistEntry) -> Hashes {
        let fields = [
            b"JoinWaitlist".to_vec(),
            new.slot.venue_id.0.as_bytes().to_vec(),
            new.slot.date.to_string().into_bytes(),
            new.slot.start_time.to_string().into_bytes(),
            new.party_size.get().to_be_bytes().to_vec(),
            new.contact.name.as_str().as_bytes().to_vec(),
            optional(new.contact.email.as_ref().map(Email::as_str)),
            optional(new.contact.phone.as_ref().map(GivenPhone::canonical)),
            optional(new.conversation_id.as_ref().map(ConversationId::as_str)),
            optional(new.special_requests.as_ref().map(SpecialRequests::as_str)),
            optional(new.source.as_ref().map(Source::as_str)),
        ];
        // Only what is given: calls without a window have the fingerprints that earlier versions have stored.
        let window = new.window.iter().flat_map(|window| {
            let areas = window.areas.iter().map(|area| area.as_str().as_bytes().to_vec());
            [b"window".to_vec(), window.latest_start.to_string().into_bytes()].into_iter().chain(areas)
        });
        let window: Vec<_> = window.collect();
        self.fingerprint.hash(fields.iter().chain(&window).map(Vec::as_slice))
    }

    async fn insert_entry(&self, new: &NewWaitlistEntry, draft: &Draft) -> Result<Answer, DatabaseError> {
        if let Some(window) = &new.window {
            return self.insert_window(new, window, draft).await;
        }
        self.database
            .fetch_one(|| {
                sqlx::query_file_as!(
                    Answer,
                    "src/waitlist/join.sql",
                    new.key.as_str(),
                    draft.fingerprint.newest(),
                    new.slot.venue_id.0,
                    new.slot.date,
                    new.slot.start_time,
                    new.party_size.get(),
                    draft.customer.customer_id.0,
                    &draft.customer.email_hashes,
                    &draft.customer.phone_hashes,
                    draft.customer.contact_sealed,
                    draft.customer.version,
                    draft.entry_id.0,
                    draft.booking_id.0,
                    new.conversation_id.as_ref().map_or("", ConversationId::as_str),
                    draft.details_sealed,
                    new.source.as_ref().map_or("", Source::as_str),
                    draft.now,
                    draft.traceparent.as_deref(),
                    draft.customer.phone_region.as_deref(),
                    new.validate_only,
                )
            })
            .await
    }

    async fn insert_window(
        &self,
        new: &NewWaitlistEntry,
        window: &StartWindow,
        draft: &Draft,
    ) -> Result<Answer, DatabaseError> {
        let areas: Vec<String> = window.areas.iter().map(|area| area.as_str().to_owned()).collect();
        let areas = Some(areas).filter(|areas| !areas.is_empty());
        self.database
            .fetch_one(|| {
                sqlx::query_file_as!(
                    Answer,
                    "src/waitlist/join_window.sql",
                    new.key.as_str(),
                    draft.fingerprint.newest(),
                    new.slot.venue_id.0,
                    new.slot.date,
                    new.slot.start_time,
                    new.party_size.get(),
                    draft.customer.customer_id.0,
                    &draft.customer.email_hashes,
                    &draft.customer.phone_hashes,
                    draft.customer.contact_sealed,
                    draft.customer.version,
                    draft.entry_id.0,
                    draft.booking_id.0,
                    new.conversation_id.as_ref().map_or("", ConversationId::as_str),
                    draft.details_sealed,
                    new.source.as_ref().map_or("", Source::as_str),
                    draft.now,
                    draft.traceparent.as_deref(),
                    draft.customer.phone_region.as_deref(),
                    window.latest_start,
                    areas.as_deref(),
                    new.validate_only,
                )
            })
            .await
    }
}

/// The entry as it would be made: without an id and a customer.
fn unsaved(
    new: &NewWaitlistEntry,
    slot: SlotKey,
    starts_at: DateTime<Utc>,
    time_zone: String,
    position: i32,
    now: DateTime<Utc>,
) -> WaitlistEntry {
    let areas = new.window.iter().flat_map(|window| &window.areas);
    WaitlistEntry {
        id: WaitlistEntryId(Uuid::nil()),
        status: WaitlistEntryStatus::Waiting,
        slot,
        starts_at,
        time_zone,
        party_size: new.party_size.get(),
        position,
        customer_id: CustomerId(Uuid::nil()),
        conversation_id: new.conversation_id.as_ref().map_or_else(String::new, |id| id.as_str().to_owned()),
        booking_id: None,
        offer_expires_at: None,
        created_at: now,
        updated_at: now,
        window: new.window.as_ref().map(|window| (new.slot.start_time, window.latest_start)),
        areas: areas.map(|area| area.as_str().to_owned()).collect(),
        offered: None,
    }
}

/// Why a customer cannot wait for a slot; `join.sql` has the same rule.
fn join_refusal(
    preview: &Preview,
    new: &NewWaitlistEntry,
    now: DateTime<Utc>,
) -> Result<Option<JoinRefusal>, Corrupted> {
    let (slot, party_size) = (preview.slot.as_ref(), new.party_size.get());
    let refusal = slot_refusal(&preview.venue, slot, new.slot.date, party_size, now);
    let is_full = matches!(refusal, Some(Refusal::SlotFull { .. }));
    if let Some(refusal) = refusal.filter(|_| !is_full) {
        return Ok(Some(JoinRefusal::Slot(refusal)));
    }
    if let Some((id, status)) = &preview.waiting {
        let waitlist_entry_id = WaitlistEntryId(*id);
        return Ok(Some(JoinRefusal::AlreadyWaiting { waitlist_entry_id, status: read_status(status)? }));
    }
    let (open_seats, mut capacity) = slot.map_or((0, 0), |slot| (slot.open_seats(), slot.capacity));
    let is_seated = |slot| seat(slot, preview.floor.as_ref(), None, party_size, &[]).is_ok();
    if !is_full && slot.is_some_and(is_seated) {
        return Ok(Some(JoinRefusal::SlotAvailable { open_seats }));
    }
    if let Some(state) = &preview.floor {
        capacity = capacity.min(state.floor.largest_party());
    }
    Ok((party_size > capacity).then_some(JoinRefusal::PartyExceedsCapacity { capacity }))
}

/// An entry before it is written: ids, ciphertexts and hashes.
struct Draft {
    fingerprint: Hashes,
    customer: DraftCustomer,
    entry_id: WaitlistEntryId,
    booking_id: BookingId,
    details_sealed: Vec<u8>,
    traceparent: Option<String>,
    now: DateTime<Utc>,
}
