//! Merges beside other calls, interrupted merges, and what a merge costs.

use std::collections::BTreeSet;

use futures::future::join_all;
use sqlx::{AssertSqlSafe, Row as _};
use teppan_shared::contract::booking::v1::{CancelBookingRequest, WaitlistEntryStatus};
use teppan_tests::{clients::BookingClients, harness};

use super::{
    book_by, contact,
    erasure::{cancel, erase},
    merge::{merge_of, merged},
    read_customer, reason, service_with_venue,
};
use crate::{changes::VenueFixture, statements, verify, waitlist};

/// Bookings and entries of a merged customer. There must be none at any time.
const LEFT_BEHIND: &str = "
    SELECT count(*) FROM customers c
    WHERE c.merged_into IS NOT NULL
      AND (EXISTS (SELECT FROM bookings b WHERE b.customer_id = c.customer_id)
           OR EXISTS (SELECT FROM waitlist_entries w WHERE w.customer_id = c.customer_id))";

#[tokio::test(flavor = "multi_thread")]
async fn bookings_made_during_a_merge_belong_to_the_remaining_customer() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    for round in 0..10 {
        let [mail, phone] = [format!("ada.{round}@example.org"), format!("+49151234567{round:02}")];
        let contacts = [contact("Ada", &mail, ""), contact("Ada", "", &phone)];
        let remaining = book_by(clients, &venue, contacts[0].clone()).await.customer_id;
        let duplicate = book_by(clients, &venue, contacts[1].clone()).await.customer_id;
        let calls = join_all(contacts.iter().cycle().take(40).map(|it| book_by(clients, &venue, it.clone())));
        let (answer, made) = tokio::join!(merged(clients, merge_of(&remaining, &duplicate)), calls);
        answer.expect("merged");
        assert_eq!(service.scalar::<i64>(LEFT_BEHIND).await, 0, "round {round}");
        assert_eq!(read_customer(clients, &remaining).await.expect("read").booking_count, 42);
        let ids: BTreeSet<_> = made.iter().map(|booking| &booking.customer_id).collect();
        assert!(ids.iter().all(|id| [&remaining, &duplicate].contains(id)), "no third customer is made");
        for booking in made {
            cancel(clients, &booking).await;
        }
    }
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_in_every_direction_leave_one_customer() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    for round in 0..5 {
        let mut ids = Vec::new();
        for number in 0..4 {
            let email = format!("ada.{round}.{number}@example.org");
            ids.push(book_by(clients, &venue, contact("Ada", &email, "")).await.customer_id);
        }
        let pairs = ids.iter().flat_map(|a| ids.iter().filter(move |b| a != *b).map(move |b| merge_of(a, b)));
        for answer in join_all(pairs.map(|request| merged(clients, request))).await {
            if let Err(refused) = answer {
                assert_eq!(reason(&refused), "CUSTOMER_MERGED");
            }
        }
        let customers = join_all(ids.iter().map(|id| read_customer(clients, id))).await;
        let remaining: Vec<_> =
            customers.into_iter().map(|it| it.expect("read")).filter(|it| it.merged_into.is_empty()).collect();
        let [customer] = &remaining[..] else { panic!("{remaining:?}") };
        assert_eq!((customer.booking_count, customer.merged_customers.len()), (4, 3));
    }
    assert_eq!(service.scalar::<i64>(LEFT_BEHIND).await, 0);
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_beside_erasures_and_cancellations_is_done_or_refused_as_a_whole() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    for round in 0..10 {
        let mut bookings = Vec::new();
        for number in [0, 0, 1, 1, 1] {
            let email = format!("ada.{round}.{number}@example.org");
            bookings.push(book_by(clients, &venue, contact("Ada", &email, "")).await);
        }
        let (remaining, duplicate) = (&bookings[0].customer_id, &bookings[4].customer_id);
        let cancels = join_all(bookings.iter().map(|booking| cancel(clients, booking)));
        let erase_twice = async || [erase(clients, remaining).await, erase(clients, duplicate).await];
        let (answer, erased, _) = tokio::join!(merged(clients, merge_of(remaining, duplicate)), erase_twice(), cancels);
        for reason in
            answer.as_ref().err().into_iter().chain(erased.iter().filter_map(|it| it.as_ref().err())).map(reason)
        {
            assert!(
                ["CUSTOMER_ERASED", "CUSTOMER_MERGED", "CUSTOMER_HAS_LIVE_BOOKINGS"].contains(&&*reason),
                "{reason}"
            );
        }
        let half_erased = "SELECT count(*) FROM customers c JOIN bookings b USING (customer_id)
                           WHERE (c.erased_at IS NULL) <> (b.erased_at IS NULL)";
        assert_eq!(service.scalar::<i64>(half_erased).await, 0, "round {round}");
        assert_eq!(service.scalar::<i64>(LEFT_BEHIND).await, 0, "round {round}");
        // An erased customer has no merged one whose contact stays.
        let kept = "SELECT count(*) FROM customers c JOIN customers m ON m.merged_into = c.customer_id
                    WHERE (c.erased_at IS NULL) <> (m.erased_at IS NULL)";
        assert_eq!(service.scalar::<i64>(kept).await, 0, "round {round}");
    }
    verify::assert_derivable(&service.url).await;
}

