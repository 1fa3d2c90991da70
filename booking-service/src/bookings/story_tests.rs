//! Whatever happens to a booking, in any order: no money vanishes, no seat is counted twice, and its events say
//! everything.

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
    fixtures::{START, assert_sound, at, created, euro, pending, seats_in, slot_at},
    load::Loaded,
    reschedule::{self, Reschedule},
};
use crate::{
    domain::{
        BookingStatus, CancellationInitiator, MoneyMove, PartySize, PaymentKind, PaymentMethod, PaymentStatus,
        StripeEffect, StripeNames, StripePayment,
    },
    payments::{
        move_money::{self, MoneyRefusal, Movement},
        row::Payment,
    },
    slots::row::SlotRow,
    stripe::apply_payment::{self, ApplyPaymentError, Next},
};

/// Steps that one event of Stripe's can take.
const STEPS_MAX: usize = 20;

/// Something that happens to a booking.
#[derive(Debug, Clone)]
enum Act {
    Confirm,
    Cancel(CancellationInitiator),
    Reschedule {
        hour: u32,
        party_size: i32,
    },
    Complete,
    MarkNoShow,
    Expire,
    /// The slots begin so many minutes later, by new rules of the time zone, and the booking follows.
    CorrectInstants(i64),
    /// So many seats of a slot are taken by others.
    OthersTake {
        hour: u32,
        seats: i32,
    },
    Pay(i64),
    GiveBack(i64),
    /// Of one of two charges.
    Stripe {
        charge: u8,
        effect: StripeEffect,
        object: u8,
        cents: i64,
    },
}

fn acts() -> impl Strategy<Value = Act> {
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
    let by = prop::sample::select(vec![CancellationInitiator::Customer, CancellationInitiator::Venue]);
    prop_oneof![
        2 => Just(Act::Confirm),
        1 => by.prop_map(Act::Cancel),
        4 => (hour(), 1..=8).prop_map(|(hour, party_size)| Act::Reschedule { hour, party_size }),
        1 => Just(Act::Complete),
        1 => Just(Act::MarkNoShow),
        2 => Just(Act::Expire),
        1 => (-90..90_i64).prop_map(Act::CorrectInstants),
        2 => (hour(), 0..=10).prop_map(|(hour, seats)| Act::OthersTake { hour, seats }),
        3 => (1..9000_i64).prop_map(Act::Pay),
        2 => (1..5000_i64).prop_map(Act::GiveBack),
        8 => (0..2_u8, effect, 0..3_u8, 1..9000_i64)
            .prop_map(|(charge, effect, object, cents)| Act::Stripe { charge, effect, object, cents }),
    ]
}

/// A booking with everything around it, as the database would have it.
struct Story {
    now: DateTime<Utc>,
    loaded: Loaded,
    events: Vec<StoredEvent>,
    /// By hour; `reserved` is of all bookings.
    slots: BTreeMap<u32, SlotRow>,
    payments: BTreeMap<Uuid, Payment>,
}

impl Story {
    fn begin() -> Self {
        let slots = (17..20).map(|hour| (hour, slot_at(hour))).collect();
        let (loaded, payments) = (pending(), BTreeMap::new());
        let mut story = Self { now: at(0), loaded, events: Vec::new(), slots, payments };
        story.commit(None, &created());
        story
    }

