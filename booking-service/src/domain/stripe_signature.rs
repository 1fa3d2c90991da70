//! Stripe's signature of a request: HMAC-SHA256 over the time, a full stop and the raw body.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// Largest difference between the signature's time and the service's clock, in either direction. A recorded request
/// cannot be sent again later than this.
const TOLERANCE: TimeDelta = TimeDelta::seconds(300);
/// The most signatures that are checked; Stripe sends one for each valid secret.
const SIGNATURES_MAX: usize = 16;

/// The secrets of the endpoint: one, or two during a rotation. Debug prints only their number.
#[derive(Clone, Default)]
pub struct StripeSecrets(Vec<SecretString>);

impl StripeSecrets {
    pub const MUST: &str = "must be one or two secrets of printable ASCII, separated by a comma";

    /// Reads one secret, or two separated by a comma.
    pub fn parse(raw: &SecretString) -> Result<Self, &'static str> {
        let secrets: Vec<_> = raw.expose_secret().split(',').map(str::trim).collect();
        let usable =
            |secret: &&str| (1..=255).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
        if secrets.len() <= 2 && secrets.iter().all(usable) {
            Ok(Self(secrets.into_iter().map(SecretString::from).collect()))
        } else {
            Err(Self::MUST)
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for StripeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StripeSecrets({})", self.0.len())
    }
}

/// Why a request is not accepted as sent by Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    #[error("the header is missing, or has no time or no signature of scheme v1")]
    Malformed,
    #[error("the signature is too old, or its time is in the future")]
    OutOfTime,
    #[error("no signature matches")]
    Wrong,
}

/// The header `Stripe-Signature`: `t=1732300000,v1=5257a869…,v1=…`. Other schemes are ignored.
#[derive(Debug)]
pub struct StripeSignature<'a> {
    time: &'a str,
    signatures: Vec<[u8; 32]>,
}

impl<'a> StripeSignature<'a> {
    pub fn parse(header: &'a str) -> Result<Self, BadSignature> {
        let (mut time, mut signatures) = (None, Vec::new());
        for item in header.split(',') {
            match item.trim().split_once('=').ok_or(BadSignature::Malformed)? {
                ("t", _) if time.is_some() => return Err(BadSignature::Malformed),
                ("t", value) => time = Some(value),
                // A malformed signature is ignored: another one may match.
                ("v1", hex) if signatures.len() < SIGNATURES_MAX => signatures.extend(decode_hex(hex)),
                _ => {}
            }
        }
        let time = time.filter(|time| !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()));
        match time {
            Some(time) if !signatures.is_empty() => Ok(Self { time, signatures }),
            _ => Err(BadSignature::Malformed),
        }
    }

    /// Checks the claimed time of the signature against the clock. The time is not verified yet.
    pub fn verify_time(&self, now: DateTime<Utc>) -> Result<(), BadSignature> {
        let signed_at = self.time.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        if signed_at.is_some_and(|signed_at| (now - signed_at).abs() <= TOLERANCE) {
            Ok(())
        } else {
            Err(BadSignature::OutOfTime)
        }
    }

    /// Checks that one of these secrets signed this body, and that the signature's time is close to `now`.
    pub fn verify(&self, body: &[u8], secrets: &StripeSecrets, now: DateTime<Utc>) -> Result<(), BadSignature> {
        self.verify_time(now)?;
        // `verify_slice` compares in constant time.
        let signs = |secret: &SecretString| {
            let hmac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
            let hmac = hmac.expect("any key length is accepted").chain_update(self.time).chain_update(".");
            let hmac = hmac.chain_update(body);
            self.signatures.iter().any(|signature| hmac.clone().verify_slice(signature).is_ok())
        };
        if secrets.0.iter().any(signs) { Ok(()) } else { Err(BadSignature::Wrong) }
    }
}

fn decode_hex(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '%s' '1732300000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
    const SIGNED: &str = "d2b033c3cfa5676ca63e7df8f2cf74d614c24afc08148890050a47cccce4ee4a";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn verified(header: &str, body: &[u8], secrets: &str, now: i64) -> Result<(), BadSignature> {
        let secrets = StripeSecrets::parse(&SecretString::from(secrets)).expect("secrets");
        let now = DateTime::from_timestamp(now, 0).expect("a time");
        StripeSignature::parse(header)?.verify(body, &secrets, now)
    }

    #[test]
    fn a_correct_signature_is_accepted_within_five_minutes_of_its_time() {
        let header = format!("t=1732300000,v1={SIGNED}");
        for (now, expected) in [
            (1_732_300_000, Ok(())),
            (1_732_300_300, Ok(())),
            (1_732_299_700, Ok(())),
            (1_732_300_301, Err(BadSignature::OutOfTime)),
            (1_732_299_699, Err(BadSignature::OutOfTime)),
        ] {
            assert_eq!(verified(&header, BODY, "whsec_test", now), expected, "{now}");
        }
    }

    #[test]
    fn one_correct_signature_with_one_of_the_secrets_is_enough() {
        let other = "0".repeat(64);
        let header = format!("t=1732300000,v0=abc,v1={other},v1=short,v1={SIGNED}");
        assert_eq!(verified(&header, BODY, "whsec_new,whsec_test", 1_732_300_000), Ok(()));
        assert_eq!(verified(&header, BODY, "whsec_new", 1_732_300_000), Err(BadSignature::Wrong));
        assert_eq!(verified(&header, b"{}", "whsec_test", 1_732_300_000), Err(BadSignature::Wrong));
        let upper = format!("t=1732300000,v1={}", SIGNED.to_uppercase());
        assert_eq!(verified(&upper, BODY, "whsec_test", 1_732_300_000), Ok(()));
    }

    #[test]
    fn a_header_without_time_or_signature_is_malformed() {
        let one = "0".repeat(64);
        for header in [
            "",
            "t=1732300000",
            &format!("v1={one}"),
            &format!("t=,v1={one}"),
            &format!("t=-1,v1={one}"),
            &format!("t=1,t=2,v1={one}"),
            &format!("t=1732300000,v0={one}"),
            &format!("t=1732300000;v1={one}"),
            "t=1732300000,v1=ä",
        ] {
            assert_eq!(StripeSignature::parse(header).err(), Some(BadSignature::Malformed), "{header}");
        }
        let distant = format!("t={},v1={one}", "9".repeat(30));
        assert_eq!(verified(&distant, BODY, "whsec_test", 1_732_300_000), Err(BadSignature::OutOfTime));
    }

    #[test]
    fn one_or_two_secrets_are_accepted_and_never_printed() {
        for (raw, good) in
            [("whsec_a", true), ("whsec_a, whsec_b", true), ("a,b,c", false), ("a,", false), ("ä", false)]
        {
            let parsed = StripeSecrets::parse(&SecretString::from(raw));
            assert_eq!(parsed.is_ok(), good, "{raw}");
            assert!(!format!("{parsed:?}").contains("whsec"), "{parsed:?}");
        }
    }
}
