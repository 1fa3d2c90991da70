//! A venue and its policy.

use teppan_shared::time_zone::TimeZone;

use super::{IdempotencyKey, PhoneRegion, text::line};

/// A venue's name: 1 to 200 characters, in normal form C.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueName(String);

impl VenueName {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        line(raw, 1..=200, "must be 1 to 200 characters").map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A currency of ISO 4217 that people pay in, such as `EUR`.
#[derive(serde::Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let currency = iso_currency::Currency::from_code(raw).ok_or("must be an ISO 4217 code such as EUR")?;
        // The bolívar has two codes; the library takes this one to be withdrawn.
        if !currency.flags().is_empty() && currency != iso_currency::Currency::VES {
            return Err("must be the ISO 4217 code of money that people pay in, such as EUR: no fund, metal, unit of \
                        account or test code, and none that was withdrawn");
        }
        Ok(Self(currency))
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Decimals of an amount in major units, as ISO 4217 has them: 2 for EUR, 0 for JPY.
    pub fn decimals(self) -> u32 {
        self.0.exponent().map_or(2, u32::from)
    }
}

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(raw: String) -> Result<Self, &'static str> {
        Self::parse(&raw)
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
    /// `None`: that of its time zone.
    pub phone_region: Option<PhoneRegion>,
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
    pub phone_region: Option<PhoneRegion>,
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
    fn a_currency_is_money_that_people_pay_in() {
        for good in ["EUR", "USD", "JPY", "KWD", "XAF", "XOF", "XPF", "XCD", "XCG", "VES", "VED", "CHF"] {
            assert_eq!(Currency::parse(good).map(Currency::code), Ok(good));
        }
        let metals_and_units = ["XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XDR", "XBA", "XBB", "XSU", "XUA", "XAD"];
        let funds_and_withdrawn = ["BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "HRK", "BGN", "CUC"];
        let no_codes = ["", "eur", "EURO", "ABC", "€"];
        for bad in metals_and_units.iter().chain(&funds_and_withdrawn).chain(&no_codes) {
            assert!(Currency::parse(bad).is_err(), "{bad}");
        }
    }
}