/// Runs one step of a merge, as a process that dies after it.
async fn one_step(clients: &BookingClients, url: &secrecy::SecretString, ids: [&str; 2], step_max: u32) -> String {
    let mut versions = Vec::new();
    for id in ids {
        let etag = read_customer(clients, id).await.expect("read").etag;
        versions.push(etag.trim_start_matches('v').parse::<i64>().expect("a version"));
    }
    let step = format!(
        "SELECT merge_customers(ARRAY['{}', '{}']::uuid[], ARRAY[{}, {}], 0, NULL, NULL, NULL, now(),
                                gen_random_uuid(), NULL, '{{}}', {step_max})",
        ids[0], ids[1], versions[0], versions[1]
    );
    let mut connection = harness::connect(url).await;
    sqlx::raw_sql(AssertSqlSafe(step)).fetch_one(&mut connection).await.expect("a step").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_merge_is_completed_by_the_next_call_and_each_booking_has_one_customer_until_then() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let mut ids = Vec::new();
    for (email, count) in [("ada@example.org", 1), ("a@old.example", 7)] {
        let contacts = (0..count).map(|_| book_by(clients, &venue, contact("Ada", email, "")));
        ids.push(join_all(contacts).await.remove(0).customer_id);
    }
    for moved in [3, 6] {
        assert_eq!(one_step(clients, &service.url, [&ids[0], &ids[1]], 3).await, "more");
        let remaining = read_customer(clients, &ids[0]).await.expect("read");
        let duplicate = read_customer(clients, &ids[1]).await.expect("read");
        assert_eq!((remaining.booking_count, duplicate.booking_count), (1 + moved, 7 - moved));
        assert_eq!(duplicate.merged_into, "");
        verify::assert_derivable(&service.url).await;
    }
    let customer = merged(clients, merge_of(&ids[0], &ids[1])).await.expect("merged");
    assert_eq!((customer.booking_count, customer.merged_customers.len()), (8, 1));
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_with_thousands_of_bookings_is_merged_in_steps() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let duplicate = book_by(clients, &venue, contact("Ada", "", "+4915123456789")).await.customer_id;
    // Every copy has the events of a booking that was just made.
    let copies = "
        CREATE TEMP TABLE made AS SELECT gen_random_uuid() AS booking_id, 'C' || n AS code FROM generate_series(1, 2500) AS n;
        INSERT INTO bookings
        SELECT (jsonb_populate_record(b, jsonb_build_object('booking_id', m.booking_id, 'confirmation_code', m.code))).*
        FROM made m CROSS JOIN bookings b;
        INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
        SELECT gen_random_uuid(), m.booking_id, 1, e.type, e.occurred_at,
               (e.data::jsonb || jsonb_build_object('booking_id', m.booking_id, 'confirmation_code', m.code))::json, ''
        FROM made m, (SELECT * FROM booking_events LIMIT 1) AS e;
        UPDATE bookings b SET event_hash = e.hash FROM booking_events e WHERE e.booking_id = b.booking_id;
        UPDATE slots SET reserved = 1000, capacity = 1000 WHERE reserved = 1";
    harness::execute(&service.url, copies).await;
    let remaining = book_by_other_day(clients, &venue).await;
    let customer = merged(clients, merge_of(&remaining, &duplicate)).await.expect("merged");
    assert_eq!((customer.booking_count, customer.merged_customers.len()), (2502, 1));
    assert_eq!(service.scalar::<i64>(LEFT_BEHIND).await, 0);
    let transactions = "SELECT count(DISTINCT xmin::text) FROM booking_events WHERE type LIKE '%customer_changed%'";
    assert_eq!(service.scalar::<i64>(transactions).await, 3);
}

