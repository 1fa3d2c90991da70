//! Makes a fault happen, and ends it.

use std::time::Duration;

use futures::future::join_all;
use sqlx::PgConnection;
use teppan_tests::{
    nats_server::NatsServer,
    proxy::Proxy,
    signal::{children, signal},
};
use tokio::time::{sleep, timeout};

use crate::{
    plan::{Fault, Kind},
    world::{CLOCK_AHEAD_SECONDS, Database, World},
};

/// How far the clock of one replica is set forward or back.
pub const CLOCK_STEP: Duration = Duration::from_mins(5);
const RESETS: usize = 5;
const LOST_ANSWERS: usize = 12;
const REPEATS_EVERY: Duration = Duration::from_millis(150);
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(100);
/// More than any server of a run allows.
const CONNECTIONS_MAX: usize = 300;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A hanging primary is replaced when its lease ends, after 20 s.
const FAILOVER_MAX: Duration = Duration::from_mins(1);
/// Every statement that writes.
const WRITES: &str = "INSERT INTO";

/// Makes a fault happen, waits for its duration, and ends it.
///
/// # Errors
/// What did not go as it must: a process that exits with an error, a server that does not come back.
pub async fn inject(world: &mut World, fault: Fault) -> Result<(), String> {
    let Fault { kind, lasts, replica, variant, .. } = fault;
    // Of booking-service, and of conversation-service.
    let pair = [replica, 2 + replica];
    match kind {
        Kind::KillBooking | Kind::KillConversation => {
            let victim = &mut world.replicas[pair[usize::from(kind == Kind::KillConversation)]];
            victim.kill().await;
            sleep(lasts).await;
            victim.start_again().await;
        }
        Kind::PauseBooking | Kind::PauseConversation => {
            let victim = &world.replicas[pair[usize::from(kind == Kind::PauseConversation)]];
            victim.signal("STOP").map_err(text)?;
            sleep(lasts).await;
            victim.signal("CONT").map_err(text)?;
        }
        Kind::RollingRestart => {
            for n in 0..world.replicas.len() {
                restart(world, n).await?;
                world.until_serving().await.map_err(text)?;
            }
        }
        Kind::Gathering => {
            for n in pair {
                world.replicas[n].set("GATHER_MAX_CALLS", if variant { "1" } else { "32" });
                restart(world, n).await?;
            }
            sleep(lasts).await;
        }
        Kind::ClockStep => {
            let step = CLOCK_STEP.as_secs().cast_signed();
            let ahead = if variant { CLOCK_AHEAD_SECONDS + step } else { CLOCK_AHEAD_SECONDS - step };
            set_clock(world, replica, ahead).await?;
            world.until_serving().await.map_err(text)?;
            sleep(lasts).await;
            set_clock(world, replica, CLOCK_AHEAD_SECONDS).await?;
        }
        Kind::Nats => {
            let Some(nats) = world.nats.take() else { return Ok(()) };
            let left = nats.kill().await;
            sleep(lasts).await;
            world.nats = Some(NatsServer::again(left).await);
        }
        Kind::Cut | Kind::Stall | Kind::Slow | Kind::HalfOpen | Kind::Reset | Kind::LostAnswer => {
            // The connections of one replica of each service, or all.
            let all = world.proxies.iter().enumerate();
            let proxies: Vec<_> = all.filter(|(n, _)| variant || pair.contains(n)).map(|(_, proxy)| proxy).collect();
            impair(kind, &proxies, lasts).await?;
        }
        Kind::CrashPostgres
        | Kind::PausePostgres
        | Kind::Connections
        | Kind::ReadOnly
        | Kind::DiskFull
        | Kind::KillPrimary
        | Kind::FreezePrimary => of_the_database(kind, world, lasts).await?,
    }
    Ok(())
}

async fn restart(world: &mut World, replica: usize) -> Result<(), String> {
    if world.replicas[replica].restart().await {
        return Ok(());
    }
    Err(format!("replica {replica} did not exit with code 0 after SIGTERM"))
}

async fn set_clock(world: &mut World, replica: usize, ahead_seconds: i64) -> Result<(), String> {
    world.replicas[replica].set("CLOCK_AHEAD_SECONDS", &ahead_seconds.to_string());
    restart(world, replica).await
}

