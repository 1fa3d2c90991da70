//! Generates steps. Small numbers come first everywhere, so a disagreement shrinks towards them.
//!
//! The largest strategies are boxed: otherwise a step with all its parts outgrows the stack of a thread of the tests.

use std::ops::RangeInclusive;

use proptest::{collection::vec, option, prelude::*};

use super::{
    operations::{
        Amount, Change, Create, Different, Etag, Exception, Expected, Fault, Filter, Join, Key, Operation, Pay, Pick,
        Policy, SlotChoice, Step, StripeSequence, StripeStep, Wish,
    },
    strategy_floors::{area, areas, latest, leaves, list_floor, seat, set_floor, tables},
};

/// About how many operations a case has. Each case has its own database.
pub const OPERATIONS_OF_A_CASE: usize = 400;

/// One step: mostly concurrent calls, sometimes a single call, sometimes time that passes.
pub fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => operation().prop_map(|operation| calls(vec![operation])),
        6 => vec(operation(), 1..=5).prop_map(calls),
        // Concurrent calls about one slot or booking, where the races are.
        3 => crowd().prop_map(calls),
        1 => sequence(1..=3).prop_map(|sequence| Step::AtOnce { calls: Vec::new(), sequence: Some(sequence) }),
        2 => beside_stripe(),
        // Alone: a booking that is decided beside it may be as long as the floor before says; see decision 0088.
        1 => set_floor().prop_map(|operation| calls(vec![operation])),
        1 => (1_i64..45).prop_map(|minutes| Step::Pass { minutes }),
        1 => (45_i64..600).prop_map(|minutes| Step::Pass { minutes }),
    ]
}

fn calls(calls: Vec<Operation>) -> Step {
    Step::AtOnce { calls, sequence: None }
}

/// Calls beside Stripe events about a payment: any calls, or some about the same booking.
fn beside_stripe() -> BoxedStrategy<Step> {
    let any = (vec(operation(), 1..=2), sequence(1..=2));
    let one = (pick(), vec(change(), 1..=2), vec(pay(), 0..=1), sequence(1..=1)).prop_map(
        |(booking, changes, paid, sequence)| {
            (about(booking, changes, paid), StripeSequence { booking, again: None, ..sequence })
        },
    );
    prop_oneof![any, one].prop_map(|(calls, sequence)| Step::AtOnce { calls, sequence: Some(sequence) }).boxed()
}

/// Changes of one booking, and payments for it.
fn about(booking: Pick, changes: Vec<Change>, paid: Vec<Pay>) -> Vec<Operation> {
    let changes = changes.into_iter().map(|change| Operation::Change(Change { booking, ..change }));
    changes.chain(paid.into_iter().map(|pay| Operation::Pay(Pay { booking, ..pay }))).collect()
}

fn operation() -> BoxedStrategy<Operation> {
    prop_oneof![
        24 => create().prop_map(Operation::Create),
        30 => change().prop_map(Operation::Change),
        4 => update_slot(),
        2 => update_venue(),
        1 => set_schedule(),
        4 => read(),
        14 => payment(),
        12 => waiting(),
    ]
    .boxed()
}

/// Concurrent calls for the same seats or booking.
fn crowd() -> BoxedStrategy<Vec<Operation>> {
    let creates = (slot_choice(), vec(create(), 1..=5)).prop_map(|(slot_choice, creates)| {
        creates.into_iter().map(|create| Operation::Create(Create { slot_choice, ..create })).collect()
    });
    let changes = (pick(), vec(change(), 1..=5), vec(pay(), 0..=0));
    let paid = (pick(), vec(change(), 0..=2), vec(pay(), 1..=3));
    let one = prop_oneof![changes, paid].prop_map(|(booking, changes, paid)| about(booking, changes, paid));
    prop_oneof![1 => creates, 2 => one].boxed()
}

fn payment() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => pay().prop_map(Operation::Pay),
        1 => option::of(pick()).prop_map(|booking| Operation::ListPayments { booking }),
    ]
}

fn waiting() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => join().prop_map(Operation::Join),
        2 => pick().prop_map(|entry| Operation::Leave { entry }),
        1 => (option::of(0_u8..2), any::<bool>(), 1_i32..8).prop_map(|(venue, waiting, page_size)| {
            Operation::ListWaitlist { venue, waiting, page_size }
        }),
    ]
}

