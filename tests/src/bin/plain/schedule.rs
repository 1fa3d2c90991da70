//! CreateVenue and SetWeeklySchedule, with as much of them as tests and benchmarks use to set up a venue.

use booking_service::domain::{PhoneRegion, TimeZone, VenueId, instant_or_next, parse_start_time};
use chrono::{Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use teppan_shared::{
    contract::booking::v1::{
        CreateVenueRequest, CreateVenueResponse, ListAvailabilityRequest, ListAvailabilityResponse, SchedulePeriod,
        SetWeeklyScheduleRequest, SetWeeklyScheduleResponse, Venue, schedule_service_server::ScheduleService,
    },
    status::Failure,
};
use tonic::{Request, Response, Status};

use crate::{Plain, error::CallError};

const DEFAULT_INTERVAL_MINUTES: i32 = 30;
const DEFAULT_DURATION_MINUTES: i32 = 120;

#[tonic::async_trait]
impl ScheduleService for Plain {
    async fn create_venue(
        &self,
        request: Request<CreateVenueRequest>,
    ) -> Result<Response<CreateVenueResponse>, Status> {
        let venue = self.create_venue(request.into_inner()).await?;
        Ok(Response::new(CreateVenueResponse { venue: Some(venue), replayed: false }))
    }

    async fn set_weekly_schedule(
        &self,
        request: Request<SetWeeklyScheduleRequest>,
    ) -> Result<Response<SetWeeklyScheduleResponse>, Status> {
        let slots_created = self.lay_out(request.into_inner()).await?;
        Ok(Response::new(SetWeeklyScheduleResponse { slots_created, ..Default::default() }))
    }

    async fn list_availability(
        &self,
        request: Request<ListAvailabilityRequest>,
    ) -> Result<Response<ListAvailabilityResponse>, Status> {
        Ok(Response::new(self.list_availability(request.into_inner()).await?))
    }
}

impl Plain {
    async fn create_venue(&self, request: CreateVenueRequest) -> Result<Venue, CallError> {
        let time_zone = TimeZone::parse(&request.time_zone).map_err(invalid("time_zone"))?;
        let region = PhoneRegion::of_zone(time_zone.name());
        let venue = Venue {
            venue_id: VenueId::generate().to_string(),
            name: request.name,
            time_zone: request.time_zone,
            currency: request.currency.unwrap_or_else(|| "EUR".to_owned()),
            min_party_size: request.min_party_size.unwrap_or(1),
            max_party_size: request.max_party_size.unwrap_or(50),
            notice_minutes: request.notice_minutes.unwrap_or(240),
            horizon_days: request.horizon_days.unwrap_or(90),
            hold_minutes: request.hold_minutes.unwrap_or(120),
            deposit_percent: request.deposit_percent.unwrap_or(25),
            phone_region: region.map_or_else(String::new, |region| region.to_string()),
            ..Default::default()
        };
        sqlx::query(
            "INSERT INTO venues (venue_id, name, time_zone, currency, min_party_size, max_party_size, notice_minutes,
                 horizon_days, hold_minutes, deposit_percent, created_at)
             VALUES ($1::text::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10, now())",
        )
        .bind(&venue.venue_id)
        .bind(&venue.name)
        .bind(&venue.time_zone)
        .bind(&venue.currency)
        .bind(venue.min_party_size)
        .bind(venue.max_party_size)
        .bind(venue.notice_minutes)
        .bind(venue.horizon_days)
        .bind(venue.hold_minutes)
        .bind(venue.deposit_percent)
        .execute(&self.pool)
        .await?;
        Ok(venue)
    }

    /// Adds the slots of the periods up to the venue's horizon; slots that are there stay as they are.
    async fn lay_out(&self, request: SetWeeklyScheduleRequest) -> Result<i32, CallError> {
        let venue_id = VenueId::parse(&request.venue_id).map_err(invalid("venue_id"))?;
        let venue: Option<(String, i32)> =
            sqlx::query_as("SELECT time_zone, horizon_days FROM venues WHERE venue_id = $1")
                .bind(venue_id.0)
                .fetch_optional(&self.pool)
                .await?;
        let (zone, horizon_days) = venue.ok_or_else(|| crate::error::slot_refused("VENUE_NOT_FOUND"))?;
        let zone = TimeZone::parse(&zone).map_err(invalid("time_zone"))?;
        let mut created = 0;
        for period in &request.periods {
            let starts = starts_of(period, horizon_days)?;
            let (dates, times): (Vec<NaiveDate>, Vec<NaiveTime>) = starts.into_iter().unzip();
            let starts_at: Vec<_> =
                dates.iter().zip(&times).map(|(date, time)| instant_or_next(zone, date.and_time(*time))).collect();
            let inserted = sqlx::query(
                "INSERT INTO slots (venue_id, slot_date, start_time, starts_at, ends_at, capacity, price_per_person_cents)
                 SELECT $1, slot_date, start_time, starts_at, starts_at + make_interval(mins => $5), $6, $7
                 FROM unnest($2::date[], $3::time[], $4::timestamptz[]) AS s (slot_date, start_time, starts_at)
                 ON CONFLICT DO NOTHING",
            )
            .bind(venue_id.0)
            .bind(dates)
            .bind(times)
            .bind(starts_at)
            .bind(given(period.duration_minutes, DEFAULT_DURATION_MINUTES))
            .bind(period.capacity)
            .bind(period.price_per_person_cents)
            .execute(&self.pool)
            .await?;
            created += inserted.rows_affected();
        }
        Ok(i32::try_from(created).unwrap_or(i32::MAX))
    }
}

/// Local starts of a period from tomorrow up to the horizon.
fn starts_of(period: &SchedulePeriod, horizon_days: i32) -> Result<Vec<(NaiveDate, NaiveTime)>, CallError> {
    let first = parse_start_time(&period.first_start).map_err(invalid("periods.first_start"))?;
    let last = parse_start_time(&period.last_start).map_err(invalid("periods.last_start"))?;
    let interval = TimeDelta::minutes(given(period.interval_minutes, DEFAULT_INTERVAL_MINUTES).into());
    let times: Vec<NaiveTime> = std::iter::successors(Some(first), |time| {
        let (next, days) = time.overflowing_add_signed(interval);
        (days == 0 && next <= last).then_some(next)
    })
    .collect();
    let tomorrow = Utc::now().date_naive() + Days::new(1);
    let dates = tomorrow.iter_days().take(usize::try_from(horizon_days).unwrap_or_default());
    let dates = dates.filter(|date| period.days.contains(&date.weekday().number_from_monday().cast_signed()));
    Ok(dates.flat_map(|date| times.iter().map(move |time| (date, *time))).collect())
}

fn given(minutes: i32, default: i32) -> i32 {
    if minutes == 0 { default } else { minutes }
}

/// The refusal of a field that cannot be read.
pub fn invalid(field: &'static str) -> impl Fn(&'static str) -> CallError {
    move |must| Failure::invalid_argument("INVALID_FIELDS", format!("{field} {must}.")).into()
}
