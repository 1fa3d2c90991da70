//! CreateBooking and CancelBooking of what it made, one after the other, both ways.

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

const CANCEL: &str = include_str!("../../../../../booking-service/src/bookings/cancel.sql");
/// The parameter of CreateBooking's statement that is the venue.
const VENUE_AT: usize = 2;

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
    let no_version = format!("{NONE}::bigint");
    let cancel = [
        "lpad(to_hex(:id::bigint), 32, '0')::uuid",
        &no_version,
        ":allowed::text[]",
        // the cancellation's own, beside the one of the creation
        "lpad(to_hex(:id::bigint + 1152921504606846976), 32, '0')::uuid",
        ":traceparent::text",
        ":destinations::text[]",
        "now()",
        ":cancelled_by::text",
    ];
    let mut script = Script::new(create_booking::STATEMENT, &create).then(CANCEL, &cancel);
    script.prelude = draw_venue() + &create_booking::prelude(&format!("random(0, {})", SLOTS - 1));
    let request = create_booking::request(&random_venue(), contents.first_date, 0);
    script.variables = create_booking::variables(request, run, contents.first_date);
    script.variables.extend([
        ("none", NO_VALUE.to_owned()),
        ("allowed", "{PENDING,CONFIRMED}".to_owned()),
        // as the service has it while no NATS is configured
        ("destinations", "{conversation-service}".to_owned()),
        ("cancelled_by", "CUSTOMER".to_owned()),
    ]);
    script
}
