//! ExportCustomer, and the command `export-customer`.

use std::process::{Output, Stdio};

use serde_json::Value;
use teppan_shared::contract::{
    booking::v1::{ExportCustomerRequest, ExportCustomerResponse, PaymentKind, PaymentMethod, RecordPaymentRequest},
    conversation::v1::SetMemoryRequest,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking},
    launch,
};
use tokio::process::Command;
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{
    book_by, contact,
    erasure::{book_in, both_services, cancel, erase},
    reason, service_with_venue,
};
use crate::{changes::VenueFixture, environment, waitlist};

/// All pages of an export.
pub async fn pages(clients: &BookingClients, customer_id: &str, page_size: i32) -> Vec<ExportCustomerResponse> {
    let mut request = ExportCustomerRequest { customer_id: customer_id.to_owned(), page_size, ..Default::default() };
    let mut pages = Vec::new();
    loop {
        let page = clients.clone().customers.export_customer(request.clone()).await.expect("a page").into_inner();
        request.page_token.clone_from(&page.next_page_token);
        pages.push(page);
        if request.page_token.is_empty() {
            return pages;
        }
    }
}

async fn pay(clients: &BookingClients, booking_id: &str) {
    let request = RecordPaymentRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        booking_id: booking_id.to_owned(),
        kind: PaymentKind::Charge.into(),
        method: PaymentMethod::Cash.into(),
        amount_cents: 100,
        currency: "EUR".to_owned(),
        ..Default::default()
    };
    clients.clone().payments.record_payment(request).await.expect("recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_booking_with_its_payments_and_every_waitlist_entry_once() {
    let fixture = VenueFixture::without_deposit(8).await;
    let clients = &fixture.service.clients;
    let venue =
        teppan_shared::contract::booking::v1::Venue { venue_id: fixture.venue_id.clone(), ..Default::default() };
    let person = || contact("Ada", "ada@example.org", "");
    let mut made = Vec::new();
    for _ in 0..5 {
        let booking = book_by(clients, &venue, person()).await;
        pay(clients, &booking.booking_id).await;
        pay(clients, &booking.booking_id).await;
        made.push(booking.booking_id);
    }
    fixture.book(3).await;
    let mut request = waitlist::request(&fixture.venue_id, 2);
    request.contact = Some(person());
    let entry = waitlist::join_by(clients, request).await.expect("joined");

    let pages = pages(clients, &entry.customer_id, 2).await;
    assert!(pages.len() >= 4, "{}", pages.len());
    assert!(pages.iter().all(|page| page.customer.as_ref().is_some_and(|it| it.contact == Some(person()))));
    assert!(pages.iter().all(|page| page.customer.as_ref().is_some_and(|it| it.booking_count == 5)));
    assert!(pages.iter().all(|page| page.bookings.len() <= 2 && page.exported_at.is_some()));
    let bookings: Vec<_> = pages.iter().flat_map(|page| page.bookings.clone()).collect();
    assert!(bookings.iter().all(|it| it.payments.len() == 2));
    assert!(bookings.iter().all(|it| it.booking.as_ref().is_some_and(|it| it.contact == Some(person()))));
    let mut ids: Vec<_> = bookings.into_iter().filter_map(|it| it.booking).map(|it| it.booking_id).collect();
    ids.sort();
    made.sort();
    assert_eq!(ids, made);
    let entries: Vec<_> = pages.iter().flat_map(|page| &page.waitlist_entries).collect();
    assert_eq!(entries.iter().map(|it| &it.waitlist_entry_id).collect::<Vec<_>>(), [&entry.waitlist_entry_id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_refuses_foreign_tokens_and_continues_after_a_booking_that_cannot_be_read() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await);
    }
    made.sort_by(|a, b| a.booking_id.cmp(&b.booking_id));
    let customer_id = made[0].customer_id.clone();
    let corrupt = format!("UPDATE bookings SET details_sealed = 'x' WHERE booking_id = '{}'", made[1].booking_id);
    harness::execute(&service.url, sqlx::AssertSqlSafe(corrupt)).await;
    let mut request = ExportCustomerRequest { customer_id, ..Default::default() };
    let export = async |request: &ExportCustomerRequest| {
        Ok::<_, tonic::Status>(clients.clone().customers.export_customer(request.clone()).await?.into_inner())
    };
    let first = export(&request).await.expect("the page ends before it");
    assert_eq!(first.bookings.len(), 1);
    request.page_token = first.next_page_token;
    let unreadable = export(&request).await.expect_err("it cannot be read");
    let info = unreadable.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((unreadable.code(), &*info.reason), (Code::Internal, "DATA_CORRUPTED"));
    assert_eq!(info.metadata["booking_id"], made[1].booking_id);
    request.page_token.clone_from(&info.metadata["next_page_token"]);
    assert_eq!(export(&request).await.expect("it goes on").bookings.len(), 1);

    request.customer_id = Uuid::nil().to_string();
    let foreign = export(&request).await.expect_err("the token of another customer");
    assert_eq!(foreign.code(), Code::InvalidArgument);
    request.page_token.clear();
    assert_eq!(reason(&export(&request).await.expect_err("nobody")), "CUSTOMER_NOT_FOUND");
}

