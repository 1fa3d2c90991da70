use std::time::Duration;

use futures::future::join_all;
use rand::Rng as _;
use teppan_shared::contract::booking::v1::BookingStatus;
use teppan_tests::{
    harness::{self, Booking},
    stripe::{self, Intent, later},
};
use tonic::Code;

use super::{SECRET, StripeFixture, cash, cash_back, deposit};
use crate::changes::{Change, act};

/// A replica that expires holds every few milliseconds.
async fn expiring(fixture: &StripeFixture) -> Booking {
    let mut settings = harness::booking_settings(harness::settings(fixture.service.url.clone(), &fixture.service.keys));
    settings.hold_expiry_interval = Duration::from_millis(10);
    settings.stripe.interval = Duration::from_millis(20);
    settings.stripe.secrets = booking_service::domain::StripeSecrets::parse(&SECRET.into()).expect("a secret");
    Booking::configured(settings, fixture.service.url.clone(), fixture.service.keys.clone()).await.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_race_with_expiring_holds_all_confirm_their_bookings_and_every_seat_is_counted() {
    let fixture = StripeFixture::with_seats(400).await;
    let mut bookings = Vec::new();
    for _ in 0..80 {
        bookings.push(fixture.pending_party_of_four().await);
    }
    let replicas = [expiring(&fixture).await, expiring(&fixture).await];
    fixture
        .sql("UPDATE bookings SET hold_expires_at = clock_timestamp() + random() * interval '800 milliseconds'")
        .await;
    // A fixed share of the bookings keep their holds, however slow the machine is.
    fixture
        .sql(
            "UPDATE bookings SET hold_expires_at = now() + interval '10 minutes' \
              WHERE get_byte(uuid_send(booking_id), 15) < 32 AND status = 'PENDING'",
        )
        .await;
    join_all(bookings.iter().enumerate().map(|(n, made)| {
        let http = replicas[n % 2].service.server.http_addr;
        async move {
            tokio::time::sleep(Duration::from_millis(n as u64 * 10)).await;
            assert_eq!(stripe::send(http, &deposit(made).succeeded(), SECRET).await.0, 200);
        }
    }))
    .await;
    fixture.all_events_settled().await;
    for made in &bookings {
        // The slot has room for all of them: every paid booking has seats, held or retaken.
        let firm = fixture.read(&made.booking_id).await;
        assert_eq!((firm.status(), super::sums(&firm)), (BookingStatus::Confirmed, (3500, 0, 0)));
    }
    let retaken = "SELECT count(*) FROM booking_events WHERE (data->>'seats_retaken')::boolean";
    let retaken = fixture.service.scalar::<i64>(retaken).await;
    assert!(
        (1..80).contains(&retaken),
        "some bookings must lose the race for their hold, and some win it: {retaken} were retaken"
    );
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_of_payments_and_changes_every_cent_and_seat_is_counted_once() {
    let fixture = StripeFixture::with_seats(24).await;
    let replicas = [expiring(&fixture).await, expiring(&fixture).await];
    let mut bookings = Vec::new();
    for _ in 0..6 {
        bookings.push(fixture.pending_party_of_four().await);
    }
    let intents: Vec<_> = bookings
        .iter()
        .flat_map(|made| [1500, 2000, 3500, 14_000].map(|cents| Intent::of(&made.booking_id, cents)))
        .collect();
    let client = async |n: usize| {
        let (clients, http) = (&replicas[n % 2].clients, replicas[n % 2].service.server.http_addr);
        for _ in 0..12 {
            let (kind, intent, cents) = {
                let mut rng = rand::rng();
                (rng.random_range(0..14), rng.random_range(0..intents.len()), rng.random_range(1..3000))
            };
            let intent = &intents[intent];
            let event = match kind {
                0..4 => Some(intent.succeeded()),
                4 => Some(intent.session_completed()),
                5 => Some(intent.failed()),
                6 => Some(intent.refunded(cents.min(intent.amount_cents))),
                7 if cents % 3 == 0 => Some(later(intent.dispute_won(), cents)),
                7 if cents % 3 == 1 => Some(intent.refund_failed(&(cents % 5).to_string(), 100)),
                7 => Some(intent.disputed()),
                _ => None,
            };
            if let Some(event) = event {
                assert_eq!(stripe::send(http, &event, SECRET).await.0, 200);
                continue;
            }
            let id = &intent.booking_id;
            let mut payments = clients.payments.clone();
            let answer = match kind {
                8 => payments.record_payment(cash(id, cents)).await.map(|_| ()),
                9 => payments.record_payment(cash_back(id, cents)).await.map(|_| ()),
                10 => act(clients, Change::Cancel, id, "").await.map(|_| ()),
                11 => {
                    act(clients, Change::Move(if cents % 2 == 0 { "18:30" } else { "18:00" }), id, "").await.map(|_| ())
                }
                12 => act(clients, Change::Resize(4), id, "").await.map(|_| ()),
                _ => {
                    fixture.expire_hold(id).await;
                    Ok(())
                }
            };
            if let Err(refused) = answer {
                assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
            }
        }
    };
    join_all((0..16).map(client)).await;
    // An event that arrives before its charge, or takes more than was paid, waits; every other event is applied.
    let rest = "SELECT count(*) FROM stripe_events WHERE state = 'WAITING' AND reason = ''";
    harness::within(Duration::from_mins(1), "every event was tried", async || {
        fixture.service.scalar::<i64>(rest).await == 0
    })
    .await;
    fixture.assert_sums_and_audit().await;
    let bad = "SELECT count(*) FROM stripe_events
               WHERE state = 'SET_ASIDE' OR state = 'WAITING' AND reason NOT IN ('CHARGE_UNKNOWN', 'REFUND_EXCEEDS_PAID', 'BOOKING_NOT_NAMED')";
    assert_eq!(fixture.service.scalar::<i64>(bad).await, 0);
    let last = "SELECT count(*) FROM bookings b JOIN booking_events e USING (booking_id, version)
                WHERE COALESCE((e.data->>'paid_cents')::bigint, paid_cents) <> paid_cents
                   OR COALESCE((e.data->>'refund_due_cents')::bigint, refund_due_cents) <> refund_due_cents";
    assert_eq!(fixture.service.scalar::<i64>(last).await, 0, "the last event has the booking's current sums");
    let StripeFixture { venue_fixture, .. } = fixture;
    let url = venue_fixture.service.url.clone();
    let [first, second] = replicas;
    futures::join!(venue_fixture.service.service.stop(), first.service.stop(), second.service.stop());
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(harness::scalar::<i64>(&url, deadlocks).await, 0);
}
