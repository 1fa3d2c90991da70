//! A journey that changes every metric: chats, bookings, a waitlist, holds, follow-ups, events, and a Stripe event.

use std::collections::HashMap;

use futures::future::join_all;
use secrecy::SecretString;
use serde_json::json;
use teppan_shared::contract::{
    booking::v1::{
        CancelBookingRequest, ConfirmBookingRequest, CreateBookingRequest, GetVenueRequest, ListWaitlistRequest,
        StreamBookingEventsResponse, WaitlistEntryStatus,
    },
    conversation::v1::{
        Channel, ClaimDueFollowUpsRequest, CompleteFollowUpRequest, FollowUpTrigger, ScheduleFollowUpRequest,
        StoreMessageRequest,
    },
};
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures::{self, SlotUpdate},
    harness::{self, eventually},
    launch::{Process, Which},
    otlp::Receiver,
    scrape::{OPEN_METRICS, Scrape},
    stripe,
};
use tonic::{Code, Streaming};
use uuid::Uuid;

use crate::{
    dispatch::fixture::{completion, failure},
    environment,
    event_stream::readers::{following, from_the_oldest},
    outbox::nats_server::NatsServer,
    payments::SECRET,
    raw, waitlist,
};

/// Both services, and everything they connect to.
pub struct Journey {
    pub booking: Process,
    pub conversation: Process,
    pub receiver: Receiver,
    /// What must not be in a label: ids, messages and names.
    pub secrets: Vec<String>,
    booking_url: SecretString,
    /// A reader that follows the booking events.
    events: Option<Streaming<StreamBookingEventsResponse>>,
    _nats: NatsServer,
}

impl Journey {
    /// Both services just after their start.
    pub async fn start() -> Self {
        let (receiver, nats) = (Receiver::start().await, NatsServer::start().await);
        let booking_url = harness::database(&booking_service::app::DEFINITION).await;
        let conversation_url = harness::database(&conversation_service::app::DEFINITION).await;
        let conversation = variables(&conversation_url, &receiver, &nats);
        let conversation = Process::start(Which::Conversation, &conversation).await.expect("the process starts");
        let mut booking = variables(&booking_url, &receiver, &nats);
        booking.insert("CONVERSATION_SERVICE_URL".to_owned(), format!("http://{}", conversation.grpc));
        let booking = Process::start(Which::Booking, &booking).await.expect("the process starts");
        let (mut messages, mut bookings) =
            (clients::conversations(conversation.grpc), BookingClients::new(booking.grpc));
        let secrets = Vec::new();
        let journey = Self { booking, conversation, receiver, secrets, booking_url, events: None, _nats: nats };
        eventually("both services are ready", async || {
            let message = messages.store_message(fixtures::message("a-chat-before-all", "Hello")).await;
            message.is_ok() && fixtures::firm_venue(&mut bookings, 1).await.is_ok()
        })
        .await;
        journey
    }

    /// Both services after the journey.
    pub async fn play() -> Self {
        let mut journey = Self::start().await;
        journey.chat().await;
        journey.book().await;
        journey.hold().await;
        journey.follow_up().await;
        let unreadable = stripe::event("payment_intent.succeeded", json!({"id": "pi_1"}));
        assert_eq!(stripe::send(journey.booking.http, &unreadable, SECRET).await.0, 200);
        let unknown = raw::call(journey.booking.grpc, "/teppan.booking.v1.CustomerService/MadeUp", b"", None).await;
        assert_eq!(unknown.code(), Code::Unimplemented);
        journey
    }

    pub async fn stop(self) {
        drop(self.events);
        for process in [self.booking, self.conversation] {
            assert!(process.stop().await);
        }
    }

