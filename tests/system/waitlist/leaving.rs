use futures::future::join as both;
use teppan_shared::contract::booking::v1::{
    BookingStatus, GetBookingRequest, LeaveWaitlistRequest, WaitlistEntry, WaitlistEntryStatus,
};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{assert_sound, becomes, join, leave, now, service_with_fast_workers};
use crate::{
    changes::{Change, VenueFixture, refusal},
    payments::cash,
};

/// Pays a part of the deposit of an offer.
async fn pay(fixture: &VenueFixture, entry: &WaitlistEntry, cents: i64) {
    let paid = fixture.service.clients.clone().payments.record_payment(cash(&entry.booking_id, cents)).await;
    let booking = paid.expect("recorded").into_inner().booking.expect("the booking");
    assert_eq!(booking.status(), BookingStatus::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_left_gets_no_offer_and_a_declined_offer_goes_to_the_next_entry() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let clients = &fixture.service.clients;
    let made = fixture.book(2).await;
    let (first, second, third) = (join(&fixture, 2).await, join(&fixture, 2).await, join(&fixture, 2).await);
    let left = leave(clients, &first).await.expect("left");
    assert_eq!((left.status(), left.position, left.booking_id.as_str()), (WaitlistEntryStatus::Left, 0, ""));
    assert_eq!(now(&fixture, &first).await, left);
    assert_eq!(leave(clients, &first).await.expect("a repeated call succeeds"), left);
    assert_eq!(now(&fixture, &third).await.position, 2);

    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let second = becomes(&fixture, &second, WaitlistEntryStatus::Offered).await;
    pay(&fixture, &second, 500).await;
    let left = leave(clients, &second).await.expect("declined");
    assert_eq!((left.status(), &left.booking_id), (WaitlistEntryStatus::Left, &second.booking_id));
    assert_eq!(now(&fixture, &second).await, left);
    assert_eq!(leave(clients, &second).await.expect("a repeated call succeeds"), left);
    let get = GetBookingRequest { booking_id: second.booking_id.clone(), ..Default::default() };
    let booking = clients.bookings.clone().get_booking(get).await.expect("read").into_inner().booking;
    let booking = booking.expect("the booking");
    assert_eq!((booking.status(), booking.version, booking.refund_due_cents), (BookingStatus::Cancelled, 4, 500));
    becomes(&fixture, &third, WaitlistEntryStatus::Offered).await;
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_ended_in_another_way_cannot_be_left() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let clients = &fixture.service.clients;
    let closed = |status: &tonic::Status| {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.get_details_precondition_failure().is_some());
        let (reason, status) = refusal(status, "status");
        assert_eq!(reason, "WAITLIST_ENTRY_CLOSED");
        status.replace("WAITLIST_ENTRY_STATUS_", "")
    };
    let made = fixture.book(2).await;
    let (lapsed, taken, over) = (join(&fixture, 2).await, join(&fixture, 2).await, join(&fixture, 2).await);
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let offer = becomes(&fixture, &lapsed, WaitlistEntryStatus::Offered).await;
    fixture.expire_hold(&offer.booking_id).await;
    let offer = becomes(&fixture, &taken, WaitlistEntryStatus::Offered).await;
    fixture.act(Change::Confirm, &offer.booking_id).await.expect("taken");
    fixture
        .sql(
            "UPDATE slots SET starts_at = now(), ends_at = now() + interval '1 hour'; \
               UPDATE waitlist_entries SET bookable_until = now() - interval '1 hour'",
        )
        .await;
    becomes(&fixture, &over, WaitlistEntryStatus::Closed).await;
    for (entry, status) in [(lapsed, "LAPSED"), (taken, "ACCEPTED"), (over, "CLOSED")] {
        let before = now(&fixture, &entry).await;
        assert_eq!(closed(&leave(clients, &entry).await.expect_err(status)), status);
        assert_eq!(now(&fixture, &entry).await, before);
    }
    let unknown = LeaveWaitlistRequest { waitlist_entry_id: Uuid::nil().to_string(), validate_only: false };
    let refused = clients.bookings.clone().leave_waitlist(unknown).await.expect_err("unknown");
    assert_eq!((refused.code(), refusal(&refused, "").0.as_str()), (Code::NotFound, "WAITLIST_ENTRY_NOT_FOUND"));
    assert!(refused.get_details_resource_info().is_some());
    let refused = clients.bookings.clone().leave_waitlist(LeaveWaitlistRequest::default()).await.expect_err("empty");
    assert_eq!(refusal(&refused, "").0, "INVALID_FIELDS");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_offer_counts_as_lapsed_after_the_start_also_before_the_worker_runs() {
    // No worker expires holds in this test.
    let fixture = VenueFixture::with_deposit(2).await;
    let made = fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let entry = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    fixture.mark_started(&entry.booking_id).await;
    let refused = leave(&fixture.service.clients, &entry).await.expect_err("too late");
    let expected = ("WAITLIST_ENTRY_CLOSED".to_owned(), "WAITLIST_ENTRY_STATUS_LAPSED".to_owned());
    assert_eq!(refusal(&refused, "status"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_offer_refunds_what_a_cancellation_refunds() {
    // No worker expires holds in this test.
    let fixture = VenueFixture::with_deposit(2).await;
    let clients = &fixture.service.clients;
    for (full_refund_hours, has_run_out, owed) in [(24, false, 501), (24 * 365, false, 251), (24 * 365, true, 501)] {
        fixture
            .sql(format!("UPDATE venues SET full_refund_hours = {full_refund_hours}, late_refund_percent = 50"))
            .await;
        for leaves in [true, false] {
            let made = fixture.book(2).await;
            let entry = join(&fixture, 2).await;
            fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
            let entry = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
            pay(&fixture, &entry, 501).await;
            if has_run_out {
                fixture.expire_hold(&entry.booking_id).await;
            }
            if leaves {
                let left = leave(clients, &entry).await.expect("declined");
                assert_eq!(left, now(&fixture, &entry).await);
            } else {
                fixture.act(Change::Cancel, &entry.booking_id).await.expect("cancelled");
            }
            assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Left);
            let get = GetBookingRequest { booking_id: entry.booking_id.clone(), ..Default::default() };
            let booking = clients.bookings.clone().get_booking(get).await.expect("read").into_inner().booking;
            let booking = booking.expect("the booking");
            let what = format!("{full_refund_hours} h, run out: {has_run_out}, by leaving: {leaves}");
            assert_eq!((booking.status(), booking.refund_due_cents), (BookingStatus::Cancelled, owed), "{what}");
        }
    }
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_accepted_and_declined_at_once_ends_in_exactly_one_way() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let clients = &fixture.service.clients;
    let (mut taken, mut given_up) = (0, 0);
    for _ in 0..20 {
        let made = fixture.book(2).await;
        let entry = join(&fixture, 2).await;
        fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
        let entry = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
        let (confirmed, left) = both(fixture.act(Change::Confirm, &entry.booking_id), leave(clients, &entry)).await;
        if let Err(refused) = left {
            let expected = ("WAITLIST_ENTRY_CLOSED".to_owned(), "WAITLIST_ENTRY_STATUS_ACCEPTED".to_owned());
            assert_eq!(refusal(&refused, "status"), expected);
            confirmed.expect("taken");
            fixture.act(Change::Cancel, &entry.booking_id).await.expect("cancelled");
            taken += 1;
        } else {
            assert_eq!(refusal(&confirmed.expect_err("declined"), "").0, "BOOKING_NOT_CONFIRMABLE");
            assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Left);
            given_up += 1;
        }
    }
    println!("accepted {taken} times, declined {given_up} times");
    assert_sound(&fixture).await;
}
