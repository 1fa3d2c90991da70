//! The attacks. Each lasts until it is dropped.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::Utc;
use futures::future::join_all;
use h2::{RecvStream, SendStream, client::ResponseFuture};
use http::Response;
use prost::Message;
use teppan_shared::contract::{
    booking::v1::StreamBookingEventsRequest,
    conversation::v1::{ClaimDueFollowUpsRequest, ListMessagesRequest},
};
use teppan_tests::{
    launch::Which,
    raw_client::{RawClient, RawError, framed},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::{stage::Stage, workload::Workload};

/// The window of a client that does not read its answers.
const UNREAD_WINDOW_BYTES: u32 = 1024;
/// The largest message that gRPC libraries accept by default.
const LARGE_MESSAGE_BYTES: u32 = 4 << 20;
/// An attack skips a part that the service does not accept within this time.
const PATIENCE: Duration = Duration::from_millis(300);
/// Debug builds of the service need long for 150 large answers.
const ANSWER_TIME: Duration = Duration::from_secs(15);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const LIST_MESSAGES: &str = "/teppan.conversation.v1.ConversationService/ListMessages";
const STORE_MESSAGE: &str = "/teppan.conversation.v1.ConversationService/StoreMessage";
const CLAIM: &str = "/teppan.conversation.v1.FollowUpService/ClaimDueFollowUps";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const STREAM: &str = "/teppan.booking.v1.BookingService/StreamBookingEvents";

/// A way to attack a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    UnreadAnswers,
    HalfSentProbes,
    LongPolls,
    CallsWithoutMessage,
    EventStreams,
    IdleConnections,
    IdleHttp,
    WebhookBodies,
}

/// The bounds that must hold during an attack.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub grown_mib: u64,
    /// Smallest share of the well-behaved client's calls that succeed.
    pub share_ok: f64,
    /// Smallest rate of its calls, relative to the rate before the attack.
    pub share_of_before: f64,
}

/// A running attack.
pub struct RunningAttack {
    pub since: Instant,
    /// Bytes that were sent, or would be if the service accepted them.
    pub offered_bytes: u64,
    clients: Vec<RawClient>,
    calls: Vec<(ResponseFuture, Option<SendStream<Bytes>>)>,
    unread: Vec<Response<RecvStream>>,
    sockets: Vec<TcpStream>,
}

impl Attack {
    pub const ALL: [Self; 8] = [
        Self::UnreadAnswers,
        Self::HalfSentProbes,
        Self::LongPolls,
        Self::CallsWithoutMessage,
        Self::EventStreams,
        Self::IdleConnections,
        Self::IdleHttp,
        Self::WebhookBodies,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::UnreadAnswers => "unread-answers",
            Self::HalfSentProbes => "half-sent-probes",
            Self::LongPolls => "long-polls",
            Self::CallsWithoutMessage => "calls-without-message",
            Self::EventStreams => "event-streams",
            Self::IdleConnections => "idle-connections",
            Self::IdleHttp => "idle-http",
            Self::WebhookBodies => "webhook-bodies",
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Self::UnreadAnswers => "150 calls of ListMessages for 2 MB each, whose answers are never read",
            Self::HalfSentProbes => "100 health checks of 4 MiB, without their last byte",
            Self::LongPolls => "1,024 calls of ClaimDueFollowUps that wait",
            Self::CallsWithoutMessage => "1,100 calls of StoreMessage that send no message",
            Self::EventStreams => "100 streams of booking events over one connection",
            Self::IdleConnections => "1,100 gRPC connections that send nothing, or only the preface",
            Self::IdleHttp => "1,100 HTTP connections that send nothing",
            Self::WebhookBodies => "200 bodies for the webhook of almost 1 MiB, not signed, without their last byte",
        }
    }

    pub fn service(self) -> Which {
        match self {
            Self::EventStreams | Self::WebhookBodies => Which::Booking,
            _ => Which::Conversation,
        }
    }

    pub fn workload(self) -> Workload {
        match self {
            Self::EventStreams => Workload::OpenStream,
            Self::IdleConnections => Workload::StoreMessageOverNewConnection,
            Self::IdleHttp | Self::WebhookBodies => Workload::RequestReadiness,
            _ => Workload::StoreMessage,
        }
    }

    pub fn bounds(self) -> Bounds {
        let grown_mib = match self {
            // The unread answers, which MAX_ANSWER_BYTES bounds, and the memory for making them.
            Self::UnreadAnswers => 160,
            _ => 64,
        };
        Bounds { grown_mib, share_ok: 0.97, share_of_before: 0.25 }
    }

    /// Starts the attack, without the parts that the service does not accept.
    pub async fn begin(self, stage: &Stage) -> RunningAttack {
        let mut running = RunningAttack::new();
        let grpc = stage.process.grpc;
        match self {
            Self::UnreadAnswers => {
                let list =
                    ListMessagesRequest { conversation_id: stage.chat.clone(), page_size: 100, ..Default::default() };
                for _ in 0..2 {
                    running.calls(grpc, UNREAD_WINDOW_BYTES, 75, LIST_MESSAGES, &list).await;
                }
                // The measurement starts after the answers are made, which is ordinary work.
                running.answered().await;
            }
            Self::HalfSentProbes => running.half_sent(grpc, 100).await,
            Self::LongPolls => {
                let claim = ClaimDueFollowUpsRequest {
                    claimant: "hostile".to_owned(),
                    batch_size: 1,
                    lease_seconds: 60,
                    wait_seconds: 60,
                    ..Default::default()
                };
                for _ in 0..16 {
                    running.calls(grpc, UNREAD_WINDOW_BYTES, 64, CLAIM, &claim).await;
                }
            }
            Self::CallsWithoutMessage => {
                for _ in 0..11 {
                    running.begun(grpc, 100, STORE_MESSAGE).await;
                }
            }
            Self::EventStreams => {
                let follow = StreamBookingEventsRequest { follow: true, ..Default::default() };
                running.calls(grpc, UNREAD_WINDOW_BYTES, 100, STREAM, &follow).await;
            }
            Self::IdleConnections => {
                running.open_idle(grpc, 550, b"").await;
                running.open_idle(grpc, 550, PREFACE).await;
            }
            Self::IdleHttp => running.open_idle(stage.process.http, 1100, b"").await,
            Self::WebhookBodies => {
                let (t, anything) = (Utc::now().timestamp(), "0".repeat(64));
                let head = format!(
                    "POST /webhooks/stripe HTTP/1.1\r\nHost: hostile\r\nContent-Length: 1048576\r\n\
                     Stripe-Signature: t={t},v1={anything}\r\n\r\n"
                );
                let request = [head.as_bytes(), &vec![b' '; 1_048_575]].concat();
                running.open_idle(stage.process.http, 200, &request).await;
            }
        }
        running
    }
}

