//! `rotate-keys` seals everything anew under the first key of the ring, beside the services and after a crash.

use std::process::Stdio;

use secrecy::SecretString;
use teppan_shared::{
    contract::{
        booking::v1::{CreateBookingRequest, FindCustomerRequest, GetBookingRequest},
        conversation::v1::{
            Emotion, GetConversationRequest, ListConversationsRequest, ListMessagesRequest, StoreMessageRequest,
        },
    },
    keys::Keys,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking, Conversation, eventually},
    launch,
};
use tokio::process::Command;

use crate::environment;

/// The value of ENCRYPTION_KEYS for these versions, the first of which seals.
fn ring(versions: &[u8]) -> String {
    let secret = |version: &u8| format!("{version}:{}{version}A=", "A".repeat(41));
    versions.iter().map(secret).collect::<Vec<_>>().join(",")
}

pub fn keys(versions: &[u8]) -> Keys {
    Keys::parse(&ring(versions)).expect("a ring")
}

fn rotate_keys(service: &str, url: &SecretString, versions: &[u8], arguments: &[&str]) -> Command {
    let mut command = Command::new(launch::binary(service));
    command.arg("rotate-keys").args(arguments).envs(environment::with_keys(url)).env("ENCRYPTION_KEYS", ring(versions));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The exit code and the output of the command.
pub async fn rotated(service: &str, url: &SecretString, versions: &[u8], arguments: &[&str]) -> (Option<i32>, String) {
    let output = rotate_keys(service, url, versions, arguments).output().await.expect("it starts");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_of_booking_service_the_new_key_reads_everything_and_the_old_one_seals_nothing() {
    let old = Booking::over(booking_database().await, keys(&[1])).await.ready().await;
    let venue = fixtures::venue(&mut old.clients.clone(), 100).await.expect("a venue");
    let request = CreateBookingRequest {
        special_requests: "A table by the window, please.".to_owned(),
        ..fixtures::booking(&venue.venue_id, 2)
    };
    let made = old.clients.clone().bookings.create_booking(request.clone()).await.expect("booked").into_inner();
    let booking_id = made.booking.expect("the booking").booking_id;

    // A service whose ring begins with the new key replays what was made under the old key, and knows the customer.
    let both = Booking::over(old.url.clone(), keys(&[2, 1])).await.ready().await;
    let again = both.clients.clone().bookings.create_booking(request.clone()).await.expect("replayed").into_inner();
    assert!(again.replayed);
    let email = request.contact.expect("a contact").email;
    both.clients
        .clone()
        .customers
        .find_customer(FindCustomerRequest { email, ..Default::default() })
        .await
        .expect("the customer is known");

    let (code, output) = rotated("booking-service", &old.url, &[2, 1], &[]).await;
    assert_eq!((code, output.lines().next()), (Some(0), Some("key=1 seals=0")), "{output}");
    let new = Booking::over(old.url.clone(), keys(&[2])).await.ready().await;
    let get = GetBookingRequest { booking_id, ..Default::default() };
    let read = new.clients.clone().bookings.get_booking(get).await.expect("it opens").into_inner();
    assert_eq!(read.booking.expect("the booking").special_requests, "A table by the window, please.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_is_run_again_and_a_concurrent_change_is_not_lost() {
    const MESSAGES: usize = 450;
    let old = Conversation::over(conversation_database().await, keys(&[1])).await.ready().await;
    let chat = fixtures::conversation_id();
    for number in 0..MESSAGES {
        let message = fixtures::message(&chat, &format!("Message {number}"));
        old.client.clone().store_message(message).await.expect("stored");
    }
    // Slow, so that it is killed between its pages.
    let mut running = rotate_keys("conversation-service", &old.url, &[2, 1], &["--rows-per-second", "20"]);
    let mut running = running.spawn().expect("it starts");
    let resealed = "SELECT count(*) > 0 FROM messages WHERE get_byte(content_sealed, 2) = 2";
    eventually("the first page is rotated", async || old.scalar::<bool>(resealed).await).await;
    running.kill().await.expect("it was running");
    assert!(old.scalar::<bool>("SELECT count(*) > 0 FROM messages WHERE get_byte(content_sealed, 2) = 1").await);

    let (code, output) = rotated("conversation-service", &old.url, &[2, 1], &["--count-only"]).await;
    assert_eq!(code, Some(1), "{output}");
    let (code, output) = rotated("conversation-service", &old.url, &[2, 1], &[]).await;
    assert_eq!((code, output.lines().next()), (Some(0), Some("key=1 seals=0")), "{output}");
    let new = Conversation::over(old.url.clone(), keys(&[2])).await.ready().await;
    let list = ListMessagesRequest { conversation_id: chat, page_size: 1000, ..Default::default() };
    let messages = new.client.clone().list_messages(list).await.expect("they open").into_inner().messages;
    let contents: Vec<_> = messages.into_iter().map(|message| message.content).collect();
    assert_eq!(contents, (0..MESSAGES).map(|number| format!("Message {number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_known_by_the_old_and_the_new_key_while_keys_are_rotated_and_by_the_new_one_alone_afterwards() {
    let message = |chat: &str| StoreMessageRequest {
        user_id: "whatsapp:+4930123456".to_owned(),
        emotion: Some(Emotion { score: Some(0.5), label: "calm".to_owned(), detected: Vec::new() }),
        ..fixtures::message(chat, "Hello")
    };
    let listed = async |service: &Conversation| {
        let list = ListConversationsRequest {
            user_id: "whatsapp:+4930123456".to_owned(),
            ..ListConversationsRequest::default()
        };
        let found = service.client.clone().list_conversations(list).await.expect("a page").into_inner().conversations;
        let user_ids: Vec<_> = found.iter().map(|conversation| conversation.user_id.as_str()).collect();
        assert!(user_ids.iter().all(|user_id| *user_id == "whatsapp:+4930123456"), "{user_ids:?}");
        user_ids.len()
    };
    let counted = async |service: &Conversation| {
        let pending = "SELECT count(*) FROM emotion_pending";
        eventually("the emotions are counted", async || service.scalar::<i64>(pending).await == 0).await;
    };
    let old = Conversation::over(conversation_database().await, keys(&[1])).await.ready().await;
    let chat = fixtures::conversation_id();
    old.client.clone().store_message(message(&chat)).await.expect("stored");
    counted(&old).await;

    let both = Conversation::over(old.url.clone(), keys(&[2, 1])).await.ready().await;
    both.client.clone().store_message(message(&fixtures::conversation_id())).await.expect("stored");
    counted(&both).await;
    assert_eq!(listed(&both).await, 2);

    let (code, output) = rotated("conversation-service", &old.url, &[2, 1], &[]).await;
    assert_eq!((code, output.lines().next()), (Some(0), Some("key=1 seals=0")), "{output}");
    let new = Conversation::over(old.url.clone(), keys(&[2])).await.ready().await;
    assert_eq!(listed(&new).await, 2);
    new.client.clone().store_message(message(&chat)).await.expect("stored");
    counted(&new).await;
    let get = GetConversationRequest { conversation_id: chat };
    let found = new.client.clone().get_conversation(get).await.expect("it opens").into_inner();
    let labels = found.conversation.expect("it").emotion_statistics.expect("statistics").label_counts;
    assert_eq!(labels.iter().map(|label| (label.label.as_str(), label.count)).collect::<Vec<_>>(), [("calm", 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_opened_is_named_and_stops_no_other() {
    let old = Conversation::over(conversation_database().await, keys(&[1])).await.ready().await;
    let chat = fixtures::conversation_id();
    let mut ids = Vec::new();
    for number in 0..3 {
        let message = fixtures::message(&chat, &format!("Message {number}"));
        ids.push(message.message_id.clone());
        old.client.clone().store_message(message).await.expect("stored");
    }
    let alter = format!(
        "UPDATE messages SET content_sealed = set_byte(content_sealed, 40, 255 - get_byte(content_sealed, 40))
         WHERE message_id = '{}'",
        ids[1]
    );
    harness::execute(&old.url, sqlx::AssertSqlSafe(alter)).await;
    let (code, output) = rotated("conversation-service", &old.url, &[2, 1], &[]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains(&format!("NOT_ROTATED table=messages key={}", ids[1])), "{output}");
    assert!(output.contains("key=1 seals=2\n") && !output.contains("Message"), "{output}");
}

#[tokio::test]
async fn a_generated_key_is_one_that_the_services_accept() {
    let output =
        Command::new(launch::binary("booking-service")).args(["generate-key", "--version", "7"]).output().await;
    let key = String::from_utf8(output.expect("it starts").stdout).expect("UTF-8");
    assert_eq!(Keys::parse(&key).expect("a ring").ring().sealing_version(), 7);
}

async fn booking_database() -> SecretString {
    harness::database(&booking_service::app::DEFINITION).await
}

async fn conversation_database() -> SecretString {
    harness::database(&conversation_service::app::DEFINITION).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_read_by_the_primary_key_however_large_the_table_is() {
    const MESSAGES: i64 = 20_000;
    let old = Conversation::over(conversation_database().await, keys(&[1])).await.ready().await;
    let chat = fixtures::conversation_id();
    old.client.clone().store_message(fixtures::message(&chat, "Hello")).await.expect("stored");
    let copies = format!(
        "INSERT INTO messages (message_id, conversation_id, sequence, role, channel, content_sealed, sent_at, stored_at,
                               fingerprint)
         SELECT gen_random_uuid(), conversation_id, 1 + n, role, channel, content_sealed, sent_at, stored_at,
                fingerprint
         FROM messages, generate_series(1, {MESSAGES}) AS n;
         ANALYZE messages;
         SELECT pg_stat_reset_single_table_counters('messages'::regclass)"
    );
    harness::execute(&old.url, sqlx::AssertSqlSafe(copies)).await;
    let count = ["--count-only", "--rows-per-second", "1000000"];
    let (code, output) = rotated("conversation-service", &old.url, &[1], &count).await;
    assert_eq!(code, Some(0), "{output}");
    // Connections report what they have read some time later.
    let read = "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'messages'";
    eventually("the rows are read", async || old.scalar::<i64>(read).await > MESSAGES).await;
    let all = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'messages'";
    assert!(old.scalar::<i64>(all).await < 2 * MESSAGES);
}
