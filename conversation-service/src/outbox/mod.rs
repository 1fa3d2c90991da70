//! The outbox of this service. It publishes events to NATS.

pub mod command;

use teppan_shared::{
    outbox::{EVENT_STREAM, EventStream, Outbox, Relay},
    postgres::Database,
    service::Service,
};

use crate::settings::Settings;

/// CloudEvents `source`.
const SOURCE: &str = "/teppan/conversation-service";

/// Opens the outbox. Without NATS it has no destination, and no messages are written.
pub fn open(database: Database, settings: &Settings) -> Outbox {
    let in_use: &[&'static str] = if settings.nats.is_some() { &[EVENT_STREAM] } else { &[] };
    Outbox::new(database, settings.clock, settings.relay.clone(), in_use)
}

/// Starts the relays if events are published.
pub fn start(service: &Service, outbox: &Outbox, settings: &Settings) {
    if let Some(nats) = settings.nats.clone() {
        Relay::new(outbox.clone(), EventStream::new(nats, SOURCE)).work(service);
    }
}