impl RunningAttack {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            offered_bytes: 0,
            clients: Vec::new(),
            calls: Vec::new(),
            unread: Vec::new(),
            sockets: Vec::new(),
        }
    }

    /// Makes calls over one connection, and does not read their answers.
    async fn calls(&mut self, grpc: SocketAddr, window: u32, count: usize, method: &str, message: &impl Message) {
        let Ok(mut client) = RawClient::with_window(grpc, window).await else { return };
        for _ in 0..count {
            let Some(answer) = patiently(client.call(method, message)).await else { break };
            self.offered_bytes += framed(message).len() as u64;
            self.calls.push((answer, None));
        }
        self.clients.push(client);
    }

    /// Waits for the head of every answer, and does not read the rest.
    async fn answered(&mut self) {
        let heads = join_all(self.calls.drain(..).map(|(answer, _)| timeout(ANSWER_TIME, answer))).await;
        self.unread = heads.into_iter().filter_map(|head| head.ok()?.ok()).collect();
    }

    /// Begins calls over one connection, and does not send their messages.
    async fn begun(&mut self, grpc: SocketAddr, count: usize, method: &str) {
        let Ok(mut client) = RawClient::connect(grpc).await else { return };
        for _ in 0..count {
            let Some((answer, body)) = patiently(client.begin(method)).await else { break };
            self.calls.push((answer, Some(body)));
        }
        self.clients.push(client);
    }

    /// Makes health checks with large messages, and does not send the last byte.
    async fn half_sent(&mut self, grpc: SocketAddr, count: usize) {
        let head = [&[0][..], &LARGE_MESSAGE_BYTES.to_be_bytes()].concat();
        let almost_all = Bytes::from(vec![0; LARGE_MESSAGE_BYTES as usize - 1]);
        let Ok(mut client) = RawClient::connect(grpc).await else { return };
        for _ in 0..count {
            let Some((answer, mut body)) = patiently(client.begin(CHECK)).await else { break };
            let sent =
                body.send_data(head.clone().into(), false).and_then(|()| body.send_data(almost_all.clone(), false));
            if sent.is_ok() {
                self.offered_bytes += u64::from(LARGE_MESSAGE_BYTES);
            }
            self.calls.push((answer, Some(body)));
        }
        self.clients.push(client);
    }

    /// Opens connections that send only these bytes.
    async fn open_idle(&mut self, address: SocketAddr, count: usize, bytes: &[u8]) {
        for _ in 0..count {
            let sent = async {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(bytes).await?;
                Ok::<_, std::io::Error>(stream)
            };
            if let Ok(Ok(stream)) = timeout(PATIENCE, sent).await {
                self.offered_bytes += bytes.len() as u64;
                self.sockets.push(stream);
            }
        }
    }
}

async fn patiently<T>(sending: impl Future<Output = Result<T, RawError>>) -> Option<T> {
    timeout(PATIENCE, sending).await.ok()?.ok()
}
