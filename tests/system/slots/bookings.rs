//! ListBookings, compared with a direct query of the table.

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Row as _};
use teppan_shared::{
    contract::booking::v1::{Booking as Wire, BookingOrder, BookingStatus, GetBookingRequest, ListBookingsRequest},
    page,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking},
};
use tonic::Code;

use super::{fields, kind};

/// Inserts `count` copies of the only booking, spread over the slots of its venue and over customers, conversations and
/// states. Foreign keys are not checked, which saves time.
pub async fn copy_bookings(url: &SecretString, count: u32) {
    let sql = format!(
        "SET session_replication_role = replica;
         INSERT INTO bookings (
             booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at, ends_at, customer_id,
             party_size, price_per_person_cents, total_cents, deposit_cents, currency, hold_expires_at,
             confirmed_at, cancelled_at, cancelled_by, conversation_id, source, erased_at, version, event_hash, created_at, updated_at)
         SELECT gen_random_uuid(), 'copy-' || gen_random_uuid(),
                CASE n % 3 WHEN 0 THEN 'CONFIRMED' WHEN 1 THEN 'CANCELLED' ELSE 'COMPLETED' END,
                b.venue_id, current_date + n % 90, b.start_time, b.starts_at, b.ends_at,
                ('00000000-0000-4000-8000-' || lpad((n % 997)::text, 12, '0'))::uuid,
                b.party_size, b.price_per_person_cents, b.total_cents, b.deposit_cents, b.currency, NULL,
                CASE WHEN n % 3 <> 1 THEN b.created_at END, CASE n % 3 WHEN 1 THEN b.created_at END,
                CASE n % 3 WHEN 1 THEN 'CUSTOMER' END, CASE n % 2 WHEN 0 THEN 'chat-' || n % 499 ELSE '' END, b.source, b.created_at, 1, b.event_hash, b.created_at, b.updated_at
         FROM bookings b, generate_series(1, {count}) n
         WHERE b.confirmation_code NOT LIKE 'copy-%'"
    );
    harness::execute(url, AssertSqlSafe(sql)).await;
}

/// [`copy_bookings`] for very many rows: rebuilds the indexes of lists afterwards.
pub async fn copy_very_many_bookings(url: &SecretString, count: u32) {
    let mut connection = harness::connect(url).await;
    let indexes = "SELECT indexname, indexdef FROM pg_indexes
                   WHERE tablename = 'bookings' AND indexname NOT IN (SELECT conname FROM pg_constraint)";
    let indexes: Vec<(String, String)> = sqlx::query_as(indexes).fetch_all(&mut connection).await.expect("the indexes");
    for (name, _) in &indexes {
        harness::execute(url, AssertSqlSafe(format!("DROP INDEX {name}"))).await;
    }
    copy_bookings(url, count).await;
    for (_, definition) in indexes {
        harness::execute(url, AssertSqlSafe(definition)).await;
    }
}

/// Every page of a list.
async fn all(clients: &mut BookingClients, mut request: ListBookingsRequest) -> Vec<Wire> {
    let mut bookings = Vec::new();
    loop {
        let page = clients.bookings.list_bookings(request.clone()).await.expect("listed").into_inner();
        assert!(page.bookings.len() <= usize::try_from(request.page_size).expect("positive"));
        bookings.extend(page.bookings);
        if page.next_page_token.is_empty() {
            return bookings;
        }
        request.page_token = page.next_page_token;
    }
}

