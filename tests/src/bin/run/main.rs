//! `make run`: runs both services, and prints lines to paste.

use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
};

use clap::Parser;
use teppan_tests::{
    launch::Shown,
    tool::{Given, Interrupt, Screen, Services, millis, say},
};

mod surroundings;
mod try_lines;

/// Starts both services, prints grpcurl lines to try, and keeps the services running until Ctrl-C.
///
/// The data is kept in a private PostgreSQL under TEPPAN_HOME (default: .teppan in this folder), also for the next
/// start. Warnings and errors of the services are shown. Ctrl-C, SIGTERM or closing the terminal stops both in order; a
/// second signal stops them without waiting for running calls. Exit code 0 after that, 1 when a service does not start
/// or ends by itself.
#[derive(Parser)]
#[command(name = "run", version)]
struct Cli {
    /// gRPC address of booking-service
    #[arg(long, env = "BOOKING_LISTEN_ADDR", default_value = "127.0.0.1:50051", value_name = "ADDR")]
    booking_listen_addr: SocketAddr,
    /// HTTP address of booking-service: /metrics, /livez, /readyz
    #[arg(long, env = "BOOKING_HTTP_ADDR", default_value = "127.0.0.1:9051", value_name = "ADDR")]
    booking_http_addr: SocketAddr,
    /// gRPC address of conversation-service
    #[arg(long, env = "CONVERSATION_LISTEN_ADDR", default_value = "127.0.0.1:50052", value_name = "ADDR")]
    conversation_listen_addr: SocketAddr,
    /// HTTP address of conversation-service: /metrics, /livez, /readyz
    #[arg(long, env = "CONVERSATION_HTTP_ADDR", default_value = "127.0.0.1:9052", value_name = "ADDR")]
    conversation_http_addr: SocketAddr,
}

impl Cli {
    /// The addresses, each with its setting.
    fn addresses(&self) -> [(SocketAddr, &'static str); 4] {
        [
            (self.booking_listen_addr, "BOOKING_LISTEN_ADDR"),
            (self.booking_http_addr, "BOOKING_HTTP_ADDR"),
            (self.conversation_listen_addr, "CONVERSATION_LISTEN_ADDR"),
            (self.conversation_http_addr, "CONVERSATION_HTTP_ADDR"),
        ]
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let taken = taken(&cli.addresses());
    if !taken.is_empty() {
        eprintln!("run: the services cannot listen at these addresses:");
        eprintln!("{taken}");
        eprintln!("End what listens there, or give another address: OPTIONS='--flag ADDR', or the variable.");
        return ExitCode::FAILURE;
    }
    let interrupt = Interrupt::listen();
    let screen = Screen::detect();
    say(screen.dim("Starting both services and their PostgreSQL ..."));
    if ["DATABASE_URL", "DATABASE_URL_FILE"].iter().any(|name| std::env::var_os(name).is_some()) {
        eprintln!(
            "run: DATABASE_URL is not used here: each service has a database of its own on a private PostgreSQL. To use \
             another one, start the services themselves."
        );
    }
    // On a developer's machine Stripe's test mode is the default.
    let livemode = std::env::var("STRIPE_LIVEMODE").unwrap_or_else(|_| "false".to_owned());
    let booking = Given {
        grpc: Some(cli.booking_listen_addr),
        http: Some(cli.booking_http_addr),
        settings: [("STRIPE_LIVEMODE".to_owned(), livemode)].into(),
    };
    let conversation = Given {
        grpc: Some(cli.conversation_listen_addr),
        http: Some(cli.conversation_http_addr),
        ..Default::default()
    };
    let mut services = match Services::start(&booking, &conversation, Shown::WarningsAndErrors).await {
        Ok(services) => services,
        Err(error) => {
            eprintln!("run: {error}");
            return ExitCode::FAILURE;
        }
    };
    if !interrupt.was_interrupted() {
        introduce(screen, &services);
    }
    let ended = interrupt.unless_interrupted(services.either_ended()).await;
    say(format!("\n{}", screen.dim("Stopping both services ...")));
    let stopped = services.stop(&interrupt).await;
    conclude(ended, stopped)
}

/// A line for each address that is in use, or that is not an address of this machine.
///
/// A service would report the same; here all addresses are reported at once, with the names of their settings.
fn taken(addresses: &[(SocketAddr, &'static str)]) -> String {
    let problem = |(address, setting): &(SocketAddr, &'static str)| {
        let error = TcpListener::bind(address).err()?;
        let flag = setting.to_lowercase().replace('_', "-");
        Some(format!("  {address}: {error}; change it with --{flag} or {setting}"))
    };
    addresses.iter().filter_map(problem).collect::<Vec<_>>().join("\n")
}

fn introduce(screen: Screen, services: &Services) {
    say(format!("\n{}", screen.bold(format!("Both services are ready, after {}.", millis(services.started_in)))));
    for (name, process) in [("booking-service", &services.booking), ("conversation-service", &services.conversation)] {
        say(format!("  {name:<20}  gRPC {}, HTTP http://{}/metrics", screen.accent(process.grpc), process.http));
    }
    say(format!("\n{}", screen.bold("Paste these into another terminal, in this order:")));
    for (comment, line) in try_lines::lines(services.booking.grpc, services.conversation.grpc) {
        say(format!("\n{}\n{line}", screen.dim(format!("# {comment}"))));
    }
    say(format!(
        "\n{}",
        screen.bold("Ctrl-C stops both; a second Ctrl-C stops them at once. Their warnings and errors follow.")
    ));
}

fn conclude(ended: Option<&'static str>, stopped: bool) -> ExitCode {
    match ended {
        Some(service) => {
            eprintln!("run: {service} ended by itself; its log is above");
            ExitCode::FAILURE
        }
        None if stopped => {
            say("Stopped.");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("run: a service did not exit with code 0");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_reported_with_its_setting() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let problems = taken(&[(free, "BOOKING_HTTP_ADDR"), (address, "BOOKING_LISTEN_ADDR")]);
        assert_eq!(problems.lines().count(), 1);
        assert!(problems.contains(&address.to_string()) && problems.contains("--booking-listen-addr"), "{problems}");
    }
}
