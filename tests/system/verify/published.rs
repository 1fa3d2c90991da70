use std::{fs, time::Duration};

use booking_service::settings::Settings;
use secrecy::SecretString;
use serde_json::Value;
use teppan_shared::{contract::events::v1::CheckpointWritten, keys::Keys, nats::NatsSettings, outbox::RelaySettings};
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
    let mut written: Vec<(CheckpointWritten, &Value)> = events
        .iter()
        .filter(|(subject, ..)| subject == "teppan.audit.checkpoint_written")
        .map(|(_, _, event)| (serde_json::from_value(event["data"].clone()).expect("the message"), event))
        .collect();
    written.sort_by_key(|(checkpoint, _)| checkpoint.number);
    let counts: Vec<_> = written.iter().map(|(it, _)| (it.number, it.event_count, it.booking_count)).collect();
    assert_eq!(counts, [(1, 1, 1), (2, 2, 2), (3, 3, 3)]);
    let (checkpoint, newest) = written.last().expect("the third");
    let stored: String =
        fixture.service.scalar("SELECT encode(digest, 'hex') FROM event_checkpoints WHERE number = 3").await;
    assert_eq!((&checkpoint.digest, checkpoint.created_at.is_some()), (&stored, true));
    assert_eq!(newest["type"], "teppan.audit.checkpoint_written.v1");
    assert_eq!(newest["subject"], "checkpoints/3");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("checkpoint.json");
    fs::write(&file, newest["data"].to_string()).expect("written");
    verify_with(&fixture, &file).await.assert_sound();
    fs::write(&file, newest["data"].to_string()).expect("written");
    fixture.sql(CUT_OFF).await;
    verify_with(&fixture, &file).await.only("CHECKPOINT_DIVERGED");
    second.service.stop().await;
}
