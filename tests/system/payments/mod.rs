//! Money: what is recorded, what Stripe tells, and what follows for the booking.

mod currencies;
mod dead_letters;
mod disputes;
mod effects;
mod listing;
mod orders;
mod plans;
mod processing;
mod recording;
mod set_aside;
mod signature;
mod slow;
mod storm;
mod survival;
mod told;
mod trouble;

use std::{ops::Deref, time::Duration};

use booking_service::domain::StripeSecrets;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::{PgConnection, Row as _};
use teppan_shared::{
    contract::booking::v1::{
        Booking as Made, BookingStatus, GetBookingRequest, PaymentKind, PaymentMethod, RecordPaymentRequest,
        RecordPaymentResponse,
    },
    keys::Keys,
};
use teppan_tests::{
    harness::{self, Booking, eventually},
    stripe::{self, Intent},
};
use tokio::sync::Mutex;
use tonic::Status;
use uuid::Uuid;

use crate::{changes::House, verify};

pub const SECRET: &str = "whsec_of_the_tests";

/// What must hold whatever happened: a booking has paid what its succeeded and disputed charges come to without what is
/// disputed of them and without its succeeded refunds, and has been given back what those come to. What a charge of
/// Stripe's was given back is what the refunds that name it come to. What is owed follows from what the venue keeps.
pub const BOOKINGS_THAT_MISCOUNT: &str = "
    SELECT count(*) FROM bookings b, LATERAL (
        SELECT COALESCE(sum(amount_cents) FILTER (WHERE kind = 'CHARGE' AND status IN ('SUCCEEDED', 'DISPUTED')), 0) AS charged,
               COALESCE(sum(disputed_cents), 0) AS disputed,
               COALESCE(sum(refunded_cents), 0) AS refunded_by_stripe,
               COALESCE(sum(amount_cents) FILTER (WHERE refund_of IS NOT NULL AND status = 'SUCCEEDED'), 0) AS refund_entries,
               COALESCE(sum(amount_cents) FILTER (WHERE kind = 'REFUND' AND status = 'SUCCEEDED'), 0) AS refunded
        FROM payments p WHERE p.booking_id = b.booking_id
    ) AS moved
    WHERE paid_cents <> charged - disputed - refunded OR refunded_cents <> refunded OR disputed_cents <> disputed
       OR refunded_by_stripe <> refund_entries
       OR refund_due_cents <> GREATEST(paid_cents - CASE status WHEN 'CANCELLED' THEN kept_cents WHEN 'EXPIRED' THEN 0
                                                                ELSE total_cents END, 0)";

/// A house whose bookings wait for a deposit, and whose service hears from Stripe.
pub struct Till {
    house: House,
    /// To look at what Stripe's events came to: logging in takes long.
    looks: Mutex<PgConnection>,
}

impl Deref for Till {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

impl Till {
    pub async fn open(seats: i32) -> Self {
        let url = harness::database(&booking_service::app::DEFINITION).await;
        let looks = Mutex::new(harness::connect(&url).await);
        Self { house: House::of(replica(url, Keys::random()).await, seats, 25).await, looks }
    }

    /// Another service over the same database.
    pub async fn replica(&self) -> Booking {
        replica(self.service.url.clone(), self.service.keys.clone()).await
    }

    /// A booking of four for 140.00 that waits for a deposit of 35.00.
    pub async fn four(&self) -> Made {
        let made = self.book(4).await;
        assert_eq!((made.total_cents, made.deposit_cents, made.deposit_due_cents), (14_000, 3_500, 3_500));
        made
    }

    /// The hold of a booking runs out, and the worker frees its seats.
    pub async fn expire(&self, booking_id: &str) {
        self.run_out(booking_id).await;
        let mut settings = harness::booking_settings(harness::settings(self.service.url.clone(), &self.service.keys));
        settings.hold_expiry_interval = Duration::from_millis(10);
        let worker = Booking::configured(settings, self.service.url.clone(), self.service.keys.clone()).await;
        eventually("the hold expires", async || self.read(booking_id).await.status() == BookingStatus::Expired).await;
        worker.service.stop().await;
    }