    fn happen(&mut self, act: &Act) {
        let occasion = Occasion::of_worker(self.now);
        let booking = self.loaded.booking.clone();
        self.loaded.slot = self.slots.values().find(|it| it.key() == booking.slot()).cloned().map(Json);
        let loaded = &self.loaded;
        let decision = match act {
            Act::Confirm => confirm::decide(loaded, None, &occasion).ok(),
            Act::Cancel(by) => cancel::decide(loaded, None, *by, &occasion).ok(),
            Act::Reschedule { hour, party_size } => self.reschedule(*hour, *party_size, &occasion).ok(),
            Act::Complete => self.end(&end::COMPLETED, &occasion),
            Act::MarkNoShow => self.end(&end::NO_SHOW, &occasion),
            Act::Expire => expire_holds::decide(loaded, &occasion),
            Act::CorrectInstants(minutes) => {
                for slot in self.slots.values_mut() {
                    slot.starts_at += TimeDelta::minutes(*minutes);
                    slot.ends_at += TimeDelta::minutes(*minutes);
                }
                self.loaded.slot = self.slots.values().find(|it| it.key() == booking.slot()).cloned().map(Json);
                correct_instants::decide(&self.loaded, "2026a", &occasion)
            }
            Act::OthersTake { hour, seats } => {
                let slot = self.slots.get_mut(hour).expect("a slot");
                let own = seats_in(Some(&booking), slot.key());
                slot.reserved = own + (*seats).min(slot.capacity - own);
                None
            }
            Act::Pay(cents) => self.move_cash(MoneyMove::Received, *cents, 0, &occasion),
            Act::GiveBack(cents) => self.move_cash(MoneyMove::Refunded, -cents, *cents, &occasion),
            Act::Stripe { charge, effect, object, cents } => return self.report(*charge, *effect, *object, *cents),
        };
        if let Some(decision) = decision {
            self.commit(Some(&booking), &decision);
        }
    }

    fn reschedule(&self, hour: u32, party_size: i32, occasion: &Occasion) -> Result<Decision, NoChange> {
        let target = &self.slots[&hour];
        let wish = Reschedule {
            target: BookingTarget { booking_id: self.loaded.booking.booking_id, etag: None, validate_only: false },
            date: None,
            start_time: Some(target.start_time),
            party_size: PartySize::parse(party_size).ok(),
            expected_total_cents: None,
        };
        reschedule::decide(&Loaded { target: Some(Json(target.clone())), ..self.loaded.clone() }, &wish, occasion)
    }

    fn end(&self, end: &End, occasion: &Occasion) -> Option<Decision> {
        end::decide(&self.loaded, None, end, occasion).ok()
    }

    fn move_cash(&self, money: MoneyMove, paid: i64, refunded: i64, occasion: &Occasion) -> Option<Decision> {
        let movement = Movement {
            etag: None,
            money,
            method: PaymentMethod::Cash,
            amount_cents: paid.abs(),
            paid_delta_cents: paid,
            refunded_delta_cents: refunded,
            disputed_delta_cents: 0,
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

    /// Stripe reports something about a charge, and it is applied step by step.
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
        panic!("the steps come to no end");
    }

    fn commit(&mut self, before: Option<&Booking>, decision: &Decision) {
        assert_sound(before, decision);
        self.loaded.booking = decision.booking.clone();
        self.events.extend(decision.events.iter().map(|event| event.stored.clone()));
        for SeatChange { slot, seats, expects } in &decision.seats {
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
        self.assert_counted();
        let derived = derive(&self.events);
        assert_eq!(derived.faults, []);
        assert_eq!(derived.booking.as_ref(), Some(&self.loaded.booking));
    }

    /// The booking's sums are those of its payments, and what is owed is what the venue may not keep.
    fn assert_counted(&self) {
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
        assert_eq!(booking.paid_cents + booking.refunded_cents + booking.disputed_cents, charged, "money vanished");
        let keeps = match booking.status {
            BookingStatus::Cancelled => booking.kept_cents,
            BookingStatus::Expired => 0,
            _ => booking.total_cents,
        };
        assert_eq!(booking.refund_due_cents, (booking.paid_cents - keeps).max(0), "{booking:?}");
    }
}

proptest! {
    #[test]
    fn whatever_happens_to_a_booking_its_money_its_seats_and_its_events_agree(
        acts in prop::collection::vec((0..1500_i64, acts()), 1..40),
    ) {
        let mut story = Story::begin();
        for (minutes, act) in acts {
            // Most of a story happens before the booking begins.
            let pace = if story.now < at(START) { 1 } else { 10 };
            story.now += TimeDelta::minutes(minutes / pace);
            story.happen(&act);
        }
    }
}
