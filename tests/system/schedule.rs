use chrono::{Datelike as _, NaiveDate};
use teppan_shared::contract::booking::v1::{
    BatchCheckAvailabilityRequest, CreateBookingRequest, CreateVenueRequest, CreateVenueResponse, GetVenueRequest,
    JoinWaitlistRequest, ListAvailabilityRequest, ScheduleException, SchedulePeriod, SetWeeklyScheduleRequest,
    SlotAvailability, SlotQuery, UnavailableReason, UpdateVenueRequest, Venue, Weekday,
};
use teppan_tests::{clients::BookingClients, fixtures, harness::Booking};
use tonic::Code;
use tonic_types::StatusExt as _;

async fn slots(clients: &mut BookingClients, venue_id: &str, page_size: i32) -> Vec<SlotAvailability> {
    let mut request = ListAvailabilityRequest { venue_id: venue_id.to_owned(), page_size, ..Default::default() };
    let mut slots = Vec::new();
    loop {
        let page = clients.schedule.list_availability(request.clone()).await.expect("listed").into_inner();
        assert!(page.slots.len() <= usize::try_from(page_size).expect("positive"));
        slots.extend(page.slots);
        if page.next_page_token.is_empty() {
            return slots;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weekly_schedule_lays_out_the_slots_up_to_the_horizon() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let period = SchedulePeriod {
        days: (Weekday::Tuesday as i32..=Weekday::Sunday as i32).collect(), // closed on Mondays
        first_start: "11:00".to_owned(),
        last_start: "19:00".to_owned(),
        capacity: 40,
        price_per_person_cents: 3500,
        ..Default::default()
    };
    let request = SetWeeklyScheduleRequest {
        venue_id: venue.venue_id.clone(),
        periods: vec![period.clone()],
        exceptions: Vec::new(),
    };
    let done = booking.clients.schedule.set_weekly_schedule(request.clone()).await.expect("set").into_inner();
    // 91 days are 13 weeks: 13 Mondays without slots, and 78 days with 17 slots each, one of which existed before.
    let (days, mondays) = (78, 13);
    assert_eq!((done.slots_created, done.slots_updated, done.slots_closed), (days * 16, days, mondays));

    let all = slots(&mut booking.clients, &venue.venue_id, 97).await;
    let is_monday = |slot: &&SlotAvailability| {
        let date: NaiveDate = slot.date.parse().expect("a date");
        date.weekday() == chrono::Weekday::Mon
    };
    let (closed, open): (Vec<_>, Vec<_>) = all.iter().partition(is_monday);
    assert_eq!(i32::try_from(open.len()), Ok(days * 17));
    assert!(open.iter().all(|slot| slot.unavailable_reason() != UnavailableReason::SlotClosed));
    // Of a slot of today, the reason may be the notice.
    assert!(closed.iter().all(|slot| slot.unavailable_reason() != UnavailableReason::Unspecified));
    let keys: Vec<_> = all.iter().map(|slot| (&slot.date, &slot.start_time)).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "no slot is missing or listed twice");

    // Setting the same schedule again changes nothing, and GetVenue returns it unchanged.
    let again = booking.clients.schedule.set_weekly_schedule(request).await.expect("set").into_inner();
    assert_eq!((again.slots_created, again.slots_updated, again.slots_unchanged), (0, 0, days * 17));
    let get = GetVenueRequest { venue_id: venue.venue_id };
    let schedule = booking.clients.schedule.get_venue(get).await.expect("read").into_inner().schedule;
    let expected = SchedulePeriod { interval_minutes: 30, duration_minutes: 120, ..period };
    assert_eq!(schedule.expect("a schedule").periods, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_schedule_changes_no_booking() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 6)).await.expect("booked");

    let fewer = fixtures::every_evening(&venue.venue_id, 4);
    let done = booking.clients.schedule.set_weekly_schedule(fewer).await.expect("set").into_inner();
    assert_eq!((done.slots_updated, done.slots_kept_reserved), (91, 1));
    assert_eq!(booking.scalar::<i32>("SELECT max(capacity) FROM slots").await, 6);

    let mut closed = fixtures::every_evening(&venue.venue_id, 4);
    closed.exceptions =
        vec![ScheduleException { date: fixtures::date().to_string(), closed: true, ..Default::default() }];
    let done = booking.clients.schedule.set_weekly_schedule(closed).await.expect("set").into_inner();
    assert_eq!((done.slots_closed, done.slots_kept_reserved), (1, 1));
    let status =
        booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect_err("closed");
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "SLOT_CLOSED");
    assert_eq!(booking.scalar::<i64>("SELECT count(*) FROM bookings WHERE status = 'PENDING'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_schedules_are_applied_one_after_another_while_bookings_are_made() {
    let booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients.clone(), 50).await.expect("a venue");
    // Each schedule has the evening slots, which are booked, and one hour of its own.
    let set = (0..8).map(|n| {
        let mut clients = booking.clients.clone();
        let mut schedule = fixtures::every_evening(&venue.venue_id, 50 + n);
        let hour = format!("{}:00", 10 + n);
        let own = SchedulePeriod { first_start: hour.clone(), last_start: hour, ..schedule.periods[0].clone() };
        schedule.periods.insert(0, own);
        async move { clients.schedule.set_weekly_schedule(schedule).await.map(|_| ()) }
    });
    let book = (0..40).map(|_| {
        let mut clients = booking.clients.clone();
        let request = fixtures::booking(&venue.venue_id, 1);
        async move { clients.bookings.create_booking(request).await.map(|_| ()) }
    });
    let (set, booked) = tokio::join!(futures::future::join_all(set), futures::future::join_all(book));
    for answer in set.into_iter().chain(booked) {
        answer.expect("no call makes another fail");
    }
    assert_eq!(booking.scalar::<i32>("SELECT max(reserved) FROM slots").await, 40);

    // The slots are those of the stored schedule alone.
    let get = GetVenueRequest { venue_id: venue.venue_id };
    let kept = booking.clients.clone().schedule.get_venue(get).await.expect("read").into_inner().schedule;
    let kept = kept.expect("a schedule").periods;
    let starts: Vec<_> = kept.iter().map(|period| period.first_start.as_str()).collect();
    assert_eq!(starts.len(), 2, "{starts:?}");
    let open = "SELECT string_agg(DISTINCT left(start_time::text, 5), ' ') FROM slots WHERE state = 'OPEN'";
    assert_eq!(booking.scalar::<String>(open).await, starts.join(" "));
    let capacities = "SELECT array_agg(DISTINCT capacity) FROM slots WHERE state = 'OPEN'";
    assert_eq!(booking.scalar::<Vec<i32>>(capacities).await, [kept[0].capacity]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_violations_of_a_schedule_are_reported_at_once() {
    let mut booking = Booking::start().await.ready().await;
    let period = |days: &[i32], first: &str, last: &str| SchedulePeriod {
        days: days.to_vec(),
        first_start: first.to_owned(),
        last_start: last.to_owned(),
        capacity: 10,
        ..Default::default()
    };
    let request = SetWeeklyScheduleRequest {
        venue_id: "x".to_owned(),
        periods: vec![
            period(&[1, 1, 9], "11:00", "10:00"),
            SchedulePeriod {
                capacity: 0,
                interval_minutes: 1,
                price_per_person_cents: -1,
                ..period(&[], "11", "12:00")
            },
            period(&[2], "18:00", "20:00"),
            period(&[2, 3], "19:00", "19:00"),
        ],
        exceptions: vec![
            ScheduleException { date: "2026-12-24".to_owned(), closed: true, capacity: Some(3), ..Default::default() },
            ScheduleException { date: "24.12.".to_owned(), ..Default::default() },
        ],
    };
    let status = booking.clients.schedule.set_weekly_schedule(request).await.expect_err("wrong");
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    let mut fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "exceptions[0].closed",
            "exceptions[1].date",
            "periods[0].days[2]",
            "periods[0].last_start",
            "periods[1].capacity",
            "periods[1].days",
            "periods[1].first_start",
            "periods[1].interval_minutes",
            "periods[1].price_per_person_cents",
            "periods[3]",
            "venue_id",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_may_be_in_any_zone_of_the_rules_in_force_and_in_no_other() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    // PostgreSQL knows CET only as an abbreviation without summer time; its rules do not matter.
    for good in ["CET", "Europe/Berlin", "America/Vancouver", "Etc/GMT+5"] {
        let venue = fixtures::venue_with(clients, 4, |venue| good.clone_into(&mut venue.time_zone)).await;
        assert_eq!(venue.expect("a venue").time_zone, good);
    }
    for bad in ["Mars/Olympus", "europe/berlin", "+01:00", "CEST", ""] {
        let refused = fixtures::venue_with(clients, 4, |venue| bad.clone_into(&mut venue.time_zone)).await;
        let details = refused.expect_err(bad).get_details_bad_request().expect("a BadRequest");
        assert_eq!(details.field_violations[0].field, "time_zone", "{bad}");
    }
}

/// The reasons why the fixtures' evening cannot be booked, from three calls.
async fn refusals(clients: &mut BookingClients, venue_id: &str) -> [String; 3] {
    let reason = |status: tonic::Status| status.get_details_error_info().expect("an ErrorInfo").reason;
    let booked = clients.bookings.create_booking(fixtures::booking(venue_id, 1)).await.expect_err("refused");
    let CreateBookingRequest { date, start_time, contact, idempotency_key, .. } = fixtures::booking(venue_id, 1);
    let wait = JoinWaitlistRequest {
        idempotency_key,
        venue_id: venue_id.to_owned(),
        date: date.clone(),
        start_time: start_time.clone(),
        party_size: 1,
        contact,
        ..Default::default()
    };
    let waits = clients.bookings.join_waitlist(wait).await.expect_err("refused");
    let query = SlotQuery { venue_id: venue_id.to_owned(), date, start_time, party_size: 1 };
    let check = BatchCheckAvailabilityRequest { queries: vec![query] };
    let checked = clients.schedule.batch_check_availability(check).await.expect("checked").into_inner();
    let checked = checked.checks[0].availability.clone().expect("an answer");
    let checked = checked.unavailable_reason().as_str_name().trim_start_matches("UNAVAILABLE_REASON_").to_owned();
    [reason(booked), reason(waits), checked]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_date_is_refused_whether_it_was_closed_before_or_after_its_slots_were_laid_out() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let closing = |venue_id: &str| {
        let exception = ScheduleException { date: fixtures::date().to_string(), closed: true, ..Default::default() };
        SetWeeklyScheduleRequest { exceptions: vec![exception], ..fixtures::every_evening(venue_id, 10) }
    };
    // The first date is closed after its slots were laid out.
    let later = fixtures::venue(clients, 10).await.expect("a venue").venue_id;
    clients.schedule.set_weekly_schedule(closing(&later)).await.expect("set");
    // The second date is closed by the venue's first schedule.
    let new = |name: &str| CreateVenueRequest {
        idempotency_key: name.to_owned(),
        name: name.to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        ..Default::default()
    };
    let venue_id = |made: CreateVenueResponse| made.venue.expect("a venue").venue_id;
    let first = venue_id(clients.schedule.create_venue(new("first")).await.expect("made").into_inner());
    let done = clients.schedule.set_weekly_schedule(closing(&first)).await.expect("set").into_inner();
    assert_eq!(done.slots_created, 90, "only open slots are created");
    // The third date is closed before it comes within the horizon.
    let near = CreateVenueRequest { horizon_days: Some(1), ..new("near") };
    let near = venue_id(clients.schedule.create_venue(near).await.expect("made").into_inner());
    clients.schedule.set_weekly_schedule(closing(&near)).await.expect("set");
    let farther = Venue { venue_id: near.clone(), horizon_days: 90, ..Default::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["horizon_days".to_owned()] });
    let update = UpdateVenueRequest { venue: Some(farther), update_mask, ..Default::default() };
    clients.schedule.update_venue(update).await.expect("updated");

    let listed = |slots: Vec<SlotAvailability>| {
        let ours = slots.into_iter().filter(|slot| slot.date == fixtures::date().to_string());
        ours.map(|slot| (slot.start_time.clone(), slot.unavailable_reason())).collect::<Vec<_>>()
    };
    for venue_id in [later, first, near] {
        assert_eq!(refusals(clients, &venue_id).await, ["SLOT_CLOSED"; 3]);
        let of_the_date = listed(slots(clients, &venue_id, 100).await);
        assert_eq!(of_the_date, [("18:00".to_owned(), UnavailableReason::SlotClosed)]);
        // A reopened date can be booked.
        let open = fixtures::every_evening(&venue_id, 10);
        let done = clients.schedule.set_weekly_schedule(open).await.expect("set").into_inner();
        assert_eq!((done.slots_created, done.slots_updated, done.slots_unchanged), (0, 1, 90));
        clients.bookings.create_booking(fixtures::booking(&venue_id, 1)).await.expect("booked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_with_seats_or_a_price_for_a_day_without_slots_is_refused() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let mut schedule = fixtures::every_evening(&venue.venue_id, 10);
    schedule.periods[0].days.retain(|day| *day != Weekday::Monday as i32);
    let never = SchedulePeriod {
        days: vec![Weekday::Monday.into()],
        // From a Tuesday to a Friday.
        valid_from: "2027-04-27".to_owned(),
        valid_until: "2027-04-30".to_owned(),
        first_start: "12:00".to_owned(),
        last_start: "12:00".to_owned(),
        ..schedule.periods[0].clone()
    };
    schedule.periods.push(never);
    let on = |date: &str| ScheduleException { date: date.to_owned(), ..Default::default() };
    schedule.exceptions = vec![
        // One Monday three times, and a Tuesday.
        ScheduleException { capacity: Some(20), ..on("2027-05-03") },
        ScheduleException { price_per_person_cents: Some(20), ..on("2027-05-10") },
        ScheduleException { closed: true, ..on("2027-05-17") },
        ScheduleException { capacity: Some(20), ..on("2027-05-04") },
    ];
    let status = booking.clients.schedule.set_weekly_schedule(schedule).await.expect_err("refused");
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    let mut paths: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["exceptions[0].date", "exceptions[1].date", "periods[1].days"]);
}
