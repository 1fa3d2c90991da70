//! When the wait is over.

use std::time::Duration;

use booking_service::settings::Settings;
use chrono::TimeDelta;
use prost_types::FieldMask;
use teppan_shared::{
    clock::Clock,
    contract::booking::v1::{UpdateVenueRequest, Venue, WaitlistEntryStatus},
};
use teppan_tests::harness::eventually;

use super::{assert_sound, becomes, busy, join, now, replica_of};
use crate::changes::{Change, House};

async fn set_notice(house: &House, notice_minutes: i32) {
    set(house, "notice_minutes", Venue { notice_minutes, ..Default::default() }).await;
}

async fn set_horizon(house: &House, horizon_days: i32) {
    set(house, "horizon_days", Venue { horizon_days, ..Default::default() }).await;
}

async fn set(house: &House, field: &str, venue: Venue) {
    let venue = Venue { venue_id: house.venue_id.clone(), ..venue };
    let mask = FieldMask { paths: vec![field.to_owned()] };
    let request = UpdateVenueRequest { venue: Some(venue), update_mask: Some(mask), ..Default::default() };
    house.service.clients.clone().schedule.update_venue(request).await.expect("updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_slot_can_no_longer_be_booked() {
    let house = House::open(2).await;
    house.book(2).await;
    let (first, second) = (join(&house, 2).await, join(&house, 1).await);
    let later = |settings: &mut Settings| settings.clock = Clock::ahead(TimeDelta::days(15));
    let _later = replica_of(house.service.url.clone(), house.service.keys.clone(), later).await;
    for entry in [first, second] {
        let closed = becomes(&house, &entry, WaitlistEntryStatus::Closed).await;
        assert_eq!((closed.position, closed.booking_id.as_str()), (0, ""));
        assert_ne!(closed.updated_at, entry.updated_at);
    }
    let kept = "SELECT count(*) FROM waitlist_entries WHERE special_requests_sealed IS NOT NULL";
    assert_eq!(house.service.scalar::<i64>(kept).await, 0, "what was wished is not kept");
    assert_eq!(house.service.scalar::<i64>(super::ENTRIES_THAT_DISAGREE).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_venues_notice_of_the_day_says_how_long_a_wait_may_last() {
    let house = House::of(busy().await, 2, 25).await;
    let made = house.book(2).await;
    let entry = join(&house, 2).await;
    // A time that is no longer right is found out before anything is ended.
    house.sql("UPDATE waitlist_entries SET bookable_until = now() - interval '1 hour'").await;
    let right = "SELECT bookable_until = starts_at - interval '4 hours' FROM waitlist_entries JOIN slots
                 USING (venue_id, slot_date, start_time)";
    eventually("the time is right again", async || house.service.scalar::<bool>(right).await).await;
    assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Waiting);

    // A longer notice than the fortnight to the slot ends the wait at once.
    set_notice(&house, 30 * 24 * 60).await;
    becomes(&house, &entry, WaitlistEntryStatus::Closed).await;
    house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(house.service.scalar::<i64>("SELECT count(*) FROM waitlist_openings").await, 0, "nobody waits");
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_free_too_late_is_not_offered() {
    let house = House::open(2).await;
    let made = house.book(2).await;
    let entry = join(&house, 2).await;
    // The entry is not closed yet, but the seats are free when nobody may book them any more.
    let later = |settings: &mut Settings| {
        settings.clock = Clock::ahead(TimeDelta::days(14) + TimeDelta::hours(20));
        settings.hold_expiry_interval = Duration::from_hours(1);
    };
    house.sql("UPDATE waitlist_entries SET bookable_until = 'infinity'").await;
    house
        .sql(format!(
        "UPDATE bookings SET status = 'CANCELLED', hold_expires_at = NULL, cancelled_at = now(), cancelled_by = 'VENUE'
         WHERE booking_id = '{}'; UPDATE slots SET reserved = 0", made.booking_id
    ))
        .await;
    let _later = replica_of(house.service.url.clone(), house.service.keys.clone(), later).await;
    super::settled(&house).await;
    assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Waiting);
    assert_eq!(house.service.scalar::<i64>("SELECT count(*) FROM bookings").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_notice_ends_the_wait_of_however_many() {
    let house = House::of(busy().await, 2, 25).await;
    house.book(2).await;
    let entry = join(&house, 2).await;
    house
        .sql(
            "INSERT INTO customers (customer_id, email_hash, name_sealed, email_sealed, created_at, updated_at)
             SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, sha256(n::text::bytea), '', '',
                 now(), now()
             FROM generate_series(1, 700) AS n;
             INSERT INTO waitlist_entries (waitlist_entry_id, status, venue_id, slot_date, start_time, customer_id,
                 party_size, booking_id, bookable_until, created_at, updated_at)
             SELECT gen_random_uuid(), 'WAITING', e.venue_id, e.slot_date, time, c.customer_id, 2, gen_random_uuid(),
                 e.bookable_until, now(), now()
             FROM waitlist_entries e, customers c, unnest('{18:00,18:30}'::time[]) AS time
             WHERE c.customer_id::text LIKE '00000000-%'",
        )
        .await;
    set_notice(&house, 30 * 24 * 60).await;
    let waiting = "SELECT count(*) FROM waitlist_entries WHERE status = 'WAITING'";
    eventually("nobody waits", async || house.service.scalar::<i64>(waiting).await == 0).await;
    assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Closed);
    let reviews = "SELECT count(*) FROM waitlist_reviews";
    eventually("the review is over", async || house.service.scalar::<i64>(reviews).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_beyond_a_shortened_horizon_are_offered_when_their_day_comes_within_it() {
    for days_pass in [true, false] {
        let house = House::of(busy().await, 2, 25).await;
        let made = house.book(2).await;
        let entry = join(&house, 2).await;
        set_horizon(&house, 7).await;
        house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
        let waits_for_its_day = "
            SELECT count(*) = 1 AND bool_and(
                next_attempt_at = (slot_date - 7)::timestamp AT TIME ZONE 'Europe/Berlin' AND noted_at = next_attempt_at)
            FROM waitlist_openings";
        let reviewed = "SELECT NOT EXISTS (SELECT FROM waitlist_reviews)";
        eventually("the note waits", async || {
            house.service.scalar::<bool>(reviewed).await
                && house.service.scalar::<Option<bool>>(waits_for_its_day).await == Some(true)
        })
        .await;
        assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Waiting);

        let later = |settings: &mut Settings| settings.clock = Clock::ahead(TimeDelta::days(8));
        let _later = if days_pass {
            Some(replica_of(house.service.url.clone(), house.service.keys.clone(), later).await)
        } else {
            set_horizon(&house, 60).await;
            None
        };
        becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
        super::settled(&house).await;
        assert_sound(&house).await;
    }
}
