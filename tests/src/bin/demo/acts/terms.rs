//! The terms of a booking: a guest confirms after the reminder, a party shrinks late, and another one never comes.

use std::collections::HashMap;

use teppan_shared::contract::{
    booking::v1::{
        Booking, ConfirmBookingRequest, Contact, CreateBookingRequest, CreateVenueRequest, MarkNoShowRequest,
        RescheduleBookingRequest, SchedulePeriod, Venue, Weekday,
    },
    conversation::v1::{FollowUp, FollowUpTrigger, ListFollowUpsRequest},
};
use teppan_tests::{
    clients::BookingClients,
    launch::{Process, Shown, Which},
    stripe::Intent,
    tool::{millis, wait_until_serving},
};

use super::{conversations::Talk, deposit, venue, wait::until_shown};
use crate::{
    journal::{Failed, say},
    show,
    stage::{Stage, saturday},
};

const CONFIRM: &str = "ConfirmBooking, by the guest";
const SHRINK: &str = "RescheduleBooking, late";
const NO_SHOW: &str = "MarkNoShow";

pub async fn play(stage: &mut Stage, talk: &Talk) -> Result<(), Failed> {
    stage.journal.open_act("Terms", "What was agreed holds");
    let venue = open(stage).await?;
    let comes = book(stage, &venue, talk, "18:00", 4).await?;
    confirmed_by_guest(stage, talk, &comes).await?;
    shrinks(stage, comes).await?;
    let stays_away = book(stage, &venue, talk, "20:30", 2).await?;
    is_missed(stage, &stays_away).await
}

/// A venue that refunds half from thirty days before the start on, and asks a fee for a no-show.
async fn open(stage: &mut Stage) -> Result<Venue, Failed> {
    let request = CreateVenueRequest {
        idempotency_key: stage.key("counter"),
        name: "Teppan Counter".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        deposit_percent: Some(0),
        full_refund_hours: Some(30 * 24),
        late_refund_percent: Some(50),
        no_show_fee_per_person_cents: Some(2000),
        ..Default::default()
    };
    let answer = stage.clients.schedule.create_venue(request);
    let (answer, _) = stage.journal.call("CreateVenue", answer).await?;
    let venue = answer.venue.unwrap_or_default();
    let period = SchedulePeriod {
        days: vec![Weekday::Saturday.into()],
        first_start: "18:00".to_owned(),
        last_start: "20:30".to_owned(),
        capacity: 12,
        price_per_person_cents: 3500,
        ..Default::default()
    };
    venue::set_schedule(stage, &venue, period).await?;
    say("    half is refunded within 30 days of the start; who does not come owes 20.00 EUR a guest");
    Ok(venue)
}

async fn book(
    stage: &mut Stage,
    venue: &Venue,
    talk: &Talk,
    start_time: &str,
    party_size: i32,
) -> Result<Booking, Failed> {
    let guest = format!("counter-{party_size}");
    let request = CreateBookingRequest {
        idempotency_key: stage.key(&guest),
        venue_id: venue.venue_id.clone(),
        date: saturday().to_string(),
        start_time: start_time.to_owned(),
        party_size,
        contact: Some(Contact {
            name: "Guest Linde".to_owned(),
            email: format!("{guest}@example.org"),
            phone: String::new(),
        }),
        conversation_id: talk.conversation_id.clone(),
        source: "demo".to_owned(),
        ..Default::default()
    };
    let answer = stage.clients.bookings.create_booking(talk.trace.carry(request));
    let (answer, took) = stage.journal.call("CreateBooking", answer).await?;
    let booking = answer.booking.unwrap_or_default();
    show::booking(stage.journal.screen, &booking, took);
    Ok(booking)
}

/// Reminders are due before the visit. The guest says "we come".
async fn confirmed_by_guest(stage: &mut Stage, talk: &Talk, booking: &Booking) -> Result<(), Failed> {
    let reminders = until_shown("ListFollowUps", async || {
        let found = reminders(stage, talk, booking).await?;
        Ok(Some(found).filter(|found| !found.is_empty()))
    });
    let reminders = reminders.await?;
    let due: Vec<_> = reminders.iter().map(|it| show::clock(it.due_at, &it.time_zone)).collect();
    let screen = stage.journal.screen;
    say(format!("    {}  reminders on {}", screen.good("scheduled"), due.join(" and ")));
    let request = ConfirmBookingRequest {
        booking_id: booking.booking_id.clone(),
        confirmed_by_guest: true,
        ..Default::default()
    };
    let (answer, took) = stage.journal.call(CONFIRM, stage.clients.bookings.confirm_booking(request)).await?;
    if answer.booking.unwrap_or_default().guest_confirmed_at.is_none() {
        return Err(Failed::new(CONFIRM, "the booking does not say that the guest comes"));
    }
    say(format!(
        "    {}  the guest answers a reminder: four come  {}",
        screen.good("confirmed"),
        screen.dim(millis(took))
    ));
    Ok(())
}

