//! Simulated guests, follow-up senders and Stripe, which make the daily load.

use std::{net::SocketAddr, time::Duration};

use chrono::TimeDelta;
use futures::{StreamExt as _, future};
use serde_json::json;
use teppan_shared::contract::{
    booking::v1::{
        Booking, CancelBookingRequest, ConfirmBookingRequest, CreateBookingRequest, JoinWaitlistRequest,
        ListWaitlistRequest, StreamBookingEventsRequest, WaitlistEntry, WaitlistEntryStatus,
    },
    conversation::v1::{
        ClaimDueFollowUpsRequest, ClaimedFollowUp, CompleteFollowUpRequest, FailFollowUpRequest, FollowUpFailureReason,
        FollowUpTrigger, ScheduleFollowUpRequest, conversation_service_client::ConversationServiceClient,
        follow_up_service_client::FollowUpServiceClient,
    },
};
use teppan_shared::wire::Timestamp;
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use super::Stack;
use crate::{
    clients::{self, BookingClients},
    fixtures::{self, SlotUpdate},
    raw_client::{self, RawClient, RawError},
    stripe,
};

/// The secret of Stripe's signatures.
pub const SECRET: &str = "whsec_watched";

/// The longest time that background work may take.
const SOON: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Clients that simulate the load. Cheap to clone.
#[derive(Clone)]
pub struct Guests {
    booking: BookingClients,
    conversations: ConversationServiceClient<Channel>,
    follow_ups: FollowUpServiceClient<Channel>,
    webhook: SocketAddr,
    booking_server: SocketAddr,
    conversation_server: SocketAddr,
    /// A venue with enough seats for all guests, which requires a deposit.
    venue_id: String,
}

impl Guests {
    pub async fn of(stack: &Stack) -> Result<Self, Status> {
        let mut booking = BookingClients::new(stack.booking.grpc);
        let venue_id = fixtures::venue(&mut booking, 100_000).await?.venue_id;
        Ok(Self {
            booking,
            conversations: clients::conversations(stack.conversation.grpc),
            follow_ups: clients::follow_ups(stack.conversation.grpc),
            webhook: stack.booking.http,
            booking_server: stack.booking.grpc,
            conversation_server: stack.conversation.grpc,
            venue_id,
        })
    }

    /// A chat that ends in a booking, the payment of its deposit, and a follow-up that is due now. Two calls are
    /// repeated, as by a client that lost an answer.
    pub async fn journey(&self) -> Result<(), Status> {
        let mut this = self.clone();
        let request = fixtures::booking(&self.venue_id, 2);
        let chat = request.conversation_id.clone();
        for text in ["A table for two?", "In a fortnight, at six.", "Yes, please."] {
            let message = fixtures::message(&chat, text);
            this.conversations.store_message(message.clone()).await?;
            this.conversations.store_message(message).await?;
        }
        let booking = self.book(request.clone()).await?;
        self.book(request).await?;
        let paid = stripe::Intent::of(&booking.booking_id, booking.deposit_cents).succeeded();
        stripe::send(self.webhook, &paid, SECRET).await;
        let now = chrono::Utc::now().timestamp();
        let follow_up = ScheduleFollowUpRequest {
            idempotency_key: Uuid::now_v7().to_string(),
            conversation_id: chat,
            trigger: FollowUpTrigger::Custom.into(),
            due_at: Some(Timestamp { seconds: now, nanos: 0 }),
            content: "We look forward to seeing you.".to_owned(),
            ..Default::default()
        };
        this.follow_ups.schedule_follow_up(follow_up).await?;
        Ok(())
    }

    /// Sends a few follow-ups that are due within a second.
    pub async fn send_follow_ups(&self) -> Result<(), Status> {
        for claimed in self.claim().await? {
            let complete = CompleteFollowUpRequest {
                follow_up_id: claimed.follow_up.unwrap_or_default().follow_up_id,
                claim_token: claimed.claim_token,
                ..Default::default()
            };
            self.follow_ups.clone().complete_follow_up(complete).await?;
        }
        Ok(())
    }

