use booking_service::domain::{BookingChange, BookingStatus};
use teppan_shared::contract::booking::v1::{BookingStatus as Wire, CancelBookingRequest, CancellationInitiator};
use tonic::Code;
use uuid::Uuid;

use super::{Change, VenueFixture, act, refusal};

/// Each call, its change in the state machine, the resulting state, and the reason of a refusal in other states.
const CALLS: [(Change, BookingChange, Option<BookingStatus>, &str); 5] = [
    (Change::Confirm, BookingChange::Confirm, Some(BookingStatus::Confirmed), "BOOKING_NOT_CONFIRMABLE"),
    (Change::Cancel, BookingChange::Cancel, Some(BookingStatus::Cancelled), "BOOKING_NOT_CANCELLABLE"),
    (Change::Move("18:30"), BookingChange::Reschedule, None, "BOOKING_NOT_RESCHEDULABLE"),
    (Change::Complete, BookingChange::Complete, Some(BookingStatus::Completed), "BOOKING_NOT_COMPLETABLE"),
    (Change::NoShow, BookingChange::MarkNoShow, Some(BookingStatus::NoShow), "NO_SHOW_NOT_ALLOWED"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_allowed_in_exactly_the_states_of_the_state_machine() {
    let fixture = VenueFixture::with_deposit(200).await;
    for &status in BookingStatus::ALL {
        for (call, change, target, reason) in CALLS {
            let what = format!("{call:?} of a booking that is {status:?}");
            let made = fixture.book(3).await;
            fixture.set_status(&made.booking_id, status.into()).await;
            if matches!(call, Change::Complete | Change::NoShow) {
                fixture.mark_started(&made.booking_id).await;
            }
            let before = fixture.service.written().await;
            let answer = fixture.act(call, &made.booking_id).await;

            if target == Some(status) {
                assert_eq!(answer.expect(&what).version, 1, "{what}: no change is needed");
                assert_eq!(fixture.service.written().await, before, "{what}");
            } else if let Some(after) = status.after(change) {
                let booking = answer.expect(&what);
                let name = format!("BOOKING_STATUS_{}", <&str>::from(after));
                assert_eq!((booking.status().as_str_name(), booking.version), (name.as_str(), 2), "{what}");
                assert_ne!(booking.etag, made.etag, "{what}");
                fixture.act(Change::Cancel, &made.booking_id).await.ok();
            } else {
                let refused = answer.expect_err(&what);
                let hold_expired =
                    status == BookingStatus::Expired && matches!(call, Change::Confirm | Change::Move(_));
                let reason = if hold_expired { "HOLD_EXPIRED" } else { reason };
                let status_name = format!("BOOKING_STATUS_{}", <&str>::from(status));
                assert_eq!(refusal(&refused, "status"), (reason.to_owned(), status_name), "{what}");
                assert_eq!(refused.code(), Code::FailedPrecondition, "{what}");
                assert_eq!(fixture.service.written().await, before, "{what}");
            }
            assert_eq!(fixture.service.scalar::<i64>(super::SLOTS_THAT_MISCOUNT).await, 0, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_can_be_cancelled_or_moved_only_before_its_start_and_completed_only_after_it() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(2).await;
    for call in [Change::Complete, Change::NoShow] {
        let early = fixture.act(call, &made.booking_id).await.expect_err("too early");
        let expected = ("BOOKING_NOT_STARTED".to_owned(), "BOOKING_STATUS_CONFIRMED".to_owned());
        assert_eq!(refusal(&early, "status"), expected, "{call:?}");
    }
    fixture.mark_started(&made.booking_id).await;
    for (call, reason) in
        [(Change::Cancel, "BOOKING_NOT_CANCELLABLE"), (Change::Move("18:30"), "BOOKING_NOT_RESCHEDULABLE")]
    {
        let late = fixture.act(call, &made.booking_id).await.expect_err("too late");
        assert_eq!(refusal(&late, "status"), (reason.to_owned(), "BOOKING_STATUS_CONFIRMED".to_owned()));
    }
    fixture.act(Change::Complete, &made.booking_id).await.expect("it took place");
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_is_refused_unless_the_booking_already_is_as_requested() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(2).await;
    let clients = &fixture.service.clients;
    let before = fixture.service.written().await;
    for stale in ["v0", "v2", "v01", "1", "what is this"] {
        let refused = act(clients, Change::Confirm, &made.booking_id, stale).await.expect_err(stale);
        assert_eq!((refused.code(), refusal(&refused, "").0.as_str()), (Code::Aborted, "ETAG_MISMATCH"), "{stale}");
    }
    assert_eq!(fixture.service.written().await, before);

    let confirmed = act(clients, Change::Confirm, &made.booking_id, &made.etag).await.expect("the current one");
    let refused = act(clients, Change::Cancel, &made.booking_id, &made.etag).await.expect_err("no longer current");
    assert_eq!(refused.code(), Code::Aborted);
    // The booking already is as requested: the etag does not matter, and nothing is written.
    let before = fixture.service.written().await;
    let again = act(clients, Change::Confirm, &made.booking_id, &made.etag).await.expect("no change is needed");
    assert_eq!(again, confirmed);
    for repeat in [Change::Move("18:00"), Change::Resize(2)] {
        assert_eq!(act(clients, repeat, &made.booking_id, &made.etag).await.expect("no change is needed"), confirmed);
    }
    assert_eq!(fixture.service.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_of_a_change_change_a_booking_once() {
    let fixture = VenueFixture::with_deposit(10).await;
    for change in [Change::Confirm, Change::Resize(5), Change::Move("19:00"), Change::Cancel] {
        let made = fixture.book(2).await;
        let calls = (0..16).map(|_| fixture.act(change, &made.booking_id));
        for answer in futures::future::join_all(calls).await {
            assert_eq!(answer.expect("done, or no change is needed").version, 2, "{change:?}");
        }
        fixture.assert_consistent().await;
        fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    }
    assert_eq!(fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cancellation_keeps_the_initiator_of_the_first() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(2).await;
    for initiator in [CancellationInitiator::Venue, CancellationInitiator::Customer] {
        let request = CancelBookingRequest {
            booking_id: made.booking_id.clone(),
            cancelled_by: initiator.into(),
            ..Default::default()
        };
        let cancelled = fixture.service.clients.clone().bookings.cancel_booking(request).await.expect("cancelled");
        let cancelled = cancelled.into_inner().booking.expect("the booking");
        assert_eq!((cancelled.status(), cancelled.cancelled_by()), (Wire::Cancelled, CancellationInitiator::Venue));
        assert!(cancelled.cancelled_at.is_some() && cancelled.confirmed_at.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_unknown_bookings_and_invalid_fields_are_refused() {
    let fixture = VenueFixture::without_deposit(10).await;
    for (call, ..) in CALLS {
        let unknown = fixture.act(call, &Uuid::now_v7().to_string()).await.expect_err("not there");
        assert_eq!((unknown.code(), refusal(&unknown, "").0.as_str()), (Code::NotFound, "BOOKING_NOT_FOUND"));
        let no_id = fixture.act(call, "42").await.expect_err("no id");
        assert_eq!((no_id.code(), refusal(&no_id, "").0.as_str()), (Code::InvalidArgument, "INVALID_FIELDS"));
    }
    let invalid = CancelBookingRequest { cancelled_by: 9, ..Default::default() };
    let invalid =
        fixture.service.clients.clone().bookings.cancel_booking(invalid).await.expect_err("two fields are invalid");
    let violations = tonic_types::StatusExt::get_details_bad_request(&invalid).expect("a BadRequest").field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["cancelled_by", "booking_id"]);
}
