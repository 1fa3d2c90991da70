use futures::future::join_all;
use teppan_shared::{
    contract::booking::v1::{CancelBookingRequest, CancellationInitiator, RescheduleBookingRequest},
    gather::GatherLimits,
};
use teppan_tests::harness::{self, Booking};
use tonic::{Code, Status};

use super::{area, assert_sound, floor, request, set, venue};

const STARTS: [&str; 6] = ["18:00", "18:30", "19:00", "19:30", "20:00", "20:30"];

/// The most seats that are taken at once, of all areas and ticks.
const MOST_TAKEN: &str = "SELECT max(t)::integer FROM area_days, unnest(taken) AS t";

fn assert_refused_properly(error: &Status) {
    assert!(matches!(error.code(), Code::FailedPrecondition | Code::ResourceExhausted), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_parties_never_take_more_seats_of_an_area_than_it_has() {
    let first = Booking::start().await.ready().await;
    let mut settings = harness::settings(first.url.clone(), &first.keys);
    settings.gather = GatherLimits::OFF;
    let second = Booking::with(settings, first.url.clone(), first.keys.clone()).await.ready().await;
    let mut clients = first.clients.clone();
    let venue_id = venue(&mut clients).await;
    set(&mut clients, floor(&venue_id, vec![area("indoor", 12), area("terrace", 7)], 120)).await.expect("a floor");

    // Each client books, then moves or cancels what it has booked.
    let calls = (0..120_usize).map(|n| {
        let mut clients = if n % 2 == 0 { first.clients.clone() } else { second.clients.clone() };
        let size = i32::try_from(1 + n % 5).expect("a size");
        let request = request(&venue_id, STARTS[n % 6], size, "");
        async move {
            let booking = match clients.bookings.create_booking(request).await {
                Ok(booked) => booked.into_inner().booking.expect("a booking"),
                Err(error) => return assert_refused_properly(&error),
            };
            let booking_id = booking.booking_id;
            let changed = if n % 3 == 0 {
                let cancelled_by = CancellationInitiator::Customer.into();
                let cancel = CancelBookingRequest { booking_id, cancelled_by, ..Default::default() };
                clients.bookings.cancel_booking(cancel).await.map(drop)
            } else {
                let start_time = STARTS[(n + 2) % 6].to_owned();
                let request = RescheduleBookingRequest { booking_id, start_time, ..Default::default() };
                clients.bookings.reschedule_booking(request).await.map(drop)
            };
            if let Err(error) = changed {
                assert_refused_properly(&error);
            }
        }
    });
    join_all(calls).await;
    // The rest is filled up.
    while clients.bookings.create_booking(request(&venue_id, "19:30", 1, "")).await.is_ok() {}
    assert_eq!(first.scalar::<i32>(MOST_TAKEN).await, 12);
    assert_sound(&first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_that_is_set_while_guests_book_counts_every_booking() {
    let booking = Booking::start().await.ready().await;
    let mut clients = booking.clients.clone();
    let venue_id = venue(&mut clients).await;
    // Slots that had a floor before are marked again when the venue gets another one.
    for areas in [vec![area("main", 9)], Vec::new()] {
        set(&mut clients, floor(&venue_id, areas, 120)).await.expect("set");
    }
    let guests = join_all((0..60_usize).map(|n| {
        let (mut clients, request) = (booking.clients.clone(), request(&venue_id, STARTS[n % 6], 2, ""));
        async move { clients.bookings.create_booking(request).await.map(drop) }
    }));
    let venue_sets = async {
        for seats in [200, 300, 0, 400] {
            let areas = if seats == 0 { Vec::new() } else { vec![area("main", seats)] };
            // Without the area in which bookings are by now, the floor is refused.
            let _ = set(&mut clients, floor(&venue_id, areas, 120)).await;
        }
    };
    let (booked, ()) = tokio::join!(guests, venue_sets);
    assert!(booked.iter().all(Result::is_ok), "{booked:?}");
    assert_sound(&booking).await;
    let taken: i32 = booking.scalar(MOST_TAKEN).await;
    assert_eq!(taken, 80, "at 19:30, the guests of four starts are seated");
}
