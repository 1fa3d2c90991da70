//! What every use case works with. Each use case is a method of [`Core`], in a file of its own.

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
    worker::Nudge,
};

use crate::{
    bookings::metrics::BookingMetrics,
    bookings::slot_queue::SlotQueues,
    domain::PhoneRegion,
    event_stream::stream::{EventStreamSettings, LiveStreams},
    outbox::{ConversationService, Outbox, Relay},
    stripe::metrics::StripeMetrics,
    venues::phone_regions::PhoneRegions,
};

/// The service behind its gRPC and HTTP faces.
pub struct Core {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) ring: KeyRing,
    /// Finds customers by their normalised e-mail.
    pub(crate) email_hash: KeyedHash,
    /// Tells whether two requests with one idempotency key are the same.
    pub(crate) fingerprint: KeyedHash,
    pub(crate) slot_queues: SlotQueues,
    /// Of venues that name none, and whose time zone belongs to no country.
    pub(crate) default_phone_region: PhoneRegion,
    pub(crate) phone_regions: PhoneRegions,
    /// Readers that follow what happens to bookings.
    pub(crate) live: LiveStreams,
    /// Wakes whoever lays out slots.
    pub(crate) layout: Nudge,
    /// Wakes the worker that offers seats that came free.
    pub(crate) waitlist: Nudge,
    /// What is still to be told to others.
    pub(crate) outbox: Outbox,
    /// Schedules a new booking's follow-up before the reply, where that is wanted.
    pub(crate) inline: Option<Relay<ConversationService>>,
    pub(crate) metrics: BookingMetrics,
    pub(crate) stripe_metrics: StripeMetrics,
}

impl Core {
    pub fn new(
        database: Database,
        keys: &Keys,
        clock: Clock,
        default_phone_region: PhoneRegion,
        event_stream: EventStreamSettings,
        outbox: Outbox,
        inline: Option<Relay<ConversationService>>,
    ) -> Self {
        Self {
            slot_queues: SlotQueues::default(),
            database,
            clock,
            ring: keys.ring(),
            email_hash: KeyedHash::derive(&keys.hash, "teppan booking customers.email_hash"),
            fingerprint: KeyedHash::derive(&keys.hash, "teppan booking idempotency_keys.fingerprint"),
            default_phone_region,
            phone_regions: PhoneRegions::default(),
            live: LiveStreams::new(event_stream),
            layout: Nudge::default(),
            waitlist: Nudge::default(),
            outbox,
            inline,
            metrics: BookingMetrics::default(),
            stripe_metrics: StripeMetrics::default(),
        }
    }
}
