//! Money: what the services say was paid and refunded is what Stripe says.

use super::{Checked, Evidence, Findings, bookings::Stored};

pub fn adds_up_with_stripe(evidence: &Evidence<'_>, stored: &Stored) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "money adds up with Stripe's side");
    let money = evidence.stripe.money();
    for row in stored.bookings.values() {
        let stripe = money.get(&row.booking_id).copied().unwrap_or_default();
        let expected = (stripe.charged - stripe.refunded, stripe.refunded);
        let found = (row.paid_cents, row.refunded_cents);
        findings.check(found == expected, &row.booking_id, || {
            let (id, (paid, refunded)) = (&row.booking_id, found);
            format!("{id} has {paid} paid and {refunded} refunded; Stripe says {} and {}", expected.0, expected.1)
        });
    }
    findings.done()
}
