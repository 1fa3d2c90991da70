//! CreateBooking, both ways.

use std::time::Duration;

use chrono::NaiveDate;
use rand::Rng as _;
use teppan_shared::{
    contract::booking::v1::{Contact, CreateBookingRequest, booking_service_client::BookingServiceClient},
    keys::Keys,
    sealing::AssociatedData,
};
use teppan_tests::fixtures;
use tonic::{Request, transport::Channel};

use crate::{
    case::{self, Rows, Run},
    error::BenchError,
    pgbench::Script,
    side::Side,
    stage::{DAYS, MINUTES_A_SLOT, SLOTS_A_DAY, Stage, date_of, start_of},
};

pub const STATEMENT: &str = include_str!("../../../../booking-service/src/bookings/create.sql");
pub const PRICE_CENTS: i64 = 3500;
pub const SLOTS: usize = DAYS * SLOTS_A_DAY;

/// The seats that a side has taken. `$1` is its venue.
pub const WRITTEN: &str = "SELECT COALESCE(sum(reserved), 0)::bigint FROM slots WHERE venue_id = $1::uuid";

/// Where a side books.
#[derive(Clone)]
pub struct Target {
    venue_id: String,
    first_date: NaiveDate,
    rows: Rows,
    run: Run,
}

impl Target {
    pub fn new(stage: &Stage, side: Side, rows: Rows, run: Run) -> Self {
        Self { venue_id: stage.venue(side).to_owned(), first_date: stage.first_date, rows, run }
    }

    /// Another slot in each run, so that a hot one does not sell out over the rounds.
    fn hot_slot(&self) -> usize {
        self.run.0 % SLOTS
    }

    fn request(&self) -> CreateBookingRequest {
        let slot = match self.rows {
            Rows::Many => rand::rng().random_range(0..SLOTS),
            Rows::One => self.hot_slot(),
        };
        request(&self.venue_id, self.first_date, slot)
    }

    /// One call: a new booking by a new customer.
    pub async fn call(self, channel: Channel) -> Result<(), BenchError> {
        self.send(Request::new(self.request()), channel).await
    }

    /// [`Self::call`] with a deadline.
    pub async fn call_within(self, timeout: Duration, channel: Channel) -> Result<(), BenchError> {
        let mut request = Request::new(self.request());
        request.set_timeout(timeout);
        self.send(request, channel).await
    }

    async fn send(&self, request: Request<CreateBookingRequest>, channel: Channel) -> Result<(), BenchError> {
        let reply = BookingServiceClient::new(channel).create_booking(request).await?;
        if reply.get_ref().replayed { Err(BenchError::Replayed) } else { Ok(()) }
    }

    /// The same as a script: values as long as those the service sends, ids new in each call and
    /// rising like its own, hashes and codes scattered like its own.
    pub fn script(&self) -> Script {
        let mut script = Script::new(STATEMENT, &PARAMETERS);
        script.prelude = prelude(&match self.rows {
            Rows::Many => format!("random(0, {})", SLOTS - 1),
            Rows::One => self.hot_slot().to_string(),
        });
        script.variables = variables(self.request(), self.run, self.first_date);
        script.variables.push(("venue", self.venue_id.clone()));
        script.variables.push(("destinations", "{conversation-service}".to_owned()));
        script
    }
}

/// One seat of the slot with this number, counted from the first of the first day.
pub fn request(venue_id: &str, first_date: NaiveDate, slot: usize) -> CreateBookingRequest {
    CreateBookingRequest {
        date: date_of(first_date, slot).to_string(),
        start_time: start_of(slot % SLOTS_A_DAY),
        expected_total_cents: Some(PRICE_CENTS),
        source: "web-chat".to_owned(),
        ..fixtures::booking(venue_id, 1)
    }
}

/// What stands for each parameter of the statement.
pub const PARAMETERS: [&str; 25] = [
    "lpad(to_hex(:id::bigint), 32, '0')::uuid::text",
    ":fingerprint::bytea",
    ":venue::uuid",
    ":first_date::date + :day::integer",
    ":first_start::time + make_interval(mins => :minute::integer)",
    ":party_size::integer",
    ":total_cents::bigint",
    "lpad(to_hex(:id::bigint), 32, '0')::uuid",
    "ARRAY[sha256(int8send(:id::bigint))]",
    "ARRAY[sha256(int8send(-:id::bigint))]",
    ":contact_sealed::bytea",
    "1::bigint",
    "lpad(to_hex(:id::bigint), 32, '0')::uuid",
    "lpad(to_hex(:code::bigint), 10, '0')",
    "'chat-' || lpad(to_hex(:id::bigint), 32, '0')",
    "lpad(to_hex(:id::bigint), 32, '0')::uuid",
    ":traceparent::text",
    ":details_sealed::bytea",
    ":source::text",
    ":destinations::text[]",
    "now()",
    "NULL::text",
    "''::text",
    "false",
    "false",
];

/// Sets what is new in each call; the slot's number is this expression of pgbench.
pub fn prelude(slot: &str) -> String {
    format!(
        "{}\\set code permute(:id, 1099511627776, 1)\n\\set slot {slot}\n\\set day :slot / {SLOTS_A_DAY}\n\
         \\set minute :slot % {SLOTS_A_DAY} * {MINUTES_A_SLOT}\n",
        case::new_id(),
    )
}

/// Everything else that the parameters name, but the venue and who hears of the booking.
pub fn variables(request: CreateBookingRequest, run: Run, first_date: NaiveDate) -> Vec<(&'static str, String)> {
    let CreateBookingRequest { contact, special_requests, source, party_size, .. } = request;
    let Contact { name, email, phone } = contact.unwrap_or_default();
    let contact_json = format!(r#"{{"name":"{name}","email":"{email}","phone":"{phone}"}}"#);
    let details = format!(r#"{{"contact":{contact_json},"special_requests":"{special_requests}"}}"#);
    vec![
        ("n", run.first_id()),
        ("fingerprint", hex(&[0x5a; 32])),
        ("first_date", first_date.to_string()),
        ("first_start", start_of(0)),
        ("party_size", party_size.to_string()),
        ("total_cents", (PRICE_CENTS * i64::from(party_size)).to_string()),
        ("contact_sealed", sealed(&contact_json)),
        ("traceparent", TRACEPARENT.to_owned()),
        ("details_sealed", sealed(&details)),
        ("source", source),
    ]
}

/// Of the length every `traceparent` has.
pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A text as the services seal it, in PostgreSQL's notation.
pub fn sealed(text: &str) -> String {
    hex(&Keys::random().ring().seal(AssociatedData { table: "bench", column: "text", row: b"1" }, text.as_bytes()))
}

/// Bytes in PostgreSQL's notation.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
