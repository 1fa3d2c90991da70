//! Payments: what is recorded, what Stripe reports, and the effects on the booking.

mod currencies;
mod dead_letters;
mod disputes;
mod effects;
mod extras;
mod listing;
mod no_show_fees;
mod orders;
mod payment_events;
mod plans;
mod processing;
mod recording;
mod set_aside;
mod signature;
mod slow;
mod storm;
mod survival;
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
    invariants::BOOKINGS_WITH_WRONG_SUMS,
    stripe::{self, Intent},
};
use tokio::sync::Mutex;
use tonic::Status;
use uuid::Uuid;

use crate::{changes::VenueFixture, verify};

pub const SECRET: &str = "whsec_of_the_tests";

/// A venue whose bookings wait for a deposit, and a service that receives Stripe events.
pub struct StripeFixture {
    venue_fixture: VenueFixture,
    /// A connection for queries of the stored events. Opening one for each query would be slow.
    connection: Mutex<PgConnection>,
}

impl Deref for StripeFixture {
    type Target = VenueFixture;

    fn deref(&self) -> &VenueFixture {
        &self.venue_fixture
    }
}

impl StripeFixture {
    pub async fn with_seats(seats: i32) -> Self {
        let url = harness::database(&booking_service::app::DEFINITION).await;
        let connection = Mutex::new(harness::connect(&url).await);
        Self { venue_fixture: VenueFixture::over(replica(url, Keys::random()).await, seats, 25).await, connection }
    }

    /// Another service over the same database.
    pub async fn replica(&self) -> Booking {
        replica(self.service.url.clone(), self.service.keys.clone()).await
    }

    /// A pending booking of four for 140.00, with a deposit of 35.00.
    pub async fn pending_party_of_four(&self) -> Made {
        let made = self.book(4).await;
        assert_eq!((made.total_cents, made.deposit_cents, made.deposit_due_cents), (14_000, 3_500, 3_500));
        made
    }

    /// Lets the hold of a booking run out, and waits until a worker has expired it.
    pub async fn expire_with_worker(&self, booking_id: &str) {
        self.expire_hold(booking_id).await;
        let mut settings = harness::booking_settings(harness::settings(self.service.url.clone(), &self.service.keys));
        settings.hold_expiry_interval = Duration::from_millis(10);
        let worker = Booking::configured(settings, self.service.url.clone(), self.service.keys.clone()).await;
        eventually("the hold expires", async || self.read(booking_id).await.status() == BookingStatus::Expired).await;
        worker.service.stop().await;
    }

    /// Sends an event as Stripe does, and expects it to be accepted.
    pub async fn send_event(&self, event: &Value) {
        let (code, body) = stripe::send(self.service.service.server.http_addr, event, SECRET).await;
        assert_eq!(code, 200, "{body}");
    }

    /// Sends an event, and waits until it is applied or was tried.
    pub async fn send_and_wait(&self, event: &Value) {
        self.send_event(event).await;
        let id = event["id"].as_str().expect("an id").to_owned();
        eventually("the event was tried", async || {
            // The reason stays empty until the first attempt has ended.
            let (state, _, reason) = self.event_state(&id).await;
            state != "WAITING" || !reason.is_empty()
        })
        .await;
    }

    /// State, attempts and reason of an event.
    pub async fn event_state(&self, event_id: &str) -> (String, i32, String) {
        let row = sqlx::query("SELECT state, attempts, reason FROM stripe_events WHERE event_id = $1")
            .bind(event_id)
            .fetch_one(&mut *self.connection.lock().await)
            .await
            .expect("the event is kept");
        (row.get(0), row.get(1), row.get(2))
    }

    /// Waits until every Stripe event is applied or set aside.
    pub async fn all_events_settled(&self) {
        let waiting = "SELECT count(*) FROM stripe_events WHERE state = 'WAITING'";
        harness::within(Duration::from_mins(1), "Stripe's events are settled", async || {
            let count = sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *self.connection.lock().await).await;
            count.expect("the query runs") == 0
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

    /// The types of a booking's events after the first, without their common prefix and suffix.
    pub async fn event_types(&self, booking_id: &str) -> Vec<String> {
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

    pub async fn assert_sums_and_audit(&self) {
        assert_eq!(self.service.scalar::<i64>(BOOKINGS_WITH_WRONG_SUMS).await, 0, "bookings with wrong sums");
        self.assert_consistent().await;
        verify::assert_derivable(&self.service.url).await;
    }
}

async fn replica(url: SecretString, keys: Keys) -> Booking {
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.stripe.secrets = StripeSecrets::parse(&SecretString::from(SECRET)).expect("a secret");
    settings.stripe.interval = Duration::from_millis(20);
    Booking::configured(settings, url, keys).await.ready().await
}

/// A cash payment for a booking.
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

/// A cash refund.
pub fn cash_back(booking_id: &str, amount_cents: i64) -> RecordPaymentRequest {
    RecordPaymentRequest { kind: PaymentKind::Refund.into(), ..cash(booking_id, amount_cents) }
}

/// The paid, refunded and due amounts of a booking.
pub fn sums(booking: &Made) -> (i64, i64, i64) {
    (booking.paid_cents, booking.refunded_cents, booking.refund_due_cents)
}

pub fn deposit(booking: &Made) -> Intent {
    Intent::of(&booking.booking_id, booking.deposit_cents)
}
