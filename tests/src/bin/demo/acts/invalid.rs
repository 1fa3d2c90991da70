//! A request with every field invalid: all violations are reported at once.

use teppan_shared::contract::booking::v1::{Contact, CreateBookingRequest};
use teppan_tests::tool::millis;
use tonic_types::StatusExt as _;

use crate::{
    journal::{Failed, say},
    stage::Stage,
};

const CALL: &str = "CreateBooking, invalid";

pub async fn play(stage: &mut Stage) -> Result<(), Failed> {
    stage.journal.open_act("Invalid", "A request with everything wrong");
    let request = CreateBookingRequest {
        idempotency_key: String::new(),
        venue_id: "the garden".to_owned(),
        date: "next Saturday".to_owned(),
        start_time: "6 pm".to_owned(),
        party_size: 0,
        contact: Some(Contact {
            name: "\u{200b}".to_owned(),
            email: "mina at home".to_owned(),
            phone: "12".to_owned(),
        }),
        ..Default::default()
    };
    let answer = stage.clients.bookings.create_booking(request);
    let (answer, took) = stage.journal.time(CALL, answer).await;
    let Err(status) = answer else {
        return Err(Failed::new(CALL, "the request was accepted"));
    };
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    if violations.len() < 2 {
        return Err(Failed::new(CALL, "the violations were not reported at once"));
    }
    let screen = stage.journal.screen;
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let (refused, took) = (screen.bad("refused"), screen.dim(millis(took)));
    say(format!("    {refused} {reason}, {} violations in one answer  {took}", violations.len()));
    for violation in violations {
        say(format!("            {:<16} {}", violation.field, violation.description));
    }
    Ok(())
}
