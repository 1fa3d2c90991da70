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
};
use tonic::{Code, Status};

use super::{ENTRIES_THAT_DISAGREE, FORGOTTEN, assert_sound, deadlocks, join_by, leave, replica, request};
use crate::changes::{Change, House, SLOTS_THAT_MISCOUNT, act};

const CLIENTS: usize = 24;
const CALLS_EACH: usize = 25;
const SEATS: i32 = 12;

/// What has been made so far, by whomever.
#[derive(Default)]
struct Made {
    bookings: Mutex<Vec<String>>,
    entries: Mutex<Vec<WaitlistEntry>>,
}

fn any<T: Clone>(of: &Mutex<Vec<T>>) -> Option<T> {
    let of = of.lock().expect("unbroken");
    (!of.is_empty()).then(|| of[rand::rng().random_range(0..of.len())].clone())
}

/// Joins, leaves, books, cancels, resizes and confirms at random, what is its own and what is others'.
async fn client(house: &House, clients: BookingClients, made: &Made) -> Vec<Status> {
    let mut refusals = Vec::new();
    for _ in 0..CALLS_EACH {
        let (kind, party_size) = (rand::rng().random_range(0..12), rand::rng().random_range(1..=4));
        let answer = match kind {
            0..5 => join_by(&clients, request(&house.venue_id, party_size)).await.map(|entry| {
                made.entries.lock().expect("unbroken").push(entry);
            }),
            5 => match any(&made.entries) {
                Some(entry) => leave(&clients, &entry).await.map(|_| ()),
                None => Ok(()),
            },
            6 => {
                let request: CreateBookingRequest = fixtures::booking(&house.venue_id, party_size);
                clients.clone().bookings.create_booking(request).await.map(|created| {
                    let booking = created.into_inner().booking.expect("the booking");
                    made.bookings.lock().expect("unbroken").push(booking.booking_id);
                })
            }
            _ => {
                // Offers are bookings, too.
                let offered = "SELECT booking_id::text FROM bookings WHERE status IN ('PENDING', 'CONFIRMED')
                               ORDER BY random() LIMIT 1";
                let live: Option<String> = sqlx::query_scalar(offered)
                    .fetch_optional(&mut harness::connect(&house.service.url).await)
                    .await
                    .expect("a look");
                let Some(id) = live else { continue };
                match kind {
                    7 => act(&clients, Change::Confirm, &id, "").await.map(|_| ()),
                    8 => act(&clients, Change::Resize(party_size), &id, "").await.map(|_| ()),
                    9 => {
                        house.run_out(&id).await;
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
async fn in_a_storm_on_one_slot_nothing_is_oversold_and_nobody_is_forgotten() {
    let house = House::open(SEATS).await;
    for _ in 0..SEATS {
        house.book(1).await;
    }
    let replicas = [replica(&house).await, replica(&house).await];
    let made = Made::default();
    let over = AtomicBool::new(false);
    let watching = async {
        let mut connection = harness::connect(&house.service.url).await;
        let mut looks = 0;
        while !over.load(Ordering::Relaxed) {
            for wrong in [SLOTS_THAT_MISCOUNT, ENTRIES_THAT_DISAGREE] {
                let found: i64 = sqlx::query_scalar(wrong).fetch_one(&mut connection).await.expect("a look");
                assert_eq!(found, 0, "at every moment: {wrong}");
            }
            looks += 1;
        }
        looks
    };
    let storm = async {
        let clients = (0..CLIENTS).map(|n| client(&house, replicas[n % 2].clients.clone(), &made));
        let refusals = join_all(clients).await.into_iter().flatten().collect::<Vec<_>>();
        over.store(true, Ordering::Relaxed);
        refusals
    };
    let (looks, refusals) = join(watching, storm).await;
    assert!(looks > 10, "it was watched");
    for refused in &refusals {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    }
    let quiet = "SELECT count(*) FROM waitlist_openings";
    within(Duration::from_secs(20), "all is quiet", async || {
        house.service.scalar::<i64>(quiet).await == 0
            && house.service.scalar::<i64>("SELECT count(*) FROM bookings WHERE hold_expires_at <= now()").await == 0
    })
    .await;
    assert_eq!(house.service.scalar::<i64>(FORGOTTEN).await, 0, "nobody who fits waits");
    assert_sound(&house).await;
    let offers: i64 = house.service.scalar("SELECT count(*) FROM waitlist_entries WHERE offered_at IS NOT NULL").await;
    let told: i64 =
        house.service.scalar("SELECT count(*) FROM booking_events WHERE type = 'teppan.waitlist.offered.v1'").await;
    assert_eq!(offers, told, "each offer once");
    assert!(offers > 20, "much was offered: {offers}");
    println!("{offers} offers of {} entries", made.entries.lock().expect("unbroken").len());
    let [first, second] = replicas;
    // What a connection knows of deadlocks it tells at the latest at its end.
    join(first.service.stop(), second.service.stop()).await;
    assert_eq!(deadlocks(&house.service.url).await, 0);
}
