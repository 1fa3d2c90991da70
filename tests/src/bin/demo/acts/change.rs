//! One booking is rescheduled and keeps its deposit; another is cancelled and refunded.

use teppan_shared::contract::booking::v1::{Booking, BookingStatus, CancelBookingRequest, RescheduleBookingRequest};
use teppan_tests::tool::millis;

use super::deposit::{self, Payer};
use crate::{
    journal::{Failed, say},
    show,
    stage::Stage,
};

const RESCHEDULE: &str = "RescheduleBooking";
const CANCEL: &str = "CancelBooking";

/// `moves` and `given_up` are bookings with paid deposits.
pub async fn play(stage: &mut Stage, moves: &Booking, given_up: &Payer) -> Result<(), Failed> {
    stage.journal.open_act("Change of plans", "Plans change");
    an_hour_later_and_one_more(stage, moves).await?;
    cancelled(stage, given_up).await
}

async fn an_hour_later_and_one_more(stage: &mut Stage, booking: &Booking) -> Result<(), Failed> {
    let request = RescheduleBookingRequest {
        booking_id: booking.booking_id.clone(),
        start_time: "19:00".to_owned(),
        party_size: Some(booking.party_size + 1),
        etag: booking.etag.clone(),
        ..Default::default()
    };
    let answer = stage.clients.bookings.reschedule_booking(request);
    let (answer, took) = stage.journal.call(RESCHEDULE, answer).await?;
    let moved = answer.booking.unwrap_or_default();
    if moved.paid_cents != booking.paid_cents || moved.status() != BookingStatus::Confirmed {
        return Err(Failed::new(RESCHEDULE, "the booking did not keep its payment"));
    }
    let screen = stage.journal.screen;
    say(format!(
        "    {}      {} from {} to {}, {} guests instead of {}  {}",
        screen.good("moved"),
        screen.bold(&moved.confirmation_code),
        booking.start_time,
        moved.start_time,
        moved.party_size,
        booking.party_size,
        screen.dim(millis(took)),
    ));
    let money = |cents| show::money(cents, &moved.currency);
    let (total, paid, deposit) = (money(moved.total_cents), money(moved.paid_cents), money(moved.deposit_cents));
    say(format!("               total {total}, deposit {deposit}, paid {paid}: it stays confirmed"));
    Ok(())
}

async fn cancelled(stage: &mut Stage, payer: &Payer) -> Result<(), Failed> {
    let paid = payer.booking.paid_cents;
    let request = CancelBookingRequest { booking_id: payer.booking.booking_id.clone(), ..Default::default() };
    let answer = stage.clients.bookings.cancel_booking(request);
    let (answer, took) = stage.journal.call(CANCEL, answer).await?;
    let cancelled = answer.booking.unwrap_or_default();
    if cancelled.refund_due_cents != paid {
        return Err(Failed::new(CANCEL, "more than a day ahead, but not the full amount is due back"));
    }
    let screen = stage.journal.screen;
    let due = show::money(cancelled.refund_due_cents, &cancelled.currency);
    say(format!(
        "    {}  {} more than a day ahead: the full payment is due back, {due}  {}",
        screen.good("cancelled"),
        screen.bold(&cancelled.confirmation_code),
        screen.dim(millis(took)),
    ));
    let refunded = deposit::refund(stage, payer, paid).await?;
    let back = show::money(refunded.refunded_cents, &refunded.currency);
    let owed = show::money(refunded.refund_due_cents, &refunded.currency);
    say(format!("    {}   Stripe reports a refund of {back}; still owed: {owed}", screen.good("refunded")));
    Ok(())
}
