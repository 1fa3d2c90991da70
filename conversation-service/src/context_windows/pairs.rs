//! Which messages belong together by their tool calls. Pure.

use std::collections::HashMap;

use crate::{
    domain::{CallId, Parts},
    messages::Message,
};

/// The messages of a run, in groups: a message with a tool call is in one group with the message that has the result.
pub struct Groups {
    /// The group of each message: the index of its oldest message.
    oldest: Vec<usize>,
    /// Of each group, by its oldest message: whether a call of it has no result, or a result no call.
    is_broken: Vec<bool>,
}

impl Groups {
    /// Redacted messages have no calls and no results any more.
    pub fn of(run: &[Message]) -> Self {
        let mut groups = Self { oldest: (0..run.len()).collect(), is_broken: vec![false; run.len()] };
        let (mut calls, mut broken) = (HashMap::<&CallId, usize>::new(), Vec::new());
        for (index, message) in run.iter().enumerate() {
            let parts = message.parts.as_ref();
            for id in parts.into_iter().flat_map(Parts::results) {
                match calls.remove(id) {
                    Some(call) => groups.join(call, index),
                    None => broken.push(index),
                }
            }
            calls.extend(parts.into_iter().flat_map(Parts::calls).map(|id| (id, index)));
        }
        broken.extend(calls.into_values());
        for index in broken {
            let group = groups.of_message(index);
            groups.is_broken[group] = true;
        }
        groups
    }

    /// The oldest message of the group that this message is in.
    pub fn of_message(&self, mut index: usize) -> usize {
        while self.oldest[index] != index {
            index = self.oldest[index];
        }
        index
    }

    /// Whether a half of a pair in the group is missing.
    pub fn is_broken(&self, group: usize) -> bool {
        self.is_broken[group]
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.of_message(one), self.of_message(other));
        self.oldest[one.max(other)] = one.min(other);
    }
}
