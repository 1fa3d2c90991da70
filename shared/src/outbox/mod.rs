//! The transactional outbox of both services: messages that must be delivered, written by the same statement as the
//! change they report.
//!
//! Each service's migrations explain the table. A [`Relay`] claims messages, passes each to its [`Destination`] and
//! records the result. Any number of relays, in any number of processes, can deliver to one destination. A message
//! that cannot be delivered becomes a dead letter, which operators list, retry or discard.

mod attempt;
mod backlog;
mod circuit_breaker;
mod claim;
mod command;
mod dead_letters;
mod destination;
mod event_stream;
pub mod grpc;
mod metrics;
mod rate_limiter;
mod record;
mod relay;
mod run;
mod settings;
mod span;
mod status;

use std::{sync::Arc, time::Duration};

use self::metrics::DeliveryMetrics;
pub use self::{
    backlog::OutboxBacklog,
    command::{CommandError, DeadLettersCommand, Owner},
    dead_letters::{
        DeadLetter, DeadLetterCursor, DeadLetterFilter, DeadLetterPage, DeadLetterSelection, Operations, SETTLED_MAX,
        Settled, Settlement,
    },
    destination::{Delivery, Destination, Message, Undelivered},
    event_stream::EventStream,
    grpc::{EVENT_TYPE_MUST, is_event_type},
    relay::{Relay, RelayError},
    settings::{RelayArgs, RelaySettings},
    status::DestinationStatus,
};
use crate::{clock::Clock, postgres::Database, worker::Nudge};

/// The reason when a destination does not answer in time.
pub const NO_ANSWER: &str = "DEADLINE_EXCEEDED";
/// The reason when the process that made the last attempt ended before it recorded a result.
pub const LEASE_EXPIRED: &str = "LEASE_EXPIRED";
/// The name of the destination NATS JetStream.
pub const EVENT_STREAM: &str = "event-stream";

/// The most messages that one claim takes; `claim.sql` has the same number.
const BATCH_MAX: u32 = 64;
/// Simultaneous deliveries of one relay.
const CONCURRENCY: u32 = 16;
/// The part of a lease that is left for everything besides the deliveries.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The outbox of a service. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    database: Database,
    clock: Clock,
    settings: Arc<RelaySettings>,
    nudges: Arc<[(&'static str, Nudge)]>,
}

impl Outbox {
    /// `in_use` are the destinations that messages are written for.
    pub fn new(database: Database, clock: Clock, settings: RelaySettings, in_use: &[&'static str]) -> Self {
        let nudges = in_use.iter().map(|destination| (*destination, Nudge::default())).collect();
        Self { database, clock, settings: Arc::new(settings), nudges }
    }

    pub fn is_in_use(&self, destination: impl Into<&'static str>) -> bool {
        let destination = destination.into();
        self.nudges.iter().any(|(name, _)| *name == destination)
    }

    /// The destinations of an event that is only published: the event stream, if it is in use.
    pub fn destinations_of_events(&self) -> Vec<String> {
        self.is_in_use(EVENT_STREAM).then(|| EVENT_STREAM.to_owned()).into_iter().collect()
    }

    /// Wakes up the relays of a destination.
    pub fn nudge(&self, destination: impl Into<&'static str>) {
        self.nudge_of(destination).nudge();
    }

    /// The nudge of a destination; an unconnected one if the destination is not in use.
    pub fn nudge_of(&self, destination: impl Into<&'static str>) -> Nudge {
        let destination = destination.into();
        let nudge = self.nudges.iter().find(|(name, _)| *name == destination);
        nudge.map(|(_, nudge)| nudge.clone()).unwrap_or_default()
    }

    /// The length of a lease. It exceeds the slowest batch: the wait for the rate limiter behind the other relays, then
    /// the deliveries that were running at the claim, then those of the batch, all of them at their time limit.
    fn lease(&self) -> Duration {
        let RelaySettings { relays, delivery_timeout, per_second_max, .. } = *self.settings;
        let relays = u32::try_from(relays).unwrap_or(u32::MAX);
        let batch = rate_limiter::batch_of(per_second_max, BATCH_MAX);
        let rate_limit = Duration::from_secs(1).saturating_mul(relays.saturating_mul(batch)) / per_second_max.max(1);
        delivery_timeout * (BATCH_MAX.div_ceil(CONCURRENCY) + 1) + rate_limit + LEASE_MARGIN
    }
}
