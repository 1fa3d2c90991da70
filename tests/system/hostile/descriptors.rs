//! A process that has reached its limit of open file descriptors.

use std::{
    fs,
    time::{Duration, Instant},
};

use teppan_shared::contract::booking::v1::ListVenuesRequest;
use teppan_tests::{clients::BookingClients, harness};
use tokio::net::TcpStream;

use crate::logs::log_of;

/// The processor time that a process has used, in clock ticks of 10 ms.
fn used(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').map(|field| field.parse().unwrap_or(0));
    fields.skip(11).take(2).sum()
}

fn open_descriptors(process: u32) -> u64 {
    fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs").count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_free_descriptors_uses_little_processor_time_and_recovers() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    log_of(&url, &[], async |service| {
        let is_served = async || {
            let mut client = BookingClients::new(service.grpc).schedule;
            client.list_venues(ListVenuesRequest::default()).await.is_ok()
        };
        harness::eventually("ready", is_served).await;

        let id = service.process;
        let pid = i32::try_from(id).expect("a process id");
        let limit = |new: Option<(u64, u64)>| {
            let (mut soft, mut hard) = (0, 0);
            rlimit::prlimit(pid, rlimit::Resource::NOFILE, new, Some((&mut soft, &mut hard)))
                .expect("the limit of a child process can be changed");
            (soft, hard)
        };
        let before = limit(None);
        limit(Some((open_descriptors(id) + 1, before.1)));
        // These connections wait in the kernel's queue, because the service cannot accept them.
        let waiting = futures::future::join_all((0..8).map(|_| TcpStream::connect(service.grpc))).await;
        service.until_logged("connections cannot be accepted; trying again with pauses").await;
        let (since, used_before) = (Instant::now(), used(id));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let busy = Duration::from_millis((used(id) - used_before) * 10).as_secs_f64() / since.elapsed().as_secs_f64();
        assert!(busy < 0.3, "{:.0} % of a core while no connection can be accepted", busy * 100.0);

        drop(waiting);
        limit(Some(before));
        harness::eventually("served again", is_served).await;
    })
    .await;
}
