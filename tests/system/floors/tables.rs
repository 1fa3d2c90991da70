//! Tables and combinations of tables.

use futures::future::join_all;
use teppan_shared::{
    contract::booking::v1::{
        Area, AssignTablesRequest, Booking as Made, CancelBookingRequest, CancellationInitiator, CreateBookingRequest,
        RescheduleBookingRequest, Table, TableCombination,
    },
    gather::GatherLimits,
};
use teppan_tests::{
    clients::BookingClients,
    harness::{self, Booking},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{area, assert_sound, floor, full, listed_as_checked, request, set, venue};

/// Pairs of live bookings that have one table at once.
const TABLES_TAKEN_TWICE: &str = "
    SELECT count(*)
    FROM bookings a
    JOIN bookings b ON b.booking_id > a.booking_id AND b.tables && a.tables AND b.area = a.area
     AND b.starts_at < a.occupied_until AND a.starts_at < b.occupied_until
    WHERE a.status IN ('PENDING', 'CONFIRMED') AND b.status IN ('PENDING', 'CONFIRMED')";

fn table(key: &str, min_party_size: i32, max_party_size: i32) -> Table {
    Table { table: key.to_owned(), min_party_size, max_party_size }
}

fn join(tables: &[&str], min_party_size: i32, max_party_size: i32) -> TableCombination {
    TableCombination { tables: tables.iter().map(|key| (*key).to_owned()).collect(), min_party_size, max_party_size }
}

/// Two tables for two and two for four that may be joined for six to eight.
fn dining_room() -> Area {
    Area {
        tables: vec![table("W1", 1, 2), table("W2", 1, 2), table("T1", 2, 4), table("T2", 2, 4)],
        combinations: vec![join(&["T1", "T2"], 6, 8)],
        ..area("indoor", 40)
    }
}

async fn book(clients: &mut BookingClients, venue_id: &str, start: &str, size: i32) -> Result<Made, Status> {
    let made = clients.bookings.create_booking(request(venue_id, start, size, "")).await?;
    Ok(made.into_inner().booking.expect("a booking"))
}

async fn assign(clients: &mut BookingClients, made: &Made, tables: &[&str]) -> Result<Made, Status> {
    let tables = tables.iter().map(|key| (*key).to_owned()).collect();
    let request = AssignTablesRequest { booking_id: made.booking_id.clone(), tables, ..Default::default() };
    Ok(clients.bookings.assign_tables(request).await?.into_inner().booking.expect("a booking"))
}

async fn move_to(clients: &mut BookingClients, made: &Made, start: &str, size: i32) -> Result<Made, Status> {
    let (booking_id, start_time) = (made.booking_id.clone(), start.to_owned());
    let request = RescheduleBookingRequest { booking_id, start_time, party_size: Some(size), ..Default::default() };
    Ok(clients.bookings.reschedule_booking(request).await?.into_inner().booking.expect("a booking"))
}

async fn cancel(clients: &mut BookingClients, made: &Made) {
    let cancelled_by = CancellationInitiator::Venue.into();
    let cancel = CancelBookingRequest { booking_id: made.booking_id.clone(), cancelled_by, ..Default::default() };
    clients.bookings.cancel_booking(cancel).await.expect("cancelled");
}

fn reason(status: &Status) -> (String, String) {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    (info.reason.clone(), info.metadata.get("tables").cloned().unwrap_or_default())
}

async fn assert_no_table_is_taken_twice(booking: &Booking) {
    assert_eq!(booking.scalar::<i64>(TABLES_TAKEN_TWICE).await, 0);
    assert_sound(booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_seats_at_ten_tables_of_four_do_not_take_eleven_parties_of_two() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    let tables = (1..=10).map(|n| table(&format!("T{n}"), 1, 4)).collect();
    set(clients, floor(&venue_id, vec![Area { tables, ..area("indoor", 40) }], 120)).await.expect("a floor");
    let starts = ["18:00", "18:30", "19:00", "19:30"];
    for n in 0..10 {
        let made = book(clients, &venue_id, starts[n % 4], 2).await.expect("booked");
        assert_eq!(made.tables, [format!("T{}", n + 1)], "the first free one");
    }
    let refused = book(clients, &venue_id, "19:30", 2).await.expect_err("no table is free");
    assert_eq!(full(&refused), ("SLOT_FULL".to_owned(), "0".to_owned(), "area".to_owned()));
    assert_eq!(book(clients, &venue_id, "20:00", 2).await.expect("the first have left").tables, ["T1"]);
    assert_no_table_is_taken_twice(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_gets_the_smallest_sufficient_table_or_joined_tables_and_keeps_them_while_they_fit() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![dining_room()], 120)).await.expect("a floor");
    let two = book(clients, &venue_id, "18:00", 2).await.expect("booked");
    let six = book(clients, &venue_id, "18:00", 6).await.expect("booked");
    assert_eq!(
        (two.tables.clone(), six.tables.clone()),
        (vec!["W1".to_owned()], vec!["T1".to_owned(), "T2".to_owned()])
    );
    let refused = book(clients, &venue_id, "19:00", 4).await.expect_err("only W2 is free");
    assert_eq!(full(&refused), ("SLOT_FULL".to_owned(), "2".to_owned(), "area".to_owned()));

    let later = move_to(clients, &two, "18:30", 2).await.expect("moved");
    assert_eq!(later.tables, ["W1"], "its table is free for it");
    let smaller = move_to(clients, &six, "18:00", 3).await.expect("smaller");
    assert_eq!(smaller.tables, ["T1"], "the joined tables are too large for three");
    let four = book(clients, &venue_id, "18:00", 4).await.expect("the other table is free");
    assert_eq!(four.tables, ["T2"]);
    let refused = move_to(clients, &smaller, "18:00", 6).await.expect_err("its neighbour is taken");
    assert_eq!(full(&refused).2, "area");
    cancel(clients, &four).await;
    assert_eq!(move_to(clients, &smaller, "18:00", 6).await.expect("larger").tables, ["T1", "T2"]);
    assert_no_table_is_taken_twice(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_venue_assigns_tables_that_are_free_whatever_the_rules_say() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    let bar = Area { tables: vec![table("B1", 1, 2)], ..area("bar", 2) };
    set(clients, floor(&venue_id, vec![dining_room(), bar, area("terrace", 4)], 120)).await.expect("a floor");
    let two = book(clients, &venue_id, "18:00", 2).await.expect("booked");
    let other = book(clients, &venue_id, "18:30", 2).await.expect("booked");
    assert_eq!((&two.tables[..], &other.tables[..]), (&["W1".to_owned()][..], &["W2".to_owned()][..]));

    let wish = AssignTablesRequest { booking_id: two.booking_id.clone(), validate_only: true, ..Default::default() };
    let preview = AssignTablesRequest { tables: vec!["T2".to_owned()], ..wish.clone() };
    let preview = clients.bookings.assign_tables(preview).await.expect("valid").into_inner().booking.expect("one");
    assert_eq!((&preview.tables[..], preview.etag.as_str()), (&["T2".to_owned()][..], ""));
    let assigned = assign(clients, &two, &["T2", "T1"]).await.expect("no combination for two, and yet");
    assert_eq!(assigned.tables, ["T1", "T2"]);
    let again = assign(clients, &two, &["T1", "T2"]).await.expect("as it is");
    assert_eq!(again.etag, assigned.etag);

    let taken = assign(clients, &other, &["T2", "W1"]).await.expect_err("taken");
    assert_eq!((taken.code(), reason(&taken)), (Code::FailedPrecondition, ("TABLE_TAKEN".to_owned(), "T2".to_owned())));
    let unknown = assign(clients, &other, &["W1", "X9", "X8"]).await.expect_err("unknown");
    let expected = ("TABLE_NOT_FOUND".to_owned(), "X9,X8".to_owned());
    assert_eq!((unknown.code(), reason(&unknown)), (Code::NotFound, expected));

    let elsewhere = |area: &str, booking_id: &str| AssignTablesRequest {
        area: area.to_owned(),
        booking_id: booking_id.to_owned(),
        ..Default::default()
    };
    let moved = clients.bookings.assign_tables(elsewhere("bar", &other.booking_id)).await.expect("moved").into_inner();
    let moved = moved.booking.expect("a booking");
    assert_eq!((moved.area.as_str(), &moved.tables[..]), ("bar", &["B1".to_owned()][..]));
    let full_bar = clients.bookings.assign_tables(elsewhere("bar", &two.booking_id)).await.expect_err("full");
    assert_eq!(full(&full_bar), ("SLOT_FULL".to_owned(), "0".to_owned(), "area".to_owned()));
    let bare = clients.bookings.assign_tables(elsewhere("terrace", &two.booking_id)).await.expect_err("no tables");
    assert_eq!(reason(&bare).0, "AREA_HAS_NO_TABLES");
    cancel(clients, &other).await;
    let ended = assign(clients, &other, &["W1"]).await.expect_err("ended");
    assert_eq!(reason(&ended).0, "TABLES_NOT_ASSIGNABLE");
    assert_no_table_is_taken_twice(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_from_before_the_tables_get_some_and_a_table_with_bookings_stays() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![area("indoor", 40)], 120)).await.expect("a floor");
    let early = book(clients, &venue_id, "18:00", 2).await.expect("booked");
    let answer = set(clients, floor(&venue_id, vec![dining_room()], 120)).await.expect("tables");
    assert_eq!((answer.bookings_counted, answer.bookings_without_table), (1, 1));
    assert_eq!(assign(clients, &early, &[]).await.expect("assigned").tables, ["W1"]);

    let removed = Area { tables: vec![table("W2", 1, 2)], ..area("indoor", 40) };
    let refused = set(clients, floor(&venue_id, vec![removed.clone()], 120)).await.expect_err("W1 has a booking");
    let info = refused.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((info.reason.as_str(), info.metadata["table"].as_str()), ("TABLE_HAS_BOOKINGS", "W1"));
    assign(clients, &early, &["W2"]).await.expect("assigned");
    set(clients, floor(&venue_id, vec![removed], 120)).await.expect("W1 is free");
    assert_no_table_is_taken_twice(&booking).await;
    let refused = book(clients, &venue_id, "19:00", 2).await.expect_err("the only table");
    assert_eq!(full(&refused).1, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_from_before_the_floor_needs_the_seats_of_another_area_than_the_first() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    let early = book(clients, &venue_id, "18:00", 2).await.expect("booked");
    let bar = Area { tables: vec![table("B1", 1, 2), table("B2", 1, 2)], ..area("bar", 2) };
    let answer = set(clients, floor(&venue_id, vec![area("main", 10), bar], 120)).await.expect("a floor");
    assert_eq!((answer.bookings_counted, answer.bookings_without_table), (1, 0), "the first area has no tables");
    clients.bookings.create_booking(request(&venue_id, "18:00", 2, "bar")).await.expect("booked");
    let wish = AssignTablesRequest {
        booking_id: early.booking_id.clone(),
        area: "bar".to_owned(),
        tables: vec!["B2".to_owned()],
        ..Default::default()
    };
    let refused = clients.bookings.assign_tables(wish).await.expect_err("the bar has two seats");
    assert_eq!(full(&refused).2, "area");
    assert_no_table_is_taken_twice(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_from_before_the_floor_has_no_table_of_its_first_area() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    let early = book(clients, &venue_id, "18:00", 2).await.expect("booked");
    let answer = set(clients, floor(&venue_id, vec![dining_room()], 120)).await.expect("a floor");
    assert_eq!((answer.bookings_counted, answer.bookings_without_table), (1, 1));
    assign(clients, &early, &[]).await.expect("assigned");
    let answer = set(clients, floor(&venue_id, vec![dining_room()], 90)).await.expect("another floor");
    assert_eq!((answer.bookings_counted, answer.bookings_without_table), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_moves_to_another_area_gets_the_smallest_table_there() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    let areas = vec![
        Area { tables: vec![table("T1", 1, 2)], ..area("indoor", 10) },
        Area { tables: vec![table("T1", 1, 6), table("T2", 1, 2)], ..area("terrace", 10) },
    ];
    set(clients, floor(&venue_id, areas, 120)).await.expect("a floor");
    let made = book(clients, &venue_id, "18:00", 2).await.expect("booked");
    assert_eq!((made.area.as_str(), &made.tables[..]), ("indoor", &["T1".to_owned()][..]));
    let request =
        RescheduleBookingRequest { booking_id: made.booking_id, area: "terrace".to_owned(), ..Default::default() };
    let moved = clients.bookings.reschedule_booking(request).await.expect("moved").into_inner().booking;
    assert_eq!(moved.expect("a booking").tables, ["T2"], "the T1 of the terrace is another table");
    assert_no_table_is_taken_twice(&booking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_tables_is_named_at_once() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    let wrong = Area {
        tables: vec![table("", 0, 2), table("T1", 3, 2), table("T1", 1, 51)],
        combinations: vec![join(&["T1"], 1, 2), join(&["T1", "T9"], 0, 0)],
        ..area("indoor", 40)
    };
    let refused = set(clients, floor(&venue_id, vec![wrong], 120)).await.expect_err("invalid");
    let faults = refused.get_details_bad_request().expect("a BadRequest").field_violations;
    let fields: Vec<_> = faults.iter().map(|fault| fault.field.replace("floor.areas[0].", "")).collect();
    assert_eq!(
        fields,
        [
            "tables[0].table",
            "tables[1].min_party_size",
            "tables[2].max_party_size",
            "tables[2].table",
            "combinations[0].tables",
            "combinations[1].tables",
            "combinations[1].max_party_size",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_parties_never_get_one_table_twice() {
    let first = Booking::start().await.ready().await;
    let mut settings = harness::settings(first.url.clone(), &first.keys);
    settings.gather = GatherLimits::OFF;
    let second = Booking::with(settings, first.url.clone(), first.keys.clone()).await.ready().await;
    let mut clients = first.clients.clone();
    let venue_id = venue(&mut clients).await;
    set(&mut clients, floor(&venue_id, vec![dining_room()], 90)).await.expect("a floor");
    let starts = ["18:00", "18:30", "19:00", "19:30", "20:00", "20:30"];
    let calls = (0..120_usize).map(|n| {
        let mut clients = if n % 2 == 0 { first.clients.clone() } else { second.clients.clone() };
        let (venue_id, size) = (venue_id.clone(), i32::try_from(1 + n % 7).expect("a size"));
        async move {
            let Ok(made) = book(&mut clients, &venue_id, starts[n % 6], size).await else { return };
            let changed = match n % 4 {
                0 => assign(&mut clients, &made, &["T1"]).await.map(drop),
                1 => move_to(&mut clients, &made, starts[(n + 1) % 6], size).await.map(drop),
                2 => move_to(&mut clients, &made, starts[n % 6], size % 3 + 1).await.map(drop),
                _ => {
                    cancel(&mut clients, &made).await;
                    Ok(())
                }
            };
            if let Err(error) = changed {
                let is_proper = matches!(error.code(), Code::FailedPrecondition | Code::ResourceExhausted);
                assert!(is_proper, "{error:?}");
            }
        }
    });
    join_all(calls).await;
    while book(&mut clients, &venue_id, "19:30", 1).await.is_ok() {}
    assert_no_table_is_taken_twice(&first).await;
    let seated = "SELECT count(*) FROM bookings WHERE status = 'CONFIRMED' AND tables IS NULL";
    assert_eq!(first.scalar::<i64>(seated).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_have_the_same_rules_in_the_schema_and_in_rust() {
    let booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients.clone();
    let venue_id = venue(clients).await;
    set(clients, floor(&venue_id, vec![dining_room(), area("terrace", 3)], 90)).await.expect("a floor");
    for (start, size) in [("18:00", 2), ("18:30", 1), ("19:30", 7), ("20:00", 3), ("21:00", 4)] {
        book(clients, &venue_id, start, size).await.expect("booked");
    }
    for party_size in [1, 2, 4, 5, 6, 9] {
        let listed = listed_as_checked(clients, &venue_id, party_size).await;
        // The preview is decided in Rust, the booking in the statement.
        for slot in &listed {
            let wish = request(&venue_id, &slot.start_time, party_size, "");
            let preview = CreateBookingRequest { validate_only: true, ..wish.clone() };
            let preview = clients.bookings.create_booking(preview).await.map(|made| made.into_inner().booking);
            let made = clients.bookings.create_booking(wish).await.map(|made| made.into_inner().booking);
            match (preview, made) {
                (Ok(Some(preview)), Ok(Some(made))) => {
                    assert_eq!((preview.area, preview.tables), (made.area.clone(), made.tables.clone()));
                    cancel(clients, &made).await;
                }
                (Err(preview), Err(made)) => assert_eq!(full(&preview), full(&made)),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_no_table_is_taken_twice(&booking).await;
}
