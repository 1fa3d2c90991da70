//! Texts with limits on their length and characters.

use std::{borrow::Cow, ops::RangeInclusive};

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{
    BinaryProperty as _, CanonicalCombiningClass, DefaultIgnorableCodePoint, EnumeratedProperty as _, GeneralCategory,
    Ideographic, NoncharacterCodePoint, Script, VariationSelector,
};

/// The special requests of a customer: 1 to 500 characters. Personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct SpecialRequests(String);

impl SpecialRequests {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        if raw.is_empty() || raw.chars().count() > 500 || raw.contains('\0') {
            return Err("must be at most 500 characters, none of them NUL");
        }
        Ok(Self(raw))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why days are special, as given by the venue: at most 200 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialDaysReason(String);

impl SpecialDaysReason {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        line(raw, 0..=200, "must be at most 200 characters").map(Self)
    }

    pub fn into_inner(self) -> String {
        self.0
    }
}

/// A note of 1 to `MAX` characters. Personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Note<const MAX: usize>(String);

/// Notes by the venue about a booking.
pub type VenueNotes = Note<1000>;
/// Notes about the party of a booking.
pub type PartyNotes = Note<200>;

impl<const MAX: usize> Note<MAX> {
    pub fn parse(raw: String) -> Result<Self, String> {
        if raw.is_empty() || raw.chars().count() > MAX || raw.contains('\0') {
            return Err(format!("must be at most {MAX} characters, none of them NUL"));
        }
        Ok(Self(raw))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tags of a booking: at most 20 different ones of 1 to 50 characters each, in the given order. They may be
/// personal data, although they should not.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<String>);

impl Tags {
    /// Reads the tags, or returns the index and the fault of each wrong one; the index is `None` for too many.
    pub fn parse(raw: &[String]) -> Result<Self, Vec<(Option<usize>, &'static str)>> {
        const COUNT_MAX: usize = 20;
        if raw.len() > COUNT_MAX {
            return Err(vec![(None, "must have at most 20 entries")]);
        }
        let (mut tags, mut faults) = (Vec::with_capacity(raw.len()), Vec::new());
        for (index, tag) in raw.iter().enumerate() {
            match line(tag.trim(), 1..=50, "must be 1 to 50 characters") {
                Ok(tag) if tags.contains(&tag) => faults.push((Some(index), "must not repeat an earlier one")),
                Ok(tag) => tags.push(tag),
                Err(fault) => faults.push((Some(index), fault)),
            }
        }
        if faults.is_empty() { Ok(Self(tags)) } else { Err(faults) }
    }

    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// The id of a payment intent or a setup intent of Stripe, with which a fee can be collected: at most 255 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct StripeIntentId(String);

impl StripeIntentId {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let is_id =
            |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let rest = raw.strip_prefix("pi_").or_else(|| raw.strip_prefix("seti_"));
        if raw.len() > 255 || !rest.is_some_and(is_id) {
            return Err("must be the id of a payment intent or a setup intent of Stripe, such as pi_3PqX");
        }
        // A client secret begins with the id of its intent, and lets everybody who has it pay with the intent.
        if raw.contains("_secret") {
            return Err("must be the id of the intent and not its client secret");
        }
        Ok(Self(raw))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a booking comes from, as given by the client: 1 to 50 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(String);

impl Source {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        line(raw, 1..=50, "must be at most 50 characters").map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const HIDDEN: &str =
    "must not contain control characters, invisible characters or characters that change the text direction";

/// Reads one line of text and converts it to Unicode normal form C, in which `é` is one character and not two. `chars`
/// is the allowed number of characters; `must` is the violation for any other number.
pub(super) fn line(raw: &str, chars: RangeInclusive<usize>, must: &'static str) -> Result<String, &'static str> {
    let text = composed(raw);
    if has_hidden_characters(&text) {
        Err(HIDDEN)
    } else if chars.contains(&text.chars().count()) {
        Ok(text.into_owned())
    } else {
        Err(must)
    }
}

/// The text in Unicode normal form C.
pub(super) fn composed(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// Whether the text has characters that are invisible or change how others are shown (control characters, line breaks,
/// zero-width characters, text directions, noncharacters), except where the spelling needs them.
fn has_hidden_characters(text: &str) -> bool {
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if is_hidden(c) && !is_needed(before, c, rest.peek().copied()) {
            return true;
        }
        before = Some(c);
    }
    false
}

/// Whether the character is invisible by itself.
pub(super) fn is_hidden(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator};
    matches!(GeneralCategory::for_char(c), Control | Format | LineSeparator | ParagraphSeparator)
        || DefaultIgnorableCodePoint::for_char(c)
        || NoncharacterCodePoint::for_char(c)
}

/// Whether the spelling needs this character between the characters before and after it: a joiner in Indic scripts and
/// in Persian, the variant selector of an ideograph, or a joiner or selector in an emoji.
fn is_needed(before: Option<char>, c: char, after: Option<char>) -> bool {
    const NON_JOINER: char = '\u{200c}';
    const JOINER: char = '\u{200d}';
    let Some(before) = before else { return false };
    let arabic = |c| Script::for_char(c) == Script::Arabic && c.is_alphabetic();
    let pictorial = |c| GeneralCategory::for_char(c) == GeneralCategory::OtherSymbol;
    match c {
        NON_JOINER | JOINER if CanonicalCombiningClass::for_char(before) == CanonicalCombiningClass::Virama => true,
        NON_JOINER => arabic(before) && after.is_some_and(arabic),
        JOINER => (pictorial(before) || VariationSelector::for_char(before)) && after.is_some_and(pictorial),
        _ => VariationSelector::for_char(c) && (Ideographic::for_char(before) || pictorial(before)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_named_by_its_id_and_not_by_its_secret() {
        for id in ["pi_3MtwBwLkdIwHu7ix28a3tqPa", "seti_1Mm8s8LkdIwHu7ix0OXBfTRG", "pi_test_1"] {
            assert_eq!(StripeIntentId::parse(id.to_owned()).ok().as_ref().map(StripeIntentId::as_str), Some(id));
        }
        let long = format!("pi_{}", "a".repeat(253));
        for id in ["", "pi_", "ch_1", "4242424242424242", "pi_1 2", "pi_é", "pi_1_secret_2", "PI_1", &long] {
            assert!(StripeIntentId::parse(id.to_owned()).is_err(), "{id}");
        }
    }

    #[test]
    fn notes_are_counted_in_characters() {
        assert!(PartyNotes::parse("席".repeat(200)).is_ok() && VenueNotes::parse("a\nb".repeat(250)).is_ok());
        assert!(PartyNotes::parse("席".repeat(201)).is_err() && VenueNotes::parse("x".repeat(1001)).is_err());
        assert!(PartyNotes::parse(String::new()).is_err() && PartyNotes::parse("a\0".to_owned()).is_err());
    }

    #[test]
    fn tags_are_different_lines_and_every_wrong_one_is_reported() {
        let parse = |tags: &[&str]| Tags::parse(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        let read = parse(&[" birthday ", "VIP", "vip"]).unwrap_or_default();
        assert_eq!(read.as_slice(), ["birthday", "VIP", "vip"]);
        let faults = parse(&["a", "", "a ", "b\nc", &"x".repeat(51)]).err().unwrap_or_default();
        assert_eq!(faults.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(parse(&["a"; 21]).err().unwrap_or_default()[0].0, None);
        assert!(parse(&[]).is_ok());
    }

    #[test]
    fn special_requests_are_counted_in_characters() {
        assert!(SpecialRequests::parse("席".repeat(500)).is_ok());
        assert!(SpecialRequests::parse("席".repeat(501)).is_err());
        assert!(SpecialRequests::parse("a\0b".to_owned()).is_err());
    }

    #[test]
    fn a_line_is_counted_in_characters_of_normal_form_c() {
        let must = "must be one character";
        assert_eq!(line("e\u{301}", 1..=1, must).as_deref(), Ok("é"));
        assert_eq!(line("éé", 1..=1, must), Err(must));
        assert_eq!(line("", 1..=1, must), Err(must));
    }

    #[test]
    fn a_line_with_a_hidden_character_is_refused() {
        let hidden = [
            '\0',
            '\t',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{ffa0}',
            '\u{fdd0}',
            '\u{ffff}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{10ffff}',
        ];
        for c in hidden {
            for text in [format!("Mi{c}na"), format!("{c}Mina"), format!("Mina{c}"), c.to_string()] {
                assert_eq!(line(&text, 1..=100, "another fault"), Err(HIDDEN), "{text:?}");
            }
        }
    }

    #[test]
    fn hidden_characters_that_the_spelling_needs_are_accepted() {
        // Persian, Sinhala, Malayalam, a variant of an ideograph, emoji.
        for text in [
            "علی\u{200c}رضا",
            "ශ\u{dca}\u{200d}රී",
            "മീര ന\u{d4d}\u{200d}",
            "葛\u{e0100}城",
            "👩\u{200d}🍳",
            "☀\u{fe0f}",
        ] {
            assert_eq!(line(text, 1..=100, "another fault").as_deref(), Ok(text), "{text:?}");
        }
    }
}
