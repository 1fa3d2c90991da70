//! The region by whose rules a national telephone number is read.

use std::{collections::HashMap, fmt, str::FromStr, sync::LazyLock};

use rlibphonenumber::{PHONE_NUMBER_UTIL, Region};

/// A country or territory with telephone numbers of its own, by its code of ISO 3166.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhoneRegion(Region);

impl PhoneRegion {
    pub const MUST: &str = "must be the ISO 3166 code of a country that has telephone numbers, such as US or DE";

    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        if !matches!(raw.as_bytes(), [b'A'..=b'Z', b'A'..=b'Z']) {
            return Err(Self::MUST);
        }
        let region = Region::from_str(raw).map_err(|_| Self::MUST)?;
        // Any two letters are a region to the library; one that has numbers has a country code.
        PHONE_NUMBER_UTIL.get_country_code_for_region(region).map(|_| Self(region)).ok_or(Self::MUST)
    }

    /// The country of an IANA time zone; `None` for a zone that belongs to none, such as UTC.
    pub fn of_zone(zone: &str) -> Option<Self> {
        ZONE_COUNTRIES.get(zone).and_then(|country| Self::parse(country).ok())
    }

    pub(super) fn get(self) -> Region {
        self.0
    }
}

/// As a setting, in either case.
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
    fn a_region_is_one_that_has_telephone_numbers() {
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
    fn a_time_zone_has_the_country_that_its_name_stands_for() {
        let of = |zone| PhoneRegion::of_zone(zone).map(|region| region.to_string());
        let expected = [
            ("Europe/Berlin", "DE"),
            ("America/Los_Angeles", "US"),
            ("US/Pacific", "US"),
            ("Asia/Calcutta", "IN"),
            ("Asia/Seoul", "KR"),
            // By the rules of time these are other zones under another name, in another country.
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
