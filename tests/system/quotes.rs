//! QuoteBooking: the price and the terms of a booking, before it is made.

use teppan_shared::contract::booking::v1::{CreateBookingRequest, QuoteBookingRequest, QuoteBookingResponse};
use teppan_tests::{fixtures, harness::Booking};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{changes::VenueFixture, suggestions::alternatives};

/// The quote that belongs to a request for a booking.
fn quote_of(request: &CreateBookingRequest) -> QuoteBookingRequest {
    QuoteBookingRequest {
        venue_id: request.venue_id.clone(),
        date: request.date.clone(),
        start_time: request.start_time.clone(),
        party_size: request.party_size,
        area: request.area.clone(),
    }
}

async fn quoted(service: &Booking, request: &CreateBookingRequest) -> Result<QuoteBookingResponse, Status> {
    Ok(service.clients.clone().bookings.quote_booking(quote_of(request)).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_has_the_price_and_the_terms_of_the_booking_that_is_then_made() {
    for fixture in [VenueFixture::with_deposit(10).await, VenueFixture::without_deposit(10).await] {
        let request = fixtures::booking(&fixture.venue_id, 4);
        let quote = quoted(&fixture.service, &request).await.expect("a quote");
        let rows = "SELECT (SELECT count(*) FROM bookings) + (SELECT count(*) FROM slots WHERE reserved > 0)";
        assert_eq!(fixture.service.scalar::<i64>(rows).await, 0, "nothing is written, and no seats are held");

        let request = CreateBookingRequest { expected_total_cents: Some(quote.total_cents), ..request };
        let made = fixture.service.clients.clone().bookings.create_booking(request).await.expect("booked");
        let made = made.into_inner().booking.expect("the booking");
        let expected = QuoteBookingResponse {
            venue_id: made.venue_id,
            date: made.date,
            start_time: made.start_time,
            starts_at: made.starts_at,
            ends_at: made.ends_at,
            time_zone: made.time_zone,
            party_size: made.party_size,
            price_per_person_cents: made.price_per_person_cents,
            total_cents: made.total_cents,
            deposit_cents: made.deposit_cents,
            currency: made.currency,
            // The booking was made a moment later.
            hold_expires_at: quote.hold_expires_at,
            terms: made.terms,
            full_refund_until: quote.full_refund_until,
            area: made.area,
        };
        assert_eq!(quote, expected);
        assert_eq!(quote.hold_expires_at.is_some(), made.deposit_cents > 0);
        let seconds = |at: Option<teppan_shared::wire::Timestamp>| at.expect("a time").seconds;
        assert_eq!(seconds(quote.starts_at) - seconds(quote.full_refund_until), 24 * 3600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_refused_exactly_as_the_booking_would_be() {
    let fixture = VenueFixture::with_deposit(4).await;
    let mut clients = fixture.service.clients.clone();
    fixture.sql("UPDATE slots SET state = 'CLOSED' WHERE start_time = '19:00'").await;
    let base = fixtures::booking(&fixture.venue_id, 2);
    let refused = [
        CreateBookingRequest { party_size: 5, ..base.clone() },
        CreateBookingRequest { start_time: "19:00".to_owned(), ..base.clone() },
        CreateBookingRequest { start_time: "17:00".to_owned(), ..base.clone() },
        CreateBookingRequest { date: "2099-01-01".to_owned(), ..base.clone() },
        CreateBookingRequest { area: "terrace".to_owned(), ..base.clone() },
        CreateBookingRequest { venue_id: uuid::Uuid::now_v7().to_string(), ..base.clone() },
        CreateBookingRequest { party_size: 51, start_time: "7".to_owned(), ..base.clone() },
        CreateBookingRequest { party_size: 0, ..CreateBookingRequest { date: String::new(), ..base.clone() } },
    ];
    for request in refused {
        let quote = quoted(&fixture.service, &request).await.expect_err("refused");
        let creation = clients.bookings.create_booking(request.clone()).await.expect_err("refused");
        let seen = |status: &Status| {
            let details = status.get_error_details();
            let violations = details.bad_request().map(|it| it.field_violations.clone()).unwrap_or_default();
            let fields: Vec<_> = violations.into_iter().map(|it| (it.field, it.description)).collect();
            let info = details.error_info().cloned().expect("an ErrorInfo");
            (status.code(), info.reason, info.metadata, fields, alternatives(status))
        };
        assert_eq!(seen(&quote), seen(&creation), "{request:?}");
        assert_ne!(quote.code(), Code::Internal);
    }
}
