//! The calls that change venues and their slots.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use teppan_shared::{
    contract::booking::v1::{
        self as wire, SchedulePeriod, SetWeeklyScheduleRequest, SetWeeklyScheduleResponse, UpdateSlotRequest,
        UpdateVenueRequest,
    },
    time_zone::TimeZone,
    wire::timestamp,
};

use super::{
    calls::{Answer, Refused, Reply},
    rules,
    schedules::Figures,
    state::{Model, Opening, Schedule, Slot, SlotTime, Venue, date, time},
};

impl Model {
    pub(super) fn update_slot(&mut self, request: &UpdateSlotRequest) -> Answer {
        let paths = request.update_mask.clone().unwrap_or_default().paths;
        if paths.is_empty() {
            return Err(Refused::invalid(&["update_mask"]));
        }
        let wanted = request.slot.clone().unwrap_or_default();
        let n = self.venue(&wanted.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        let key = (date(&wanted.date), time(&wanted.start_time));
        let reserved = self.reserved(&wanted.venue_id, key, None);
        let venue = Arc::make_mut(&mut self.venues[n]);
        let slot = venue.slots.get_mut(&key).ok_or_else(|| Refused::not_found("SLOT_NOT_FOUND"))?;
        let names = |field: &str| paths.iter().any(|path| path == field);
        if names("capacity") && wanted.capacity < reserved {
            let refused = Refused::precondition("CAPACITY_BELOW_RESERVED");
            return Err(refused.with("capacity", wanted.capacity).with("reserved_seats", reserved));
        }
        if names("closed") {
            slot.opening = Opening::ByTheVenue { open: !wanted.closed };
        }
        if names("capacity") {
            (slot.capacity, slot.capacity_set) = (wanted.capacity, true);
        }
        if names("price_per_person_cents") {
            (slot.price_cents, slot.price_set) = (wanted.price_per_person_cents, true);
        }
        Ok(Reply::Slot(wire::Slot {
            starts_at: Some(timestamp(slot.starts_at)),
            ends_at: Some(timestamp(slot.ends_at)),
            capacity: slot.capacity,
            reserved_seats: reserved,
            closed: !slot.opening.open(),
            price_per_person_cents: slot.price_cents,
            ..wanted
        }))
    }

    pub(super) fn update_venue(&mut self, request: &UpdateVenueRequest) -> Answer {
        let wanted = request.venue.clone().unwrap_or_default();
        let n = self.venue(&wanted.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        let venue = &self.venues[n];
        let mut proto = venue.proto.clone();
        for path in request.update_mask.iter().flat_map(|mask| &mask.paths) {
            match path.as_str() {
                "notice_minutes" => proto.notice_minutes = wanted.notice_minutes,
                "hold_minutes" => proto.hold_minutes = wanted.hold_minutes,
                "deposit_percent" => proto.deposit_percent = wanted.deposit_percent,
                "deposit_per_person_cents" => proto.deposit_per_person_cents = wanted.deposit_per_person_cents,
                "deposit_fixed_cents" => proto.deposit_fixed_cents = wanted.deposit_fixed_cents,
                "deposit_min_party_size" => proto.deposit_min_party_size = wanted.deposit_min_party_size,
                "minimum_spend_cents" => proto.minimum_spend_cents = wanted.minimum_spend_cents,
                "no_show_fee_per_person_cents" => {
                    proto.no_show_fee_per_person_cents = wanted.no_show_fee_per_person_cents;
                }
                "full_refund_hours" => proto.full_refund_hours = wanted.full_refund_hours,
                "late_refund_percent" => proto.late_refund_percent = wanted.late_refund_percent,
                "min_party_size" => proto.min_party_size = wanted.min_party_size,
                "max_party_size" => proto.max_party_size = wanted.max_party_size,
                _ => return Err(Refused::invalid(&["update_mask"])),
            }
        }
        if proto == venue.proto {
            return Ok(Reply::Venue(proto));
        }
        let current = i64::try_from(venue.changes).ok();
        if !request.etag.is_empty() && self.etags.version(&proto.venue_id, &request.etag) != current {
            return Err(rules::stale());
        }
        proto.updated_at = Some(timestamp(self.now));
        let venue = Arc::make_mut(&mut self.venues[n]);
        venue.proto = proto.clone();
        venue.changes += 1;
        Ok(Reply::Venue(proto))
    }

    pub(super) fn set_weekly_schedule(&mut self, request: &SetWeeklyScheduleRequest) -> Answer {
        let opens_nothing = |exception: &wire::ScheduleException| {
            !exception.closed && !request.periods.iter().any(|period| on(period, date(&exception.date)))
        };
        if let Some(index) = request.exceptions.iter().position(opens_nothing) {
            return Err(Refused::invalid(&[&format!("exceptions[{index}].date")]));
        }
        let n = self.venue(&request.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        let now = self.now;
        let (today, last) = (self.venues[n].today(now), self.venues[n].last_day(now));
        let keys: Vec<_> = self.venues[n].slots.range((today, NaiveTime::MIN)..).map(|(key, _)| *key).collect();
        let reserved: Vec<_> = keys.iter().map(|key| self.reserved(&request.venue_id, *key, None)).collect();
        let venue = Arc::make_mut(&mut self.venues[n]);
        let (periods, exceptions) = (request.periods.clone(), request.exceptions.clone());
        venue.schedule = Some(Schedule { periods, exceptions, updated_at: now });
        let mut done = SetWeeklyScheduleResponse {
            first_date: today.to_string(),
            last_date: last.to_string(),
            ..Default::default()
        };
        for (key, reserved) in keys.into_iter().zip(reserved).filter(|((day, _), _)| *day <= last) {
            let planned = venue.planned(key);
            let slot = venue.slots.get_mut(&key).expect("it was listed");
            let (before, planned_here) = (slot.clone(), planned.is_some());
            let wants = slot.follow(planned, reserved);
            let kept = wants < reserved;
            match (before.opening.open(), slot.opening.open()) {
                (true, false) => {
                    done.slots_closed += 1;
                    done.slots_kept_reserved += i32::from(reserved > 0);
                }
                (_, true) if before.visible_figures() != slot.visible_figures() => {
                    done.slots_updated += 1;
                    done.slots_kept_reserved += i32::from(kept);
                }
                (_, open) if open || planned_here => done.slots_unchanged += 1,
                // A closed slot that the schedule does not have is not counted.
                _ => {}
            }
        }
        done.slots_created = venue.lay_out_missing(now);
        Ok(Reply::LaidOut(done))
    }
}

impl Slot {
    /// Applies the schedule to the fields that UpdateSlot has not set. Returns the seats in the schedule.
    fn follow(&mut self, planned: Option<Figures>, reserved: i32) -> i32 {
        if let Opening::ByTheSchedule { open } = &mut self.opening {
            *open = planned.is_some();
        }
        let Some(planned) = planned else { return self.capacity };
        self.ends_at = self.starts_at + TimeDelta::minutes(planned.duration_minutes.into());
        if !self.price_set {
            self.price_cents = planned.price_cents;
        }
        if self.capacity_set {
            return self.capacity;
        }
        self.capacity = planned.capacity.max(reserved);
        planned.capacity
    }

    fn visible_figures(&self) -> (DateTime<Utc>, i32, i64, bool) {
        (self.ends_at, self.capacity, self.price_cents, self.opening.open())
    }
}

impl Venue {
    /// Lays out the missing slots from today to the horizon. Returns their number.
    pub(super) fn lay_out_missing(&mut self, now: DateTime<Utc>) -> i32 {
        let (mut day, last) = (self.today(now), self.last_day(now));
        let mut made = 0;
        while day <= last {
            for start in self.starts() {
                let key = (day, start);
                let Some(planned) = self.named(key) else { continue };
                let Some(starts_at) = instant(self.zone, day, start) else { continue };
                if self.slots.contains_key(&key) {
                    continue;
                }
                made += i32::from(!planned.is_closed);
                self.slots.insert(
                    key,
                    Slot {
                        starts_at,
                        ends_at: starts_at + TimeDelta::minutes(planned.duration_minutes.into()),
                        capacity: planned.capacity,
                        price_cents: planned.price_cents,
                        opening: Opening::ByTheSchedule { open: !planned.is_closed },
                        capacity_set: false,
                        price_set: false,
                    },
                );
            }
            day = day + Days::new(1);
        }
        made
    }

    /// Every start of any period on any day.
    fn starts(&self) -> Vec<NaiveTime> {
        let periods = self.schedule.iter().flat_map(|schedule| &schedule.periods);
        let mut starts: Vec<_> = periods.flat_map(starts_of).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// The schedule's values for a slot, if the schedule has the slot and the day is open.
    fn planned(&self, key: SlotTime) -> Option<Figures> {
        self.named(key).filter(|figures| !figures.is_closed)
    }

    /// The schedule's values for a slot, also on a closed day.
    fn named(&self, (day, start): SlotTime) -> Option<Figures> {
        let schedule = self.schedule.as_ref()?;
        let period = schedule.periods.iter().find(|period| on(period, day) && starts_of(period).contains(&start))?;
        let exception = schedule.exceptions.iter().find(|exception| date(&exception.date) == day);
        Some(Figures::of(period, exception))
    }
}

fn starts_of(period: &SchedulePeriod) -> Vec<NaiveTime> {
    let interval = if period.interval_minutes == 0 { 30 } else { period.interval_minutes };
    let step = TimeDelta::minutes((interval + period.buffer_minutes).into());
    let (mut start, last) = (time(&period.first_start), time(&period.last_start));
    let mut starts = Vec::new();
    loop {
        starts.push(start);
        let (next, days) = start.overflowing_add_signed(step);
        if days > 0 || next > last {
            return starts;
        }
        start = next;
    }
}

fn on(period: &SchedulePeriod, day: NaiveDate) -> bool {
    use chrono::Datelike as _;
    let weekday = i32::try_from(day.weekday().number_from_monday()).unwrap_or_default();
    period.days.contains(&weekday)
}

/// The first instant at which a clock in the zone shows this local time, if there is one.
fn instant(zone: TimeZone, day: NaiveDate, start: NaiveTime) -> Option<DateTime<Utc>> {
    zone.from_local_datetime(&day.and_time(start)).earliest().map(|at| at.to_utc())
}
