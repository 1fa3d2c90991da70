//! The reminders of bookings, from booking-service to conversation-service.

use prost_types::FieldMask;
use sqlx::AssertSqlSafe;
use teppan_shared::contract::booking::v1::{
    Booking as Made, CancelBookingRequest, ConfirmBookingRequest, GetVenueRequest, RescheduleBookingRequest,
    UpdateBookingRequest, UpdateVenueRequest, Venue, VenueReminders,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking, Conversation},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{customers::erasure::booking_beside, dispatch, outbox::stage::all_delivered, verify};

/// Both services, and a venue whose bookings are confirmed at once, with slots at 18:00.
struct Stage {
    booking: Booking,
    conversation: Conversation,
    venue: Venue,
}

impl Stage {
    async fn with_deposit(percent: i32) -> Self {
        let conversation = dispatch::fixture::start().await;
        let booking = booking_beside(&conversation).await;
        let mut clients = booking.clients.clone();
        let venue = fixtures::venue_with(&mut clients, 100, |venue| {
            venue.deposit_percent = Some(percent);
            venue.reminders = None;
        });
        let venue = venue.await.expect("a venue");
        Self { booking, conversation, venue }
    }

    async fn book(&self) -> Made {
        let request = fixtures::booking(&self.venue.venue_id, 2);
        let made = self.booking.clients.clone().bookings.create_booking(request).await.expect("booked").into_inner();
        made.booking.expect("the booking")
    }

    async fn confirm(&self, made: &Made, confirmed_by_guest: bool) -> Result<Made, Status> {
        let request =
            ConfirmBookingRequest { booking_id: made.booking_id.clone(), confirmed_by_guest, ..Default::default() };
        let confirmed = self.booking.clients.clone().bookings.confirm_booking(request).await?.into_inner();
        Ok(confirmed.booking.expect("the booking"))
    }

    async fn move_by_days(&self, made: &Made, days: u64) -> Made {
        let request = RescheduleBookingRequest {
            booking_id: made.booking_id.clone(),
            date: (fixtures::date() + chrono::Days::new(days)).to_string(),
            ..Default::default()
        };
        let moved = self.booking.clients.clone().bookings.reschedule_booking(request).await.expect("moved");
        moved.into_inner().booking.expect("the booking")
    }

    /// The kind and minutes of each follow-up of the booking that waits, and how long before the start (or after the
    /// end) of the booking it is due; in the order of their times.
    async fn waiting(&self, made: &Made) -> Vec<String> {
        all_delivered(&self.booking).await;
        let times: (i64, i64) = {
            let sql = format!(
                "SELECT extract(epoch FROM starts_at)::bigint, extract(epoch FROM ends_at)::bigint
                 FROM bookings WHERE booking_id = '{}'",
                made.booking_id
            );
            let mut connection = harness::connect(&self.booking.url).await;
            sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("the booking")
        };
        let sql = format!(
            "SELECT CASE trigger WHEN 'REMINDER'
                    THEN split_part(subject, ':', 3) || ' before: ' || ({} - extract(epoch FROM due_at)::bigint) / 60
                    ELSE 'after: ' || (extract(epoch FROM due_at)::bigint - {}) / 60 END
             FROM follow_ups WHERE starts_with(subject, 'booking:{}') AND status = 'PENDING' ORDER BY due_at",
            times.0, times.1, made.booking_id
        );
        let mut connection = harness::connect(&self.conversation.url).await;
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("the follow-ups")
    }
}

/// What waits for a confirmed booking of a venue with the default reminders.
const ALL: [&str; 3] = ["1440 before: 1440", "180 before: 180", "after: 1440"];

