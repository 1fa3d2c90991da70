//! Two replicas over a database of their own, under a clock that only a step moves.

use std::{sync::Arc, time::Duration};

use booking_service::domain::StripeSecrets;
use chrono::{DateTime, Utc};
use futures::future::{join, join_all};
use secrecy::SecretString;
use teppan_shared::{
    clock::{Clock, SteeredTime},
    contract::booking::v1::{CreateVenueRequest, SetFloorRequest, SetWeeklyScheduleRequest},
    gather::GatherLimits,
    keys::Keys,
    time_zone::TimeZone,
};

use super::{
    calls::{Answer, Call, Refused, Reply},
    etags::SeenEtag,
    floor_plans::floor,
    perform::{Seen, perform},
    schedules::schedule,
    state::{Model, Venue},
    stripe::Event,
};
use crate::{
    clients::BookingClients,
    harness::{self, Booking},
    stripe,
};

/// The starts of cases: before clocks go forward, before they go back, and in between. No slot starts and no hold ends
/// at such a second.
const BEGINNINGS: [&str; 3] =
    ["2027-06-11T06:00:17.123456Z", "2027-03-27T09:00:17.123456Z", "2027-10-30T09:00:17.123456Z"];
const STRIPE_SECRET: &str = "whsec_of_the_model";
/// The interval of the workers.
const WORKER_INTERVAL: Duration = Duration::from_millis(100);

pub struct Stage {
    replicas: [Booking; 2],
    pub time: &'static SteeredTime,
    calls: usize,
}

impl Stage {
    /// Starts the replicas with two venues, and the model of them.
    ///
    /// # Errors
    /// A call that failed, or an unexpected answer.
    pub async fn start(beginning: u8, floors: [u8; 2]) -> Result<(Self, Model), String> {
        let now: DateTime<Utc> = BEGINNINGS[usize::from(beginning) % BEGINNINGS.len()].parse().unwrap_or_default();
        let time = SteeredTime::at(now);
        let (url, keys) = (harness::database(&booking_service::app::DEFINITION).await, Keys::random());
        // One of them gathers calls, and the other one does not.
        let replica = async |gather| {
            let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
            settings.common.gather = gather;
            settings.clock = Clock::steered(time);
            settings.hold_expiry_interval = WORKER_INTERVAL;
            settings.slot_layout_interval = WORKER_INTERVAL;
            settings.waitlist_interval = WORKER_INTERVAL;
            settings.stripe.secrets = StripeSecrets::parse(&SecretString::from(STRIPE_SECRET)).unwrap_or_default();
            settings.stripe.interval = WORKER_INTERVAL;
            // Keys are kept however far a step moves the clock.
            settings.idempotency_keep = Duration::from_hours(24 * 3650);
            Booking::configured(settings, url.clone(), keys.clone()).await.ready().await
        };
        let replicas = [replica(GatherLimits::default()).await, replica(GatherLimits::OFF).await];
        let stage = Self { replicas, time, calls: 0 };
        let mut model = Model::at(now);
        for (n, zone) in ["Europe/Berlin", "America/New_York"].into_iter().enumerate() {
            stage.open_venue(&mut model, n, zone).await?;
        }
        for (n, variant) in floors.into_iter().enumerate() {
            let floor = Some(floor(variant, &model.venues[n].proto.venue_id));
            let set = Call::SetFloor(SetFloorRequest { floor, validate_only: false });
            stage.set_up(&mut model, &set).await?;
        }
        Ok((stage, model))
    }

