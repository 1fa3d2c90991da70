//! Applies random operations to a booking in any order, and checks after each that no money is lost, that seats are
//! counted correctly, and that the booking can be derived from its events.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    booking::Booking,
    cancel,
    change::{BookingTarget, NoChange},
    confirm, correct_instants,
    decision::{Decision, Occasion, SeatChange},
    derive::derive,
    end::{self, End},
    event_chain::StoredEvent,
    expire_holds,
    fixtures::{START, assert_sound, at, created, euro, pending_booking, seats_in, slot_at},
    load::Loaded,
    reinstate,
    reschedule::{self, Reschedule},
};
use crate::{
    domain::{
        BookingStatus, CancellationInitiator, MoneyMove, PartySize, PaymentKind, PaymentMethod, PaymentStatus,
        StripeEffect, StripeNames, StripePayment, Terms,
    },
    payments::{
        move_money::{self, MoneyRefusal, Movement},
        row::Payment,
    },
    slots::row::SlotRow,
    stripe::apply_payment::{self, ApplyPaymentError, Next},
};

/// The most steps in which one Stripe event is applied.
const STEPS_MAX: usize = 20;

/// An operation on a booking or its slots.
#[derive(Debug, Clone)]
enum Operation {
    Confirm,
    Cancel(CancellationInitiator),
    Reschedule {
        hour: u32,
        party_size: i32,
        by: CancellationInitiator,
    },
    Complete,
    MarkNoShow {
        waives_fee: bool,
    },
    /// Takes an ending back.
    Reinstate,
    Expire,
    /// New time zone rules move the slots by this many minutes, and the booking is corrected.
    CorrectInstants(i64),
    /// Other bookings take this many seats of a slot.
    TakeOtherSeats {
        hour: u32,
        seats: i32,
    },
    Pay(i64),
    /// Tips and extras are paid, or refunded (below 0).
    PayExtra(i64),
    Refund(i64),
    /// A Stripe event of one of two charges.
    Stripe {
        charge: u8,
        effect: StripeEffect,
        object: u8,
        cents: i64,
    },
}

fn operations() -> impl Strategy<Value = Operation> {
    let hour = || 17..20_u32;
    let effect = prop::sample::select(vec![
        StripeEffect::Processing,
        StripeEffect::Failed,
        StripeEffect::Cancelled,
        StripeEffect::Succeeded,
        StripeEffect::Succeeded,
        StripeEffect::Refunded,
        StripeEffect::RefundMade,
        StripeEffect::RefundFailed,
        StripeEffect::Disputed,
        StripeEffect::DisputeReinstated,
        StripeEffect::DisputeLost,
    ]);
    let by = || prop::sample::select(vec![CancellationInitiator::Customer, CancellationInitiator::Venue]);
    prop_oneof![
        2 => Just(Operation::Confirm),
        1 => by().prop_map(Operation::Cancel),
        4 => (hour(), 1..=8, by()).prop_map(|(hour, party_size, by)| Operation::Reschedule { hour, party_size, by }),
        1 => Just(Operation::Complete),
        2 => prop::bool::weighted(0.2).prop_map(|waives_fee| Operation::MarkNoShow { waives_fee }),
        3 => Just(Operation::Reinstate),
        2 => Just(Operation::Expire),
        1 => (-90..90_i64).prop_map(Operation::CorrectInstants),
        2 => (hour(), 0..=10).prop_map(|(hour, seats)| Operation::TakeOtherSeats { hour, seats }),
        3 => (1..9000_i64).prop_map(Operation::Pay),
        2 => (1..5000_i64).prop_map(Operation::Refund),
        2 => (-2000..3000_i64).prop_filter("an amount", |cents| *cents != 0).prop_map(Operation::PayExtra),
        8 => (0..2_u8, effect, 0..3_u8, 1..9000_i64)
            .prop_map(|(charge, effect, object, cents)| Operation::Stripe { charge, effect, object, cents }),
    ]
}

