//! CreateBooking and CancelBooking of what it made, one after the other, both ways.
//!
//! What CancelBooking commits, the service computes from what it loaded. The script computes it in SQL, within the
//! statement that commits it: three look-ups of the booking by its key, and the making of a few hundred bytes of JSON.

use rand::Rng as _;
use teppan_shared::contract::booking::v1::{
    BookingStatus, CancelBookingRequest, booking_service_client::BookingServiceClient,
};
use tonic::transport::Channel;

use super::database::{Contents, NO_VALUE, NONE, VENUE, draw_venue, random_venue};
use crate::{
    case::Run,
    create_booking::{self, PARAMETERS, SLOTS},
    error::BenchError,
    pgbench::Script,
};

const LOAD: &str = include_str!("../../../../../booking-service/src/bookings/load.sql");
const COMMIT: &str = include_str!("../../../../../booking-service/src/bookings/commit.sql");
/// The parameter of CreateBooking's statement that is the venue.
const VENUE_AT: usize = 2;

const BOOKING: &str = "lpad(to_hex(:id::bigint), 32, '0')::uuid";
/// The cancellation's own, beside the event of the creation.
const EVENT: &str = "lpad(to_hex(:id::bigint + 1152921504606846976), 32, '0')::uuid";
/// What is committed of a cancellation: the booking, its seats and its event, as SQL over the booking's row.
const COMMITTED: [&str; 3] = [
    "jsonb_build_object('booking_id', booking_id, 'version', version, 'booking', to_jsonb(b) || jsonb_build_object(
         'status', 'CANCELLED', 'version', version + 1, 'hold_expires_at', NULL, 'cancelled_at', now(),
         'cancelled_by', 'CUSTOMER', 'updated_at', now()))",
    "jsonb_build_object('booking_id', booking_id, 'venue_id', venue_id, 'slot_date', slot_date,
         'start_time', start_time, 'seats', -party_size)",
    "jsonb_build_object('booking_id', booking_id, 'event_id', lpad(to_hex(:id::bigint + 1152921504606846976), 32, '0'),
         'version', version + 1, 'type', 'teppan.booking.cancelled.v1', 'occurred_at', now(), 'traceparent', :traceparent::text,
         'previous_hash', event_hash, 'destinations', '[\"conversation-service\"]'::jsonb,
         'data', jsonb_build_object(
             'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date, 'start_time', start_time,
             'booking_version', (version + 1)::text, 'status', 'BOOKING_STATUS_CANCELLED', 'occurred_at', now(),
             'conversation_id', conversation_id, 'party_size', party_size,
             'cancelled_by', 'CANCELLATION_INITIATOR_CUSTOMER', 'paid_cents', '0', 'refund_due_cents', '0',
             'kept_cents', '0', 'currency', currency)::text)",
];

/// One pair: a seat in any slot by a new customer, given up again.
pub async fn call(contents: Contents, channel: Channel) -> Result<(), BenchError> {
    let mut client = BookingServiceClient::new(channel);
    let slot = rand::rng().random_range(0..SLOTS);
    let create = create_booking::request(&random_venue(), contents.first_date, slot);
    let created = client.create_booking(create).await?.into_inner();
    if created.replayed {
        return Err(BenchError::Replayed);
    }
    let booking_id = created.booking.unwrap_or_default().booking_id;
    let cancel = CancelBookingRequest { booking_id, ..Default::default() };
    let cancelled = client.cancel_booking(cancel).await?.into_inner().booking.unwrap_or_default();
    BenchError::unless_all(1, usize::from(cancelled.status() == BookingStatus::Cancelled))
}

/// The same as a script.
pub fn script(contents: &Contents, run: Run) -> Script {
    let mut create = PARAMETERS;
    create[VENUE_AT] = VENUE;
    let none = |kind: &str| format!("{NONE}::{kind}");
    let (no_date, no_time, no_text) = (none("date"), none("time"), none("text"));
    let load = [&format!("ARRAY[{BOOKING}]"), EVENT, &no_date, &no_time, &no_text, &no_text, &no_text];
    let commit =
        COMMITTED.map(|rows| format!("SELECT jsonb_build_array({rows}) FROM bookings b WHERE booking_id = {BOOKING}"));
    let [bookings, seats, events] = commit.each_ref().map(String::as_str);
    let commit = [bookings, seats, events, "'[]'::jsonb", "'[]'::jsonb", "now()"];
    let create = Script::new(create_booking::STATEMENT, &create);
    let mut script = create.then(LOAD, &load).then(COMMIT, &commit);
    script.prelude = draw_venue() + &create_booking::prelude(&format!("random(0, {})", SLOTS - 1));
    let request = create_booking::request(&random_venue(), contents.first_date, 0);
    script.variables = create_booking::variables(request, run, contents.first_date);
    script.variables.extend([
        ("none", NO_VALUE.to_owned()),
        // as the service has it while no NATS is configured
        ("destinations", "{conversation-service}".to_owned()),
    ]);
    script
}
