//! A small venue refuses a booking because too few seats are left, and lists the open slots.

use teppan_shared::contract::booking::v1::{
    Booking, Contact, CreateBookingRequest, ListAvailabilityRequest, SchedulePeriod, Venue, Weekday,
};
use teppan_tests::tool::millis;
use tonic_types::StatusExt as _;

use super::venue;
use crate::{
    journal::{Failed, say},
    show,
    stage::{Stage, saturday},
};

const REFUSED: &str = "CreateBooking, sold out";

/// A slot with too few seats left.
pub struct SoldOut {
    /// The booking that has most of the seats.
    pub taken: Booking,
    /// The refused request.
    pub refused: CreateBookingRequest,
}

pub async fn play(stage: &mut Stage) -> Result<SoldOut, Failed> {
    stage.journal.open_act("Sold out", "A slot is sold out");
    let key = stage.key("small-venue");
    let venue = venue::create(stage, key, "Teppan Counter", None).await?;
    let name = stage.journal.screen.bold(&venue.name);
    say(format!("    {name} has four seats, at 18:00 and at 20:00"));
    let period = SchedulePeriod {
        days: vec![Weekday::Friday.into(), Weekday::Saturday.into()],
        first_start: "18:00".to_owned(),
        last_start: "20:00".to_owned(),
        interval_minutes: 120,
        capacity: 4,
        price_per_person_cents: 6800,
        ..Default::default()
    };
    venue::set_schedule(stage, &venue, period).await?;
    let taken = three_take_seats(stage, &venue).await?;
    let refused = request(stage, &venue, "piet", 2);
    two_more_are_refused(stage, refused.clone()).await?;
    show_open_slots(stage, &venue).await?;
    Ok(SoldOut { taken, refused })
}

fn request(stage: &Stage, venue: &Venue, guest: &str, party_size: i32) -> CreateBookingRequest {
    CreateBookingRequest {
        idempotency_key: stage.key(guest),
        venue_id: venue.venue_id.clone(),
        date: saturday().to_string(),
        start_time: "18:00".to_owned(),
        party_size,
        contact: Some(Contact {
            name: format!("Guest {guest}"),
            email: format!("{guest}@example.org"),
            phone: String::new(),
        }),
        source: "demo".to_owned(),
        ..Default::default()
    }
}

async fn three_take_seats(stage: &mut Stage, venue: &Venue) -> Result<Booking, Failed> {
    let request = request(stage, venue, "lena", 3);
    let answer = stage.clients.bookings.create_booking(request);
    let (answer, took) = stage.journal.call("CreateBooking", answer).await?;
    let booking = answer.booking.unwrap_or_default();
    show::booking(stage.journal.screen, &booking, took);
    Ok(booking)
}

async fn two_more_are_refused(stage: &mut Stage, request: CreateBookingRequest) -> Result<(), Failed> {
    let answer = stage.clients.bookings.create_booking(request);
    let (answer, took) = stage.journal.time(REFUSED, answer).await;
    let Err(status) = answer else {
        return Err(Failed::new(REFUSED, "the last seat was sold twice"));
    };
    let info = status.get_details_error_info().filter(|info| info.reason == "SLOT_FULL");
    let Some((reason, open_seats)) = info.and_then(|mut info| Some((info.reason, info.metadata.remove("open_seats")?)))
    else {
        return Err(Failed::new(REFUSED, format!("it was refused for another reason: {}", status.message())));
    };
    let screen = stage.journal.screen;
    let (refused, took) = (screen.bad("refused"), screen.dim(millis(took)));
    say(format!("    {refused} two more at 18:00: {reason}, open seats: {open_seats}  {took}"));
    say(format!("            {}", status.message()));
    Ok(())
}

async fn show_open_slots(stage: &mut Stage, venue: &Venue) -> Result<(), Failed> {
    let day = saturday().to_string();
    let request = ListAvailabilityRequest {
        venue_id: venue.venue_id.clone(),
        from_date: day.clone(),
        to_date: day,
        party_size: 2,
        bookable_only: true,
        ..Default::default()
    };
    let answer = stage.clients.schedule.list_availability(request);
    let (open, took) = stage.journal.call("ListAvailability", answer).await?;
    let slots = open.slots.iter().map(|slot| format!("{} ({} seats)", slot.start_time, slot.open_seats));
    let slots = slots.collect::<Vec<_>>().join(", ");
    let took = stage.journal.screen.dim(millis(took));
    say(format!("    open for two on that day: {slots}  {took}"));
    Ok(())
}
