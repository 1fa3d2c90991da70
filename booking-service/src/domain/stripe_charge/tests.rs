use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

const AMOUNT: i64 = 3500;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

fn attempt(state: AttemptState, second: i64) -> Fact {
    Fact::Attempt { state, amount_cents: AMOUNT, at: at(second) }
}

fn succeeded() -> Fact {
    attempt(AttemptState::Succeeded, 10)
}

fn refund(id: &str, cents: i64, failed: bool) -> Fact {
    Fact::Refund { id: id.to_owned(), cents, failed }
}

fn dispute(id: &str, news: DisputeNews, taken_cents: Option<i64>, second: i64) -> Fact {
    Fact::Dispute { id: id.to_owned(), news, taken_cents, at: at(second) }
}

fn facts_of(facts: &[Fact]) -> ChargeFacts {
    let mut all = ChargeFacts::default();
    for fact in facts {
        all.add(fact).expect("few");
    }
    all
}

/// The paid, refunded and disputed amounts.
fn sums(facts: &[Fact]) -> (i64, i64, i64) {
    let standing = facts_of(facts).standing().expect("an attempt");
    (standing.paid_cents(), standing.refunded_cents, standing.disputed_cents)
}

/// Records the movements of one charge, as the database does.
#[derive(Default)]
struct Ledger {
    recorded: Option<Standing>,
    refunds: Vec<RefundEntry>,
    paid: i64,
    refunded: i64,
    disputed: i64,
    moves: Vec<MoneyMove>,
}

impl Ledger {
    fn follow(&mut self, target: Standing) {
        for _ in 0..50 {
            let Some(step) = next_step(self.recorded, &self.refunds, target) else { return };
            self.recorded = Some(step.after);
            self.paid += step.paid_delta_cents;
            self.refunded += step.refunded_delta_cents;
            self.disputed += step.disputed_delta_cents;
            self.moves.push(step.money);
            match (step.money, step.undone) {
                (MoneyMove::Refunded, _) => {
                    let payment_id = Uuid::from_u128(self.moves.len() as u128);
                    self.refunds.insert(0, RefundEntry { payment_id, amount_cents: step.amount_cents });
                }
                (_, Some(undone)) => {
                    let entry = self.refunds.iter_mut().find(|it| it.payment_id == undone.payment_id);
                    entry.expect("the refund is recorded").amount_cents += step.refunded_delta_cents;
                    self.refunds.retain(|it| it.amount_cents > 0);
                }
                _ => {}
            }
            assert!(step.amount_cents >= 0, "{step:?}");
            let entries: i64 = self.refunds.iter().map(|it| it.amount_cents).sum();
            assert_eq!(entries, self.refunded, "the recorded refunds do not add up to the refunded amount");
            if step.after.state == AttemptState::Succeeded {
                assert_eq!(
                    self.paid + self.refunded + self.disputed,
                    step.after.amount_cents,
                    "paid, refunded and disputed do not add up to the amount"
                );
            }
        }
        panic!("the steps do not end: {:?}", self.moves);
    }
}

#[test]
fn a_won_dispute_restores_the_paid_amount() {
    use DisputeNews::{Lost, Reinstated, Withdrawn};
    let taken = dispute("dp_1", Withdrawn, Some(AMOUNT), 20);
    assert_eq!(sums(&[succeeded(), taken.clone()]), (0, 0, AMOUNT));
    assert_eq!(sums(&[succeeded(), taken.clone(), dispute("dp_1", Reinstated, Some(0), 30)]), (AMOUNT, 0, 0));
    assert_eq!(sums(&[succeeded(), taken.clone(), dispute("dp_1", Lost, Some(AMOUNT), 30)]), (0, 0, AMOUNT));
    // The bank returns a part, and the dispute counts as lost.
    let part = [dispute("dp_1", Reinstated, Some(1000), 30), dispute("dp_1", Lost, Some(AMOUNT), 31)];
    assert_eq!(sums(&[&[succeeded(), taken], &part[..]].concat()), (2500, 0, 1000));
}