async fn ids(url: &SecretString, filter: &str, direction: &str) -> Vec<String> {
    let sql = format!(
        "SELECT booking_id::text FROM bookings WHERE {filter}
         ORDER BY slot_date {direction}, start_time {direction}, booking_id {direction}"
    );
    let mut connection = harness::connect(url).await;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_lists_its_bookings_once_in_either_direction() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue = fixtures::venue(clients, 10_000).await.expect("a venue").venue_id;
    let made = clients.bookings.create_booking(fixtures::booking(&venue, 2)).await.expect("booked").into_inner();
    let made = made.booking.expect("the booking");
    copy_bookings(&booking.url, 12_000).await;
    let other = fixtures::venue(clients, 10).await.expect("a venue").venue_id;
    clients.bookings.create_booking(fixtures::booking(&other, 2)).await.expect("booked");

    let day = fixtures::date().to_string();
    let of = |change: fn(&mut ListBookingsRequest)| {
        let mut request = ListBookingsRequest { page_size: 1000, ..Default::default() };
        change(&mut request);
        request
    };
    let at_venue = ListBookingsRequest { venue_id: venue.clone(), ..of(|_| {}) };
    let cases = [
        (of(|_| {}), "true".to_owned()),
        (at_venue.clone(), format!("venue_id = '{venue}'")),
        (
            ListBookingsRequest { from_date: day.clone(), to_date: day.clone(), page_size: 7, ..at_venue.clone() },
            format!("venue_id = '{venue}' AND slot_date = '{day}'"),
        ),
        (ListBookingsRequest { from_date: day.clone(), ..of(|_| {}) }, format!("slot_date >= '{day}'")),
        (
            ListBookingsRequest { to_date: day.clone(), ..at_venue.clone() },
            format!("venue_id = '{venue}' AND slot_date <= '{day}'"),
        ),
        (
            ListBookingsRequest { customer_id: made.customer_id.clone(), ..of(|_| {}) },
            format!("booking_id = '{}'", made.booking_id),
        ),
        (
            of(|request| {
                request.customer_id = "00000000-0000-4000-8000-000000000005".to_owned();
                request.statuses = vec![BookingStatus::Confirmed.into(), BookingStatus::Cancelled.into()];
                request.page_size = 2;
            }),
            "customer_id = '00000000-0000-4000-8000-000000000005' AND status IN ('CONFIRMED', 'CANCELLED')".to_owned(),
        ),
        (
            of(|request| {
                request.conversation_id = "chat-7".to_owned();
                request.page_size = 5;
            }),
            "conversation_id = 'chat-7'".to_owned(),
        ),
        (
            ListBookingsRequest {
                conversation_id: "chat-7".to_owned(),
                ..ListBookingsRequest { venue_id: other, ..of(|_| {}) }
            },
            "false".to_owned(),
        ),
        // The rare status lies behind many others: more rows than one page reads.
        (of(|request| request.statuses = vec![BookingStatus::Pending.into()]), "status = 'PENDING'".to_owned()),
        (
            ListBookingsRequest { statuses: vec![BookingStatus::Expired.into()], ..at_venue },
            "status = 'EXPIRED'".to_owned(),
        ),
    ];
    for (request, filter) in cases {
        for (order, direction) in [(BookingOrder::Unspecified, "ASC"), (BookingOrder::LatestFirst, "DESC")] {
            let request = ListBookingsRequest { order: order.into(), ..request.clone() };
            let listed: Vec<_> = all(clients, request).await.into_iter().map(|booking| booking.booking_id).collect();
            assert_eq!(listed, ids(&booking.url, &filter, direction).await, "{filter} {direction}");
        }
    }
    // The list shows the booking as GetBooking does, with its special requests decrypted.
    let mine =
        ListBookingsRequest { conversation_id: made.conversation_id.clone(), page_size: 10, ..Default::default() };
    let read = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let read = clients.bookings.get_booking(read).await.expect("read").into_inner().booking;
    assert_eq!(all(clients, mine).await, [read.expect("the booking")]);
    assert_eq!(made.special_requests, "A table by the window, please.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_bookings_belongs_to_its_filters_and_direction() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue = fixtures::venue(clients, 10).await.expect("a venue").venue_id;
    for _ in 0..2 {
        clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect("booked");
    }
    let request = ListBookingsRequest { page_size: 1, venue_id: venue, ..Default::default() };
    let page = clients.bookings.list_bookings(request.clone()).await.expect("listed").into_inner();
    let with_token = ListBookingsRequest { page_token: page.next_page_token, ..request };
    let same = ListBookingsRequest { page_size: 9, order: BookingOrder::EarliestFirst.into(), ..with_token.clone() };
    let rest = clients.bookings.list_bookings(same).await.expect("the next page").into_inner();
    assert_eq!((rest.bookings.len(), rest.next_page_token.as_str()), (1, ""));
    let forged =
        page::encode_token(&("", "", "", "", "", [0; 0], false), &("-9999-01-01", "18:00:00", uuid::Uuid::nil()));
    for wrong in [
        ListBookingsRequest { order: BookingOrder::LatestFirst.into(), ..with_token.clone() },
        ListBookingsRequest { statuses: vec![BookingStatus::Pending.into()], ..with_token.clone() },
        ListBookingsRequest { venue_id: String::new(), ..with_token.clone() },
        ListBookingsRequest { from_date: "2026-01-01".to_owned(), ..with_token.clone() },
        ListBookingsRequest { conversation_id: "chat".to_owned(), ..with_token.clone() },
        ListBookingsRequest { page_token: forged, ..Default::default() },
        ListBookingsRequest { page_token: "nonsense".to_owned(), ..with_token },
    ] {
        let refused = clients.bookings.list_bookings(wrong).await.expect_err("refused");
        assert_eq!(fields(&refused), ["page_token"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_violations_of_list_bookings_are_reported_at_once() {
    let mut booking = Booking::start().await.ready().await;
    let wrong = ListBookingsRequest {
        page_size: -1,
        page_token: "x".to_owned(),
        venue_id: "x".to_owned(),
        from_date: "x".to_owned(),
        to_date: "x".to_owned(),
        customer_id: "x".to_owned(),
        conversation_id: "no spaces".to_owned(),
        statuses: vec![BookingStatus::Pending.into(), 0, 77],
        order: 9,
    };
    let refused = booking.clients.bookings.list_bookings(wrong).await.expect_err("refused");
    assert_eq!(kind(&refused), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
    let expected = [
        "page_size",
        "page_token",
        "venue_id",
        "from_date",
        "to_date",
        "customer_id",
        "conversation_id",
        "statuses[1]",
        "statuses[2]",
        "order",
    ];
    assert_eq!(fields(&refused), expected);
}
