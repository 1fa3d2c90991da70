//! The waitlist of a full slot, and its offers.

mod booked;
mod freed;
mod joining;
mod leaving;
mod lists;
mod offer_events;
mod offers;
mod plans;
mod races;
mod storm;
mod time;
mod windows;

use std::time::Duration;

use booking_service::settings::Settings;
use teppan_shared::contract::booking::v1::{
    JoinWaitlistRequest, LeaveWaitlistRequest, ListWaitlistRequest, WaitlistEntry, WaitlistEntryStatus,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking, eventually},
    invariants::{INCONSISTENT_ENTRIES, UNSERVED_ENTRIES},
};
use tonic::Status;

use super::{changes::VenueFixture, verify};

/// A service over its own database that offers seats and expires holds every 10 ms.
pub async fn service_with_fast_workers() -> Booking {
    replica_of(harness::database(&booking_service::app::DEFINITION).await, teppan_shared::keys::Keys::random(), |_| {})
        .await
}

/// Another such service over the fixture's database.
pub async fn replica(fixture: &VenueFixture) -> Booking {
    replica_of(fixture.service.url.clone(), fixture.service.keys.clone(), |_| {}).await
}

async fn replica_of(
    url: secrecy::SecretString,
    keys: teppan_shared::keys::Keys,
    change: impl FnOnce(&mut Settings),
) -> Booking {
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.hold_expiry_interval = Duration::from_millis(10);
    settings.waitlist_interval = Duration::from_millis(10);
    change(&mut settings);
    Booking::configured(settings, url, keys).await.ready().await
}

/// A request of a new customer to join the waitlist of the slot at 18:00.
pub fn request(venue_id: &str, party_size: i32) -> JoinWaitlistRequest {
    let booking = fixtures::booking(venue_id, party_size);
    JoinWaitlistRequest {
        idempotency_key: booking.idempotency_key,
        venue_id: booking.venue_id,
        date: booking.date,
        start_time: booking.start_time,
        party_size,
        contact: booking.contact,
        conversation_id: booking.conversation_id,
        special_requests: booking.special_requests,
        source: booking.source,
        ..Default::default()
    }
}

pub async fn join(fixture: &VenueFixture, party_size: i32) -> WaitlistEntry {
    join_by(&fixture.service.clients, request(&fixture.venue_id, party_size)).await.expect("joined")
}

pub async fn join_by(clients: &BookingClients, request: JoinWaitlistRequest) -> Result<WaitlistEntry, Status> {
    let joined = clients.bookings.clone().join_waitlist(request).await?.into_inner();
    Ok(joined.entry.expect("the entry"))
}

pub async fn leave(clients: &BookingClients, entry: &WaitlistEntry) -> Result<WaitlistEntry, Status> {
    let request = LeaveWaitlistRequest { waitlist_entry_id: entry.waitlist_entry_id.clone(), validate_only: false };
    Ok(clients.bookings.clone().leave_waitlist(request).await?.into_inner().entry.expect("the entry"))
}

/// The current state of an entry.
pub async fn now(fixture: &VenueFixture, entry: &WaitlistEntry) -> WaitlistEntry {
    let request = ListWaitlistRequest { customer_id: entry.customer_id.clone(), ..Default::default() };
    let listed = fixture.service.clients.clone().bookings.list_waitlist(request).await.expect("listed").into_inner();
    let found = listed.entries.into_iter().find(|it| it.waitlist_entry_id == entry.waitlist_entry_id);
    found.expect("the entry is listed")
}

/// Waits until an entry has this status, and returns it.
pub async fn becomes(fixture: &VenueFixture, entry: &WaitlistEntry, status: WaitlistEntryStatus) -> WaitlistEntry {
    let what = format!("{} becomes {status:?}", entry.waitlist_entry_id);
    eventually(&what, async || now(fixture, entry).await.status() == status).await;
    now(fixture, entry).await
}

/// Waits until no opening is left to be offered.
pub async fn all_openings_settled(fixture: &VenueFixture) {
    let notes = "SELECT count(*) FROM waitlist_openings";
    eventually("all openings are handled", async || fixture.service.scalar::<i64>(notes).await == 0).await;
}

pub async fn assert_sound(fixture: &VenueFixture) {
    fixture.assert_consistent().await;
    verify::assert_derivable(&fixture.service.url).await;
    assert_eq!(fixture.service.scalar::<i64>(INCONSISTENT_ENTRIES).await, 0, "entries that contradict their bookings");
}

async fn deadlocks(url: &secrecy::SecretString) -> i64 {
    harness::scalar(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}
