use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::{join, join_all};
use rand::Rng as _;
use teppan_shared::contract::booking::v1::{CreateBookingRequest, WaitlistEntry};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, within},
    invariants::SLOTS_THAT_MISCOUNT,
};
use tonic::{Code, Status};

use super::{INCONSISTENT_ENTRIES, UNSERVED_ENTRIES, assert_sound, deadlocks, join_by, leave, replica, request};
use crate::changes::{Change, VenueFixture, act};

const CLIENTS: usize = 24;
const CALLS_EACH: usize = 25;
const SEATS: i32 = 12;

/// The bookings and entries of all clients so far.
#[derive(Default)]
struct Made {
    bookings: Mutex<Vec<String>>,
    entries: Mutex<Vec<WaitlistEntry>>,
}

fn any<T: Clone>(of: &Mutex<Vec<T>>) -> Option<T> {
    let of = of.lock().expect("unbroken");
    (!of.is_empty()).then(|| of[rand::rng().random_range(0..of.len())].clone())
}

/// Joins, leaves, books, cancels, resizes and confirms at random, also bookings and entries of other clients.
async fn client(fixture: &VenueFixture, clients: BookingClients, made: &Made) -> Vec<Status> {
    let mut refusals = Vec::new();
    for _ in 0..CALLS_EACH {
        let (kind, party_size) = (rand::rng().random_range(0..12), rand::rng().random_range(1..=4));
        let answer = match kind {
            0..5 => join_by(&clients, request(&fixture.venue_id, party_size)).await.map(|entry| {
                made.entries.lock().expect("unbroken").push(entry);
            }),
            5 => match any(&made.entries) {
                Some(entry) => leave(&clients, &entry).await.map(|_| ()),
                None => Ok(()),
            },
            6 => {
                let request: CreateBookingRequest = fixtures::booking(&fixture.venue_id, party_size);
                clients.clone().bookings.create_booking(request).await.map(|created| {
                    let booking = created.into_inner().booking.expect("the booking");
                    made.bookings.lock().expect("unbroken").push(booking.booking_id);
                })
            }
            _ => {
                // An offer is a booking too.
                let offered = "SELECT booking_id::text FROM bookings WHERE status IN ('PENDING', 'CONFIRMED')
                               ORDER BY random() LIMIT 1";
                let live: Option<String> = sqlx::query_scalar(offered)
                    .fetch_optional(&mut harness::connect(&fixture.service.url).await)
                    .await
                    .expect("the query runs");
                let Some(id) = live else { continue };
                match kind {
                    7 => act(&clients, Change::Confirm, &id, "").await.map(|_| ()),
                    8 => act(&clients, Change::Resize(party_size), &id, "").await.map(|_| ()),
                    9 => {
                        fixture.expire_hold(&id).await;
                        Ok(())
                    }
                    _ => act(&clients, Change::Cancel, &id, "").await.map(|_| ()),
                }
            }
        };
        refusals.extend(answer.err());
    }
    refusals
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_on_one_slot_nothing_is_oversold_and_no_entry_that_fits_is_left_waiting() {
    let fixture = VenueFixture::with_deposit(SEATS).await;
    for _ in 0..SEATS {
        fixture.book(1).await;
    }
    let replicas = [replica(&fixture).await, replica(&fixture).await];
    let made = Made::default();
    let over = AtomicBool::new(false);
    let watching = async {
        let mut connection = harness::connect(&fixture.service.url).await;
        let mut checks = 0;
        while !over.load(Ordering::Relaxed) {
            for wrong in [SLOTS_THAT_MISCOUNT, INCONSISTENT_ENTRIES] {
                let found: i64 = sqlx::query_scalar(wrong).fetch_one(&mut connection).await.expect("the query runs");
                assert_eq!(found, 0, "violated during the storm: {wrong}");
            }
            checks += 1;
        }
        checks
    };
    let storm = async {
        let clients = (0..CLIENTS).map(|n| client(&fixture, replicas[n % 2].clients.clone(), &made));
        let refusals = join_all(clients).await.into_iter().flatten().collect::<Vec<_>>();
        over.store(true, Ordering::Relaxed);
        refusals
    };
    let (checks, refusals) = join(watching, storm).await;
    assert!(checks > 10, "the invariants were checked often");
    for refused in &refusals {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    }
    let quiet = "SELECT count(*) FROM waitlist_openings";
    within(Duration::from_secs(20), "the workers are idle", async || {
        fixture.service.scalar::<i64>(quiet).await == 0
            && fixture.service.scalar::<i64>("SELECT count(*) FROM bookings WHERE hold_expires_at <= now()").await == 0
    })
    .await;
    assert_eq!(fixture.service.scalar::<i64>(UNSERVED_ENTRIES).await, 0, "no entry that fits is waiting");
    assert_sound(&fixture).await;
    let offers: i64 =
        fixture.service.scalar("SELECT count(*) FROM waitlist_entries WHERE offered_at IS NOT NULL").await;
    let events: i64 =
        fixture.service.scalar("SELECT count(*) FROM booking_events WHERE type = 'teppan.waitlist.offered.v1'").await;
    assert_eq!(offers, events, "one event for each offer");
    assert!(offers > 20, "there were many offers: {offers}");
    println!("{offers} offers of {} entries", made.entries.lock().expect("unbroken").len());
    let [first, second] = replicas;
    // A connection reports its deadlocks to the statistics at the latest when it closes.
    join(first.service.stop(), second.service.stop()).await;
    assert_eq!(deadlocks(&fixture.service.url).await, 0);
}
