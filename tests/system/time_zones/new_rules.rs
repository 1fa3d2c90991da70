//! A process with newer time zone rules starts on an existing database. Slots and bookings keep the local times that
//! customers were promised, and their instants change.

use std::{collections::HashMap, fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::types::Json;
use teppan_shared::wire::Timestamp;
use teppan_shared::{
    contract::booking::v1::{
        GetBookingRequest, ListWaitlistRequest, RescheduleBookingRequest, StreamBookingEventsRequest,
        UpdateVenueRequest, Venue, booking_event::Data,
    },
    time_zone::Rules,
};
use teppan_tests::{
    fixtures,
    harness::{self, eventually},
    launch::{Process, Which},
};

use crate::{
    changes::{Change, VenueFixture},
    environment, events,
    verify::{assert_derivable, run_with},
    waitlist,
};

/// A compiled time zone that is always this many hours ahead of UTC.
fn compiled_zone(hours: i8) -> Vec<u8> {
    let name = format!("{hours:+03}");
    let block = |seconds: i32, designation: &str| {
        let mut block = b"TZif2".to_vec();
        block.extend([0; 15]);
        // The numbers of six kinds of entries: one type of local time, and the bytes of its name.
        for count in [0, 0, 0, 0, 1, u32::try_from(designation.len()).expect("short") + 1] {
            block.extend(u32::to_be_bytes(count));
        }
        block.extend(seconds.to_be_bytes());
        block.extend([0, 0]);
        block.extend(designation.bytes());
        block.push(0);
        block
    };
    let rule = format!("\n<{name}>{}\n", -hours);
    [block(0, ""), block(i32::from(hours) * 3600, &name), rule.into_bytes()].concat()
}

/// A folder of zone rules with this version, in which Berlin is this many hours ahead of UTC.
fn machine(version: &str, berlin_hours: i8) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("Europe")).expect("a folder");
    fs::write(folder.path().join("Europe/Berlin"), compiled_zone(berlin_hours)).expect("written");
    fs::write(folder.path().join("tzdata.zi"), format!("# version {version}\n")).expect("written");
    folder
}

/// A process over this database with the rules in this folder.
async fn process(url: &SecretString, rules: &Path) -> Process {
    let mut environment: HashMap<_, _> = environment::with_keys(url).collect();
    environment.insert("TZDIR".to_owned(), rules.display().to_string());
    environment.insert("SLOT_LAYOUT_INTERVAL_MS".to_owned(), "100".to_owned());
    environment.insert("WAITLIST_INTERVAL_MS".to_owned(), "100".to_owned());
    Process::start(Which::Booking, &environment).await.expect("the process starts")
}

async fn wait_until_laid_out_by(url: &SecretString, rules: &str) {
    eventually("all venues are laid out by the rules", async || {
        harness::scalar::<Option<String>>(url, "SELECT min(time_zone_rules) FROM venues").await.as_deref()
            == Some(rules)
    })
    .await;
}

