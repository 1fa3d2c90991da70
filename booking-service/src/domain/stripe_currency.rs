//! Converts amounts between minor units of ISO 4217 and Stripe's units, and computes deposits that Stripe can charge.
//!
//! Source: Stripe's documentation, "Supported currencies" (<https://docs.stripe.com/currencies>), its sections
//! "Zero-decimal currencies", "Special cases" and "Minimum and maximum charge amounts", and its section
//! "Three-decimal currencies", which the page does not always show; read on 2026-11-29.
//!
//! Amounts of this project are minor units by ISO 4217. Stripe's units differ for some currencies.

use super::Currency;

/// Stripe counts these in whole units; ISO 4217 gives MGA two decimals. Stripe's list contains UGX too, but its special
/// cases override that: ISK and UGX no longer have decimals, and Stripe still counts them in hundredths, like every
/// currency that is in neither list. (The other special cases, HUF and TWD, concern only payouts.)
const ZERO_DECIMAL: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Stripe counts these in thousandths, and accepts only amounts that end in 0.
const THREE_DECIMAL: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];
/// Stripe's minimum charge in each currency, if the account is also paid out in it, in Stripe's units.
const MINIMUM: [(&str, i64); 31] = [
    ("USD", 50),
    ("AED", 200),
    ("ARS", 50),
    ("AUD", 50),
    ("BRL", 50),
    ("CAD", 50),
    ("CHF", 50),
    ("COP", 50),
    ("CZK", 1500),
    ("DKK", 250),
    ("EUR", 50),
    ("GBP", 30),
    ("HKD", 400),
    ("HUF", 17_500),
    ("IDR", 50),
    ("ILS", 50),
    ("INR", 50),
    ("JPY", 50),
    ("KRW", 50),
    ("MXN", 1000),
    ("MYR", 200),
    ("NOK", 300),
    ("NZD", 50),
    ("PHP", 50),
    ("PLN", 200),
    ("RON", 200),
    ("RUB", 50),
    ("SEK", 300),
    ("SGD", 50),
    ("THB", 1000),
    ("ZAR", 50),
];

/// The amount is not a whole number of minor units, or it is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the amount is not a whole number of minor units")]
pub struct NotConvertible;

/// Converts Stripe's amount to minor units of ISO 4217. Example: Stripe's 500000 ISK are 5,000 krónur; ISK has no minor
/// unit.
///
/// # Errors
/// [`NotConvertible`]; amounts are never rounded.
pub fn from_stripe(amount: i64, currency: Currency) -> Result<i64, NotConvertible> {
    rescaled(amount, stripe_decimals(currency), currency.decimals())
}

/// Converts minor units of ISO 4217 to the amount to charge through Stripe.
///
/// # Errors
/// [`NotConvertible`], if Stripe cannot charge the amount.
pub fn to_stripe(cents: i64, currency: Currency) -> Result<i64, NotConvertible> {
    if cents % step_cents(currency) != 0 {
        return Err(NotConvertible);
    }
    rescaled(cents, currency.decimals(), stripe_decimals(currency))
}

/// A percentage of a total as a deposit, in minor units: rounded half up, and then as [`chargeable_cents`].
pub fn deposit_cents(total_cents: i64, percent: i32, currency: Currency) -> i64 {
    chargeable_cents(total_cents, (total_cents * i64::from(percent) + 50) / 100, currency)
}

/// A deposit for a total, in minor units: the wanted amount, rounded up to an amount that Stripe can charge, at least
/// Stripe's minimum. If that exceeds the total, it is the largest chargeable amount up to the total, or 0 if there is
/// none.
///
/// The SQL function `chargeable_cents` computes the same for the statements.
pub fn chargeable_cents(total_cents: i64, wanted_cents: i64, currency: Currency) -> i64 {
    if wanted_cents == 0 {
        return 0;
    }
    let (step, minimum) = (step_cents(currency), minimum_cents(currency));
    let up = (wanted_cents.max(minimum) + step - 1) / step * step;
    let largest = total_cents / step * step;
    match (up <= total_cents, largest >= minimum) {
        (true, _) => up,
        (false, true) => largest,
        (false, false) => 0,
    }
}

/// Every amount that Stripe can charge is a multiple of this, in minor units.
pub fn step_cents(currency: Currency) -> i64 {
    match currency.code() {
        "MGA" => 100,
        code if THREE_DECIMAL.contains(&code) => 10,
        _ => 1,
    }
}

