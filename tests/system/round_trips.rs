use booking_service::domain::StripeSecrets;
use futures::future::join_all;
use prost_types::FieldMask;
use teppan_shared::{
    contract::{
        booking::v1::{
            BatchCheckAvailabilityRequest, JoinWaitlistRequest, ListAvailabilityRequest, ListBookingsRequest,
            ListWaitlistRequest, SlotQuery, UpdateVenueRequest, Venue, WaitlistEntryStatus,
        },
        conversation::v1::{CancelFollowUpRequest, ListFollowUpsRequest},
    },
    keys::Keys,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures::{self, SlotUpdate},
    harness::{self, Booking, Conversation},
    proxy::Proxy,
    stripe,
};

use super::{
    changes::{Change, VenueFixture, act},
    emotions, follow_ups, payments, waitlist,
};

const TRIES: usize = 12;
/// Background work also sends statements, now and then: at most this many counts may include one.
const DISTURBED_MAX: usize = 3;

/// How many round trips a call takes.
async fn count<T>(proxy: &Proxy, call: impl Future<Output = Result<T, tonic::Status>>) -> u64 {
    let before = proxy.round_trips_of_calls();
    call.await.expect("answered");
    proxy.round_trips_of_calls() - before
}

fn assert_one_each(counts: &[u64]) {
    assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
    assert!(counts.iter().filter(|count| **count > 1).count() <= DISTURBED_MAX, "{counts:?}");
    assert!(counts[0] <= 2, "the first call after the warm-up: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_create_booking_costs_one_round_trip() {
    let (proxy, mut booking) = Booking::behind_a_proxy(|_| {}).await;
    let venue = fixtures::venue(&mut booking.clients, 100).await.expect("a venue");
    // Parallel calls open all connections, so that none of them prepares statements later.
    let warm = join_all((0..8).map(|_| {
        let mut clients = booking.clients.clone();
        let request = fixtures::booking(&venue.venue_id, 1);
        async move { clients.bookings.create_booking(request).await }
    }));
    assert!(warm.await.iter().all(Result::is_ok));

    let (mut made, mut replayed) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        let request = fixtures::booking(&venue.venue_id, 1);
        made.push(count(&proxy, booking.clients.bookings.create_booking(request.clone())).await);
        replayed.push(count(&proxy, booking.clients.bookings.create_booking(request)).await);
    }
    assert_one_each(&made);
    assert_one_each(&replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_national_telephone_number_at_a_venue_costs_a_second_round_trip() {
    let (proxy, mut booking) = Booking::behind_a_proxy(|settings| settings.database_limits.max_connections = 1).await;
    let venue = fixtures::venue(&mut booking.clients, 100).await.expect("a venue");
    let with = |phone: &str| {
        let mut request = fixtures::booking(&venue.venue_id, 1);
        request.allow_duplicate = true;
        let contact = request.contact.as_mut().expect("a contact");
        (contact.phone, contact.email) = (phone.to_owned(), "mina@example.org".to_owned());
        request
    };
    for _ in 0..2 {
        booking.clients.bookings.create_booking(with("+4930123456")).await.expect("warm");
    }
    let first = count(&proxy, booking.clients.bookings.create_booking(with("030 123456"))).await;
    assert!((2..=3).contains(&first), "{first}");
    let (mut national, mut international) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        national.push(count(&proxy, booking.clients.bookings.create_booking(with("030 123456"))).await);
        international.push(count(&proxy, booking.clients.bookings.create_booking(with("+4930123456"))).await);
    }
    assert_one_each(&national);
    assert_one_each(&international);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_change_of_a_booking_costs_two_round_trips() {
    let (proxy, booking) = Booking::behind_a_proxy(|settings| settings.database_limits.max_connections = 1).await;
    let fixture = VenueFixture::over(booking, 500, 25).await;
    let calls =
        [Change::Confirm, Change::Move("18:30"), Change::Resize(2), Change::Complete, Change::NoShow, Change::Cancel];
    let mut counts = vec![Vec::new(); calls.len()];
    for _ in 0..=TRIES {
        let (kept, missed) = (fixture.book(1).await, fixture.book(1).await);
        fixture.act(Change::Confirm, &missed.booking_id).await.expect("confirmed");
        fixture.mark_started(&missed.booking_id).await;
        let cancelled = fixture.book(1).await;
        for (call, counts) in calls.into_iter().zip(&mut counts) {
            let id = match call {
                Change::NoShow => &missed.booking_id,
                Change::Cancel => &cancelled.booking_id,
                _ => &kept.booking_id,
            };
            if call == Change::Complete {
                fixture.mark_started(id).await;
            }
            counts.push(count(&proxy, fixture.act(call, id)).await);
        }
    }
    for (call, counts) in calls.iter().zip(counts) {
        println!("{call:?}: {counts:?}");
        // The first use of a statement prepares it.
        assert!(counts[0] <= 6, "{call:?}: {counts:?}");
        // One round trip loads the booking, one commits the change.
        assert_one_each(&counts[1..].iter().map(|count| count - 1).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_call_about_the_waitlist_costs_one_round_trip_and_giving_up_an_offer_three() {
    let (proxy, booking) = Booking::behind_a_proxy(|settings| settings.database_limits.max_connections = 1).await;
    let fixture = VenueFixture::over(booking, i32::try_from(TRIES).expect("few") + 1, 25).await;
    let clients = &fixture.service.clients;
    // A replica that bypasses the proxy makes the offers before anyone joins through the proxy, so its work is not
    // counted.
    let direct = waitlist::replica(&fixture).await;
    let (mut made, mut offers) = (Vec::new(), Vec::new());
    for _ in 0..=TRIES {
        made.push(fixture.book(1).await.booking_id);
    }
    for booking_id in made {
        let request = waitlist::request(&fixture.venue_id, 1);
        let entry = waitlist::join_by(&direct.clients, request).await.expect("joined");
        act(&direct.clients, Change::Cancel, &booking_id, "").await.expect("cancelled");
        offers.push(waitlist::becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await);
    }
    waitlist::all_openings_settled(&fixture).await;
    direct.service.stop().await;

    let (mut given_up, mut joined, mut replayed, mut left, mut listed) = (vec![], vec![], vec![], vec![], vec![]);
    for offer in offers {
        given_up.push(count(&proxy, waitlist::leave(clients, &offer)).await);
    }
    fixture.sql("UPDATE slots SET reserved = capacity WHERE start_time = '18:30'").await;
    for _ in 0..=TRIES {
        let request = JoinWaitlistRequest { start_time: "18:30".to_owned(), ..waitlist::request(&fixture.venue_id, 1) };
        let entry = waitlist::join_by(clients, request.clone());
        joined.push(count(&proxy, entry).await);
        let entry = waitlist::join_by(clients, request.clone()).await.expect("replayed");
        replayed.push(count(&proxy, waitlist::join_by(clients, request)).await);
        let list = ListWaitlistRequest { venue_id: fixture.venue_id.clone(), ..Default::default() };
        listed.push(count(&proxy, clients.bookings.clone().list_waitlist(list)).await);
        left.push(count(&proxy, waitlist::leave(clients, &entry)).await);
    }
    println!("give up: {given_up:?}");
    // One round trip reads the entry, one loads its booking, one cancels the booking.
    assert_one_each(&given_up[1..].iter().map(|count| count - 2).collect::<Vec<_>>());
    for (call, counts) in [("join", joined), ("replay", replayed), ("list", listed), ("leave", left)] {
        println!("{call}: {counts:?}");
        assert_one_each(&counts[1..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_store_message_costs_one_round_trip() {
    let (proxy, mut conversation) = Conversation::behind_a_proxy(|_| {}).await;
    let warm = join_all((0..8).map(|_| {
        let mut client = conversation.client.clone();
        let message = fixtures::message(&fixtures::conversation_id(), "Hello");
        async move { client.store_message(message).await }
    }));
    assert!(warm.await.iter().all(Result::is_ok));
    // The messages have scores. Their aggregation after the reply is blocked here: only the calls are counted, and they
    // do not wait for it.
    let _held_back = emotions::block_aggregation(&conversation.url).await;

    let chat = fixtures::conversation_id();
    let (mut stored, mut replayed) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        let message = fixtures::message(&chat, "Is there a table?");
        stored.push(count(&proxy, conversation.client.store_message(message.clone())).await);
        replayed.push(count(&proxy, conversation.client.store_message(message)).await);
    }
    assert_one_each(&stored);
    assert_one_each(&replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_call_about_follow_ups_costs_one_round_trip() {
    // With one connection the first calls warm up every connection.
    let (proxy, service) = Conversation::behind_a_proxy(|settings| settings.database_limits.max_connections = 1).await;
    let mut client = service.follow_ups.clone();
    let list = ListFollowUpsRequest { page_size: 5, ..Default::default() };
    let (mut made, mut left, mut moved, mut cancelled, mut listed) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..=TRIES {
        let request = follow_ups::request(&fixtures::conversation_id());
        let moving = follow_ups::moving(&request, "2030-02-01T12:00:00Z");
        let cancel = CancelFollowUpRequest { key: Some(follow_ups::key(&request)), ..Default::default() };
        made.push(count(&proxy, client.schedule_follow_up(request.clone())).await);
        left.push(count(&proxy, client.schedule_follow_up(follow_ups::again(&request))).await);
        moved.push(count(&proxy, client.schedule_follow_up(moving)).await);
        cancelled.push(count(&proxy, client.cancel_follow_up(cancel)).await);
        listed.push(count(&proxy, client.list_follow_ups(list.clone())).await);
    }
    for counts in [made, left, moved, cancelled, listed] {
        assert_one_each(&counts[1..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_need_a_single_statement_cost_one_round_trip() {
    let (proxy, mut booking) = Booking::behind_a_proxy(|_| {}).await;
    let venue = fixtures::venue(&mut booking.clients, 100).await.expect("a venue");
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("booked");
    let BookingClients { bookings, schedule, .. } = &mut booking.clients;
    let venue_id = venue.venue_id.clone();
    let slot = (venue_id.clone(), fixtures::date().to_string(), "18:00".to_owned());

    // Sequential calls need only one connection. The first call of each kind prepares its statement.
    let mut counts = [const { Vec::new() }; 5];
    for n in 0..=TRIES {
        let set = SlotUpdate { capacity: Some(if n % 2 == 0 { 90 } else { 80 }), ..SlotUpdate::of(&venue_id) };
        let named = Venue { name: format!("Teppan {n}"), ..venue.clone() };
        let mask = FieldMask { paths: vec!["name".to_owned()] };
        let rename = UpdateVenueRequest { venue: Some(named), update_mask: Some(mask), ..Default::default() };
        let query = SlotQuery {
            venue_id: slot.0.clone(),
            date: slot.1.clone(),
            start_time: slot.2.clone(),
            ..Default::default()
        };
        let check = BatchCheckAvailabilityRequest { queries: vec![query; 500] };
        let list = ListAvailabilityRequest { venue_id: venue_id.clone(), ..Default::default() };
        let find = ListBookingsRequest { venue_id: venue_id.clone(), ..Default::default() };
        let tried = [
            count(&proxy, schedule.update_slot(set)).await,
            count(&proxy, schedule.update_venue(rename)).await,
            count(&proxy, schedule.batch_check_availability(check)).await,
            count(&proxy, schedule.list_availability(list)).await,
            count(&proxy, bookings.list_bookings(find)).await,
        ];
        if n > 0 {
            counts.iter_mut().zip(tried).for_each(|(counts, tried)| counts.push(tried));
        }
    }
    for counts in counts {
        assert_one_each(&counts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_whole_venue_cost_at_most_two_round_trips() {
    let (proxy, mut booking) = Booking::behind_a_proxy(|settings| settings.database_limits.max_connections = 1).await;
    let mut counts = Vec::new();
    for n in 0..=TRIES {
        let mut venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
        let set =
            count(&proxy, booking.clients.schedule.set_weekly_schedule(fixtures::every_evening(&venue.venue_id, 8)));
        let set = set.await;
        venue.horizon_days = 100;
        let mask = FieldMask { paths: vec!["horizon_days".to_owned()] };
        let farther = UpdateVenueRequest { venue: Some(venue), update_mask: Some(mask), ..Default::default() };
        let moved = count(&proxy, booking.clients.schedule.update_venue(farther)).await;
        if n > 0 {
            counts.extend([set, moved]);
        }
    }
    println!("SetWeeklySchedule and UpdateVenue with another horizon, in turn: {counts:?}");
    assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
    assert!(counts.iter().filter(|count| **count > 2).count() <= DISTURBED_MAX, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_a_payment_costs_two_round_trips_and_storing_an_event_of_stripe_one() {
    let (proxy, url) = harness::proxied(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut common = harness::settings(url.clone(), &keys);
    common.database_limits.max_connections = 1;
    let mut settings = harness::booking_settings(common);
    settings.stripe.secrets = StripeSecrets::parse(&payments::SECRET.into()).expect("a secret");
    let fixture = VenueFixture::over(Booking::configured(settings, url, keys).await.ready().await, 500, 25).await;
    let mut client = fixture.service.clients.payments.clone();
    let (mut recorded, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..=TRIES {
        let made = fixture.book(1).await;
        recorded.push(count(&proxy, client.record_payment(payments::cash(&made.booking_id, 5))).await);
        // An event about no booking: applying it later is not part of the answer.
        let event = stripe::event("customer.created", serde_json::json!({}));
        let http = fixture.service.service.server.http_addr;
        let keep = async {
            assert_eq!(stripe::send(http, &event, payments::SECRET).await.0, 200);
            Ok(())
        };
        kept.push(count(&proxy, keep).await);
    }
    assert!(recorded[0] <= 6 && kept[0] <= 3, "{recorded:?} {kept:?}");
    assert_one_each(&recorded[1..].iter().map(|count| count - 1).collect::<Vec<_>>());
    assert_one_each(&kept[1..]);
}