/// A booking with its events, slots and payments, as the database would store them.
struct Simulation {
    now: DateTime<Utc>,
    loaded: Loaded,
    events: Vec<StoredEvent>,
    /// The slots by hour; `reserved` counts the seats of all bookings.
    slots: BTreeMap<u32, SlotRow>,
    payments: BTreeMap<Uuid, Payment>,
}

impl Simulation {
    fn begin(terms: Option<&Terms>) -> Self {
        let slots = (17..20).map(|hour| (hour, slot_at(hour))).collect();
        let (loaded, payments) = (pending_booking(), BTreeMap::new());
        let mut simulation = Self { now: at(0), loaded, events: Vec::new(), slots, payments };
        simulation.commit(None, &created(terms));
        simulation
    }

    fn apply(&mut self, operation: &Operation) {
        let occasion = Occasion::of_worker(self.now);
        let booking = self.loaded.booking.clone();
        self.loaded.slot = self.slots.values().find(|it| it.key() == booking.slot()).cloned().map(Json);
        let loaded = &self.loaded;
        let decision = match operation {
            Operation::Confirm => confirm::decide(loaded, None, &occasion).ok(),
            Operation::Cancel(by) => cancel::decide(loaded, None, *by, &occasion).ok(),
            Operation::Reschedule { hour, party_size, by } => self.reschedule(*hour, *party_size, *by, &occasion).ok(),
            Operation::Complete => self.end(&end::COMPLETED, &occasion),
            Operation::MarkNoShow { waives_fee: false } => self.end(&end::NO_SHOW, &occasion),
            Operation::MarkNoShow { waives_fee: true } => self.end(&end::NO_SHOW_WITHOUT_FEE, &occasion),
            Operation::Reinstate => reinstate::decide(loaded, None, &occasion).ok(),
            Operation::Expire => expire_holds::decide(loaded, &occasion),
            Operation::CorrectInstants(minutes) => {
                for slot in self.slots.values_mut() {
                    slot.starts_at += TimeDelta::minutes(*minutes);
                    slot.ends_at += TimeDelta::minutes(*minutes);
                }
                self.loaded.slot = self.slots.values().find(|it| it.key() == booking.slot()).cloned().map(Json);
                correct_instants::decide(&self.loaded, "2026a", &occasion)
            }
            Operation::TakeOtherSeats { hour, seats } => {
                let slot = self.slots.get_mut(hour).expect("a slot");
                let own = seats_in(Some(&booking), slot.key());
                slot.reserved = own + (*seats).min(slot.capacity - own);
                None
            }
            Operation::Pay(cents) => self.move_cash(*cents, 0, &occasion),
            Operation::Refund(cents) => self.move_cash(-cents, 0, &occasion),
            Operation::PayExtra(cents) => self.move_cash(*cents, *cents, &occasion),
            Operation::Stripe { charge, effect, object, cents } => {
                return self.report(*charge, *effect, *object, *cents);
            }
        };
        if let Some(decision) = decision {
            self.commit(Some(&booking), &decision);
        }
    }

    fn reschedule(
        &self,
        hour: u32,
        party_size: i32,
        by: CancellationInitiator,
        occasion: &Occasion,
    ) -> Result<Decision, NoChange> {
        let target = &self.slots[&hour];
        let request = Reschedule {
            target: BookingTarget { booking_id: self.loaded.booking.booking_id, etag: None, validate_only: false },
            date: None,
            start_time: Some(target.start_time),
            party_size: PartySize::parse(party_size).ok(),
            expected_total_cents: None,
            area: None,
            allows_duplicate: false,
            by,
        };
        reschedule::decide(&Loaded { target: Some(Json(target.clone())), ..self.loaded.clone() }, &request, occasion)
    }

    fn end(&self, end: &End, occasion: &Occasion) -> Option<Decision> {
        end::decide(&self.loaded, None, end, occasion).ok()
    }

