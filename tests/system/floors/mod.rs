//! Floors: how many guests are seated at once, in which area, and for how long.

mod changes;
mod races;
mod setting;
mod tables;
mod times;
mod waiting;

use teppan_shared::contract::booking::v1::{
    Area, BatchCheckAvailabilityRequest, CreateBookingRequest, Floor, ListAvailabilityRequest, SetFloorRequest,
    SetFloorResponse, SittingRule, SlotAvailability, SlotQuery,
};
use teppan_tests::{clients::BookingClients, fixtures, harness::Booking, invariants::AREAS_THAT_MISCOUNT};
use tonic::Status;
use tonic_types::StatusExt as _;

fn area(key: &str, seats: i32) -> Area {
    Area { area: key.to_owned(), seats: Some(seats), ..Default::default() }
}

/// A floor with these areas, where every party stays for this long.
fn floor(venue_id: &str, areas: Vec<Area>, minutes: i32) -> Floor {
    let sittings = vec![SittingRule { minutes, ..Default::default() }];
    Floor { venue_id: venue_id.to_owned(), areas, sittings, ..Default::default() }
}

async fn set(clients: &mut BookingClients, floor: Floor) -> Result<SetFloorResponse, Status> {
    let request = SetFloorRequest { floor: Some(floor), validate_only: false };
    Ok(clients.schedule.set_floor(request).await?.into_inner())
}

/// A venue with a start every half hour from 18:00 to 21:30, each for 40 guests.
async fn venue(clients: &mut BookingClients) -> String {
    let firm = fixtures::firm_venue(clients, 40).await.expect("a venue");
    let mut schedule = fixtures::every_evening(&firm.venue_id, 40);
    "21:30".clone_into(&mut schedule.periods[0].last_start);
    clients.schedule.set_weekly_schedule(schedule).await.expect("set");
    firm.venue_id
}

fn request(venue_id: &str, start_time: &str, party_size: i32, area: &str) -> CreateBookingRequest {
    CreateBookingRequest {
        start_time: start_time.to_owned(),
        area: area.to_owned(),
        ..fixtures::booking(venue_id, party_size)
    }
}

/// The reason of a refusal, with its `open_seats` and `limit`.
fn full(status: &Status) -> (String, String, String) {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    let value = |name| info.metadata.get(name).cloned().unwrap_or_default();
    (info.reason.clone(), value("open_seats"), value("limit"))
}

async fn assert_sound(booking: &Booking) {
    assert_eq!(booking.scalar::<i64>(AREAS_THAT_MISCOUNT).await, 0);
}

/// The slots of a day as ListAvailability lists them, for which Rust decides, after a check that BatchCheckAvailability,
/// for which the schema decides, says the same.
async fn listed_as_checked(clients: &BookingClients, venue_id: &str, party_size: i32) -> Vec<SlotAvailability> {
    let (mut schedule, day) = (clients.schedule.clone(), fixtures::date().to_string());
    let (venue_id, from_date, to_date) = (venue_id.to_owned(), day.clone(), day.clone());
    let list = ListAvailabilityRequest { venue_id, from_date, to_date, party_size, ..Default::default() };
    let listed = schedule.list_availability(list.clone()).await.expect("listed").into_inner().slots;
    let query = |start_time: &String| SlotQuery {
        venue_id: list.venue_id.clone(),
        date: day.clone(),
        start_time: start_time.clone(),
        party_size,
    };
    let queries = listed.iter().map(|slot| query(&slot.start_time)).collect();
    let checked = schedule.batch_check_availability(BatchCheckAvailabilityRequest { queries }).await.expect("checked");
    let checks = checked.into_inner().checks;
    let checked: Vec<_> = checks.into_iter().filter_map(|check| check.availability).collect();
    assert_eq!(listed, checked, "for {party_size}");
    listed
}