async fn verify(url: &SecretString, rules: &Path) -> Vec<Value> {
    let rules = [("TZDIR".to_owned(), rules.display().to_string())];
    let (_, out, _) = run_with(url, &["--json"], rules).await;
    out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn instant(at: Option<Timestamp>) -> DateTime<Utc> {
    let at = at.expect("a time");
    DateTime::from_timestamp(at.seconds, 0).expect("a time")
}

/// The instant of an hour on the day of the fixtures' bookings, in a zone this many hours ahead of UTC.
fn evening(hour: u32, ahead: i64) -> DateTime<Utc> {
    fixtures::date().and_hms_opt(hour, 0, 0).expect("a time").and_utc() - TimeDelta::hours(ahead)
}

/// The last event of a booking: its version, type and data.
async fn last_event(url: &SecretString, booking_id: &str) -> (i64, String, Value) {
    let query = format!(
        "SELECT version, type, data FROM booking_events WHERE booking_id = '{booking_id}' ORDER BY version DESC LIMIT 1"
    );
    let row: (i64, String, Json<Value>) =
        sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_one(&mut harness::connect(url).await).await.expect("an event");
    (row.0, row.1, row.2.0)
}

const CORRECTED: &str = "teppan.booking.instant_corrected.v1";

#[tokio::test(flavor = "multi_thread")]
async fn after_new_rules_slots_and_bookings_keep_their_local_times_and_an_event_reports_the_correction() {
    let fixture = VenueFixture::without_deposit(20).await;
    let url = &fixture.service.url;
    let (firm, cancelled) = (fixture.book(2).await, fixture.book(3).await);
    fixture.act(Change::Cancel, &cancelled.booking_id).await.expect("cancelled");
    fixture.sql("DELETE FROM outbox_messages").await;
    let far_east = machine("2098a", 9);
    // Verification with the new rules finds the outdated instant; with the old rules it finds nothing.
    let found = verify(url, far_east.path()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["reason"], &found[0]["booking_id"]), (&json!("WRONG_INSTANT"), &json!(firm.booking_id)));
    assert_derivable(url).await;

    let newer = process(url, far_east.path()).await;
    wait_until_laid_out_by(url, "2098a").await;

    let request = GetBookingRequest { booking_id: firm.booking_id.clone(), ..Default::default() };
    let now = fixture.service.clients.clone().bookings.get_booking(request).await.expect("read").into_inner();
    let now = now.booking.expect("the booking");
    assert_eq!((now.date.as_str(), now.start_time.as_str()), (firm.date.as_str(), firm.start_time.as_str()));
    assert_eq!(instant(now.starts_at), evening(18, 9));
    assert_eq!(instant(now.ends_at), evening(20, 9), "the duration is unchanged");
    let (version, kind, data) = last_event(url, &firm.booking_id).await;
    assert_eq!((version, kind.as_str()), (2, CORRECTED));
    assert_eq!((&data["time_zone_rules"], &data["status"]), (&json!("2098a"), &json!("BOOKING_STATUS_CONFIRMED")));
    let object = data.as_object().expect("an object");
    let fields: std::collections::BTreeSet<_> = object.keys().cloned().collect();
    assert_eq!(fields, events::fields_in_json("BookingInstantCorrected", object));
    assert_eq!(
        last_event(url, &cancelled.booking_id).await.1,
        "teppan.booking.cancelled.v1",
        "a cancelled booking is not corrected"
    );
    // Its follow-up moves too.
    let messages = "SELECT string_agg(destination || ' ' || version, ', ') FROM outbox_messages";
    assert_eq!(fixture.service.scalar::<Option<String>>(messages).await.as_deref(), Some("conversation-service 2"));
    // The event stream contains the correction.
    let mut bookings = fixture.service.clients.bookings.clone();
    let stream = bookings.stream_booking_events(StreamBookingEventsRequest::default()).await;
    let mut stream = stream.expect("a stream").into_inner();
    let mut moved = None;
    while let Some(step) = stream.message().await.expect("a step") {
        if let Some(Data::BookingInstantCorrected(event)) = step.event.and_then(|event| event.data) {
            moved = Some(event);
        }
    }
    let moved = moved.expect("the event");
    assert_eq!((moved.booking_id, instant(moved.starts_at)), (firm.booking_id.clone(), evening(18, 9)));
    assert_eq!(moved.previous_starts_at, firm.starts_at);

    // Every future slot has moved, and a process with the old rules sells the slots at their new instants.
    let wrong = "SELECT count(*) FROM slots
                 WHERE starts_at <> (slot_date + start_time) AT TIME ZONE 'UTC' - interval '9 hours' AND slot_date > current_date + 1";
    assert_eq!(fixture.service.scalar::<i64>(wrong).await, 0);
    assert_eq!(instant(fixture.book(1).await.starts_at), evening(18, 9));
    assert!(newer.stop().await);

    // A second start changes nothing.
    let written = fixture.service.written().await;
    assert!(process(url, far_east.path()).await.stop().await);
    assert_eq!(fixture.service.written().await, written);
    assert_eq!(verify(url, far_east.path()).await, [] as [Value; 0]);
    assert_derivable(url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_and_waitlist_entries_follow_the_new_instants_of_their_slot() {
    let fixture = VenueFixture::over(harness::Booking::start().await.ready().await, 4, 25).await;
    let url = &fixture.service.url;
    let clients = &fixture.service.clients;
    let month_long = Venue { venue_id: fixture.venue_id.clone(), hold_minutes: 43_200, ..Default::default() };
    let mask = prost_types::FieldMask { paths: vec!["hold_minutes".to_owned()] };
    let update = UpdateVenueRequest { venue: Some(month_long), update_mask: Some(mask), ..Default::default() };
    clients.clone().schedule.update_venue(update).await.expect("updated");
    let held = fixture.book(4).await;
    assert_eq!(held.hold_expires_at, held.starts_at, "a hold ends at the start at the latest");
    let entry = waitlist::join_by(clients, waitlist::request(&fixture.venue_id, 2)).await.expect("joined");

    let far_east = machine("2098a", 9);
    let newer = process(url, far_east.path()).await;
    wait_until_laid_out_by(url, "2098a").await;

    let request = GetBookingRequest { booking_id: held.booking_id, ..Default::default() };
    let now = clients.clone().bookings.get_booking(request).await.expect("read").into_inner().booking.expect("it");
    assert_eq!((instant(now.starts_at), now.hold_expires_at), (evening(18, 9), now.starts_at));
    eventually("the wait ends earlier", async || {
        harness::scalar::<DateTime<Utc>>(url, "SELECT bookable_until FROM waitlist_entries").await
            == evening(18, 9) - TimeDelta::hours(4)
    })
    .await;
    let list = ListWaitlistRequest { venue_id: fixture.venue_id.clone(), ..Default::default() };
    let listed = clients.clone().bookings.list_waitlist(list).await.expect("listed").into_inner().entries;
    assert_eq!(
        (&listed[0].waitlist_entry_id, instant(listed[0].starts_at)),
        (&entry.waitlist_entry_id, evening(18, 9))
    );
    assert!(newer.stop().await);
    assert_derivable(url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_rules_change_no_existing_instant_and_slots_laid_out_by_them_are_corrected() {
    let fixture = VenueFixture::without_deposit(20).await;
    let url = &fixture.service.url;
    let clients = &fixture.service.clients;
    let (east, far_east) = (machine("2098a", 5), machine("2098b", 9));
    let made = fixture.book(2).await;
    let newest = process(url, far_east.path()).await;
    wait_until_laid_out_by(url, "2098b").await;
    assert!(newest.stop().await);

    // A process with intermediate rules and the service with the oldest rules lay out the venue again.
    let older = process(url, east.path()).await;
    let longer = |minutes| {
        let mut schedule = fixtures::every_evening(&fixture.venue_id, 20);
        schedule.periods[0].duration_minutes = minutes;
        schedule
    };
    clients.clone().schedule.set_weekly_schedule(longer(90)).await.expect("set");
    let at_six = "SELECT DISTINCT starts_at FROM slots WHERE start_time = '18:00' AND slot_date = (SELECT slot_date FROM bookings)";
    assert_eq!(
        harness::scalar::<DateTime<Utc>>(url, at_six).await,
        evening(18, 9),
        "the slot keeps the newest instant"
    );
    assert!(older.stop().await);
    assert_eq!(last_event(url, &made.booking_id).await.0, 2, "the booking was corrected once");

    // The newest rules correct days that were laid out by old rules, without another event for correct bookings.
    fixture.sql("UPDATE slots SET starts_at = starts_at + interval '8 hours', ends_at = ends_at + interval '8 hours' WHERE slot_date > current_date + 60").await;
    let ours = Rules::in_force().version().as_str();
    assert_eq!(harness::scalar::<String>(url, "SELECT time_zone_rules FROM venues").await, ours);
    let newest = process(url, far_east.path()).await;
    wait_until_laid_out_by(url, "2098b").await;
    let wrong = "SELECT count(*) FROM slots
                 WHERE starts_at <> (slot_date + start_time) AT TIME ZONE 'UTC' - interval '9 hours' AND slot_date > current_date + 1";
    assert_eq!(fixture.service.scalar::<i64>(wrong).await, 0);
    assert_eq!(last_event(url, &made.booking_id).await.0, 2);
    assert!(newest.stop().await);
    assert_derivable(url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_made_while_the_rules_change_start_by_the_new_rules() {
    let fixture = VenueFixture::without_deposit(500).await;
    let url = &fixture.service.url;
    let far_east = machine("2098a", 9);
    let storm = join_all((0..4).map(|_| async {
        let mut made = Vec::new();
        // Bookings are made before, during and after the change.
        while harness::scalar::<i64>(url, "SELECT count(*) FROM venues WHERE time_zone_rules = '2098a'").await == 0 {
            made.push(fixture.book(1).await.booking_id);
        }
        made.push(fixture.book(1).await.booking_id);
        made
    }));
    let (newer, made) = tokio::join!(process(url, far_east.path()), storm);
    assert!(newer.stop().await);
    assert!(made.iter().flatten().count() > 4);
    let wrong = "SELECT count(*) FROM bookings JOIN slots USING (venue_id, slot_date, start_time)
                 WHERE bookings.starts_at <> slots.starts_at";
    assert_eq!(fixture.service.scalar::<i64>(wrong).await, 0);
    fixture.assert_consistent().await;
    assert_derivable(url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rescheduling_to_the_same_local_time_at_another_instant_is_a_change() {
    let fixture = VenueFixture::without_deposit(20).await;
    let made = fixture.book(2).await;
    let wish = || RescheduleBookingRequest {
        booking_id: made.booking_id.clone(),
        date: made.date.clone(),
        start_time: made.start_time.clone(),
        ..Default::default()
    };
    let moved = async || {
        let answer = fixture.service.clients.clone().bookings.reschedule_booking(wish()).await.expect("moved");
        answer.into_inner().booking.expect("the booking")
    };
    assert_eq!(moved().await.etag, made.etag, "the instant is the same, so nothing changes");
    fixture
        .sql("UPDATE slots SET starts_at = starts_at - interval '1 hour', ends_at = ends_at - interval '1 hour'")
        .await;
    let now = moved().await;
    assert_eq!(instant(now.starts_at), instant(made.starts_at) - TimeDelta::hours(1));
    assert_ne!(now.etag, made.etag);
    assert_eq!(moved().await.etag, now.etag);
}
