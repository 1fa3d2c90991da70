use chrono::Days;
use teppan_shared::contract::booking::v1::{
    BatchCheckAvailabilityRequest, ListAvailabilityRequest, SlotAvailability, SlotQuery, UnavailableReason,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures::{self, SlotUpdate},
    harness::Booking,
};

const DAYS: u64 = 5;
const PARTY_SIZE: i32 = 2;

fn day(days: u64) -> String {
    (fixtures::date() + Days::new(days)).to_string()
}

/// All slots of five days, two a day, page by page.
async fn pages(
    clients: &mut BookingClients,
    venue_id: &str,
    bookable_only: bool,
    page_size: usize,
) -> Vec<SlotAvailability> {
    let mut request = ListAvailabilityRequest {
        venue_id: venue_id.to_owned(),
        from_date: day(0),
        to_date: day(DAYS - 1),
        party_size: PARTY_SIZE,
        page_size: i32::try_from(page_size).expect("small"),
        bookable_only,
        ..Default::default()
    };
    let mut slots = Vec::new();
    loop {
        let page = clients.schedule.list_availability(request.clone()).await.expect("listed").into_inner();
        assert_eq!((page.time_zone.as_str(), page.currency.as_str()), ("Europe/Berlin", "EUR"));
        let is_last = page.next_page_token.is_empty();
        assert!(page.slots.len() == page_size || is_last && page.slots.len() <= page_size && !page.slots.is_empty());
        slots.extend(page.slots);
        if is_last {
            return slots;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_list_every_slot_once_in_order_and_agree_with_the_check() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue = fixtures::venue(clients, 10).await.expect("a venue").venue_id;
    let mut schedule = fixtures::every_evening(&venue, 10);
    schedule.periods[0].last_start = "18:30".to_owned();
    schedule.periods[0].interval_minutes = 30;
    schedule.periods[0].duration_minutes = 90;
    clients.schedule.set_weekly_schedule(schedule).await.expect("set");
    clients.bookings.create_booking(fixtures::booking(&venue, 7)).await.expect("booked");
    let full = SlotUpdate { date: day(1), capacity: Some(1), ..SlotUpdate::of(&venue) };
    clients.schedule.update_slot(full).await.expect("small");
    for days in [0, 4] {
        let closed = SlotUpdate {
            date: day(days),
            start_time: "18:30".to_owned(),
            closed: Some(true),
            ..SlotUpdate::of(&venue)
        };
        clients.schedule.update_slot(closed).await.expect("closed");
    }

    let all = pages(clients, &venue, false, 2000).await;
    let bookable: Vec<_> = all.iter().filter(|slot| slot.bookable).cloned().collect();
    assert_eq!((all.len(), bookable.len()), (10, 7));
    for size in 1..=11 {
        assert_eq!(pages(clients, &venue, false, size).await, all, "pages of {size}");
        assert_eq!(pages(clients, &venue, true, size).await, bookable, "bookable, pages of {size}");
    }

    let queries = (0..DAYS).flat_map(|days| ["18:00", "18:30"].map(|start_time| (days, start_time)));
    let queries = queries.map(|(days, start_time)| SlotQuery {
        venue_id: venue.clone(),
        date: day(days),
        start_time: start_time.to_owned(),
        party_size: PARTY_SIZE,
    });
    let request = BatchCheckAvailabilityRequest { queries: queries.collect() };
    let checks = clients.schedule.batch_check_availability(request).await.expect("checked").into_inner().checks;
    let checked: Vec<_> = checks.into_iter().filter_map(|check| check.availability).collect();
    assert_eq!(checked, all);

    let first = &all[0];
    let seconds = |time: &Option<teppan_shared::wire::Timestamp>| time.as_ref().expect("a time").seconds;
    assert_eq!(seconds(&first.ends_at) - seconds(&first.starts_at), 90 * 60);
    assert_eq!((first.capacity, first.open_seats, first.price_per_person_cents), (10, 3, 3500));
    let reasons: Vec<_> = all.iter().map(SlotAvailability::unavailable_reason).collect();
    let (closed, full) = (UnavailableReason::SlotClosed, UnavailableReason::SlotFull);
    assert_eq!((reasons[1], reasons[2], reasons[9]), (closed, full, closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_slots_still_states_time_zone_and_currency() {
    let mut booking = Booking::start().await.ready().await;
    let venue_id = fixtures::venue(&mut booking.clients, 10).await.expect("a venue").venue_id;
    let beyond = ListAvailabilityRequest { venue_id, from_date: day(300), to_date: day(301), ..Default::default() };
    let page = booking.clients.schedule.list_availability(beyond).await.expect("listed").into_inner();
    assert_eq!((page.time_zone.as_str(), page.currency.as_str()), ("Europe/Berlin", "EUR"));
    assert!(page.slots.is_empty() && page.next_page_token.is_empty());
}
