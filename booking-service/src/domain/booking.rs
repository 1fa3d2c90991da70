//! Requests for bookings, party sizes and confirmation codes.

use std::fmt;

use rand::Rng as _;

use super::{
    AreaKey, Contact, ConversationId, IdempotencyKey, SlotKey, Source, SpecialRequests, StripeIntentId, WALK_IN,
};

/// The number of guests, equal to the number of seats taken: 1 to 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartySize(i32);

impl PartySize {
    pub fn parse(raw: i32) -> Result<Self, &'static str> {
        if (1..=50).contains(&raw) { Ok(Self(raw)) } else { Err("must be 1 to 50") }
    }

    pub fn get(self) -> i32 {
        self.0
    }
}

/// A request for a booking.
#[derive(Clone)]
pub struct NewBooking {
    pub key: IdempotencyKey,
    pub slot: SlotKey,
    pub party_size: PartySize,
    /// A walk-in may have none, or only a name.
    pub contact: Option<Contact>,
    pub conversation_id: Option<ConversationId>,
    pub special_requests: Option<SpecialRequests>,
    /// The intent with which a fee can be collected.
    pub stripe_intent_id: Option<StripeIntentId>,
    /// The price that the customer was quoted, in minor units: at any other price the booking is refused.
    pub expected_total_cents: Option<i64>,
    pub source: Option<Source>,
    /// The area in which the party wants to sit.
    pub area: Option<AreaKey>,
    /// Whether the customer may have another booking at that time.
    pub allows_duplicate: bool,
    /// True: decide and answer, but write nothing.
    pub validate_only: bool,
}

impl NewBooking {
    /// Whether the party stands at the door: it needs no contact and no notice, and pays no deposit.
    pub fn is_walk_in(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.as_str() == WALK_IN)
    }
}

/// The digits of Crockford's base 32: no two of them look alike.
const CODE_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The code by which a customer names a booking: eight digits of Crockford's base 32, such as `K7MX2QPD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmationCode(String);

impl ConfirmationCode {
    /// A random code. There are 2^40 codes: guessing one takes long, and the database refuses a code that is already
    /// in use.
    pub fn generate() -> Self {
        let mut rng = rand::rng();
        Self((0..8).map(|_| char::from(CODE_DIGITS[rng.random_range(0..CODE_DIGITS.len())])).collect())
    }

    /// Reads a code in any case, with or without blanks and dashes; O counts as 0, I and L as 1.
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let code: String = raw
            .chars()
            .filter(|c| {
                !c.is_whitespace() && !matches!(c, '-' | '_' | '.' | '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}')
            })
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                c => c,
            })
            .collect();
        if code.len() == 8 && code.bytes().all(|digit| CODE_DIGITS.contains(&digit)) {
            Ok(Self(code))
        } else {
            Err("must be a confirmation code such as K7MX2QPD")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConfirmationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_code_is_read_in_any_case_and_with_separators() {
        let code = ConfirmationCode::generate();
        assert_eq!(ConfirmationCode::parse(&format!(" {} ", code.as_str().to_lowercase())), Ok(code));
        assert_eq!(ConfirmationCode::parse("oil0aaaa"), ConfirmationCode::parse("0110AAAA"));
        for written in ["k7mx-2qpd", "K7MX 2QPD", " K7 MX – 2Q PD\n", "k7mx\u{a0}2qpd", "K-7-M-X-2-Q-P-D", "K7MX_2QPD"]
        {
            assert_eq!(ConfirmationCode::parse(written), ConfirmationCode::parse("K7MX2QPD"), "{written:?}");
        }
        for bad in ["", "K7MX2QP", "K7MX2QPDD", "K7MX2QPU", "K7MX-QPD", "-", "K7MX/2QPD", "ßßßß"] {
            assert!(ConfirmationCode::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_party_has_one_to_fifty_guests() {
        assert!(PartySize::parse(1).is_ok() && PartySize::parse(50).is_ok());
        assert!([0, -1, 51, i32::MIN, i32::MAX].into_iter().all(|raw| PartySize::parse(raw).is_err()));
    }
}
