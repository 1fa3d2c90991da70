//! Readable forms of amounts, dates, bookings and texts.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use teppan_shared::wire::Timestamp;
use teppan_shared::{
    contract::booking::v1::{Booking, BookingStatus},
    time_zone::TimeZone,
};
use teppan_tests::tool::{Screen, millis};

use crate::journal::say;

const TEXT_WIDTH: usize = 76;

/// An amount in minor units. The demo's venues take euros, which have two digits.
pub fn money(minor: i64, currency: &str) -> String {
    format!("{}.{:02} {currency}", minor / 100, minor % 100)
}

/// `Saturday 5 December`, from an ISO date.
pub fn day(iso: &str) -> String {
    iso.parse::<NaiveDate>().map_or_else(|_| iso.to_owned(), |date| date.format("%A %-d %B").to_string())
}

/// An instant in local time of a time zone.
pub fn clock(instant: Option<Timestamp>, time_zone: &str) -> String {
    let utc = instant.and_then(|at| DateTime::<Utc>::from_timestamp(at.seconds, 0)).unwrap_or_default();
    let zone = TimeZone::parse(time_zone).unwrap_or_else(|_| TimeZone::utc());
    format!("{} {}", utc.with_timezone(&zone).format("%-d %B %H:%M"), zone.abbreviation_at(utc))
}

/// A booking, in three lines.
pub fn booking(screen: Screen, booking: &Booking, took: Duration) {
    let status = booking.status().as_str_name().trim_start_matches("BOOKING_STATUS_").to_lowercase();
    say(format!(
        "    {}  {} {} {}, {} guests, {status}  {}",
        screen.good("booked"),
        screen.bold(&booking.confirmation_code),
        day(&booking.date),
        booking.start_time,
        booking.party_size,
        screen.dim(millis(took)),
    ));
    let total = money(booking.total_cents, &booking.currency);
    let deposit = money(booking.deposit_cents, &booking.currency);
    say(format!("            total {total}, deposit {deposit}"));
    if booking.status() == BookingStatus::Pending {
        let until = clock(booking.hold_expires_at, &booking.time_zone);
        say(format!("            the seats are held until {until}"));
    }
}

/// Text broken into lines, all but the first indented.
pub fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > TEXT_WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_two_digits() {
        assert_eq!(money(14_000, "EUR"), "140.00 EUR");
        assert_eq!(money(5, "EUR"), "0.05 EUR");
    }

    #[test]
    fn long_text_is_broken_between_words() {
        let text = "word ".repeat(20);
        let wrapped = wrapped(&text, 2);
        assert_eq!(wrapped.lines().count(), 2);
        assert!(wrapped.lines().nth(1).is_some_and(|line| line.starts_with("  word")));
    }

    #[test]
    fn an_instant_is_shown_on_the_venues_clock() {
        let noon = Timestamp { seconds: 1_780_315_200, nanos: 0 };
        assert_eq!(clock(Some(noon), "Europe/Berlin"), "1 June 14:00 CEST");
    }
}
