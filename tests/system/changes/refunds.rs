//! What is to be given back, at the boundaries. The time is a parameter of the statement, so that it can be
//! any instant here.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, Row as _};
use teppan_tests::harness;
use uuid::Uuid;

use super::{Change, House};

const CANCEL: &str = include_str!("../../../booking-service/src/bookings/cancel.sql");

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_depends_on_when_and_on_whose_wish() {
    let house = House::firm(10).await;
    let made = house.book(2).await;
    let id = Uuid::parse_str(&made.booking_id).expect("a UUID");
    let starts_at: DateTime<Utc> = house.service.scalar("SELECT starts_at FROM bookings").await;
    let (day, instant) = (TimeDelta::hours(24), TimeDelta::microseconds(1));
    let mut connection = harness::connect(&house.service.url).await;
    // Ahead of the start; on whose wish; the late share in percent; paid; owed before; owed after.
    for (ahead, by, percent, paid, owed, due) in [
        (TimeDelta::days(14), "CUSTOMER", 50, 7000, 0, 7000),
        (day, "CUSTOMER", 50, 7000, 0, 7000),
        (day - instant, "CUSTOMER", 50, 7000, 0, 3500),
        (instant, "CUSTOMER", 50, 7000, 0, 3500),
        (day - instant, "VENUE", 50, 7000, 0, 7000),
        (instant, "VENUE", 0, 7000, 0, 7000),
        (instant, "CUSTOMER", 50, 0, 0, 0),
        (day, "CUSTOMER", 0, 0, 0, 0),
        (instant, "CUSTOMER", 0, 7000, 0, 0),
        (instant, "CUSTOMER", 100, 7000, 0, 7000),
        // Half a cent and more is the customer's.
        (instant, "CUSTOMER", 50, 3333, 0, 1667),
        (instant, "CUSTOMER", 33, 1, 0, 0),
        (instant, "CUSTOMER", 33, 5, 0, 2),
        (instant, "CUSTOMER", 1, 50, 0, 1),
        // What was paid too much is owed whole, whatever the policy says about the rest.
        (instant, "CUSTOMER", 50, 9000, 2000, 5500),
        (instant, "CUSTOMER", 0, 9000, 2000, 2000),
        (day, "CUSTOMER", 0, 9000, 2000, 9000),
    ] {
        let what = format!("{ahead} ahead, {by}, {percent} %, {paid} paid");
        let mut transaction = connection.begin().await.expect("a transaction");
        sqlx::query("UPDATE venues SET late_refund_percent = $1")
            .bind(percent)
            .execute(&mut *transaction)
            .await
            .unwrap();
        let set = "UPDATE bookings SET paid_cents = $1, refund_due_cents = $2";
        sqlx::query(set).bind(i64::from(paid)).bind(i64::from(owed)).execute(&mut *transaction).await.unwrap();
        let cancelled = sqlx::query(CANCEL)
            .bind(id)
            .bind(None::<i64>)
            .bind(vec!["PENDING", "CONFIRMED"])
            .bind(Uuid::now_v7())
            .bind(None::<String>)
            .bind(Vec::<String>::new())
            .bind(starts_at - ahead)
            .bind(by)
            .fetch_one(&mut *transaction)
            .await
            .expect(&what);
        assert_eq!(cancelled.get::<String, _>("outcome!"), "CHANGED", "{what}");
        assert_eq!(cancelled.get::<i64, _>("refund_due_cents!"), due, "{what}");
        let told = "SELECT (data->>'refund_due_cents')::bigint FROM booking_events WHERE version = 2";
        let told: i64 = sqlx::query_scalar(told).fetch_one(&mut *transaction).await.expect("the event");
        assert_eq!(told, due, "{what}: the event says the same");
        transaction.rollback().await.expect("undone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_has_run_out_owes_the_same_whether_it_is_cancelled_or_expires() {
    let house = House::open(10).await;
    let made = house.book(2).await;
    house.sql("UPDATE venues SET late_refund_percent = 50, full_refund_hours = 8760").await;
    house.sql("UPDATE bookings SET paid_cents = 1000").await;
    house.run_out(&made.booking_id).await;
    let cancelled = house.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    assert_eq!(cancelled.refund_due_cents, 1000);
    house.assert_sound().await;
}