    /// Stripe sends an event, and it is taken.
    pub async fn tell(&self, event: &Value) {
        let (code, said) = stripe::send(self.service.service.server.http_addr, event, SECRET).await;
        assert_eq!(code, 200, "{said}");
    }

    /// [`Till::tell`], and the event is applied, or has been tried.
    pub async fn told(&self, event: &Value) {
        self.tell(event).await;
        let id = event["id"].as_str().expect("an id").to_owned();
        eventually("the event is tried", async || {
            // Under its first claim nobody has said yet why it waits.
            let (state, _, reason) = self.state_of(&id).await;
            state != "WAITING" || !reason.is_empty()
        })
        .await;
    }

    /// State, attempts and reason of an event.
    pub async fn state_of(&self, event_id: &str) -> (String, i32, String) {
        let row = sqlx::query("SELECT state, attempts, reason FROM stripe_events WHERE event_id = $1")
            .bind(event_id)
            .fetch_one(&mut *self.looks.lock().await)
            .await
            .expect("the event is kept");
        (row.get(0), row.get(1), row.get(2))
    }

    /// Everything that Stripe told is applied or set aside.
    pub async fn settled(&self) {
        let waiting = "SELECT count(*) FROM stripe_events WHERE state = 'WAITING'";
        harness::within(Duration::from_mins(1), "Stripe's events are settled", async || {
            let looked = sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *self.looks.lock().await).await;
            looked.expect("a look") == 0
        })
        .await;
    }

    pub async fn read(&self, booking_id: &str) -> Made {
        let get = GetBookingRequest { booking_id: booking_id.to_owned(), ..Default::default() };
        let read = self.service.clients.clone().bookings.get_booking(get).await.expect("read");
        read.into_inner().booking.expect("the booking")
    }

    pub async fn record(&self, request: RecordPaymentRequest) -> Result<RecordPaymentResponse, Status> {
        Ok(self.service.clients.clone().payments.record_payment(request).await?.into_inner())
    }

    /// The types of a booking's events after the first, without what they all have.
    pub async fn story(&self, booking_id: &str) -> Vec<String> {
        let mut connection = harness::connect(&self.service.url).await;
        let types: Vec<String> = sqlx::query_scalar(
            "SELECT type FROM booking_events WHERE booking_id = $1 AND version > 1 ORDER BY version",
        )
        .bind(Uuid::parse_str(booking_id).expect("a UUID"))
        .fetch_all(&mut connection)
        .await
        .expect("events");
        types.iter().map(|it| it.trim_start_matches("teppan.").trim_end_matches(".v1").to_owned()).collect()
    }

    pub async fn assert_counted(&self) {
        assert_eq!(self.service.scalar::<i64>(BOOKINGS_THAT_MISCOUNT).await, 0, "bookings that miscount");
        self.assert_sound().await;
        verify::assert_derivable(&self.service.url).await;
    }
}

async fn replica(url: SecretString, keys: Keys) -> Booking {
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.stripe.secrets = StripeSecrets::parse(&SecretString::from(SECRET)).expect("a secret");
    settings.stripe.interval = Duration::from_millis(20);
    Booking::configured(settings, url, keys).await.ready().await
}

/// Cash for a booking.
pub fn cash(booking_id: &str, amount_cents: i64) -> RecordPaymentRequest {
    RecordPaymentRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        booking_id: booking_id.to_owned(),
        method: PaymentMethod::Cash.into(),
        amount_cents,
        currency: "EUR".to_owned(),
        ..Default::default()
    }
}

/// Cash back.
pub fn cash_back(booking_id: &str, amount_cents: i64) -> RecordPaymentRequest {
    RecordPaymentRequest { kind: PaymentKind::Refund.into(), ..cash(booking_id, amount_cents) }
}

/// What a booking has paid, was given back, and is owed.
pub fn sums(booking: &Made) -> (i64, i64, i64) {
    (booking.paid_cents, booking.refunded_cents, booking.refund_due_cents)
}

pub fn deposit(booking: &Made) -> Intent {
    Intent::of(&booking.booking_id, booking.deposit_cents)
}