    /// Many concurrent messages, more than there are connections; one of them is sent twice.
    async fn chat(&mut self) {
        let client = clients::conversations(self.conversation.grpc);
        let chat = fixtures::conversation_id();
        let messages: Vec<_> = (0..24).map(|n| fixtures::message(&chat, &format!("My secret is {n}"))).collect();
        let stored = messages.iter().map(|message| {
            let mut client = client.clone();
            async move { client.store_message(message.clone()).await }
        });
        assert!(join_all(stored).await.iter().all(Result::is_ok));
        client.clone().store_message(messages[0].clone()).await.expect("the call is replayed");
        client.clone().store_message(StoreMessageRequest::default()).await.expect_err("the call is refused");
        self.secrets.extend([chat, messages[0].message_id.clone(), "My secret".to_owned()]);
    }

    /// Sends more concurrent calls than there are connections, again and again: on two cores none may have to wait.
    async fn wait_for_a_connection(&self, clients: &BookingClients, venue_id: &str) {
        eventually("a call has waited for a connection", async || {
            let calls = (0..24).map(|_| {
                let mut clients = clients.clone();
                async move { clients.schedule.get_venue(GetVenueRequest { venue_id: venue_id.to_owned() }).await }
            });
            assert!(join_all(calls).await.iter().all(Result::is_ok));
            let scrape = Scrape::of(self.booking.http, OPEN_METRICS).await;
            scrape.sum("db_client_connection_wait_time_seconds_count", &[]).is_some_and(|count| count > 0.0)
        })
        .await;
    }

    /// Sends concurrent changes of one slot, again and again, until one has waited for its turn.
    async fn wait_in_a_slot_queue(&self, clients: &BookingClients, venue_id: &str) {
        eventually("a call has waited in the queue of a slot", async || {
            let calls = (0..12).map(|_| {
                let mut clients = clients.clone();
                async move {
                    clients.schedule.update_slot(SlotUpdate { capacity: Some(4), ..SlotUpdate::of(venue_id) }).await
                }
            });
            assert!(join_all(calls).await.iter().all(Result::is_ok));
            let scrape = Scrape::of(self.booking.http, OPEN_METRICS).await;
            scrape.sum("teppan_slot_queue_wait_seconds_count", &[]).is_some_and(|count| count > 0.0)
        })
        .await;
    }

    /// A sold-out slot, a waitlist for it, and an offer that is accepted.
    async fn book(&mut self) {
        let mut clients = BookingClients::new(self.booking.grpc);
        let stream =
            clients.bookings.stream_booking_events(following(from_the_oldest())).await.expect("the stream opens");
        let venue = fixtures::firm_venue(&mut clients, 4).await.expect("a venue");
        self.wait_for_a_connection(&clients, &venue.venue_id).await;
        self.wait_in_a_slot_queue(&clients, &venue.venue_id).await;
        let request = fixtures::booking(&venue.venue_id, 2);
        let first = clients.bookings.create_booking(request.clone()).await.expect("booked").into_inner();
        let first = first.booking.expect("the booking");
        let others = (0..12).map(|_| {
            let (mut clients, request) = (clients.clone(), fixtures::booking(&venue.venue_id, 1));
            async move { clients.bookings.create_booking(request).await }
        });
        assert_eq!(join_all(others).await.iter().filter(|answer| answer.is_ok()).count(), 2);
        clients.bookings.create_booking(request.clone()).await.expect("the call is replayed");
        for _ in 0..2 {
            waitlist::join_by(&clients, waitlist::request(&venue.venue_id, 2)).await.expect("joined");
        }
        let cancel = CancelBookingRequest { booking_id: first.booking_id.clone(), ..Default::default() };
        clients.bookings.cancel_booking(cancel).await.expect("cancelled");
        let mut offered = None;
        eventually("the seats are offered", async || {
            let list = ListWaitlistRequest { venue_id: venue.venue_id.clone(), ..Default::default() };
            let listed = clients.clone().bookings.list_waitlist(list).await.expect("listed").into_inner().entries;
            offered = listed.into_iter().find(|entry| entry.status() == WaitlistEntryStatus::Offered);
            offered.is_some()
        })
        .await;
        let booking_id = offered.expect("an offer").booking_id;
        let confirm = ConfirmBookingRequest { booking_id, ..Default::default() };
        clients.bookings.confirm_booking(confirm).await.expect("taken");
        self.events = Some(read(stream.into_inner(), 4).await);
        self.remember(&request);
        self.secrets.extend([venue.venue_id, first.booking_id, first.confirmation_code, first.customer_id]);
    }