async fn reminders(stage: &mut Stage, talk: &Talk, booking: &Booking) -> Result<Vec<FollowUp>, Failed> {
    let list = ListFollowUpsRequest { conversation_id: talk.conversation_id.clone(), ..Default::default() };
    let (found, _) = stage.journal.call("ListFollowUps", stage.clients.follow_ups.list_follow_ups(list)).await?;
    let subject = format!("booking:{}:", booking.booking_id);
    let is_reminder = |it: &FollowUp| it.trigger() == FollowUpTrigger::Reminder && it.subject.starts_with(&subject);
    Ok(found.follow_ups.into_iter().filter(is_reminder).collect())
}

/// The party pays, and loses two guests late: the answer is known before the guest decides.
async fn shrinks(stage: &mut Stage, booking: Booking) -> Result<(), Failed> {
    deposit::post(stage, &Intent::of(&booking.booking_id, booking.total_cents).succeeded()).await?;
    let paid =
        async || Ok(Some(deposit::read(stage, &booking).await?).filter(|paid| paid.paid_cents == booking.total_cents));
    until_shown("GetBooking", paid).await?;
    let asked = shrink(stage, &booking, true).await?;
    let shrunk = shrink(stage, &booking, false).await?;
    if (asked.refund_due_cents, asked.retained_cents) != (shrunk.refund_due_cents, shrunk.retained_cents)
        || shrunk.refund_due_cents != 3500
    {
        return Err(Failed::new(SHRINK, format!("{} is due back", shrunk.refund_due_cents)));
    }
    let money = |cents| show::money(cents, &shrunk.currency);
    say(format!(
        "    {}    two guests fewer: the booking costs {}, {} is due back, and the venue keeps {}, as agreed",
        stage.journal.screen.good("changed"),
        money(shrunk.total_cents),
        money(shrunk.refund_due_cents),
        money(shrunk.retained_cents),
    ));
    Ok(())
}

async fn shrink(stage: &mut Stage, booking: &Booking, validate_only: bool) -> Result<Booking, Failed> {
    let request = RescheduleBookingRequest {
        booking_id: booking.booking_id.clone(),
        party_size: Some(2),
        validate_only,
        ..Default::default()
    };
    let (answer, _) = stage.journal.call(SHRINK, stage.clients.bookings.reschedule_booking(request)).await?;
    Ok(answer.booking.unwrap_or_default())
}

/// On the evening nobody comes. The fee is owed, and paid through Stripe.
async fn is_missed(stage: &mut Stage, booking: &Booking) -> Result<(), Failed> {
    let starts = booking.starts_at.unwrap_or_default().seconds;
    let ahead = starts - chrono::Utc::now().timestamp() + 1800;
    let screen = stage.journal.screen;
    say(screen.dim(format!("    one more booking-service starts, its clock {} days ahead ...", ahead / 86_400)));
    let failed = |why: String| Failed::new(NO_SHOW, why);
    let environment = [("CLOCK_AHEAD_SECONDS", ahead.to_string()), ("SHUTDOWN_PAUSE_MS", "0".to_owned())];
    let environment: HashMap<_, _> = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let process = Process::start_showing(Which::Booking, &environment, Shown::Errors).await;
    let process = process.map_err(|error| failed(error.to_string()))?;
    let marked = mark(stage, booking, &process).await;
    if !process.stop().await {
        return Err(failed("the service with the other clock did not exit with code 0".to_owned()));
    }
    let marked = marked?;
    let due = marked.no_show_fee_due_cents;
    say(format!(
        "    {}    nobody came: a fee of {} is owed",
        screen.bad("no-show"),
        show::money(due, &marked.currency)
    ));
    deposit::post(stage, &Intent::of(&booking.booking_id, due).succeeded()).await?;
    let paid = async || Ok(Some(deposit::read(stage, booking).await?).filter(|paid| paid.no_show_fee_due_cents == 0));
    let paid = until_shown("GetBooking", paid).await?;
    let (got, owed) =
        (show::money(paid.paid_cents, &paid.currency), show::money(paid.refund_due_cents, &paid.currency));
    say(format!(
        "    {}       {got} through Stripe; nothing is owed any more, nor given back: {owed}",
        screen.good("paid")
    ));
    Ok(())
}

async fn mark(stage: &mut Stage, booking: &Booking, process: &Process) -> Result<Booking, Failed> {
    let serving = wait_until_serving(Which::Booking.binary(), process.grpc).await;
    serving.map_err(|error| Failed::new(NO_SHOW, error.to_string()))?;
    let request = MarkNoShowRequest { booking_id: booking.booking_id.clone(), ..Default::default() };
    let mut bookings = BookingClients::new(process.grpc).bookings;
    let (answer, _) = stage.journal.call(NO_SHOW, bookings.mark_no_show(request)).await?;
    Ok(answer.booking.unwrap_or_default())
}
