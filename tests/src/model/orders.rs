//! Searches for an order of concurrent calls in which the model gives every answer, and everything that was read
//! afterwards.

use std::fmt::Write as _;

use super::{
    calls::{Answer, Call},
    state::Model,
    waitlist_work::WorkerStep,
};

/// A call and its answer.
pub type Observed = (Call, Answer);

/// The model after the calls, in an order that explains everything.
///
/// # Errors
/// The disagreement as text, with the order that explains most.
pub fn explain(model: &Model, at_once: &[Observed], after: &[Observed]) -> Result<Model, String> {
    let mut search = Search { at_once, after, order: Vec::new(), best: None, tried: 0 };
    search.go(model).ok_or_else(|| search.description())
}

struct Search<'a> {
    at_once: &'a [Observed],
    after: &'a [Observed],
    order: Vec<usize>,
    /// The number of answers that the best order explains, the order, and its first unexplained answer.
    best: Option<(usize, Vec<usize>, String)>,
    tried: usize,
}

/// The maximum number of orders of calls and worker steps that are tried.
const TRIED_MAX: usize = 20_000;

impl Search<'_> {
    fn go(&mut self, model: &Model) -> Option<Model> {
        self.tried += 1;
        if self.tried > TRIED_MAX {
            return None;
        }
        let moves = model.moves();
        if self.order.len() == self.at_once.len() && moves.is_empty() {
            return self.reads(model);
        }
        for n in 0..self.at_once.len() {
            if self.order.contains(&n) {
                continue;
            }
            let mut model = model.clone();
            let (call, seen) = &self.at_once[n];
            let expected = model.take(call, seen);
            self.order.push(n);
            if expected == *seen {
                if let Some(explained) = self.go(&model) {
                    return Some(explained);
                }
            } else {
                self.failed(call, &expected, seen, 0);
            }
            self.order.pop();
        }
        // A worker may have acted between calls. All workers are idle before anything is read.
        moves.into_iter().find_map(|made| {
            let mut model = model.clone();
            if model.do_worker_step(made) { self.go(&model) } else { self.unseen(&model, made) }
        })
    }

    fn unseen(&mut self, model: &Model, made: WorkerStep) -> Option<Model> {
        if self.best.is_none()
            && let WorkerStep::Offer { entry, slot } = made
        {
            let what = format!("This entry was not offered the seats of {slot:?}: {:#?}", model.waitlist[entry].proto);
            self.best = Some((0, self.order.clone(), what));
        }
        None
    }

    fn reads(&mut self, model: &Model) -> Option<Model> {
        let mut model = model.clone();
        for (n, (call, seen)) in self.after.iter().enumerate() {
            let expected = model.take(call, seen);
            if expected != *seen {
                self.failed(call, &expected, seen, n + 1);
                return None;
            }
        }
        Some(model)
    }

    fn failed(&mut self, call: &Call, expected: &Answer, seen: &Answer, reads: usize) {
        let explained = self.order.len() + reads;
        if self.best.as_ref().is_none_or(|(best, ..)| *best < explained) {
            let when = if reads > 0 { "Read afterwards" } else { "Call" };
            let text = format!("{when}: {call:#?}\n{}", difference(expected, seen));
            self.best = Some((explained, self.order.clone(), text));
        }
    }

    fn description(&self) -> String {
        let mut text = String::new();
        if self.tried > TRIED_MAX {
            let _ = writeln!(text, "The search stopped after {TRIED_MAX} orders: another order may explain it.");
        }
        if self.at_once.len() > 1 {
            let _ = writeln!(text, "No order of these calls explains what was seen:");
            for (n, (call, seen)) in self.at_once.iter().enumerate() {
                let _ = writeln!(text, "  {n}: {call:?}\n     -> {}", short(seen));
            }
        }
        if let Some((_, order, what)) = &self.best {
            let _ = writeln!(text, "In the order {order:?}:\n{what}");
        }
        text
    }
}

fn short(answer: &Answer) -> String {
    let text = format!("{answer:?}");
    if text.len() > 1500 { format!("{} …", text.chars().take(1500).collect::<String>()) } else { text }
}

/// The lines in which two answers differ.
fn difference(expected: &Answer, seen: &Answer) -> String {
    let (expected, seen) = (format!("{expected:#?}"), format!("{seen:#?}"));
    let (ours, theirs): (Vec<_>, Vec<_>) = (expected.lines().collect(), seen.lines().collect());
    if ours.len() != theirs.len() {
        return format!("The model answers:\n{expected}\nThe service answers:\n{seen}");
    }
    let differing = ours.iter().zip(&theirs).filter(|(one, other)| one != other);
    let lines = differing.map(|(one, other)| format!("  model   {}\n  service {}", one.trim(), other.trim()));
    lines.collect::<Vec<_>>().join("\n")
}
