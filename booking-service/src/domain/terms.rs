//! The terms of a booking, and what a customer's change gives back under them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Currency, chargeable_cents, step_cents};

/// The policy of a venue as far as a booking keeps it. Stored in the JSON form of the contract's message, with amounts as
/// texts. Fields that an earlier version does not know are left out when they are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub full_refund_hours: i32,
    pub late_refund_percent: i32,
    pub deposit_percent: i32,
    #[serde(default, skip_serializing_if = "is_zero", with = "cents")]
    pub deposit_per_person_cents: i64,
    #[serde(default, skip_serializing_if = "is_zero", with = "cents")]
    pub deposit_fixed_cents: i64,
    /// The smallest party that pays a deposit; 0: every party.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deposit_min_party_size: i32,
    /// Of the whole booking.
    #[serde(default, skip_serializing_if = "is_zero", with = "cents")]
    pub minimum_spend_cents: i64,
    #[serde(default, skip_serializing_if = "is_zero", with = "cents")]
    pub no_show_fee_per_person_cents: i64,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Amounts in the JSON form of protobuf, in which 64-bit integers are texts.
mod cents {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference to the field")]
    pub fn serialize<S: Serializer>(cents: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(cents)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Terms {
    /// The terms of a party at the door: it owes no deposit, no minimum spend and no fee, also after a change. The SQL
    /// function `walk_in_terms` has the same rule.
    #[must_use]
    pub fn for_walk_ins(&self) -> Self {
        let Self { full_refund_hours, late_refund_percent, .. } = *self;
        Self { full_refund_hours, late_refund_percent, ..Self::default() }
    }

    /// The price of a booking. A deposit counts towards the bill, so the bill is at least the deposit per person and the
    /// fixed deposit. The SQL function `booking_total_cents` has the same rule.
    pub fn total_cents(&self, price_per_person_cents: i64, party_size: i32) -> i64 {
        let price_cents = price_per_person_cents.saturating_mul(party_size.into());
        price_cents.max(self.minimum_spend_cents).max(self.fixed_deposit_cents(party_size))
    }

    /// The deposit for a total, as an amount that Stripe can charge. The SQL function `booking_deposit_cents` has the
    /// same rule.
    pub fn deposit_cents(&self, total_cents: i64, party_size: i32, currency: Currency) -> i64 {
        if !self.wants_deposit(party_size) {
            return 0;
        }
        let share_cents = (total_cents * i64::from(self.deposit_percent) + 50) / 100;
        chargeable_cents(total_cents, share_cents + self.fixed_deposit_cents(party_size), currency)
    }

    /// What the guests of a booking owe who do not come: rounded up to an amount that Stripe can charge.
    pub fn no_show_fee_cents(&self, party_size: i32, currency: Currency) -> i64 {
        let (cents, step) = (self.no_show_fee_per_person_cents * i64::from(party_size), step_cents(currency));
        (cents + step - 1) / step * step
    }

    fn wants_deposit(&self, party_size: i32) -> bool {
        party_size >= self.deposit_min_party_size
    }

    /// The part of the deposit that does not depend on the total.
    fn fixed_deposit_cents(&self, party_size: i32) -> i64 {
        let each_cents = self.deposit_per_person_cents.saturating_mul(party_size.into());
        let cents = each_cents.saturating_add(self.deposit_fixed_cents);
        if self.wants_deposit(party_size) { cents } else { 0 }
    }

    /// The moment until which a customer gets everything back.
    pub fn full_refund_until(&self, starts_at: DateTime<Utc>) -> DateTime<Utc> {
        starts_at - TimeDelta::hours(self.full_refund_hours.into())
    }

    /// The part of the paid amount that a customer's change gives back at a moment, in percent.
    pub fn refund_percent(&self, starts_at: DateTime<Utc>, now: DateTime<Utc>) -> i32 {
        if now <= self.full_refund_until(starts_at) { 100 } else { self.late_refund_percent }
    }
}

/// The money of a booking, in minor units.
#[derive(Debug, Clone, Copy)]
pub struct Purse {
    /// Received and not refunded. Disputed money counts, so that it is owed like the rest if the bank returns it.
    pub received_cents: i64,
    /// The price.
    pub total_cents: i64,
    /// The largest price that was paid for when the customer changed the booking late before; 0 if never.
    pub base_cents: i64,
    /// Stripe moves only multiples of this.
    pub step_cents: i64,
}

impl Purse {
    /// The largest price that was ever paid for. The venue keeps a part of it, whatever became of the price since: so
    /// the order of the changes and the payments of refunds in between do not matter, and a guest who comes after all is
    /// not charged twice.
    pub fn base(self) -> i64 {
        self.base_cents.max(self.received_cents.min(self.total_cents))
    }

    /// What the venue keeps if the customer cancels. Half a cent and more is refunded. If Stripe moves only multiples of
    /// some cents, the venue keeps a multiple.
    pub fn kept_if_cancelled(self, percent: i32) -> i64 {
        let refunded = (self.base() * i64::from(percent) + 50) / 100;
        ((self.base() - refunded) / self.step_cents * self.step_cents).min(self.received_cents)
    }

    /// What the venue keeps beyond the price after a change of it. Of the money that a lower price frees, the customer
    /// gets the percentage, rounded down: a change never gives back more than a cancellation.
    pub fn retained_at_price(self, percent: i32, new_total_cents: i64) -> i64 {
        let freed = (self.base() - new_total_cents).max(0);
        freed - freed * i64::from(percent) / 100 / self.step_cents * self.step_cents
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn euro() -> Currency {
        Currency::parse("EUR").expect("a currency")
    }

    #[test]
    fn a_booking_costs_at_least_its_minimum_spend_and_its_deposit() {
        let share = Terms { deposit_percent: 25, ..Terms::default() };
        let each = Terms { deposit_per_person_cents: 1000, ..Terms::default() };
        let large = Terms { deposit_min_party_size: 6, deposit_fixed_cents: 5000, ..each };
        let spend = Terms { minimum_spend_cents: 20_000, ..share };
        for (terms, price, party, total, deposit) in [
            (&Terms::default(), 3500, 4, 14_000, 0),
            (&share, 3500, 4, 14_000, 3500),
            (&each, 3500, 4, 14_000, 4000),
            (&each, 0, 4, 4000, 4000),
            (&large, 0, 5, 0, 0),
            (&large, 0, 6, 11_000, 11_000),
            (&large, 3500, 6, 21_000, 11_000),
            (&Terms { deposit_percent: 50, ..large }, 3500, 6, 21_000, 21_000),
            (&Terms { deposit_percent: 50, ..large }, 3500, 5, 17_500, 0),
            (&spend, 3500, 4, 20_000, 5000),
            (&spend, 3500, 8, 28_000, 7000),
            (&Terms { deposit_fixed_cents: 20, ..Terms::default() }, 0, 1, 20, 0),
        ] {
            assert_eq!(terms.total_cents(price, party), total, "{terms:?} {price} {party}");
            assert_eq!(terms.deposit_cents(total, party, euro()), deposit, "{terms:?} {price} {party}");
        }
    }

    #[test]
    fn terms_of_an_earlier_version_are_read_and_written_as_they_were() {
        let earlier = r#"{"full_refund_hours":24,"late_refund_percent":50,"deposit_percent":25}"#;
        let terms: Terms = serde_json::from_str(earlier).expect("terms");
        assert_eq!(terms.no_show_fee_cents(50, euro()), 0);
        assert_eq!(serde_json::to_string(&terms).expect("JSON"), earlier);
        let fee = Terms { no_show_fee_per_person_cents: 2000, deposit_min_party_size: 6, ..terms };
        let json = serde_json::to_value(fee).expect("JSON");
        assert_eq!(
            (&json["no_show_fee_per_person_cents"], &json["deposit_min_party_size"]),
            (&"2000".into(), &6.into())
        );
        assert_eq!(serde_json::from_value::<Terms>(json).expect("terms"), fee);
        assert_eq!(fee.for_walk_ins(), Terms { full_refund_hours: 24, late_refund_percent: 50, ..Terms::default() });
    }

    fn purse(received_cents: i64, total_cents: i64) -> Purse {
        Purse { received_cents, total_cents, base_cents: 0, step_cents: 1 }
    }

    #[test]
    fn a_lower_price_gives_back_the_percentage_of_what_it_frees() {
        for (received, total, percent, new_total, retained) in [
            (4000, 4000, 100, 1000, 0),
            (4000, 4000, 0, 1000, 3000),
            (4000, 4000, 50, 1000, 1500),
            // A part of the price is paid: what still pays for the lower price is not freed.
            (1000, 4000, 0, 1000, 0),
            (1000, 4000, 0, 400, 600),
            // What was paid beyond the price was never the venue's.
            (5000, 4000, 0, 1000, 3000),
            (4000, 4000, 0, 5000, 0),
            (101, 101, 50, 0, 51),
        ] {
            assert_eq!(
                purse(received, total).retained_at_price(percent, new_total),
                retained,
                "{received} {percent} %"
            );
        }
    }

    #[test]
    fn a_cancellation_keeps_its_part_of_the_largest_price_that_was_paid_for() {
        let shrunk = Purse { base_cents: 4000, ..purse(2500, 1000) };
        assert_eq!(shrunk.kept_if_cancelled(50), 2000);
        assert_eq!(shrunk.kept_if_cancelled(0), 2500, "not more than it has");
        let grown_and_paid = Purse { received_cents: 6000, total_cents: 6000, ..shrunk };
        assert_eq!(grown_and_paid.kept_if_cancelled(50), 3000);
    }

    #[test]
    fn a_party_that_grows_back_pays_with_what_was_kept() {
        let shrunk = Purse { base_cents: 4000, ..purse(2500, 1000) };
        assert_eq!(shrunk.retained_at_price(50, 2000), 1000);
        assert_eq!(shrunk.retained_at_price(50, 4000), 0);
    }

    proptest! {
        /// A larger party never costs less, and the deposit is a part of the total.
        #[test]
        fn the_total_grows_with_the_party_and_covers_the_deposit(
            (deposit_percent, deposit_per_person_cents, deposit_fixed_cents) in (0..=100, 0_i64..5000, 0_i64..5000),
            (deposit_min_party_size, minimum_spend_cents) in (0..=50, 0_i64..50_000),
            (price_cents, party_size) in (0_i64..10_000, 1..50),
        ) {
            let terms = Terms {
                deposit_percent, deposit_per_person_cents, deposit_fixed_cents, deposit_min_party_size,
                minimum_spend_cents, ..Terms::default()
            };
            let total = terms.total_cents(price_cents, party_size);
            prop_assert!(total >= price_cents * i64::from(party_size));
            prop_assert!((0..=total).contains(&terms.deposit_cents(total, party_size, euro())));
            prop_assert!(terms.total_cents(price_cents, party_size + 1) >= total);
        }

        /// No sequence of changes of the price, each with its refund paid or not, gives back more in all than a
        /// cancellation at the first of them.
        #[test]
        fn no_sequence_of_changes_gives_back_more_than_a_cancellation_at_the_first(
            received in 0_i64..20_000,
            first_total in 0_i64..20_000,
            percent in 0..=99,
            step in prop::sample::select(vec![1_i64, 10, 100]),
            changes in prop::collection::vec((0_i64..20_000, any::<bool>()), 0..8),
        ) {
            let first = Purse { received_cents: received, total_cents: first_total, base_cents: 0, step_cents: step };
            let at_once = received - first.kept_if_cancelled(percent);
            let (mut now, mut refunded) = (first, 0);
            for (total, pays_refund) in changes {
                let due = (now.received_cents - total - now.retained_at_price(percent, total)).max(0);
                now = Purse { total_cents: total, base_cents: now.base(), ..now };
                if pays_refund {
                    now.received_cents -= due;
                    refunded += due;
                }
                prop_assert!(refunded <= at_once, "{refunded} of {at_once}: {now:?}");
            }
            let in_all = refunded + now.received_cents - now.kept_if_cancelled(percent);
            prop_assert!(in_all <= at_once, "{in_all} of {at_once}: {now:?}");
        }
    }
}
