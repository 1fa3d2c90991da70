//! Nothing is skipped and nothing comes out of turn, whoever commits when.

use std::collections::HashMap;

use futures::future::join_all;
use teppan_shared::contract::booking::v1::BookingEvent;
use teppan_tests::harness::{self, Booking};

use super::{
    readers::{Reader, after, events, from_the_oldest, ids},
    written::{self, Transaction, book_many, subjects},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_commits_late_is_not_skipped() {
    let (service, venue_id) = written::venue().await;
    let before = book_many(&service, &venue_id, 2).await;
    let mut reader = Reader::open(&service.clients, from_the_oldest()).await.expect("a stream");
    assert_eq!(subjects(&reader.events(2).await), before);
    let cursor = reader.cursor.clone();

    let mut late = Transaction::begin(&service).await;
    late.run(written::copies(1)).await;
    let meanwhile = book_many(&service, &venue_id, 5).await;
    assert!(reader.is_quiet().await, "what came after the late one waits for it");
    // A stream that ends at the newest waits too: the bookings are older than the call.
    let (all, ()) = tokio::join!(events(&service.clients, from_the_oldest()), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        late.commit().await;
    });
    let told = reader.events(6).await;
    assert!(before.iter().chain(&meanwhile).all(|id| *id != told[0].subject), "the late one is the first");
    assert_eq!(subjects(&told[1..]), meanwhile);
    assert_eq!(ids(&all[2..]), ids(&told));
    assert_eq!(ids(&events(&service.clients, after(&cursor)).await), ids(&told));
    assert!(reader.is_quiet().await, "nothing comes twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_come_in_order_also_when_their_transactions_began_in_another() {
    let (service, venue_id) = written::venue().await;
    let id = book_many(&service, &venue_id, 1).await.remove(0);
    let mut reader = Reader::open(&service.clients, from_the_oldest()).await.expect("a stream");

    // The writer of versions 3 to 5 has its transaction's id before the writer of version 2 has.
    let mut early = Transaction::begin(&service).await;
    let mut second = Transaction::begin(&service).await;
    second.run(written::version(&id, "2")).await;
    second.commit().await;
    early.run(written::version(&id, "3")).await;
    early.run(written::two_versions(&id, "4", "5")).await;
    assert_eq!(versions(&reader.events(1).await), [1]);
    assert!(reader.is_quiet().await, "version 2 stands behind a transaction that runs");
    early.commit().await;

    let told = reader.events(4).await;
    assert_eq!(versions(&told), [2, 3, 4, 5]);
    assert!(told.windows(2).all(|pair| pair[0].hash == pair[1].previous_hash), "the chain is whole");
    assert_eq!(versions(&events(&service.clients, from_the_oldest()).await), [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_sees_every_event_of_many_writers_once_and_in_order() {
    const BOOKERS: usize = 16;
    const CHANGERS: usize = 16;
    const EACH: usize = 12;
    let (service, venue_id) = written::venue().await;
    let replica = Booking::over(service.url.clone(), service.keys.clone()).await.ready().await;
    let contended = book_many(&service, &venue_id, 3).await;
    let mut readers = Vec::new();
    for reader in 0..4 {
        let served_by = if reader % 2 == 0 { &service } else { &replica };
        readers.push(Reader::open(&served_by.clients, from_the_oldest()).await.expect("a stream"));
    }

    let book = join_all((0..BOOKERS).map(|writer| {
        let served_by = if writer % 2 == 0 { &service } else { &replica };
        book_many(served_by, &venue_id, EACH)
    }));
    let change = join_all((0..CHANGERS).map(|writer| change(&service, &contended[writer % contended.len()], EACH)));
    let total = contended.len() + (BOOKERS + CHANGERS) * EACH;
    let read = join_all(readers.iter_mut().map(|reader| reader.events(total)));
    let (_, _, read) = tokio::join!(book, change, read);

    for told in &read {
        assert_eq!(ids(told), ids(&read[0]), "every reader sees the same order");
        let mut last: HashMap<&str, i64> = HashMap::new();
        for event in told {
            let before = last.insert(&event.subject, event.booking_version).unwrap_or(0);
            assert_eq!(event.booking_version, before + 1, "of {}", event.subject);
        }
        let stored: i64 = service.scalar("SELECT count(*) FROM booking_events").await;
        assert_eq!((last.values().sum::<i64>(), i64::try_from(total)), (stored, Ok(stored)));
    }
}

/// Appends events to a booking that others append to at the same time: each has its transaction's id
/// before it waits for the row.
async fn change(service: &Booking, booking_id: &str, times: usize) {
    let mut connection = harness::connect(&service.url).await;
    for _ in 0..times {
        let append = format!(
            "DO $$ DECLARE next bigint; BEGIN
                UPDATE bookings SET version = version + 1 WHERE booking_id = '{booking_id}' RETURNING version INTO next;
                {};
            END $$",
            written::version(booking_id, "next")
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(append)).execute(&mut connection).await.expect("appended");
    }
}

fn versions(events: &[BookingEvent]) -> Vec<i64> {
    events.iter().map(|event| event.booking_version).collect()
}
