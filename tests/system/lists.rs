use teppan_shared::{
    contract::booking::v1::{BookingOrder, ListAvailabilityRequest, ListBookingsRequest, ListVenuesRequest},
    page,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn venues_are_listed_page_by_page_each_once() {
    let mut booking = Booking::start().await.ready().await;
    let mut made = Vec::new();
    for n in 0..7 {
        let venue =
            fixtures::venue_with(&mut booking.clients, 4, |venue| venue.name = format!("Teppan {}", n % 2)).await;
        made.push(venue.expect("a venue").venue_id);
    }
    for (name, expected) in [("", made.clone()), ("Teppan 1", made.iter().skip(1).step_by(2).cloned().collect())] {
        let mut request = ListVenuesRequest { page_size: 2, name: name.to_owned(), ..Default::default() };
        let mut listed = Vec::new();
        loop {
            let page = booking.clients.schedule.list_venues(request.clone()).await.expect("listed").into_inner();
            assert!(page.venues.len() <= 2);
            listed.extend(page.venues.into_iter().map(|venue| venue.venue_id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(listed, expected, "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_belongs_to_its_filters() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    let request = ListAvailabilityRequest { venue_id: venue.venue_id, page_size: 1, ..Default::default() };
    let page = booking.clients.schedule.list_availability(request.clone()).await.expect("listed").into_inner();
    let with_token = ListAvailabilityRequest { page_token: page.next_page_token, ..request };
    booking.clients.schedule.list_availability(with_token.clone()).await.expect("the next page");
    for wrong in [
        ListAvailabilityRequest { party_size: 3, ..with_token.clone() },
        ListAvailabilityRequest { page_token: "nonsense".to_owned(), ..with_token.clone() },
        ListAvailabilityRequest { page_size: -1, ..with_token },
    ] {
        let status = booking.clients.schedule.list_availability(wrong).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_page_token_is_refused() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    let request = ListAvailabilityRequest { venue_id: venue.venue_id, ..Default::default() };
    let filters = (&request.venue_id, &request.from_date, &request.to_date, request.party_size, request.bookable_only);
    // Dates that PostgreSQL cannot store or does not write in this form.
    for date in ["-262143-01-01", "-9999-01-01", "+262142-12-31"] {
        let forged = page::encode_token(&filters, &(date, "18:00:00"));
        let wrong = ListAvailabilityRequest { page_token: forged, ..request.clone() };
        let status = booking.clients.schedule.list_availability(wrong).await.expect_err(date);
        assert_eq!(status.code(), Code::InvalidArgument, "{date}: {status:?}");
        let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
        assert_eq!(violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), ["page_token"], "{date}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_request_with_more_states_than_exist_is_refused() {
    let mut booking = Booking::start().await.ready().await;
    let request = |entries| ListBookingsRequest { statuses: vec![1; entries], ..Default::default() };
    booking.clients.bookings.list_bookings(request(6)).await.expect("listed");
    for entries in [7, 100_000] {
        let status = booking.clients.bookings.list_bookings(request(entries)).await.expect_err("too many");
        assert_eq!(status.code(), Code::InvalidArgument, "{entries}: {status:?}");
        let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
        assert_eq!(violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), ["statuses"], "{entries}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_cannot_be_read_is_reported_and_the_list_continues_after_it() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 20).await.expect("a venue").venue_id;
    let mut made = Vec::new();
    for _ in 0..5 {
        let answer = booking.clients.bookings.create_booking(fixtures::booking(&venue, 2)).await.expect("booked");
        made.push(answer.into_inner().booking.expect("the booking").booking_id);
    }
    // All bookings are in one slot, so the list orders them by id.
    made.sort();
    for id in &made[2..4] {
        let corrupt = format!("UPDATE bookings SET details_sealed = 'x' WHERE booking_id = '{id}'");
        let mut connection = harness::connect(&booking.url).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(corrupt)).execute(&mut connection).await.expect("corrupted");
    }
    for order in [BookingOrder::EarliestFirst, BookingOrder::LatestFirst] {
        let (mut read, mut unreadable) = (Vec::new(), Vec::new());
        let mut request = ListBookingsRequest { order: order.into(), ..Default::default() };
        loop {
            match booking.clients.bookings.list_bookings(request.clone()).await {
                Ok(page) => {
                    let page = page.into_inner();
                    read.extend(page.bookings.into_iter().map(|booking| booking.booking_id));
                    request.page_token = page.next_page_token;
                }
                Err(status) => {
                    let info = status.get_details_error_info().expect("an ErrorInfo");
                    assert_eq!((status.code(), info.reason.as_str()), (Code::Internal, "DATA_CORRUPTED"));
                    unreadable.push(info.metadata["booking_id"].clone());
                    request.page_token = info.metadata["next_page_token"].clone();
                }
            }
            if request.page_token.is_empty() {
                break;
            }
        }
        if order == BookingOrder::LatestFirst {
            read.reverse();
            unreadable.reverse();
        }
        assert_eq!(read, [&made[..2], &made[4..]].concat());
        assert_eq!(unreadable, made[2..4]);
    }
}
