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

/// Words by which venues are found: at most 20, in alphabetical order, each of 1 to 30 lower-case letters, digits and
/// hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VenueTags(Vec<String>);

impl VenueTags {
    pub const COUNT_MAX: usize = 20;

    pub fn parse(raw: &[String]) -> Result<Self, &'static str> {
        if raw.len() > Self::COUNT_MAX {
            return Err("must be at most 20");
        }
        let mut tags = raw.iter().map(|tag| Self::parse_tag(tag)).collect::<Result<Vec<_>, _>>()?;
        tags.sort_unstable();
        tags.dedup();
        if tags.len() == raw.len() { Ok(Self(tags)) } else { Err("must not name a tag twice") }
    }

    fn parse_tag(raw: &str) -> Result<String, &'static str> {
        const MUST: &str = "must be words of 1 to 30 lower-case letters, digits and hyphens";
        let tag = line(raw, 1..=30, MUST)?;
        let fits = |c: char| c == '-' || c.is_alphanumeric() && !c.is_uppercase();
        if tag.chars().all(fits) { Ok(tag) } else { Err(MUST) }
    }

    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// The place of a venue, such as its city: at most 100 characters, in normal form C. Empty if none is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VenuePlace(String);

impl VenuePlace {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        line(raw, 0..=100, "must be at most 100 characters").map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How long before a booking its guest is reminded: at most 5 different times of 1 to 20,160 minutes, the longest
/// first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReminderMinutes(Vec<i32>);

impl ReminderMinutes {
    const COUNT_MAX: usize = 5;
    /// Two weeks.
    const MINUTES_MAX: i32 = 20_160;

    pub fn parse(raw: &[i32]) -> Result<Self, &'static str> {
        let mut minutes = raw.to_vec();
        minutes.sort_unstable_by(|a, b| b.cmp(a));
        minutes.dedup();
        let fit = minutes.iter().all(|minutes| (1..=Self::MINUTES_MAX).contains(minutes));
        if fit && minutes.len() == raw.len() && raw.len() <= Self::COUNT_MAX {
            Ok(Self(minutes))
        } else {
            Err("must be at most 5 different numbers from 1 to 20160")
        }
    }

    pub fn as_slice(&self) -> &[i32] {
        &self.0
    }
}

/// A day and three hours before.
impl Default for ReminderMinutes {
    fn default() -> Self {
        Self(vec![1440, 180])
    }
}

/// An ISO 4217 currency that is used for payments, such as `EUR`.
#[derive(serde::Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let currency = iso_currency::Currency::from_code(raw).ok_or("must be an ISO 4217 code such as EUR")?;
        // The bolívar has two codes; the library marks VES as withdrawn, but it is in use.
        if !currency.flags().is_empty() && currency != iso_currency::Currency::VES {
            return Err(
                "must be the ISO 4217 code of a currency for payments, such as EUR: not a fund, metal, unit of \
                        account, test code or withdrawn currency",
            );
        }
        Ok(Self(currency))
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// The number of decimals by ISO 4217: 2 for EUR, 0 for JPY.
    pub fn decimals(self) -> u32 {
        self.0.exponent().map_or(2, u32::from)
    }
}

/// A stored currency stays readable when it is withdrawn later.
impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(raw: String) -> Result<Self, &'static str> {
        iso_currency::Currency::from_code(&raw).map(Self).ok_or("must be an ISO 4217 code such as EUR")
    }
}

/// A request for a venue. Decoding checks the ranges of the API, and constraints of the schema check them again.
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
    pub undo_minutes: i32,
    /// `None`: the region of the time zone's country.
    pub phone_region: Option<PhoneRegion>,
    pub tags: VenueTags,
    pub place: VenuePlace,
    pub reminders: ReminderMinutes,
    pub deposit_per_person_cents: i64,
    pub deposit_fixed_cents: i64,
    pub deposit_min_party_size: i32,
    pub minimum_spend_cents: i64,
    pub no_show_fee_per_person_cents: i64,
}

/// The fields that UpdateVenue sets; a field that is `None` does not change.
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
    pub undo_minutes: Option<i32>,
    pub phone_region: Option<PhoneRegion>,
    pub tags: Option<VenueTags>,
    pub place: Option<VenuePlace>,
    pub reminders: Option<ReminderMinutes>,
    pub deposit_per_person_cents: Option<i64>,
    pub deposit_fixed_cents: Option<i64>,
    pub deposit_min_party_size: Option<i32>,
    pub minimum_spend_cents: Option<i64>,
    pub no_show_fee_per_person_cents: Option<i64>,
}

/// The time for taking back a cancellation, a completion or a no-show, if a request for a venue gives none.
pub const UNDO_MINUTES_DEFAULT: i32 = 60;

/// The ranges of a venue's figures, as documented in the API.
pub mod range {
    use std::ops::RangeInclusive;

    pub const PARTY_SIZE: RangeInclusive<i32> = 1..=50;
    pub const NOTICE_MINUTES: RangeInclusive<i32> = 0..=43_200;
    pub const HORIZON_DAYS: RangeInclusive<i32> = 1..=730;
    pub const HOLD_MINUTES: RangeInclusive<i32> = 1..=43_200;
    pub const UNDO_MINUTES: RangeInclusive<i32> = 0..=43_200;
    pub const PERCENT: RangeInclusive<i32> = 0..=100;
    pub const CENTS: RangeInclusive<i64> = 0..=100_000_000;
    /// 0: every party.
    pub const DEPOSIT_PARTY_SIZE: RangeInclusive<i32> = 0..=50;
    pub const REFUND_HOURS: RangeInclusive<i32> = 0..=8760;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_currencies_for_payments_are_accepted() {
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

    #[test]
    fn tags_are_few_different_short_lower_case_words() {
        let parse = |tags: &[&str]| VenueTags::parse(&tags.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(parse(&["terrace", "24-7", "grüne-küche", "寿司"]).expect("tags").as_slice()[0], "24-7");
        let many: Vec<_> = (0..21).map(|number| number.to_string()).collect();
        assert!(VenueTags::parse(&many[..20]).is_ok() && VenueTags::parse(&many).is_err());
        for bad in [&["a", "a"][..], &["Terrace"], &["two words"], &[""], &["1234567890123456789012345678901"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_stored_currency_stays_readable_when_it_is_withdrawn() {
        let stored = |code: &str| Currency::try_from(code.to_owned()).map(Currency::code);
        assert_eq!(stored("BGN"), Ok("BGN"));
        assert!(stored("ABC").is_err());
    }
}
