//! The terms of a booking, and what a customer's change gives back under them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The policy of a venue as far as a booking keeps it. Stored as JSON with the names of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub full_refund_hours: i32,
    pub late_refund_percent: i32,
    pub deposit_percent: i32,
}

impl Terms {
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
