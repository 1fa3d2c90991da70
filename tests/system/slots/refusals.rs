//! A venue's policy is implemented twice: in the schema, for statements that decide with it, and in Rust, for everything
//! else.

use std::collections::BTreeMap;

use booking_service::{
    domain::Refusal,
    rules::{SlotRow, VenuePolicy, slot_refusal},
};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, TimeZone as _, Utc};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use teppan_tests::harness;

const CASES: usize = 5_000;

const BOTH: &str = "
    SELECT slot_refusal(venue, jsonb_populate_record(NULL::slots, NULLIF(it -> 'slot', 'null')), (it ->> 'date')::date,
                        (it ->> 'party_size')::integer, moment),
           venue_date(venue, moment), venue_terms(venue), walk_in_terms(venue), price.total_cents,
           booking_deposit_cents(venue, price.total_cents, (it ->> 'party_size')::integer)
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS cases (it, n),
         LATERAL (SELECT jsonb_populate_record(NULL::venues, it -> 'venue') AS venue,
                         (it ->> 'moment')::timestamptz AS moment) AS of_case,
         LATERAL (SELECT booking_total_cents(venue, (it ->> 'price')::bigint, (it ->> 'party_size')::integer)
                         AS total_cents
                  OFFSET 0) AS price
    ORDER BY n";

/// A venue, one of its slots or none, and a party and date: all values are close to a bound.
fn cases() -> impl Strategy<Value = Value> {
    let moment = (0..2_000_000_i64).prop_map(|minutes| {
        Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).single().expect("an instant") + TimeDelta::minutes(minutes)
    });
    let venue = (-48..=56_i32, prop::option::of(-2..=2_i64), -48..=56_i32, 1..4, 0..5, 0..120_i32, 1..6_i32);
    let slot =
        prop::option::of((-1..=1_i64, 0..10_i32, 0..10_i32, prop::sample::select(vec!["OPEN", "OPEN", "CLOSED"])));
    let amount = || prop_oneof![Just(0_i64), 0..100_i64, 0..40_000_i64];
    let charges = ((0..=100_i32, amount(), amount(), 0..9_i32), (amount(), amount()));
    let code = prop::sample::select(vec!["EUR", "KWD", "MGA", "JPY", "HUF"]);
    let wish = (-2..=2_i64, 1..=9, amount());
    (moment, venue, slot, wish, (charges, code)).prop_map(|(moment, venue, slot, wish, (charges, code))| {
        let (days, party_size, price) = wish;
        let ((percent, per_person, fixed, min_party_size), (spend, fee)) = charges;
        let (quarters, changes_in, next_quarters, smallest, more, notice, horizon) = venue;
        let date = moment.date_naive() + TimeDelta::days(i64::from(horizon) + days);
        let starts_at = |near| moment + TimeDelta::minutes(notice.into()) + TimeDelta::microseconds(near);
        json!({
            "moment": moment,
            "date": date,
            "party_size": party_size,
            "price": price,
            "venue": {
                "time_zone": "Europe/Berlin", "currency": code, "phone_region": "DE",
                "utc_offset_seconds": quarters * 900,
                "clock_changes_at": changes_in.map(|near| moment + TimeDelta::microseconds(near)),
                "next_utc_offset_seconds": next_quarters * 900, "min_party_size": smallest,
                "max_party_size": smallest + more, "notice_minutes": notice, "horizon_days": horizon,
                "hold_minutes": 120, "waitlist_hold_minutes": 60, "deposit_percent": percent,
                "full_refund_hours": 24, "late_refund_percent": 50, "undo_minutes": 60,
                "deposit_per_person_cents": per_person, "deposit_fixed_cents": fixed,
                "deposit_min_party_size": min_party_size, "minimum_spend_cents": spend,
                "no_show_fee_per_person_cents": fee,
            },
            "slot": slot.map(|(near, capacity, reserved, state)| json!({
                "venue_id": uuid::Uuid::nil(), "slot_date": date, "start_time": "18:00:00",
                "starts_at": starts_at(near), "ends_at": moment + Days::new(30), "capacity": capacity,
                "reserved": reserved.min(capacity), "price_per_person_cents": 3500, "state": state, "has_floor": false,
            })),
        })
    })
}

fn name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::SlotNotFound => "SLOT_NOT_FOUND",
        Refusal::SlotClosed => "SLOT_CLOSED",
        Refusal::SlotFull { .. } => "SLOT_FULL",
        Refusal::InsufficientNotice { .. } => "INSUFFICIENT_NOTICE",
        Refusal::TooFarAhead { .. } => "TOO_FAR_AHEAD",
        Refusal::PartyTooSmall { .. } => "PARTY_TOO_SMALL",
        Refusal::PartyTooLarge { .. } => "PARTY_TOO_LARGE",
        Refusal::VenueNotFound
        | Refusal::AreaNotFound
        | Refusal::AreaFull { .. }
        | Refusal::PriceChanged { .. }
        | Refusal::Duplicate(_) => panic!("not a refusal of the policy"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_a_venue_is_the_same_in_the_schema_and_in_rust() {
    let mut runner = TestRunner::new(Config::default());
    let cases: Vec<Value> = (0..CASES).map(|_| cases().new_tree(&mut runner).expect("a case").current()).collect();
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let answers: Vec<(Option<String>, NaiveDate, Value, Value, i64, i64)> = sqlx::query_as(BOTH)
        .bind(Value::from(cases.clone()))
        .fetch_all(&mut harness::connect(&url).await)
        .await
        .expect("the schema's answers");
    assert_eq!(answers.len(), CASES);
    let mut seen: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for (case, (refused, date, terms, walk_in, total, deposit)) in cases.iter().zip(&answers) {
        fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
            serde_json::from_value(value.clone()).expect("a row")
        }
        let (venue, slot): (VenuePolicy, Option<SlotRow>) = (read(&case["venue"]), read(&case["slot"]));
        let moment: DateTime<Utc> = read(&case["moment"]);
        assert_eq!(venue.date_at(moment), *date, "{case}");
        assert_eq!(
            (json!(venue.terms()), json!(venue.terms().for_walk_ins())),
            (terms.clone(), walk_in.clone()),
            "{case}"
        );
        let (terms, party_size) = (venue.terms(), read(&case["party_size"]));
        let price = case["price"].as_i64().expect("a price");
        assert_eq!(terms.total_cents(price, party_size), *total, "{case}");
        assert_eq!(terms.deposit_cents(*total, party_size, venue.currency), *deposit, "{case}");
        let refusal = slot_refusal(&venue, slot.as_ref(), read(&case["date"]), read(&case["party_size"]), moment);
        assert_eq!(refusal.map(name), refused.as_deref(), "{case}");
        *seen.entry(refusal.map(name)).or_default() += 1;
    }
    assert!(seen.len() == 8 && seen.values().all(|count| *count > 20), "every refusal occurs: {seen:?}");
}
