use futures::future::join as both;
use teppan_shared::contract::booking::v1::{
    BookingStatus, GetBookingRequest, LeaveWaitlistRequest, WaitlistEntry, WaitlistEntryStatus,
};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{assert_sound, becomes, busy, join, leave, now};
use crate::{
    changes::{Change, House, refusal},
    payments::cash,
};

/// A part of the deposit of an offer.
async fn pay(house: &House, entry: &WaitlistEntry, cents: i64) {
    let paid = house.service.clients.clone().payments.record_payment(cash(&entry.booking_id, cents)).await;
    let booking = paid.expect("recorded").into_inner().booking.expect("the booking");
    assert_eq!(booking.status(), BookingStatus::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_passed_over_and_an_offer_given_up_passes_on() {
    let house = House::of(busy().await, 2, 25).await;
    let clients = &house.service.clients;
    let made = house.book(2).await;
    let (first, second, third) = (join(&house, 2).await, join(&house, 2).await, join(&house, 2).await);
    let left = leave(clients, &first).await.expect("left");
    assert_eq!((left.status(), left.position, left.booking_id.as_str()), (WaitlistEntryStatus::Left, 0, ""));
    assert_eq!(now(&house, &first).await, left);
    assert_eq!(leave(clients, &first).await.expect("left before"), left);
    assert_eq!(now(&house, &third).await.position, 2);

    house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let second = becomes(&house, &second, WaitlistEntryStatus::Offered).await;
    pay(&house, &second, 500).await;
    let left = leave(clients, &second).await.expect("given up");
    assert_eq!((left.status(), &left.booking_id), (WaitlistEntryStatus::Left, &second.booking_id));
    assert_eq!(now(&house, &second).await, left);
    assert_eq!(leave(clients, &second).await.expect("left before"), left);
    let get = GetBookingRequest { booking_id: second.booking_id.clone(), ..Default::default() };
    let booking = clients.bookings.clone().get_booking(get).await.expect("read").into_inner().booking;
    let booking = booking.expect("the booking");
    assert_eq!((booking.status(), booking.version, booking.refund_due_cents), (BookingStatus::Cancelled, 4, 500));
    becomes(&house, &third, WaitlistEntryStatus::Offered).await;
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_otherwise_cannot_be_left() {
    let house = House::of(busy().await, 2, 25).await;
    let clients = &house.service.clients;
    let closed = |status: &tonic::Status| {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.get_details_precondition_failure().is_some());
        let (reason, status) = refusal(status, "status");
        assert_eq!(reason, "WAITLIST_ENTRY_CLOSED");
        status.replace("WAITLIST_ENTRY_STATUS_", "")
    };
    let made = house.book(2).await;
    let (lapsed, taken, over) = (join(&house, 2).await, join(&house, 2).await, join(&house, 2).await);
    house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let offer = becomes(&house, &lapsed, WaitlistEntryStatus::Offered).await;
    house.run_out(&offer.booking_id).await;
    let offer = becomes(&house, &taken, WaitlistEntryStatus::Offered).await;
    house.act(Change::Confirm, &offer.booking_id).await.expect("taken");
    house
        .sql(
            "UPDATE slots SET starts_at = now(), ends_at = now() + interval '1 hour'; \
               UPDATE waitlist_entries SET bookable_until = now() - interval '1 hour'",
        )
        .await;
    becomes(&house, &over, WaitlistEntryStatus::Closed).await;
    for (entry, status) in [(lapsed, "LAPSED"), (taken, "ACCEPTED"), (over, "CLOSED")] {
        let before = now(&house, &entry).await;
        assert_eq!(closed(&leave(clients, &entry).await.expect_err(status)), status);
        assert_eq!(now(&house, &entry).await, before);
    }
    let unknown = LeaveWaitlistRequest { waitlist_entry_id: Uuid::nil().to_string(), validate_only: false };
    let refused = clients.bookings.clone().leave_waitlist(unknown).await.expect_err("unknown");
    assert_eq!((refused.code(), refusal(&refused, "").0.as_str()), (Code::NotFound, "WAITLIST_ENTRY_NOT_FOUND"));
    assert!(refused.get_details_resource_info().is_some());
    let refused = clients.bookings.clone().leave_waitlist(LeaveWaitlistRequest::default()).await.expect_err("empty");
    assert_eq!(refusal(&refused, "").0, "INVALID_FIELDS");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_was_never_answered_has_lapsed_at_the_start_whoever_looks() {
    // Nobody expires holds here.
    let house = House::open(2).await;
    let made = house.book(2).await;
    let entry = join(&house, 2).await;
    house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let entry = becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
    house.begin(&entry.booking_id).await;
    let refused = leave(&house.service.clients, &entry).await.expect_err("too late");
    let expected = ("WAITLIST_ENTRY_CLOSED".to_owned(), "WAITLIST_ENTRY_STATUS_LAPSED".to_owned());
    assert_eq!(refusal(&refused, "status"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_given_up_gives_back_what_a_cancellation_would() {
    // Nobody expires holds here.
    let house = House::open(2).await;
    let clients = &house.service.clients;
    for (full_refund_hours, has_run_out, owed) in [(24, false, 501), (24 * 365, false, 251), (24 * 365, true, 501)] {
        house.sql(format!("UPDATE venues SET full_refund_hours = {full_refund_hours}, late_refund_percent = 50")).await;
        for leaves in [true, false] {
            let made = house.book(2).await;
            let entry = join(&house, 2).await;
            house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
            let entry = becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
            pay(&house, &entry, 501).await;
            if has_run_out {
                house.run_out(&entry.booking_id).await;
            }
            if leaves {
                let left = leave(clients, &entry).await.expect("given up");
                assert_eq!(left, now(&house, &entry).await);
            } else {
                house.act(Change::Cancel, &entry.booking_id).await.expect("cancelled");
            }
            assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Left);
            let get = GetBookingRequest { booking_id: entry.booking_id.clone(), ..Default::default() };
            let booking = clients.bookings.clone().get_booking(get).await.expect("read").into_inner().booking;
            let booking = booking.expect("the booking");
            let what = format!("{full_refund_hours} h, run out: {has_run_out}, by leaving: {leaves}");
            assert_eq!((booking.status(), booking.refund_due_cents), (BookingStatus::Cancelled, owed), "{what}");
        }
    }
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_just_taken_is_taken_or_given_up_and_never_both() {
    let house = House::of(busy().await, 2, 25).await;
    let clients = &house.service.clients;
    let (mut taken, mut given_up) = (0, 0);
    for _ in 0..20 {
        let made = house.book(2).await;
        let entry = join(&house, 2).await;
        house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
        let entry = becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
        let (confirmed, left) = both(house.act(Change::Confirm, &entry.booking_id), leave(clients, &entry)).await;
        if let Err(refused) = left {
            let expected = ("WAITLIST_ENTRY_CLOSED".to_owned(), "WAITLIST_ENTRY_STATUS_ACCEPTED".to_owned());
            assert_eq!(refusal(&refused, "status"), expected);
            confirmed.expect("taken");
            house.act(Change::Cancel, &entry.booking_id).await.expect("cancelled");
            taken += 1;
        } else {
            assert_eq!(refusal(&confirmed.expect_err("given up"), "").0, "BOOKING_NOT_CONFIRMABLE");
            assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Left);
            given_up += 1;
        }
    }
    println!("taken {taken} times, given up {given_up} times");
    assert_sound(&house).await;
}
