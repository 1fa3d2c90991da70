//! What is true of every context window.

mod examples;
mod fixtures;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use self::fixtures::{bounds, calls, redacted, results, sequences, summary, text};
use super::{
    bounds::SYSTEM_MAX,
    choose::{Candidates, choose},
    tokens::Tokens,
};
use crate::{
    domain::{CallId, Parts, Role},
    messages::Message,
};

/// What happens in a conversation.
#[derive(Debug, Clone)]
enum Turn {
    Says(Role, usize),
    Calls(usize),
    /// Some of the calls that wait for a result.
    Answers(Vec<prop::sample::Index>, usize),
    Redacted(Role),
}

fn turn() -> impl Strategy<Value = Turn> {
    let role = prop::sample::select(vec![Role::User, Role::Assistant, Role::System]);
    prop_oneof![
        4 => (role.clone(), 1..200_usize).prop_map(|(role, bytes)| Turn::Says(role, bytes)),
        3 => (1..4_usize).prop_map(Turn::Calls),
        4 => (prop::collection::vec(any::<prop::sample::Index>(), 1..4), 0..200_usize)
            .prop_map(|(which, bytes)| Turn::Answers(which, bytes)),
        1 => role.prop_map(Turn::Redacted),
    ]
}

/// The messages of a conversation, as pairing at storing allows them.
fn conversation(turns: Vec<Turn>) -> Vec<Message> {
    let (mut messages, mut open, mut made) = (Vec::new(), Vec::new(), 0);
    for (sequence, turn) in (1..).zip(turns) {
        messages.push(match turn {
            Turn::Says(role, bytes) => text(sequence, role, bytes),
            Turn::Redacted(role) => redacted(sequence, role),
            Turn::Calls(count) => {
                let new: Vec<usize> = (made..made + count).collect();
                made += count;
                open.extend(&new);
                calls(sequence, &new)
            }
            Turn::Answers(..) if open.is_empty() => text(sequence, Role::User, 1),
            Turn::Answers(which, bytes) => {
                let chosen: BTreeSet<usize> = which.iter().map(|which| *which.get(&open)).collect();
                open.retain(|call| !chosen.contains(call));
                results(sequence, &chosen.into_iter().collect::<Vec<_>>(), bytes)
            }
        });
    }
    messages
}

/// What the statement reads of the messages.
fn candidates(messages: &[Message], messages_max: i32, with_summary: bool) -> Candidates {
    let newest = messages.len().saturating_sub(usize::try_from(messages_max).expect("few") + SYSTEM_MAX);
    let older = messages[..newest].iter().filter(|message| message.role == Role::System);
    let older: Vec<_> = older.rev().take(21).cloned().collect();
    Candidates {
        messages: older.into_iter().rev().chain(messages[newest..].iter().cloned()).collect(),
        summary: with_summary.then(|| summary(100)),
        message_count: i64::try_from(messages.len()).expect("few"),
    }
}

proptest! {
    #[test]
    fn a_window_keeps_its_bounds_its_pairs_and_its_order(
        turns in prop::collection::vec(turn(), 1..120),
        messages_max in 1..40_i32,
        tokens in prop::option::of(0..2000_i64),
        with_summary: bool,
    ) {
        let messages = conversation(turns);
        let chosen = choose(candidates(&messages, messages_max, with_summary), bounds(messages_max, tokens));
        let (system, others): (Vec<_>, Vec<_>) = chosen.messages.iter().partition(|message| message.role == Role::System);

        // The bounds, unless what is kept is beyond them alone.
        prop_assert!(others.len() <= usize::try_from(messages_max).expect("few"));
        let mut kept = Tokens::default();
        chosen.summary.iter().for_each(|summary| kept += Tokens::of_summary(summary));
        for message in &system {
            kept += Tokens::of_message(message);
        }
        prop_assert!(tokens.is_none_or(|tokens| chosen.tokens.count <= tokens.max(kept.count)));
        prop_assert!(others.is_empty() || tokens.is_none_or(|tokens| chosen.tokens.count <= tokens));
        let mut counted = kept;
        for message in &others {
            counted += Tokens::of_message(message);
        }
        prop_assert_eq!(chosen.tokens, counted);

        // Summary and system messages are kept.
        prop_assert_eq!(chosen.summary.is_some(), with_summary);
        let all_system = messages.iter().filter(|it| it.role == Role::System && it.redaction.is_none());
        let newest_system: Vec<_> = all_system.rev().take(SYSTEM_MAX).map(|message| message.sequence).collect();
        let mut found: Vec<_> = system.iter().map(|message| message.sequence).rev().collect();
        if found.len() < newest_system.len() {
            // Redacted ones among the 21 older ones that are read.
            prop_assert!(chosen.messages.len() < messages.len());
            found.extend(&newest_system[found.len()..]);
        }
        prop_assert_eq!(found, newest_system);

        // Every call has its result, and every result its call.
        let mut halves = BTreeMap::<&CallId, i32>::new();
        for message in &others {
            let parts = message.parts.as_ref();
            parts.into_iter().flat_map(Parts::calls).for_each(|id| *halves.entry(id).or_default() += 1);
            parts.into_iter().flat_map(Parts::results).for_each(|id| *halves.entry(id).or_default() -= 1);
        }
        prop_assert!(halves.values().all(|balance| *balance == 0), "{halves:?}");

        // In order, nothing redacted; and what is missing since the oldest that was looked at is named.
        let sequences = sequences(&chosen);
        prop_assert!(sequences.is_sorted_by(|one, next| one < next));
        prop_assert!(chosen.messages.iter().all(|message| message.redaction.is_none()));
        if let Some(oldest) = others.first() {
            let named: BTreeSet<i64> = chosen.omitted.iter().map(|omission| omission.sequence).collect();
            let missing = (oldest.sequence..=chosen.message_count).filter(|sequence| !sequences.contains(sequence));
            prop_assert!(missing.into_iter().all(|sequence| named.contains(&sequence)));
        }
        let lost = chosen.messages.len() + chosen.omitted.len() < messages.len();
        prop_assert_eq!(chosen.is_truncated, lost);
    }
}
