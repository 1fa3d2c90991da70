//! CreateBooking at venues with a floor beside one without.

use chrono::NaiveDate;
use rand::Rng as _;
use teppan_shared::contract::booking::v1::{
    Area, CreateBookingRequest, Floor, SetFloorRequest, SittingRule, Table,
    booking_service_client::BookingServiceClient,
};
use teppan_tests::clients::BookingClients;
use tonic::transport::Channel;

use crate::{
    case::With,
    comparison::{Bound, Comparison, Subject, Target},
    create_booking,
    error::BenchError,
    load::{self, Clients},
    measured::{Cpu, Measured},
    rounds::{Round, Rounds, Watch},
    stage::{self, Stage},
};

/// Numbers of clients.
const CLIENTS: [usize; 2] = [1, 32];
const WITHOUT: &str = "no floor";
/// Areas with tables: as many as there are bookings at one time.
const ROOMS: usize = 20;
const TABLES: usize = 40;

/// What a booking takes besides its slot's seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Area,
    Tables,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Area => "one area, eight ticks",
            Self::Tables => "one of 40 tables, eight ticks",
        }
    }

    /// How many times as long as without a floor a booking may take.
    fn times_max(self) -> f64 {
        match self {
            Self::Area => 1.5,
            Self::Tables => 2.0,
        }
    }

    fn areas(self) -> Vec<Area> {
        match self {
            Self::Area => vec![Area { area: "main".to_owned(), seats: Some(10_000), ..Default::default() }],
            Self::Tables => {
                let table = |n| Table { table: format!("T{n}"), max_party_size: 50, ..Default::default() };
                let tables: Vec<_> = (0..TABLES).map(table).collect();
                let room = |n| Area { area: room(n), tables: tables.clone(), ..Default::default() };
                (0..ROOMS).map(room).collect()
            }
        }
    }
}

fn room(n: usize) -> String {
    format!("room-{n}")
}

/// A number of clients that book at both venues.
#[derive(Debug, Clone, Copy)]
pub struct FloorCase {
    clients: usize,
    kind: Kind,
}

impl FloorCase {
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = [Kind::Area, Kind::Tables].into_iter();
        kinds.flat_map(|kind| CLIENTS.into_iter().map(move |clients| Self { clients, kind }))
    }

    pub fn name(self) -> String {
        let Self { clients, kind } = self;
        format!("CreateBooking with a floor, {}, {clients} client{}", kind.name(), if clients == 1 { "" } else { "s" })
    }
}

/// The venues: without a floor, with an area, with tables.
struct Venues {
    without: String,
    with_area: String,
    with_tables: String,
    first_date: NaiveDate,
}

impl Venues {
    async fn create(stage: &Stage) -> Result<Self, BenchError> {
        let mut clients = BookingClients::new(stage.booking.process.grpc);
        let first_date = stage.first_date;
        let without = stage::venue(&mut clients, first_date).await?;
        let with_area = Self::create_with(&mut clients, first_date, Kind::Area).await?;
        let with_tables = Self::create_with(&mut clients, first_date, Kind::Tables).await?;
        Ok(Self { without, with_area, with_tables, first_date })
    }

    async fn create_with(
        clients: &mut BookingClients,
        first_date: NaiveDate,
        kind: Kind,
    ) -> Result<String, BenchError> {
        let venue_id = stage::venue(clients, first_date).await?;
        let sittings = vec![SittingRule { minutes: 120, ..Default::default() }];
        let floor = Floor { venue_id: venue_id.clone(), areas: kind.areas(), sittings, ..Default::default() };
        clients.schedule.set_floor(SetFloorRequest { floor: Some(floor), validate_only: false }).await?;
        Ok(venue_id)
    }

    /// The venue of one side of a case: 0 is that without a floor.
    fn of(&self, case: FloorCase, side: usize) -> &str {
        match (side, case.kind) {
            (0, _) => &self.without,
            (_, Kind::Area) => &self.with_area,
            (_, Kind::Tables) => &self.with_tables,
        }
    }
}

/// Measures both venues in turns.
pub async fn measure(cases: &[FloorCase], rounds: usize, with: &With<'_>) -> Result<Vec<Comparison>, BenchError> {
    let mut comparisons = Vec::new();
    if cases.is_empty() {
        return Ok(comparisons);
    }
    let venues = Venues::create(with.stage).await?;
    for case in cases {
        let round = async |round: Round| {
            let mut measured = [None, None];
            let first = round.place % 2;
            for side in [first, 1 - first] {
                measured[side] = Some(bookings(*case, &venues, side, with).await?);
            }
            Ok(measured.into_iter().flatten().collect())
        };
        let rounds = Rounds::make(&case.name(), rounds, &Watch::over(with.server), round).await?;
        #[expect(clippy::cast_precision_loss, reason = "a number of clients")]
        let x = case.clients as f64;
        let subject = Subject { name: case.name(), group: "CreateBooking with a floor".to_owned(), x };
        let target = Target { than: WITHOUT, bound: Bound::P50AtMostTimes(case.kind.times_max()) };
        if let Some(compared) = Comparison::new(subject, &[WITHOUT, case.kind.name()], vec![target], &rounds) {
            println!("{compared}");
            comparisons.push(compared);
        }
    }
    Ok(comparisons)
}

async fn bookings(case: FloorCase, venues: &Venues, side: usize, with: &With<'_>) -> Result<Measured, BenchError> {
    let served = &with.stage.booking;
    served.settle().await?;
    let before = Cpu::now(served, with.server);
    let clients = Clients { count: case.clients, connections: with.connections };
    let (venue_id, first_date) = (venues.of(case, side).to_owned(), venues.first_date);
    let names_room = side == 1 && case.kind == Kind::Tables;
    let call = move |channel| book(venue_id.clone(), first_date, names_room, channel);
    let sample = load::run(served.process.grpc, clients, with.timing, call).await?;
    let cpu = before.zip(Cpu::now(served, with.server)).map(|(before, after)| before.until(&after, sample.calls));
    Ok(Measured { cpu, ..sample.figures().into() })
}

async fn book(venue_id: String, first_date: NaiveDate, names_room: bool, channel: Channel) -> Result<(), BenchError> {
    let slot = rand::rng().random_range(0..create_booking::SLOTS);
    let request = create_booking::request(&venue_id, first_date, slot);
    let area = if names_room { room(rand::rng().random_range(0..ROOMS)) } else { String::new() };
    BookingServiceClient::new(channel).create_booking(CreateBookingRequest { area, ..request }).await?;
    Ok(())
}
