//! `make observe`, and one alert from the fault until Alertmanager shows it.

use std::{net::SocketAddr, process::Stdio};

use teppan_tests::{
    harness::eventually,
    launch::binary,
    monitoring::{Alert, alerts},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Command,
};

use super::is_set_up;
use crate::health::get;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_database_fires_an_alert_until_it_runs_again_and_ctrl_c_leaves_nothing_running() {
    if !is_set_up() {
        return;
    }
    let mut observe = Command::new(binary("observe"))
        .args(["--sooner", "60", "--interval", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary is built: cargo build --workspace --bins");
    let mut lines = BufReader::new(observe.stdout.take().expect("piped")).lines();
    let mut enter = observe.stdin.take().expect("piped");
    let mut printed = Vec::new();
    while !printed.last().is_some_and(|line: &String| line.contains("Ctrl-C")) {
        printed.push(lines.next_line().await.expect("readable").expect("the tool prints addresses"));
    }
    for url in printed.iter().flat_map(|line| line.split_whitespace()).filter_map(|word| word.strip_prefix("http://")) {
        let (address, path) = url.split_once('/').expect("an address and a path");
        let (code, _) = get(address.parse().expect("an address"), &format!("/{path}")).await;
        assert!(code < 400, "{url}: {code}");
    }
    let addresses: Vec<SocketAddr> = printed.iter().flat_map(|line| addresses(line)).collect();
    let alertmanager = printed.iter().find(|line| line.contains("Alertmanager:")).expect("it is shown");
    let alertmanager = addresses_of(alertmanager);

    enter.write_all(b"\n").await.expect("it reads");
    let mut fired: Vec<Alert> = Vec::new();
    eventually("both services' alerts fire", async || {
        fired = unavailable(alertmanager).await;
        fired.len() == 2
    })
    .await;
    for alert in &fired {
        assert_eq!((alert.label("severity"), alert.label("state")), ("page", "database_unavailable"));
        assert_eq!(alert.annotations["runbook_url"], "docs/operations.md#teppandatabaseunavailable");
        let summary = format!("{} cannot use its database: database_unavailable", alert.label("job"));
        assert_eq!(alert.annotations["summary"], summary.as_str());
        assert_eq!(alert.receivers.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["page"]);
    }

    enter.write_all(b"\n").await.expect("it reads");
    eventually("the alerts end", async || unavailable(alertmanager).await.is_empty()).await;

    let id = observe.id().expect("the process runs").to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.expect("kill runs").success());
    assert!(observe.wait().await.expect("the process ends").success(), "the exit code is 0");
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_err(), "a process still listens at {address}");
    }
}

async fn unavailable(alertmanager: SocketAddr) -> Vec<Alert> {
    let alerts = alerts(alertmanager).await.expect("Alertmanager answers");
    alerts.into_iter().filter(|alert| alert.name() == "TeppanDatabaseUnavailable").collect()
}

fn addresses_of(line: &str) -> SocketAddr {
    addresses(line).next().expect("an address")
}

/// The addresses in a line.
fn addresses(line: &str) -> impl Iterator<Item = SocketAddr> {
    line.split(|letter: char| letter.is_whitespace() || matches!(letter, '/' | ','))
        .filter_map(|word| word.parse().ok())
}