    /// Two bookings that wait for a deposit; one hold has run out.
    async fn hold(&mut self) {
        let mut clients = BookingClients::new(self.booking.grpc);
        let venue = fixtures::venue(&mut clients, 4).await.expect("a venue");
        for _ in 0..2 {
            clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 2)).await.expect("booked");
        }
        let runs_out = "UPDATE bookings SET hold_expires_at = now() - interval '1 s' WHERE booking_id =
            (SELECT booking_id FROM bookings WHERE hold_expires_at IS NOT NULL LIMIT 1)";
        harness::execute(&self.booking_url, runs_out).await;
    }

    /// Three due follow-ups: one is sent, one fails, one waits.
    async fn follow_up(&mut self) {
        let mut follow_ups = clients::follow_ups(self.conversation.grpc);
        for _ in 0..3 {
            let request = ScheduleFollowUpRequest {
                idempotency_key: Uuid::now_v7().to_string(),
                conversation_id: fixtures::conversation_id(),
                trigger: FollowUpTrigger::EmotionBased.into(),
                due_at: Some(chrono::Utc::now().into()),
                channel: Channel::Web.into(),
                ..Default::default()
            };
            follow_ups.schedule_follow_up(request).await.expect("scheduled");
        }
        let claim = ClaimDueFollowUpsRequest {
            claimant: "a-sender".to_owned(),
            batch_size: 1,
            wait_seconds: 10,
            ..Default::default()
        };
        let sent = follow_ups.claim_due_follow_ups(claim.clone()).await.expect("claimed").into_inner().follow_ups;
        let sent = CompleteFollowUpRequest { channel: Channel::Web.into(), ..completion(&sent[0]) };
        follow_ups.complete_follow_up(sent).await.expect("completed");
        let failed = follow_ups.claim_due_follow_ups(claim).await.expect("claimed").into_inner().follow_ups;
        follow_ups.fail_follow_up(failure(&failed[0])).await.expect("the follow-up is put back");
        self.secrets.push("a-sender".to_owned());
    }

    fn remember(&mut self, request: &CreateBookingRequest) {
        let contact = request.contact.clone().expect("a contact");
        self.secrets.extend([request.idempotency_key.clone(), request.conversation_id.clone()]);
        self.secrets.extend([contact.name, contact.email, contact.phone, request.special_requests.clone()]);
    }
}

/// Reads this many steps of a stream, and returns the stream.
async fn read(
    mut stream: Streaming<StreamBookingEventsResponse>,
    steps: usize,
) -> Streaming<StreamBookingEventsResponse> {
    for _ in 0..steps {
        stream.message().await.expect("a step").expect("the stream opens");
    }
    stream
}

/// The variables of a service that polls all the time and has few connections.
fn variables(url: &SecretString, receiver: &Receiver, nats: &NatsServer) -> HashMap<String, String> {
    let quick = [
        ("BACKLOG_INTERVAL_MS", "50"),
        ("DATABASE_MAX_CONNECTIONS", "2"),
        ("FOLLOW_UP_CLOCK_INTERVAL_MS", "20"),
        ("FOLLOW_UP_SENDING_HOURS", "00:00-24:00"),
        ("HOLD_EXPIRY_INTERVAL_MS", "20"),
        ("OTEL_METRICS_EXPORTER", "otlp,prometheus"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "250"),
        ("OUTBOX_RELAYS", "1"),
        ("STRIPE_LIVEMODE", "false"),
        ("STRIPE_WEBHOOK_SECRETS", SECRET),
        ("WAITLIST_INTERVAL_MS", "20"),
    ];
    let quick = quick.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let nats = [("NATS_URL".to_owned(), nats.url())];
    environment::with_keys(url).chain(environment::traced(receiver)).chain(nats).chain(quick).collect()
}
