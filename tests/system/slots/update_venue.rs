use futures::future::join_all;
use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{GetVenueRequest, ListAvailabilityRequest, UpdateVenueRequest, Venue};
use teppan_tests::{clients::BookingClients, fixtures, harness::Booking};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{fields, kind, listed};

fn request(venue: Venue, paths: &[&str]) -> UpdateVenueRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    UpdateVenueRequest { venue: Some(venue), update_mask: Some(FieldMask { paths }), etag: String::new() }
}

async fn set(clients: &mut BookingClients, request: UpdateVenueRequest) -> Result<Venue, Status> {
    Ok(clients.schedule.update_venue(request).await?.into_inner().venue.expect("the venue"))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_fields_in_the_mask_are_changed() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let wish = Venue {
        venue_id: venue.venue_id.clone(),
        name: "Teppan Terrace".to_owned(),
        notice_minutes: 0,
        deposit_percent: 0,
        horizon_days: -7, // not named, so not read
        ..Default::default()
    };
    let changed = set(&mut booking.clients, request(wish, &["name", "notice_minutes", "deposit_percent", "name"]))
        .await
        .expect("changed");
    let expected = Venue {
        name: "Teppan Terrace".to_owned(),
        notice_minutes: 0,
        deposit_percent: 0,
        etag: changed.etag.clone(),
        updated_at: changed.updated_at,
        ..venue.clone()
    };
    assert_eq!(changed, expected);
    assert_ne!(changed.etag, venue.etag);
    let get = GetVenueRequest { venue_id: venue.venue_id.clone() };
    assert_eq!(booking.clients.schedule.get_venue(get).await.expect("read").into_inner().venue, Some(changed));
    // The new policy applies to bookings made from now on.
    let made = booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)).await.expect("booked");
    assert_eq!(made.into_inner().booking.expect("the booking").deposit_cents, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_is_refused_unless_the_venue_already_has_the_requested_values() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let rename = |name: &str, etag: &str| {
        let wish = Venue { name: name.to_owned(), ..venue.clone() };
        UpdateVenueRequest { etag: etag.to_owned(), ..request(wish, &["name"]) }
    };
    let first = set(&mut booking.clients, rename("A", &venue.etag)).await.expect("renamed");
    for etag in [venue.etag.as_str(), "nonsense"] {
        let refused = set(&mut booking.clients, rename("B", etag)).await.expect_err("stale");
        assert_eq!(kind(&refused), (Code::Aborted, "ETAG_MISMATCH".to_owned()), "{etag}");
    }
    // A client that got no answer repeats the first call, whose etag its own success has made stale.
    assert_eq!(set(&mut booking.clients, rename("A", &venue.etag)).await.expect("unchanged"), first);
    set(&mut booking.clients, rename("B", &first.etag)).await.expect("renamed");
    set(&mut booking.clients, rename("C", "")).await.expect("renamed without an etag");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_violations_of_an_update_of_a_venue_are_reported_at_once() {
    let mut booking = Booking::start().await.ready().await;
    let wrong = Venue {
        venue_id: "x".to_owned(),
        time_zone: "Mars/Olympus".to_owned(),
        currency: "EURO".to_owned(),
        min_party_size: 9,
        max_party_size: 8,
        horizon_days: 731,
        deposit_min_party_size: 51,
        minimum_spend_cents: -1,
        no_show_fee_per_person_cents: 100_000_001,
        ..Default::default()
    };
    let paths = [
        "name",
        "time_zone",
        "currency",
        "min_party_size",
        "max_party_size",
        "horizon_days",
        "etag",
        "*",
        "deposit_min_party_size",
        "minimum_spend_cents",
        "no_show_fee_per_person_cents",
    ];
    let refused = set(&mut booking.clients, request(wrong, &paths)).await.expect_err("refused");
    let expected = [
        "venue.venue_id",
        "venue.name",
        "venue.time_zone",
        "venue.currency",
        "venue.horizon_days",
        "update_mask.paths[6]",
        "update_mask.paths[7]",
        "venue.deposit_min_party_size",
        "venue.minimum_spend_cents",
        "venue.no_show_fee_per_person_cents",
        "venue.max_party_size",
    ];
    assert_eq!(fields(&refused), expected);
    let refused = booking.clients.schedule.update_venue(UpdateVenueRequest::default()).await.expect_err("refused");
    assert_eq!(fields(&refused), ["venue.venue_id", "update_mask"]);
    let unknown = Venue { venue_id: Uuid::now_v7().to_string(), name: "x".to_owned(), ..Default::default() };
    let missing = set(&mut booking.clients, request(unknown, &["name"])).await.expect_err("no venue");
    assert_eq!(kind(&missing), (Code::NotFound, "VENUE_NOT_FOUND".to_owned()));

    // These values are wrong only in combination with values that stay.
    let venue =
        fixtures::venue_with(&mut booking.clients, 4, |venue| venue.max_party_size = Some(8)).await.expect("a venue");
    let wish = Venue { min_party_size: 9, ..venue };
    let refused = set(&mut booking.clients, request(wish, &["min_party_size"])).await.expect_err("refused");
    assert_eq!(fields(&refused), ["venue.min_party_size"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_with_slots_keeps_its_time_zone_and_currency() {
    let mut booking = Booking::start().await.ready().await;
    let empty = fixtures::venue_with(&mut booking.clients, 4, |_| {}).await.expect("a venue");
    for path in ["time_zone", "currency"] {
        let wish = Venue { time_zone: "Asia/Tokyo".to_owned(), currency: "JPY".to_owned(), ..empty.clone() };
        let refused = set(&mut booking.clients, request(wish, &[path])).await.expect_err("refused");
        assert_eq!(kind(&refused), (Code::FailedPrecondition, "VENUE_HAS_SLOTS".to_owned()), "{path}");
    }
    // Setting the current values is no change, and a venue without slots may change both.
    set(&mut booking.clients, request(empty, &["time_zone", "currency"])).await.expect("as it is");
    let mut clients = booking.clients.clone();
    let create = teppan_shared::contract::booking::v1::CreateVenueRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        name: "New".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        ..Default::default()
    };
    let new = clients.schedule.create_venue(create).await.expect("a venue").into_inner().venue.expect("the venue");
    let mut nothing = fixtures::every_evening(&new.venue_id, 4);
    nothing.periods.clear();
    clients.schedule.set_weekly_schedule(nothing).await.expect("a schedule without slots");
    let wish = Venue { time_zone: "Asia/Tokyo".to_owned(), currency: "JPY".to_owned(), ..new };
    let moved = set(&mut clients, request(wish, &["time_zone", "currency"])).await.expect("moved");
    assert_eq!((moved.time_zone.as_str(), moved.currency.as_str()), ("Asia/Tokyo", "JPY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_horizon_is_laid_out_before_the_reply() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue = fixtures::venue(clients, 10).await.expect("a venue");
    let horizon = |days| request(Venue { horizon_days: days, ..venue.clone() }, &["horizon_days"]);
    let list = ListAvailabilityRequest { venue_id: venue.venue_id.clone(), ..Default::default() };
    set(clients, horizon(700)).await.expect("changed");
    assert_eq!(listed(clients, list.clone()).await.len(), 701);

    // A shorter horizon, another schedule, then the long horizon again: the days beyond follow the new schedule.
    set(clients, horizon(7)).await.expect("changed");
    assert_eq!(listed(clients, list.clone()).await.len(), 8);
    clients.schedule.set_weekly_schedule(fixtures::every_evening(&venue.venue_id, 33)).await.expect("set");
    set(clients, horizon(700)).await.expect("changed");
    let slots = listed(clients, list).await;
    assert!(slots.iter().all(|slot| slot.capacity == 33), "{:?}", slots.last());
    assert_eq!(slots.iter().filter(|slot| slot.bookable).count(), slots.len() - usize::from(!slots[0].bookable));
    assert_eq!(slots.len(), 701);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_updates_of_a_venue_are_all_kept() {
    let booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 10).await.expect("a venue");
    let wish = Venue {
        name: "All".to_owned(),
        max_party_size: 20,
        notice_minutes: 60,
        horizon_days: 100,
        hold_minutes: 30,
        deposit_percent: 10,
        full_refund_hours: 48,
        late_refund_percent: 0,
        waitlist_hold_minutes: 15,
        undo_minutes: 15,
        deposit_per_person_cents: 1000,
        deposit_fixed_cents: 5000,
        deposit_min_party_size: 6,
        minimum_spend_cents: 20_000,
        no_show_fee_per_person_cents: 2000,
        ..venue.clone()
    };
    let paths = [
        "name",
        "max_party_size",
        "notice_minutes",
        "horizon_days",
        "hold_minutes",
        "deposit_percent",
        "full_refund_hours",
        "late_refund_percent",
        "waitlist_hold_minutes",
        "undo_minutes",
        "deposit_per_person_cents",
        "deposit_fixed_cents",
        "deposit_min_party_size",
        "minimum_spend_cents",
        "no_show_fee_per_person_cents",
    ];
    let updates = paths.iter().map(|path| {
        let mut clients = booking.clients.clone();
        let request = request(wish.clone(), &[path]);
        async move { set(&mut clients, request).await }
    });
    for answer in join_all(updates).await {
        answer.expect("changed");
    }
    let get = GetVenueRequest { venue_id: venue.venue_id };
    let read =
        booking.clients.clone().schedule.get_venue(get).await.expect("read").into_inner().venue.expect("the venue");
    assert_eq!(read, Venue { etag: read.etag.clone(), updated_at: read.updated_at, ..wish });
}
