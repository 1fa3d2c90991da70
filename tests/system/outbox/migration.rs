//! What earlier versions had written.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use teppan_tests::harness;

use super::{
    receiver::Receiver,
    stage::{all_delivered, append, book, quiet, replica},
};

/// The table as it was, with a message of each event.
const AS_IT_WAS: &str = "
    DROP TABLE outbox_messages, outbox_destinations;
    DELETE FROM _sqlx_migrations WHERE version = 10;
    CREATE TABLE outbox_messages (
        event_id     uuid        NOT NULL REFERENCES booking_events,
        destination  text        NOT NULL,
        booking_id   uuid        NOT NULL,
        traceparent  text,
        created_at   timestamptz NOT NULL,
        PRIMARY KEY (event_id, destination)
    );
    INSERT INTO outbox_messages SELECT event_id, d, booking_id, traceparent, occurred_at
    FROM booking_events, unnest(ARRAY['conversation-service', 'event-stream']) AS d";

/// What the version before writes while it still runs beside this one.
const AS_BEFORE: &str = "
    INSERT INTO outbox_messages (event_id, destination, booking_id, traceparent, created_at)
    SELECT event_id, destination, booking_id, traceparent, created_at FROM before";

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_the_version_before_are_carried_over_and_those_it_still_writes_are_delivered() {
    let (service, venue) = quiet().await;
    let made = book(&service, &venue, 5).await;
    append(&service, &made[0].booking_id, "rescheduled", "conversation-service").await;
    let mut connection: PgConnection = harness::connect(&service.url).await;
    sqlx::raw_sql(AS_IT_WAS).execute(&mut connection).await.expect("as it was");
    booking_service::app::DEFINITION.migrator.run_direct(None, &mut connection, false).await.expect("it applies");
    let carried = "SELECT count(*) FROM outbox_messages o JOIN booking_events e USING (event_id, booking_id, version)
                   WHERE o.next_attempt_at = o.created_at AND attempts = 0";
    assert_eq!(service.scalar::<i64>(carried).await, 12);

    let first =
        "CREATE TABLE before AS SELECT * FROM outbox_messages WHERE version = 1 AND destination = 'event-stream';
                 DELETE FROM outbox_messages WHERE destination = 'event-stream';
                 DELETE FROM outbox_messages WHERE booking_id IN (SELECT booking_id FROM before) AND version = 1;
                 UPDATE before SET destination = 'conversation-service'";
    sqlx::raw_sql(AssertSqlSafe(first)).execute(&mut connection).await.expect("kept aside");
    sqlx::raw_sql(AS_BEFORE).execute(&mut connection).await.expect("written");
    connection.close().await.expect("closed");
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let replica = replica(&service, listening.address, |_| {}).await;
    all_delivered(&service).await;
    assert_eq!(receiver.told().len(), 6);
    replica.service.stop().await;
}
