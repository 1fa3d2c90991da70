//! The region whose rules apply to a telephone number without +.

use std::{collections::HashMap, fmt, str::FromStr, sync::LazyLock};

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};

/// A country or territory that has its own telephone numbers, as an ISO 3166 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhoneRegion(Region);

impl PhoneRegion {
    pub const MUST: &str = "must be the ISO 3166 code of a country that has telephone numbers, such as US or DE";

    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        if !matches!(raw.as_bytes(), [b'A'..=b'Z', b'A'..=b'Z']) {
            return Err(Self::MUST);
        }
        let region = Region::from_str(raw).map_err(|_| Self::MUST)?;
        // The library accepts any two letters as a region; only a region with telephone numbers has a calling code.
        PHONE_NUMBER_UTIL.get_country_code_for_region(region).map(|_| Self(region)).ok_or(Self::MUST)
    }

    /// The country of an IANA time zone; `None` for a zone without a country, such as UTC.
    pub fn of_zone(zone: &str) -> Option<Self> {
        ZONE_COUNTRIES.get(zone).and_then(|country| Self::parse(country).ok())
    }

    pub(super) fn get(self) -> Region {
        self.0
    }
}

/// Reads a setting, in upper or lower case.
impl FromStr for PhoneRegion {
    type Err = &'static str;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        Self::parse(&raw.to_ascii_uppercase())
    }
}

impl fmt::Display for PhoneRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

static ZONE_COUNTRIES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("phone_region/zone_countries.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t')).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_of_a_country_with_telephone_numbers_is_a_phone_region() {
        for good in ["US", "DE", "KR", "AX", "XK", "AC"] {
            assert_eq!(PhoneRegion::parse(good).map(|region| region.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "us", "USA", "U", "AA", "ZZ", "AQ", "UK", "001", "ÄÖ", "D\0"] {
            assert_eq!(PhoneRegion::parse(bad), Err(PhoneRegion::MUST), "{bad:?}");
        }
    }

    #[test]
    fn every_country_of_the_table_has_telephone_numbers() {
        assert!(ZONE_COUNTRIES.len() > 500);
        for (zone, country) in ZONE_COUNTRIES.iter() {
            assert_eq!(PhoneRegion::of_zone(zone).map(|it| it.to_string()).as_deref(), Some(*country), "{zone}");
        }
    }

    #[test]
    fn a_time_zone_belongs_to_the_country_of_the_city_in_its_name() {
        let of = |zone| PhoneRegion::of_zone(zone).map(|region| region.to_string());
        let expected = [
            ("Europe/Berlin", "DE"),
            ("America/Los_Angeles", "US"),
            ("US/Pacific", "US"),
            ("Asia/Calcutta", "IN"),
            ("Asia/Seoul", "KR"),
            // The time zone database makes these aliases of a zone in another country.
            ("Europe/Amsterdam", "NL"),
            ("America/Coral_Harbour", "CA"),
        ];
        for (zone, country) in expected {
            assert_eq!(of(zone).as_deref(), Some(country), "{zone}");
        }
        for none in ["UTC", "Etc/GMT+5", "EST", "PST8PDT", "Antarctica/Troll", "Nowhere/Land"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
