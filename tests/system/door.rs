//! Parties at the door: walk-ins, and who is seated, comes next, or is late.

use std::collections::HashSet;

use chrono::{DateTime, FixedOffset, TimeDelta, Timelike as _, Utc};
use futures::future::join_all;
use teppan_shared::contract::booking::v1::{
    Booking as Made, BookingStatus, Contact, CreateBookingRequest, EraseCustomerRequest, GetBookingRequest,
    GetCustomerRequest, ListFloorRequest, ListFloorResponse, MarkNoShowRequest, MergeCustomersRequest,
    RescheduleBookingRequest, SchedulePeriod, SeatBookingRequest, SetWeeklyScheduleRequest, Weekday,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A venue where it is about noon, with a start each 15 minutes, for visits of two hours.
struct Door {
    service: Booking,
    venue_id: String,
    /// The local time when the venue was made, rounded down to a start.
    start: DateTime<FixedOffset>,
}

impl Door {
    async fn open() -> Self {
        let service = Booking::start().await.ready().await;
        let clients = &mut service.clients.clone();
        let hours = 12 - i32::try_from(Utc::now().hour()).expect("an hour");
        // The signs of these zones are reversed.
        let zone = if hours == 0 { "Etc/UTC".to_owned() } else { format!("Etc/GMT{:+}", -hours) };
        let venue = fixtures::venue_with(clients, 1000, |venue| venue.time_zone = zone).await.expect("a venue");
        let period = SchedulePeriod {
            days: (Weekday::Monday as i32..=Weekday::Sunday as i32).collect(),
            first_start: "06:00".to_owned(),
            last_start: "21:00".to_owned(),
            interval_minutes: 15,
            duration_minutes: 120,
            capacity: 1000,
            price_per_person_cents: 3500,
            ..Default::default()
        };
        let venue_id = venue.venue_id;
        let schedule =
            SetWeeklyScheduleRequest { venue_id: venue_id.clone(), periods: vec![period], exceptions: Vec::new() };
        clients.schedule.set_weekly_schedule(schedule).await.expect("a schedule");
        let now = Utc::now().with_timezone(&FixedOffset::east_opt(3600 * hours).expect("an offset"));
        let start = now - TimeDelta::minutes(i64::from(now.minute() % 15));
        Self { service, venue_id, start }
    }

    /// A walk-in for the start this many minutes from the present one on.
    fn walk_in(&self, minutes: i64) -> CreateBookingRequest {
        let start = self.start + TimeDelta::minutes(minutes);
        CreateBookingRequest {
            date: start.format("%Y-%m-%d").to_string(),
            start_time: start.format("%H:%M").to_string(),
            contact: None,
            source: "walk_in".to_owned(),
            ..fixtures::booking(&self.venue_id, 2)
        }
    }

    async fn book(&self, request: CreateBookingRequest) -> Result<Made, Status> {
        let made = self.service.clients.clone().bookings.create_booking(request).await?;
        Ok(made.into_inner().booking.expect("the booking"))
    }

    async fn seat(&self, booking: &Made, undo: bool) -> Result<Made, Status> {
        let request = SeatBookingRequest { booking_id: booking.booking_id.clone(), undo, ..Default::default() };
        let seated = self.service.clients.clone().bookings.seat_booking(request).await?;
        Ok(seated.into_inner().booking.expect("the booking"))
    }

    async fn no_show(&self, booking: &Made) -> Result<Made, Status> {
        let request = MarkNoShowRequest { booking_id: booking.booking_id.clone(), ..Default::default() };
        let missed = self.service.clients.clone().bookings.mark_no_show(request).await?;
        Ok(missed.into_inner().booking.expect("the booking"))
    }

    async fn floor(&self, window_minutes: i32) -> ListFloorResponse {
        let request = ListFloorRequest { venue_id: self.venue_id.clone(), window_minutes, ..Default::default() };
        self.service.clients.clone().bookings.list_floor(request).await.expect("the floor").into_inner()
    }
}

fn reason(refused: &Status) -> String {
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    refused.get_details_error_info().expect("an ErrorInfo").reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_in_needs_no_contact_no_notice_and_no_deposit() {
    let door = Door::open().await;
    let policy =
        "UPDATE venues SET deposit_per_person_cents = 500, deposit_fixed_cents = 900, minimum_spend_cents = 90000,
                                    no_show_fee_per_person_cents = 2000";
    harness::execute(&door.service.url, policy).await;
    let made = door.book(door.walk_in(0)).await.expect("booked");
    assert_eq!((made.status(), made.deposit_cents, made.total_cents), (BookingStatus::Confirmed, 0, 7000));
    assert!(made.contact.is_none() && made.hold_expires_at.is_none() && !made.customer_id.is_empty());
    let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let read = door.service.clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking;
    assert_eq!(read.as_ref(), Some(&made));

    let preview = door.book(CreateBookingRequest { validate_only: true, ..door.walk_in(0) }).await.expect("previewed");
    assert_eq!((preview.status(), preview.deposit_cents, preview.terms), (made.status(), 0, made.terms));
    for validate_only in [false, true] {
        let late = CreateBookingRequest { validate_only, ..door.walk_in(-45) };
        let late = door.book(late).await.expect_err("it began long ago");
        assert_eq!(reason(&late), "INSUFFICIENT_NOTICE");
        assert_eq!(late.get_details_error_info().expect("an ErrorInfo").metadata["notice_minutes"], "-30");
    }
    let together = join_all((0..12).map(|_| door.book(door.walk_in(0)))).await;
    let price = |it: &Made| (it.total_cents, it.deposit_cents, it.terms);
    assert!(
        together.iter().flatten().all(|walk_in| price(walk_in) == price(&made)) && together.iter().all(Result::is_ok)
    );
    let left = door.no_show(&made).await.expect("they have left");
    assert_eq!((left.no_show_fee_cents, left.no_show_fee_due_cents), (0, 0));
    let web = CreateBookingRequest { source: "web-chat".to_owned(), ..door.walk_in(0) };
    let no_contact = door.book(web.clone()).await.expect_err("only walk-ins need none");
    assert_eq!(no_contact.code(), Code::InvalidArgument);
    let contact = fixtures::booking(&door.venue_id, 1).contact;
    let no_notice = door.book(CreateBookingRequest { contact, ..web }).await.expect_err("too soon");
    assert_eq!(reason(&no_notice), "INSUFFICIENT_NOTICE");
    crate::verify::assert_derivable(&door.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn walk_ins_that_come_together_are_different_guests() {
    let door = Door::open().await;
    let made = join_all((0..60).map(|_| door.book(door.walk_in(0)))).await;
    let guests: HashSet<_> = made.iter().map(|made| made.as_ref().expect("booked").customer_id.clone()).collect();
    assert_eq!(guests.len(), 60);
    let anonymous = "SELECT count(*) FROM customers WHERE is_anonymous AND num_nonnulls(email_hash, phone_hash) = 0";
    assert_eq!(door.service.scalar::<i64>(anonymous).await, 60);
    crate::verify::assert_derivable(&door.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_in_is_merged_into_a_known_customer_or_erased_like_anybody_else() {
    let door = Door::open().await;
    let name = Contact { name: "Mina".to_owned(), ..Default::default() };
    let named = door.book(CreateBookingRequest { contact: Some(name.clone()), ..door.walk_in(0) }).await;
    let named = named.expect("booked");
    assert_eq!(named.contact, Some(name.clone()));
    let known = fixtures::booking(&door.venue_id, 1).contact;
    let known = door.book(CreateBookingRequest { contact: known.clone(), ..door.walk_in(15) }).await.expect("booked");
    let mut customers = door.service.clients.customers.clone();
    let merge = MergeCustomersRequest {
        customer_id: known.customer_id.clone(),
        duplicate_customer_id: named.customer_id.clone(),
        ..Default::default()
    };
    customers.merge_customers(merge).await.expect("merged");
    let get = GetBookingRequest { booking_id: named.booking_id.clone(), ..Default::default() };
    let read = door.service.clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking;
    assert_eq!(read.expect("the booking").customer_id, known.customer_id);

    let nobody = door.book(door.walk_in(0)).await.expect("booked");
    let get = GetCustomerRequest { customer_id: nobody.customer_id.clone() };
    let customer = customers.get_customer(get.clone()).await.expect("read").into_inner().customer;
    assert!(customer.is_some_and(|customer| customer.contact.is_none() && customer.erased_at.is_none()));
    let erase = EraseCustomerRequest { customer_id: nobody.customer_id.clone() };
    customers.erase_customer(erase).await.expect("erased");
    let customer = customers.get_customer(get).await.expect("read").into_inner().customer;
    assert!(customer.is_some_and(|customer| customer.erased_at.is_some()));
    let left = "SELECT count(*) FROM bookings WHERE details_sealed IS NULL AND erased_at IS NOT NULL";
    assert_eq!(door.service.scalar::<i64>(left).await, 1);
    crate::verify::assert_derivable(&door.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_shows_who_is_seated_who_comes_next_and_who_is_late() {
    let door = Door::open().await;
    let present = door.book(door.walk_in(0)).await.expect("booked");
    let late = door.book(door.walk_in(-15)).await.expect("booked");
    let next = door.book(door.walk_in(30)).await.expect("booked");
    let far = door.book(door.walk_in(150)).await.expect("booked");
    let seated = door.seat(&present, false).await.expect("seated");
    assert!(seated.seated_at.is_some() && seated.version == 2);
    assert_eq!(door.seat(&present, false).await.expect("again"), seated, "the first seating stays");

    let floor = door.floor(0).await;
    let [area] = &floor.areas[..] else { panic!("one area: {floor:?}") };
    let ids = |list: &[Made]| list.iter().map(|booking| booking.booking_id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&area.seated), std::slice::from_ref(&present.booking_id));
    assert_eq!(ids(&area.late), std::slice::from_ref(&late.booking_id));
    assert_eq!(ids(&area.arriving), std::slice::from_ref(&next.booking_id));
    assert_eq!((area.seated_guests, area.late_guests, area.arriving_guests, floor.truncated), (2, 2, 2, false));
    let floor = door.floor(300).await;
    assert_eq!(ids(&floor.areas[0].arriving), [next.booking_id.clone(), far.booking_id.clone()]);

    assert_eq!(reason(&door.seat(&far, false).await.expect_err("refused")), "TOO_EARLY_TO_SEAT");
    assert_eq!(reason(&door.no_show(&present).await.expect_err("refused")), "BOOKING_SEATED");
    assert!(door.seat(&present, true).await.expect("undone").seated_at.is_none());
    assert_eq!(door.no_show(&present).await.expect("it did not come").status(), BookingStatus::NoShow);
    assert_eq!(reason(&door.seat(&present, false).await.expect_err("refused")), "BOOKING_NOT_SEATABLE");

    let early = door.book(door.walk_in(90)).await.expect("booked");
    door.seat(&early, false).await.expect("it came early");
    let floor = door.floor(60).await;
    assert_eq!(ids(&floor.areas[0].seated), [early.booking_id], "also before the window that its start is in");

    // A party that came early and takes a later table is not seated there yet.
    door.seat(&next, false).await.expect("it came early");
    let move_it = RescheduleBookingRequest {
        booking_id: next.booking_id.clone(),
        start_time: door.walk_in(300).start_time,
        ..Default::default()
    };
    let moved = door.service.clients.clone().bookings.reschedule_booking(move_it).await.expect("moved");
    assert!(moved.into_inner().booking.expect("the booking").seated_at.is_none());

    let nowhere = ListFloorRequest { venue_id: uuid::Uuid::new_v4().to_string(), ..Default::default() };
    let refused = door.service.clients.clone().bookings.list_floor(nowhere).await.expect_err("no venue");
    assert_eq!(refused.code(), Code::NotFound);
    let wrong = ListFloorRequest { venue_id: "x".to_owned(), at: None, window_minutes: 1441 };
    let refused = door.service.clients.clone().bookings.list_floor(wrong).await.expect_err("invalid");
    assert_eq!(refused.get_details_bad_request().expect("a BadRequest").field_violations.len(), 2);
    crate::verify::assert_derivable(&door.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_seatings_and_no_shows_of_a_booking_one_decides() {
    let door = Door::open().await;
    for _ in 0..8 {
        let made = door.book(door.walk_in(-15)).await.expect("booked");
        let seatings = join_all((0..6).map(|_| door.seat(&made, false)));
        let no_shows = join_all((0..6).map(|_| door.no_show(&made)));
        let (seated, missed) = tokio::join!(seatings, no_shows);
        let (seated, missed) = (seated.iter().filter(|it| it.is_ok()), missed.iter().filter(|it| it.is_ok()));
        assert!(matches!((seated.count(), missed.count()), (6, 0) | (0, 6)));
    }
    let changes = "SELECT count(*) FROM booking_events WHERE version > 1";
    assert_eq!(harness::scalar::<i64>(&door.service.url, changes).await, 8, "each booking has one change");
    crate::verify::assert_derivable(&door.service.url).await;
}
