use std::{fs, time::Duration};

use booking_service::settings::Settings;
use secrecy::SecretString;
use serde_json::Value;
use teppan_shared::{keys::Keys, nats::NatsSettings, outbox::RelaySettings};
use teppan_tests::harness::{self, Booking, eventually};

use super::{
    checkpoint_file::{CUT_OFF, verify_with},
    until_covered,
};
use crate::{
    changes::VenueFixture,
    outbox::{
        nats::{STREAM, published},
        nats_server::NatsServer,
    },
};

/// A service that publishes, and covers new events with checkpoints after 20 ms.
async fn publishing(nats: &NatsServer, url: &SecretString, keys: &Keys) -> Booking {
    let change = |settings: &mut Settings| {
        settings.checkpoint_interval = Duration::from_millis(20);
        let url = SecretString::from(nats.url());
        settings.outbox.nats = Some(NatsSettings { url, stream: STREAM.to_owned(), ..Default::default() });
        settings.outbox.relay = RelaySettings { interval: Duration::from_millis(50), ..RelaySettings::default() };
    };
    Booking::changed(change, harness::settings(url.clone(), keys), url.clone(), keys.clone()).await.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_checkpoint_is_published_once_and_its_event_is_a_checkpoint_file() {
    let (nats, keys) = (NatsServer::start().await, Keys::random());
    let url = harness::database(&booking_service::app::DEFINITION).await;
    // Two replicas write checkpoints of the same events.
    let second = publishing(&nats, &url, &keys).await;
    let fixture = VenueFixture::over(publishing(&nats, &url, &keys).await, 2_000, 0).await;
    for party_size in [2, 3, 1] {
        fixture.book(party_size).await;
        until_covered(&url).await;
    }
    let waiting = "SELECT count(*) FROM outbox_messages WHERE destination = 'event-stream'";
    eventually("everything is published", async || fixture.service.scalar::<i64>(waiting).await == 0).await;

    let events = published(&nats.url()).await;
    let written: Vec<&Value> = events
        .iter()
        .filter(|(subject, ..)| subject == "teppan.audit.checkpoint_written")
        .map(|(_, _, event)| event)
        .collect();
    let numbers: Vec<_> = written.iter().map(|event| event["data"]["number"].as_str().expect("a number")).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    let newest = written.last().expect("the third");
    assert_eq!(newest["type"], "teppan.audit.checkpoint_written.v1");
    assert_eq!((&newest["subject"], &newest["data"]["event_count"]), (&"checkpoints".into(), &"3".into()));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("checkpoint.json");
    fs::write(&file, newest["data"].to_string()).expect("written");
    verify_with(&fixture, &file).await.assert_sound();
    fs::write(&file, newest["data"].to_string()).expect("written");
    fixture.sql(CUT_OFF).await;
    verify_with(&fixture, &file).await.only("CHECKPOINT_DIVERGED");
    second.service.stop().await;
}
