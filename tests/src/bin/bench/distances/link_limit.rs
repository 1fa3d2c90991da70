//! How many statements the link carries: `SELECT 1` through it beside what its distance alone would allow.
//!
//! A service with as many connections needs fewer, or its figures at that distance would be the link's.

use std::{net::SocketAddr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use teppan_shared::embedded::ThrowawayServer;

use super::{Plan, distance_ms, link};
use crate::{
    comparison::{Comparison, Subject},
    error::BenchError,
    measured::Measured,
    pgbench::Script,
    rounds::{Round, Rounds, Watch},
    sample::{Figures, to_f64},
};

pub const NAME: &str = "The link alone";
/// As many as a service has.
const CONNECTIONS: usize = 16;
const DATABASE: &str = "link";

pub async fn measure(plan: &Plan<'_>, server: &ThrowawayServer) -> Result<Vec<Comparison>, BenchError> {
    server.ensure_database(DATABASE).await?;
    let mut reports = Vec::new();
    for distance in plan.distances {
        let database = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let address = link::open(database, *distance).map_err(BenchError::file("a port of 127.0.0.1"))?;
        let direct = server.url(DATABASE);
        let linked = direct.expose_secret().replace(&format!("127.0.0.1:{}", server.port()), &address.to_string());
        let linked = SecretString::from(linked);
        let select = async |url: &SecretString| -> Result<Measured, BenchError> {
            let script = Script::new("SELECT 1", &[]);
            Ok(plan.pgbench.run(&script, url, CONNECTIONS, plan.timing).await?.figures().into())
        };
        let round = async |_: Round| {
            // Without a distance the limit is the server's.
            let ideal = if distance.is_zero() { select(&direct).await? } else { ideal(*distance) };
            Ok(vec![ideal, select(&linked).await?])
        };
        let ms = distance.as_millis();
        let name = format!("{NAME}, {CONNECTIONS} connections, SELECT 1, {ms} ms");
        let rounds = Rounds::make(&name, plan.rounds, &Watch::over(server), round).await?;
        let group = format!("{NAME}, {CONNECTIONS} connections");
        let subject = Subject { name, group, x: distance_ms(*distance) };
        if let Some(report) = Comparison::new(subject, &["ideal", "link"], Vec::new(), &rounds) {
            println!("{report}");
            reports.push(report);
        }
    }
    Ok(reports)
}

/// What the distance alone allows: each connection waits for one round trip at a time.
fn ideal(distance: Duration) -> Measured {
    let ms = distance_ms(distance);
    let per_second = to_f64(CONNECTIONS as u64) / distance.as_secs_f64();
    Figures { p50_ms: ms, p95_ms: ms, p99_ms: ms, per_second }.into()
}