#[test]
fn partial_disputes_add_up_to_at_most_the_paid_amount() {
    let part = |id, cents| dispute(id, DisputeNews::Withdrawn, Some(cents), 20);
    assert_eq!(sums(&[succeeded(), part("dp_1", 500)]), (3000, 0, 500));
    assert_eq!(sums(&[succeeded(), part("dp_1", 500), part("dp_2", 700)]), (2300, 0, 1200));
    assert_eq!(sums(&[succeeded(), part("dp_1", 3000), part("dp_2", 3000)]), (0, 0, AMOUNT));
    assert_eq!(sums(&[succeeded(), Fact::RefundedInAll { cents: 1000 }, part("dp_1", AMOUNT)]), (0, 1000, 2500));
    assert_eq!(sums(&[succeeded(), dispute("dp_1", DisputeNews::Withdrawn, None, 20)]), (0, 0, AMOUNT));
}

#[test]
fn a_failed_refund_counts_as_paid_again_for_every_way_of_reporting_it() {
    let sum = |cents| Fact::RefundedInAll { cents };
    assert_eq!(sums(&[succeeded(), sum(1000), refund("re_1", 1000, false)]), (2500, 1000, 0));
    assert_eq!(
        sums(&[succeeded(), sum(1000), refund("re_1", 1000, true)]),
        (AMOUNT, 0, 0),
        "only the failure was reported"
    );
    let twice = [succeeded(), sum(1000), refund("re_1", 1000, false), refund("re_1", 1000, true)];
    assert_eq!(sums(&twice), (AMOUNT, 0, 0));
    // The refund is made again, whether or not Stripe's sum decreased in between.
    for sum_in_all in [1000, 2000] {
        let again = [&twice[..], &[sum(sum_in_all), refund("re_2", 1000, false)]].concat();
        assert_eq!(sums(&again), (2500, 1000, 0), "{sum_in_all}");
    }
    // One refund appears only in the sum, and another one failed.
    assert_eq!(sums(&[succeeded(), sum(1500), refund("re_1", 1000, true)]), (3000, 500, 0));
}

#[test]
fn the_latest_attempt_counts_until_the_charge_is_decided() {
    use AttemptState::{Cancelled, Failed, Processing, Succeeded};
    for (states_at, expected) in [
        (&[(Processing, 1)][..], Processing),
        (&[(Processing, 1), (Failed, 2)], Failed),
        (&[(Processing, 1), (Failed, 1)], Failed),
        (&[(Failed, 1), (Processing, 2)], Processing),
        (&[(Processing, 5), (Cancelled, 2)], Cancelled),
        (&[(Cancelled, 9), (Failed, 10), (Succeeded, 1)], Succeeded),
    ] {
        let facts: Vec<_> = states_at.iter().map(|(state, second)| attempt(*state, *second)).collect();
        for facts in [facts.clone(), facts.into_iter().rev().collect()] {
            assert_eq!(facts_of(&facts).standing().expect("an attempt").state, expected, "{facts:?}");
        }
    }
    assert_eq!(facts_of(&[Fact::RefundedInAll { cents: 1 }]).standing(), None);
}

#[test]
fn a_new_attempt_is_recorded_even_if_the_failure_of_the_attempt_before_was_not_reported() {
    let (mut facts, mut ledger) = (ChargeFacts::default(), Ledger::default());
    // The second event belongs to the same attempt, the third to a new one, and the fourth arrives late.
    for second in [0, 5, 24 * 3600, 3600] {
        facts.add(&attempt(AttemptState::Processing, second)).expect("few");
        ledger.follow(facts.standing().expect("an attempt"));
    }
    assert_eq!(ledger.moves, [MoneyMove::Processing, MoneyMove::Processing]);
    assert_eq!(ledger.recorded.map(|it| it.at), Some(at(24 * 3600)));
}

#[test]
fn a_charge_that_is_refunded_after_a_won_dispute_ends_as_refunded() {
    use MoneyMove::{DisputeWon, Disputed, Received, Refunded};

    let mut ledger = Ledger::default();
    let mut facts = ChargeFacts::default();
    for fact in [
        succeeded(),
        dispute("dp_1", DisputeNews::Withdrawn, Some(AMOUNT), 20),
        dispute("dp_1", DisputeNews::Reinstated, Some(0), 30),
        Fact::RefundedInAll { cents: AMOUNT },
    ] {
        facts.add(&fact).expect("few");
        ledger.follow(facts.standing().expect("an attempt"));
    }
    assert_eq!((ledger.paid, ledger.refunded, ledger.disputed), (0, AMOUNT, 0));
    assert_eq!(ledger.moves, [Received, Disputed, DisputeWon, Refunded]);
}

