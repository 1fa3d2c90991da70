//! Counts calls by their outcomes.

use std::{collections::BTreeMap, fmt};

use super::calls::{Answer, Call, Reply};

#[derive(Debug, Clone, Default)]
pub struct Tally {
    counts: BTreeMap<(&'static str, String), u64>,
    pub operations: usize,
    /// Steps with several concurrent calls or Stripe events.
    pub groups: usize,
}

impl Tally {
    pub fn count(&mut self, call: &Call, answer: &Answer) {
        let outcome = match answer {
            Ok(Reply::Created(response)) if response.replayed => "replayed".to_owned(),
            Ok(Reply::Joined(response)) if response.replayed => "replayed".to_owned(),
            Ok(Reply::Joined(response)) if response.already_waiting => "already waiting".to_owned(),
            Ok(Reply::Paid(response)) if response.replayed => "replayed".to_owned(),
            Ok(_) => "ok".to_owned(),
            Err(refused) if refused.metadata.get("limit").is_some_and(|limit| limit == "area") => {
                "AREA_FULL".to_owned()
            }
            Err(refused) => refused.reason.clone(),
        };
        *self.counts.entry((call.name(), outcome)).or_default() += 1;
        self.operations += 1;
    }

    pub fn passed(&mut self) {
        self.happened("time passes", "ok");
        self.operations += 1;
    }

    /// Counts Stripe events that were posted again.
    pub fn again(&mut self, posts: usize) {
        (0..posts).for_each(|_| self.happened("Stripe", "sent again"));
    }

    /// Counts another outcome, at the end of a case.
    pub fn happened(&mut self, what: &'static str, how: &str) {
        *self.counts.entry((what, how.to_owned())).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.groups += other.groups;
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
    }

    /// How often a call had this outcome.
    pub fn of(&self, call: &str, outcome: &str) -> u64 {
        self.counts.iter().filter(|((name, ended), _)| *name == call && ended == outcome).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((call, outcome), count) in &self.counts {
            writeln!(f, "{call:<24} {outcome:<26} {count:>8}")?;
        }
        writeln!(f, "{} operations, {} steps of concurrent calls", self.operations, self.groups)
    }
}
