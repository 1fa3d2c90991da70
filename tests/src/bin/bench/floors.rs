//! CreateBooking at a venue with a floor beside one without.

use chrono::NaiveDate;
use rand::Rng as _;
use teppan_shared::contract::booking::v1::{
    Area, Floor, SetFloorRequest, SittingRule, booking_service_client::BookingServiceClient,
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
/// How many times as long, and a fraction of how many, bookings of one area may be.
const TIMES_MAX: f64 = 1.5;
const SIDES: [&str; 2] = ["no floor", "one area, eight ticks"];

/// A number of clients that book at both venues.
#[derive(Debug, Clone, Copy)]
pub struct FloorCase {
    clients: usize,
}

impl FloorCase {
    pub fn all() -> impl Iterator<Item = Self> {
        CLIENTS.into_iter().map(|clients| Self { clients })
    }

    pub fn name(self) -> String {
        let Self { clients } = self;
        format!("CreateBooking with a floor, {clients} client{}", if clients == 1 { "" } else { "s" })
    }
}

/// The venues of both sides.
struct Venues {
    ids: [String; 2],
    first_date: NaiveDate,
}

impl Venues {
    async fn create(stage: &Stage) -> Result<Self, BenchError> {
        let mut clients = BookingClients::new(stage.booking.process.grpc);
        let first_date = stage.first_date;
        let without = stage::venue(&mut clients, first_date).await?;
        let with = stage::venue(&mut clients, first_date).await?;
        let areas = vec![Area { area: "main".to_owned(), seats: Some(10_000), ..Default::default() }];
        let sittings = vec![SittingRule { minutes: 120, ..Default::default() }];
        let floor = Floor { venue_id: with.clone(), areas, sittings, ..Default::default() };
        clients.schedule.set_floor(SetFloorRequest { floor: Some(floor), validate_only: false }).await?;
        Ok(Self { ids: [without, with], first_date })
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
        let target = Target { than: SIDES[0], bound: Bound::P50AtMostTimes(TIMES_MAX) };
        if let Some(compared) = Comparison::new(subject, &SIDES, vec![target], &rounds) {
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
    let (venue_id, first_date) = (venues.ids[side].clone(), venues.first_date);
    let call = move |channel| book(venue_id.clone(), first_date, channel);
    let sample = load::run(served.process.grpc, clients, with.timing, call).await?;
    let cpu = before.zip(Cpu::now(served, with.server)).map(|(before, after)| before.until(&after, sample.calls));
    Ok(Measured { cpu, ..sample.figures().into() })
}

async fn book(venue_id: String, first_date: NaiveDate, channel: Channel) -> Result<(), BenchError> {
    let slot = rand::rng().random_range(0..create_booking::SLOTS);
    let request = create_booking::request(&venue_id, first_date, slot);
    BookingServiceClient::new(channel).create_booking(request).await?;
    Ok(())
}
