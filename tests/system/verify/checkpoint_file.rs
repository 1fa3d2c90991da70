use std::{fs, path::Path};

use serde_json::Value;

use super::{Report, checkpointed_venue, until_covered, verify};
use crate::{changes::VenueFixture, logs::log_of};

pub(super) async fn verify_with(fixture: &VenueFixture, file: &Path) -> Report {
    verify(&fixture.service.url, &["--checkpoint", file.to_str().expect("UTF-8")]).await
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).expect("the file")).expect("JSON")
}

/// Removes the newest checkpoint with its events and their bookings, and sets the position back.
pub(super) const CUT_OFF: &str = "
    CREATE TEMP TABLE cut AS
    SELECT e.* FROM booking_events e, (SELECT * FROM event_checkpoints ORDER BY number DESC LIMIT 1) AS c
    WHERE position(uuid_send(e.booking_id) IN c.entries) > 0;
    DELETE FROM event_checkpoints WHERE number = (SELECT max(number) FROM event_checkpoints);
    DELETE FROM outbox_messages;
    DELETE FROM booking_events WHERE booking_id IN (SELECT booking_id FROM cut);
    DELETE FROM bookings WHERE booking_id IN (SELECT booking_id FROM cut);
    UPDATE event_stream s
    SET checkpoint_position = e.stream_position, checkpoint_version = e.version, checkpoint_event_id = e.event_id
    FROM (SELECT * FROM booking_events ORDER BY stream_position DESC, version DESC, event_id DESC LIMIT 1) AS e;
    UPDATE slots SET reserved = (SELECT sum(party_size) FROM bookings) WHERE reserved > 0";

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_that_were_cut_off_with_their_events_are_named_by_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("checkpoint.json");
    let fixture = checkpointed_venue().await;
    let url = fixture.service.url.clone();
    for party_size in [2, 3] {
        fixture.book(party_size).await;
        until_covered(&url).await;
    }
    verify_with(&fixture, &file).await.assert_sound();
    let written = read(&file);
    let newest: i64 = fixture.service.scalar("SELECT max(number) FROM event_checkpoints").await;
    assert_eq!((&written["number"], &written["event_count"]), (&newest.into(), &2.into()), "{written}");

    fixture.sql(CUT_OFF).await;
    verify(&url, &[]).await.assert_sound();
    let report = verify_with(&fixture, &file).await;
    let finding = report.only("CHECKPOINT_DIVERGED");
    assert_eq!(
        (&finding["checkpoints"]["first"], report.fields("CHECKPOINT_DIVERGED")),
        (&newest.into(), vec!["number"])
    );
    // Others take the place of the checkpoint, and are recognised by their digest.
    for _ in 0..2 {
        fixture.book(1).await;
        until_covered(&url).await;
    }
    verify(&url, &[]).await.assert_sound();
    let report = verify_with(&fixture, &file).await;
    report.only("CHECKPOINT_DIVERGED");
    assert!(report.fields("CHECKPOINT_DIVERGED").contains(&"digest"), "{:?}", report.findings);
    assert_eq!(read(&file), written, "a file that has led to a finding is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_renewed_by_each_run_without_findings() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("checkpoint.json");
    let fixture = checkpointed_venue().await;
    let report = verify_with(&fixture, &file).await;
    report.assert_sound();
    assert!(report.summary.contains("there is no checkpoint yet") && !file.exists(), "{}", report.summary);
    for events in 1..=3 {
        fixture.book(1).await;
        until_covered(&fixture.service.url).await;
        verify_with(&fixture, &file).await.assert_sound();
        assert_eq!(read(&file)["event_count"], events);
    }
    // A finding of any kind keeps the file.
    let before = read(&file);
    fixture.sql("UPDATE bookings SET paid_cents = 1").await;
    fixture.book(1).await;
    until_covered(&fixture.service.url).await;
    assert_eq!(verify_with(&fixture, &file).await.code, Some(1));
    assert_eq!(read(&file), before);

    fs::write(&file, "not a checkpoint").expect("written");
    let report = verify_with(&fixture, &file).await;
    assert_eq!(report.code, Some(3), "{}", report.summary);
    assert!(report.summary.contains("does not contain a checkpoint"), "{}", report.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_from_which_the_file_can_be_written() {
    let fixture = checkpointed_venue().await;
    fixture.book(2).await;
    until_covered(&fixture.service.url).await;
    let line = "newest checkpoint of the events";
    let log = log_of(&fixture.service.url, &[], async |service| service.until_logged(line).await).await;
    let line: Value =
        log.lines().find(|it| it.contains(line)).and_then(|it| serde_json::from_str(it).ok()).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("checkpoint.json");
    fs::write(&file, line.to_string()).expect("written");
    verify_with(&fixture, &file).await.assert_sound();
    assert_eq!(read(&file)["event_count"], 1, "{line}");
}
