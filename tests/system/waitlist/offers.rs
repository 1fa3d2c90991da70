use teppan_shared::contract::booking::v1::{
    BookingStatus, GetBookingRequest, JoinWaitlistRequest, WaitlistEntry, WaitlistEntryStatus,
};
use teppan_tests::fixtures::SlotUpdate;
use uuid::Uuid;

use super::{FORGOTTEN, assert_sound, becomes, busy, join, join_by, now, request, settled};
use crate::changes::{Change, House, refusal};

async fn booking_of(house: &House, entry: &WaitlistEntry) -> teppan_shared::contract::booking::v1::Booking {
    let request = GetBookingRequest { booking_id: entry.booking_id.clone(), ..Default::default() };
    let read = house.service.clients.clone().bookings.get_booking(request).await.expect("read");
    read.into_inner().booking.expect("the booking")
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_offered_in_order_to_those_who_fit_and_the_others_keep_their_place() {
    let house = House::of(busy().await, 4, 25).await;
    let (one, other) = (house.book(2).await, house.book(2).await);
    let large = join(&house, 3).await;
    let (first, second) = (join(&house, 2).await, join(&house, 2).await);
    let small = join(&house, 1).await;

    house.act(Change::Cancel, &one.booking_id).await.expect("cancelled");
    let first = becomes(&house, &first, WaitlistEntryStatus::Offered).await;
    settled(&house).await;
    let positions = |entries: [WaitlistEntry; 3]| entries.map(|entry| (entry.status(), entry.position));
    let waiting = WaitlistEntryStatus::Waiting;
    let [a, b, c] = [now(&house, &large).await, now(&house, &second).await, now(&house, &small).await];
    assert_eq!(positions([a, b, c]), [(waiting, 1), (waiting, 2), (waiting, 3)]);

    house.act(Change::Cancel, &other.booking_id).await.expect("cancelled");
    let second = becomes(&house, &second, WaitlistEntryStatus::Offered).await;
    settled(&house).await;
    assert_eq!((now(&house, &large).await.position, now(&house, &small).await.position), (1, 2));
    // Four seats at once, for the one who was passed over and the one behind.
    house.sql(format!("UPDATE slots SET capacity = 8 WHERE venue_id = '{}'", house.venue_id)).await;
    becomes(&house, &large, WaitlistEntryStatus::Offered).await;
    becomes(&house, &small, WaitlistEntryStatus::Offered).await;
    for offer in [&first, &second] {
        assert_eq!(booking_of(&house, offer).await.status(), BookingStatus::Pending);
    }
    assert_eq!(house.service.scalar::<i64>(FORGOTTEN).await, 0);
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_a_booking_at_the_price_of_the_day_that_waits_also_without_a_deposit() {
    for (deposit_percent, deposit_due) in [(0, 0), (25, 2000)] {
        let house = House::of(busy().await, 2, deposit_percent).await;
        let made = house.book(2).await;
        let request = request(&house.venue_id, 2);
        let entry = join_by(&house.service.clients, request.clone()).await.expect("joined");
        let dearer = SlotUpdate { price_per_person_cents: Some(4000), ..SlotUpdate::of(&house.venue_id) };
        house.service.clients.clone().schedule.update_slot(dearer).await.expect("dearer");
        house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");

        let offered = becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
        let booking = booking_of(&house, &offered).await;
        assert_eq!((booking.status(), booking.version), (BookingStatus::Pending, 2));
        assert_eq!((booking.total_cents, booking.deposit_cents), (8000, deposit_due));
        assert_eq!((&booking.waitlist_entry_id, &booking.customer_id), (&entry.waitlist_entry_id, &entry.customer_id));
        assert_eq!((&booking.special_requests, &booking.source), (&request.special_requests, &request.source));
        assert_eq!(booking.conversation_id, request.conversation_id);
        assert_eq!(booking.hold_expires_at, offered.offer_expires_at);
        let held = "SELECT hold_expires_at - created_at = interval '30 minutes' FROM bookings WHERE status = 'PENDING'";
        assert!(house.service.scalar::<bool>(held).await, "the venue's waitlist_hold_minutes");
        assert_eq!((offered.position, offered.updated_at), (0, booking.created_at));
        // While the offer stands the customer does not wait again.
        let again = JoinWaitlistRequest { idempotency_key: Uuid::now_v7().to_string(), ..request };
        let refused = join_by(&house.service.clients, again).await.expect_err("an offer stands");
        let expected = ("ALREADY_WAITING".to_owned(), "WAITLIST_ENTRY_STATUS_OFFERED".to_owned());
        assert_eq!(refusal(&refused, "status"), expected);

        let confirmed = house.act(Change::Confirm, &booking.booking_id).await.expect("taken");
        assert_eq!(confirmed.waitlist_entry_id, entry.waitlist_entry_id);
        let accepted = now(&house, &entry).await;
        assert_eq!((accepted.status(), accepted.offer_expires_at), (WaitlistEntryStatus::Accepted, None));
        // What was taken was taken, also when it is cancelled later.
        house.act(Change::Cancel, &booking.booking_id).await.expect("cancelled");
        assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Accepted);
        assert_sound(&house).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_nobody_takes_lapses_and_passes_on() {
    let house = House::of(busy().await, 2, 25).await;
    let made = house.book(2).await;
    let (first, second, third) = (join(&house, 2).await, join(&house, 2).await, join(&house, 2).await);
    house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let first = becomes(&house, &first, WaitlistEntryStatus::Offered).await;
    house.run_out(&first.booking_id).await;
    let second = becomes(&house, &second, WaitlistEntryStatus::Offered).await;
    let lapsed = now(&house, &first).await;
    assert_eq!((lapsed.status(), lapsed.offer_expires_at), (WaitlistEntryStatus::Lapsed, None));
    assert_eq!(lapsed.booking_id, first.booking_id);
    let refused = house.act(Change::Confirm, &first.booking_id).await.expect_err("too late");
    assert_eq!(refusal(&refused, "").0, "HOLD_EXPIRED");

    // So does one whose booking is cancelled, whoever does it.
    house.act(Change::Cancel, &second.booking_id).await.expect("cancelled");
    becomes(&house, &third, WaitlistEntryStatus::Offered).await;
    assert_eq!(now(&house, &second).await.status(), WaitlistEntryStatus::Left);
    // A payment that comes after the offer lapsed may still make the booking firm: then it was taken.
    house.sql("UPDATE slots SET capacity = 4").await;
    house.put(&first.booking_id, "CONFIRMED").await;
    assert_eq!(now(&house, &first).await.status(), WaitlistEntryStatus::Accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_comes_at_once_where_the_seats_were_freed() {
    // Its timer rings once an hour.
    let house = House::open(2).await;
    let made = house.book(2).await;
    let entry = join(&house, 2).await;
    house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
    assert_sound(&house).await;
}
