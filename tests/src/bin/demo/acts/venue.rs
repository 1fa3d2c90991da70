//! Two venues are created with their weekly schedules.

use teppan_shared::contract::booking::v1::{
    CreateVenueRequest, SchedulePeriod, SetWeeklyScheduleRequest, Venue, Weekday,
};
use teppan_tests::tool::millis;

use crate::{
    journal::{Failed, say},
    show,
    stage::Stage,
};

const CREATE: &str = "CreateVenue";
const PRICE_PER_PERSON_CENTS: i64 = 3500;

/// The venues of the conversations.
pub struct Venues {
    /// The venue that requires a deposit.
    pub garden: Venue,
    /// The venue without a deposit: its bookings are confirmed at once.
    pub canteen: Venue,
}

pub async fn play(stage: &mut Stage) -> Result<Venues, Failed> {
    stage.journal.open_act("Venues open", "Two venues open");
    let garden = open(stage, "venue", "Teppan Garden", None).await?;
    let canteen = open(stage, "canteen", "Teppan Canteen", Some(0)).await?;
    Ok(Venues { garden, canteen })
}

async fn open(stage: &mut Stage, key: &str, name: &str, deposit_percent: Option<i32>) -> Result<Venue, Failed> {
    let key = stage.key(key);
    let venue = create(stage, key, name, deposit_percent).await?;
    say(format!(
        "    {} in {}: booked {} h to {} days ahead, a deposit of {} %, seats held for {} min",
        stage.journal.screen.bold(&venue.name),
        venue.time_zone,
        venue.notice_minutes / 60,
        venue.horizon_days,
        venue.deposit_percent,
        venue.hold_minutes,
    ));
    // Seventeen half-hour slots a day, closed on Mondays.
    let days = (Weekday::Tuesday as i32..=Weekday::Sunday as i32).collect();
    let period = SchedulePeriod {
        days,
        first_start: "11:00".to_owned(),
        last_start: "19:00".to_owned(),
        capacity: 24,
        price_per_person_cents: PRICE_PER_PERSON_CENTS,
        ..Default::default()
    };
    let price = show::money(PRICE_PER_PERSON_CENTS, &venue.currency);
    say(format!("    Tuesday to Sunday, 11:00 to 19:00 every half hour, 24 seats a slot, {price} a person"));
    set_schedule(stage, &venue, period).await?;
    Ok(venue)
}

/// Creates a venue with the default policy, except for the deposit.
pub async fn create(
    stage: &mut Stage,
    idempotency_key: String,
    name: &str,
    deposit_percent: Option<i32>,
) -> Result<Venue, Failed> {
    let request = CreateVenueRequest {
        idempotency_key,
        name: name.to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        deposit_percent,
        ..Default::default()
    };
    let answer = stage.clients.schedule.create_venue(request);
    let (answer, _) = stage.journal.call(CREATE, answer).await?;
    answer.venue.ok_or_else(|| Failed::new(CREATE, "the answer has no venue"))
}

/// Sets a schedule of one period.
pub async fn set_schedule(stage: &mut Stage, venue: &Venue, period: SchedulePeriod) -> Result<(), Failed> {
    let venue_id = venue.venue_id.clone();
    let request = SetWeeklyScheduleRequest { venue_id, periods: vec![period], exceptions: Vec::new() };
    let answer = stage.clients.schedule.set_weekly_schedule(request);
    let (laid_out, took) = stage.journal.call("SetWeeklySchedule", answer).await?;
    let screen = stage.journal.screen;
    say(format!(
        "    {} slots are laid out, up to {}  {}",
        laid_out.slots_created,
        show::day(&laid_out.last_date),
        screen.dim(millis(took)),
    ));
    Ok(())
}
