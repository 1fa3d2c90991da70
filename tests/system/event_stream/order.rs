//! The stream skips no event and keeps the order, for any order of commits.

use std::collections::HashMap;

use futures::future::join_all;
use teppan_shared::contract::booking::v1::BookingEvent;
use teppan_tests::harness::{self, Booking};

use super::{
    fixture::{self, Transaction, book_many, subjects},
    readers::{Reader, after, events, from_the_oldest, ids},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_commits_late_is_not_skipped() {
    let (service, venue_id) = fixture::venue().await;
    let before = book_many(&service, &venue_id, 2).await;
    let mut reader = Reader::open(&service.clients, from_the_oldest()).await.expect("a stream");
    assert_eq!(subjects(&reader.events(2).await), before);
    let cursor = reader.cursor.clone();

    let mut late = Transaction::begin(&service).await;
    late.run(fixture::copies(1)).await;
    let meanwhile = book_many(&service, &venue_id, 5).await;
    assert!(reader.is_quiet().await, "later events wait for the late one");
    // A stream without `follow` waits too, because the bookings are older than the call.
    let (all, ()) = tokio::join!(events(&service.clients, from_the_oldest()), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        late.commit().await;
    });
    let received = reader.events(6).await;
    assert!(before.iter().chain(&meanwhile).all(|id| *id != received[0].subject), "the late one is the first");
    assert_eq!(subjects(&received[1..]), meanwhile);
    assert_eq!(ids(&all[2..]), ids(&received));
    assert_eq!(ids(&events(&service.clients, after(&cursor)).await), ids(&received));
    assert!(reader.is_quiet().await, "no event comes twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_in_order_even_if_their_transactions_began_in_another_order() {
    let (service, venue_id) = fixture::venue().await;
    let id = book_many(&service, &venue_id, 1).await.remove(0);
    let mut reader = Reader::open(&service.clients, from_the_oldest()).await.expect("a stream");

    // The transaction that writes versions 3 to 5 gets its id before the transaction that writes version 2.
    let mut early = Transaction::begin(&service).await;
    let mut second = Transaction::begin(&service).await;
    second.run(fixture::version(&id, "2")).await;
    second.commit().await;
    early.run(fixture::version(&id, "3")).await;
    early.run(fixture::two_versions(&id, "4", "5")).await;
    assert_eq!(versions(&reader.events(1).await), [1]);
    assert!(reader.is_quiet().await, "version 2 waits for the transaction with the lower id");
    early.commit().await;

    let received = reader.events(4).await;
    assert_eq!(versions(&received), [2, 3, 4, 5]);
    assert!(received.windows(2).all(|pair| pair[0].hash == pair[1].previous_hash), "the hash chain is unbroken");
    assert_eq!(versions(&events(&service.clients, from_the_oldest()).await), [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_sees_every_event_of_many_writers_once_and_in_order() {
    const BOOKING_WRITERS: usize = 16;
    const CHANGE_WRITERS: usize = 16;
    const EVENTS_EACH: usize = 12;
    let (service, venue_id) = fixture::venue().await;
    let replica = Booking::over(service.url.clone(), service.keys.clone()).await.ready().await;
    let contended = book_many(&service, &venue_id, 3).await;
    let mut readers = Vec::new();
    for reader in 0..4 {
        let served_by = if reader % 2 == 0 { &service } else { &replica };
        readers.push(Reader::open(&served_by.clients, from_the_oldest()).await.expect("a stream"));
    }

    let book = join_all((0..BOOKING_WRITERS).map(|writer| {
        let served_by = if writer % 2 == 0 { &service } else { &replica };
        book_many(served_by, &venue_id, EVENTS_EACH)
    }));
    let change =
        join_all((0..CHANGE_WRITERS).map(|writer| change(&service, &contended[writer % contended.len()], EVENTS_EACH)));
    let total = contended.len() + (BOOKING_WRITERS + CHANGE_WRITERS) * EVENTS_EACH;
    let read = join_all(readers.iter_mut().map(|reader| reader.events(total)));
    let (_, _, read) = tokio::join!(book, change, read);

    for received in &read {
        assert_eq!(ids(received), ids(&read[0]), "every reader sees the same order");
        let mut last: HashMap<&str, i64> = HashMap::new();
        for event in received {
            let before = last.insert(&event.subject, event.booking_version).unwrap_or(0);
            assert_eq!(event.booking_version, before + 1, "of {}", event.subject);
        }
        let stored: i64 = service.scalar("SELECT count(*) FROM booking_events").await;
        assert_eq!((last.values().sum::<i64>(), i64::try_from(total)), (stored, Ok(stored)));
    }
}

/// Appends events to a booking to which other connections append at the same time. Each transaction gets its id before
/// it waits for the row lock.
async fn change(service: &Booking, booking_id: &str, times: usize) {
    let mut connection = harness::connect(&service.url).await;
    for _ in 0..times {
        let append = format!(
            "DO $$ DECLARE next bigint; BEGIN
                UPDATE bookings SET version = version + 1 WHERE booking_id = '{booking_id}' RETURNING version INTO next;
                {};
            END $$",
            fixture::version(booking_id, "next")
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(append)).execute(&mut connection).await.expect("appended");
    }
}

fn versions(events: &[BookingEvent]) -> Vec<i64> {
    events.iter().map(|event| event.booking_version).collect()
}
