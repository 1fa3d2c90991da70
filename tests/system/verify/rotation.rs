//! Checkpoints are signed again with a new key.

use std::time::Duration;

use booking_service::checkpoints::{
    Checkpoints,
    checkpoint::{Chain, Checkpoint},
    keys::CheckpointKeys,
    resign::Resigned,
};
use secrecy::ExposeSecret as _;
use sqlx::Row as _;
use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::{Database, DatabaseSettings},
};
use teppan_tests::harness;

use super::{checkpointed_venue, until_covered};
use crate::changes::VenueFixture;

/// How many of the stored checkpoints are authentic with these keys, and how many there are.
async fn authentic(fixture: &VenueFixture, keys: &CheckpointKeys) -> (usize, usize) {
    let rows = sqlx::query("SELECT * FROM event_checkpoints ORDER BY number");
    let rows = rows.fetch_all(&mut harness::connect(&fixture.service.url).await).await.expect("checkpoints");
    let mut chain = Chain::default();
    let is_authentic = |row: &sqlx::postgres::PgRow| {
        let checkpoint = Checkpoint {
            number: row.get("number"),
            entries: row.get("entries"),
            event_count: row.get("event_count"),
            booking_count: row.get("booking_count"),
            created_at: row.get("created_at"),
            digest: row.get("digest"),
            key_version: row.get("key_version"),
            mac: row.get("mac"),
        };
        chain.check(&checkpoint, keys).is_authentic
    };
    let authentic: Vec<bool> = rows.iter().map(is_authentic).collect();
    (authentic.iter().filter(|it| **it).count(), rows.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_signed_again_with_a_new_key_and_forged_ones_are_not() {
    let fixture = checkpointed_venue().await;
    for _ in 0..3 {
        fixture.book(1).await;
        until_covered(&fixture.service.url).await;
    }
    let settings = DatabaseSettings {
        name: "tests",
        url: fixture.service.url.clone(),
        max_connections: 2,
        min_connections: 0,
        acquire_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(30),
    };
    let database = Database::new(&settings, &[]).expect("a URL");
    let new = format!("2:{}=", "E".repeat(43)); // base64 of 32 bytes
    let of = |ring: &str| CheckpointKeys::of(&Keys::parse(ring).expect("a ring"));
    let both = of(&format!("{new},{}", fixture.service.keys.to_text().expose_secret()));
    let only_new = of(&new);
    let checkpoints = Checkpoints { database, clock: Clock::default(), keys: both.clone() };
    assert_eq!(authentic(&fixture, &only_new).await, (0, 3));
    fixture.sql("UPDATE event_checkpoints SET mac = sha256(mac) WHERE number = 2").await;
    let resigned = checkpoints.resign_checkpoints(0).await.expect("signed");
    assert_eq!(resigned, Resigned { done: 2, refused: 1, next: None });
    assert_eq!((authentic(&fixture, &only_new).await, authentic(&fixture, &both).await), ((2, 3), (2, 3)));
    let again = checkpoints.resign_checkpoints(0).await.expect("signed");
    assert_eq!(again, Resigned { done: 0, refused: 1, next: None });
}
