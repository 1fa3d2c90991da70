//! A FollowUpService that records its calls, and that can refuse them, hang or be unavailable.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use teppan_shared::contract::conversation::v1::{
    CancelFollowUpRequest, CancelFollowUpResponse, FollowUpTrigger, ScheduleFollowUpRequest, ScheduleFollowUpResponse,
    follow_up_service_server::{FollowUpService, FollowUpServiceServer},
};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::{Request, Response, Status, transport::Server};

/// A recorded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The event's id.
    pub key: String,
    pub conversation_id: String,
    pub subject: String,
    pub what: What,
    pub traceparent: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Schedule { ends_at: DateTime<Utc>, time_zone: String, moves: bool },
    Cancel,
}

/// The answer to calls about a conversation.
#[derive(Debug, Clone)]
pub enum Answer {
    Refuse(Status),
    Hang,
}

#[derive(Clone, Default)]
pub struct Receiver(Arc<Memory>);

#[derive(Default)]
struct Memory {
    calls: Mutex<Vec<Call>>,
    answers: Mutex<HashMap<String, Answer>>,
}

/// A receiver that listens until this is dropped.
pub struct Listening {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: AbortOnDropHandle<()>,
}

impl Receiver {
    /// Listens on a free port.
    pub async fn listen(&self) -> Listening {
        self.listen_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn listen_on(&self, address: SocketAddr) -> Listening {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("the listener is bound");
        let (stop, stopped) = oneshot::channel();
        let service = FollowUpServiceServer::new(self.clone());
        let serving = TaskTracker::new().spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let stopped = async { drop(stopped.await) };
            let served = Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, stopped).await;
            served.expect("the server runs");
        });
        Listening { address, stop: Some(stop), serving: AbortOnDropHandle::new(serving) }
    }

    /// The calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The conversations of the calls.
    pub fn conversations(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.conversation_id).collect()
    }

    /// Sets the answer to calls about this conversation.
    pub fn answer(&self, conversation_id: &str, answer: Option<Answer>) {
        let mut answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(answer) => answers.insert(conversation_id.to_owned(), answer),
            None => answers.remove(conversation_id),
        };
    }

    async fn take(&self, call: Call) -> Result<(), Status> {
        let answer = {
            let answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.get(&call.conversation_id).cloned()
        };
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        match answer {
            None => Ok(()),
            Some(Answer::Refuse(status)) => Err(status),
            Some(Answer::Hang) => std::future::pending().await,
        }
    }
}

impl Listening {
    /// Stops listening, and returns the address.
    pub async fn leave(mut self) -> SocketAddr {
        drop(self.stop.take());
        let _ = (&mut self.serving).await;
        self.address
    }
}

#[tonic::async_trait]
impl FollowUpService for Receiver {
    async fn schedule_follow_up(
        &self,
        request: Request<ScheduleFollowUpRequest>,
    ) -> Result<Response<ScheduleFollowUpResponse>, Status> {
        let traceparent = traceparent(&request);
        let request = request.into_inner();
        assert_eq!(request.trigger(), FollowUpTrigger::PostEvent);
        let ends_at = request.event_ends_at.expect("the end");
        let ends_at = DateTime::from_timestamp(ends_at.seconds, 0).expect("a time");
        self.take(Call {
            key: request.idempotency_key,
            conversation_id: request.conversation_id,
            subject: request.subject,
            what: What::Schedule { ends_at, time_zone: request.time_zone, moves: request.move_existing },
            traceparent,
        })
        .await?;
        Ok(Response::new(ScheduleFollowUpResponse::default()))
    }

    async fn cancel_follow_up(
        &self,
        request: Request<CancelFollowUpRequest>,
    ) -> Result<Response<CancelFollowUpResponse>, Status> {
        let traceparent = traceparent(&request);
        let request = request.into_inner();
        let key = request.key.expect("by its key");
        assert_eq!(key.trigger(), FollowUpTrigger::PostEvent);
        self.take(Call {
            key: request.idempotency_key,
            conversation_id: key.conversation_id,
            subject: key.subject,
            what: What::Cancel,
            traceparent,
        })
        .await?;
        Ok(Response::new(CancelFollowUpResponse::default()))
    }
}

fn traceparent<T>(request: &Request<T>) -> String {
    let value = request.metadata().get("traceparent").and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
