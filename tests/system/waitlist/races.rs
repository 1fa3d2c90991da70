use chrono::{TimeDelta, Utc};
use futures::future::join as both;
use serde_json::Value;
use sqlx::Row as _;
use teppan_shared::contract::booking::v1::WaitlistEntryStatus;
use teppan_tests::harness::{self, eventually};

use super::{
    UNSERVED_ENTRIES, all_openings_settled, assert_sound, becomes, deadlocks, join, join_by, leave, replica, request,
    service_with_fast_workers,
};
use crate::changes::{Change, VenueFixture, refusal};

const CLAIM: &str = include_str!("../../../booking-service/src/waitlist/claim_opening.sql");
const SETTLE: &str = include_str!("../../../booking-service/src/waitlist/settle_notes.sql");

/// What a process claims before it decides on an offer: the openings, and the number of entries that fit.
async fn claim(fixture: &VenueFixture) -> (Vec<i64>, usize) {
    let mut connection = harness::connect(&fixture.service.url).await;
    let now = Utc::now();
    let claim = sqlx::query(CLAIM).bind(now).bind(now + TimeDelta::seconds(30));
    let row = claim.fetch_one(&mut connection).await.expect("run");
    let candidates: Option<Value> = row.get("candidates?");
    (row.get("notes!"), candidates.and_then(|all| all.as_array().map(Vec::len)).unwrap_or_default())
}

/// Frees seats without the service, so that no worker of it is woken.
async fn free(fixture: &VenueFixture, booking_id: &str) {
    fixture
        .sql(format!(
            "WITH freed AS (
                 UPDATE bookings SET status = 'CANCELLED', hold_expires_at = NULL, cancelled_at = now(), cancelled_by = 'VENUE'
                 WHERE booking_id = '{booking_id}' RETURNING party_size)
             UPDATE slots SET reserved = reserved - party_size FROM freed
             WHERE (venue_id, slot_date, start_time) IN (
                 SELECT venue_id, slot_date, start_time FROM bookings WHERE booking_id = '{booking_id}')"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_whose_process_dies_is_made_by_another() {
    let fixture = VenueFixture::with_deposit(2).await;
    let made = fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    free(&fixture, &made.booking_id).await;
    // The process dies after it has claimed the openings.
    let (notes, fit) = claim(&fixture).await;
    assert_eq!((notes.len(), fit), (1, 1));
    // During the claim no other process gets the opening, and none waits for it.
    assert_eq!(claim(&fixture).await, (Vec::new(), 0));
    fixture.sql("UPDATE waitlist_openings SET next_attempt_at = next_attempt_at - interval '30 seconds'").await;
    let _another = replica(&fixture).await;
    becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    all_openings_settled(&fixture).await;
    let offers = "SELECT count(*) FROM booking_events WHERE type = 'teppan.waitlist.offered.v1'";
    assert_eq!(fixture.service.scalar::<i64>(offers).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_freed_while_an_offer_is_decided_are_offered_afterwards() {
    let fixture = VenueFixture::with_deposit(4).await;
    let (one, other) = (fixture.book(2).await, fixture.book(2).await);
    let entry = join(&fixture, 4).await;
    free(&fixture, &one.booking_id).await;
    // Two seats are not enough, so this opening is settled without an offer. Meanwhile two more seats become free.
    let (notes, fit) = claim(&fixture).await;
    assert_eq!((notes.len(), fit), (1, 0));
    free(&fixture, &other.booking_id).await;
    let settle = sqlx::query(SETTLE).bind(notes).bind(Vec::<i64>::new()).bind(Utc::now()).bind(false);
    settle.execute(&mut harness::connect(&fixture.service.url).await).await.expect("settled");
    let _worker = replica(&fixture).await;
    becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_joins_while_seats_come_free_gets_slot_available_or_an_offer() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let (mut refusals, mut offered) = (0, 0);
    for _ in 0..60 {
        let made = fixture.book(2).await;
        let joining = join_by(&fixture.service.clients, request(&fixture.venue_id, 2));
        let (cancelled, joined) = both(fixture.act(Change::Cancel, &made.booking_id), joining).await;
        cancelled.expect("cancelled");
        match joined {
            Ok(entry) => {
                let entry = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
                leave(&fixture.service.clients, &entry).await.expect("declined");
                offered += 1;
            }
            Err(refused) => {
                assert_eq!(refusal(&refused, "").0, "SLOT_AVAILABLE");
                refusals += 1;
            }
        }
        all_openings_settled(&fixture).await;
    }
    println!("refused with SLOT_AVAILABLE {refusals} times, offered {offered} times");
    assert_eq!(fixture.service.scalar::<i64>(UNSERVED_ENTRIES).await, 0);
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_leaves_while_it_gets_an_offer_ends_as_left_and_holds_no_seats() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let _second = replica(&fixture).await;
    for _ in 0..40 {
        let made = fixture.book(2).await;
        let entry = join(&fixture, 2).await;
        let leaving = leave(&fixture.service.clients, &entry);
        let (cancelled, left) = both(fixture.act(Change::Cancel, &made.booking_id), leaving).await;
        cancelled.expect("cancelled");
        assert_eq!(left.expect("left").status(), WaitlistEntryStatus::Left);
        let free = "SELECT max(reserved) = 0 FROM slots";
        eventually("the seats are free", async || fixture.service.scalar::<bool>(free).await).await;
        assert_eq!(
            fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_entries WHERE status <> 'LEFT'").await,
            0
        );
    }
    assert_sound(&fixture).await;
    assert_eq!(deadlocks(&fixture.service.url).await, 0);
}