    /// Eight guests want an evening with four seats. One joins the waitlist and gets a seat that another gives up. A
    /// reader follows the events.
    pub async fn rush(&self) -> Result<(), Status> {
        let mut this = self.clone();
        let venue_id = fixtures::firm_venue(&mut this.booking, 4).await?.venue_id;
        let rush = (0..8).map(|_| self.book(fixtures::booking(&venue_id, 1)));
        let mut booked = None;
        for outcome in future::join_all(rush).await {
            match outcome {
                Ok(booking) => booked = Some(booking),
                Err(refused) if refused.code() == Code::FailedPrecondition => {}
                Err(failed) => return Err(failed),
            }
        }
        let booked = booked.ok_or_else(|| Status::internal("no guest got a seat"))?;
        // The venue's screens set the seats of the evening at the same time, so they wait for one another.
        let screens = (0..8).map(|_| {
            let mut schedule = self.booking.schedule.clone();
            let seats = SlotUpdate { capacity: Some(4), ..SlotUpdate::of(&venue_id) };
            async move { schedule.update_slot(seats).await }
        });
        future::try_join_all(screens).await?;
        let follow =
            StreamBookingEventsRequest { booking_id: booked.booking_id.clone(), follow: true, ..Default::default() };
        let mut events = this.booking.bookings.stream_booking_events(follow).await?.into_inner();
        // The first event is the creation.
        let _ = tokio::time::timeout(SOON, events.next()).await;
        let entry = self.wait_for_seats(fixtures::booking(&venue_id, 1)).await?;
        let cancel = CancelBookingRequest { booking_id: booked.booking_id, ..Default::default() };
        this.booking.bookings.cancel_booking(cancel).await?;
        let _ = tokio::time::timeout(SOON, events.next()).await;
        let offered = self.offered(&entry).await?;
        let confirm = ConfirmBookingRequest { booking_id: offered.booking_id, ..Default::default() };
        this.booking.bookings.confirm_booking(confirm).await?;
        Ok(())
    }

    /// Work for operators, and refusals: a Stripe event without a booking, a follow-up that fails, and requests that
    /// are forged, too old, of an unknown method, and too many at once when `MAX_WAITING` is small.
    pub async fn trouble(&self) -> Result<(), Status> {
        let mut this = self.clone();
        let lost = stripe::event("payment_intent.succeeded", json!({"id": "pi_lost"}));
        stripe::send(self.webhook, &lost, SECRET).await;
        stripe::send(self.webhook, &lost, "whsec_forged").await;
        let (body, long_ago) = (lost.to_string(), chrono::Utc::now() - TimeDelta::hours(1));
        stripe::post(self.webhook, Some(&stripe::signed(&body, SECRET, long_ago)), &body).await;
        self.call_unknown().await.map_err(|error| Status::unavailable(error.to_string()))?;
        self.journey().await?;
        let claimed = self.claim().await?;
        for claimed in claimed {
            let fail = FailFollowUpRequest {
                follow_up_id: claimed.follow_up.unwrap_or_default().follow_up_id,
                claim_token: claimed.claim_token,
                reason: FollowUpFailureReason::ChannelUnreachable.into(),
                permanent: true,
                ..Default::default()
            };
            this.follow_ups.fail_follow_up(fail).await?;
        }
        future::join_all((0..8).map(|_| self.claim())).await;
        Ok(())
    }

    async fn book(&self, request: CreateBookingRequest) -> Result<Booking, Status> {
        let created = self.booking.bookings.clone().create_booking(request).await?.into_inner();
        Ok(created.booking.unwrap_or_default())
    }

    /// Calls a method that does not exist, of each service.
    async fn call_unknown(&self) -> Result<(), RawError> {
        let booking = (self.booking_server, "/teppan.booking.v1.BookingService/MadeUp");
        let conversation = (self.conversation_server, "/teppan.conversation.v1.ConversationService/MadeUp");
        for (server, method) in [booking, conversation] {
            // The connection must outlive the wait for the answer.
            let mut client = RawClient::connect(server).await?;
            let answer = client.call(method, &()).await?;
            raw_client::status(answer).await?;
        }
        Ok(())
    }

    async fn claim(&self) -> Result<Vec<ClaimedFollowUp>, Status> {
        let claim = ClaimDueFollowUpsRequest { claimant: "sender-1".to_owned(), wait_seconds: 1, ..Default::default() };
        Ok(self.follow_ups.clone().claim_due_follow_ups(claim).await?.into_inner().follow_ups)
    }

    async fn wait_for_seats(&self, wish: CreateBookingRequest) -> Result<WaitlistEntry, Status> {
        let request = JoinWaitlistRequest {
            idempotency_key: wish.idempotency_key,
            venue_id: wish.venue_id,
            date: wish.date,
            start_time: wish.start_time,
            party_size: wish.party_size,
            contact: wish.contact,
            ..Default::default()
        };
        Ok(self.booking.bookings.clone().join_waitlist(request).await?.into_inner().entry.unwrap_or_default())
    }

    /// Waits until seats are offered to the entry, and returns it.
    async fn offered(&self, entry: &WaitlistEntry) -> Result<WaitlistEntry, Status> {
        let list = ListWaitlistRequest { customer_id: entry.customer_id.clone(), ..Default::default() };
        let offered = async {
            loop {
                let entries = self.booking.bookings.clone().list_waitlist(list.clone()).await?.into_inner().entries;
                if let Some(entry) = entries.into_iter().find(|it| it.status() == WaitlistEntryStatus::Offered) {
                    return Ok(entry);
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let offered = tokio::time::timeout(SOON, offered).await;
        offered.unwrap_or_else(|_| Err(Status::internal("freed seats were not offered")))
    }
}
