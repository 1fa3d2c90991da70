//! `make run`: both services stay up, with lines to paste.

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

/// Starts both services, prints grpcurl lines to try, and keeps the services up until Ctrl-C.
///
/// The data is kept in a private PostgreSQL under TEPPAN_HOME (.teppan here when it is unset) and
/// found again at the next start. Warnings and errors of the services are shown. Ctrl-C, SIGTERM or
/// closing the terminal stops both in order; once more, without waiting for running calls. Exit code
/// 0 after that, 1 when a service does not start or ends by itself.
#[derive(Parser)]
#[command(name = "run", version)]
struct Cli {
    /// Where booking-service serves gRPC
    #[arg(long, env = "BOOKING_LISTEN_ADDR", default_value = "127.0.0.1:50051", value_name = "ADDR")]
    booking_listen_addr: SocketAddr,
    /// Where booking-service serves HTTP: /metrics, /livez, /readyz
    #[arg(long, env = "BOOKING_HTTP_ADDR", default_value = "127.0.0.1:9051", value_name = "ADDR")]
    booking_http_addr: SocketAddr,
    /// Where conversation-service serves gRPC
    #[arg(long, env = "CONVERSATION_LISTEN_ADDR", default_value = "127.0.0.1:50052", value_name = "ADDR")]
    conversation_listen_addr: SocketAddr,
    /// Where conversation-service serves HTTP: /metrics, /livez, /readyz
    #[arg(long, env = "CONVERSATION_HTTP_ADDR", default_value = "127.0.0.1:9052", value_name = "ADDR")]
    conversation_http_addr: SocketAddr,
}

impl Cli {
    /// The addresses, with the setting that changes each.
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
        eprintln!("run: the services cannot listen where they should:");
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
    // What is tried out on this machine is tried with Stripe's test mode, unless somebody says otherwise.
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
    if !interrupt.was_told() {
        introduce(screen, &services);
    }
    let ended = interrupt.unless_told(services.either_ended()).await;
    say(format!("\n{}", screen.dim("Stopping both services ...")));
    let stopped = services.stop(&interrupt).await;
    conclude(ended, stopped)
}

/// A line for each address at which something listens already, or that is not this machine's.
///
/// A service would say so too; here all are told at once, with the name of the setting.
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
    say(format!("\n{}", screen.bold("Ctrl-C stops both; twice, at once. Their warnings and errors follow.")));
}

fn conclude(ended: Option<&'static str>, stopped: bool) -> ExitCode {
    match ended {
        Some(service) => {
            eprintln!("run: {service} ended by itself; what it said is above");
            ExitCode::FAILURE
        }
        None if stopped => {
            say("Stopped.");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("run: a service did not stop in order");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_the_setting_that_changes_it() {
        let somebody = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = somebody.local_addr().expect("it has an address");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let told = taken(&[(free, "BOOKING_HTTP_ADDR"), (address, "BOOKING_LISTEN_ADDR")]);
        assert_eq!(told.lines().count(), 1);
        assert!(told.contains(&address.to_string()) && told.contains("--booking-listen-addr"), "{told}");
    }
}
