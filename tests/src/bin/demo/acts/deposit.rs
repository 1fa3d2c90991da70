//! A deposit is paid: Stripe reports payments and refunds through its webhook.

use teppan_shared::contract::booking::v1::{Booking, BookingStatus, GetBookingRequest};
use teppan_tests::{
    stripe::{self, Intent},
    tool::millis,
};
use tokio::time::Instant;

use super::{conversations::Talk, wait::until_shown};
use crate::{
    journal::{Failed, say},
    show,
    stage::Stage,
};

/// The webhook secret that Stripe and booking-service share in this demo.
pub const SECRET: &str = "whsec_of_this_demo";
const WEBHOOK: &str = "Stripe's webhook";
const GET: &str = "GetBooking";

/// A booking with a paid deposit, and its payment intent.
pub struct Payer {
    pub booking: Booking,
    intent: Intent,
}

/// Two guests pay. A forged event is refused.
pub async fn play(stage: &mut Stage, first: &Talk, second: &Talk) -> Result<(Payer, Payer), Failed> {
    stage.journal.open_act("Deposit", "Two deposits are paid through Stripe");
    forge(stage, &first.booking).await?;
    Ok((pay(stage, &first.booking).await?, pay(stage, &second.booking).await?))
}

async fn forge(stage: &mut Stage, booking: &Booking) -> Result<(), Failed> {
    let event = Intent::of(&booking.booking_id, booking.deposit_cents).succeeded();
    let (code, _) = stripe::send(stage.webhook, &event, "a guess").await;
    if code != 400 {
        return Err(Failed::new(WEBHOOK, format!("an event with a forged signature was answered {code}")));
    }
    say(format!("    {}    an event whose signature is forged", stage.journal.screen.bad("refused")));
    Ok(())
}

async fn pay(stage: &mut Stage, booking: &Booking) -> Result<Payer, Failed> {
    let intent = Intent::of(&booking.booking_id, booking.deposit_cents);
    let event = intent.succeeded();
    let started = Instant::now();
    post(stage, &event).await?;
    let firm = until_shown(GET, async || {
        Ok(Some(read(stage, booking).await?).filter(|booking| booking.status() == BookingStatus::Confirmed))
    });
    let firm = firm.await?;
    let took = started.elapsed();
    // Stripe may send an event again.
    post(stage, &event).await?;
    if read(stage, booking).await?.paid_cents != firm.deposit_cents {
        return Err(Failed::new(WEBHOOK, "the same event counted twice"));
    }
    let screen = stage.journal.screen;
    say(format!(
        "    {}       {} of {}, reported twice, counted once: the booking is confirmed  {}",
        screen.good("paid"),
        show::money(firm.paid_cents, &firm.currency),
        screen.bold(&firm.confirmation_code),
        screen.dim(millis(took)),
    ));
    Ok(Payer { booking: firm, intent })
}

/// Stripe refunds this amount.
pub async fn refund(stage: &mut Stage, payer: &Payer, cents: i64) -> Result<Booking, Failed> {
    post(stage, &payer.intent.refunded(cents)).await?;
    let given_back =
        async || Ok(Some(read(stage, &payer.booking).await?).filter(|booking| booking.refunded_cents == cents));
    until_shown(GET, given_back).await
}

pub async fn post(stage: &Stage, event: &serde_json::Value) -> Result<(), Failed> {
    match stripe::send(stage.webhook, event, SECRET).await {
        (200, _) => Ok(()),
        (code, body) => Err(Failed::new(WEBHOOK, format!("{code}: {body}"))),
    }
}

pub async fn read(stage: &mut Stage, booking: &Booking) -> Result<Booking, Failed> {
    let request = GetBookingRequest { booking_id: booking.booking_id.clone(), ..Default::default() };
    let answer = stage.clients.bookings.get_booking(request);
    let (answer, _) = stage.journal.call(GET, answer).await?;
    Ok(answer.booking.unwrap_or_default())
}
