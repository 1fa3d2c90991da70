//! The key of a slot: a venue, a local date and a local start time.

use chrono::{NaiveDate, NaiveTime};

use super::VenueId;

/// Identifies a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotKey {
    pub venue_id: VenueId,
    pub date: NaiveDate,
    pub start_time: NaiveTime,
}

/// The fields that UpdateSlot sets; a field that is `None` does not change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SlotChange {
    pub closed: Option<bool>,
    pub capacity: Option<i32>,
    pub price_per_person_cents: Option<i64>,
}

/// Reads a local date, such as `2026-12-05`.
///
/// # Errors
/// Any other text, and years with more than four digits.
pub fn parse_date(raw: &str) -> Result<NaiveDate, &'static str> {
    let must = "must be a date such as 2026-12-05";
    if !has_form(raw, "0000-00-00") {
        return Err(must);
    }
    NaiveDate::from_ymd_opt(number(&raw[..4]).cast_signed(), number(&raw[5..7]), number(&raw[8..])).ok_or(must)
}

/// Reads a local time to the minute, such as `18:00`.
///
/// # Errors
/// Any other text.
pub fn parse_start_time(raw: &str) -> Result<NaiveTime, &'static str> {
    let must = "must be a 24-hour time such as 18:00";
    if !has_form(raw, "00:00") {
        return Err(must);
    }
    NaiveTime::from_hms_opt(number(&raw[..2]), number(&raw[3..]), 0).ok_or(must)
}

/// The number that these digits mean.
fn number(digits: &str) -> u32 {
    digits.bytes().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// Whether the text has a digit where the form has 0, and otherwise the same characters as the form.
fn has_form(raw: &str, form: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| if form == b'0' { byte.is_ascii_digit() } else { byte == form };
    raw.len() == form.len() && raw.bytes().zip(form.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dates_and_times_in_the_exact_form_are_read() {
        assert!(parse_date("2028-02-29").is_ok());
        for bad in [
            "2026-02-29",
            "2026-13-01",
            "2026-2-3",
            "26-12-05",
            "2026-12-05T00",
            "+2026-12-5",
            "+026-12-05",
            " 2026-12-5",
            "2026- 2-03",
            "2026-12-5 ",
            "2026/12/05",
            "２026-12-5",
            "",
        ] {
            assert!(parse_date(bad).is_err(), "{bad:?}");
        }
        assert!(parse_start_time("00:00").is_ok() && parse_start_time("23:59").is_ok());
        for bad in ["24:00", "9:00", " 9:00", "+9:00", "9:00 ", "18: 0", "18:+0", "18:00:00", "18.00", "18:60", ""] {
            assert!(parse_start_time(bad).is_err(), "{bad:?}");
        }
    }
}