    fn move_cash(&self, paid: i64, extras: i64, occasion: &Occasion) -> Option<Decision> {
        let money = if paid > 0 { MoneyMove::Received } else { MoneyMove::Refunded };
        let movement = Movement {
            etag: None,
            money,
            method: PaymentMethod::Cash,
            amount_cents: paid.abs(),
            paid_delta_cents: paid,
            refunded_delta_cents: (-paid).max(0),
            disputed_delta_cents: 0,
            extras_delta_cents: extras,
            may_confirm: true,
            currency: Some(euro()),
            external_reference: "",
            charge_id: None,
            occurred_at: self.now,
            charge: None,
        };
        let decided = move_money::decide(&self.loaded, &movement, occasion);
        assert!(!matches!(decided, Err(MoneyRefusal::Impossible(_))), "{decided:?}");
        decided.ok()
    }

    /// Applies a Stripe event about a charge, step by step.
    fn report(&mut self, charge: u8, effect: StripeEffect, object: u8, cents: i64) {
        let reference = format!("pi_{charge}");
        let payment = StripePayment {
            names: StripeNames {
                booking_id: Some(self.loaded.booking.booking_id.0),
                payment_intent: Some(reference.clone()),
                charge_id: Some(format!("ch_{charge}")),
            },
            effect,
            object_id: Some(format!("{object}")),
            amount_cents: Some(if effect.is_attempt() { 7000 } else { cents }),
            refunded_cents: Some(cents.min(7000)),
            currency: euro(),
        };
        for _ in 0..STEPS_MAX {
            let of_charge = |it: &&Payment| it.kind == PaymentKind::Charge && it.external_reference == reference;
            let known = self.payments.values().find(of_charge).cloned();
            let of_known =
                |it: &&Payment| it.refund_of.is_some() && it.refund_of == known.as_ref().map(|it| it.payment_id.0);
            let refunds = self.payments.values().filter(of_known).filter(|it| it.status == PaymentStatus::Succeeded);
            let mut refunds: Vec<Payment> = refunds.cloned().collect();
            refunds.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.payment_id)));
            let others = self.payments.values().filter(|it| it.status == PaymentStatus::Processing && !of_charge(it));
            let before = self.loaded.booking.clone();
            let loaded = Loaded {
                charge: known.clone().map(Json),
                refunds: Some(Json(refunds)),
                others_hold_until: others.filter_map(|it| it.hold_until).max(),
                slot: self.slots.values().find(|it| it.key() == before.slot()).cloned().map(Json),
                ..self.loaded.clone()
            };
            match apply_payment::next(Some(&loaded), &payment, self.now, &Occasion::of_worker(self.now)) {
                Ok(Next::Facts(decision)) => return self.commit(Some(&before), &decision),
                Ok(Next::Money(decision)) => self.commit(Some(&before), &decision),
                Ok(Next::Nothing)
                | Err(
                    ApplyPaymentError::ChargeUnknown
                    | ApplyPaymentError::Refused(MoneyRefusal::RefundExceedsPaid { .. }),
                ) => return,
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("the event is not applied after {STEPS_MAX} steps");
    }

    fn commit(&mut self, before: Option<&Booking>, decision: &Decision) {
        assert_sound(before, decision);
        let was_live = before.is_none_or(is_live);
        self.loaded.booking = decision.booking.clone();
        if was_live && !is_live(&self.loaded.booking) {
            self.loaded.ended_at = Some(decision.occasion.at);
        }
        self.events.extend(decision.events.iter().map(|event| event.stored.clone()));
        for SeatChange { slot, seats, expects, .. } in &decision.seats {
            let slot = self.slots.values_mut().find(|it| it.key() == *slot).expect("a slot");
            slot.reserved += seats;
            assert!((0..=slot.capacity).contains(&slot.reserved), "{slot:?}");
            assert!(expects.is_none_or(|expects| expects.starts_at == slot.starts_at));
        }
        for change in &decision.payments {
            let payment = change.payment.clone();
            let known = self.payments.get(&payment.payment_id.0);
            assert_eq!(known.map(|known| known.revision), change.revision);
            let revision = change.revision.map_or(payment.revision, |revision| revision + 1);
            self.payments.insert(payment.payment_id.0, Payment { revision, ..payment });
        }
        self.assert_sums();
        let derived = derive(&self.events);
        assert_eq!(derived.faults, []);
        assert_eq!(derived.booking.as_ref(), Some(&self.loaded.booking));
    }

    /// Checks that the booking's sums are those of its payments, and that exactly the amount beyond the venue's is
    /// owed.
    fn assert_sums(&self) {
        let booking = &self.loaded.booking;
        let sum = |kind: PaymentKind, of: fn(&Payment) -> i64| -> i64 {
            let counts = |it: &&Payment| {
                it.kind == kind && matches!(it.status, PaymentStatus::Succeeded | PaymentStatus::Disputed)
            };
            self.payments.values().filter(counts).map(of).sum()
        };
        let charged = sum(PaymentKind::Charge, |it| it.amount_cents);
        assert_eq!(sum(PaymentKind::Refund, |it| it.amount_cents), booking.refunded_cents);
        assert_eq!(sum(PaymentKind::Charge, |it| it.disputed_cents), booking.disputed_cents);
        assert_eq!(booking.paid_cents + booking.refunded_cents + booking.disputed_cents, charged, "money was lost");
        let keeps = match booking.status {
            BookingStatus::Cancelled => booking.kept_cents,
            BookingStatus::Expired => 0,
            _ => {
                (booking.total_cents + booking.retained_cents.unwrap_or(0)).max(booking.no_show_fee_cents.unwrap_or(0))
            }
        };
        assert_eq!(booking.refund_due_cents, (booking.paid_without_extras_cents() - keeps).max(0), "{booking:?}");
        assert!(booking.no_show_fee_due_cents() == 0 || booking.refund_due_cents == 0, "both owe: {booking:?}");
        let of_extra = |it: &&Payment| it.is_extra == Some(true);
        let signed = |it: &Payment| if it.kind == PaymentKind::Charge { it.amount_cents } else { -it.amount_cents };
        let extras: i64 = self.payments.values().filter(of_extra).map(signed).sum();
        assert_eq!(extras, booking.extras_cents.unwrap_or(0));
    }
}

