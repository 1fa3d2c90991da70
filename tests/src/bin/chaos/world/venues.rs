//! The venues of a run: one whose bookings are confirmed at once, one that waits for deposits, and one with tables.

use rand::{Rng as _, rngs::StdRng};
use teppan_shared::contract::booking::v1::{
    Area, Floor, SchedulePeriod, SetFloorRequest, SetWeeklyScheduleRequest, SittingRule, Table, TableCombination,
};
use teppan_tests::{clients::BookingClients, fixtures};
use tonic::Status;

/// The starts of every day.
pub const STARTS: [&str; 4] = ["18:00", "18:30", "19:00", "19:30"];
/// Seats of a slot for each three guests: so few that guests compete for the last seats.
const SEATS_PER_THREE_GUESTS: i32 = 2;
const TABLES: i64 = 8;

pub struct Venues {
    /// Without a deposit.
    pub firm: String,
    /// With a deposit, which Stripe collects.
    pub paid: String,
    /// With a floor and tables.
    pub tables: String,
    /// Seats of each slot.
    pub seats: i32,
}

impl Venues {
    /// Opens the venues, with seats for this many guests.
    pub async fn open(clients: &mut BookingClients, guests: usize) -> Result<Self, Status> {
        let seats = (i32::try_from(guests).unwrap_or(i32::MAX / 8) * SEATS_PER_THREE_GUESTS / 3).max(6);
        let open = async |clients: &mut BookingClients, deposit: i32| {
            let venue = fixtures::venue_with(clients, seats, |venue| {
                venue.deposit_percent = Some(deposit);
                venue.waitlist_hold_minutes = Some(10);
            });
            let venue_id = venue.await?.venue_id;
            clients.schedule.set_weekly_schedule(schedule(&venue_id, seats)).await?;
            Ok::<_, Status>(venue_id)
        };
        let (firm, paid, tables) = (open(clients, 0).await?, open(clients, 25).await?, open(clients, 0).await?);
        let venues = Self { firm, paid, tables, seats };
        let request = SetFloorRequest { floor: Some(floor(&venues.tables)), validate_only: false };
        clients.schedule.set_floor(request).await?;
        Ok(venues)
    }

    pub fn any(&self, rng: &mut StdRng) -> &str {
        match rng.random_range(0..10) {
            0..5 => &self.firm,
            5..8 => &self.paid,
            _ => &self.tables,
        }
    }
}

fn schedule(venue_id: &str, seats: i32) -> SetWeeklyScheduleRequest {
    let every_evening = fixtures::every_evening(venue_id, seats);
    let periods = every_evening.periods.into_iter().map(|period| SchedulePeriod {
        last_start: STARTS[STARTS.len() - 1].to_owned(),
        interval_minutes: 30,
        ..period
    });
    SetWeeklyScheduleRequest { periods: periods.collect(), ..every_evening }
}

/// A dining room with tables for four, two of which can be joined, and a terrace that only counts seats.
fn floor(venue_id: &str) -> Floor {
    let table = |n: i64| Table { table: format!("t{n}"), min_party_size: 1, max_party_size: 4 };
    let joined =
        TableCombination { tables: vec!["t1".to_owned(), "t2".to_owned()], min_party_size: 5, max_party_size: 8 };
    let room = Area {
        area: "room".to_owned(),
        tables: (1..=TABLES).map(table).collect(),
        combinations: vec![joined],
        ..Default::default()
    };
    let terrace = Area { area: "terrace".to_owned(), seats: Some(12), ..Default::default() };
    Floor {
        venue_id: venue_id.to_owned(),
        areas: vec![room, terrace],
        sittings: vec![SittingRule { minutes: 90, ..Default::default() }],
        ..Default::default()
    }
}
