mod answer;
pub mod draft;
pub mod many;

use sqlx::{FromRow as _, postgres::PgRow};
use strum::VariantArray as _;
use teppan_shared::{
    contract::events::v1 as wire,
    gather::{Joined, Turn},
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};
use tokio::time::Instant;
use uuid::Uuid;

use self::{
    answer::{Answer, Outcome},
    draft::{Draft, details_of},
    many::{Creations, Settled},
};
use crate::{
    bookings::Bookings,
    bookings::{
        begin::{SlotWish, offered},
        booking::{Booking, OpenBooking},
        change::is_deadlock,
        details::BookingDetails,
        event_data::EventData,
        fold::fold,
        get::BookingLookup,
    },
    customers::draft::LOST_TO_ANOTHER_CONTACT,
    domain::{BookingId, ConfirmationCode, NewBooking, OutboxDestination, PhoneFault, Refusal, duplicate},
    slots::row::visit_end,
};

/// The statement; new connections prepare it when they open.
pub const STATEMENT: &str = include_str!("create.sql");

/// The most runs of the statement for one call. Each run after the first follows a concurrent commit on the same slot
/// or key, so only a slot that changes constantly needs all of them.
const ATTEMPTS_MAX: usize = 8;

/// Constraints on which a run can lose: the key, to a concurrent duplicate; the ids, to an earlier run of the same
/// call.
const LOST_ON: [&str; 3] = ["idempotency_keys_pkey", "booking_events_pkey", "bookings_pkey"];

/// A booking, and whether an earlier call with the same key created it.
pub struct Created {
    pub booking: OpenBooking,
    pub replayed: bool,
}

/// The outcome of the statements.
struct Taken {
    row: Booking,
    /// The details of a new booking, where they need not be opened.
    details: Option<BookingDetails>,
    replayed: bool,
}

/// Why there is no booking. Nothing was written; after a [`DatabaseError`] the outcome may be unknown. `Corrupted` is
/// also the answer when the booking was created but cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CreateBookingError {
    #[error("the key was used for another request")]
    KeyReused,
    #[error("the telephone number cannot be read with the venue's region")]
    Phone(PhoneFault),
    #[error("the booking is refused")]
    Refused(Refusal),
    #[error("the slot changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl From<ReadError> for CreateBookingError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::Corrupted(Corrupted::Column("idempotency_keys.resource_id")),
            ReadError::Corrupted(error) => Self::Corrupted(error),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}

impl NewBooking {
    fn wish(&self) -> SlotWish<'_> {
        let Self { slot, party_size, expected_total_cents, .. } = *self;
        SlotWish { slot, party_size: party_size.get(), area: self.area.as_ref(), expected_total_cents }
    }
}

impl Bookings {
    /// Takes seats for a party and records the booking, its event and its messages, in one round trip. A second round
    /// trip is needed if the telephone number has no country code and this process does not know the venue's phone
    /// region yet, and if the contact adds to a known customer or has the number of another one.
    ///
    /// A second call with the same key and request returns the booking of the first call, also while the first call is
    /// still running. The inline delivery ends early enough for the reply, which is due at `reply_by`.
    ///
    /// # Errors
    /// [`CreateBookingError`].
    pub async fn create_booking(&self, new: &NewBooking, reply_by: Instant) -> Result<Created, CreateBookingError> {
        if new.validate_only {
            return self.would_create(new).await;
        }
        let Taken { row, details, replayed } = self.take_seats(new).await?;
        if !replayed {
            self.live.nudge();
            self.deliver(&row, reply_by).await;
        }
        let booking = match details {
            Some(details) => OpenBooking { booking: row, details: Some(details) },
            None => row.open(&self.ring)?,
        };
        Ok(Created { booking, replayed })
    }