/// Stripe's minimum charge in minor units; one step for a currency that is not in Stripe's list.
pub fn minimum_cents(currency: Currency) -> i64 {
    let listed = MINIMUM.iter().find(|(code, _)| *code == currency.code());
    listed.and_then(|(_, amount)| from_stripe(*amount, currency).ok()).unwrap_or_else(|| step_cents(currency))
}

fn stripe_decimals(currency: Currency) -> u32 {
    let code = currency.code();
    if ZERO_DECIMAL.contains(&code) {
        0
    } else if THREE_DECIMAL.contains(&code) {
        3
    } else {
        2
    }
}

fn rescaled(amount: i64, from: u32, to: u32) -> Result<i64, NotConvertible> {
    if to >= from {
        return amount.checked_mul(10_i64.pow(to - from)).ok_or(NotConvertible);
    }
    let divisor = 10_i64.pow(from - to);
    if amount % divisor == 0 { Ok(amount / divisor) } else { Err(NotConvertible) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect(code)
    }

    #[test]
    fn stripes_amounts_convert_to_minor_units_and_back() {
        for (code, stripe, cents) in [
            ("EUR", 3500, 3500),
            ("JPY", 500, 500),
            ("ISK", 500_000, 5000),
            ("UGX", 500, 5),
            ("MGA", 500, 50_000),
            ("KWD", 5120, 5120),
            ("HUF", 17_500, 17_500),
            ("TWD", 80_000, 80_000),
            ("COP", 50, 50),
        ] {
            assert_eq!(from_stripe(stripe, currency(code)), Ok(cents), "{code}");
            assert_eq!(to_stripe(cents, currency(code)), Ok(stripe), "{code}");
        }
    }

    #[test]
    fn an_amount_that_would_need_rounding_is_not_convertible() {
        for (code, stripe) in [("ISK", 500_050), ("UGX", 1), ("MGA", i64::MAX)] {
            assert_eq!(from_stripe(stripe, currency(code)), Err(NotConvertible), "{code}");
        }
        for (code, cents) in [("KWD", 5124), ("MGA", 50), ("ISK", i64::MAX)] {
            assert_eq!(to_stripe(cents, currency(code)), Err(NotConvertible), "{code}");
        }
    }

    #[test]
    fn a_deposit_is_chargeable_by_stripe_and_not_more_than_the_total() {
        for (code, total, percent, expected) in [
            ("EUR", 14_000, 25, 3500),
            ("EUR", 14_000, 0, 0),
            ("EUR", 0, 25, 0),
            ("EUR", 101, 50, 51),
            ("EUR", 100, 25, 50),
            ("EUR", 50, 1, 50),
            ("EUR", 49, 100, 0),
            ("KWD", 20_010, 25, 5010),
            ("KWD", 1005, 100, 1000),
            ("KWD", 9, 100, 0),
            ("MGA", 123_456, 25, 30_900),
            ("MGA", 150, 100, 100),
            ("ISK", 7, 25, 2),
            ("JPY", 100, 25, 50),
            ("HUF", 100_000, 10, 17_500),
        ] {
            assert_eq!(deposit_cents(total, percent, currency(code)), expected, "{code} {total} {percent}");
        }
    }

    #[test]
    fn stripe_can_charge_every_deposit() {
        let codes = ["EUR", "KWD", "MGA", "ISK", "UGX", "JPY", "CZK", "THB", "CLP"];
        for code in codes.map(currency) {
            for total in (0..400).chain((0..200).map(|n| n * 997)) {
                for percent in [0, 1, 25, 33, 99, 100] {
                    let deposit = deposit_cents(total, percent, code);
                    assert!((0..=total).contains(&deposit), "{code:?} {total} {percent}");
                    assert!(deposit == 0 || to_stripe(deposit, code).is_ok(), "{code:?} {total} {percent}");
                    assert!(deposit == 0 || deposit >= minimum_cents(code), "{code:?} {total} {percent}");
                }
            }
        }
    }

    #[test]
    fn every_entry_of_the_tables_is_a_currency_and_its_minimum_can_be_charged() {
        for code in ZERO_DECIMAL.iter().chain(&THREE_DECIMAL) {
            assert!(Currency::parse(code).is_ok(), "{code}");
        }
        for (code, amount) in MINIMUM {
            assert_eq!(to_stripe(minimum_cents(currency(code)), currency(code)), Ok(amount), "{code}");
        }
    }
}
