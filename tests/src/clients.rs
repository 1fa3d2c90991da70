//! Clients of both services, made from the contract.

use std::{net::SocketAddr, time::Duration};

use teppan_shared::contract::{
    booking::v1::{
        booking_service_client::BookingServiceClient, customer_service_client::CustomerServiceClient,
        outbox_service_client::OutboxServiceClient, payment_service_client::PaymentServiceClient,
        schedule_service_client::ScheduleServiceClient,
    },
    conversation::v1::{
        conversation_service_client::ConversationServiceClient, follow_up_service_client::FollowUpServiceClient,
        outbox_service_client::OutboxServiceClient as ConversationOutboxServiceClient,
    },
};
use tonic::transport::{Channel, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients of booking-service, over one connection. Cheap to clone.
#[derive(Clone)]
pub struct BookingClients {
    pub bookings: BookingServiceClient<Channel>,
    pub schedule: ScheduleServiceClient<Channel>,
    pub customers: CustomerServiceClient<Channel>,
    pub payments: PaymentServiceClient<Channel>,
    pub outbox: OutboxServiceClient<Channel>,
}

impl BookingClients {
    /// Clients that connect on first use.
    pub fn new(address: SocketAddr) -> Self {
        let channel = channel(address);
        Self {
            bookings: BookingServiceClient::new(channel.clone()),
            schedule: ScheduleServiceClient::new(channel.clone()),
            customers: CustomerServiceClient::new(channel.clone()),
            payments: PaymentServiceClient::new(channel.clone()),
            outbox: OutboxServiceClient::new(channel),
        }
    }
}

/// A client of conversation-service that connects on first use.
pub fn conversations(address: SocketAddr) -> ConversationServiceClient<Channel> {
    ConversationServiceClient::new(channel(address))
}

/// A client of conversation-service's follow-ups that connects on first use.
pub fn follow_ups(address: SocketAddr) -> FollowUpServiceClient<Channel> {
    FollowUpServiceClient::new(channel(address))
}

/// A client of conversation-service's outbox that connects on first use.
pub fn conversation_outbox(address: SocketAddr) -> ConversationOutboxServiceClient<Channel> {
    ConversationOutboxServiceClient::new(channel(address))
}

/// A connection that opens on first use.
pub fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address makes a URL")
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .connect_lazy()
}
