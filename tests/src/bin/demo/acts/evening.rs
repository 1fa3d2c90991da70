//! A full evening: chairs and tables are sold once, although the next slot has seats, and the refusal names other times.

use prost::Message as _;
use teppan_shared::contract::booking::v1::{
    Alternatives, Area, Booking, Contact, CreateBookingRequest, Floor, SchedulePeriod, SetFloorRequest, SittingRule,
    Table, TableCombination, Venue, Weekday,
};
use teppan_tests::tool::millis;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::venue;
use crate::{
    journal::{Failed, say},
    show,
    stage::{Stage, saturday},
};

const REFUSED: &str = "CreateBooking, the hall is full";

pub async fn play(stage: &mut Stage) -> Result<(), Failed> {
    stage.journal.open_act("A full evening", "A hall sells each chair once in an evening");
    let key = stage.key("hall");
    let venue = venue::create(stage, key, "Teppan Hall", Some(0)).await?;
    let period = SchedulePeriod {
        days: vec![Weekday::Friday.into(), Weekday::Saturday.into()],
        first_start: "18:00".to_owned(),
        last_start: "21:00".to_owned(),
        interval_minutes: 30,
        capacity: 46,
        price_per_person_cents: 3500,
        ..Default::default()
    };
    venue::set_schedule(stage, &venue, period).await?;
    set_floor(stage, &venue).await?;
    book(stage, request(stage, &venue, "18:00", 40)).await?;
    join_tables(stage, &venue).await?;
    let wish = request(stage, &venue, "19:00", 5);
    let start_time = refused_with_alternative(stage, wish.clone()).await?;
    book(stage, CreateBookingRequest { start_time, ..wish }).await?;
    Ok(())
}

/// A party of six gets two tables of the room that are joined.
async fn join_tables(stage: &mut Stage, venue: &Venue) -> Result<(), Failed> {
    let wish = CreateBookingRequest { area: "room".to_owned(), ..request(stage, venue, "18:00", 6) };
    let booking = book(stage, wish).await?;
    if booking.tables != ["R1", "R2"] {
        return Err(Failed::new("CreateBooking", format!("six guests got the tables {:?}", booking.tables)));
    }
    say("            no table seats six: R1 and R2 are joined, and nobody else gets them before 20:00");
    Ok(())
}

async fn set_floor(stage: &mut Stage, venue: &Venue) -> Result<(), Failed> {
    let floor = Floor {
        venue_id: venue.venue_id.clone(),
        areas: vec![Area { area: "hall".to_owned(), seats: Some(40), ..Default::default() }, room()],
        sittings: vec![SittingRule { minutes: 120, ..Default::default() }],
        ..Default::default()
    };
    let answer = stage.clients.schedule.set_floor(SetFloorRequest { floor: Some(floor), validate_only: false });
    let (_, took) = stage.journal.call("SetFloor", answer).await?;
    let took = stage.journal.screen.dim(millis(took));
    say(format!("    a hall with 40 seats, and a room with two tables for four; guests stay for two hours  {took}"));
    Ok(())
}

fn room() -> Area {
    let table = |key: &str| Table { table: key.to_owned(), max_party_size: 4, ..Default::default() };
    let tables = vec!["R1".to_owned(), "R2".to_owned()];
    let joined = TableCombination { tables, min_party_size: 5, max_party_size: 8 };
    Area {
        area: "room".to_owned(),
        tables: vec![table("R1"), table("R2")],
        combinations: vec![joined],
        ..Default::default()
    }
}

fn request(stage: &Stage, venue: &Venue, start_time: &str, party_size: i32) -> CreateBookingRequest {
    let guest = format!("party-of-{party_size}");
    CreateBookingRequest {
        idempotency_key: stage.key(&guest),
        venue_id: venue.venue_id.clone(),
        date: saturday().to_string(),
        start_time: start_time.to_owned(),
        party_size,
        contact: Some(Contact {
            name: "Guest Noor".to_owned(),
            email: format!("{guest}@example.org"),
            phone: String::new(),
        }),
        source: "demo".to_owned(),
        ..Default::default()
    }
}

async fn book(stage: &mut Stage, request: CreateBookingRequest) -> Result<Booking, Failed> {
    let answer = stage.clients.bookings.create_booking(request);
    let (answer, took) = stage.journal.call("CreateBooking", answer).await?;
    let booking = answer.booking.unwrap_or_default();
    show::booking(stage.journal.screen, &booking, took);
    Ok(booking)
}

/// Returns the nearest time that the refusal names.
async fn refused_with_alternative(stage: &mut Stage, request: CreateBookingRequest) -> Result<String, Failed> {
    let answer = stage.clients.bookings.create_booking(request);
    let (answer, took) = stage.journal.time(REFUSED, answer).await;
    let Err(status) = answer else { return Err(Failed::new(REFUSED, "forty chairs were sold to more guests")) };
    let info = status.get_details_error_info().filter(|info| info.reason == "SLOT_FULL");
    let Some(info) = info else {
        return Err(Failed::new(REFUSED, format!("it was refused for another reason: {}", status.message())));
    };
    let starts = alternatives(&status);
    let first = starts.first().cloned().ok_or_else(|| Failed::new(REFUSED, "it names no other time"))?;
    let screen = stage.journal.screen;
    let (refused, took) = (screen.bad("refused"), screen.dim(millis(took)));
    say(format!("    {refused} five at 19:00: {} of the {}  {took}", info.reason, info.metadata["limit"]));
    say(format!("            the refusal itself names other times: {}", starts.join(", ")));
    Ok(first)
}

fn alternatives(status: &Status) -> Vec<String> {
    let details = tonic_types::pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    let found = details.iter().find(|any| any.type_url.ends_with("/teppan.booking.v1.Alternatives"));
    let found = found.and_then(|any| Alternatives::decode(&*any.value).ok()).unwrap_or_default();
    found.suggestions.into_iter().map(|suggestion| suggestion.start_time).collect()
}
