//! EraseCustomer.

use std::time::Duration;

use booking_service::settings::OutboxSettings;
use futures::future::join_all;
use teppan_shared::{
    contract::booking::v1::{
        Booking as Made, CancelBookingRequest, CreateBookingRequest, EraseCustomerRequest, EraseCustomerResponse,
        GetBookingRequest, UpdateCustomerRequest, Venue, WaitlistEntryStatus,
    },
    contract::conversation::v1::GetConversationRequest,
    keys::Keys,
    outbox::RelaySettings,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking, Conversation, eventually},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{book_by, contact, read_customer, reason, request_by, service_with_venue};
use crate::{changes::VenueFixture, verify, waitlist};

pub async fn erase(clients: &BookingClients, customer_id: &str) -> Result<EraseCustomerResponse, Status> {
    let request = EraseCustomerRequest { customer_id: customer_id.to_owned() };
    Ok(clients.clone().customers.erase_customer(request).await?.into_inner())
}

pub async fn cancel(clients: &BookingClients, booking: &Made) {
    let request = CancelBookingRequest { booking_id: booking.booking_id.clone(), ..Default::default() };
    clients.clone().bookings.cancel_booking(request).await.expect("cancelled");
}

async fn read(clients: &BookingClients, booking: &Made) -> Made {
    let get = GetBookingRequest { booking_id: booking.booking_id.clone(), ..Default::default() };
    clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking.expect("the booking")
}

