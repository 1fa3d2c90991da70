mod tables;

use std::collections::BTreeSet;

use teppan_shared::{
    contract::booking::v1 as wire,
    status::Violations,
    wire::{given, timestamp},
};
use tonic::Status;

use crate::{
    domain::{Area, AreaKey, Etag, Floor, SittingRule, VenueId, parse_start_time},
    floors::{
        get::StoredFloor,
        set::{FloorSet, NewFloor},
    },
};

const AREAS_MAX: usize = 20;
const SEATS_MAX: i32 = 10_000;
const SITTINGS_MAX: usize = 50;
const TURN_MAX_MINUTES: i32 = 480;
const TICKS_MINUTES: [i32; 6] = [5, 10, 15, 20, 30, 60];
const TICK_DEFAULT_MINUTES: i32 = 15;

/// Decodes the request, or returns every violation.
pub fn decode(request: wire::SetFloorRequest) -> Result<NewFloor, Status> {
    let mut violations = Violations::default();
    let floor = request.floor.unwrap_or_default();
    let venue_id = violations.check("floor.venue_id", VenueId::parse(&floor.venue_id));
    let etag = given(floor.etag).map(|etag| Etag::parse(&etag));
    if !(0..=TURN_MAX_MINUTES).contains(&floor.turn_minutes) {
        violations.add("floor.turn_minutes", format_args!("must be 0 to {TURN_MAX_MINUTES} minutes"));
    }
    let tick_minutes = if floor.tick_minutes == 0 { TICK_DEFAULT_MINUTES } else { floor.tick_minutes };
    if !TICKS_MINUTES.contains(&tick_minutes) {
        violations.add("floor.tick_minutes", "must be 5, 10, 15, 20, 30 or 60 minutes");
    }
    let areas = decode_areas(floor.areas, &mut violations);
    let sittings = decode_sittings(&floor.sittings, !areas.is_empty(), &mut violations);
    let Some(venue_id) = venue_id else { return Err(violations.into_status()) };
    violations.finish()?;
    let floor = Floor { tick_minutes, turn_minutes: floor.turn_minutes, sittings, areas };
    Ok(NewFloor { venue_id, floor, etag, validate_only: request.validate_only })
}

fn decode_areas(areas: Vec<wire::Area>, violations: &mut Violations) -> Vec<Area> {
    if areas.len() > AREAS_MAX {
        violations.add("floor.areas", format_args!("must be at most {AREAS_MAX}"));
    }
    let mut keys = BTreeSet::new();
    let mut decoded = Vec::new();
    for (index, area) in areas.into_iter().take(AREAS_MAX).enumerate() {
        let at = |field: &str| format!("floor.areas[{index}].{field}");
        let key = violations.check(at("area"), AreaKey::parse(&area.area));
        if area.seats.is_some_and(|seats| !(1..=SEATS_MAX).contains(&seats)) {
            violations.add(at("seats"), format_args!("must be 1 to {SEATS_MAX}, or unset for no limit"));
        }
        let name = if area.name.is_empty() { area.area } else { area.name };
        if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            violations.add(at("name"), "must be 1 to 100 characters without control characters");
        }
        let (tables, combinations) = violations.within(at(""), |violations| {
            let tables = tables::decode(&area.tables, violations);
            let combinations = tables::decode_combinations(&area.combinations, &tables, violations);
            (tables, combinations)
        });
        let Some(key) = key else { continue };
        if !keys.insert(key.clone()) {
            violations.add(at("area"), "must be named only once");
        }
        decoded.push(Area::new(key, name, area.seats, tables, combinations));
    }
    decoded
}

fn decode_sittings(sittings: &[wire::SittingRule], is_required: bool, violations: &mut Violations) -> Vec<SittingRule> {
    if sittings.len() > SITTINGS_MAX {
        violations.add("floor.sittings", format_args!("must be at most {SITTINGS_MAX}"));
    }
    let mut decoded = Vec::new();
    for (index, rule) in sittings.iter().take(SITTINGS_MAX).enumerate() {
        let at = |field: &str| format!("floor.sittings[{index}].{field}");
        if !(0..=50).contains(&rule.max_party_size) {
            violations.add(at("max_party_size"), "must be 1 to 50, or 0 for any party");
        }
        if !(5..=1440).contains(&rule.minutes) {
            violations.add(at("minutes"), "must be 5 to 1440 minutes");
        }
        let mut time = |field: &str, raw: &str| {
            violations.check_optional(&at(field), (!raw.is_empty()).then(|| parse_start_time(raw))).flatten()
        };
        let (from_time, until_time) = (time("from_time", &rule.from_time), time("until_time", &rule.until_time));
        if let (Some(from), Some(until)) = (from_time, until_time)
            && until <= from
        {
            violations.add(at("until_time"), "must be after from_time");
        }
        let max_party_size = (rule.max_party_size != 0).then_some(rule.max_party_size);
        decoded.push(SittingRule { max_party_size, from_time, until_time, minutes: rule.minutes });
    }
    let fits_all =
        |rule: &SittingRule| rule.max_party_size.is_none() && rule.from_time.is_none() && rule.until_time.is_none();
    if is_required && !decoded.last().is_some_and(fits_all) {
        violations.add("floor.sittings", "must end with a rule that sets only minutes, for every other party");
    }
    decoded
}

pub fn encode_set(set: FloorSet, venue_id: VenueId, validate_only: bool) -> wire::SetFloorResponse {
    let bookings_counted = i32::try_from(set.bookings_counted).unwrap_or(i32::MAX);
    let mut floor = encode(set.floor, venue_id);
    if validate_only {
        floor.etag.clear();
    }
    let bookings_without_table = i32::try_from(set.bookings_without_table).unwrap_or(i32::MAX);
    wire::SetFloorResponse { floor: Some(floor), bookings_counted, bookings_without_table }
}

pub fn encode(stored: Option<StoredFloor>, venue_id: VenueId) -> wire::Floor {
    let venue_id = venue_id.to_string();
    let Some(StoredFloor { floor, version, updated_at }) = stored else {
        return wire::Floor { venue_id, ..Default::default() };
    };
    let area = |area: Area| wire::Area {
        tables: tables::encode(&area.tables),
        combinations: tables::encode_combinations(&area.combinations),
        area: area.area.as_str().to_owned(),
        name: area.name,
        seats: area.seats,
    };
    let time = |time: Option<chrono::NaiveTime>| time.map_or_else(String::new, super::encode::time);
    let sitting = |rule: SittingRule| wire::SittingRule {
        max_party_size: rule.max_party_size.unwrap_or(0),
        from_time: time(rule.from_time),
        until_time: time(rule.until_time),
        minutes: rule.minutes,
    };
    wire::Floor {
        venue_id,
        areas: floor.areas.into_iter().map(area).collect(),
        sittings: floor.sittings.into_iter().map(sitting).collect(),
        turn_minutes: floor.turn_minutes,
        tick_minutes: floor.tick_minutes,
        etag: Etag::of(version).to_string(),
        updated_at: Some(timestamp(updated_at)),
    }
}
