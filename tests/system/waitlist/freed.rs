//! Every way of freeing seats leads to an offer.

use std::time::Duration;

use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    CreateBookingRequest, JoinWaitlistRequest, SchedulePeriod, SetWeeklyScheduleRequest, UpdateVenueRequest, Venue,
    WaitlistEntryStatus,
};
use teppan_tests::{
    fixtures::{self, SlotUpdate},
    harness::eventually,
};

use super::{
    UNSERVED_ENTRIES, all_openings_settled, assert_sound, becomes, join, join_by, now, request,
    service_with_fast_workers,
};
use crate::changes::{Change, VenueFixture};

#[derive(Debug, Clone, Copy)]
enum Way {
    Change(Change),
    HoldRunsOut,
    MoreSeats,
    Reopened,
    NewSchedule,
    LargerParties,
}

const WAYS: [Way; 8] = [
    Way::Change(Change::Cancel),
    Way::Change(Change::Resize(2)),
    Way::Change(Change::Move("18:30")),
    Way::HoldRunsOut,
    Way::MoreSeats,
    Way::Reopened,
    Way::NewSchedule,
    Way::LargerParties,
];

async fn update_slot(fixture: &VenueFixture, change: impl FnOnce(&mut SlotUpdate)) {
    let mut request = SlotUpdate::of(&fixture.venue_id);
    change(&mut request);
    fixture.service.clients.clone().schedule.update_slot(request).await.expect("set");
}

async fn take_parties_up_to(fixture: &VenueFixture, max_party_size: i32) {
    let venue = Venue { venue_id: fixture.venue_id.clone(), max_party_size, ..Default::default() };
    let mask = FieldMask { paths: vec!["max_party_size".to_owned()] };
    let request = UpdateVenueRequest { venue: Some(venue), update_mask: Some(mask), ..Default::default() };
    fixture.service.clients.clone().schedule.update_venue(request).await.expect("updated");
}

async fn set_schedule(fixture: &VenueFixture, seats: i32) {
    let SetWeeklyScheduleRequest { periods, .. } = fixtures::every_evening(&fixture.venue_id, seats);
    let periods = periods.into_iter().map(|period| SchedulePeriod { last_start: "18:30".to_owned(), ..period });
    let periods = periods.map(|period| SchedulePeriod { interval_minutes: 30, ..period }).collect();
    let request = SetWeeklyScheduleRequest { venue_id: fixture.venue_id.clone(), periods, ..Default::default() };
    fixture.service.clients.clone().schedule.set_weekly_schedule(request).await.expect("set");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_freeing_seats_leads_to_an_offer() {
    for way in WAYS {
        let fixture = VenueFixture::over(service_with_fast_workers().await, 4, 25).await;
        let made = fixture.book(4).await;
        let entry = join(&fixture, 2).await;
        match way {
            Way::Change(change) => {
                fixture.act(change, &made.booking_id).await.expect("changed");
            }
            Way::HoldRunsOut => fixture.expire_hold(&made.booking_id).await,
            Way::MoreSeats => update_slot(&fixture, |slot| slot.capacity = Some(6)).await,
            Way::Reopened => {
                update_slot(&fixture, |slot| slot.closed = Some(true)).await;
                fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
                assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_openings").await, 0);
                update_slot(&fixture, |slot| slot.closed = Some(false)).await;
            }
            Way::NewSchedule => set_schedule(&fixture, 10).await,
            Way::LargerParties => {
                take_parties_up_to(&fixture, 1).await;
                fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
                all_openings_settled(&fixture).await;
                assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Waiting);
                take_parties_up_to(&fixture, 50).await;
            }
        }
        println!("{way:?}");
        becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
        all_openings_settled(&fixture).await;
        assert_eq!(fixture.service.scalar::<i64>(UNSERVED_ENTRIES).await, 0);
        assert_sound(&fixture).await;
        fixture.service.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_opening_is_recorded_without_a_waiting_entry_or_without_freed_seats() {
    let fixture = VenueFixture::with_deposit(4).await;
    let made = fixture.book(2).await;
    // No customer waits; later one waits, but the seats are taken or the slot is closed.
    fixture.act(Change::Resize(1), &made.booking_id).await.expect("smaller");
    fixture.sql("ALTER SEQUENCE waitlist_openings_opening_id_seq RESTART").await;
    fixture.act(Change::Resize(3), &made.booking_id).await.expect("larger");
    let entry = join(&fixture, 4).await;
    fixture.book(1).await;
    update_slot(&fixture, |slot| slot.closed = Some(true)).await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    update_slot(&fixture, |slot| slot.price_per_person_cents = Some(1)).await;
    tokio::time::timeout(Duration::from_secs(1), all_openings_settled(&fixture)).await.expect("no work");
    let notes = "SELECT NOT is_called FROM waitlist_openings_opening_id_seq";
    assert!(fixture.service.scalar::<bool>(notes).await, "no opening was ever recorded");
    assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_offer_fails_delays_no_other_slot() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 2, 25).await;
    let made = fixture.book(2).await;
    let entry = join(&fixture, 2).await;
    let half_past = "18:30".to_owned();
    let other = CreateBookingRequest { start_time: half_past.clone(), ..fixtures::booking(&fixture.venue_id, 2) };
    let other = fixture.service.clients.clone().bookings.create_booking(other).await.expect("booked").into_inner();
    let waits = JoinWaitlistRequest { start_time: half_past, ..request(&fixture.venue_id, 2) };
    let waits = join_by(&fixture.service.clients, waits).await.expect("joined");
    fixture
        .sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$;
             CREATE TRIGGER fails BEFORE UPDATE ON waitlist_entries
             FOR EACH ROW WHEN (NEW.start_time = '18:00') EXECUTE FUNCTION fail()",
        )
        .await;
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let put_off = "SELECT count(*) FROM waitlist_openings WHERE next_attempt_at > '-infinity'";
    eventually("the opening is postponed", async || fixture.service.scalar::<i64>(put_off).await == 1).await;
    fixture.act(Change::Cancel, &other.booking.expect("the booking").booking_id).await.expect("cancelled");
    becomes(&fixture, &waits, WaitlistEntryStatus::Offered).await;
    assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Waiting);
    fixture.sql("DROP TRIGGER fails ON waitlist_entries").await;
    becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    all_openings_settled(&fixture).await;
    assert_sound(&fixture).await;
}
