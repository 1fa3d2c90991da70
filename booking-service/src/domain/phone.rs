//! Telephone numbers, read by the rules of libphonenumber. They are personal data: no type of a number implements
//! Debug.

use std::fmt;

use icu_properties::props::{EnumeratedProperty as _, GeneralCategory};
use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, ValidationError};

use super::PhoneRegion;

/// Longest text: the longest number, with a separator after each digit.
const CHARS_MAX: usize = 50;
/// Fewest digits of a number in any country.
const DIGITS_MIN: usize = 4;

/// A telephone number in E.164, such as `+4930123456`.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

impl Phone {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A telephone number as given in a request.
#[derive(Clone, PartialEq, Eq)]
pub enum GivenPhone {
    /// A number with + and a calling code: the same number in every region.
    International(Phone),
    /// A number without +: it depends on the venue's phone region.
    National(NationalPhone),
}

/// A telephone number without +, not parsed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct NationalPhone(String);

impl GivenPhone {
    /// Loads the rules of all countries. Otherwise the first parsed number loads them.
    pub fn load_rules() {
        let _ = Self::parse("+4930123456");
    }

    /// Checks everything that does not depend on the region, and parses a number with +.
    pub fn parse(raw: &str) -> Result<Self, PhoneFault> {
        let text = without_scheme(raw.trim());
        if text.chars().count() > CHARS_MAX {
            return Err(PhoneFault::TooLong(None));
        }
        // The library converts letters to digits, as on telephone keys: it would read `030 123456 or 7` as another
        // number. The Japanese long vowel mark (ー) is accepted, because it is used as a dash between digits.
        if text.chars().any(|c| c.is_alphabetic() && c != 'ー') {
            return Err(PhoneFault::Letters);
        }
        if text.chars().filter(|c| GeneralCategory::for_char(*c) == GeneralCategory::DecimalNumber).count() < DIGITS_MIN
        {
            return Err(PhoneFault::TooShort(None));
        }
        if text.contains(['+', '＋']) {
            // With a region, the library would strip that region's international prefix after the +.
            read(text, None).map(Self::International)
        } else {
            Ok(Self::National(NationalPhone(text.to_owned())))
        }
    }

    /// Reads the number; one without + as a number of the region.
    pub fn read(&self, region: PhoneRegion) -> Result<Phone, PhoneFault> {
        match self {
            Self::International(phone) => Ok(phone.clone()),
            Self::National(NationalPhone(text)) => read(text, Some(region)),
        }
    }