#[tokio::test(flavor = "multi_thread")]
async fn reminders_follow_their_booking() {
    let stage = Stage::with_deposit(25).await;
    let made = stage.book().await;
    assert_eq!(stage.waiting(&made).await, [""; 0], "it waits for its deposit");
    stage.confirm(&made, false).await.expect("confirmed");
    assert_eq!(stage.waiting(&made).await, ALL);
    stage.move_by_days(&made, 2).await;
    assert_eq!(stage.waiting(&made).await, ALL);
    let cancel = CancelBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    stage.booking.clients.clone().bookings.cancel_booking(cancel).await.expect("cancelled");
    assert_eq!(stage.waiting(&made).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_who_confirms_is_not_reminded_again_until_the_booking_moves() {
    let stage = Stage::with_deposit(0).await;
    let made = stage.book().await;
    assert_eq!((stage.waiting(&made).await, made.guest_confirmed_at), (ALL.map(str::to_owned).to_vec(), None));
    let confirmed = stage.confirm(&made, true).await.expect("confirmed");
    assert!(confirmed.guest_confirmed_at.is_some() && confirmed.status == made.status, "{confirmed:?}");
    assert_eq!(stage.waiting(&made).await, ["after: 1440"]);
    assert_eq!(stage.confirm(&made, true).await.expect("confirmed"), confirmed, "once");
    let moved = stage.move_by_days(&made, 1).await;
    assert_eq!(moved.guest_confirmed_at, None);
    assert_eq!(stage.waiting(&made).await, ALL);
    verify::assert_derivable(&stage.booking.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_cannot_confirm_instead_of_paying_the_deposit() {
    let stage = Stage::with_deposit(25).await;
    let made = stage.book().await;
    let refused = stage.confirm(&made, true).await.expect_err("refused");
    let info = refused.get_error_details().error_info().expect("an ErrorInfo").clone();
    assert_eq!((refused.code(), info.reason.as_str()), (Code::FailedPrecondition, "BOOKING_NOT_CONFIRMABLE"));
    assert_eq!(info.metadata["status"], "BOOKING_STATUS_PENDING");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_end_of_the_visit_moves_the_question_after_it() {
    let stage = Stage::with_deposit(0).await;
    let made = stage.book().await;
    assert_eq!(stage.waiting(&made).await, ALL);
    let mut wish = Made { booking_id: made.booking_id.clone(), ends_at: made.ends_at, ..Default::default() };
    wish.ends_at.as_mut().expect("the end").seconds -= 1800;
    let request = UpdateBookingRequest {
        booking: Some(wish),
        update_mask: Some(FieldMask { paths: vec!["ends_at".to_owned()] }),
        ..Default::default()
    };
    stage.booking.clients.clone().bookings.update_booking(request).await.expect("updated");
    assert_eq!(stage.waiting(&made).await, ALL, "24 hours after the new end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_chooses_its_reminders() {
    let stage = Stage::with_deposit(0).await;
    let schedule = stage.booking.clients.clone().schedule;
    let default = VenueReminders { minutes_before: vec![1440, 180] };
    let read = async || {
        let request = GetVenueRequest { venue_id: stage.venue.venue_id.clone() };
        schedule.clone().get_venue(request).await.expect("read").into_inner().venue.expect("the venue").reminders
    };
    assert_eq!(read().await, Some(default));
    let set = async |minutes: &[i32]| {
        let venue = Venue {
            venue_id: stage.venue.venue_id.clone(),
            reminders: Some(VenueReminders { minutes_before: minutes.to_vec() }),
            ..Default::default()
        };
        let update_mask = Some(FieldMask { paths: vec!["reminders".to_owned()] });
        schedule
            .clone()
            .update_venue(UpdateVenueRequest { venue: Some(venue), update_mask, ..Default::default() })
            .await
    };
    for wrong in [&[0][..], &[20_161], &[60, 60], &[1, 2, 3, 4, 5, 6]] {
        let refused = set(wrong).await.expect_err("refused");
        let violations = refused.get_details_bad_request().expect("violations").field_violations;
        assert_eq!(violations[0].field, "venue.reminders.minutes_before", "{wrong:?}");
    }
    set(&[60, 120]).await.expect("set");
    assert_eq!(read().await, Some(VenueReminders { minutes_before: vec![120, 60] }));
    assert_eq!(stage.waiting(&stage.book().await).await, ["120 before: 120", "60 before: 60", "after: 1440"]);
    set(&[]).await.expect("set");
    assert_eq!(stage.waiting(&stage.book().await).await, ["after: 1440"]);
}
