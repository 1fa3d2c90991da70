//! Delivery of what bookings leave to be told to others.
//!
//! The rows are the record, `migrations/0005_events.sql` says how they are read. A [`Relay`]
//! claims messages, gives each to its [`Receiver`] and records what became of it. Any number of relays,
//! in any number of processes, work on one destination.

pub mod backlog;
pub mod backlog_job;
mod claim;
mod conversation_service;
pub mod dead_letters;
mod event_stream;
pub mod get_status;
mod health;
mod metrics;
mod pace;
mod record;
mod relay;
mod run;
mod span;

use std::{sync::Arc, time::Duration};

use teppan_shared::{
    clock::Clock, identity::OutgoingToken, nats::NatsSettings, postgres::Database, tls::ClientTlsSettings,
    worker::Nudge,
};

pub use self::{
    conversation_service::{CONVERSATION_SERVICE, ConversationService},
    event_stream::EventStream,
    relay::{Delivery, Receiver, Relay},
};
use crate::domain::OutboxDestination;

/// Messages that one claim takes at most; the statement has the same number.
pub const BATCH_MAX: u32 = 64;
/// Deliveries of one relay at once.
const CONCURRENCY: u32 = 16;
/// What a batch may take besides its deliveries before its lease ends.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// How messages are delivered.
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// When a new booking's follow-up is scheduled.
    pub follow_ups: FollowUpScheduling,
    /// Where conversation-service is.
    pub conversation_service_url: http::Uri,
    /// How its certificate is checked and what this service shows it, when the URL is one of `https`.
    pub conversation_service_tls: ClientTlsSettings,
    /// What conversation-service is shown, where it asks for credentials.
    pub conversation_service_token: Option<OutgoingToken>,
    /// Where events are published; without it they are not.
    pub nats: Option<NatsSettings>,
    /// Relays of this process for each destination; with 0 it leaves delivery to others.
    pub relays: usize,
    /// How often due messages are looked for without being told of any.
    pub interval: Duration,
    /// What one delivery may take.
    pub delivery_timeout: Duration,
    /// Attempts before a message becomes a dead letter.
    pub attempts_max: i32,
    /// Deliveries of this process to each destination.
    pub per_second_max: u32,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            follow_ups: FollowUpScheduling::Background,
            conversation_service_url: http::Uri::from_static("http://127.0.0.1:50052"),
            conversation_service_tls: ClientTlsSettings::default(),
            conversation_service_token: None,
            nats: None,
            relays: 2,
            interval: Duration::from_secs(1),
            delivery_timeout: Duration::from_secs(5),
            attempts_max: 12,
            per_second_max: 500,
        }
    }
}

/// When a new booking's follow-up is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUpScheduling {
    /// Soon after the reply.
    Background,
    /// Before the reply, which then waits for conversation-service. A failure fails nothing.
    Inline,
}

/// The outbox of this service. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    database: Database,
    clock: Clock,
    settings: Arc<OutboxSettings>,
    to_conversation_service: Nudge,
    to_event_stream: Nudge,
}

impl Outbox {
    pub fn new(database: Database, clock: Clock, settings: OutboxSettings) -> Self {
        Self {
            database,
            clock,
            settings: Arc::new(settings),
            to_conversation_service: Nudge::default(),
            to_event_stream: Nudge::default(),
        }
    }

    pub fn settings(&self) -> &OutboxSettings {
        &self.settings
    }

    /// Where messages go. Without NATS the event stream is read from the events themselves, and nothing
    /// is left for it.
    pub fn is_in_use(&self, destination: OutboxDestination) -> bool {
        match destination {
            OutboxDestination::ConversationService => true,
            OutboxDestination::EventStream => self.settings.nats.is_some(),
        }
    }

    /// Wakes the relays of a destination.
    pub fn nudge(&self, destination: OutboxDestination) {
        self.nudge_of(destination).nudge();
    }

    pub fn nudge_of(&self, destination: OutboxDestination) -> &Nudge {
        match destination {
            OutboxDestination::ConversationService => &self.to_conversation_service,
            OutboxDestination::EventStream => &self.to_event_stream,
        }
    }

    /// Longer than the slowest batch takes: each of its deliveries at its limit, and before them those that
    /// were running when it was claimed.
    fn lease(&self) -> Duration {
        self.settings.delivery_timeout * (BATCH_MAX.div_ceil(CONCURRENCY) + 1) + LEASE_MARGIN
    }
}
