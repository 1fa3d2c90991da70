//! A guest waits for seats, gets an offer of cancelled seats, and accepts it.

use teppan_shared::contract::booking::v1::{
    Booking, BookingStatus, CancelBookingRequest, ConfirmBookingRequest, GetBookingRequest, JoinWaitlistRequest,
    ListWaitlistRequest, WaitlistEntry, WaitlistEntryStatus,
};
use teppan_tests::tool::millis;

use super::{sold_out::SoldOut, wait::until_shown};
use crate::{
    journal::{Failed, say},
    show,
    stage::Stage,
};

const JOIN: &str = "JoinWaitlist";
const LIST: &str = "ListWaitlist";
const CONFIRM: &str = "ConfirmBooking";

pub async fn play(stage: &mut Stage, sold_out: SoldOut) -> Result<(), Failed> {
    stage.journal.open_act("Waitlist", "Freed seats are offered to a waiting guest");
    let entry = join(stage, &sold_out).await?;
    give_up(stage, &sold_out.taken).await?;
    let offered = until_shown(LIST, async || offered(stage, &entry).await).await?;
    let booking = show_offer(stage, &offered).await?;
    take(stage, &entry, &booking).await
}

async fn join(stage: &mut Stage, sold_out: &SoldOut) -> Result<WaitlistEntry, Failed> {
    let refused = &sold_out.refused;
    let request = JoinWaitlistRequest {
        idempotency_key: stage.key("piet-waits"),
        venue_id: refused.venue_id.clone(),
        date: refused.date.clone(),
        start_time: refused.start_time.clone(),
        party_size: refused.party_size,
        contact: refused.contact.clone(),
        source: refused.source.clone(),
        ..Default::default()
    };
    let answer = stage.clients.bookings.join_waitlist(request);
    let (answer, took) = stage.journal.call(JOIN, answer).await?;
    let entry = answer.entry.unwrap_or_default();
    let screen = stage.journal.screen;
    say(format!(
        "    {}    {} guests for {} at {}, queue position {}  {}",
        screen.good("waiting"),
        entry.party_size,
        show::day(&entry.date),
        entry.start_time,
        entry.position,
        screen.dim(millis(took)),
    ));
    Ok(entry)
}

async fn give_up(stage: &mut Stage, booking: &Booking) -> Result<(), Failed> {
    let request = CancelBookingRequest { booking_id: booking.booking_id.clone(), ..Default::default() };
    let answer = stage.clients.bookings.cancel_booking(request);
    let (_, took) = stage.journal.call("CancelBooking", answer).await?;
    let screen = stage.journal.screen;
    let (seats, code) = (booking.party_size, screen.bold(&booking.confirmation_code));
    say(format!("    {}  {code} gives up its {seats} seats  {}", screen.good("cancelled"), screen.dim(millis(took))));
    Ok(())
}

/// The entry, once seats are offered to it.
async fn offered(stage: &mut Stage, entry: &WaitlistEntry) -> Result<Option<WaitlistEntry>, Failed> {
    Ok(Some(found(stage, entry).await?).filter(|entry| entry.status() == WaitlistEntryStatus::Offered))
}

async fn found(stage: &mut Stage, entry: &WaitlistEntry) -> Result<WaitlistEntry, Failed> {
    let request = ListWaitlistRequest { customer_id: entry.customer_id.clone(), ..Default::default() };
    let answer = stage.clients.bookings.list_waitlist(request);
    let (answer, _) = stage.journal.call(LIST, answer).await?;
    let found = answer.entries.into_iter().find(|found| found.waitlist_entry_id == entry.waitlist_entry_id);
    found.ok_or_else(|| Failed::new(LIST, "the entry is missing"))
}

async fn show_offer(stage: &mut Stage, entry: &WaitlistEntry) -> Result<Booking, Failed> {
    const GET: &str = "GetBooking";
    let request = GetBookingRequest { booking_id: entry.booking_id.clone(), ..Default::default() };
    let answer = stage.clients.bookings.get_booking(request);
    let (answer, _) = stage.journal.call(GET, answer).await?;
    let booking = answer.booking.unwrap_or_default();
    let screen = stage.journal.screen;
    let until = show::clock(entry.offer_expires_at, &entry.time_zone);
    say(format!(
        "    {}    {} holds {} seats until {until}; after that they are offered to the next guest",
        screen.good("offered"),
        screen.bold(&booking.confirmation_code),
        booking.party_size,
    ));
    Ok(booking)
}

async fn take(stage: &mut Stage, entry: &WaitlistEntry, booking: &Booking) -> Result<(), Failed> {
    let request = ConfirmBookingRequest {
        booking_id: booking.booking_id.clone(),
        etag: booking.etag.clone(),
        ..Default::default()
    };
    let answer = stage.clients.bookings.confirm_booking(request);
    let (answer, took) = stage.journal.call(CONFIRM, answer).await?;
    let is_firm = answer.booking.is_some_and(|booking| booking.status() == BookingStatus::Confirmed);
    let is_accepted = found(stage, entry).await?.status() == WaitlistEntryStatus::Accepted;
    if !is_firm || !is_accepted {
        return Err(Failed::new(CONFIRM, "the offer was not accepted"));
    }
    let screen = stage.journal.screen;
    say(format!(
        "    {}      the offer is accepted: the booking is confirmed  {}",
        screen.good("taken"),
        screen.dim(millis(took))
    ));
    Ok(())
}
