use std::{error::Error as _, sync::Arc, time::Duration};

use teppan_shared::{
    contract::conversation::v1::{
        CancelFollowUpRequest, DeleteConversationRequest, DeleteCustomerRequest, FollowUpKey, FollowUpTrigger,
        RecordConsentRequest, ScheduleFollowUpRequest, conversation_service_client::ConversationServiceClient,
        follow_up_service_client::FollowUpServiceClient,
    },
    error_chain::error_chain,
    identity::OutgoingToken,
    outbox::{Delivery, Destination, Message, Undelivered},
    postgres::Database,
    status, telemetry,
    tls::{self, ClientTls},
    wire::timestamp,
};
use tonic::{
    Code, Request, Status,
    metadata::AsciiMetadataKey,
    transport::{Channel, Endpoint},
};

use super::{booking_now::BookingNow, consents};
use crate::{
    customers::event::{CONSENT_CHANGED, ERASED, MERGED},
    domain::{BookingStatus, FollowUpStep},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Keepalive interval and timeout: a dead connection is detected after their sum.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The gRPC deadline is this much longer than the relay's own timeout. The relay times out first; the deadline stops
/// the server's work.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(1);

/// Pause before the next attempt to move a follow-up that a sender has claimed.
const CLAIMED_PAUSE: Duration = Duration::from_mins(1);

/// Pause before the next attempt to delete what is left of a customer.
const REMAINING_PAUSE: Duration = Duration::from_secs(1);

/// The name of this destination, and of conversation-service in the log.
pub const CONVERSATION_SERVICE: &str = "conversation-service";

/// Schedules, moves and cancels the follow-ups of bookings, delivers consents, and deletes the conversations and
/// follow-ups of erased customers.
pub struct ConversationService {
    conversations: ConversationServiceClient<Channel>,
    follow_ups: FollowUpServiceClient<Channel>,
    token: Option<OutgoingToken>,
    timeout: Duration,
    database: Database,
}

impl ConversationService {
    /// Connects at the first use and after a lost connection; with TLS if `tls` is given.
    pub fn new(
        url: http::Uri,
        tls: Option<Arc<ClientTls>>,
        token: Option<OutgoingToken>,
        delivery_timeout: Duration,
        database: Database,
    ) -> Self {
        let channel = connect(url, tls);
        let timeout = delivery_timeout + TIMEOUT_MARGIN;
        let conversations = ConversationServiceClient::new(channel.clone());
        Self { conversations, follow_ups: FollowUpServiceClient::new(channel), token, timeout, database }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        let metadata = request.metadata_mut();
        if let Some(token) = &self.token {
            metadata.insert("authorization", token.authorization());
        }
        for (name, value) in telemetry::outgoing() {
            if let (Ok(name), Ok(value)) = (AsciiMetadataKey::from_bytes(name.as_bytes()), value.parse()) {
                metadata.insert(name, value);
            }
        }
        request
    }
}

impl ConversationService {
    /// Deletes one conversation of an erased customer, if the aggregate is `CUSTOMER/CONVERSATION`; otherwise the
    /// customer's follow-ups and consents.
    async fn deliver_erasure(&self, message: &Message) -> Result<(), Undelivered> {
        let Some((_, conversation_id)) = message.aggregate_id.split_once('/') else {
            let request = self.request(DeleteCustomerRequest { customer_id: message.aggregate_id.clone() });
            let answer = self.follow_ups.clone().delete_customer(request).await;
            let remaining = answer.map_err(|status| undelivered(&status))?.into_inner().remaining;
            return if remaining {
                Err(Undelivered::Postponed("REMAINING".to_owned(), REMAINING_PAUSE))
            } else {
                Ok(())
            };
        };
        let request = self.request(DeleteConversationRequest { conversation_id: conversation_id.to_owned() });
        let answer = self.conversations.clone().delete_conversation(request).await;
        answer.map(|_| ()).map_err(|status| undelivered(&status))
    }

    /// Recording the same consent again changes nothing, so a repeated delivery makes every call again.
    async fn deliver_consents(
        &self,
        message: &Message,
        requests: Result<Vec<RecordConsentRequest>, serde_json::Error>,
    ) -> Delivery {
        let requests = match requests {
            Err(error) => return unreadable(message, &error),
            Ok(requests) if requests.is_empty() => return Delivery::Decided(Ok(())),
            Ok(requests) => requests,
        };
        for request in requests {
            if let Err(status) = self.follow_ups.clone().record_consent(self.request(request)).await {
                return Delivery::Tried(Err(undelivered(&status)));
            }
        }
        Delivery::Tried(Ok(()))
    }
}

/// A connection to conversation-service that opens at the first use and after it is lost; with TLS if `tls` is given.
pub fn connect(url: http::Uri, tls: Option<Arc<ClientTls>>) -> Channel {
    let endpoint = if tls.is_some() { tls::endpoint(url) } else { Endpoint::from(url) };
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    match tls {
        Some(tls) => tls::connect_lazy(&endpoint, tls),
        None => endpoint.connect_lazy(),
    }
}

impl ConversationService {
    /// The request that schedules what follows from an event, with the reminders of the booking as it is now; `None` if
    /// nothing does any more.
    async fn schedule(
        &self,
        message: &Message,
        step: FollowUpStep,
    ) -> Result<Option<ScheduleFollowUpRequest>, Undelivered> {
        let now = BookingNow::read(&self.database, &message.aggregate_id).await.map_err(|error| {
            tracing::warn!(event = %message.event_id, error = error_chain(&error), "a booking could not be read");
            Undelivered::Postponed("DATABASE_UNAVAILABLE".to_owned(), REMAINING_PAUSE)
        })?;
        let reminders = now.as_ref().map(BookingNow::reminders);
        let (conversation_id, customer_id, ends_at, time_zone, move_existing) = match (step, now) {
            (FollowUpStep::Schedule { conversation_id, customer_id, ends_at, time_zone, move_existing }, _) => {
                (conversation_id, customer_id, ends_at, time_zone, move_existing)
            }
            (FollowUpStep::Follow { conversation_id, move_existing }, Some(now))
                if now.status == BookingStatus::Confirmed =>
            {
                (conversation_id, now.customer_id.to_string(), now.ends_at, now.time_zone, move_existing)
            }
            // It has ended since: the event of its end follows, or its follow-up stays.
            _ => return Ok(None),
        };
        Ok(Some(ScheduleFollowUpRequest {
            idempotency_key: message.event_id.to_string(),
            conversation_id,
            trigger: FollowUpTrigger::PostEvent.into(),
            subject: subject(message),
            event_ends_at: Some(timestamp(ends_at)),
            time_zone,
            move_existing,
            customer_id,
            reminders,
            ..Default::default()
        }))
    }
}

impl Destination for ConversationService {
    const NAME: &'static str = CONVERSATION_SERVICE;
    const WORKER: &'static str = "relay-to-conversation-service";

    async fn deliver(&self, message: &Message) -> Delivery {
        match message.event_type.as_str() {
            ERASED => return Delivery::Tried(self.deliver_erasure(message).await),
            CONSENT_CHANGED => {
                let requests = consents::of_change(&message.data, &message.aggregate_id);
                return self.deliver_consents(message, requests).await;
            }
            MERGED => {
                let requests = consents::of_merge(&message.data, &message.aggregate_id);
                return self.deliver_consents(message, requests).await;
            }
            _ => {}
        }
        let step = match FollowUpStep::after(&message.event_type, &message.data) {
            Err(error) => return unreadable(message, &error),
            Ok(None) => return Delivery::Decided(Ok(())),
            Ok(Some(step)) => step,
        };
        let mut client = self.follow_ups.clone();
        let answer = match step {
            FollowUpStep::Cancel { conversation_id } => {
                client.cancel_follow_up(self.request(cancel(message, conversation_id))).await.map(|_| ())
            }
            step => match self.schedule(message, step).await {
                Ok(None) => return Delivery::Decided(Ok(())),
                Ok(Some(request)) => client.schedule_follow_up(self.request(request)).await.map(|_| ()),
                Err(undelivered) => return Delivery::Decided(Err(undelivered)),
            },
        };
        Delivery::Tried(answer.map_err(|status| undelivered(&status)))
    }
}

/// A message whose event cannot be read.
fn unreadable(message: &Message, error: &dyn std::error::Error) -> Delivery {
    tracing::error!(event = %message.event_id, error = error_chain(error), "outbox event cannot be read");
    Delivery::Decided(Err(Undelivered::Refused("EVENT_UNREADABLE".to_owned())))
}

fn cancel(message: &Message, conversation_id: String) -> CancelFollowUpRequest {
    let key = FollowUpKey { conversation_id, trigger: FollowUpTrigger::PostEvent.into(), subject: subject(message) };
    CancelFollowUpRequest { idempotency_key: message.event_id.to_string(), key: Some(key), ..Default::default() }
}

fn subject(message: &Message) -> String {
    format!("booking:{}", message.aggregate_id)
}

/// Separates faults of the message from faults of a destination that accepts no messages at all.
fn undelivered(status: &Status) -> Undelivered {
    let reason = status::reason(status);
    // Only the client library sets a source: the connection failed.
    let is_connection_fault = status.source().is_some();
    match status.code() {
        _ if is_connection_fault => Undelivered::Unavailable("UNAVAILABLE".to_owned()),
        Code::ResourceExhausted if reason == "MESSAGE_TOO_LARGE" => Undelivered::Refused(reason),
        // Overload, an older version without this call, or refused credentials.
        Code::Unavailable
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::Unauthenticated
        | Code::PermissionDenied => Undelivered::Unavailable(reason),
        Code::DeadlineExceeded => Undelivered::TimedOut,
        Code::FailedPrecondition if reason == "FOLLOW_UP_CLAIMED" => Undelivered::Postponed(reason, CLAIMED_PAUSE),
        Code::InvalidArgument => Undelivered::Refused(reason),
        _ => Undelivered::Failed(reason),
    }
}

#[cfg(test)]
mod tests {
    use teppan_shared::status::Failure;

    use super::*;

    #[test]
    fn only_a_fault_of_the_message_itself_refuses_or_fails_it() {
        let unavailable = |status| matches!(undelivered(&status), Undelivered::Unavailable(_));
        assert!(unavailable(Failure::draining().into()) && unavailable(Failure::overloaded().into()));
        assert!(unavailable(Status::unimplemented("")) && unavailable(Status::unauthenticated("")));
        assert!(unavailable(Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)))));
        let refused = Failure::invalid_argument("INVALID_FIELDS", "");
        assert_eq!(undelivered(&refused.into()), Undelivered::Refused("INVALID_FIELDS".to_owned()));
        let claimed = Failure::precondition("FOLLOW_UP_CLAIMED", "", "");
        assert_eq!(undelivered(&claimed.into()), Undelivered::Postponed("FOLLOW_UP_CLAIMED".to_owned(), CLAIMED_PAUSE));
        assert_eq!(undelivered(&Failure::deadline_exceeded().into()), Undelivered::TimedOut);
        assert_eq!(undelivered(&Status::internal("")), Undelivered::Failed("INTERNAL".to_owned()));
    }
}
