//! The state that every act uses.

use std::net::SocketAddr;

use chrono::{Datelike as _, Days, NaiveDate, Utc, Weekday};
use teppan_shared::contract::{
    booking::v1::{
        booking_service_client::BookingServiceClient, customer_service_client::CustomerServiceClient,
        schedule_service_client::ScheduleServiceClient,
    },
    conversation::v1::{
        conversation_service_client::ConversationServiceClient, follow_up_service_client::FollowUpServiceClient,
    },
};
use teppan_tests::{
    clients::{self, BookingClients},
    tool::Services,
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::journal::Journal;

/// Clients of both services.
pub struct Clients {
    pub bookings: BookingServiceClient<Channel>,
    pub schedule: ScheduleServiceClient<Channel>,
    pub customers: CustomerServiceClient<Channel>,
    pub conversations: ConversationServiceClient<Channel>,
    pub follow_ups: FollowUpServiceClient<Channel>,
}

/// The journal, the clients, and the suffix of this run's ids.
pub struct Stage {
    pub journal: Journal,
    pub clients: Clients,
    /// The address at which booking-service receives Stripe's events.
    pub webhook: SocketAddr,
    /// A part of every key and id, so that a run on old data does not replay an earlier run.
    pub run: String,
}

impl Stage {
    pub fn new(journal: Journal, services: &Services) -> Self {
        let BookingClients { bookings, schedule, customers, .. } = BookingClients::new(services.booking.grpc);
        let conversations = clients::conversations(services.conversation.grpc);
        let follow_ups = FollowUpServiceClient::new(clients::channel(services.conversation.grpc));
        let clients = Clients { bookings, schedule, customers, conversations, follow_ups };
        let run = Uuid::new_v4().simple().to_string()[..8].to_owned();
        Self { journal, clients, webhook: services.booking.http, run }
    }

    /// An idempotency key of this run.
    pub fn key(&self, what: &str) -> String {
        format!("demo-{}/{what}", self.run)
    }
}

/// The date that the demo books: a Saturday, two to three weeks ahead.
pub fn saturday() -> NaiveDate {
    let fortnight = Utc::now().date_naive() + Days::new(14);
    let to_saturday = Weekday::Sat.days_since(fortnight.weekday());
    fortnight + Days::new(to_saturday.into())
}
