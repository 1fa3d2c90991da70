//! The worker that covers events with checkpoints.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::{join, join_all};
use teppan_tests::{
    fixtures,
    harness::{self, eventually},
};

use super::{checkpointed_venue, checkpointing, many::with_many, until_covered, verify};
use crate::{
    changes::{Change, VenueFixture, act},
    payments::cash,
};

/// Entries of the newest checkpoint and of all before it, events, and whether the numbers have no gaps.
const COUNTS: &str = "
    SELECT format('%s %s %s', (SELECT max(event_count) FROM event_checkpoints), (SELECT count(*) FROM booking_events),
                  (SELECT max(number) = count(*) FROM event_checkpoints))";

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_database_has_no_findings_under_load_with_two_replicas() {
    let fixture = checkpointed_venue().await;
    let (url, keys) = (&fixture.service.url, &fixture.service.keys);
    let replica = checkpointing(url, keys).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(fixture.book(1).await.booking_id);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("checkpoint.json");
    let file = file.to_str().expect("UTF-8");
    let (over, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let verifying = async {
        let mut runs = 0;
        while runs < 4 || (made.load(Ordering::Relaxed) < 40 && runs < 200) {
            verify(url, &["--checkpoint", file]).await.assert_sound();
            runs += 1;
        }
        over.store(true, Ordering::Relaxed);
    };
    let storm = join_all((0..6).map(|client| {
        let clients = if client % 2 == 0 { fixture.service.clients.clone() } else { replica.clients.clone() };
        let (ids, over, made, venue_id) = (&ids, &over, &made, &fixture.venue_id);
        async move {
            let mut round = 0_usize;
            while !over.load(Ordering::Relaxed) {
                let id = &ids[(client * 7 + round * 3) % ids.len()];
                let _ = act(&clients, Change::Move(["18:00", "18:30", "19:00"][(client + round) % 3]), id, "").await;
                let _ = clients.payments.clone().record_payment(cash(id, 100)).await;
                let created = clients.bookings.clone().create_booking(fixtures::booking(venue_id, 1)).await;
                created.expect("booked");
                made.fetch_add(1, Ordering::Relaxed);
                round += 1;
            }
        }
    }));
    join(storm, verifying).await;
    until_covered(url).await;
    let report = verify(url, &["--checkpoint", file]).await;
    report.assert_sound();
    assert!(report.summary.contains("Events that wait for a checkpoint: 0."), "{}", report.summary);
    let counts: String = fixture.service.scalar(COUNTS).await;
    let counts: Vec<_> = counts.split(' ').collect();
    assert_eq!((counts[0], counts[2]), (counts[1], "t"), "each event is covered once: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_race_for_the_next_checkpoint_cover_each_event_once() {
    let fixture = with_many(9_000).await;
    // Each replica runs the worker once at its start.
    let replicas = join_all((0..4).map(|_| checkpointing(&fixture.service.url, &fixture.service.keys))).await;
    until_covered(&fixture.service.url).await;
    assert_eq!(fixture.service.scalar::<String>(COUNTS).await, "9001 9001 t");
    let largest = "SELECT max(octet_length(entries)) / 40 FROM event_checkpoints";
    assert_eq!(fixture.service.scalar::<i32>(largest).await, 2_000);
    assert_eq!(replicas.len(), 4);
    verify(&fixture.service.url, &[]).await.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_stored_moves_no_position() {
    let fixture = checkpointed_venue().await;
    fixture
        .sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON event_checkpoints FOR EACH ROW EXECUTE FUNCTION fail();
             CREATE TABLE tries AS SELECT xact_rollback AS before FROM pg_stat_database WHERE datname = current_database()",
        )
        .await;
    fixture.book(2).await;
    let tried = "SELECT xact_rollback > before FROM pg_stat_database, tries WHERE datname = current_database()";
    eventually("a checkpoint was tried", async || fixture.service.scalar::<bool>(tried).await).await;
    let moved = "SELECT checkpoint_position::text || checkpoint_version FROM event_stream";
    assert_eq!(fixture.service.scalar::<String>(moved).await, "00");
    fixture.sql("DROP TRIGGER fail ON event_checkpoints").await;
    until_covered(&fixture.service.url).await;
    assert_eq!(fixture.service.scalar::<String>(COUNTS).await, "1 1 t");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_left_out_after_a_restore_into_a_cluster_with_lower_transaction_ids() {
    // This service runs its worker only at the start, when there are no events.
    let fixture = VenueFixture::without_deposit(20).await;
    let (url, keys) = (fixture.service.url.clone(), fixture.service.keys.clone());
    for _ in 0..3 {
        fixture.book(1).await;
    }
    let replica = checkpointing(&url, &keys).await;
    until_covered(&url).await;
    replica.service.stop().await;
    // Events that were not covered at the time of the backup.
    for _ in 0..2 {
        fixture.book(1).await;
    }
    fixture
        .sql(
            "UPDATE booking_events SET stream_position = (stream_position::text::bigint + 1000000000)::text::xid8;
             UPDATE event_stream SET checkpoint_position = (checkpoint_position::text::bigint + 1000000000)::text::xid8",
        )
        .await;
    fixture.sql("SELECT restart_event_stream()").await;
    verify(&url, &[]).await.assert_sound();
    fixture.book(1).await;
    let replica = checkpointing(&url, &keys).await;
    until_covered(&url).await;
    let report = verify(&url, &[]).await;
    report.assert_sound();
    assert!(report.summary.contains("Events that wait for a checkpoint: 0."), "{}", report.summary);
    // Events that were covered again count again.
    assert_eq!(fixture.service.scalar::<String>(COUNTS).await, "9 6 t");
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_are_findings_only_if_they_are_much_older_than_the_newest_event() {
    let fixture = VenueFixture::without_deposit(20).await;
    let url = fixture.service.url.clone();
    let old = fixture.book(1).await;
    // A database whose services have stopped: its newest event waits for ever.
    let report = verify(&url, &[]).await;
    report.assert_sound();
    assert!(report.summary.contains("Events that wait for a checkpoint: 1."), "{}", report.summary);
    harness::execute(
        &url,
        "UPDATE bookings SET created_at = created_at - interval '11 minutes', updated_at = updated_at - interval '11 minutes';
         UPDATE booking_events SET occurred_at = occurred_at - interval '11 minutes'",
    )
    .await;
    let anchored = |report: &super::Report| report.reasons().contains(&"EVENT_NOT_ANCHORED");
    assert!(!anchored(&verify(&url, &[]).await));
    fixture.book(1).await;
    let report = verify(&url, &[]).await;
    assert!(anchored(&report), "{:?}", report.findings);
    assert!(report.named(&old.booking_id).contains(&("EVENT_NOT_ANCHORED", 1)), "{:?}", report.findings);
}