    /// The booking as a call would create it now. It has no ids, no code and no customer.
    async fn would_create(&self, new: &NewBooking) -> Result<Created, CreateBookingError> {
        let mut draft = self.draft(new);
        let (slot, key) = (new.slot, new.key.as_str());
        let preview = self.preview(slot, "CreateBooking", key, Some(&draft.customer)).await?;
        let mut preview = preview.ok_or(CreateBookingError::Refused(Refusal::VenueNotFound))?;
        if let Some((fingerprint, booking_id)) = preview.prior {
            if !draft.fingerprint.matches(&fingerprint) {
                return Err(CreateBookingError::KeyReused);
            }
            let booking = self.get_booking(&BookingLookup::Id(BookingId(booking_id))).await?;
            return Ok(Created { booking, replayed: true });
        }
        let region = preview.phone_region()?;
        let redraft = self.customers.redraft(new.contact.as_ref(), new.slot.venue_id, region);
        let customer = redraft.map_err(CreateBookingError::Phone)?;
        if customer.phone_hashes != draft.customer.phone_hashes {
            // The number was read with another region, so it may belong to another customer.
            let again = self.preview(slot, "CreateBooking", key, Some(&customer)).await?;
            preview = again.ok_or(CreateBookingError::Refused(Refusal::VenueNotFound))?;
        }
        draft.customer = customer;
        let party_size = new.party_size.get();
        if new.is_walk_in() {
            preview.venue = preview.venue.for_walk_ins();
        }
        let visit =
            preview.slot.as_ref().map(|slot| (slot.starts_at, visit_end(slot, preview.floor.as_ref(), party_size)));
        if let Some(other) = visit.and_then(|visit| duplicate(&preview.visits, visit))
            && !new.allows_duplicate
        {
            return Err(CreateBookingError::Refused(Refusal::Duplicate(other)));
        }
        let offered = offered(&preview, new.wish(), draft.now).map_err(CreateBookingError::Refused)?;
        let created = wire::BookingCreated {
            booking_id: Uuid::nil().to_string(),
            customer_id: Uuid::nil().to_string(),
            conversation_id: new.conversation_id.as_ref().map_or_else(String::new, |id| id.as_str().to_owned()),
            ..offered
        };
        let booking = fold(None, &EventData::BookingCreated(created), draft.now);
        let booking = Booking {
            source: new.source.as_ref().map_or_else(String::new, |source| source.as_str().to_owned()),
            ..booking.map_err(|_| Corrupted::Column("slots"))?
        };
        let details = details_of(new, &draft.customer);
        Ok(Created { booking: OpenBooking { booking, details: Some(details) }, replayed: false })
    }

    async fn take_seats(&self, new: &NewBooking) -> Result<Taken, CreateBookingError> {
        let draft = self.draft(new);
        if self.slot_queues.is_stuck(new.slot) {
            // A statement with calls of other slots must not wait for this one.
            return self.take_seats_alone(new, draft, self.gatherer.alone()).await;
        }
        let (draft, turn) = match self.gatherer.join(draft).await? {
            Joined::Settled(draft, Settled::Created(row)) => {
                let details = details_of(new, &draft.customer);
                return Ok(Taken { row: *row, details: Some(details), replayed: false });
            }
            Joined::Settled(_, Settled::Refused(refusal)) => return Err(CreateBookingError::Refused(refusal)),
            Joined::Alone(draft, turn) => (draft, turn),
        };
        self.take_seats_alone(new, draft, turn).await
    }