fn is_live(booking: &Booking) -> bool {
    matches!(booking.status, BookingStatus::Pending | BookingStatus::Confirmed)
}

/// Terms with every kind of amount, or none as a booking of an earlier version.
fn terms() -> impl Strategy<Value = Option<Terms>> {
    let deposits = (0..=100, prop_oneof![Just(0_i64), 0..2000_i64], prop_oneof![Just(0_i64), 0..2000_i64], 0..6);
    let others = (prop_oneof![Just(0_i64), 0..20_000_i64], prop_oneof![Just(0_i64), 0..6000_i64]);
    prop::option::weighted(0.8, (deposits, others)).prop_map(|terms| {
        let ((deposit_percent, deposit_per_person_cents, deposit_fixed_cents, deposit_min_party_size), others) = terms?;
        Some(Terms {
            full_refund_hours: 24,
            late_refund_percent: 50,
            deposit_percent,
            deposit_per_person_cents,
            deposit_fixed_cents,
            deposit_min_party_size,
            minimum_spend_cents: others.0,
            no_show_fee_per_person_cents: others.1,
        })
    })
}

proptest! {
    #[test]
    fn money_seats_and_events_of_a_booking_agree_after_any_sequence_of_operations(
        terms in terms(),
        operations in prop::collection::vec((0..1500_i64, operations()), 1..40),
    ) {
        let mut simulation = Simulation::begin(terms.as_ref());
        for (minutes, operation) in operations {
            // Time passes more slowly after the start, so that several operations happen soon after it.
            let divisor = if simulation.now < at(START) { 1 } else { 10 };
            simulation.now += TimeDelta::minutes(minutes / divisor);
            simulation.apply(&operation);
        }
    }
}
