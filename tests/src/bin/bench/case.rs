//! The cases: one call through the services beside bare statements through pgbench.

use teppan_shared::embedded::ThrowawayServer;

use crate::{
    comparison::{Bound, Subject, Target},
    create_booking,
    error::BenchError,
    floor, list_availability,
    load::{self, Clients},
    measured::{Cpu, Measured},
    pgbench::Pgbench,
    sample::{Sample, Timing},
    side::Side,
    stage::{Served, Stage},
    store_message, suggest_slots,
};

/// A hot call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    StoreMessage,
    CreateBooking,
    ListAvailability,
    SuggestSlots,
}

/// Whether the clients spread over many slots or conversations, or all want the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    Many,
    One,
}

/// One row of the report.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub call: Call,
    pub rows: Rows,
    pub clients: usize,
}

const CLIENTS: [usize; 4] = [1, 8, 32, 128];

/// All of them, in the order of the report.
pub fn all() -> Vec<Case> {
    let kinds = [
        (Call::StoreMessage, Rows::Many),
        (Call::StoreMessage, Rows::One),
        (Call::CreateBooking, Rows::Many),
        (Call::CreateBooking, Rows::One),
        (Call::ListAvailability, Rows::Many),
        (Call::SuggestSlots, Rows::Many),
    ];
    let of_kind = |(call, rows)| CLIENTS.map(move |clients| Case { call, rows, clients });
    kinds.into_iter().flat_map(of_kind).collect()
}

/// The number of a measurement in this run of the tool: keeps the ids of different ones apart.
#[derive(Debug, Clone, Copy)]
pub struct Run(pub usize);

/// No measurement comes to this many ids.
const IDS_A_RUN: usize = 1 << 28;
/// As many clients as a case has at most.
const CLIENTS_MAX: usize = 128;

impl Run {
    /// Where pgbench's variable `n` begins.
    pub fn first_id(self) -> String {
        ((self.0 + 1) * IDS_A_RUN).to_string()
    }
}

/// Sets pgbench's variable `id`: all clients' ids rise side by side, like those made by the clock.
pub fn new_id() -> String {
    format!("\\set n :n + {CLIENTS_MAX}\n\\set id :n + :client_id\n")
}

impl Call {
    pub fn name(self) -> &'static str {
        match self {
            Self::StoreMessage => "StoreMessage",
            Self::CreateBooking => "CreateBooking",
            Self::ListAvailability => "ListAvailability",
            Self::SuggestSlots => "SuggestSlots",
        }
    }

    fn writes(self) -> bool {
        matches!(self, Self::StoreMessage | Self::CreateBooking)
    }

    /// How often the plain service's calls a second the service is to answer, at 32 clients and more.
    fn times_of_plain(self, rows: Rows) -> Option<f64> {
        match (self, rows) {
            (Self::CreateBooking, Rows::Many) => Some(4.0),
            (Self::CreateBooking, Rows::One) => Some(8.0),
            (Self::StoreMessage, Rows::Many) => Some(3.0),
            (Self::StoreMessage, Rows::One) => Some(5.0),
            (Self::ListAvailability | Self::SuggestSlots, _) => None,
        }
    }

    /// How much longer than a bare INSERT one call may take.
    fn ms_above_floor(self) -> Option<f64> {
        match self {
            Self::CreateBooking => Some(0.3),
            Self::StoreMessage => Some(0.2),
            Self::ListAvailability | Self::SuggestSlots => None,
        }
    }
}

impl Case {
    pub fn subject(&self) -> Subject {
        let rows = match (self.call, self.rows) {
            (Call::StoreMessage, Rows::Many) => "many conversations",
            (Call::StoreMessage, Rows::One) => "one conversation",
            (Call::CreateBooking, Rows::Many) => "many slots",
            (Call::CreateBooking, Rows::One) => "one slot",
            (Call::ListAvailability, _) => "7 days of 17 slots",
            (Call::SuggestSlots, _) => "4 hours of 20 venues",
        };
        let s = if self.clients == 1 { "" } else { "s" };
        let (call, clients) = (self.call.name(), self.clients);
        Subject {
            name: format!("{call}, {clients} client{s}, {rows}"),
            group: format!("{call}, {rows}"),
            x: f64::from(u32::try_from(clients).unwrap_or(u32::MAX)),
        }
    }

    /// The ways it is made, the service's own last. The floor is the same for one slot as for many, and reading has none.
    /// The plain service does not suggest slots.
    pub fn sides(&self) -> Vec<Side> {
        if self.call == Call::SuggestSlots {
            return vec![Side::Pgbench, Side::Teppan];
        }
        let has_floor = self.call.writes() && self.rows == Rows::Many;
        let all = [Side::Floor, Side::Pgbench, Side::Plain, Side::Teppan];
        all.into_iter().filter(|side| has_floor || *side != Side::Floor).collect()
    }

