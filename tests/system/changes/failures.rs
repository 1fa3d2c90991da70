use tonic::Code;

use super::{Change, House};

#[tokio::test(flavor = "multi_thread")]
async fn whichever_write_of_a_change_fails_nothing_is_left() {
    let house = House::open(20).await;
    let confirm = house.book(2).await;
    let mut firm = Vec::new();
    for _ in 0..4 {
        let made = house.book(2).await;
        firm.push(house.act(Change::Confirm, &made.booking_id).await.expect("firm"));
    }
    for ended in &firm[2..] {
        house.begin(&ended.booking_id).await;
    }
    let calls = [
        (Change::Confirm, &confirm, &["INSERT booking_events", "UPDATE bookings", "INSERT outbox_messages"][..]),
        (
            Change::Cancel,
            &firm[0],
            &["UPDATE slots", "INSERT booking_events", "UPDATE bookings", "INSERT outbox_messages"],
        ),
        (
            Change::Move("18:30"),
            &firm[1],
            &["UPDATE slots", "INSERT booking_events", "UPDATE bookings", "INSERT outbox_messages"],
        ),
        (Change::Complete, &firm[2], &["UPDATE slots", "INSERT booking_events", "UPDATE bookings"]),
        (
            Change::NoShow,
            &firm[3],
            &["UPDATE slots", "INSERT booking_events", "UPDATE bookings", "INSERT outbox_messages"],
        ),
    ];
    house.sql("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$").await;
    let before = house.service.written().await;
    for (call, booking, writes) in calls {
        for write in writes {
            let what = format!("{write} of {call:?}");
            let (verb, table) = write.split_once(' ').expect("two words");
            house
                .sql(format!("CREATE TRIGGER fail BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"))
                .await;
            let failure = house.act(call, &booking.booking_id).await.expect_err(&what);
            assert_eq!(failure.code(), Code::Internal, "{what}");
            assert_eq!(house.service.written().await, before, "{what}");
            house.sql(format!("DROP TRIGGER fail ON {table}")).await;
        }
    }
    for (call, booking, _) in calls {
        house.act(call, &booking.booking_id).await.expect("all is well again");
    }
    house.assert_sound().await;
}
