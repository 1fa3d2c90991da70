//! CreateBooking: a transaction with a statement for each step.

use booking_service::domain::{
    ConfirmationCode, Currency, IdempotencyKey, PartySize, VenueId, deposit_cents, parse_date, parse_start_time,
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::{Postgres, Transaction};
use teppan_shared::{
    clock::Clock,
    contract::booking::v1::{CreateBookingRequest, CreateBookingResponse, booking_service_server::BookingService},
    fingerprint::optional,
    sealing::KeyRing,
    status::Failure,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    Plain,
    bookings::{BookingRow, Details},
    customers::Contact,
    error::{CallError, contended, key_reused, slot_refused},
    schedule::invalid,
};

/// A concurrent call with the same key costs one more attempt, which finds its booking.
const ATTEMPTS_MAX: usize = 8;
const CONVERSATION_SERVICE: &str = "conversation-service";

#[tonic::async_trait]
impl BookingService for Plain {
    async fn create_booking(
        &self,
        request: Request<CreateBookingRequest>,
    ) -> Result<Response<CreateBookingResponse>, Status> {
        let new = self.prepare_booking(request.into_inner())?;
        for _ in 0..ATTEMPTS_MAX {
            match self.book(&new).await {
                Err(error)
                    if error.violates("idempotency_keys_pkey") || error.violates("bookings_confirmation_code_key") => {}
                booked => {
                    let (row, replayed) = booked?;
                    let booking = Some(row.encode(&self.ring).ok_or_else(|| Status::from(Failure::data_corrupted()))?);
                    return Ok(Response::new(CreateBookingResponse { booking, replayed }));
                }
            }
        }
        Err(contended())
    }
}

/// A booking before it is written.
struct NewBooking {
    key: IdempotencyKey,
    venue_id: Uuid,
    date: NaiveDate,
    start_time: NaiveTime,
    party_size: i32,
    contact: Contact,
    details: Details,
    conversation_id: String,
    source: String,
    expected_total_cents: Option<i64>,
    fingerprint: [u8; 32],
}

/// A slot, whose row is locked, and its venue's policy.
#[derive(sqlx::FromRow)]
struct Offer {
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    capacity: i32,
    reserved: i32,
    price_per_person_cents: i64,
    time_zone: String,
    currency: String,
    min_party_size: i32,
    max_party_size: i32,
    notice_minutes: i32,
    horizon_days: i32,
    hold_minutes: i32,
    deposit_percent: i32,
}

impl Plain {
    fn prepare_booking(&self, request: CreateBookingRequest) -> Result<NewBooking, CallError> {
        let key = IdempotencyKey::parse(request.idempotency_key).map_err(invalid("idempotency_key"))?;
        let venue_id = VenueId::parse(&request.venue_id).map_err(invalid("venue_id"))?.0;
        let date = parse_date(&request.date).map_err(invalid("date"))?;
        let start_time = parse_start_time(&request.start_time).map_err(invalid("start_time"))?;
        let party_size = PartySize::parse(request.party_size).map_err(invalid("party_size"))?.get();
        let contact = self.read_contact(&request.contact.unwrap_or_default())?;
        let details = Details {
            name: contact.name.clone(),
            email: contact.email.clone(),
            phone: contact.phone.clone(),
            special_requests: request.special_requests,
        };
        let fields = [
            venue_id.as_bytes().to_vec(),
            date.to_string().into_bytes(),
            start_time.to_string().into_bytes(),
            party_size.to_be_bytes().to_vec(),
            serde_json::to_vec(&details).unwrap_or_default(),
            request.conversation_id.as_bytes().to_vec(),
            request.source.as_bytes().to_vec(),
            optional(request.expected_total_cents.map(i64::to_be_bytes)),
        ];
        let fingerprint = *self.fingerprint.hash(fields.iter().map(Vec::as_slice)).newest();
        Ok(NewBooking {
            key,
            venue_id,
            date,
            start_time,
            party_size,
            contact,
            details,
            conversation_id: request.conversation_id,
            source: request.source,
            expected_total_cents: request.expected_total_cents,
            fingerprint,
        })
    }

    /// The booking, and whether an earlier call made it.
    async fn book(&self, new: &NewBooking) -> Result<(BookingRow, bool), CallError> {
        let now = Clock::default().now();
        let mut transaction = self.pool.begin().await?;
        if let Some(row) = new.replay(&mut transaction).await? {
            return Ok((row, true));
        }
        let offer = new.lock_slot(&mut transaction).await?;
        if let Some(reason) = new.refusal(offer.as_ref(), now) {
            // A concurrent call with this key may hold the very seats that are missing.
            return match new.replay(&mut transaction).await? {
                Some(row) => Ok((row, true)),
                None => Err(slot_refused(reason).into()),
            };
        }
        let offer = offer.ok_or_else(|| slot_refused("SLOT_NOT_FOUND"))?;
        new.take_seats(&mut transaction).await?;
        let customer_id = self.find_or_make_customer(&new.contact, &mut transaction, now).await?;
        let row = new.booking(&offer, customer_id, &self.ring, now)?;
        row.insert(&mut transaction).await?;
        new.record_event(&row, &mut transaction).await?;
        new.claim_key(&row, &mut transaction).await?;
        transaction.commit().await?;
        Ok((row, false))
    }
}

impl NewBooking {
    /// The booking of an earlier call with this key.
    async fn replay(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<Option<BookingRow>, CallError> {
        let prior: Option<(Vec<u8>, Uuid)> = sqlx::query_as(
            "SELECT fingerprint, resource_id FROM idempotency_keys WHERE method = 'CreateBooking' AND key = $1",
        )
        .bind(self.key.as_str())
        .fetch_optional(&mut **transaction)
        .await?;
        match prior {
            None => Ok(None),
            Some((fingerprint, _)) if fingerprint != self.fingerprint => Err(key_reused().into()),
            Some((_, booking_id)) => BookingRow::load(transaction, booking_id).await.map(Some),
        }
    }

    async fn lock_slot(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<Option<Offer>, CallError> {
        let offer = sqlx::query_as(
            "SELECT s.starts_at, s.ends_at, s.capacity, s.reserved, s.price_per_person_cents, v.time_zone, v.currency,
                 v.min_party_size, v.max_party_size, v.notice_minutes, v.horizon_days, v.hold_minutes, v.deposit_percent
             FROM slots s JOIN venues v USING (venue_id)
             WHERE s.venue_id = $1 AND s.slot_date = $2 AND s.start_time = $3
             FOR NO KEY UPDATE OF s",
        )
        .bind(self.venue_id)
        .bind(self.date)
        .bind(self.start_time)
        .fetch_optional(&mut **transaction)
        .await?;
        Ok(offer)
    }

    /// Why the slot cannot be booked, in the order of the contract.
    fn refusal(&self, offer: Option<&Offer>, now: DateTime<Utc>) -> Option<&'static str> {
        let Some(offer) = offer else { return Some("SLOT_NOT_FOUND") };
        let horizon = now.date_naive() + Days::new(offer.horizon_days.unsigned_abs().into());
        let total_cents = offer.price_per_person_cents * i64::from(self.party_size);
        if self.party_size < offer.min_party_size {
            Some("PARTY_TOO_SMALL")
        } else if self.party_size > offer.max_party_size {
            Some("PARTY_TOO_LARGE")
        } else if self.date > horizon {
            Some("TOO_FAR_AHEAD")
        } else if offer.starts_at < now + TimeDelta::minutes(offer.notice_minutes.into()) {
            Some("INSUFFICIENT_NOTICE")
        } else if offer.reserved + self.party_size > offer.capacity {
            Some("SLOT_FULL")
        } else if self.expected_total_cents.is_some_and(|expected| expected != total_cents) {
            Some("PRICE_CHANGED")
        } else {
            None
        }
    }

    async fn take_seats(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<(), CallError> {
        sqlx::query(
            "UPDATE slots SET reserved = reserved + $4 WHERE venue_id = $1 AND slot_date = $2 AND start_time = $3",
        )
        .bind(self.venue_id)
        .bind(self.date)
        .bind(self.start_time)
        .bind(self.party_size)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    fn booking(
        &self,
        offer: &Offer,
        customer_id: Uuid,
        ring: &KeyRing,
        now: DateTime<Utc>,
    ) -> Result<BookingRow, CallError> {
        let currency = Currency::parse(&offer.currency).map_err(invalid("currency"))?;
        let total_cents = offer.price_per_person_cents * i64::from(self.party_size);
        let deposit_cents = deposit_cents(total_cents, offer.deposit_percent, currency);
        let is_pending = deposit_cents > 0;
        let hold = (now + TimeDelta::minutes(offer.hold_minutes.into())).min(offer.starts_at);
        let booking_id = Uuid::now_v7();
        Ok(BookingRow {
            booking_id,
            confirmation_code: ConfirmationCode::generate().as_str().to_owned(),
            status: if is_pending { "PENDING" } else { "CONFIRMED" }.to_owned(),
            venue_id: self.venue_id,
            slot_date: self.date,
            start_time: self.start_time,
            starts_at: offer.starts_at,
            ends_at: offer.ends_at,
            customer_id,
            party_size: self.party_size,
            price_per_person_cents: offer.price_per_person_cents,
            total_cents,
            deposit_cents,
            currency: offer.currency.clone(),
            hold_expires_at: is_pending.then_some(hold),
            confirmed_at: (!is_pending).then_some(now),
            conversation_id: self.conversation_id.clone(),
            details_sealed: self.details.seal(ring, booking_id),
            source: self.source.clone(),
            created_at: now,
            time_zone: offer.time_zone.clone(),
        })
    }

    /// The event, and the message for conversation-service where the booking is confirmed, as in the service.
    async fn record_event(
        &self,
        row: &BookingRow,
        transaction: &mut Transaction<'_, Postgres>,
    ) -> Result<(), CallError> {
        let event_id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data)
             VALUES ($1, $2, 1, 'teppan.booking.created.v1', $3, $4)",
        )
        .bind(event_id)
        .bind(row.booking_id)
        .bind(row.created_at)
        .bind(row.created_event())
        .execute(&mut **transaction)
        .await?;
        if row.confirmed_at.is_some() && !row.conversation_id.is_empty() {
            sqlx::query(
                "INSERT INTO outbox_messages (event_id, destination, created_at, next_attempt_at)
                 VALUES ($1, $2, $3, $3)",
            )
            .bind(event_id)
            .bind(CONVERSATION_SERVICE)
            .bind(row.created_at)
            .execute(&mut **transaction)
            .await?;
        }
        Ok(())
    }

    async fn claim_key(&self, row: &BookingRow, transaction: &mut Transaction<'_, Postgres>) -> Result<(), CallError> {
        sqlx::query(
            "INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
             VALUES ('CreateBooking', $1, $2, $3, $4)",
        )
        .bind(self.key.as_str())
        .bind(&self.fingerprint[..])
        .bind(row.booking_id)
        .bind(row.created_at)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}
