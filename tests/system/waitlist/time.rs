//! The end of a wait.

use std::time::Duration;

use booking_service::settings::Settings;
use chrono::TimeDelta;
use prost_types::FieldMask;
use teppan_shared::{
    clock::Clock,
    contract::booking::v1::{UpdateVenueRequest, Venue, WaitlistEntryStatus},
};
use teppan_tests::harness::eventually;

use super::{assert_sound, becomes, join, now, replica_of, service_with_fast_workers};
use crate::changes::{Change, VenueFixture};

async fn set_notice(fixture: &VenueFixture, notice_minutes: i32) {
    set(fixture, "notice_minutes", Venue { notice_minutes, ..Default::default() }).await;
}

async fn set_horizon(fixture: &VenueFixture, horizon_days: i32) {
    set(fixture, "horizon_days", Venue { horizon_days, ..Default::default() }).await;
}

async fn set(fixture: &VenueFixture, field: &str, venue: Venue) {
    let venue = Venue { venue_id: fixture.venue_id.clone(), ..venue };
    let mask = FieldMask { paths: vec![field.to_owned()] };
    let request = UpdateVenueRequest { venue: Some(venue), update_mask: Some(mask), ..Default::default() };
    fixture.service.clients.clone().schedule.update_venue(request).await.expect("updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_slot_can_no_longer_be_booked() {
    let fixture = VenueFixture::with_deposit(2).await;
    fixture.book(2).await;
    let (first, second) = (join(&fixture, 2).await, join(&fixture, 1).await);
    let later = |settings: &mut Settings| settings.clock = Clock::ahead(TimeDelta::days(15));
    let _later = replica_of(fixture.service.url.clone(), fixture.service.keys.clone(), later).await;
    for entry in [first, second] {
        let closed = becomes(&fixture, &entry, WaitlistEntryStatus::Closed).await;
        assert_eq!((closed.position, closed.booking_id.as_str()), (0, ""));
        assert_ne!(closed.updated_at, entry.updated_at);
    }
    let kept = "SELECT count(*) FROM waitlist_entries WHERE details_sealed IS NOT NULL";
    assert_eq!(fixture.service.scalar::<i64>(kept).await, 0, "no special requests are kept");
    assert_eq!(fixture.service.scalar::<i64>(super::INCONSISTENT_ENTRIES).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_venues_current_notice_decides_how_long_an_entry_may_wait() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let made = fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    // The review corrects an outdated end before it closes an entry.
    fixture.sql("UPDATE waitlist_entries SET bookable_until = now() - interval '1 hour'").await;
    let right = "SELECT bookable_until = starts_at - interval '4 hours' FROM waitlist_entries JOIN slots
                 USING (venue_id, slot_date, start_time)";
    eventually("the end is corrected", async || fixture.service.scalar::<bool>(right).await).await;
    assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Waiting);

    // A notice longer than the two weeks until the slot ends the wait at once.
    set_notice(&fixture, 30 * 24 * 60).await;
    becomes(&fixture, &entry, WaitlistEntryStatus::Closed).await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_openings").await, 0, "no opening exists");
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_freed_too_late_are_not_offered() {
    let fixture = VenueFixture::with_deposit(2).await;
    let made = fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    // The entry is still open, but when the seats are freed the slot can no longer be booked.
    let later = |settings: &mut Settings| {
        settings.clock = Clock::ahead(TimeDelta::days(14) + TimeDelta::hours(20));
        settings.hold_expiry_interval = Duration::from_hours(1);
    };
    fixture.sql("UPDATE waitlist_entries SET bookable_until = 'infinity'").await;
    fixture
        .sql(format!(
        "UPDATE bookings SET status = 'CANCELLED', hold_expires_at = NULL, cancelled_at = now(), cancelled_by = 'VENUE'
         WHERE booking_id = '{}'; UPDATE slots SET reserved = 0", made.booking_id
    ))
        .await;
    let _later = replica_of(fixture.service.url.clone(), fixture.service.keys.clone(), later).await;
    super::all_openings_settled(&fixture).await;
    assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Waiting);
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM bookings").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_notice_closes_any_number_of_entries() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    fixture
        .sql(
            "INSERT INTO customers (customer_id, email_hash, contact_sealed, version, created_at, updated_at)
             SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, sha256(n::text::bytea), '', 1,
                 now(), now()
             FROM generate_series(1, 700) AS n;
             INSERT INTO waitlist_entries (waitlist_entry_id, status, venue_id, slot_date, start_time, customer_id,
                 party_size, booking_id, details_sealed, bookable_until, created_at, updated_at)
             SELECT gen_random_uuid(), 'WAITING', e.venue_id, e.slot_date, time, c.customer_id, 2, gen_random_uuid(), '',
                 e.bookable_until, now(), now()
             FROM waitlist_entries e, customers c, unnest('{18:00,18:30}'::time[]) AS time
             WHERE c.customer_id::text LIKE '00000000-%'",
        )
        .await;
    set_notice(&fixture, 30 * 24 * 60).await;
    let waiting = "SELECT count(*) FROM waitlist_entries WHERE status = 'WAITING'";
    eventually("no entry waits", async || fixture.service.scalar::<i64>(waiting).await == 0).await;
    assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Closed);
    let reviews = "SELECT count(*) FROM waitlist_reviews";
    eventually("the review is over", async || fixture.service.scalar::<i64>(reviews).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_beyond_a_shortened_horizon_are_offered_when_their_day_comes_within_it() {
    for days_pass in [true, false] {
        let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
        let made = fixture.book(2).await;
        let entry = join(&fixture, 2).await;
        set_horizon(&fixture, 7).await;
        fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
        let waits_for_its_day = "
            SELECT count(*) = 1 AND bool_and(
                next_attempt_at = (slot_date - 7)::timestamp AT TIME ZONE 'Europe/Berlin' AND noted_at = next_attempt_at)
            FROM waitlist_openings";
        let reviewed = "SELECT NOT EXISTS (SELECT FROM waitlist_reviews)";
        eventually("the opening waits", async || {
            fixture.service.scalar::<bool>(reviewed).await
                && fixture.service.scalar::<Option<bool>>(waits_for_its_day).await == Some(true)
        })
        .await;
        assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Waiting);

        let later = |settings: &mut Settings| settings.clock = Clock::ahead(TimeDelta::days(8));
        let _later = if days_pass {
            Some(replica_of(fixture.service.url.clone(), fixture.service.keys.clone(), later).await)
        } else {
            set_horizon(&fixture, 60).await;
            None
        };
        becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
        super::all_openings_settled(&fixture).await;
        assert_sound(&fixture).await;
    }
}
