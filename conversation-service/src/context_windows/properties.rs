//! What is true of every context window.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::{
    WindowBounds,
    bounds::{MaxMessages, SYSTEM_MAX},
    choose::{Candidates, ContextWindow, OmissionReason, choose},
    tokens::Tokens,
};
use crate::{
    domain::{
        CallId, Channel, Content, ConversationId, MessageId, Part, Parts, Role, ToolCall, ToolName, ToolOutput,
        ToolResult,
    },
    messages::{Message, Redaction, TokenCount},
    summaries::{Summary, WrittenBy},
};

/// A message without text, calls or results.
fn message(sequence: i64, role: Role) -> Message {
    let now = DateTime::<Utc>::UNIX_EPOCH;
    Message {
        message_id: MessageId::generate(),
        conversation_id: ConversationId::parse("web-7f3a91".to_owned()).expect("an id"),
        sequence,
        role,
        content: None,
        parts: None,
        channel: Channel::Web,
        emotion: None,
        metadata: None,
        sent_at: now,
        stored_at: now,
        input_tokens: None,
        output_tokens: None,
        redaction: None,
    }
}

fn text(sequence: i64, role: Role, bytes: usize) -> Message {
    Message { content: Content::parse("x".repeat(bytes)).ok(), ..message(sequence, role) }
}

fn call_id(call: usize) -> CallId {
    CallId::parse(format!("call-{call}")).expect("an id")
}

fn calls(sequence: i64, calls: &[usize]) -> Message {
    let name = ToolName::parse("search".to_owned()).expect("a name");
    let call = |call: &usize| Part::ToolCall(ToolCall { call_id: call_id(*call), name: name.clone(), arguments: None });
    Message { parts: Parts::parse(calls.iter().map(call).collect()).ok(), ..message(sequence, Role::Assistant) }
}

fn results(sequence: i64, calls: &[usize], bytes: usize) -> Message {
    let content = ToolOutput::parse("x".repeat(bytes)).expect("an output");
    let result = |call: &usize| {
        Part::ToolResult(ToolResult { call_id: call_id(*call), content: content.clone(), is_error: false })
    };
    Message { parts: Parts::parse(calls.iter().map(result).collect()).ok(), ..message(sequence, Role::Tool) }
}

fn redacted(sequence: i64, role: Role) -> Message {
    let redaction = Redaction { redacted_at: DateTime::UNIX_EPOCH, redacted_by: "desk".to_owned() };
    Message { redaction: Some(redaction), ..message(sequence, role) }
}

