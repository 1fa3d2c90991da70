//! The load generator: clients that each wait for a reply before they call again.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use teppan_tests::clients;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    error::BenchError,
    sample::{Sample, Timing},
};

/// How many clients call, and over how many HTTP/2 connections.
#[derive(Debug, Clone, Copy)]
pub struct Clients {
    pub count: usize,
    pub connections: usize,
}

/// How often a client that is refused calls again: a service on a busy machine may be short of connections for a while.
const ATTEMPTS_MAX: usize = 10;

/// Calls a service until the time is over. A client that is refused waits as the refusal says, and calls again; its
/// latency counts from the first attempt. The first call that fails in another way ends it.
pub async fn run<F, R>(address: SocketAddr, clients: Clients, timing: Timing, call: F) -> Result<Sample, BenchError>
where
    F: Fn(Channel) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), BenchError>> + Send + 'static,
{
    let connections = clients.connections.min(clients.count);
    let channels: Vec<Channel> = (0..connections).map(|_| clients::channel(address)).collect();
    let started = Instant::now();
    let mut running = JoinSet::new();
    for channel in channels.iter().cycle().take(clients.count) {
        running.spawn(client(channel.clone(), started, timing, call.clone()));
    }
    let mut all = Sample::new(timing);
    while let Some(sample) = running.join_next().await {
        all.merge(&sample??);
    }
    Ok(all)
}

async fn client<F, R>(channel: Channel, started: Instant, timing: Timing, call: F) -> Result<Sample, BenchError>
where
    F: Fn(Channel) -> R,
    R: Future<Output = Result<(), BenchError>>,
{
    let mut sample = Sample::new(timing);
    loop {
        let called: Duration = started.elapsed();
        if called >= timing.warm_up + timing.counted {
            return Ok(sample);
        }
        succeed(&channel, &call).await?;
        let ended = started.elapsed();
        sample.add(ended, ended.saturating_sub(called), timing);
    }
}

async fn succeed<F, R>(channel: &Channel, call: &F) -> Result<(), BenchError>
where
    F: Fn(Channel) -> R,
    R: Future<Output = Result<(), BenchError>>,
{
    for _ in 1..ATTEMPTS_MAX {
        let Err(error) = call(channel.clone()).await else { return Ok(()) };
        let Some(delay) = error.retry_delay() else { return Err(error) };
        tokio::time::sleep(delay).await;
    }
    call(channel.clone()).await
}