    pub fn targets(&self) -> Vec<Target> {
        let target = |side: Side, bound| Target { than: side.name(), bound };
        let mut targets = Vec::new();
        let many = self.rows == Rows::Many;
        if self.clients >= 32 {
            let times = self.call.times_of_plain(self.rows);
            targets.extend(times.map(|times| target(Side::Plain, Bound::PerSecondAtLeastTimes(times))));
            if many && self.call.writes() {
                targets.push(target(Side::Floor, Bound::PerSecondAtLeastTimes(0.5)));
            }
        }
        match (self.call, self.rows, self.clients) {
            (Call::StoreMessage | Call::CreateBooking, Rows::Many, 1) => {
                let above = self.call.ms_above_floor();
                targets.extend(above.map(|ms| target(Side::Floor, Bound::P50AtMostMsMore(ms))));
                targets.push(target(Side::Pgbench, Bound::P50AtMostTimes(1.6)));
            }
            (Call::StoreMessage | Call::CreateBooking, Rows::Many, 32) => {
                targets.push(target(Side::Pgbench, Bound::PerSecondAtLeastTimes(0.65)));
            }
            (Call::CreateBooking, Rows::One, 32) => {
                targets.push(target(Side::Pgbench, Bound::PerSecondAtLeastTimes(1.2)));
            }
            (Call::SuggestSlots, _, 1) => targets.push(target(Side::Pgbench, Bound::P50AtMostTimes(2.0))),
            _ => {}
        }
        targets
    }

    /// Measures one side once, and checks that all its calls were written.
    pub async fn measure(&self, side: Side, run: Run, with: &With<'_>) -> Result<Measured, BenchError> {
        if self.call == Call::SuggestSlots {
            with.stage.suggested_venues().await?;
        }
        let served = self.served(side, with.stage);
        served.settle().await?;
        let written = self.written(side, with.stage).await?;
        let cpu = Cpu::now(served, with.server);
        let sample = match side {
            Side::Floor => with.pgbench.run(&floor::script(), &served.url, self.clients, with.timing).await?,
            Side::Pgbench => self.through_pgbench(run, with).await?,
            Side::Plain | Side::Teppan => self.through_grpc(side, run, with).await?,
        };
        let after = Cpu::now(served, with.server);
        let cpu = cpu.zip(after).map(|(before, after)| before.until(&after, sample.calls));
        if let Some((before, after)) = written.zip(self.written(side, with.stage).await?)
            && u64::try_from(after - before) != Ok(sample.calls)
        {
            let (what, written) = (self.subject().name, after - before);
            return Err(BenchError::Unequal { what, calls: sample.calls, written });
        }
        Ok(Measured { cpu, ..sample.figures().into() })
    }

    fn served<'a>(&self, side: Side, stage: &'a Stage) -> &'a Served {
        stage.served(self.call, side)
    }

    async fn through_grpc(&self, side: Side, run: Run, with: &With<'_>) -> Result<Sample, BenchError> {
        let address = self.served(side, with.stage).process.grpc;
        let clients = Clients { count: self.clients, connections: with.connections };
        match self.call {
            Call::StoreMessage => {
                let target = store_message::Target::new(side, self.rows, run);
                load::run(address, clients, with.timing, move |channel| target.clone().call(channel)).await
            }
            Call::CreateBooking => {
                let target = create_booking::Target::new(with.stage, side, self.rows, run);
                load::run(address, clients, with.timing, move |channel| target.clone().call(channel)).await
            }
            Call::ListAvailability => {
                let (venue, first_date) = (with.stage.venue(side).to_owned(), with.stage.first_date);
                let call = move |channel| list_availability::call(venue.clone(), first_date, channel);
                load::run(address, clients, with.timing, call).await
            }
            Call::SuggestSlots => {
                let (venues, first_date) = (with.stage.suggested_venues().await?.to_vec(), with.stage.first_date);
                let call = move |channel| suggest_slots::call(venues.clone(), first_date, channel);
                load::run(address, clients, with.timing, call).await
            }
        }
    }

    async fn through_pgbench(&self, run: Run, with: &With<'_>) -> Result<Sample, BenchError> {
        let (stage, side) = (with.stage, Side::Pgbench);
        let script = match self.call {
            Call::StoreMessage => store_message::Target::new(side, self.rows, run).script(),
            Call::CreateBooking => create_booking::Target::new(stage, side, self.rows, run).script(),
            Call::ListAvailability => list_availability::script(stage.venue(side), stage.first_date),
            Call::SuggestSlots => suggest_slots::script(stage.suggested_venues().await?, stage.first_date),
        };
        with.pgbench.run(&script, &self.served(side, stage).url, self.clients, with.timing).await
    }

    /// What a side has written up to now; `None` of a call that writes nothing.
    async fn written(&self, side: Side, stage: &Stage) -> Result<Option<i64>, BenchError> {
        let (query, whose) = match (self.call, side) {
            (Call::ListAvailability | Call::SuggestSlots, _) => return Ok(None),
            (_, Side::Floor) => (floor::WRITTEN, "floor"),
            (Call::StoreMessage, _) => (store_message::WRITTEN, store_message::prefix(side)),
            (Call::CreateBooking, _) => (create_booking::WRITTEN, stage.venue(side)),
        };
        let mut connection = self.served(side, stage).connect().await?;
        let written = sqlx::query_scalar(query).bind(whose).fetch_one(&mut connection).await?;
        sqlx::Connection::close(connection).await?;
        Ok(Some(written))
    }
}

/// What all measurements share.
pub struct With<'a> {
    pub server: &'a ThrowawayServer,
    pub stage: &'a Stage,
    pub pgbench: &'a Pgbench,
    pub timing: Timing,
    /// HTTP/2 connections of the load generator.
    pub connections: usize,
}
