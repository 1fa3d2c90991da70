//! `make replay`: plays a file of dialogues through both services as an orchestrator would, and reads everything back.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use clap::Parser;
use teppan_tests::{
    launch::{Shown, Which},
    tool::{Given, INTERRUPTED, Interrupt, Screen, Services, wait_until_serving},
};

use crate::{
    calls::{Caller, Meter, Method},
    connections::Connections,
    ids::RunId,
    lag::{Lags, VisibleResult, Work},
    plan::Plan,
    play::{Phase, Played},
    rate_limiter::RateLimiter,
};

mod calls;
mod concurrently;
mod connections;
mod dialogues;
mod ids;
mod lag;
mod plan;
mod play;
mod prepare;
mod progress;
mod rate_limiter;
mod reconcile;
mod report;

/// The exit code for a file that cannot be played, as command-line parsers use it.
const BAD_FILE: u8 = 2;

/// Plays a file of dialogues through both services, then reads everything back and compares.
///
/// Each turn is one StoreMessage, in order; each reservation is one CreateBooking at its turn. A venue is made for
/// every restaurant, with slots and seats for all its bookings. Dates move by whole weeks into the future, so that
/// weekdays stay the same. A date that cannot be read becomes the first date of the file, and a time that cannot be
/// read becomes 18:00. Times are rounded down to the quarter hour. Every call is safely repeated after UNAVAILABLE,
/// RESOURCE_EXHAUSTED with RetryInfo, DEADLINE_EXCEEDED and broken connections.
///
/// The first half of the dialogues is played as fast as answers come. The tool measures how long after its end the
/// background work is done. The second half is played at half that rate. The tool measures the lag from replies to
/// their background work beside the times of the calls.
///
/// Exit code 0 when everything is stored once and as it was sent, 1 when something is missing or different, 2 when the
/// file cannot be played, 130 after Ctrl-C.
#[derive(Parser)]
#[command(name = "replay", version)]
struct Cli {
    /// JSON lines: dialogue_id, turns[{role, text, emotion?}], reservation{restaurant, city, date,
    /// time, party_size}, reserved_at_turn
    file: PathBuf,
    /// Dialogues that are played concurrently
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    concurrency: u16,
    /// HTTP/2 connections to each service
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N")]
    connections: u16,
    /// Play only the first dialogues of the file
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    limit: Option<u32>,
    /// How long a call is repeated, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=3600), value_name = "SECONDS")]
    give_up_after_seconds: u64,
    /// A running booking-service; without it both services are started on free ports, over the private PostgreSQL under
    /// TEPPAN_HOME
    #[arg(long, requires = "conversation", value_name = "ADDR")]
    booking: Option<SocketAddr>,
    /// A running conversation-service
    #[arg(long, requires = "booking", value_name = "ADDR")]
    conversation: Option<SocketAddr>,
    /// Continue an interrupted run of the same file on the same day: completed calls are replayed
    #[arg(long, value_name = "ID")]
    run_id: Option<RunId>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let limit = cli.limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
    let dialogues = match dialogues::read(&cli.file, limit) {
        Ok(dialogues) => dialogues,
        Err(error) => {
            eprintln!("replay: {error}");
            return ExitCode::from(BAD_FILE);
        }
    };
    let plan = Plan::new(cli.run_id.unwrap_or_else(RunId::random), dialogues, Utc::now());
    report::plan(&plan);

    let interrupt = Interrupt::listen();
    let (addresses, services) = match connect(&cli).await {
        Ok(connected) => connected,
        Err(why) => {
            eprintln!("replay: {why}");
            return ExitCode::FAILURE;
        }
    };
    let caller = || Caller::new(Arc::new(Meter::default()), Duration::from_secs(cli.give_up_after_seconds));
    let connections = Connections::open(addresses.0, addresses.1, cli.connections);
    let run = Run {
        plan: Arc::new(plan),
        caller: caller(),
        burst: caller(),
        steady: caller(),
        connections,
        concurrency: cli.concurrency.into(),
    };
    let code = interrupt.unless_interrupted(run.play_and_reconcile()).await;
    let code = code.unwrap_or_else(|| {
        report::interrupted([run.burst.meter(), run.steady.meter()], &run.plan);
        ExitCode::from(INTERRUPTED)
    });
    if let Some(services) = services
        && !services.stop(&interrupt).await
    {
        eprintln!("replay: a service did not exit with code 0");
        return ExitCode::FAILURE;
    }
    code
}