fn join() -> impl Strategy<Value = Join> {
    let full = option::weighted(0.8, 0_u8..6);
    (key(), slot_choice(), full, latest(), areas(), 1_i32..=6, 0_u8..4).prop_map(
        |(key, slot_choice, full, latest, areas, party_size, guest)| Join {
            key,
            slot_choice,
            full,
            latest,
            areas,
            party_size,
            guest,
        },
    )
}

fn sequence(count: RangeInclusive<usize>) -> impl Strategy<Value = StripeSequence> {
    let step = prop_oneof![
        5 => Just(StripeStep::Succeeded),
        2 => Just(StripeStep::Session),
        1 => Just(StripeStep::Failed),
        1 => Just(StripeStep::Cancelled),
        2 => (0_u8..=100).prop_map(|percent| StripeStep::Refunded { percent }),
        1 => Just(StripeStep::Refunded { percent: 100 }),
        1 => (0_u8..3).prop_map(|name| StripeStep::Refund { name }),
        1 => (0_u8..3).prop_map(|name| StripeStep::RefundFailed { name }),
        2 => (0_u8..3).prop_map(|name| StripeStep::Disputed { name }),
        2 => (0_u8..3).prop_map(|name| StripeStep::DisputeWon { name }),
        2 => Just(StripeStep::Before),
    ];
    (pick(), amount(), option::of(0_u8..4), vec(step, count), 1_u8..=3)
        .prop_map(|(booking, amount, again, steps, times)| StripeSequence { booking, amount, again, steps, times })
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        4 => Just(Amount::Due),
        2 => Just(Amount::All),
        2 => (0_i64..3000).prop_map(Amount::Cents),
    ]
}

fn pay() -> impl Strategy<Value = Pay> {
    let flags = (prop::bool::weighted(0.3), prop::bool::weighted(0.03), prop::bool::weighted(0.15));
    (key(), pick(), amount(), etag(), flags).prop_map(|(key, booking, amount, etag, (back, foreign, extra))| Pay {
        key,
        booking,
        amount,
        back,
        etag,
        foreign,
        extra,
    })
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        10 => Just(Key::New),
        2 => (0_u8..6).prop_map(|back| Key::Again { back }),
        1 => (0_u8..6).prop_map(|back| Key::Reused { back }),
    ]
}

fn create() -> BoxedStrategy<Create> {
    let fault = prop_oneof![
        Just(Fault::NoKey),
        Just(Fault::NoVenue),
        Just(Fault::NoParty),
        Just(Fault::NoEmail),
        Just(Fault::NegativePrice),
        (51_i32..60).prop_map(Fault::PartyOf),
    ];
    let fault = option::weighted(0.03, fault);
    let seats = (area(), prop::bool::weighted(0.12));
    (key(), slot_choice(), 1_i32..=6, 0_u8..4, any::<bool>(), expected(), allow_duplicate(), seats, fault)
        .prop_map(
            |(key, slot_choice, party_size, guest, conversation, expected, allow_duplicate, (area, walk_in), fault)| {
                Create {
                    key,
                    slot_choice,
                    party_size,
                    guest,
                    conversation,
                    expected,
                    allow_duplicate,
                    area,
                    walk_in,
                    fault,
                }
            },
        )
        .boxed()
}

fn change() -> BoxedStrategy<Change> {
    let by_venue = prop::bool::weighted(0.2);
    let times = (option::of(0_u8..5), option::of(0_u8..5));
    let reschedule = (times, option::of(1_i32..=7), expected(), allow_duplicate(), by_venue, area()).prop_map(
        |((day, start), party_size, expected, allow_duplicate, by_venue, area)| Wish::Reschedule {
            day,
            start,
            party_size,
            expected,
            allow_duplicate,
            by_venue,
            area,
        },
    );
    let wish = prop_oneof![
        4 => Just(Wish::Confirm),
        3 => any::<bool>().prop_map(|by_venue| Wish::Cancel { by_venue }),
        8 => reschedule,
        1 => Just(Wish::Complete),
        2 => prop::bool::weighted(0.2).prop_map(|waive_fee| Wish::NoShow { waive_fee }),
        3 => Just(Wish::Reinstate),
        1 => (0_u8..3).prop_map(Wish::Note),
        4 => tables(),
        2 => leaves(),
        2 => seat(),
        2 => Just(Wish::GuestConfirms),
    ];
    (pick(), etag(), wish).prop_map(|(booking, etag, wish)| Change { booking, etag, wish }).boxed()
}