/// The exit code and the output of the command.
async fn export_command(service: &Booking, conversation_service: &str, customer_id: &str) -> (Option<i32>, String) {
    let output = export_output(service, conversation_service, customer_id).await;
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

async fn export_output(service: &Booking, conversation_service: &str, customer_id: &str) -> Output {
    Command::new(launch::binary("booking-service"))
        .args(["export-customer", "--customer", customer_id])
        .envs(environment::with_keys(&service.url))
        .env("CONVERSATION_SERVICE_URL", conversation_service)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the binary is built: cargo build --workspace --bins")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_writes_what_both_services_store_as_one_json_object() {
    let (service, conversation) = both_services().await;
    let url = format!("http://{}", conversation.service.server.grpc_addr);
    let venue = fixtures::firm_venue(&mut service.clients.clone(), 100).await.expect("a venue");
    let clients = &service.clients;
    let (own, shared) = (fixtures::conversation_id(), fixtures::conversation_id());
    for number in 0..450 {
        let message = fixtures::message(&own, &format!("Message {number}"));
        conversation.client.clone().store_message(message).await.expect("stored");
    }
    conversation.client.clone().store_message(fixtures::message(&shared, "Ours")).await.expect("stored");
    let mut of_user = fixtures::message(&own, "I do not eat shellfish");
    of_user.user_id = "user-7".to_owned();
    conversation.client.clone().store_message(of_user).await.expect("stored");
    for (user_id, key) in [("user-7", "allergies"), ("user-7", "language"), ("user-8", "language")] {
        let memory = SetMemoryRequest {
            user_id: user_id.to_owned(),
            key: key.to_owned(),
            value: format!("{key} of {user_id}"),
            ..Default::default()
        };
        conversation.client.clone().set_memory(memory).await.expect("set");
    }
    let mut made = Vec::new();
    for (email, id) in [("ada@example.org", &own), ("ada@example.org", &shared), ("bob@example.org", &shared)] {
        made.push(book_in(clients, &venue, email, id).await);
    }
    pay(clients, &made[0].booking_id).await;
    let customer_id = &made[0].customer_id;

    let (code, output) = export_command(&service, &url, customer_id).await;
    assert_eq!(code, Some(0));
    let export: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(export["customer"]["contact"]["email"], "ada@example.org");
    assert_eq!(export["bookings"].as_array().expect("bookings").len(), 2);
    let paid = export["bookings"].as_array().expect("bookings").iter().find(|it| it["payments"].is_array());
    assert_eq!(paid.expect("a payment")["payments"][0]["amount_cents"], "100");
    let conversations = export["conversations"].as_array().expect("conversations");
    assert_eq!(conversations.len(), 1);
    assert_eq!(conversations[0]["conversation_id"], own.as_str());
    let messages = conversations[0]["messages"].as_array().expect("messages");
    assert_eq!((messages.len(), &messages[449]["content"]), (451, &"Message 449".into()));
    let memories = export["memories"].as_array().expect("memories").iter().map(|it| it["value"].as_str());
    assert_eq!(memories.collect::<Vec<_>>(), [Some("allergies of user-7"), Some("language of user-7")]);
    assert!(conversations[0]["follow_ups"].is_array());
    assert_eq!(export["conversations_shared_with_others"], serde_json::json!([shared]));
    assert!(!output.contains("Ours") && !output.contains("bob@"));

    // After the erasure nothing personal is left to export.
    for booking in &made[..2] {
        cancel(clients, booking).await;
    }
    erase(clients, customer_id).await.expect("erased");
    harness::eventually("the conversation is deleted", async || {
        !export_command(&service, &url, customer_id).await.1.contains("Message 1")
    })
    .await;
    let (code, output) = export_command(&service, &url, customer_id).await;
    assert_eq!(code, Some(0));
    let export: Value = serde_json::from_str(&output).expect("JSON");
    assert!(export["customer"]["contact"].is_null() && export["customer"]["erased_at"].is_string());
    assert!(!output.contains("ada@") && !output.contains("Ada"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_fails_when_something_cannot_be_read() {
    let (service, venue) = service_with_venue().await;
    let booking = book_by(&service.clients, &venue, contact("Ada", "ada@example.org", "")).await;
    let nobody = export_command(&service, "http://127.0.0.1:1", &Uuid::nil().to_string()).await;
    assert_eq!(nobody, (Some(1), String::new()));
    let (code, output) = export_command(&service, "http://127.0.0.1:1", &booking.customer_id).await;
    assert_eq!(code, Some(1), "conversation-service cannot be reached");
    assert!(serde_json::from_str::<Value>(&output).is_err(), "an incomplete export is not JSON");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_goes_on_after_bookings_that_cannot_be_read_and_reports_each() {
    let (service, conversation) = both_services().await;
    let url = format!("http://{}", conversation.service.server.grpc_addr);
    let venue = fixtures::firm_venue(&mut service.clients.clone(), 100).await.expect("a venue");
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(book_by(&service.clients, &venue, contact("Ada", "ada@example.org", "")).await);
    }
    made.sort_by(|a, b| a.booking_id.cmp(&b.booking_id));
    // Also the first one, before anything is written.
    let corrupt = format!(
        "UPDATE bookings SET details_sealed = 'x' WHERE booking_id IN ('{}', '{}')",
        made[0].booking_id, made[2].booking_id
    );
    harness::execute(&service.url, sqlx::AssertSqlSafe(corrupt)).await;
    let output = export_output(&service, &url, &made[0].customer_id).await;
    assert_eq!(output.status.code(), Some(1));
    let export: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ids: Vec<_> =
        export["bookings"].as_array().expect("bookings").iter().map(|it| &it["booking"]["booking_id"]).collect();
    assert_eq!(ids, [&*made[1].booking_id, &*made[3].booking_id]);
    assert_eq!(export["customer"]["booking_count"], "4");
    let report = String::from_utf8(output.stderr).expect("UTF-8");
    for booking in [&made[0], &made[2]] {
        assert!(report.contains(&format!("booking {} cannot be read", booking.booking_id)), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_goes_on_after_messages_that_cannot_be_read_and_names_their_conversation() {
    let (service, conversation) = both_services().await;
    let url = format!("http://{}", conversation.service.server.grpc_addr);
    let venue = fixtures::firm_venue(&mut service.clients.clone(), 100).await.expect("a venue");
    let [cut_off, whole] = [(); 2].map(|()| fixtures::conversation_id());
    for chat in [&cut_off, &whole] {
        for number in 1..=3 {
            let mut message = fixtures::message(chat, &format!("Message {number}"));
            message.user_id = "user-7".to_owned();
            conversation.client.clone().store_message(message).await.expect("stored");
        }
    }
    let customer_id = book_in(&service.clients, &venue, "ada@example.org", &cut_off).await.customer_id;
    book_in(&service.clients, &venue, "ada@example.org", &whole).await;
    let remember = SetMemoryRequest {
        user_id: "user-7".to_owned(),
        key: "language".to_owned(),
        value: "German".to_owned(),
        ..Default::default()
    };
    conversation.client.clone().set_memory(remember).await.expect("set");
    let corrupt = format!(
        "UPDATE messages SET content_sealed = 'x' WHERE conversation_id = '{cut_off}' AND sequence = 2;
         UPDATE user_memories SET value_sealed = 'x'"
    );
    harness::execute(&conversation.url, sqlx::AssertSqlSafe(corrupt)).await;
    let output = export_output(&service, &url, &customer_id).await;
    assert_eq!(output.status.code(), Some(1));
    let export: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for conversation in export["conversations"].as_array().expect("conversations") {
        let expected = if conversation["conversation_id"] == cut_off.as_str() { 2 } else { 3 };
        assert_eq!(conversation["messages"].as_array().expect("messages").len(), expected);
        assert!(conversation["follow_ups"].is_array());
    }
    let report = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(report.contains("memories of user user-7: one cannot be read"), "{report}");
    assert!(report.contains(&format!("message 2 of conversation {cut_off} cannot be read")), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_are_counted_for_the_first_page_of_an_export_only() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let mut customer_id = String::new();
    for _ in 0..2 {
        customer_id = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    }
    let mut request = ExportCustomerRequest { customer_id, page_size: 1, ..Default::default() };
    for _ in 0..2 {
        let page = clients.clone().customers.export_customer(request.clone()).await.expect("a page").into_inner();
        assert_eq!(page.customer.expect("the customer").booking_count, 2);
        request.page_token = page.next_page_token;
        book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await;
    }
}