    async fn open_venue(&self, model: &mut Model, n: usize, zone: &str) -> Result<(), String> {
        let request = CreateVenueRequest {
            idempotency_key: format!("venue-{n}"),
            name: format!("Teppan {n}"),
            time_zone: zone.to_owned(),
            max_party_size: Some(6),
            notice_minutes: Some(60),
            horizon_days: Some(2),
            hold_minutes: Some(90),
            deposit_percent: Some(if n == 0 { 25 } else { 0 }),
            ..Default::default()
        };
        let mut clients = self.replicas[0].clients.clone();
        let made = clients.schedule.create_venue(request).await.map_err(|status| status.to_string())?;
        let mut proto = made.into_inner().venue.unwrap_or_default();
        let (id, etag) = (proto.venue_id.clone(), std::mem::take(&mut proto.etag));
        Arc::make_mut(&mut model.etags).note(SeenEtag { id: id.clone(), version: 0, etag })?;
        let zone = TimeZone::parse(zone)?;
        let venue = Venue {
            proto,
            changes: 0,
            zone,
            schedule: None,
            slots: std::collections::BTreeMap::default(),
            floor: None,
        };
        model.venues.push(Arc::new(venue));
        let set = SetWeeklyScheduleRequest { venue_id: id, periods: schedule(0), exceptions: Vec::new() };
        let set = Call::SetWeeklySchedule(set);
        self.set_up(model, &set).await
    }

    async fn set_up(&self, model: &mut Model, call: &Call) -> Result<(), String> {
        let seen = perform(self.any_clients(), call).await.answer;
        let expected = model.take(call, &seen);
        if expected == seen { Ok(()) } else { Err(format!("{expected:?}\n{seen:?}")) }
    }

    /// The clients of one replica, in turn.
    fn clients(&mut self) -> BookingClients {
        self.calls += 1;
        self.replicas[self.calls % 2].clients.clone()
    }

    /// Makes calls concurrently, each by its own client.
    pub async fn at_once(&mut self, calls: &[Call]) -> Vec<Seen> {
        self.beside_stripe(calls, &[], 0).await.0
    }

    /// Makes calls while Stripe posts events. Returns the answers to both.
    pub async fn beside_stripe(&mut self, calls: &[Call], events: &[Event], times: u8) -> (Vec<Seen>, Vec<Answer>) {
        let made: Vec<_> = calls.iter().map(|call| perform(self.clients(), call)).collect();
        join(join_all(made), self.post(events, times)).await
    }

    /// Posts each event this many times, all concurrently. Returns the first refusal of each event, if any.
    async fn post(&self, events: &[Event], times: u8) -> Vec<Answer> {
        // Signatures have the real time, whatever the service's clock shows.
        let now = Utc::now();
        let posts = events.iter().map(|event| {
            let body = event.value.to_string();
            let signature = stripe::signed(&body, STRIPE_SECRET, now);
            let addresses: Vec<_> =
                (0..times).map(|n| self.replicas[usize::from(n) % 2].service.server.http_addr).collect();
            async move {
                let posts = addresses.into_iter().map(|http| stripe::post(http, Some(&signature), &body));
                let refused = join_all(posts).await.into_iter().find(|(code, _)| *code != 200);
                refused.map_or(Ok(Reply::Taken), |(code, body)| Err(Refused::not_found(&format!("{code}: {body}"))))
            }
        });
        join_all(posts).await
    }

    /// Waits until every Stripe event is applied.
    ///
    /// # Errors
    /// When an event is not applied within the bound.
    pub async fn stripe_is_applied(&self) -> Result<(), String> {
        let waiting = "SELECT count(*) FROM stripe_events WHERE state = 'WAITING'";
        for _ in 0..1000 {
            if self.replicas[0].scalar::<i64>(waiting).await == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("Some Stripe events are not applied.".to_owned())
    }

    pub async fn make(&mut self, call: &Call) -> Seen {
        perform(self.clients(), call).await
    }

    /// Repeats a call until its answer is as wanted. Returns the last answer if it never is.
    pub async fn until(&mut self, call: &Call, wanted: impl Fn(&Answer) -> bool) -> Seen {
        let mut seen = self.make(call).await;
        for _ in 0..1000 {
            if wanted(&seen.answer) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            seen = self.make(call).await;
        }
        seen
    }

    pub fn url(&self) -> &SecretString {
        &self.replicas[0].url
    }

    pub fn any_clients(&self) -> BookingClients {
        self.replicas[0].clients.clone()
    }

    /// Stops the replicas and removes their database.
    pub async fn remove(self) {
        let [first, second] = self.replicas;
        let url = first.url.clone();
        join(first.service.stop(), second.service.stop()).await;
        harness::drop_database(&url).await;
    }
}
