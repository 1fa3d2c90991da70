//! Changes of existing bookings.

pub mod deposits;
mod expiry;
mod failures;
mod notifications;
mod previews;
mod refunds;
mod reinstating;
mod rescheduling;
mod states;
mod storm;
pub mod terms;
mod updating;

use sqlx::AssertSqlSafe;
use teppan_shared::contract::booking::v1::{
    Booking as Made, CancelBookingRequest, CompleteBookingRequest, ConfirmBookingRequest, MarkNoShowRequest,
    ReinstateBookingRequest, RescheduleBookingRequest, SchedulePeriod, SetWeeklyScheduleRequest,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking},
    invariants::{BROKEN_CHAINS, SLOTS_THAT_MISCOUNT},
};
use tonic::Status;
use tonic_types::StatusExt as _;

/// A booking-service, and a venue with slots at 18:00, 18:30 and 19:00 every day.
pub struct VenueFixture {
    pub service: Booking,
    pub venue_id: String,
}

impl VenueFixture {
    /// New bookings are pending until a deposit of 25 % is paid.
    pub async fn with_deposit(seats: i32) -> Self {
        Self::over(Booking::start().await.ready().await, seats, 25).await
    }

    /// New bookings are confirmed at once.
    pub async fn without_deposit(seats: i32) -> Self {
        Self::over(Booking::start().await.ready().await, seats, 0).await
    }

    /// Creates the venue in this service.
    pub async fn over(mut service: Booking, seats: i32, deposit_percent: i32) -> Self {
        let clients = &mut service.clients;
        let venue = fixtures::venue_with(clients, seats, |venue| venue.deposit_percent = Some(deposit_percent)).await;
        let venue_id = venue.expect("a venue").venue_id;
        let SetWeeklyScheduleRequest { periods, .. } = fixtures::every_evening(&venue_id, seats);
        let periods = periods.into_iter().map(|period| SchedulePeriod {
            last_start: "19:00".to_owned(),
            interval_minutes: 30,
            ..period
        });
        let schedule =
            SetWeeklyScheduleRequest { venue_id: venue_id.clone(), periods: periods.collect(), ..Default::default() };
        clients.schedule.set_weekly_schedule(schedule).await.expect("slots");
        Self { service, venue_id }
    }

    /// Books the slot at 18:00.
    pub async fn book(&self, party_size: i32) -> Made {
        let request = fixtures::booking(&self.venue_id, party_size);
        let made = self.service.clients.clone().bookings.create_booking(request).await.expect("booked");
        made.into_inner().booking.expect("the booking")
    }

    pub async fn act(&self, change: Change, booking_id: &str) -> Result<Made, Status> {
        act(&self.service.clients, change, booking_id, "").await
    }

    /// Runs SQL directly in the service's database.
    pub async fn sql(&self, sql: impl Into<String>) {
        harness::execute(&self.service.url, AssertSqlSafe(sql.into())).await;
    }

    /// Sets the status of a booking, and the seats of its slots, directly in the database.
    pub async fn set_status(&self, booking_id: &str, status: &str) {
        self.sql(format!(
            "UPDATE bookings
             SET status = '{status}',
                 hold_expires_at = CASE WHEN '{status}' = 'PENDING' THEN now() + interval '1 hour' END,
                 confirmed_at = CASE WHEN '{status}' IN ('CONFIRMED', 'COMPLETED', 'NO_SHOW') THEN now() END,
                 cancelled_at = CASE WHEN '{status}' = 'CANCELLED' THEN now() END,
                 cancelled_by = CASE WHEN '{status}' = 'CANCELLED' THEN 'VENUE' END
             WHERE booking_id = '{booking_id}';
             UPDATE slots s SET reserved = (
                 SELECT COALESCE(sum(party_size), 0) FROM bookings b
                 WHERE (b.venue_id, b.slot_date, b.start_time) = (s.venue_id, s.slot_date, s.start_time)
                   AND b.status IN ('PENDING', 'CONFIRMED'))
             WHERE venue_id = '{}' AND slot_date = '{}'",
            self.venue_id,
            fixtures::date()
        ))
        .await;
    }

    /// Moves a booking to the past hour: it started an hour ago and ends now.
    pub async fn mark_started(&self, booking_id: &str) {
        self.sql(format!(
            "UPDATE bookings SET starts_at = now() - interval '1 hour', ends_at = now() WHERE booking_id = '{booking_id}'"
        ))
        .await;
    }

    /// Sets the end of a pending booking's hold to a moment ago. The booking stays pending until an expiry run.
    pub async fn expire_hold(&self, booking_id: &str) {
        self.sql(format!(
            "UPDATE bookings SET hold_expires_at = now() - interval '1 millisecond'
             WHERE booking_id = '{booking_id}' AND status = 'PENDING'"
        ))
        .await;
    }

    pub async fn assert_consistent(&self) {
        assert_eq!(
            self.service.scalar::<i64>(SLOTS_THAT_MISCOUNT).await,
            0,
            "slots with a wrong number of reserved seats"
        );
        assert_eq!(self.service.scalar::<i64>(BROKEN_CHAINS).await, 0, "bookings with a broken hash chain");
    }
}

/// A call that changes a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Confirm,
    Cancel,
    Move(&'static str),
    Resize(i32),
    Complete,
    NoShow,
    Reinstate,
}

pub async fn act(clients: &BookingClients, change: Change, booking_id: &str, etag: &str) -> Result<Made, Status> {
    let mut bookings = clients.bookings.clone();
    let (booking_id, etag) = (booking_id.to_owned(), etag.to_owned());
    let booking = match change {
        Change::Confirm => {
            bookings
                .confirm_booking(ConfirmBookingRequest { booking_id, etag, ..Default::default() })
                .await?
                .into_inner()
                .booking
        }
        Change::Cancel => {
            let request = CancelBookingRequest { booking_id, etag, ..Default::default() };
            bookings.cancel_booking(request).await?.into_inner().booking
        }
        Change::Move(time) => {
            let start_time = time.to_owned();
            let request = RescheduleBookingRequest { booking_id, etag, start_time, ..Default::default() };
            bookings.reschedule_booking(request).await?.into_inner().booking
        }
        Change::Resize(party_size) => {
            let party_size = Some(party_size);
            let request = RescheduleBookingRequest { booking_id, etag, party_size, ..Default::default() };
            bookings.reschedule_booking(request).await?.into_inner().booking
        }
        Change::Complete => {
            bookings
                .complete_booking(CompleteBookingRequest { booking_id, etag, validate_only: false })
                .await?
                .into_inner()
                .booking
        }
        Change::NoShow => {
            bookings
                .mark_no_show(MarkNoShowRequest { booking_id, etag, ..Default::default() })
                .await?
                .into_inner()
                .booking
        }
        Change::Reinstate => {
            let request = ReinstateBookingRequest { booking_id, etag, validate_only: false };
            bookings.reinstate_booking(request).await?.into_inner().booking
        }
    };
    Ok(booking.expect("the booking"))
}

/// The reason of a refusal, and one value of its metadata (empty if there is none).
pub fn refusal(status: &Status, name: &str) -> (String, String) {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    (info.reason, info.metadata.get(name).cloned().unwrap_or_default())
}
