//! This build's services beside those of another build, with the database at several distances.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::NaiveDate;
use rand::Rng as _;
use teppan_shared::{
    contract::{
        booking::v1::{
            BookingStatus, CancelBookingRequest, RescheduleBookingRequest, booking_service_client::BookingServiceClient,
        },
        conversation::v1::conversation_service_client::ConversationServiceClient,
    },
    embedded::ThrowawayServer,
};
use teppan_tests::{
    fixtures,
    launch::{self, Which},
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    comparison::{self, Comparison, Subject},
    create_booking::{self, SLOTS},
    distances::{distance_ms, link},
    error::BenchError,
    load::{self, Clients},
    measured::{Cpu, Measured},
    rounds::{Round, Rounds, Watch},
    sample::{Sample, Timing},
    stage::{self, SLOTS_A_DAY, Served, date_of, start_of},
};

/// What is compared, and how.
pub struct Plan<'a> {
    /// The folder of the other build's binaries.
    pub folder: &'a Path,
    pub distances: Vec<Duration>,
    /// Whether a case of this name is to be measured.
    pub wants: &'a dyn Fn(&str) -> bool,
    pub rounds: usize,
    pub timing: Timing,
    pub connections: usize,
}

/// A call, or two that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    StoreMessage,
    CreateBooking,
    CreateAndCancel,
    Reschedule,
}

const CALLS: [Call; 4] = [Call::StoreMessage, Call::CreateBooking, Call::CreateAndCancel, Call::Reschedule];
const CLIENTS: [usize; 2] = [1, 32];
const CONVERSATIONS: usize = 10_000;
/// More than clients, so that each finds one.
const BOOKINGS_TO_MOVE: usize = 256;

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::StoreMessage => "StoreMessage",
            Self::CreateBooking => "CreateBooking",
            Self::CreateAndCancel => "CreateBooking + CancelBooking",
            Self::Reschedule => "RescheduleBooking",
        }
    }
}

/// Measures both builds in turns, on one PostgreSQL.
pub async fn measure(plan: &Plan<'_>, server: &ThrowawayServer) -> Result<Vec<Comparison>, BenchError> {
    println!("{}", comparison::heading());
    let mut reports = Vec::new();
    for (number, distance) in plan.distances.iter().enumerate() {
        let path = |which: Which| plan.folder.join(which.binary());
        let other = Build::start(server, *distance, &format!("other_{number}"), path).await?;
        let this = Build::start(server, *distance, &format!("this_{number}"), |it| launch::binary(it.binary())).await?;
        let measured = measure_at(plan, server, *distance, &other, &this).await;
        for build in [other, this] {
            build.booking.process.stop().await;
            build.conversation.process.stop().await;
        }
        reports.extend(measured?);
    }
    Ok(reports)
}

async fn measure_at(
    plan: &Plan<'_>,
    server: &ThrowawayServer,
    distance: Duration,
    other: &Build,
    this: &Build,
) -> Result<Vec<Comparison>, BenchError> {
    let mut reports = Vec::new();
    for call in CALLS {
        for count in CLIENTS {
            let s = if count == 1 { "" } else { "s" };
            let name = format!("{}, {count} client{s}, database {} ms away", call.name(), distance.as_millis());
            if !(plan.wants)(&name) {
                continue;
            }
            let clients = Clients { count, connections: plan.connections };
            let round = async |round: Round| {
                let builds = if round.place.is_multiple_of(2) { [other, this] } else { [this, other] };
                let mut measured = Vec::new();
                for build in builds {
                    measured.push(build.measure(call, clients, plan.timing, server).await?);
                }
                if !round.place.is_multiple_of(2) {
                    measured.reverse();
                }
                Ok(measured)
            };
            let rounds = Rounds::make(&name, plan.rounds, &Watch::over(server), round).await?;
            let subject =
                Subject { name, group: format!("{}, {count} client{s}", call.name()), x: distance_ms(distance) };
            if let Some(report) = Comparison::new(subject, &["other build", "this build"], Vec::new(), &rounds) {
                println!("{report}");
                reports.push(report);
            }
        }
    }
    Ok(reports)
}

/// The services of one build, each with a database of its own.
struct Build {
    booking: Served,
    conversation: Served,
    venue_id: String,
    first_date: NaiveDate,
    to_move: Arc<Mutex<VecDeque<String>>>,
}

