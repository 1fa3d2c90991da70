use tonic::Code;

use super::{Change, VenueFixture};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_writes_nothing_when_one_of_its_writes_fails() {
    let fixture = VenueFixture::with_deposit(20).await;
    let confirm = fixture.book(2).await;
    let mut firm = Vec::new();
    for _ in 0..4 {
        let made = fixture.book(2).await;
        firm.push(fixture.act(Change::Confirm, &made.booking_id).await.expect("confirmed"));
    }
    for ended in &firm[2..] {
        fixture.mark_started(&ended.booking_id).await;
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
    fixture
        .sql("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$")
        .await;
    let before = fixture.service.written().await;
    for (call, booking, writes) in calls {
        for write in writes {
            let what = format!("{write} of {call:?}");
            let (verb, table) = write.split_once(' ').expect("two words");
            fixture
                .sql(format!("CREATE TRIGGER fail BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"))
                .await;
            let failure = fixture.act(call, &booking.booking_id).await.expect_err(&what);
            assert_eq!(failure.code(), Code::Internal, "{what}");
            assert_eq!(fixture.service.written().await, before, "{what}");
            fixture.sql(format!("DROP TRIGGER fail ON {table}")).await;
        }
    }
    for (call, booking, _) in calls {
        fixture.act(call, &booking.booking_id).await.expect("the change succeeds once no write fails");
    }
    fixture.assert_consistent().await;
}