    /// Runs the statement for one call. The permit of the slot is released when this returns, so no call waits while the
    /// last booking is being delivered.
    async fn take_seats_alone(
        &self,
        new: &NewBooking,
        mut draft: Draft,
        mut turn: Turn<Creations>,
    ) -> Result<Taken, CreateBookingError> {
        let mut permit = self.slot_queues.try_permit(new.slot);
        for _ in 0..ATTEMPTS_MAX {
            if permit.is_none() {
                turn.ended(false);
                permit = Some(self.slot_queues.permit(new.slot).await?);
            }
            let answer = self.insert_booking(&draft).await;
            turn.ended(answer.is_ok());
            let answer = match answer {
                Ok(answer) => answer,
                // A concurrent duplicate, or an earlier run of this call, was faster; the next run reads its booking.
                Err(error) if LOST_ON.iter().any(|constraint| error.violates(constraint)) => continue,
                // Another booking took the last seats of the area; the next run is refused.
                Err(error) if error.violates("booking_area") || is_deadlock(&error) => continue,
                // The customer has made another booking at that time; the next run is refused.
                Err(error) if error.violates("booking_is_no_duplicate") => continue,
                Err(error) if LOST_TO_ANOTHER_CONTACT.iter().any(|constraint| error.violates(constraint)) => {
                    draft.customer = self.customers.draft(new.contact.as_ref(), new.slot.venue_id);
                    continue;
                }
                Err(error) if error.violates("bookings_confirmation_code_key") => {
                    draft.confirmation_code = ConfirmationCode::generate();
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match answer.outcome()? {
                Outcome::Created(row) => return Ok(Taken { row, details: None, replayed: false }),
                Outcome::Replayed { fingerprint, .. } if !draft.fingerprint.matches(&fingerprint) => {
                    return Err(CreateBookingError::KeyReused);
                }
                // With this call's id, an earlier run of this call created the booking, and its answer was lost.
                Outcome::Replayed { booking: row, .. } => {
                    let replayed = row.booking_id != draft.booking_id;
                    return Ok(Taken { row, details: None, replayed });
                }
                Outcome::OtherPhoneRegion(region) => {
                    let redraft = self.customers.redraft(new.contact.as_ref(), new.slot.venue_id, region);
                    draft.customer = redraft.map_err(CreateBookingError::Phone)?;
                    draft.details_sealed = self.seal_details(new, draft.booking_id, &draft.customer);
                }
                Outcome::OtherContact(known) => self.customers.fit_to_known(&mut draft.customer, known)?,
                Outcome::Refused(refusal) => return Err(CreateBookingError::Refused(refusal)),
                // The slot changed while the statement waited for it. A concurrent duplicate may have taken the seats,
                // so another run must look at the key again.
                Outcome::Contended => {}
            }
        }
        Err(CreateBookingError::Contended)
    }

    /// The destinations of a new booking's events; conversation-service only for bookings of a conversation.
    pub(crate) fn destinations(&self, has_conversation: bool) -> Vec<String> {
        let is_wanted = |destination: &OutboxDestination| match destination {
            OutboxDestination::ConversationService => has_conversation,
            OutboxDestination::EventStream => self.outbox.is_in_use(*destination),
        };
        OutboxDestination::VARIANTS.iter().filter(|it| is_wanted(it)).map(ToString::to_string).collect()
    }

    /// Starts the delivery of a booking's messages, or delivers them before the reply if that is configured. It takes
    /// the stored row, because the delivery must not depend on the special requests being readable.
    pub(crate) async fn deliver(&self, row: &Booking, reply_by: Instant) {
        if self.outbox.is_in_use(OutboxDestination::EventStream) {
            self.outbox.nudge(OutboxDestination::EventStream);
        }
        // A booking that was never confirmed has no message for conversation-service.
        if row.conversation_id.is_empty() || row.confirmed_at.is_none() {
            return;
        }
        match &self.inline {
            Some(relay) => relay.deliver_of(row.booking_id, reply_by).await,
            None => self.outbox.nudge(OutboxDestination::ConversationService),
        }
    }

    async fn insert_booking(&self, draft: &Draft) -> Result<Answer, DatabaseError> {
        self.database
            .fetch_one(|| {
                sqlx::query(STATEMENT)
                    .bind(&draft.key)
                    .bind(draft.fingerprint.newest())
                    .bind(draft.slot.venue_id.0)
                    .bind(draft.slot.date)
                    .bind(draft.slot.start_time)
                    .bind(draft.party_size)
                    .bind(draft.expected_total_cents)
                    .bind(draft.customer.customer_id.0)
                    .bind(&draft.customer.email_hashes)
                    .bind(&draft.customer.phone_hashes)
                    .bind(&draft.customer.contact_sealed)
                    .bind(draft.customer.version)
                    .bind(draft.booking_id.0)
                    .bind(draft.confirmation_code.as_str())
                    .bind(&draft.conversation_id)
                    .bind(draft.event_id.0)
                    .bind(draft.traceparent.as_deref())
                    .bind(&draft.details_sealed)
                    .bind(&draft.source)
                    .bind(&draft.destinations)
                    .bind(draft.now)
                    .bind(draft.customer.phone_region.as_deref())
                    .bind(&draft.area)
                    .bind(draft.allows_duplicate)
                    .bind(draft.is_walk_in)
                    .try_map(|row: PgRow| Answer::from_row(&row))
            })
            .await
    }
}
