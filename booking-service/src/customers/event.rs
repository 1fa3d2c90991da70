//! The events of customers, which are published and contain only ids and figures.

use chrono::{DateTime, Utc};
use serde::Serialize;
use teppan_shared::contract::events::v1 as wire;

use crate::{
    bookings::event_data::timestamp,
    customers::Customers,
    domain::{CustomerId, EventId, OutboxDestination},
};

/// The type of [`wire::CustomerErased`]. `erase_customer` in the schema writes the event.
pub const ERASED: &str = "teppan.customer.erased.v1";

/// An event that a statement writes together with the change.
pub struct NewCustomerEvent {
    pub id: EventId,
    /// The event type, such as `teppan.customer.updated.v1`.
    pub kind: &'static str,
    /// JSON.
    pub data: String,
}

impl NewCustomerEvent {
    pub fn updated(id: CustomerId, at: DateTime<Utc>) -> Self {
        let event = wire::CustomerUpdated { customer_id: id.to_string(), occurred_at: timestamp(at) };
        Self::new("teppan.customer.updated.v1", &event)
    }

    fn new(kind: &'static str, event: &impl Serialize) -> Self {
        Self { id: EventId::generate(), kind, data: serde_json::to_string(event).expect("ids and figures") }
    }
}

impl Customers {
    /// The destinations of every event of a customer.
    pub(super) fn destinations(&self) -> Vec<String> {
        let stream = OutboxDestination::EventStream;
        self.outbox.is_in_use(stream).then(|| stream.to_string()).into_iter().collect()
    }
}
