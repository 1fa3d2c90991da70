//! A venue and its policy.

use chrono_tz::Tz;

use super::{IdempotencyKey, text::bounded};

/// A venue's name: 1 to 200 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueName(String);

impl VenueName {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        bounded(raw, 200).map(Self).ok_or("must be 1 to 200 characters, none of them NUL")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An IANA time zone, such as `Europe/Berlin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VenueTimeZone(Tz);

impl VenueTimeZone {
    pub const MUST: &str = "must be an IANA time zone such as Europe/Berlin";

    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        // To PostgreSQL these are abbreviations, without summer time; here they would have it.
        if ["CET", "EET", "MET", "WET"].contains(&raw) {
            return Err(Self::MUST);
        }
        raw.parse().map(Self).map_err(|_| Self::MUST)
    }

    pub fn name(self) -> &'static str {
        self.0.name()
    }

    pub fn tz(self) -> Tz {
        self.0
    }
}

/// An ISO 4217 currency code, such as `EUR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        iso_currency::Currency::from_code(raw).map(Self).ok_or("must be an ISO 4217 code such as EUR")
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Decimals of an amount in major units, as ISO 4217 has them: 2 for EUR, 0 for JPY.
    pub fn decimals(self) -> u32 {
        self.0.exponent().map_or(2, u32::from)
    }
}

/// A request for a venue. The ranges of the figures are the contract's; decoding checks them and
/// the schema holds them.
#[derive(Debug, Clone)]
pub struct NewVenue {
    pub key: IdempotencyKey,
    pub name: VenueName,
    pub time_zone: VenueTimeZone,
    pub currency: Currency,
    pub min_party_size: i32,
    pub max_party_size: i32,
    pub notice_minutes: i32,
    pub horizon_days: i32,
    pub hold_minutes: i32,
    pub deposit_percent: i32,
    pub full_refund_hours: i32,
    pub late_refund_percent: i32,
    pub waitlist_hold_minutes: i32,
}

/// What UpdateVenue sets; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct VenueChange {
    pub name: Option<VenueName>,
    pub time_zone: Option<VenueTimeZone>,
    pub currency: Option<Currency>,
    pub min_party_size: Option<i32>,
    pub max_party_size: Option<i32>,
    pub notice_minutes: Option<i32>,
    pub horizon_days: Option<i32>,
    pub hold_minutes: Option<i32>,
    pub deposit_percent: Option<i32>,
    pub full_refund_hours: Option<i32>,
    pub late_refund_percent: Option<i32>,
    pub waitlist_hold_minutes: Option<i32>,
}

/// What a venue's figures may be, as the contract has it.
pub mod range {
    use std::ops::RangeInclusive;

    pub const PARTY_SIZE: RangeInclusive<i32> = 1..=50;
    pub const NOTICE_MINUTES: RangeInclusive<i32> = 0..=43_200;
    pub const HORIZON_DAYS: RangeInclusive<i32> = 1..=730;
    pub const HOLD_MINUTES: RangeInclusive<i32> = 1..=43_200;
    pub const PERCENT: RangeInclusive<i32> = 0..=100;
    pub const REFUND_HOURS: RangeInclusive<i32> = 0..=8760;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_postgresql_takes_for_an_abbreviation_is_refused() {
        for good in ["Europe/Berlin", "UTC", "Etc/GMT+5"] {
            assert!(VenueTimeZone::parse(good).is_ok(), "{good}");
        }
        for bad in ["CET", "EET", "MET", "WET", "europe/berlin", "+01:00", ""] {
            assert!(VenueTimeZone::parse(bad).is_err(), "{bad}");
        }
    }
}
