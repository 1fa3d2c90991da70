//! Which messages are in a context window. Pure.

use super::{
    bounds::{BYTES_MAX, SYSTEM_BYTES_MAX, SYSTEM_MAX, WindowBounds},
    pairs::Groups,
    tokens::Tokens,
};
use crate::{domain::Role, messages::Message, summaries::Summary};

/// What a model needs of a conversation.
#[derive(Debug)]
pub struct ContextWindow {
    /// By sequence.
    pub messages: Vec<Message>,
    pub summary: Option<Summary>,
    /// Of the messages and the summary.
    pub tokens: Tokens,
    /// Whether older messages did not fit, or were not looked at.
    pub is_truncated: bool,
    /// By sequence.
    pub omitted: Vec<Omission>,
    /// Whether some system messages are not kept.
    pub is_system_truncated: bool,
    pub message_count: i64,
}

/// A message that is left out although it is newer than all that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Omission {
    pub sequence: i64,
    pub reason: OmissionReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OmissionReason {
    Redacted,
    /// Half of a pair of a tool call and its result is missing, here or in a message that it is paired with.
    Unpaired,
    /// A system message that is not kept.
    System,
}

/// What a window is chosen from.
#[derive(Debug)]
pub struct Candidates {
    /// By sequence: the newest messages without a gap, and older system messages.
    pub messages: Vec<Message>,
    pub summary: Option<Summary>,
    /// Messages of the conversation; the sequence of the newest one.
    pub message_count: i64,
}

/// Chooses the window: summary and system messages first, whatever the bounds, then the newest messages until the next
/// ones do not fit. What belongs together by tool calls is chosen together, at its oldest message.
pub fn choose(candidates: Candidates, bounds: WindowBounds) -> ContextWindow {
    let Candidates { messages, summary, message_count } = candidates;
    let system = kept_system(&messages);
    let mut size = Size::default();
    size.add_summary(summary.as_ref());
    messages.iter().zip(&system).filter(|(_, kept)| **kept).for_each(|(message, _)| size.add(message));

    let run = run_begin(&messages, message_count);
    let fitting = fitting(&messages[run..], &mut size, bounds);
    let cut = run + fitting.cut;
    let mut window = ContextWindow {
        messages: Vec::new(),
        summary,
        tokens: size.tokens,
        is_truncated: false,
        omitted: Vec::new(),
        is_system_truncated: false,
        message_count,
    };
    let oldest_looked_at = messages.get(cut).map_or(message_count + 1, |message| message.sequence);
    let mut older_kept = 0;
    for (index, message) in messages.into_iter().enumerate() {
        let is_kept = if is_system(&message) { system[index] } else { index >= cut && fitting.is_chosen[index - run] };
        window.is_system_truncated |= is_system(&message) && !is_kept;
        if is_kept {
            older_kept += i64::from(message.sequence < oldest_looked_at);
            window.messages.push(message);
        } else if index >= cut {
            window.omitted.push(Omission { sequence: message.sequence, reason: reason(&message) });
        }
    }
    window.is_truncated = oldest_looked_at - 1 > older_kept;
    window
}

fn is_system(message: &Message) -> bool {
    message.role == Role::System && message.redaction.is_none()
}

fn reason(message: &Message) -> OmissionReason {
    match message.redaction {
        Some(_) => OmissionReason::Redacted,
        None if message.role == Role::System => OmissionReason::System,
        None => OmissionReason::Unpaired,
    }
}

/// Of each message whether it is a system message that is kept: the newest, until they are too many or too large.
fn kept_system(messages: &[Message]) -> Vec<bool> {
    let mut kept = vec![false; messages.len()];
    let mut bytes = 0;
    let newest = messages.iter().enumerate().rev().filter(|(_, message)| is_system(message));
    for (index, message) in newest.take(SYSTEM_MAX) {
        bytes += message.bytes();
        if bytes > SYSTEM_BYTES_MAX {
            break;
        }
        kept[index] = true;
    }
    kept
}

/// The index of the oldest message from which on no sequence is missing.
fn run_begin(messages: &[Message], message_count: i64) -> usize {
    let follows = |(message, sequence): &(&Message, i64)| message.sequence == *sequence;
    let run = messages.iter().rev().zip((1..=message_count).rev()).take_while(follows).count();
    messages.len() - run
}

/// The messages of a run that fit.
struct Fitting {
    /// The oldest message that was looked at.
    cut: usize,
    is_chosen: Vec<bool>,
}

/// Adds the newest messages of the run, group by group, until a group does not fit. System messages are not counted.
fn fitting(run: &[Message], size: &mut Size, bounds: WindowBounds) -> Fitting {
    let groups = Groups::of(run);
    let mut is_chosen = vec![false; run.len()];
    for index in (0..run.len()).rev() {
        let message = &run[index];
        let is_oldest = groups.of_message(index) == index;
        if is_system(message) || message.redaction.is_some() || !is_oldest || groups.is_broken(index) {
            continue;
        }
        let members: Vec<usize> = (index..run.len()).filter(|member| groups.of_message(*member) == index).collect();
        let mut larger = size.clone();
        for member in &members {
            larger.add_counted(&run[*member]);
        }
        if !larger.is_within(bounds) {
            return Fitting { cut: index + 1, is_chosen };
        }
        *size = larger;
        for member in members {
            is_chosen[member] = true;
        }
    }
    Fitting { cut: 0, is_chosen }
}

/// How large a window is so far.
#[derive(Debug, Clone, Default)]
struct Size {
    /// Without system messages.
    messages: usize,
    tokens: Tokens,
    bytes: usize,
}

impl Size {
    fn add_summary(&mut self, summary: Option<&Summary>) {
        let Some(summary) = summary else { return };
        self.tokens += Tokens::of_summary(summary);
        self.bytes += summary.text.as_str().len();
    }

    fn add(&mut self, message: &Message) {
        self.tokens += Tokens::of_message(message);
        self.bytes += message.bytes();
    }

    fn add_counted(&mut self, message: &Message) {
        self.messages += 1;
        self.add(message);
    }

    fn is_within(&self, bounds: WindowBounds) -> bool {
        let messages = usize::try_from(bounds.messages.get()).unwrap_or(0);
        self.messages <= messages
            && self.bytes <= BYTES_MAX
            && bounds.tokens.is_none_or(|tokens| self.tokens.count <= tokens)
    }
}