/// The addresses of both services, and the services themselves if this tool has started them.
async fn connect(cli: &Cli) -> Result<((SocketAddr, SocketAddr), Option<Services>), String> {
    let describe = |error| format!("{error}");
    if let (Some(booking), Some(conversation)) = (cli.booking, cli.conversation) {
        wait_until_serving(Which::Booking.binary(), booking).await.map_err(describe)?;
        wait_until_serving(Which::Conversation.binary(), conversation).await.map_err(describe)?;
        println!("Using booking-service on {booking} and conversation-service on {conversation}.");
        return Ok(((booking, conversation), None));
    }
    println!("Starting both services and their PostgreSQL ...");
    // Not interrupted: services that were started must be stopped in order.
    let services = Services::start(&Given::default(), &Given::default(), Shown::Errors).await;
    let services = services.map_err(describe)?;
    let addresses = (services.booking.grpc, services.conversation.grpc);
    println!("Started booking-service on {} and conversation-service on {}.", addresses.0, addresses.1);
    Ok((addresses, Some(services)))
}

/// The plan, the clients and the measurements of one run.
struct Run {
    plan: Arc<Plan>,
    /// The calls before and after the dialogues.
    caller: Caller,
    /// The calls of the dialogues at full load, and at half load.
    burst: Caller,
    steady: Caller,
    connections: Connections,
    concurrency: usize,
}

impl Run {
    async fn play_and_reconcile(&self) -> ExitCode {
        let screen = Screen::detect();
        let venue_ids = match prepare::venues(self).await {
            Ok(venue_ids) => Arc::new(venue_ids),
            Err(failure) => {
                eprintln!("replay: the venues cannot be made: {failure}");
                return ExitCode::FAILURE;
            }
        };
        let mut played = self.burst(&venue_ids).await;
        played.extend(self.steady(&venue_ids).await);

        let started = Instant::now();
        let verdict = reconcile::all(self, &venue_ids, &played).await;
        report::read_back(self.caller.meter(), started.elapsed());
        report::verdict(screen, &verdict, &played);
        if verdict.is_clean() && played.iter().all(|played| played.failure.is_none()) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// Plays the first half as fast as answers come, and measures how long its background work takes afterwards.
    async fn burst(&self, venue_ids: &Arc<Vec<String>>) -> Vec<Played> {
        let phase = Arc::new(Phase {
            title: "Playing at full load",
            dialogues: 0..self.plan.dialogues.len().div_ceil(2),
            caller: self.burst.clone(),
            rate_limiter: RateLimiter::unlimited(),
            lags: None,
        });
        let started = Instant::now();
        let played = play::dialogues(self, venue_ids, &phase).await;
        let took = started.elapsed();
        report::written("At full load", self.burst.meter(), took);
        report::backlog(took, self.backlog_gone(&played).await);
        played
    }

    /// The time from now until all background work of the dialogues is done.
    async fn backlog_gone(&self, played: &[Played]) -> Duration {
        let since = Instant::now();
        for (index, played) in played.iter().enumerate() {
            let work = |sign| Work {
                clients: self.connections.of(index),
                conversation_id: self.plan.conversation(index),
                sign,
            };
            if let Some(sequence) = self.plan.last_scored(index) {
                work(VisibleResult::Aggregated { sequence }).done(since).await;
            }
            if played.booking_id.is_some() {
                work(VisibleResult::FollowUp).done(since).await;
            }
        }
        since.elapsed()
    }

    /// Plays the second half at half the rate of the first, and measures the lag of the background work.
    async fn steady(&self, venue_ids: &Arc<Vec<String>>) -> Vec<Played> {
        let peak = self.burst.meter().calls_per_second(&[Method::StoreMessage, Method::CreateBooking]);
        let lags = Lags::default();
        let phase = Arc::new(Phase {
            title: "Playing at half of that",
            dialogues: self.plan.dialogues.len().div_ceil(2)..self.plan.dialogues.len(),
            caller: self.steady.clone(),
            rate_limiter: RateLimiter::calls_per_second(peak / 2.0),
            lags: Some(lags.clone()),
        });
        let started = Instant::now();
        let played = play::dialogues(self, venue_ids, &phase).await;
        report::written("At half of that", self.steady.meter(), started.elapsed());
        let (aggregated, delivered) = lags.finish().await;
        report::lags(self.steady.meter(), &aggregated, &delivered);
        played
    }
}
