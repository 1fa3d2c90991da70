//! The cost of joining, leaving, offering and listing does not grow with the number of waiting entries.

use teppan_tests::harness;

use super::join;
use crate::{
    changes::VenueFixture,
    statements::{apply_plan_settings, buffers, plan, run},
};

const JOIN: &str = include_str!("../../../booking-service/src/waitlist/join.sql");
const LEAVE: &str = include_str!("../../../booking-service/src/waitlist/leave.sql");
const LIST: &str = include_str!("../../../booking-service/src/waitlist/list.sql");
const CLAIM: &str = include_str!("../../../booking-service/src/waitlist/claim_opening.sql");
const SETTLE: &str = include_str!("../../../booking-service/src/waitlist/settle_notes.sql");
const REVIEW: &str = include_str!("../../../booking-service/src/waitlist/review.sql");
const CLOSE: &str = include_str!("../../../booking-service/src/waitlist/close_entries.sql");

/// Up to 40,000 waiting entries, half of them for the slot at 18:00 with parties of 5 and 6, and 40,000 ended ones.
const CROWD: &str = "
    INSERT INTO customers (customer_id, email_hash, contact_sealed, version, created_at, updated_at)
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, sha256(n::text::bytea), '', 1, now(), now()
    FROM generate_series(1, 20000) AS n;
    INSERT INTO waitlist_entries (waitlist_entry_id, status, venue_id, slot_date, start_time, customer_id, party_size,
        conversation_id, booking_id, details_sealed, bookable_until, offered_at, created_at, updated_at)
    SELECT gen_random_uuid(), s.status, e.venue_id, e.slot_date, time, c.customer_id, 5 + (random())::int,
        'chat-' || row_number() OVER () % 1000, gen_random_uuid(),
        CASE WHEN s.status = 'WAITING' THEN ''::bytea END, now() + interval '1 day',
        CASE WHEN s.status = 'LAPSED' THEN now() END, now(), now()
    FROM (SELECT * FROM waitlist_entries ORDER BY queue_number LIMIT 1) AS e, customers c, unnest('{18:00,18:30}'::time[]) AS time, unnest('{WAITING,LAPSED}'::text[]) AS s (status)
    WHERE c.customer_id::text LIKE '00000000-%'";

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_reads_the_whole_queue() {
    let fixture = VenueFixture::with_deposit(2).await;
    fixture.book(2).await;
    let entry = join(&fixture, 1).await;
    let mut connection = harness::connect(&fixture.service.url).await;
    apply_plan_settings(&mut connection).await;
    // A connection plans a statement once, perhaps while the tables are nearly empty: the plan must suit large tables.
    for (name, types, statement) in [
        (
            "join_it",
            "text, bytea, uuid, date, time, integer, uuid, bytea[], bytea[], bytea, bigint, uuid, uuid, text, bytea, text, timestamptz, text, text, boolean",
            JOIN,
        ),
        ("leave", "uuid, timestamptz, boolean", LEAVE),
        ("list", "text, uuid, uuid, date, time, text[], bigint, bigint, bigint", LIST),
        ("claim", "timestamptz, timestamptz", CLAIM),
        ("settle", "bigint[], bigint[], timestamptz, boolean", SETTLE),
        ("close", "timestamptz", CLOSE),
    ] {
        run(&mut connection, format!("PREPARE {name} ({types}) AS {statement}")).await;
    }
    run(&mut connection, format!("PREPARE review AS {REVIEW}")).await;
    let slot = format!("'{}', '{}', '18:00'", fixture.venue_id, entry.date);
    let (venue, date) = (&fixture.venue_id, &entry.date);
    let joined = |key: &str, email: &str| {
        format!(
            "join_it ('{key}', sha256(''), {slot}, 1, gen_random_uuid(), ARRAY[{email}], '{{}}', '', 1, gen_random_uuid(),
                 gen_random_uuid(), '', '', '', now(), NULL, NULL, false)"
        )
    };
    plan(&mut connection, &joined("first", "sha256('first')")).await;
    plan(&mut connection, "list (NULL, NULL, NULL, NULL, NULL, NULL, 0, 5000, 51)").await;
    plan(&mut connection, "claim (now(), now())").await;
    plan(&mut connection, "settle ('{}', '{}', now(), false)").await;
    plan(&mut connection, "review").await;
    run(&mut connection, CROWD).await;

    let waits = plan(&mut connection, &joined("again", "sha256('7')")).await;
    assert!(waits.contains("using waitlist_entries_wait_once") && buffers(&waits) < 60, "{waits}");
    let new = plan(&mut connection, &joined("new", "sha256('new')")).await;
    // Its queue position is counted, up to a bound: an index-only scan reads the entries ahead.
    assert!(!new.contains("Seq Scan") && buffers(&new) < 400, "{new}");
    let left = plan(&mut connection, &format!("leave ('{}', now(), false)", entry.waitlist_entry_id)).await;
    assert!(!left.contains("Seq Scan") && buffers(&left) < 100, "{left}");

    for (filters, index) in [
        ("NULL, NULL, NULL, NULL, NULL, NULL".to_owned(), "waitlist_entries_queue_number_key"),
        (format!("NULL, NULL, '{venue}', NULL, NULL, NULL"), "waitlist_entries_venue"),
        (format!("NULL, NULL, '{venue}', '{date}', '18:00', '{{WAITING}}'"), "waitlist_entries_day"),
        (
            "NULL, '00000000-0000-4000-8000-000000000007', NULL, NULL, NULL, NULL".to_owned(),
            "waitlist_entries_customer",
        ),
        (format!("'chat-7', NULL, '{venue}', NULL, NULL, NULL"), "waitlist_entries_conversation"),
    ] {
        let listed = plan(&mut connection, &format!("list ({filters}, 0, 5000, 51)")).await;
        let ran: Vec<_> =
            listed.lines().filter(|line| line.contains("Index") && !line.contains("never executed")).collect();
        assert!(ran.iter().any(|line| line.contains(&format!("{index} "))), "{filters}\n{listed}");
        assert!(!listed.contains("Seq Scan") && listed.contains("using waitlist_entries_queue"), "{filters}\n{listed}");
        println!("{index}: {} pages", buffers(&listed));
        assert!(buffers(&listed) < 600, "{filters}\n{listed}");
    }
    // A page ends after this many rows when no row matches.
    let rare = plan(&mut connection, "list (NULL, NULL, NULL, NULL, NULL, '{ACCEPTED}', 0, 5000, 51)").await;
    assert!(rare.contains("rows=5000") && !rare.contains("rows=5001"), "{rare}");
    assert!(buffers(&rare) < 6000, "{rare}");

    // Two free seats, and 20,000 entries that do not fit ahead of one that does.
    run(&mut connection, "UPDATE slots SET capacity = 4 WHERE reserved = 2").await;
    let claimed = plan(&mut connection, "claim (now(), now() + interval '30 s')").await;
    assert!(claimed.contains("using waitlist_entries_next") && !claimed.contains("Seq Scan"), "{claimed}");
    assert!(buffers(&claimed) < 100, "{claimed}");
    let leased: i64 =
        fixture.service.scalar("SELECT count(*) FROM waitlist_openings WHERE next_attempt_at > now()").await;
    assert_eq!(leased, 1);
    run(&mut connection, "DELETE FROM waitlist_openings").await;
    let idle = plan(&mut connection, "claim (now(), now())").await;
    assert!(buffers(&idle) < 20, "a claim that finds no opening is cheap: {idle}");

    // Many slots whose offers fail, or that wait for their day.
    let many = "INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at, next_attempt_at)
        SELECT venue_id, current_date + n, '18:00', now(), now() + interval '1 day'
        FROM venues, generate_series(1, 20000) AS n";
    run(&mut connection, many).await;
    let idle = plan(&mut connection, "claim (now(), now())").await;
    assert!(idle.contains("using waitlist_openings_due") && buffers(&idle) < 20, "{idle}");
    let ids = "SELECT array_agg(opening_id)::text FROM (SELECT opening_id FROM waitlist_openings LIMIT 2) AS two";
    let ids = fixture.service.scalar::<String>(ids).await.replace(',', "}', '{");
    let settled = plan(&mut connection, &format!("settle ('{ids}', now(), false)")).await;
    assert!(settled.contains("waitlist_openings_pkey"), "{settled}");
    assert!(!settled.contains("Seq Scan") && buffers(&settled) < 100, "{settled}");

    // A change of the venue leaves one row, however many entries wait; the review reads them in batches.
    run(&mut connection, "UPDATE venues SET notice_minutes = 43200").await;
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_reviews").await, 1);
    plan(&mut connection, "review").await;
    let reviewed = plan(&mut connection, "review").await;
    assert!(reviewed.contains("using waitlist_entries_queue") && !reviewed.contains("Seq Scan"), "{reviewed}");
    let batch = reviewed.lines().find(|line| line.contains("using waitlist_entries_queue")).expect("the scan");
    assert!(batch.contains("rows=500"), "the batch stops at its bound: {batch}");
    println!("review: {} pages", buffers(&reviewed));

    let closed = plan(&mut connection, "close (now() + interval '2 days')").await;
    assert!(closed.contains("using waitlist_entries_closing") && !closed.contains("Seq Scan"), "{closed}");
    let due = closed.lines().find(|line| line.contains("using waitlist_entries_closing")).expect("the scan");
    assert!(due.contains("rows=48"), "the batch stops at its bound: {due}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_does_not_read_the_queue_that_its_customer_leaves() {
    let fixture = VenueFixture::with_deposit(2).await;
    fixture.book(2).await;
    join(&fixture, 1).await;
    let mut connection = harness::connect(&fixture.service.url).await;
    apply_plan_settings(&mut connection).await;
    let book = "INSERT INTO bookings SELECT (jsonb_populate_record(b, jsonb_build_object(
                    'booking_id', gen_random_uuid(), 'confirmation_code', gen_random_uuid()))).*
                FROM bookings b LIMIT 1";
    // A connection plans a statement once, perhaps while the tables are nearly empty.
    run(&mut connection, book).await;
    run(&mut connection, CROWD).await;
    run(&mut connection, format!("BEGIN; {book}")).await;
    let read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'waitlist_entries'";
    let read: i64 = sqlx::query_scalar(read).fetch_one(&mut connection).await.expect("counted");
    assert!(read < 10, "{read} entries were read");
}