impl Build {
    async fn start(
        server: &ThrowawayServer,
        distance: Duration,
        prefix: &str,
        path: impl Fn(Which) -> PathBuf,
    ) -> Result<Self, BenchError> {
        let start = async |which, database: &str| {
            let through = if distance.is_zero() {
                None
            } else {
                let database = SocketAddr::from(([127, 0, 0, 1], server.port()));
                Some(link::open(database, distance).map_err(BenchError::file("a port of 127.0.0.1"))?)
            };
            Served::start_program(which, path(which), server, database, through).await
        };
        let names = ["booking", "conversation"].map(|service| format!("{prefix}_{service}"));
        let booking = start(Which::Booking, &names[0]).await?;
        let conversation = start(Which::Conversation, &names[1]).await?;
        let first_date = fixtures::date();
        let mut clients = teppan_tests::clients::BookingClients::new(booking.process.grpc);
        let venue_id = stage::venue(&mut clients, first_date).await?;
        let mut to_move = VecDeque::new();
        for slot in 0..BOOKINGS_TO_MOVE {
            let request = create_booking::request(&venue_id, first_date, slot);
            let booking = clients.bookings.create_booking(request).await?.into_inner().booking;
            to_move.push_back(booking.unwrap_or_default().booking_id);
        }
        Ok(Self { booking, conversation, venue_id, first_date, to_move: Arc::new(Mutex::new(to_move)) })
    }

    async fn measure(
        &self,
        call: Call,
        clients: Clients,
        timing: Timing,
        server: &ThrowawayServer,
    ) -> Result<Measured, BenchError> {
        let service = if call == Call::StoreMessage { &self.conversation } else { &self.booking };
        service.settle().await?;
        let before = Cpu::now(service, server);
        let sample = self.load(call, service.process.grpc, clients, timing).await?;
        let cpu = before.zip(Cpu::now(service, server)).map(|(before, after)| before.until(&after, sample.calls));
        Ok(Measured { cpu, ..sample.figures().into() })
    }

    async fn load(
        &self,
        call: Call,
        address: SocketAddr,
        clients: Clients,
        timing: Timing,
    ) -> Result<Sample, BenchError> {
        let (venue, first_date) = (self.venue_id.clone(), self.first_date);
        let to_move = Arc::clone(&self.to_move);
        match call {
            Call::StoreMessage => load::run(address, clients, timing, store_message).await,
            Call::CreateBooking => {
                load::run(address, clients, timing, move |channel| {
                    let venue = venue.clone();
                    async move { create(&venue, first_date, channel).await.map(|_| ()) }
                })
                .await
            }
            Call::CreateAndCancel => {
                load::run(address, clients, timing, move |channel| {
                    let venue = venue.clone();
                    async move { create_and_cancel(&venue, first_date, channel).await }
                })
                .await
            }
            Call::Reschedule => {
                load::run(address, clients, timing, move |channel| {
                    reschedule(Arc::clone(&to_move), first_date, channel)
                })
                .await
            }
        }
    }
}

async fn store_message(channel: Channel) -> Result<(), BenchError> {
    let conversation = rand::rng().random_range(0..CONVERSATIONS);
    let mut request = fixtures::message(&format!("chat-{conversation}"), "Could we get a table for four on Saturday?");
    request.message_id = Uuid::now_v7().to_string();
    ConversationServiceClient::new(channel).store_message(request).await?;
    Ok(())
}

async fn create(venue_id: &str, first_date: NaiveDate, channel: Channel) -> Result<String, BenchError> {
    let slot = rand::rng().random_range(0..SLOTS);
    let request = create_booking::request(venue_id, first_date, slot);
    let created = BookingServiceClient::new(channel).create_booking(request).await?.into_inner();
    Ok(created.booking.unwrap_or_default().booking_id)
}

async fn create_and_cancel(venue_id: &str, first_date: NaiveDate, channel: Channel) -> Result<(), BenchError> {
    let booking_id = create(venue_id, first_date, channel.clone()).await?;
    let cancel = CancelBookingRequest { booking_id, ..Default::default() };
    let cancelled = BookingServiceClient::new(channel).cancel_booking(cancel).await?.into_inner().booking;
    let is_cancelled = cancelled.unwrap_or_default().status() == BookingStatus::Cancelled;
    BenchError::unless_all(1, usize::from(is_cancelled))
}

/// Moves a booking that no other client moves at the time to any slot.
async fn reschedule(
    to_move: Arc<Mutex<VecDeque<String>>>,
    first_date: NaiveDate,
    channel: Channel,
) -> Result<(), BenchError> {
    let free = || to_move.lock().unwrap_or_else(PoisonError::into_inner);
    let booking_id = free().pop_front().ok_or(BenchError::Incomplete { expected: 1, found: 0 })?;
    let slot = rand::rng().random_range(0..SLOTS);
    let request = RescheduleBookingRequest {
        booking_id: booking_id.clone(),
        date: date_of(first_date, slot).to_string(),
        start_time: start_of(slot % SLOTS_A_DAY),
        ..Default::default()
    };
    let moved = BookingServiceClient::new(channel).reschedule_booking(request).await;
    free().push_back(booking_id);
    moved?;
    Ok(())
}