/// A booking in a conversation, by its e-mail address.
pub async fn book_in(clients: &BookingClients, venue: &Venue, email: &str, conversation_id: &str) -> Made {
    let request = CreateBookingRequest {
        conversation_id: conversation_id.to_owned(),
        ..request_by(venue, contact("Ada", email, ""))
    };
    clients.clone().bookings.create_booking(request).await.expect("booked").into_inner().booking.expect("the booking")
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_nothing_personal_is_left_and_the_bookings_still_verify() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let given = contact("Ada", "ada@example.org", "+4915123456789");
    let request = request_by(&venue, given.clone());
    let made = clients.clone().bookings.create_booking(request.clone()).await.expect("booked").into_inner().booking;
    let made = made.expect("the booking");
    cancel(clients, &made).await;
    let other = book_by(clients, &venue, contact("Bob", "bob@example.org", "")).await;

    let erased = erase(clients, &made.customer_id).await.expect("erased");
    assert_eq!(
        (erased.bookings_kept, erased.conversation_ids.as_slice()),
        (1, [made.conversation_id.clone()].as_slice())
    );
    let customer = read_customer(clients, &made.customer_id).await.expect("read");
    assert_eq!((customer.contact, customer.booking_count), (None, 1));
    assert_eq!(customer.erased_at, erased.erased_at);
    let booking = read(clients, &made).await;
    assert_eq!((booking.contact, booking.special_requests.as_str()), (None, ""));
    assert_eq!(booking.erased_at, erased.erased_at);
    assert_eq!(booking.version, 2, "the booking itself has not changed");
    assert!(read(clients, &other).await.contact.is_some());
    let left = "SELECT count(*) FROM customers c JOIN bookings b USING (customer_id)
                WHERE num_nonnulls(c.email_hash, c.phone_hash, c.contact_sealed, b.details_sealed) > 0
                  AND c.erased_at IS NOT NULL";
    assert_eq!(service.scalar::<i64>(left).await, 0);

    // Again: nothing changes.
    let before = service.written().await;
    assert_eq!(erase(clients, &made.customer_id).await.expect("erased"), erased);
    assert_eq!(service.written().await, before);

    // A repeated call gets the erased booking; a new one makes a new customer.
    let again = clients.clone().bookings.create_booking(request).await.expect("replayed").into_inner();
    assert!(again.replayed);
    assert_eq!(again.booking.expect("the booking").erased_at, erased.erased_at);
    assert_eq!(service.written().await, before);
    assert_ne!(book_by(clients, &venue, given).await.customer_id, made.customer_id);
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_with_live_bookings_is_not_erased() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let first = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await;
    let second = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await;
    for (count, booking) in [("2", &first), ("1", &second)] {
        let before = service.written().await;
        let refused = erase(clients, &first.customer_id).await.expect_err("refused");
        let info = tonic_types::StatusExt::get_details_error_info(&refused).expect("an ErrorInfo");
        assert_eq!((refused.code(), &*info.reason), (Code::FailedPrecondition, "CUSTOMER_HAS_LIVE_BOOKINGS"));
        assert_eq!(info.metadata["count"], count);
        assert_eq!(service.written().await, before);
        cancel(clients, booking).await;
    }
    assert_eq!(erase(clients, &first.customer_id).await.expect("erased").bookings_kept, 2);
    let nobody = erase(clients, &Uuid::nil().to_string()).await.expect_err("nobody");
    assert_eq!(reason(&nobody), "CUSTOMER_NOT_FOUND");
    let request = UpdateCustomerRequest {
        customer_id: first.customer_id,
        contact: Some(contact("Eve", "", "")),
        update_mask: Some(prost_types::FieldMask { paths: vec!["name".to_owned()] }),
        ..Default::default()
    };
    let refused = clients.clone().customers.update_customer(request).await.expect_err("erased");
    assert_eq!(reason(&refused), "CUSTOMER_ERASED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_customer_leaves_the_waitlist() {
    let fixture = VenueFixture::without_deposit(2).await;
    fixture.book(2).await;
    let entry = waitlist::join(&fixture, 1).await;
    erase(&fixture.service.clients, &entry.customer_id).await.expect("erased");
    assert_eq!(waitlist::now(&fixture, &entry).await.status(), WaitlistEntryStatus::Left);
    let kept = "SELECT count(*) FROM waitlist_entries WHERE details_sealed IS NOT NULL";
    assert_eq!(fixture.service.scalar::<i64>(kept).await, 0);
}

/// booking-service with a relay to a conversation-service.
pub async fn both_services() -> (Booking, Conversation) {
    let conversation = Conversation::start().await.ready().await;
    (booking_beside(&conversation).await, conversation)
}

/// booking-service with a relay to this conversation-service.
pub async fn booking_beside(conversation: &Conversation) -> Booking {
    let (url, keys) = (harness::database(&booking_service::app::DEFINITION).await, Keys::random());
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    settings.outbox = OutboxSettings {
        conversation_service_url: format!("http://{}", conversation.service.server.grpc_addr).parse().expect("a URL"),
        relay: RelaySettings { interval: Duration::from_millis(20), relays: 1, ..RelaySettings::default() },
        ..OutboxSettings::default()
    };
    Booking::configured(settings, url, keys).await.ready().await
}

async fn exists(conversation: &Conversation, id: &str) -> bool {
    let request = GetConversationRequest { conversation_id: id.to_owned() };
    match conversation.client.clone().get_conversation(request).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_that_only_the_erased_customer_names_are_deleted() {
    let (service, conversation) = both_services().await;
    let venue = fixtures::firm_venue(&mut service.clients.clone(), 100).await.expect("a venue");
    let clients = &service.clients;
    let (own, shared) = (fixtures::conversation_id(), fixtures::conversation_id());
    for id in [&own, &shared] {
        conversation.client.clone().store_message(fixtures::message(id, "Hello")).await.expect("stored");
    }
    let mut made = Vec::new();
    for (email, id) in [("ada@example.org", &own), ("ada@example.org", &shared), ("bob@example.org", &shared)] {
        made.push(book_in(clients, &venue, email, id).await);
    }
    for booking in &made {
        cancel(clients, booking).await;
    }
    let erased = erase(clients, &made[0].customer_id).await.expect("erased");
    assert_eq!(erased.conversation_ids, std::slice::from_ref(&own));
    eventually("the conversation is deleted", async || !exists(&conversation, &own).await).await;
    let left = "SELECT count(*) FROM outbox_messages WHERE aggregate_id LIKE '%/%'";
    eventually("no message is left", async || service.scalar::<i64>(left).await == 0).await;
    assert!(exists(&conversation, &shared).await, "another customer names it");

    // The last customer who names it is erased too.
    let erased = erase(clients, &made[2].customer_id).await.expect("erased");
    assert_eq!(erased.conversation_ids, std::slice::from_ref(&shared));
    eventually("the conversation is deleted", async || !exists(&conversation, &shared).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_of_customers_who_are_erased_at_once_is_deleted() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    for round in 0..10 {
        let shared = fixtures::conversation_id();
        let mut made = Vec::new();
        for email in ["ada@example.org", "bob@example.org", "cy@example.org"] {
            let booking = book_in(clients, &venue, email, &shared).await;
            cancel(clients, &booking).await;
            made.push(booking);
        }
        let erased = join_all(made.iter().map(|booking| erase(clients, &booking.customer_id))).await;
        let named = erased.into_iter().filter(|it| it.as_ref().expect("erased").conversation_ids == [shared.clone()]);
        assert_eq!(named.count(), 1, "round {round}: the last one deletes it");
    }
    let deletions = "SELECT count(*) FROM outbox_messages WHERE aggregate_id LIKE '%/%'";
    assert_eq!(service.scalar::<i64>(deletions).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_made_while_their_customer_is_erased_are_erased_too_or_belong_to_a_new_customer() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    for round in 0..10 {
        let person = || contact("Ada", "ada@example.org", "+4915123456789");
        let first = book_by(clients, &venue, person()).await;
        cancel(clients, &first).await;
        let calls = join_all((0..20).map(|_| book_by(clients, &venue, person())));
        let (erased, made) = tokio::join!(erase(clients, &first.customer_id), calls);
        let half_erased = "SELECT count(*) FROM customers c JOIN bookings b USING (customer_id)
                           WHERE (c.erased_at IS NULL) <> (b.erased_at IS NULL)";
        assert_eq!(service.scalar::<i64>(half_erased).await, 0, "round {round}");
        match erased {
            Ok(_) => assert!(made.iter().all(|booking| booking.customer_id != first.customer_id)),
            Err(status) => assert_eq!(reason(&status), "CUSTOMER_HAS_LIVE_BOOKINGS"),
        }
        for booking in &made {
            cancel(clients, booking).await;
        }
    }
    verify::assert_derivable(&service.url).await;
}
