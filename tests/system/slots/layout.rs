use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};
use teppan_shared::{
    clock::Clock,
    contract::booking::v1::{CreateVenueRequest, GetVenueRequest, SchedulePeriod, UpdateVenueRequest, Venue},
    keys::Keys,
};
use teppan_tests::{
    fixtures::{self, SlotUpdate},
    harness::{self, Booking, eventually},
};

/// A replica whose clock is days ahead, and which often looks for days to lay out.
async fn ahead(days: i64, url: &SecretString, keys: &Keys) -> Booking {
    let change = |settings: &mut booking_service::settings::Settings| {
        settings.clock = Clock::ahead(TimeDelta::days(days));
        settings.slot_layout_interval = Duration::from_millis(20);
    };
    Booking::changed(change, harness::settings(url.clone(), keys), url.clone(), keys.clone()).await.ready().await
}

fn database_name(url: &SecretString) -> &str {
    url.expose_secret().rsplit('/').next().and_then(|rest| rest.split('?').next()).expect("a name")
}

async fn laid_out_until(url: &SecretString, days: i64) -> bool {
    let until: chrono::NaiveDate = harness::scalar(url, "SELECT min(laid_out_until) FROM venues").await;
    // The venue's date is the date in UTC, or becomes it within seconds.
    until >= Utc::now().date_naive() + TimeDelta::days(days)
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_come_within_the_horizon_get_slots_and_no_other_slot_changes() {
    let mut booking = Booking::start().await.ready().await;
    // Without a deposit no hold runs out under the replica's clock, which is ahead.
    let change = |venue: &mut CreateVenueRequest| {
        venue.time_zone = "UTC".to_owned();
        venue.deposit_percent = Some(0);
    };
    let venue = fixtures::venue_with(&mut booking.clients, 10, change).await.expect("a venue");
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 3)).await.expect("booked");
    let fewer = SlotUpdate { capacity: Some(5), ..SlotUpdate::of(&venue.venue_id) };
    booking.clients.schedule.update_slot(fewer).await.expect("set");
    let laid = "SELECT string_agg(xmin || s::text, ' ' ORDER BY slot_date, start_time) FROM slots s
                WHERE slot_date <= (now() AT TIME ZONE 'UTC')::date + 90";
    let before: String = booking.scalar(laid).await;

    let _later = ahead(5, &booking.url, &booking.keys).await;
    eventually("five days more are laid out", async || laid_out_until(&booking.url, 95).await).await;
    let new: String = booking
        .scalar(
            "SELECT count(*) || ' ' || min(capacity) || ' ' || max(state) FROM slots WHERE capacity_pinned = false
                 AND slot_date > (now() AT TIME ZONE 'UTC')::date + 90",
        )
        .await;
    assert_eq!(new, "5 10 OPEN");
    assert_eq!(booking.scalar::<String>(laid).await, before);
    // Nothing is due until the next day begins.
    let due = "SELECT count(*) FROM weekly_schedules WHERE next_layout_at <= now() + interval '5 days'";
    assert_eq!(booking.scalar::<i64>(due).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_lay_out_while_schedules_are_set_and_seats_are_booked() {
    let booking = Booking::start().await.ready().await;
    let free = |venue: &mut CreateVenueRequest| venue.deposit_percent = Some(0);
    let venue = fixtures::venue_with(&mut booking.clients.clone(), 50, free).await.expect("a venue");
    // Each replica finds missing days after every SetWeeklySchedule, because its clock is ahead.
    let replicas = join_all([3, 4, 5].map(|days| ahead(days, &booking.url, &booking.keys))).await;
    let set = (0..8).map(|n| {
        let mut clients = booking.clients.clone();
        let mut schedule = fixtures::every_evening(&venue.venue_id, 50 + n);
        let hour = format!("{}:00", 10 + n);
        let own = SchedulePeriod { first_start: hour.clone(), last_start: hour, ..schedule.periods[0].clone() };
        schedule.periods.insert(0, own);
        async move {
            tokio::time::sleep(Duration::from_millis(30) * n.unsigned_abs()).await;
            clients.schedule.set_weekly_schedule(schedule).await.map(|_| ())
        }
    });
    let book = (0..40).map(|_| {
        let mut clients = booking.clients.clone();
        let request = fixtures::booking(&venue.venue_id, 1);
        async move { clients.bookings.create_booking(request).await.map(|_| ()) }
    });
    let (set, booked) = tokio::join!(join_all(set), join_all(book));
    for answer in set.into_iter().chain(booked) {
        answer.expect("no call makes another fail");
    }
    eventually("all days are laid out", async || laid_out_until(&booking.url, 95).await).await;
    drop(replicas);

    // The slots are those of the stored schedule, once on every day, near and far.
    let get = GetVenueRequest { venue_id: venue.venue_id };
    let kept = booking.clients.clone().schedule.get_venue(get).await.expect("read").into_inner().schedule;
    let kept = kept.expect("a schedule").periods;
    let starts: Vec<_> = kept.iter().map(|period| period.first_start.as_str()).collect();
    let open = "SELECT string_agg(DISTINCT left(start_time::text, 5), ' ') FROM slots WHERE state = 'OPEN'";
    assert_eq!(booking.scalar::<String>(open).await, starts.join(" "));
    let capacities = "SELECT array_agg(DISTINCT capacity) FROM slots WHERE state = 'OPEN'";
    assert_eq!(booking.scalar::<Vec<i32>>(capacities).await, [kept[0].capacity]);
    let odd_days = "SELECT coalesce(string_agg(day::date || ' has ' || slots, ', '), '')
                    FROM (SELECT day, (SELECT coalesce(string_agg(left(start_time::text, 5) || ' ' || state, ' '), 'none')
                                       FROM slots WHERE slot_date = day AND state = 'OPEN') AS slots,
                                 (SELECT count(*) FROM slots WHERE slot_date = day AND state = 'OPEN') AS open_count
                          FROM (SELECT min(slot_date) AS first, max(slot_date) AS last FROM slots WHERE state = 'OPEN') AS days,
                               generate_series(first, last, interval '1 day') AS day) AS of_days
                    WHERE open_count <> 2";
    assert_eq!(booking.scalar::<String>(odd_days).await, "", "every day has both; {kept:?}");
    assert_eq!(booking.scalar::<i32>("SELECT max(reserved) FROM slots").await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_set_while_its_venue_is_claimed_for_layout_gets_all_its_days() {
    let booking = Booking::start().await.ready().await;
    let first = fixtures::venue(&mut booking.clients.clone(), 4).await.expect("a venue");
    let second = fixtures::venue(&mut booking.clients.clone(), 4).await.expect("a venue");
    // Both venues are laid out five days ahead, and become due again.
    let ahead_of_all = ahead(5, &booking.url, &booking.keys).await;
    eventually("five days more are laid out", async || laid_out_until(&booking.url, 95).await).await;
    ahead_of_all.service.stop().await;
    let due = format!(
        "UPDATE weekly_schedules SET next_layout_at = now() + CASE WHEN venue_id = '{}' THEN interval '1 day'
                                                               ELSE interval '2 days' END;
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_advisory_xact_lock_shared(1);
             RETURN NEW;
         END $$;
         CREATE TRIGGER waits BEFORE UPDATE ON weekly_schedules FOR EACH ROW
             WHEN (OLD.venue_id = '{}') EXECUTE FUNCTION wait();
         ALTER DATABASE {} SET enable_hashjoin = off;
         ALTER DATABASE {} SET enable_mergejoin = off",
        first.venue_id,
        first.venue_id,
        database_name(&booking.url),
        database_name(&booking.url),
    );
    let mut holding = harness::connect(&booking.url).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(due)).execute(&mut holding).await.expect("they are due");
    sqlx::raw_sql("SELECT pg_advisory_lock(1)").execute(&mut holding).await.expect("locked");

    // The claim has read both venues; it waits at the first, before it locks the second.
    let _later = ahead(5, &booking.url, &booking.keys).await;
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("the claim waits", async || booking.scalar::<i64>(waiting).await > 0).await;
    let mut at_noon = fixtures::every_evening(&second.venue_id, 4);
    "12:00".clone_into(&mut at_noon.periods[0].first_start);
    "12:00".clone_into(&mut at_noon.periods[0].last_start);
    booking.clients.clone().schedule.set_weekly_schedule(at_noon).await.expect("set");
    sqlx::raw_sql("SELECT pg_advisory_unlock(1)").execute(&mut holding).await.expect("unlocked");

    eventually("all days have the slot at noon", async || {
        booking.scalar::<i64>("SELECT count(*) FROM slots WHERE start_time = '12:00' AND state = 'OPEN'").await >= 96
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_cannot_be_laid_out_does_not_delay_the_others() {
    let mut booking = Booking::start().await.ready().await;
    for _ in 0..3 {
        fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    }
    harness::execute(
        &booking.url,
        "UPDATE weekly_schedules SET periods = '[{}]', next_layout_at = 'epoch'
         WHERE venue_id = (SELECT venue_id FROM venues ORDER BY created_at LIMIT 1)",
    )
    .await;
    let _later = ahead(5, &booking.url, &booking.keys).await;
    let others = "SELECT count(*) FROM venues WHERE laid_out_until >= current_date + 94";
    eventually("the others are laid out", async || booking.scalar::<i64>(others).await == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layouts_claimed_by_a_process_that_died_are_done_by_another() {
    let mut booking = Booking::start().await.ready().await;
    // More venues than one run claims, all claimed by a dead process; the claim has just run out.
    for _ in 0..25 {
        fixtures::venue(&mut booking.clients, 4).await.expect("a venue");
    }
    harness::execute(
        &booking.url,
        "DELETE FROM slots WHERE slot_date > current_date + 40;
         UPDATE venues SET laid_out_until = current_date + 40;
         UPDATE weekly_schedules SET next_layout_at = now() - interval '1 second'",
    )
    .await;
    let _other = ahead(0, &booking.url, &booking.keys).await;
    eventually("all are laid out", async || laid_out_until(&booking.url, 90).await).await;
    assert!(booking.scalar::<i64>("SELECT count(*) FROM slots").await >= 25 * 91);
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_a_schedule_and_a_transaction_that_locks_two_slots_do_not_deadlock() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let mut both = fixtures::every_evening(&venue.venue_id, 10);
    both.periods[0].first_start = "12:00".to_owned();
    both.periods[0].interval_minutes = 6 * 60;
    booking.clients.schedule.set_weekly_schedule(both).await.expect("set");

    // As a reschedule does, a transaction locks the slot at noon, which the next schedule drops, and then the one at
    // 18:00, which the schedule keeps.
    let lock = |time: &str| {
        let sql = format!(
            "SELECT FROM slots WHERE slot_date = current_date + 14 AND start_time = '{time}' FOR NO KEY UPDATE"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
    };
    let mut mover = harness::connect(&booking.url).await;
    sqlx::raw_sql("BEGIN").execute(&mut mover).await.expect("begun");
    lock("12:00").execute(&mut mover).await.expect("locked");
    let moving = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the schedule waits", async || booking.scalar::<i64>(waiting).await == 1).await;
        lock("18:00").execute(&mut mover).await.expect("locked");
        sqlx::raw_sql("COMMIT").execute(&mut mover).await.expect("committed");
    };
    let mut clients = booking.clients.clone();
    let set = clients.schedule.set_weekly_schedule(fixtures::every_evening(&venue.venue_id, 10));
    let (set, ()) = tokio::join!(set, moving);
    assert_eq!(set.expect("set").into_inner().slots_closed, 91);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_changed_by_hand_keeps_its_pinned_fields_and_follows_the_schedule_in_the_others() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    harness::execute(
        &booking.url,
        "UPDATE slots SET state = 'CLOSED' WHERE slot_date = current_date + 60;
         UPDATE slots SET open_pinned = true, price_pinned = true WHERE slot_date = current_date + 61",
    )
    .await;
    let horizon = async |days: i32| {
        let mask = prost_types::FieldMask { paths: vec!["horizon_days".to_owned()] };
        let venue = Venue { horizon_days: days, ..venue.clone() };
        let request = UpdateVenueRequest { venue: Some(venue), update_mask: Some(mask), etag: String::new() };
        booking.clients.clone().schedule.update_venue(request).await.expect("changed");
    };
    horizon(30).await;
    let mut dearer = fixtures::every_evening(&venue.venue_id, 4);
    dearer.periods[0].price_per_person_cents = 5000;
    booking.clients.clone().schedule.set_weekly_schedule(dearer).await.expect("set");
    horizon(90).await;
    let found = "SELECT string_agg(concat_ws(' ', state, capacity, price_per_person_cents), ', ' ORDER BY slot_date)
                 FROM slots WHERE slot_date BETWEEN current_date + 59 AND current_date + 61";
    assert_eq!(booking.scalar::<String>(found).await, "OPEN 4 5000, CLOSED 4 5000, OPEN 4 3500");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_horizon_is_laid_out_in_parts() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue_with(&mut booking.clients, 4, |venue| {
        venue.time_zone = "UTC".to_owned();
        venue.horizon_days = Some(5);
    });
    let venue = venue.await.expect("a venue");
    let mut dense = fixtures::every_evening(&venue.venue_id, 4);
    dense.periods[0].first_start = "00:00".to_owned();
    dense.periods[0].interval_minutes = 5;
    booking.clients.schedule.set_weekly_schedule(dense).await.expect("set");
    let mask = prost_types::FieldMask { paths: vec!["horizon_days".to_owned()] };
    let farther = Venue { horizon_days: 60, ..venue };
    let request = UpdateVenueRequest { venue: Some(farther), update_mask: Some(mask), etag: String::new() };
    booking.clients.schedule.update_venue(request).await.expect("changed");
    let slots = "SELECT count(*) FROM slots";
    assert!(booking.scalar::<i64>(slots).await >= 5000, "the first part comes with the reply");
    // 217 starts a day, from 00:00 to 18:00: more than two parts of 5,000. The worker lays out the others.
    eventually("all are laid out", async || booking.scalar::<i64>(slots).await == 61 * 217).await;
}
