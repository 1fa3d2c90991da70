//! Both services watched by a real Prometheus and Alertmanager, with the rules in `deploy/prometheus`.

mod alertmanager;
mod guests;
mod program;
mod prometheus;
pub mod promql;
mod rules;
mod stack;

pub use self::{
    alertmanager::{Alert, Alertmanager, alerts},
    guests::{Guests, SECRET},
    program::ProgramError,
    prometheus::{Prometheus, QueryError, Rule, RuleKind},
    rules::{Pace, deploy},
    stack::{Stack, StackError},
};
