//! Several HTTP/2 connections to each service: a single one would limit the throughput.

use std::net::SocketAddr;

use teppan_shared::contract::{
    booking::v1::{booking_service_client::BookingServiceClient, schedule_service_client::ScheduleServiceClient},
    conversation::v1::{
        conversation_service_client::ConversationServiceClient, follow_up_service_client::FollowUpServiceClient,
    },
};
use teppan_tests::clients::channel;
use tonic::transport::Channel;

/// Clients over one connection to each service. Cheap to clone.
#[derive(Clone)]
pub struct Clients {
    pub bookings: BookingServiceClient<Channel>,
    pub schedule: ScheduleServiceClient<Channel>,
    pub conversations: ConversationServiceClient<Channel>,
    pub follow_ups: FollowUpServiceClient<Channel>,
}

pub struct Connections(Vec<Clients>);

impl Connections {
    /// Connections that open on first use, and again after they break.
    pub fn open(booking: SocketAddr, conversation: SocketAddr, count: u16) -> Self {
        let open = |_| {
            let (booking, conversation) = (channel(booking), channel(conversation));
            Clients {
                bookings: BookingServiceClient::new(booking.clone()),
                schedule: ScheduleServiceClient::new(booking),
                conversations: ConversationServiceClient::new(conversation.clone()),
                follow_ups: FollowUpServiceClient::new(conversation),
            }
        };
        Self((0..count.max(1)).map(open).collect())
    }

    /// The clients of the n-th piece of work, over one of the connections in turn.
    pub fn of(&self, n: usize) -> Clients {
        self.0[n % self.0.len()].clone()
    }
}
