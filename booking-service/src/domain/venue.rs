//! A venue and its policy.

use teppan_shared::time_zone::TimeZone;

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
}

/// A request for a venue. The ranges of the figures are the contract's; decoding checks them and
/// the schema holds them.
#[derive(Debug, Clone)]
pub struct NewVenue {
    pub key: IdempotencyKey,
    pub name: VenueName,
    pub time_zone: TimeZone,
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
    pub time_zone: Option<TimeZone>,
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