#[test]
fn a_failed_amount_may_be_a_part_of_one_refund_or_span_several_refunds() {
    let succeeded = facts_of(&[succeeded()]).standing().expect("an attempt");
    let mut ledger = Ledger::default();
    for refunded_cents in [500, 2000, 1700, 100, 0] {
        ledger.follow(Standing { refunded_cents, ..succeeded });
        assert_eq!(ledger.refunded, refunded_cents);
    }
    assert_eq!((ledger.paid, ledger.refunds.len()), (AMOUNT, 0));
}

#[test]
fn the_numbers_of_refunds_and_disputes_of_one_charge_are_bounded() {
    let mut facts = facts_of(&[succeeded()]);
    for n in 0..REFUNDS_MAX {
        facts.add(&refund(&format!("re_{n}"), 1, false)).expect("kept");
    }
    assert_eq!(facts.add(&refund("re_more", 1, false)), Err(TooManyFacts));
    facts.add(&refund("re_0", 1, true)).expect("known");
    for n in 0..DISPUTES_MAX {
        facts.add(&dispute(&format!("dp_{n}"), DisputeNews::Withdrawn, Some(1), 1)).expect("kept");
    }
    assert_eq!(facts.add(&dispute("dp_more", DisputeNews::Withdrawn, Some(1), 1)), Err(TooManyFacts));
    let json = serde_json::to_string(&facts).expect("JSON");
    assert_eq!(serde_json::from_str::<ChargeFacts>(&json).expect("facts"), facts);
}

fn any_fact() -> impl Strategy<Value = Fact> {
    use AttemptState::{Cancelled, Failed, Processing, Succeeded};
    let states = prop_oneof![4 => Just(Succeeded), 1 => Just(Failed), 1 => Just(Cancelled), 1 => Just(Processing)];
    let news = prop_oneof![
        2 => Just(DisputeNews::Withdrawn), 2 => Just(DisputeNews::Reinstated), 1 => Just(DisputeNews::Lost)
    ];
    let taken = prop_oneof![Just(None), (0_i64..=4000).prop_map(Some)];
    prop_oneof![
        3 => (states, 0_i64..4).prop_map(|(state, second)| attempt(state, second)),
        2 => (1_i64..=4000).prop_map(|cents| Fact::RefundedInAll { cents }),
        3 => (0_u8..3, 1_i64..=2000, any::<bool>()).prop_map(|(n, cents, failed)| refund(&format!("re_{n}"), cents, failed)),
        3 => (0_u8..3, news, taken, 0_i64..4).prop_map(|(n, news, taken, second)| dispute(&format!("dp_{n}"), news, taken, second)),
    ]
}

proptest! {
    /// Applies the same facts in two orders and with repetitions: both give the same facts and the same sums.
    #[test]
    fn the_standing_of_a_charge_does_not_depend_on_the_order_of_its_facts_or_their_repetition(
        facts in proptest::collection::vec(any_fact(), 1..14),
        seed in any::<u64>(),
    ) {
        let mut other = [facts.clone(), facts[..facts.len() / 2].to_vec()].concat();
        let mut random = seed | 1;
        for n in (1..other.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            other.swap(n, usize::try_from(random >> 33).expect("31 bits") % (n + 1));
        }
        prop_assert_eq!(facts_of(&facts), facts_of(&other));
        let mut ends = Vec::new();
        for order in [facts, other] {
            let (mut known, mut ledger) = (ChargeFacts::default(), Ledger::default());
            for fact in &order {
                known.add(fact).expect("few");
                if let Some(standing) = known.standing() {
                    ledger.follow(standing);
                }
            }
            if let Some(standing) = known.standing() {
                let recorded = ledger.recorded.expect("recorded");
                prop_assert_eq!((recorded.state, recorded.amount_cents), (standing.state, standing.amount_cents));
                let sums = (standing.paid_cents(), standing.refunded_cents, standing.disputed_cents);
                prop_assert_eq!((ledger.paid, ledger.refunded, ledger.disputed), sums);
            }
            ends.push((ledger.paid, ledger.refunded, ledger.disputed));
        }
        prop_assert_eq!(ends[0], ends[1]);
    }
}
