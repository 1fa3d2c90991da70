//! Credentials, roles, and the audit log.

mod audit;
mod between_services;
mod certificates;
mod jwts;
mod key_sets;
mod roles;
mod tokens;
mod unauthenticated;

use teppan_shared::{config::CommonSettings, keys::Keys};
use teppan_tests::{
    clients,
    harness::{self, Booking, Conversation},
};
use tonic::transport::Channel;

const STORE_MESSAGE: &str = "teppan.conversation.v1.ConversationService/StoreMessage";
const LIST_VENUES: &str = "teppan.booking.v1.ScheduleService/ListVenues";

/// Starts a conversation-service with changed settings and waits until it is ready.
async fn conversation(change: impl FnOnce(&mut CommonSettings)) -> Conversation {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    change(&mut settings);
    Conversation::with(settings, url, keys).await.ready().await
}

/// Starts a booking-service with changed settings and waits until it is ready.
async fn booking(change: impl FnOnce(&mut CommonSettings)) -> Booking {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    change(&mut settings);
    Booking::with(settings, url, keys).await.ready().await
}

fn channel_to(service: &Conversation) -> Channel {
    clients::channel(service.service.server.grpc_addr)
}