fn etag() -> impl Strategy<Value = Etag> {
    prop_oneof![6 => Just(Etag::None), 3 => Just(Etag::Current), 1 => Just(Etag::Stale)]
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![8 => Just(Expected::Any), 3 => Just(Expected::Current), 1 => Just(Expected::Other)]
}

/// Mostly true: there are few guests.
fn allow_duplicate() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.8)
}

fn pick() -> impl Strategy<Value = Pick> {
    (prop_oneof![0_u8..4, 0_u8..30], prop::bool::weighted(0.8)).prop_map(|(back, live)| Pick { back, live })
}

/// Mostly an existing slot in the near future.
fn slot_choice() -> impl Strategy<Value = SlotChoice> {
    let day = prop_oneof![6 => 0_u8..3, 1 => 0_u8..6];
    let start = prop_oneof![6 => 0_u8..2, 1 => 0_u8..5];
    (0_u8..2, day, start).prop_map(|(venue, day, start)| SlotChoice { venue, day, start })
}

fn update_slot() -> impl Strategy<Value = Operation> {
    (
        slot_choice(),
        option::weighted(0.4, prop::bool::weighted(0.3)),
        option::weighted(0.5, 0_i32..12),
        option::weighted(0.4, cents()),
    )
        .prop_map(|(slot_choice, closed, capacity, price_cents)| Operation::UpdateSlot {
            slot_choice,
            closed,
            capacity,
            price_cents,
        })
}

fn cents() -> impl Strategy<Value = i64> {
    // Free, below the smallest deposit, around it, and above.
    prop_oneof![0_i64..4, 10_i64..80, 1000_i64..6000]
}

fn update_venue() -> impl Strategy<Value = Operation> {
    let policy = prop_oneof![
        (0_i32..300).prop_map(Policy::Notice),
        (1_i32..300).prop_map(Policy::Hold),
        prop_oneof![Just(0), Just(25), Just(33), Just(100)].prop_map(Policy::Deposit),
        (cents(), cents(), 0_i32..6).prop_map(|(per_person, fixed, min_party_size)| {
            Policy::SetDeposits { per_person, fixed, min_party_size }
        }),
        prop_oneof![Just(0), cents(), 5000_i64..30_000].prop_map(Policy::MinimumSpend),
        prop_oneof![Just(0), cents()].prop_map(Policy::NoShowFee),
        (0_i32..48, 0_i32..=100).prop_map(|(full_hours, late_percent)| Policy::Refunds { full_hours, late_percent }),
        (1_i32..3, 3_i32..9).prop_map(|(min, max)| Policy::Parties { min, max }),
    ];
    (0_u8..2, policy, etag()).prop_map(|(venue, policy, etag)| Operation::UpdateVenue { venue, policy, etag })
}

fn set_schedule() -> impl Strategy<Value = Operation> {
    let different = prop_oneof![
        Just(Different::Closed),
        (1_i32..10).prop_map(Different::Capacity),
        cents().prop_map(Different::Price),
    ];
    let exception = (0_u8..4, different).prop_map(|(day, what)| Exception { day, what });
    (0_u8..2, prop_oneof![9 => 0_u8..4, 1 => Just(4_u8)], option::weighted(0.3, exception))
        .prop_map(|(venue, variant, exception)| Operation::SetSchedule { venue, variant, exception })
}

fn read() -> impl Strategy<Value = Operation> {
    let filter = prop_oneof![
        Just(Filter::All),
        (0_u8..4).prop_map(Filter::Day),
        (0_u8..4).prop_map(Filter::Guest),
        Just(Filter::Live),
        Just(Filter::Pending),
    ];
    prop_oneof![
        (pick(), any::<bool>()).prop_map(|(booking, by_code)| Operation::GetBooking { booking, by_code }),
        (option::of(0_u8..2), filter, 1_i32..8, any::<bool>()).prop_map(|(venue, filter, page_size, latest_first)| {
            Operation::ListBookings { venue, filter, page_size, latest_first }
        }),
        (0_u8..2, option::of(0_u8..5), 0_i32..8, any::<bool>()).prop_map(|(venue, from, party_size, bookable_only)| {
            Operation::ListAvailability { venue, from, party_size, bookable_only }
        }),
        vec((slot_choice(), 0_i32..8), 1..6).prop_map(|queries| Operation::Check { queries }),
        list_floor(),
    ]
}
