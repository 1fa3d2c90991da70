//! The destinations, dead letters and backlog of this service's outbox.

pub mod backlog;
mod booking_now;
pub mod command;
mod consents;
pub mod conversation_service;
pub mod dead_letters;

use teppan_shared::{
    identity::OutgoingToken,
    nats::NatsSettings,
    outbox::{EVENT_STREAM, Outbox, RelaySettings},
    postgres::Database,
    tls::ClientTlsSettings,
};

pub use self::conversation_service::{CONVERSATION_SERVICE, ConversationService};
use crate::settings::Settings;

/// The destination name of Stripe events, which this service applies itself.
pub const STRIPE: &str = "stripe";

/// How messages are delivered.
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// When a new booking's follow-up is scheduled.
    pub follow_ups: FollowUpScheduling,
    /// The address of conversation-service.
    pub conversation_service_url: http::Uri,
    /// For an `https` URL: how its certificate is checked, and which certificate this service presents.
    pub conversation_service_tls: ClientTlsSettings,
    /// The token for conversation-service, if it needs one.
    pub conversation_service_token: Option<OutgoingToken>,
    /// The NATS server for events; without it no events are published.
    pub nats: Option<NatsSettings>,
    pub relay: RelaySettings,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            follow_ups: FollowUpScheduling::Background,
            conversation_service_url: http::Uri::from_static("http://127.0.0.1:50052"),
            conversation_service_tls: ClientTlsSettings::default(),
            conversation_service_token: None,
            nats: None,
            relay: RelaySettings::default(),
        }
    }
}

/// When a new booking's follow-up is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUpScheduling {
    /// After the reply, by the relay.
    Background,
    /// Before the reply: the call waits for conversation-service. A failed delivery does not fail the call.
    Inline,
}

/// The outbox with the destinations in use. Without NATS no message is written for the event stream:
/// StreamBookingEvents reads the events themselves.
pub fn open(database: Database, settings: &Settings) -> Outbox {
    let in_use = [
        Some(CONVERSATION_SERVICE),
        settings.outbox.nats.is_some().then_some(EVENT_STREAM),
        (!settings.stripe.secrets.is_empty()).then_some(STRIPE),
    ];
    let in_use: Vec<_> = in_use.into_iter().flatten().collect();
    Outbox::new(database, settings.clock, settings.outbox.relay.clone(), &in_use)
}
