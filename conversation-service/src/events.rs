//! The way of events into the outbox and out of it.

use teppan_shared::{clock::Clock, postgres::Database, worker::Nudge};

use crate::settings::Settings;

/// What a subject needs to emit events. Clones share the nudge.
#[derive(Clone)]
pub struct Events {
    /// Whether statements write events to the outbox.
    pub published: bool,
    /// Wakes the worker that publishes them.
    pub pending: Nudge,
}

impl Events {
    pub fn new(settings: &Settings) -> Self {
        Self { published: settings.nats.is_some(), pending: Nudge::default() }
    }
}

/// Publishes events, and shows and settles what could not be published.
pub struct Outbox {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
}

impl Outbox {
    pub fn new(database: Database, settings: &Settings, events: Events) -> Self {
        Self { database, clock: settings.clock, events }
    }
}
