//! The load: calls in a closed loop and at a fixed rate, and their outcomes.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use chrono::{Days, NaiveDate};
use hdrhistogram::Histogram;
use rand::Rng as _;
use teppan_shared::contract::{
    booking::v1::booking_service_client::BookingServiceClient,
    conversation::v1::conversation_service_client::ConversationServiceClient,
};
use teppan_tests::{clients, fixtures};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{CallName, stage::Stage};

/// Each connection is a client of its own for the service.
const CONNECTIONS: usize = 64;
/// Calls of the open loop begin in groups this often.
const TICK: Duration = Duration::from_millis(2);
const CHATS: usize = 1000;
/// Days over which bookings are spread.
pub const DAYS: u64 = 60;

/// The call that is made, and its deadline.
#[derive(Clone)]
pub struct Call {
    name: CallName,
    venue_id: String,
    deadline: Duration,
    first_date: NaiveDate,
}

/// Connections to the service, used in turn.
pub struct Connections(Vec<Channel>, AtomicUsize);

/// The outcomes of the calls.
pub struct Load {
    pub span: Duration,
    pub offered: u64,
    pub ok: u64,
    /// Calls refused with RetryInfo.
    pub refused: u64,
    /// Calls whose deadline passed.
    pub late: u64,
    /// Calls that failed in another way, and the last failure.
    pub failed: u64,
    pub failure: Option<String>,
    /// Times in microseconds.
    pub ok_times: Histogram<u64>,
    pub refusal_times: Histogram<u64>,
}

impl Load {
    fn new(span: Duration) -> Self {
        let times = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
        Self {
            span,
            offered: 0,
            ok: 0,
            refused: 0,
            late: 0,
            failed: 0,
            failure: None,
            ok_times: times.clone(),
            refusal_times: times,
        }
    }

    fn add(&mut self, took: Duration, deadline: Duration, answer: Result<(), Status>) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.offered += 1;
        match answer {
            Ok(()) if took <= deadline => {
                self.ok += 1;
                self.ok_times.saturating_record(micros);
            }
            Ok(()) => self.late += 1,
            Err(status) if status.get_details_retry_info().is_some() => {
                self.refused += 1;
                self.refusal_times.saturating_record(micros);
            }
            // The client's own timeout has the code CANCELLED.
            Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => self.late += 1,
            Err(status) => {
                self.failed += 1;
                self.failure = Some(format!("{:?}: {}", status.code(), status.message()));
            }
        }
    }
}

impl Connections {
    pub fn open(address: SocketAddr) -> Self {
        Self((0..CONNECTIONS).map(|_| clients::channel(address)).collect(), AtomicUsize::new(0))
    }

    fn next(&self) -> Channel {
        self.0[self.1.fetch_add(1, Relaxed) % self.0.len()].clone()
    }
}

impl Call {
    pub fn new(stage: &Stage, name: CallName, deadline: Duration) -> Self {
        Self { name, venue_id: stage.venue_id.clone(), deadline, first_date: fixtures::date() }
    }

    async fn make(&self, channel: Channel) -> (Duration, Result<(), Status>) {
        let since = Instant::now();
        let answer = match self.name {
            CallName::StoreMessage => {
                let chat = format!("overload-{}", rand::rng().random_range(0..CHATS));
                let request = self.in_time(fixtures::message(&chat, "Is there a table by the window tonight?"));
                ConversationServiceClient::new(channel).store_message(request).await.map(|_| ())
            }
            CallName::CreateBooking => {
                let mut request = fixtures::booking(&self.venue_id, 1);
                let day = Days::new(rand::rng().random_range(0..DAYS));
                request.date = (self.first_date + day).to_string();
                BookingServiceClient::new(channel).create_booking(self.in_time(request)).await.map(|_| ())
            }
        };
        (since.elapsed(), answer)
    }

    fn in_time<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request
    }
}

/// Clients that each wait for the answer before the next call.
pub async fn closed(call: &Call, connections: &Connections, clients: usize, span: Duration) -> Load {
    let until = Instant::now() + span;
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (call, channel) = (call.clone(), connections.next());
        running.spawn(async move {
            let mut answers = Vec::new();
            while Instant::now() < until {
                answers.push(call.make(channel.clone()).await);
            }
            answers
        });
    }
    let mut load = Load::new(span);
    while let Some(answers) = running.join_next().await {
        for (took, answer) in answers.expect("a client does not panic") {
            load.add(took, call.deadline, answer);
        }
    }
    load
}

/// Calls that begin at this rate, whether or not earlier ones have ended.
pub async fn open(call: &Call, connections: &Connections, per_second: f64, span: Duration) -> Load {
    let mut load = Load::new(span);
    let (mut running, mut ticks) = (JoinSet::new(), interval(TICK));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut due, since) = (0.0, Instant::now());
    while since.elapsed() < span {
        ticks.tick().await;
        due += per_second * TICK.as_secs_f64();
        while due >= 1.0 {
            due -= 1.0;
            let (call, channel) = (call.clone(), connections.next());
            running.spawn(async move { call.make(channel).await });
        }
        while let Some(ended) = running.try_join_next() {
            let (took, answer) = ended.expect("a call does not panic");
            load.add(took, call.deadline, answer);
        }
    }
    while let Some(ended) = running.join_next().await {
        let (took, answer) = ended.expect("a call does not panic");
        load.add(took, call.deadline, answer);
    }
    load
}
