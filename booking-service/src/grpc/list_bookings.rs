use chrono::{Datelike as _, NaiveDate, NaiveTime, Timelike as _};
use teppan_shared::{
    contract::booking::v1 as wire,
    page::{self, PageSizes, TokenError},
    status::Violations,
};
use tonic::Status;
use uuid::Uuid;

use super::{decode_statuses::decode_statuses, encode};
use crate::{
    bookings::{
        event_data,
        list::{BookingOrder, BookingPage, BookingPosition, BookingsQuery},
    },
    domain::{BookingStatus, ConversationId, CustomerId, VenueId, parse_date},
};

const SIZES: PageSizes = PageSizes { default: 50, max: 1000 };

/// Decodes the request, or returns every violation.
pub fn decode(request: &wire::ListBookingsRequest) -> Result<(BookingsQuery, u16), Status> {
    let mut violations = Violations::default();
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    let cursor = violations.check("page_token", decode_token(request));
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let venue_id = violations.check_optional("venue_id", given(&request.venue_id).map(|raw| VenueId::parse(&raw)));
    let from_date = violations.check_optional("from_date", given(&request.from_date).map(|raw| parse_date(&raw)));
    let to_date = violations.check_optional("to_date", given(&request.to_date).map(|raw| parse_date(&raw)));
    let customer_id =
        violations.check_optional("customer_id", given(&request.customer_id).map(|raw| CustomerId::parse(&raw)));
    let conversation_id =
        violations.check_optional("conversation_id", given(&request.conversation_id).map(ConversationId::parse));
    let statuses = decode_statuses(&request.statuses, BookingStatus::ALL.len(), decode_status, &mut violations);
    let order = violations.check("order", decode_order(request.order));

    let parsed = (size, cursor, venue_id, from_date, to_date, customer_id, conversation_id, order);
    let (
        Some(size),
        Some(cursor),
        Some(venue_id),
        Some(from_date),
        Some(to_date),
        Some(customer_id),
        Some(conversation_id),
        Some(order),
    ) = parsed
    else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    let (mut after, mut before) = (before_all_of(from_date), after_all_of(to_date));
    match order {
        BookingOrder::EarliestFirst => after = cursor.unwrap_or(after),
        BookingOrder::LatestFirst => before = cursor.unwrap_or(before),
    }
    Ok((BookingsQuery { venue_id, customer_id, conversation_id, statuses, after, before, order }, size))
}

pub fn encode(request: &wire::ListBookingsRequest, found: BookingPage) -> wire::ListBookingsResponse {
    wire::ListBookingsResponse {
        bookings: found.bookings.into_iter().map(encode::booking).collect(),
        next_page_token: found.next.map_or_else(String::new, |position| token(request, &position)),
    }
}

/// The token of the page after a cursor position.
pub fn token(request: &wire::ListBookingsRequest, after: &BookingPosition) -> String {
    page::encode_token(&filters(request), after)
}

/// The cursor position before every booking of a day, or of all days.
fn before_all_of(date: Option<NaiveDate>) -> BookingPosition {
    // The default date is 1970-01-01; no booking is earlier.
    (date.unwrap_or_default(), NaiveTime::MIN, Uuid::nil())
}

/// The cursor position after every booking of a day, or of all days.
fn after_all_of(date: Option<NaiveDate>) -> BookingPosition {
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default();
    // Slots start at whole minutes.
    let end = NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default();
    (date.unwrap_or(last), end, Uuid::max())
}

fn decode_status(raw: i32) -> Result<BookingStatus, &'static str> {
    event_data::status(raw).ok_or("must be a status of a booking")
}

fn decode_order(raw: i32) -> Result<BookingOrder, &'static str> {
    match wire::BookingOrder::try_from(raw) {
        Ok(wire::BookingOrder::Unspecified | wire::BookingOrder::EarliestFirst) => Ok(BookingOrder::EarliestFirst),
        Ok(wire::BookingOrder::LatestFirst) => Ok(BookingOrder::LatestFirst),
        Err(_) => Err("must be a BookingOrder"),
    }
}

fn decode_token(request: &wire::ListBookingsRequest) -> Result<Option<BookingPosition>, TokenError> {
    let cursor = page::decode_token::<BookingPosition>(&filters(request), &request.page_token)?;
    let Some((date, start_time, id)) = cursor else { return Ok(None) };
    // Refuse a forged token whose values the database cannot read, such as the fraction that marks a leap second.
    let readable = (1970..10_000).contains(&date.year()) && start_time.nanosecond() < 1_000_000_000;
    if readable { Ok(Some((date, start_time, id))) } else { Err(TokenError::Unreadable) }
}

/// The filters and the direction that a token belongs to.
fn filters(request: &wire::ListBookingsRequest) -> (&str, &str, &str, &str, &str, &[i32], bool) {
    (
        &request.venue_id,
        &request.from_date,
        &request.to_date,
        &request.customer_id,
        &request.conversation_id,
        &request.statuses,
        request.order() == wire::BookingOrder::LatestFirst,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_page_token_is_refused() {
        let decode = |date: &str, start_time: &str| {
            let mut request = wire::ListBookingsRequest::default();
            request.page_token = page::encode_token(&filters(&request), &(date, start_time, Uuid::from_u128(7)));
            decode_token(&request)
        };
        assert!(decode("2026-12-05", "18:00:00").expect("readable").is_some());
        for (date, start_time) in
            [("1969-12-31", "18:00:00"), ("+10000-01-01", "18:00:00"), ("2026-12-05", "23:59:60.5"), ("", "")]
        {
            assert_eq!(decode(date, start_time), Err(TokenError::Unreadable), "{date:?} {start_time:?}");
        }
    }

    #[test]
    fn the_cursor_range_of_a_day_contains_every_booking_of_the_day() {
        let day = NaiveDate::from_ymd_opt(2026, 12, 5);
        let booking = (day.expect("a date"), NaiveTime::MIN, Uuid::from_u128(1));
        assert!(before_all_of(day) < booking && booking < after_all_of(day));
        assert!(before_all_of(None) < booking && booking < after_all_of(None));
    }
}
