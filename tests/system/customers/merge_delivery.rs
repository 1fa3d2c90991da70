//! A merge reaches conversation-service: the consents of the one customer count for the follow-ups of both ids.

use teppan_shared::contract::booking::v1::{
    ConsentChannel::{Email, Sms, Unspecified as Every},
    ConsentPurpose::{Marketing, Transactional},
    Venue,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking, Conversation, eventually},
};

use super::{
    consent_delivery::{delivered, follow_ups_of},
    consents::{consent, set},
    erasure::{book_in, both_services, erase},
    merge::{merge_of, merged},
};

/// Two customers, each with a booking that has a follow-up.
async fn two_customers(service: &Booking, venue: &Venue) -> [String; 2] {
    let mut ids = [String::new(), String::new()];
    for (id, email) in ids.iter_mut().zip(["ada@example.org", "ada@example.com"]) {
        *id = book_in(&service.clients, venue, email, &fixtures::conversation_id()).await.customer_id;
    }
    delivered(service).await;
    ids
}

async fn are_cancelled(conversation: &Conversation, ids: &[String]) {
    for id in ids {
        eventually("the follow-up is cancelled", async || {
            let all = follow_ups_of(conversation, id).await;
            !all.is_empty() && all.iter().all(|(_, reason)| reason == "CONSENT_MISSING")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_after_a_merge_cancels_the_follow_ups_that_were_scheduled_for_the_duplicate() {
    let (service, conversation) = both_services().await;
    let clients = &service.clients;
    let venue = fixtures::firm_venue(&mut clients.clone(), 100).await.expect("a venue");
    let [remaining, duplicate] = two_customers(&service, &venue).await;
    // The duplicate has changed more often, so its last consent has the higher version.
    for channel in [Email, Sms, Every] {
        set(clients, consent(&duplicate, Transactional, channel, true)).await.expect("recorded");
    }
    merged(clients, merge_of(&remaining, &duplicate)).await.expect("merged");
    delivered(&service).await;
    for id in [&remaining, &duplicate] {
        assert_eq!(follow_ups_of(&conversation, id).await[0].1, "PENDING");
    }

    let granted = "SELECT bool_and(granted) AND count(DISTINCT customer_id) = 2 FROM customer_consents";
    assert!(conversation.scalar::<bool>(granted).await);
    set(clients, consent(&remaining, Transactional, Every, false)).await.expect("recorded");
    delivered(&service).await;
    let declined = "SELECT count(*) FROM customer_consents WHERE channel = '' AND NOT granted";
    assert_eq!(conversation.scalar::<i64>(declined).await, 2);
    are_cancelled(&conversation, &[remaining, duplicate]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_of_two_customers_has_declined_is_declined_for_both_after_their_merge() {
    let (service, conversation) = both_services().await;
    let clients = &service.clients;
    let venue = fixtures::firm_venue(&mut clients.clone(), 100).await.expect("a venue");
    let [remaining, duplicate] = two_customers(&service, &venue).await;
    for channel in [Email, Every] {
        set(clients, consent(&remaining, Marketing, channel, true)).await.expect("recorded");
    }
    set(clients, consent(&duplicate, Transactional, Every, false)).await.expect("recorded");
    set(clients, consent(&duplicate, Marketing, Email, false)).await.expect("recorded");
    delivered(&service).await;
    merged(clients, merge_of(&remaining, &duplicate)).await.expect("merged");
    delivered(&service).await;
    are_cancelled(&conversation, &[remaining.clone(), duplicate.clone()]).await;
    for id in [remaining, duplicate] {
        for (purpose, channel, expected) in [
            ("TRANSACTIONAL", "SMS", false),
            ("MARKETING", "SMS", true),
            ("MARKETING", "EMAIL", false),
            // Not known yet: some channel is declined.
            ("MARKETING", "", false),
        ] {
            let allowed = format!("SELECT is_consented('{id}', '{purpose}', '{channel}')");
            let mut connection = harness::connect(&conversation.url).await;
            let found: bool =
                sqlx::query_scalar(sqlx::AssertSqlSafe(allowed)).fetch_one(&mut connection).await.expect("it");
            assert_eq!(found, expected, "{purpose} {channel}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_reach_every_id_of_a_customer_who_was_merged_twice_and_go_with_its_erasure() {
    let (service, conversation) = both_services().await;
    let clients = &service.clients;
    let venue = fixtures::firm_venue(&mut clients.clone(), 100).await.expect("a venue");
    let [second, first] = two_customers(&service, &venue).await;
    let booking = book_in(clients, &venue, "ada@example.net", &fixtures::conversation_id()).await;
    set(clients, consent(&first, Marketing, Every, true)).await.expect("recorded");
    merged(clients, merge_of(&second, &first)).await.expect("merged");
    merged(clients, merge_of(&booking.customer_id, &second)).await.expect("merged");
    set(clients, consent(&booking.customer_id, Marketing, Sms, false)).await.expect("recorded");
    delivered(&service).await;
    let known = "SELECT count(DISTINCT customer_id) FROM customer_consents WHERE channel = 'SMS' AND NOT granted";
    assert_eq!(conversation.scalar::<i64>(known).await, 3);

    harness::execute(&service.url, "UPDATE bookings SET status = 'COMPLETED'").await;
    erase(clients, &booking.customer_id).await.expect("erased");
    delivered(&service).await;
    assert_eq!(conversation.scalar::<i64>("SELECT count(*) FROM customer_consents").await, 0);
    assert_eq!(conversation.scalar::<i64>("SELECT count(*) FROM follow_ups").await, 0);
}
