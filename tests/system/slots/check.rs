use chrono::Days;
use teppan_shared::contract::booking::v1::{
    BatchCheckAvailabilityRequest, SlotAvailability, SlotCheck, SlotQuery, UnavailableReason,
    schedule_service_client::ScheduleServiceClient,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures::{self, SlotUpdate},
    harness::Booking,
};
use tonic::{Code, Status, transport::Endpoint};
use uuid::Uuid;

use super::{fields, kind};

fn query(venue_id: &str, party_size: i32) -> SlotQuery {
    SlotQuery {
        venue_id: venue_id.to_owned(),
        date: fixtures::date().to_string(),
        start_time: "18:00".to_owned(),
        party_size,
    }
}

async fn check(clients: &mut BookingClients, queries: Vec<SlotQuery>) -> Result<Vec<SlotCheck>, Status> {
    let request = BatchCheckAvailabilityRequest { queries };
    Ok(clients.schedule.batch_check_availability(request).await?.into_inner().checks)
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_returned_in_the_order_of_the_queries_also_for_missing_slots() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let first =
        fixtures::venue_with(clients, 10, |venue| venue.max_party_size = Some(12)).await.expect("a venue").venue_id;
    let second = fixtures::venue_with(clients, 4, |venue| {
        venue.currency = Some("USD".to_owned());
        venue.deposit_percent = Some(33);
    });
    let second = second.await.expect("a venue").venue_id;
    clients.bookings.create_booking(fixtures::booking(&first, 7)).await.expect("booked");
    let day = |days| (fixtures::date() + Days::new(days)).to_string();
    let close = SlotUpdate { closed: Some(true), date: day(1), ..SlotUpdate::of(&first) };
    clients.schedule.update_slot(close).await.expect("closed");

    let unknown = Uuid::now_v7().to_string();
    let queries = vec![
        query(&second, 3),
        query(&first, 3),
        query(&first, 4),
        query(&first, 13),
        SlotQuery { date: day(1), ..query(&first, 1) },
        SlotQuery { start_time: "18:30".to_owned(), ..query(&first, 2) },
        SlotQuery { date: day(300), ..query(&first, 2) },
        query(&unknown, 2),
        query(&first, 0),
        query(&second, 3),
    ];
    let checks = check(clients, queries.clone()).await.expect("checked");

    assert_eq!(checks.iter().map(|check| check.query.clone().expect("the query")).collect::<Vec<_>>(), queries);
    let found = |check: &SlotCheck| check.availability.clone().expect("an answer");
    let reasons: Vec<_> = checks.iter().map(|check| found(check).unavailable_reason()).collect();
    assert_eq!(
        reasons,
        [
            UnavailableReason::Unspecified,
            UnavailableReason::Unspecified,
            UnavailableReason::SlotFull,
            UnavailableReason::PartyTooLarge,
            UnavailableReason::SlotClosed,
            UnavailableReason::SlotNotFound,
            UnavailableReason::TooFarAhead,
            UnavailableReason::VenueNotFound,
            UnavailableReason::Unspecified,
            UnavailableReason::Unspecified,
        ]
    );
    assert!(checks.iter().zip(&reasons).all(|(check, reason)| found(check).bookable == (*reason as i32 == 0)));
    let figures: Vec<_> = checks
        .iter()
        .map(|check| (found(check).open_seats, check.total_cents, check.deposit_cents, check.currency.as_str()))
        .collect();
    // 33 % of 105.00 is 34.65.
    assert_eq!(figures[0], (4, 10_500, 3465, "USD"));
    assert_eq!(figures[1], (3, 10_500, 2625, "EUR"));
    assert_eq!(figures[5], (0, 0, 0, "EUR"));
    assert_eq!(figures[7], (0, 0, 0, ""));
    assert_eq!((figures[8].1, checks[0].clone()), (3500, checks[9].clone()));
    let missing = SlotAvailability {
        date: fixtures::date().to_string(),
        start_time: "18:00".to_owned(),
        unavailable_reason: UnavailableReason::VenueNotFound.into(),
        ..Default::default()
    };
    assert_eq!(found(&checks[7]), missing, "only date, start time and reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_to_500_slots_are_checked_and_all_violations_are_reported_at_once() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue").venue_id;
    let checks = check(&mut booking.clients, vec![query(&venue, 1); 500]).await.expect("checked");
    assert_eq!(checks.len(), 500);
    assert!(checks.iter().all(|check| check == &checks[0]));

    let refused = check(&mut booking.clients, vec![query(&venue, 1); 501]).await.expect_err("too many");
    assert_eq!(fields(&refused), ["queries"]);
    let refused = check(&mut booking.clients, Vec::new()).await.expect_err("none");
    assert_eq!(fields(&refused), ["queries"]);
    let wrong =
        SlotQuery { venue_id: "x".to_owned(), date: String::new(), start_time: "6pm".to_owned(), party_size: 51 };
    let refused = check(&mut booking.clients, vec![query(&venue, 1), wrong, query("y", 1)]).await.expect_err("wrong");
    let expected = [
        "queries[1].venue_id",
        "queries[1].date",
        "queries[1].start_time",
        "queries[1].party_size",
        "queries[2].venue_id",
    ];
    assert_eq!(fields(&refused), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_hundreds_of_violations_the_first_are_reported_and_the_rest_counted() {
    let booking = Booking::start().await.ready().await;
    // A client with the smallest usual limit for headers.
    let endpoint = Endpoint::from_shared(format!("http://{}", booking.service.server.grpc_addr)).expect("a URL");
    let channel = endpoint.http2_max_header_list_size(8 * 1024).connect().await.expect("connected");
    let wrong =
        SlotQuery { venue_id: "x".to_owned(), date: String::new(), start_time: "6pm".to_owned(), party_size: 51 };
    let request = BatchCheckAvailabilityRequest { queries: vec![wrong; 500] };
    let answer = ScheduleServiceClient::new(channel).batch_check_availability(request).await;
    let refused = answer.expect_err("every query is wrong");
    assert_eq!(kind(&refused), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
    let reported = fields(&refused);
    assert_eq!((reported[0].as_str(), reported[5].as_str()), ("queries[0].venue_id", "queries[1].date"));
    assert!(reported.len() >= 20, "{} are reported", reported.len());
    let rest = format!(", and {} more. ", 4 * 500 - reported.len());
    assert!(refused.message().contains(&rest), "{}", refused.message());
}
