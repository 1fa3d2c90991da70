//! Windows of a few messages.

use super::fixtures::{bounds, calls, message, omitted, redacted, results, sequences, summary, text, window};
use crate::{
    context_windows::{
        choose::{Candidates, OmissionReason, choose},
        tokens::Tokens,
    },
    domain::{Content, Part, Parts, Role},
    messages::{Message, TokenCount},
};

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
