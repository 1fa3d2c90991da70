use booking_service::domain::{BookingChange, BookingStatus};
use teppan_shared::contract::booking::v1::{BookingStatus as Wire, CancelBookingRequest, CancellationInitiator};
use tonic::Code;
use uuid::Uuid;

use super::{Change, House, act, refusal};

/// Each call, the change it is, the state it leads to, and the reason it is refused with elsewhere.
const CALLS: [(Change, BookingChange, Option<BookingStatus>, &str); 5] = [
    (Change::Confirm, BookingChange::Confirm, Some(BookingStatus::Confirmed), "BOOKING_NOT_CONFIRMABLE"),
    (Change::Cancel, BookingChange::Cancel, Some(BookingStatus::Cancelled), "BOOKING_NOT_CANCELLABLE"),
    (Change::Move("18:30"), BookingChange::Reschedule, None, "BOOKING_NOT_RESCHEDULABLE"),
    (Change::Complete, BookingChange::Complete, Some(BookingStatus::Completed), "BOOKING_NOT_COMPLETABLE"),
    (Change::NoShow, BookingChange::MarkNoShow, Some(BookingStatus::NoShow), "NO_SHOW_NOT_ALLOWED"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_allowed_from_the_states_of_the_state_machine_and_no_other() {
    let house = House::open(200).await;
    for &status in BookingStatus::ALL {
        for (call, change, target, reason) in CALLS {
            let what = format!("{call:?} of a booking that is {status:?}");
            let made = house.book(3).await;
            house.put(&made.booking_id, status.into()).await;
            if matches!(call, Change::Complete | Change::NoShow) {
                house.begin(&made.booking_id).await;
            }
            let before = house.service.written().await;
            let answer = house.act(call, &made.booking_id).await;

            if target == Some(status) {
                assert_eq!(answer.expect(&what).version, 1, "{what}: it stands already");
                assert_eq!(house.service.written().await, before, "{what}");
            } else if let Some(after) = status.after(change) {
                let booking = answer.expect(&what);
                let name = format!("BOOKING_STATUS_{}", <&str>::from(after));
                assert_eq!((booking.status().as_str_name(), booking.version), (name.as_str(), 2), "{what}");
                assert_ne!(booking.etag, made.etag, "{what}");
                house.act(Change::Cancel, &made.booking_id).await.ok();
            } else {
                let refused = answer.expect_err(&what);
                let lapsed = status == BookingStatus::Expired && matches!(call, Change::Confirm | Change::Move(_));
                let reason = if lapsed { "HOLD_EXPIRED" } else { reason };
                let named = format!("BOOKING_STATUS_{}", <&str>::from(status));
                assert_eq!(refusal(&refused, "status"), (reason.to_owned(), named), "{what}");
                assert_eq!(refused.code(), Code::FailedPrecondition, "{what}");
                assert_eq!(house.service.written().await, before, "{what}");
            }
            assert_eq!(house.service.scalar::<i64>(super::SLOTS_THAT_MISCOUNT).await, 0, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_neither_cancelled_nor_moved_once_it_has_begun_nor_completed_before() {
    let house = House::firm(10).await;
    let made = house.book(2).await;
    for call in [Change::Complete, Change::NoShow] {
        let early = house.act(call, &made.booking_id).await.expect_err("too early");
        let expected = ("BOOKING_NOT_STARTED".to_owned(), "BOOKING_STATUS_CONFIRMED".to_owned());
        assert_eq!(refusal(&early, "status"), expected, "{call:?}");
    }
    house.begin(&made.booking_id).await;
    for (call, reason) in
        [(Change::Cancel, "BOOKING_NOT_CANCELLABLE"), (Change::Move("18:30"), "BOOKING_NOT_RESCHEDULABLE")]
    {
        let late = house.act(call, &made.booking_id).await.expect_err("too late");
        assert_eq!(refusal(&late, "status"), (reason.to_owned(), "BOOKING_STATUS_CONFIRMED".to_owned()));
    }
    house.act(Change::Complete, &made.booking_id).await.expect("it took place");
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_changes_nothing_and_one_whose_wish_came_true_is_fine() {
    let house = House::open(10).await;
    let made = house.book(2).await;
    let clients = &house.service.clients;
    let before = house.service.written().await;
    for stale in ["v0", "v2", "v01", "1", "what is this"] {
        let refused = act(clients, Change::Confirm, &made.booking_id, stale).await.expect_err(stale);
        assert_eq!((refused.code(), refusal(&refused, "").0.as_str()), (Code::Aborted, "ETAG_MISMATCH"), "{stale}");
    }
    assert_eq!(house.service.written().await, before);

    let confirmed = act(clients, Change::Confirm, &made.booking_id, &made.etag).await.expect("the current one");
    let refused = act(clients, Change::Cancel, &made.booking_id, &made.etag).await.expect_err("no longer current");
    assert_eq!(refused.code(), Code::Aborted);
    // What is asked for already stands: the etag does not matter, and nothing is written.
    let before = house.service.written().await;
    let again = act(clients, Change::Confirm, &made.booking_id, &made.etag).await.expect("it stands");
    assert_eq!(again, confirmed);
    for repeat in [Change::Move("18:00"), Change::Resize(2)] {
        assert_eq!(act(clients, repeat, &made.booking_id, &made.etag).await.expect("it stands"), confirmed);
    }
    assert_eq!(house.service.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_same_time_change_a_booking_once() {
    let house = House::open(10).await;
    for change in [Change::Confirm, Change::Resize(5), Change::Move("19:00"), Change::Cancel] {
        let made = house.book(2).await;
        let calls = (0..16).map(|_| house.act(change, &made.booking_id));
        for answer in futures::future::join_all(calls).await {
            assert_eq!(answer.expect("done, or it stands").version, 2, "{change:?}");
        }
        house.assert_sound().await;
        house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    }
    assert_eq!(house.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancelled_first_stays() {
    let house = House::firm(10).await;
    let made = house.book(2).await;
    for asked in [CancellationInitiator::Venue, CancellationInitiator::Customer] {
        let request = CancelBookingRequest {
            booking_id: made.booking_id.clone(),
            cancelled_by: asked.into(),
            ..Default::default()
        };
        let cancelled = house.service.clients.clone().bookings.cancel_booking(request).await.expect("cancelled");
        let cancelled = cancelled.into_inner().booking.expect("the booking");
        assert_eq!((cancelled.status(), cancelled.cancelled_by()), (Wire::Cancelled, CancellationInitiator::Venue));
        assert!(cancelled.cancelled_at.is_some() && cancelled.confirmed_at.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_told_field_by_field() {
    let house = House::firm(10).await;
    for (call, ..) in CALLS {
        let unknown = house.act(call, &Uuid::now_v7().to_string()).await.expect_err("not there");
        assert_eq!((unknown.code(), refusal(&unknown, "").0.as_str()), (Code::NotFound, "BOOKING_NOT_FOUND"));
        let no_id = house.act(call, "42").await.expect_err("no id");
        assert_eq!((no_id.code(), refusal(&no_id, "").0.as_str()), (Code::InvalidArgument, "INVALID_FIELDS"));
    }
    let wrong = CancelBookingRequest { cancelled_by: 9, ..Default::default() };
    let wrong = house.service.clients.clone().bookings.cancel_booking(wrong).await.expect_err("twice wrong");
    let violations = tonic_types::StatusExt::get_details_bad_request(&wrong).expect("a BadRequest").field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["cancelled_by", "booking_id"]);
}
