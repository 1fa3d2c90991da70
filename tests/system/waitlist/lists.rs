use teppan_shared::contract::booking::v1::{
    JoinWaitlistRequest, ListWaitlistRequest, WaitlistEntry, WaitlistEntryStatus,
};
use teppan_tests::{clients::BookingClients, fixtures};
use tonic_types::StatusExt as _;

use super::{all_openings_settled, becomes, join, join_by, leave, request, service_with_fast_workers};
use crate::changes::{Change, VenueFixture, refusal};

/// The entries on all pages of a list, and the number of pages.
async fn listed(clients: &BookingClients, mut request: ListWaitlistRequest) -> (Vec<WaitlistEntry>, usize) {
    let (mut entries, mut pages) = (Vec::new(), 0);
    loop {
        let page = clients.bookings.clone().list_waitlist(request.clone()).await.expect("listed").into_inner();
        entries.extend(page.entries);
        pages += 1;
        if page.next_page_token.is_empty() {
            return (entries, pages);
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_listed_in_the_order_of_joining_with_positions_that_continue_across_pages() {
    let fixture = VenueFixture::over(service_with_fast_workers().await, 3, 25).await;
    let clients = &fixture.service.clients;
    fixture.book(1).await;
    let made = fixture.book(2).await;
    let mut joined = Vec::new();
    for n in 0..9 {
        joined.push(join(&fixture, if n == 3 { 2 } else { 3 }).await);
    }
    leave(clients, &joined[5]).await.expect("left");
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    becomes(&fixture, &joined[3], WaitlistEntryStatus::Offered).await;
    all_openings_settled(&fixture).await;

    let all = ListWaitlistRequest { page_size: 2, ..Default::default() };
    let slot = ListWaitlistRequest {
        venue_id: fixture.venue_id.clone(),
        date: fixtures::date().to_string(),
        start_time: "18:00".to_owned(),
        ..all.clone()
    };
    let day = ListWaitlistRequest { start_time: String::new(), ..slot.clone() };
    let venue = ListWaitlistRequest { date: String::new(), ..day.clone() };
    for request in [all.clone(), slot.clone(), day, venue] {
        let (entries, pages) = listed(clients, request).await;
        let ids = |entries: &[WaitlistEntry]| entries.iter().map(|it| it.waitlist_entry_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&entries), ids(&joined));
        assert_eq!(entries.iter().map(|it| it.position).collect::<Vec<_>>(), [1, 2, 3, 0, 4, 0, 5, 6, 7]);
        assert_eq!(pages, 5);
        assert!(entries[3].offer_expires_at.is_some() && !entries[3].booking_id.is_empty());
    }
    let waiting = ListWaitlistRequest { statuses: vec![WaitlistEntryStatus::Waiting.into()], page_size: 3, ..slot };
    let (entries, _) = listed(clients, waiting).await;
    assert_eq!(entries.iter().map(|it| it.position).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    let ended = vec![WaitlistEntryStatus::Left.into(), WaitlistEntryStatus::Offered.into()];
    let (entries, _) = listed(clients, ListWaitlistRequest { statuses: ended, ..all.clone() }).await;
    assert_eq!(
        entries.iter().map(WaitlistEntry::status).collect::<Vec<_>>(),
        [WaitlistEntryStatus::Offered, WaitlistEntryStatus::Left]
    );

    // The list of one customer, who waits in two queues, and that of one conversation.
    let again = request(&fixture.venue_id, 3);
    fixture.sql("UPDATE slots SET reserved = capacity WHERE start_time = '18:30'").await;
    let first = join_by(clients, again.clone()).await.expect("joined");
    let elsewhere =
        JoinWaitlistRequest { idempotency_key: "elsewhere".to_owned(), start_time: "18:30".to_owned(), ..again };
    let second = join_by(clients, elsewhere).await.expect("joined");
    assert_eq!((first.position, second.position), (8, 1));
    let of_customer = ListWaitlistRequest { customer_id: first.customer_id.clone(), ..Default::default() };
    let of_conversation = ListWaitlistRequest { conversation_id: first.conversation_id.clone(), ..Default::default() };
    for request in [of_customer, of_conversation] {
        assert_eq!(listed(clients, request).await.0, [first.clone(), second.clone()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_requires_the_filter_before_it_and_a_page_token_belongs_to_its_filters() {
    let fixture = VenueFixture::with_deposit(2).await;
    fixture.book(2).await;
    for _ in 0..3 {
        join(&fixture, 1).await;
    }
    let bookings = &fixture.service.clients.bookings;
    let wrong = ListWaitlistRequest {
        page_size: -1,
        date: "2026-12-05".to_owned(),
        start_time: "9".to_owned(),
        statuses: vec![0, 99],
        page_token: "made up".to_owned(),
        customer_id: "x".to_owned(),
        ..Default::default()
    };
    let refused = bookings.clone().list_waitlist(wrong).await.expect_err("wrong");
    let fields = refused.get_details_bad_request().expect("a BadRequest").field_violations;
    let fields: Vec<_> = fields.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(fields, ["page_size", "page_token", "date", "start_time", "customer_id", "statuses[0]", "statuses[1]"]);
    let time_alone = ListWaitlistRequest {
        venue_id: fixture.venue_id.clone(),
        start_time: "18:00".to_owned(),
        ..Default::default()
    };
    let refused = bookings.clone().list_waitlist(time_alone).await.expect_err("without a date");
    assert_eq!(refusal(&refused, "").0, "INVALID_FIELDS");

    let page = ListWaitlistRequest { page_size: 2, ..Default::default() };
    let first = bookings.clone().list_waitlist(page.clone()).await.expect("listed").into_inner();
    let other = ListWaitlistRequest { venue_id: fixture.venue_id.clone(), page_token: first.next_page_token, ..page };
    assert_eq!(
        refusal(&bookings.clone().list_waitlist(other).await.expect_err("other filters"), "").0,
        "INVALID_FIELDS"
    );
}
