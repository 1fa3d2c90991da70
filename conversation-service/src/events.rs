//! Access of the use cases to the outbox.

use teppan_shared::{
    outbox::{EVENT_STREAM, Outbox},
    worker::Nudge,
};

/// The means to emit events. Clones share the nudge.
#[derive(Clone)]
pub struct Events {
    /// Whether statements write events to the outbox.
    pub published: bool,
    /// Wakes the relays that publish them.
    pub pending: Nudge,
}

impl Events {
    pub fn of(outbox: &Outbox) -> Self {
        Self { published: outbox.is_in_use(EVENT_STREAM), pending: outbox.nudge_of(EVENT_STREAM) }
    }
}
