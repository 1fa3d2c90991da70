//! `make observe`: both services under load, watched by Prometheus and Alertmanager.

use std::{io, num::NonZeroU32, process::ExitCode, thread, time::Duration};

use clap::Parser;
use futures::future;
use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::{
    launch::Shown,
    monitoring::{Guests, Pace, Stack, StackError},
    tool::{Interrupt, Screen, describe_status, say},
};
use tokio::sync::mpsc;
use tonic::Status;

/// Concurrent guests, and the pause of each between two journeys.
const GUESTS: usize = 4;
const REST: Duration = Duration::from_millis(500);
const RUSH_INTERVAL: Duration = Duration::from_secs(10);

/// Starts both services, Prometheus and Alertmanager on free ports of loopback, with the rules of deploy/prometheus,
/// and lets guests chat, book and pay until Ctrl-C.
///
/// Enter stops PostgreSQL, and Enter again starts it, to see which alerts fire. The data is in a temporary folder,
/// which is removed at the end. Exit code 0 after Ctrl-C, 1 when something does not start or ends by itself.
#[derive(Parser)]
#[command(name = "observe", version)]
struct Cli {
    /// Divisor of the durations in deploy/prometheus: with 60 a minute becomes a second
    #[arg(long, default_value = "1", value_name = "NUMBER")]
    sooner: NonZeroU32,
    /// Seconds between two scrapes
    #[arg(long, default_value = "2", value_name = "SECONDS")]
    interval: NonZeroU32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let interrupt = Interrupt::listen();
    let screen = Screen::detect();
    say(screen.dim("Starting PostgreSQL, NATS, both services, Prometheus and Alertmanager ..."));
    let pace = Pace { interval_s: cli.interval.get(), divisor: cli.sooner.get() };
    let mut stack = match Stack::start(pace, &[], "", Shown::Nothing).await {
        Ok(stack) => stack,
        Err(error) => return failed(&error),
    };
    introduce(screen, &stack).await;
    let outcome = interrupt.unless_interrupted(Box::pin(observe(&mut stack, screen))).await;
    say(format!("\n{}", screen.dim("Stopping everything ...")));
    let stopped = stack.stop().await;
    match outcome {
        Some(why) => {
            eprintln!("observe: {why}");
            ExitCode::FAILURE
        }
        None if stopped => {
            say("Stopped.");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("observe: a service did not exit with code 0");
            ExitCode::FAILURE
        }
    }
}

fn failed(error: &StackError) -> ExitCode {
    eprintln!("observe: {error}");
    ExitCode::FAILURE
}

async fn introduce(screen: Screen, stack: &Stack) {
    let (prometheus, alertmanager) = (&stack.prometheus, stack.alertmanager.address());
    say(format!("\n{}", screen.bold("Where to look:")));
    for (what, where_) in [
        ("Prometheus: queries", prometheus.page("graph").await),
        ("Prometheus: alerts", prometheus.page("alerts").await),
        ("Prometheus: targets", prometheus.page("targets").await),
        ("Alertmanager: alerts", format!("http://{alertmanager}/api/v2/alerts")),
        ("booking-service", format!("gRPC {}, http://{}/metrics", stack.booking.grpc, stack.booking.http)),
        (
            "conversation-service",
            format!("gRPC {}, http://{}/metrics", stack.conversation.grpc, stack.conversation.http),
        ),
    ] {
        say(format!("  {what:<20}  {}", screen.accent(where_)));
    }
    say("\nThe dashboards are in deploy/grafana: a Grafana of yours shows them with this Prometheus.");
    say("The alerts are explained in docs/operations.md.");
    say(screen.bold("\nEnter stops PostgreSQL, and Enter again starts it. Ctrl-C stops everything."));
}

/// Runs the guests until a service ends by itself, and returns the reason of the end.
async fn observe(stack: &mut Stack, screen: Screen) -> String {
    let guests = loop {
        match Guests::of(stack).await {
            Ok(guests) => break guests,
            Err(status) => say(format!("No venue yet: {}", describe_status(&status))),
        }
        tokio::time::sleep(REST).await;
    };
    let journeys = future::join_all((0..GUESTS).map(|_| again(REST, || guests.journey())));
    let load =
        future::join3(journeys, again(REST, || guests.send_follow_ups()), again(RUSH_INTERVAL, || guests.rush()));
    let ended = async {
        let (postgres, processes) =
            (&stack.postgres, future::select(Box::pin(stack.booking.ended()), Box::pin(stack.conversation.ended())));
        tokio::select! {
            _ = processes => "a service ended by itself".to_owned(),
            why = switch(postgres, screen) => why,
        }
    };
    tokio::select! {
        why = ended => why,
        _ = load => "the guests have ended".to_owned(),
    }
}

/// Repeats the work. Its calls fail while PostgreSQL is stopped, which the alerts then show.
async fn again<F: Future<Output = Result<(), Status>>>(rest: Duration, what: impl Fn() -> F) {
    loop {
        let _ = what().await;
        tokio::time::sleep(rest).await;
    }
}

/// Stops or starts PostgreSQL at each line of standard input. Never ends without lines.
async fn switch(postgres: &ThrowawayServer, screen: Screen) -> String {
    let mut lines = lines();
    let mut is_running = true;
    while lines.recv().await.is_some() {
        let outcome = if is_running { postgres.stop().await } else { postgres.restart().await };
        if let Err(error) = outcome {
            return format!("PostgreSQL cannot be stopped or started: {error}");
        }
        is_running = !is_running;
        say(screen.bold(if is_running { "PostgreSQL runs again." } else { "PostgreSQL is stopped." }));
    }
    future::pending().await
}

/// Sends a message for each line of standard input. Reading blocks, so it has its own thread, which ends with the
/// process.
fn lines() -> mpsc::UnboundedReceiver<()> {
    let (line, lines) = mpsc::unbounded_channel();
    thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|_| line.send(())));
    lines
}