    /// A text that is equal for equal numbers of requests for the same venue.
    pub fn canonical(&self) -> String {
        match self {
            Self::International(phone) => phone.0.clone(),
            Self::National(national) => PHONE_NUMBER_UTIL.normalize_digits_only(&national.0),
        }
    }
}

/// Removes a scheme such as `tel:` or `whatsapp:`.
fn without_scheme(text: &str) -> &str {
    match text.split_once(':') {
        Some((scheme, number)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => number.trim_start(),
        _ => text,
    }
}

fn read(text: &str, region: Option<PhoneRegion>) -> Result<Phone, PhoneFault> {
    let number = PHONE_NUMBER_UTIL.parse(text, region.map(PhoneRegion::get)).map_err(|error| match error {
        ParseError::InvalidCountryCode => PhoneFault::UnknownCountryCode,
        ParseError::NotANumber(_) => PhoneFault::NotANumber,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn => PhoneFault::TooShort(region),
        ParseError::TooLongNsn => PhoneFault::TooLong(region),
    })?;
    // E.164 cannot contain an extension, and without its extension the number reaches another person.
    if number.extension.is_some() {
        return Err(PhoneFault::Extension);
    }
    if !number.is_valid() {
        return Err(match number.is_possible_with_reason() {
            // A number without its area code.
            Err(ValidationError::TooShort) | Ok(NumberLengthType::IsPossibleLocalOnly) => PhoneFault::TooShort(region),
            Err(ValidationError::TooLong) => PhoneFault::TooLong(region),
            _ => PhoneFault::NotInUse(region),
        });
    }
    Ok(Phone(number.format_as(PhoneNumberFormat::E164).into_owned()))
}

/// Why a telephone number cannot be read. The region is the venue's, if the number was read as one of that region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneFault {
    NotANumber,
    Letters,
    Extension,
    UnknownCountryCode,
    TooShort(Option<PhoneRegion>),
    TooLong(Option<PhoneRegion>),
    /// No number of its country has these digits.
    NotInUse(Option<PhoneRegion>),
}

impl fmt::Display for PhoneFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fault, region) = match self {
            Self::NotANumber => ("must be a telephone number such as +4930123456", None),
            Self::Letters => ("must be a telephone number without letters, such as +4930123456", None),
            Self::Extension => ("must be a telephone number without an extension", None),
            Self::UnknownCountryCode => ("must have the calling code of a country after the +", None),
            Self::TooShort(region) => ("is too short for a telephone number", *region),
            Self::TooLong(region) => ("is too long for a telephone number", *region),
            Self::NotInUse(region) => ("is not a telephone number that is in use", *region),
        };
        f.write_str(fault)?;
        match region {
            Some(region) => write!(
                f,
                " in {region}, the venue's phone_region: write numbers of other countries with + and the calling code"
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The E.164 form of a number that is read at a venue of this region.
    fn read_at(raw: &str, region: &str) -> Result<String, PhoneFault> {
        let region = PhoneRegion::parse(region).expect("a region");
        GivenPhone::parse(raw)?.read(region).map(|phone| phone.0)
    }

    fn rows<const COLUMNS: usize>(file: &str) -> Vec<[&str; COLUMNS]> {
        let lines = file.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split('\t').collect::<Vec<_>>().try_into().expect("the columns")).collect()
    }

    #[test]
    fn the_example_numbers_of_every_country_are_read_in_every_form() {
        let numbers = rows::<4>(include_str!("../../testdata/phone_numbers.tsv"));
        assert!(numbers.len() > 470);
        let mut wrong = Vec::new();
        for [region, e164, international, national] in numbers {
            // A number with + is the same in every region.
            let anywhere = ["US", "DE", region].into_iter().flat_map(|at| [(e164, at), (international, at)]);
            for (text, at) in anywhere.chain([(national, region)]) {
                let read = read_at(text, at);
                if read.as_deref() != Ok(e164) {
                    wrong.push((text, at, read));
                }
            }
        }
        assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
    }

    #[test]
    fn other_spellings_are_read_as_libphonenumber_reads_them() {
        let mut wrong = Vec::new();
        for [region, text, answer] in rows::<3>(include_str!("../../testdata/phone_spellings.tsv")) {
            let read = read_at(text, region);
            if read.as_deref().unwrap_or("-") != answer {
                wrong.push((text, region, answer, read));
            }
        }
        assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
    }

    #[test]
    fn common_spellings_of_telephone_numbers_are_read() {
        let expected = [
            ("+4915123456789", "US", "+4915123456789"),
            ("+8613912345678", "US", "+8613912345678"),
            ("+39 06 698 12345", "DE", "+390669812345"),
            ("+225 07 01 23 45 67", "DE", "+2250701234567"),
            ("+33 (0)1 23 45 67 89", "US", "+33123456789"),
            ("＋４９ ３０ １２３４５６", "US", "+4930123456"),
            ("0049 30 123456", "DE", "+4930123456"),
            ("011 49 30 123456", "US", "+4930123456"),
            ("(408) 971-8523", "US", "+14089718523"),
            ("030/123456", "DE", "+4930123456"),
            ("03ー1234ー5678", "JP", "+81312345678"),
            // As telephones and messengers pass numbers on.
            ("\u{202a}+49 30 123456\u{202c}", "US", "+4930123456"),
            ("tel:+49-30-123456", "US", "+4930123456"),
            ("whatsapp:+4915123456789", "US", "+4915123456789"),
        ];
        for (text, region, e164) in expected {
            assert_eq!(read_at(text, region).as_deref(), Ok(e164), "{text}");
        }
    }

    #[test]
    fn each_kind_of_unreadable_telephone_number_has_its_own_fault() {
        let us = PhoneRegion::parse("US").ok();
        let expected = [
            ("", PhoneFault::TooShort(None)),
            ("12", PhoneFault::TooShort(None)),
            ("+", PhoneFault::TooShort(None)),
            ("phone", PhoneFault::Letters),
            ("1-800-FLOWERS", PhoneFault::Letters),
            ("(408) 971-8523 or 24", PhoneFault::Letters),
            ("(408) 971-8523 ext. 7", PhoneFault::Letters),
            ("(408) 971-8523 #7", PhoneFault::Extension),
            ("(408) 971-8523;7", PhoneFault::Extension),
            ("12345", PhoneFault::TooShort(us)),
            ("971-8523", PhoneFault::TooShort(us)),
            ("408 971 8523 8523", PhoneFault::TooLong(us)),
            ("(108) 971-8523", PhoneFault::NotInUse(us)),
            // 00 is not the international prefix in the US.
            ("0049 30 123456", PhoneFault::TooLong(us)),
            ("+0049 30 123456", PhoneFault::UnknownCountryCode),
            ("+999 123456", PhoneFault::UnknownCountryCode),
            ("+49 30", PhoneFault::TooShort(None)),
            ("+1 108 971 8523", PhoneFault::NotInUse(None)),
            ("408 ? 971 8523", PhoneFault::NotANumber),
            (&"1".repeat(60), PhoneFault::TooLong(None)),
        ];
        for (text, fault) in expected {
            assert_eq!(read_at(text, "US"), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_fault_names_the_region_but_not_the_number() {
        let fault = read_at("(108) 971-8523", "US").expect_err("no area code begins with 1");
        assert!(fault.to_string().contains("in use in US, the venue's phone_region"), "{fault}");
        assert!(!fault.to_string().contains("108"), "{fault}");
    }

    #[test]
    fn separators_do_not_change_the_canonical_form_of_a_number() {
        let canonical = |raw| GivenPhone::parse(raw).expect("a number").canonical();
        assert_eq!(canonical("030 123456"), canonical("(０３０) 12-34-56"));
        assert_eq!(canonical("+49 30 123456"), canonical("+49 (0)30/123456"));
    }

    proptest! {
        #[test]
        fn reading_a_number_never_panics(text in any::<String>(), digits in "[+＋]?[0-9٠-٩() x;,#*./-]{0,50}") {
            for text in [text, digits] {
                let _ = read_at(&text, "DE");
            }
        }
    }
}
