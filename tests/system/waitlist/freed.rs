//! Every way in which seats come free leads to an offer.

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

use super::{FORGOTTEN, assert_sound, becomes, busy, join, join_by, now, request, settled};
use crate::changes::{Change, House};

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

async fn update_slot(house: &House, change: impl FnOnce(&mut SlotUpdate)) {
    let mut request = SlotUpdate::of(&house.venue_id);
    change(&mut request);
    house.service.clients.clone().schedule.update_slot(request).await.expect("set");
}

async fn take_parties_up_to(house: &House, max_party_size: i32) {
    let venue = Venue { venue_id: house.venue_id.clone(), max_party_size, ..Default::default() };
    let mask = FieldMask { paths: vec!["max_party_size".to_owned()] };
    let request = UpdateVenueRequest { venue: Some(venue), update_mask: Some(mask), ..Default::default() };
    house.service.clients.clone().schedule.update_venue(request).await.expect("updated");
}

async fn set_schedule(house: &House, seats: i32) {
    let SetWeeklyScheduleRequest { periods, .. } = fixtures::every_evening(&house.venue_id, seats);
    let periods = periods.into_iter().map(|period| SchedulePeriod { last_start: "18:30".to_owned(), ..period });
    let periods = periods.map(|period| SchedulePeriod { interval_minutes: 30, ..period }).collect();
    let request = SetWeeklyScheduleRequest { venue_id: house.venue_id.clone(), periods, ..Default::default() };
    house.service.clients.clone().schedule.set_weekly_schedule(request).await.expect("set");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_freeing_seats_leads_to_an_offer() {
    for way in WAYS {
        let house = House::of(busy().await, 4, 25).await;
        let made = house.book(4).await;
        let entry = join(&house, 2).await;
        match way {
            Way::Change(change) => {
                house.act(change, &made.booking_id).await.expect("changed");
            }
            Way::HoldRunsOut => house.run_out(&made.booking_id).await,
            Way::MoreSeats => update_slot(&house, |slot| slot.capacity = Some(6)).await,
            Way::Reopened => {
                update_slot(&house, |slot| slot.closed = Some(true)).await;
                house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
                assert_eq!(house.service.scalar::<i64>("SELECT count(*) FROM waitlist_openings").await, 0);
                update_slot(&house, |slot| slot.closed = Some(false)).await;
            }
            Way::NewSchedule => set_schedule(&house, 10).await,
            Way::LargerParties => {
                take_parties_up_to(&house, 1).await;
                house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
                settled(&house).await;
                assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Waiting);
                take_parties_up_to(&house, 50).await;
            }
        }
        println!("{way:?}");
        becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
        settled(&house).await;
        assert_eq!(house.service.scalar::<i64>(FORGOTTEN).await, 0);
        assert_sound(&house).await;
        house.service.service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_frees_no_seats_or_nobody_waits_for_leaves_no_work() {
    let house = House::open(4).await;
    let made = house.book(2).await;
    // Nobody waits; and nobody is told of seats that are taken, or of a slot that is closed.
    house.act(Change::Resize(1), &made.booking_id).await.expect("smaller");
    house.sql("ALTER SEQUENCE waitlist_openings_opening_id_seq RESTART").await;
    house.act(Change::Resize(3), &made.booking_id).await.expect("larger");
    let entry = join(&house, 4).await;
    house.book(1).await;
    update_slot(&house, |slot| slot.closed = Some(true)).await;
    house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    update_slot(&house, |slot| slot.price_per_person_cents = Some(1)).await;
    tokio::time::timeout(Duration::from_secs(1), settled(&house)).await.expect("no work");
    let notes = "SELECT NOT is_called FROM waitlist_openings_opening_id_seq";
    assert!(house.service.scalar::<bool>(notes).await, "no note was ever made");
    assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_cannot_be_offered_keeps_no_other_from_it() {
    let house = House::of(busy().await, 2, 25).await;
    let made = house.book(2).await;
    let entry = join(&house, 2).await;
    let half_past = "18:30".to_owned();
    let other = CreateBookingRequest { start_time: half_past.clone(), ..fixtures::booking(&house.venue_id, 2) };
    let other = house.service.clients.clone().bookings.create_booking(other).await.expect("booked").into_inner();
    let waits = JoinWaitlistRequest { start_time: half_past, ..request(&house.venue_id, 2) };
    let waits = join_by(&house.service.clients, waits).await.expect("joined");
    house
        .sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$;
             CREATE TRIGGER fails BEFORE UPDATE ON waitlist_entries
             FOR EACH ROW WHEN (NEW.start_time = '18:00') EXECUTE FUNCTION fail()",
        )
        .await;
    house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let put_off = "SELECT count(*) FROM waitlist_openings WHERE next_attempt_at > '-infinity'";
    eventually("it is put off", async || house.service.scalar::<i64>(put_off).await == 1).await;
    house.act(Change::Cancel, &other.booking.expect("the booking").booking_id).await.expect("cancelled");
    becomes(&house, &waits, WaitlistEntryStatus::Offered).await;
    assert_eq!(now(&house, &entry).await.status(), WaitlistEntryStatus::Waiting);
    house.sql("DROP TRIGGER fails ON waitlist_entries").await;
    becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
    settled(&house).await;
    assert_sound(&house).await;
}
