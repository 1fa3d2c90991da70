use teppan_shared::contract::booking::v1::{
    BookingStatus, GetBookingRequest, JoinWaitlistRequest, WaitlistEntry, WaitlistEntryStatus,
};
use teppan_tests::fixtures::SlotUpdate;
use uuid::Uuid;

use super::{
    UNSERVED_ENTRIES, all_openings_settled, assert_sound, becomes, join, join_by, now, request,
    service_with_fast_workers,
};
use crate::changes::{Change, VenueFixture, refusal};

async fn booking_of(fixture: &VenueFixture, entry: &WaitlistEntry) -> teppan_shared::contract::booking::v1::Booking {
    let request = GetBookingRequest { booking_id: entry.booking_id.clone(), ..Default::default() };
    let read = fixture.service.clients.clone().bookings.get_booking(request).await.expect("read");
    read.into_inner().booking.expect("the booking")
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_offered_in_order_to_entries_that_fit_and_the_others_keep_their_position() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 4, 25).await;
    let (one, other) = (fixture.book(2).await, fixture.book(2).await);
    let large = join(&fixture, 3).await;
    let (first, second) = (join(&fixture, 2).await, join(&fixture, 2).await);
    let small = join(&fixture, 1).await;

    fixture.act(Change::Cancel, &one.booking_id).await.expect("cancelled");
    let first = becomes(&fixture, &first, WaitlistEntryStatus::Offered).await;
    all_openings_settled(&fixture).await;
    let positions = |entries: [WaitlistEntry; 3]| entries.map(|entry| (entry.status(), entry.position));
    let waiting = WaitlistEntryStatus::Waiting;
    let [a, b, c] = [now(&fixture, &large).await, now(&fixture, &second).await, now(&fixture, &small).await];
    assert_eq!(positions([a, b, c]), [(waiting, 1), (waiting, 2), (waiting, 3)]);

    fixture.act(Change::Cancel, &other.booking_id).await.expect("cancelled");
    let second = becomes(&fixture, &second, WaitlistEntryStatus::Offered).await;
    all_openings_settled(&fixture).await;
    assert_eq!((now(&fixture, &large).await.position, now(&fixture, &small).await.position), (1, 2));
    // Four seats become free at once, for the entry that was skipped and for the one behind it.
    fixture.sql(format!("UPDATE slots SET capacity = 8 WHERE venue_id = '{}'", fixture.venue_id)).await;
    becomes(&fixture, &large, WaitlistEntryStatus::Offered).await;
    becomes(&fixture, &small, WaitlistEntryStatus::Offered).await;
    for offer in [&first, &second] {
        assert_eq!(booking_of(&fixture, offer).await.status(), BookingStatus::Pending);
    }
    assert_eq!(fixture.service.scalar::<i64>(UNSERVED_ENTRIES).await, 0);
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_a_pending_booking_at_the_current_price_also_without_a_deposit() {
    for (deposit_percent, deposit_due) in [(0, 0), (25, 2000)] {
        let fixture = VenueFixture::over(service_with_fast_workers().await, 2, deposit_percent).await;
        let made = fixture.book(2).await;
        let request = request(&fixture.venue_id, 2);
        let entry = join_by(&fixture.service.clients, request.clone()).await.expect("joined");
        let dearer = SlotUpdate { price_per_person_cents: Some(4000), ..SlotUpdate::of(&fixture.venue_id) };
        fixture.service.clients.clone().schedule.update_slot(dearer).await.expect("dearer");
        fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");

        let offered = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
        let booking = booking_of(&fixture, &offered).await;
        assert_eq!((booking.status(), booking.version), (BookingStatus::Pending, 2));
        assert_eq!((booking.total_cents, booking.deposit_cents), (8000, deposit_due));
        assert_eq!((&booking.waitlist_entry_id, &booking.customer_id), (&entry.waitlist_entry_id, &entry.customer_id));
        assert_eq!((&booking.special_requests, &booking.source), (&request.special_requests, &request.source));
        assert_eq!(booking.conversation_id, request.conversation_id);
        assert_eq!(booking.hold_expires_at, offered.offer_expires_at);
        let held = "SELECT hold_expires_at - created_at = interval '30 minutes' FROM bookings WHERE status = 'PENDING'";
        assert!(fixture.service.scalar::<bool>(held).await, "the venue's waitlist_hold_minutes");
        assert_eq!((offered.position, offered.updated_at), (0, booking.created_at));
        // The customer cannot wait again while the offer stands.
        let again = JoinWaitlistRequest { idempotency_key: Uuid::now_v7().to_string(), ..request };
        let refused = join_by(&fixture.service.clients, again).await.expect_err("an offer stands");
        let expected = ("ALREADY_WAITING".to_owned(), "WAITLIST_ENTRY_STATUS_OFFERED".to_owned());
        assert_eq!(refusal(&refused, "status"), expected);

        let confirmed = fixture.act(Change::Confirm, &booking.booking_id).await.expect("confirmed");
        assert_eq!(confirmed.waitlist_entry_id, entry.waitlist_entry_id);
        let accepted = now(&fixture, &entry).await;
        assert_eq!((accepted.status(), accepted.offer_expires_at), (WaitlistEntryStatus::Accepted, None));
        // An accepted entry stays accepted when its booking is cancelled later.
        fixture.act(Change::Cancel, &booking.booking_id).await.expect("cancelled");
        assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Accepted);
        assert_sound(&fixture).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_offer_lapses_and_goes_to_the_next_entry() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let made = fixture.book(2).await;
    let (first, second, third) = (join(&fixture, 2).await, join(&fixture, 2).await, join(&fixture, 2).await);
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let first = becomes(&fixture, &first, WaitlistEntryStatus::Offered).await;
    fixture.expire_hold(&first.booking_id).await;
    let second = becomes(&fixture, &second, WaitlistEntryStatus::Offered).await;
    let lapsed = now(&fixture, &first).await;
    assert_eq!((lapsed.status(), lapsed.offer_expires_at), (WaitlistEntryStatus::Lapsed, None));
    assert_eq!(lapsed.booking_id, first.booking_id);
    let refused = fixture.act(Change::Confirm, &first.booking_id).await.expect_err("too late");
    assert_eq!(refusal(&refused, "").0, "HOLD_EXPIRED");

    // An offer whose booking is cancelled ends too, whichever side cancels it.
    fixture.act(Change::Cancel, &second.booking_id).await.expect("cancelled");
    becomes(&fixture, &third, WaitlistEntryStatus::Offered).await;
    assert_eq!(now(&fixture, &second).await.status(), WaitlistEntryStatus::Left);
    // A payment after the offer has lapsed may still confirm the booking; then the entry is accepted.
    fixture.sql("UPDATE slots SET capacity = 4").await;
    fixture.set_status(&first.booking_id, "CONFIRMED").await;
    assert_eq!(now(&fixture, &first).await.status(), WaitlistEntryStatus::Accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_that_frees_seats_makes_the_offer_at_once() {
    // The timer of this replica fires only once an hour.
    let fixture = VenueFixture::with_deposit(2).await;
    let made = fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    assert_sound(&fixture).await;
}