async fn impair(kind: Kind, proxies: &[&Proxy], lasts: Duration) -> Result<(), String> {
    match kind {
        Kind::Reset => {
            for _ in 0..RESETS {
                for proxy in proxies {
                    proxy.reset_connections();
                }
                sleep(REPEATS_EVERY).await;
            }
            return Ok(());
        }
        Kind::LostAnswer => {
            for _ in 0..LOST_ANSWERS {
                for proxy in proxies {
                    proxy.lose_answer_to(WRITES);
                }
                sleep(REPEATS_EVERY).await;
            }
            return Ok(());
        }
        Kind::Cut => {
            for refused in join_all(proxies.iter().map(|proxy| proxy.refuse())).await {
                refused.map_err(text)?;
            }
        }
        Kind::Stall => proxies.iter().for_each(|proxy| proxy.stall()),
        Kind::HalfOpen => proxies.iter().for_each(|proxy| proxy.drop_existing()),
        _ => proxies.iter().for_each(|proxy| proxy.set_round_trip_time(SLOW_ROUND_TRIP)),
    }
    sleep(lasts).await;
    for proxy in proxies {
        proxy.set_round_trip_time(Duration::ZERO);
        proxy.restore();
    }
    Ok(())
}

async fn of_the_database(kind: Kind, world: &World, lasts: Duration) -> Result<(), String> {
    match (&world.database, kind) {
        (Database::Server { server, .. }, Kind::CrashPostgres) => {
            server.crash().await.map_err(text)?;
            sleep(lasts).await;
            server.restart().await.map_err(text)?;
        }
        (Database::Server { server, .. }, Kind::PausePostgres) => {
            let postmaster = server.pid().ok_or("PostgreSQL runs")?;
            // The postmaster first: a stopped one forks no new children.
            signal("STOP", &[postmaster]).map_err(text)?;
            let all = [vec![postmaster], children(postmaster)].concat();
            signal("STOP", &all).map_err(text)?;
            sleep(lasts).await;
            signal("CONT", &all).map_err(text)?;
        }
        (Database::Server { server, disk: Some(disk) }, Kind::DiskFull) => {
            disk.fill();
            sleep(lasts).await;
            disk.free_space();
            // It stops itself when it cannot write its log.
            sleep(lasts).await;
            server.restart().await.map_err(text)?;
        }
        (database, Kind::Connections) => {
            let mut taken: Vec<PgConnection> = Vec::new();
            while taken.len() < CONNECTIONS_MAX {
                match timeout(CONNECT_TIMEOUT, database.connect()).await {
                    Ok(Ok(connection)) => taken.push(connection),
                    _ => break,
                }
            }
            // The services have to ask for theirs again.
            world.proxies.iter().for_each(Proxy::close_connections);
            sleep(lasts).await;
        }
        (database, Kind::ReadOnly) => {
            set_read_only(database, "on").await.map_err(text)?;
            sleep(lasts).await;
            set_read_only(database, "off").await.map_err(text)?;
        }
        (Database::Cluster(cluster), Kind::KillPrimary | Kind::FreezePrimary) => {
            let primary = cluster.primary().await.ok_or("the cluster has a primary")?;
            if kind == Kind::KillPrimary {
                primary.kill_server().map_err(text)?;
            } else {
                primary.freeze().map_err(text)?;
            }
            sleep(lasts).await;
            let written = async {
                while !cluster.can_be_written_to().await {
                    sleep(REPEATS_EVERY).await;
                }
            };
            let promoted = timeout(FAILOVER_MAX, written).await;
            if kind == Kind::FreezePrimary {
                primary.thaw().map_err(text)?;
            }
            promoted.map_err(|_| "the cluster has no primary that can be written to".to_owned())?;
            cluster.settled().await;
        }
        _ => return Err(format!("{} needs another database", kind.name())),
    }
    Ok(())
}

async fn set_read_only(database: &Database, value: &str) -> Result<(), sqlx::Error> {
    let mut connection = database.connect().await?;
    // Each on its own: a transaction cannot change the server's settings.
    let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
    for statement in ["SET default_transaction_read_only = off", &set, "SELECT pg_reload_conf()"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
    }
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