/// A booking of another customer, in a slot with free seats.
async fn book_by_other_day(clients: &BookingClients, venue: &teppan_shared::contract::booking::v1::Venue) -> String {
    let mut request = super::request_by(venue, contact("Ada", "ada@example.org", ""));
    request.date = (chrono::Utc::now() + chrono::TimeDelta::days(9)).date_naive().to_string();
    let made = clients.clone().bookings.create_booking(request).await.expect("booked").into_inner();
    made.booking.expect("the booking").customer_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_reads_only_rows_of_its_two_customers() {
    let fixture = verify::many::with_many(20_000).await;
    let clients = &fixture.service.clients;
    let venue =
        teppan_shared::contract::booking::v1::Venue { venue_id: fixture.venue_id.clone(), ..Default::default() };
    let mut ids = Vec::new();
    for email in ["ada@example.org", "a@old.example", "a@old.example"] {
        ids.push(book_by(clients, &venue, contact("Ada", email, "")).await.customer_id);
    }
    let mut connection = harness::connect(&fixture.service.url).await;
    statements::apply_plan_settings(&mut connection).await;
    let step = format!(
        "PREPARE step AS SELECT merge_customers(ARRAY['{}', '{}']::uuid[], ARRAY[1, 1], 2, NULL, NULL,
             ARRAY['x', 'x']::bytea[], now(), gen_random_uuid(), NULL, '{{}}', 1)",
        ids[0], ids[1]
    );
    statements::run(&mut connection, step).await;
    // The first call reads the catalog too.
    statements::plan(&mut connection, "step").await;
    let plan = statements::plan(&mut connection, "step").await;
    assert!(statements::buffers(&plan) < 300, "{plan}");
    assert_eq!(read_customer(clients, &ids[0]).await.expect("read").booking_count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entry_that_joined_first_or_has_an_offer_stays() {
    let fixture = VenueFixture::over(waitlist::service_with_fast_workers().await, 2, 25).await;
    let clients = &fixture.service.clients;
    let taken = fixture.book(2).await;
    let mut entries = Vec::new();
    for _ in 0..4 {
        entries.push(waitlist::join(&fixture, 2).await);
    }
    let ids: Vec<_> = entries.iter().map(|entry| entry.customer_id.clone()).collect();
    let status = async |entry: usize, customer: usize| {
        let mut entry = entries[entry].clone();
        entry.customer_id.clone_from(&ids[customer]);
        waitlist::now(&fixture, &entry).await.status()
    };
    // Both wait: the first entry is the duplicate's, and moves.
    merged(clients, merge_of(&ids[1], &ids[0])).await.expect("merged");
    assert_eq!(status(0, 1).await, WaitlistEntryStatus::Waiting);
    assert_eq!(status(1, 1).await, WaitlistEntryStatus::Left);
    // The seats are offered to the first entry. Merged with one who waits, the offer stays.
    let cancel = CancelBookingRequest { booking_id: taken.booking_id, ..Default::default() };
    clients.clone().bookings.cancel_booking(cancel).await.expect("cancelled");
    let mut offered = entries[0].clone();
    offered.customer_id.clone_from(&ids[1]);
    let offered = waitlist::becomes(&fixture, &offered, WaitlistEntryStatus::Offered).await;
    merged(clients, merge_of(&ids[2], &ids[1])).await.expect("merged");
    assert_eq!(status(0, 2).await, WaitlistEntryStatus::Offered);
    assert_eq!(status(2, 2).await, WaitlistEntryStatus::Left);
    // Two open offers for one slot: one of them must end first.
    fixture.sql("UPDATE slots SET capacity = 4 WHERE reserved = 2").await;
    let mut other = entries[3].clone();
    other.customer_id.clone_from(&ids[3]);
    let other = waitlist::becomes(&fixture, &other, WaitlistEntryStatus::Offered).await;
    for request in [merge_of(&ids[2], &ids[3]), merge_of(&ids[3], &ids[2])] {
        let refused = merged(clients, request).await.expect_err("refused");
        assert_eq!(reason(&refused), "SLOT_ALREADY_OFFERED");
    }
    let leave = waitlist::leave(clients, &other).await.expect("left");
    assert_eq!(leave.status(), WaitlistEntryStatus::Left);
    merged(clients, merge_of(&ids[2], &ids[3])).await.expect("merged");
    // The offer that moved can be declined.
    let decline = CancelBookingRequest { booking_id: offered.booking_id, ..Default::default() };
    clients.clone().bookings.cancel_booking(decline).await.expect("declined");
    assert_eq!(status(0, 2).await, WaitlistEntryStatus::Left);
    assert_eq!(fixture.service.scalar::<i64>(LEFT_BEHIND).await, 0);
    waitlist::assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_and_joins_during_merges_belong_to_the_remaining_customer() {
    let fixture = VenueFixture::over(waitlist::service_with_fast_workers().await, 2, 0).await;
    let clients = &fixture.service.clients;
    for round in 0..10 {
        let taken = fixture.book(2).await;
        let first = waitlist::join(&fixture, 2).await;
        let request = waitlist::request(&fixture.venue_id, 2);
        let mut again = request.clone();
        again.idempotency_key = uuid::Uuid::now_v7().to_string();
        let second = waitlist::join_by(clients, request).await.expect("joined");
        let [remaining, duplicate] = [&second.customer_id, &first.customer_id];
        let (answer, joined, ()) = tokio::join!(
            merged(clients, merge_of(remaining, duplicate)),
            waitlist::join_by(clients, again),
            cancel(clients, &taken),
        );
        answer.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        if let Err(refused) = joined {
            assert!(["ALREADY_WAITING", "SLOT_AVAILABLE"].contains(&&*reason(&refused)), "{refused:?}");
        }
        assert_eq!(fixture.service.scalar::<i64>(LEFT_BEHIND).await, 0, "round {round}");
        waitlist::all_openings_settled(&fixture).await;
        // Every offer is declined.
        let pending = "SELECT COALESCE(array_agg(booking_id::text), '{}') FROM bookings WHERE status = 'PENDING'";
        harness::eventually("the slot is free", async || {
            for booking_id in fixture.service.scalar::<Vec<String>>(pending).await {
                let request = CancelBookingRequest { booking_id, ..Default::default() };
                clients.clone().bookings.cancel_booking(request).await.expect("cancelled");
            }
            fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await == 0
        })
        .await;
        waitlist::all_openings_settled(&fixture).await;
        assert_eq!(fixture.service.scalar::<i64>(LEFT_BEHIND).await, 0, "round {round}");
    }
    waitlist::assert_sound(&fixture).await;
}