fn summary(bytes: usize) -> Summary {
    Summary {
        through_sequence: 1,
        text: Content::parse("x".repeat(bytes)).expect("a text"),
        written_by: WrittenBy::parse("summariser-3".to_owned()).expect("a writer"),
        token_count: None,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

fn bounds(messages: i32, tokens: Option<i64>) -> WindowBounds {
    WindowBounds { messages: MaxMessages::parse(messages).expect("a bound"), tokens }
}

fn window(messages: Vec<Message>, messages_max: i32, tokens: Option<i64>) -> ContextWindow {
    let message_count = messages.last().map_or(0, |newest| newest.sequence);
    choose(Candidates { messages, summary: None, message_count }, bounds(messages_max, tokens))
}

fn sequences(window: &ContextWindow) -> Vec<i64> {
    window.messages.iter().map(|message| message.sequence).collect()
}

fn omitted(window: &ContextWindow, reason: OmissionReason) -> Vec<i64> {
    window.omitted.iter().filter(|omission| omission.reason == reason).map(|omission| omission.sequence).collect()
}

#[test]
fn the_newest_messages_that_fit_are_chosen() {
    let chat = |count: i64| (1..=count).map(|sequence| text(sequence, Role::User, 40)).collect::<Vec<_>>();
    let few = window(chat(10), 20, None);
    assert_eq!((sequences(&few), few.is_truncated), ((1..=10).collect(), false));
    let by_number = window(chat(10), 3, None);
    assert_eq!((sequences(&by_number), by_number.is_truncated), (vec![8, 9, 10], true));
    let by_tokens = window(chat(10), 20, Some(49));
    assert_eq!((sequences(&by_tokens), by_tokens.tokens.count), (vec![7, 8, 9, 10], 40));
    assert!(by_tokens.tokens.is_estimated && by_tokens.omitted.is_empty());
    let nothing = window(chat(10), 20, Some(9));
    assert_eq!((sequences(&nothing), nothing.is_truncated), (vec![], true));
}

#[test]
fn stored_numbers_of_tokens_are_taken_before_estimates() {
    let count = |raw| Some(TokenCount::parse(raw).expect("a number"));
    let asked = Message { input_tokens: count(7), output_tokens: count(100), ..text(1, Role::User, 400) };
    let answered = Message { input_tokens: count(1000), output_tokens: count(5), ..text(2, Role::Assistant, 400) };
    let chosen = window(vec![asked, answered], 20, None);
    assert_eq!(chosen.tokens, Tokens { count: 12, is_estimated: false });
    let chosen = window(vec![text(1, Role::User, 5)], 20, None);
    assert_eq!(chosen.tokens, Tokens { count: 2, is_estimated: true });
}

#[test]
fn a_cut_does_not_separate_a_call_from_its_result() {
    let chat = || {
        vec![
            text(1, Role::User, 4),
            calls(2, &[1]),
            text(3, Role::User, 4),
            results(4, &[1], 4),
            text(5, Role::User, 4),
        ]
    };
    let all = window(chat(), 20, None);
    assert_eq!(sequences(&all), [1, 2, 3, 4, 5]);
    // The call would be the fourth message: its result goes with it, and leaves room for nothing else.
    let cut = window(chat(), 3, None);
    assert_eq!((sequences(&cut), omitted(&cut, OmissionReason::Unpaired)), (vec![3, 5], vec![4]));
    assert!(cut.is_truncated);
}

#[test]
fn an_unanswered_call_is_left_out_with_everything_that_is_paired_with_it() {
    let chat = vec![calls(1, &[1, 2]), results(2, &[1], 4), text(3, Role::User, 4), calls(4, &[3])];
    let chosen = window(chat, 20, None);
    assert_eq!(sequences(&chosen), [3]);
    assert_eq!(omitted(&chosen, OmissionReason::Unpaired), [1, 2, 4]);
    assert!(!chosen.is_truncated);
}

#[test]
fn what_is_redacted_is_left_out_and_so_is_the_other_half_of_a_pair() {
    let chat =
        vec![redacted(1, Role::Assistant), results(2, &[1], 4), redacted(3, Role::System), text(4, Role::User, 4)];
    let chosen = window(chat, 20, None);
    assert_eq!(sequences(&chosen), [4]);
    assert_eq!(omitted(&chosen, OmissionReason::Redacted), [1, 3]);
    assert_eq!(omitted(&chosen, OmissionReason::Unpaired), [2]);
    assert!(!chosen.is_system_truncated);
}

#[test]
fn summary_and_system_messages_are_kept_whatever_the_bounds() {
    let mut messages = vec![text(1, Role::System, 400)];
    messages.extend((50..=60).map(|sequence| text(sequence, Role::User, 40)));
    let choose = |tokens| {
        let candidates = Candidates { messages: messages.clone(), summary: Some(summary(400)), message_count: 60 };
        choose(candidates, bounds(20, Some(tokens)))
    };
    let tight = choose(10);
    assert_eq!((sequences(&tight), tight.tokens.count, tight.summary.is_some()), (vec![1], 200, true));
    let roomy = choose(220);
    assert_eq!((sequences(&roomy), roomy.tokens.count), (vec![1, 59, 60], 220));
    assert!(roomy.is_truncated && !roomy.is_system_truncated);
}

#[test]
fn the_newest_20_system_messages_are_kept() {
    let messages: Vec<_> = (1..=25).map(|sequence| text(sequence, Role::System, 4)).collect();
    let chosen = window(messages, 5, None);
    assert_eq!(sequences(&chosen), (6..=25).collect::<Vec<_>>());
    assert!(chosen.is_system_truncated);
    assert_eq!(omitted(&chosen, OmissionReason::System), [1, 2, 3, 4, 5]);
    let large: Vec<_> = (1..=20)
        .map(|sequence| {
            let text = || Part::Text(Content::parse("x".repeat(30_000)).expect("a text"));
            Message { parts: Parts::parse(vec![text(), text(), text()]).ok(), ..message(sequence, Role::System) }
        })
        .collect();
    let chosen = window(large, 5, None);
    assert_eq!((sequences(&chosen), chosen.is_system_truncated), ((10..=20).collect(), true));
}

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
        system.iter().for_each(|message| kept += Tokens::of_message(message));
        prop_assert!(tokens.is_none_or(|tokens| chosen.tokens.count <= tokens.max(kept.count)));
        prop_assert!(others.is_empty() || tokens.is_none_or(|tokens| chosen.tokens.count <= tokens));
        let mut counted = kept;
        others.iter().for_each(|message| counted += Tokens::of_message(message));
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
