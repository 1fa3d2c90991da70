//! Calls with canaries in every field that has personal data: accepted, repeated, refused and invalid ones.

use prost_types::{FieldMask, Struct, Value, value::Kind};
use teppan_shared::contract::{
    booking::v1::{
        Booking, Contact, CreateBookingRequest, FindCustomerRequest, JoinWaitlistRequest, MergeCustomersRequest,
        UpdateBookingRequest,
    },
    conversation::v1::{
        Attachment, ClaimDueFollowUpsRequest, CompleteFollowUpRequest, Emotion, EscalateConversationRequest,
        EscalationReason, FollowUpTrigger, GetConversationRequest, ListFollowUpsRequest, ListMessagesRequest, Part,
        RedactMessageRequest, Role, ScheduleFollowUpRequest, SetSummaryRequest, StoreMessageRequest, ToolCall,
        ToolResult, part,
    },
};
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures,
};
use tonic::{Response, Status};
use uuid::Uuid;

use super::{canaries::Canaries, stack::Stack};

/// Ids of conversations are in clear.
pub const CHAT: &str = "leaks-conversation-7f3a91";
/// An address as an id is stored and published in clear, and not logged.
pub const ADDRESS: &str = "mailto:leaks+7f3a92@example.org";

/// Every error is looked at.
struct Errors(Vec<(&'static str, String)>);

impl Errors {
    fn keep<T>(&mut self, answer: Result<Response<T>, Status>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer.into_inner()),
            Err(status) => {
                self.0.push(("an error", format!("{status:?}")));
                None
            }
        }
    }
}

/// Makes the calls, and returns the errors.
pub async fn make(stack: &Stack, canaries: &Canaries) -> Vec<(&'static str, String)> {
    let mut errors = Errors(Vec::new());
    bookings(stack, canaries, &mut errors).await;
    messages(stack, canaries, &mut errors).await;
    follow_ups(stack, canaries, &mut errors).await;
    of_an_address(stack, &mut errors).await;
    assert!(errors.0.len() >= 7, "calls were refused: {:?}", errors.0);
    errors.0
}

async fn bookings(stack: &Stack, canaries: &Canaries, errors: &mut Errors) {
    let mut clients = BookingClients::new(stack.booking.grpc);
    let venue = fixtures::firm_venue(&mut clients, 2).await.expect("a venue").venue_id;
    let contact = Contact { name: canaries.name.clone(), email: canaries.email.clone(), phone: canaries.phone.clone() };
    let booking = CreateBookingRequest {
        contact: Some(contact.clone()),
        special_requests: canaries.text("wish"),
        conversation_id: CHAT.to_owned(),
        ..fixtures::booking(&venue, 2)
    };
    let booked = errors.keep(clients.bookings.create_booking(booking.clone()).await).expect("booked");
    errors.keep(clients.bookings.create_booking(booking.clone()).await).expect("replayed");
    let other = CreateBookingRequest { special_requests: canaries.text("other"), ..booking.clone() };
    assert!(errors.keep(clients.bookings.create_booking(other.clone()).await).is_none(), "the key is used");
    let full = CreateBookingRequest { idempotency_key: Uuid::now_v7().to_string(), ..other };
    assert!(errors.keep(clients.bookings.create_booking(full.clone()).await).is_none(), "it is full");
    let invalid = CreateBookingRequest {
        party_size: 99,
        contact: Some(Contact {
            name: canaries.text("\u{7}"),
            email: canaries.text("no address"),
            phone: format!("{}x", canaries.phone),
        }),
        source: canaries.text("source").repeat(30),
        ..full
    };
    assert!(errors.keep(clients.bookings.create_booking(invalid).await).is_none(), "it is invalid");
    let update = UpdateBookingRequest {
        booking: Some(Booking {
            booking_id: booked.booking.clone().expect("the booking").booking_id,
            contact: Some(contact.clone()),
            special_requests: canaries.text("updated wish"),
            venue_notes: canaries.text("venue notes"),
            party_notes: canaries.text("party notes"),
            tags: vec![canaries.text("tag")],
            ..Booking::default()
        }),
        update_mask: Some(FieldMask {
            paths: ["special_requests", "venue_notes", "party_notes", "tags"].map(str::to_owned).to_vec(),
        }),
        ..UpdateBookingRequest::default()
    };
    errors.keep(clients.bookings.update_booking(update).await).expect("updated");
    let wish = JoinWaitlistRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        venue_id: venue,
        date: booking.date.clone(),
        start_time: booking.start_time.clone(),
        party_size: 2,
        contact: Some(Contact { email: format!("w{}", canaries.email), phone: String::new(), ..contact }),
        conversation_id: CHAT.to_owned(),
        special_requests: canaries.text("wish"),
        source: "test".to_owned(),
        ..JoinWaitlistRequest::default()
    };
    let joined = errors.keep(clients.bookings.join_waitlist(wish).await).expect("joined");
    // The two are one person; the e-mail address of the second stays with the merged customer.
    let merge = MergeCustomersRequest {
        customer_id: booked.booking.expect("the booking").customer_id,
        duplicate_customer_id: joined.entry.expect("the entry").customer_id,
        ..MergeCustomersRequest::default()
    };
    let back = MergeCustomersRequest {
        customer_id: merge.duplicate_customer_id.clone(),
        duplicate_customer_id: merge.customer_id.clone(),
        ..MergeCustomersRequest::default()
    };
    // When the calls are made a second time, they are one already.
    let is_one = merge.customer_id == merge.duplicate_customer_id;
    assert_eq!(errors.keep(clients.customers.merge_customers(merge).await).is_none(), is_one);
    assert!(errors.keep(clients.customers.merge_customers(back).await).is_none(), "it is merged");
    for email in [canaries.email.clone(), format!("none.{}", canaries.email)] {
        errors.keep(clients.customers.find_customer(FindCustomerRequest { email, ..Default::default() }).await);
    }
}

async fn messages(stack: &Stack, canaries: &Canaries, errors: &mut Errors) {
    let mut client = clients::conversations(stack.conversation.grpc);
    let plain = StoreMessageRequest {
        user_id: canaries.phone.clone(),
        metadata: Some(values(canaries)),
        emotion: Some(Emotion {
            score: Some(0.2),
            label: canaries.text("label"),
            detected: vec![canaries.text("detected")],
        }),
        ..fixtures::message(CHAT, &canaries.text("content"))
    };
    errors.keep(client.store_message(plain.clone()).await).expect("stored");
    let other = StoreMessageRequest { content: canaries.text("other"), ..plain.clone() };
    assert!(errors.keep(client.store_message(other).await).is_none(), "the id is used");
    let invalid = StoreMessageRequest {
        message_id: canaries.text("id"),
        user_id: canaries.text("user").repeat(40),
        content: canaries.text("content\u{0}"),
        ..plain.clone()
    };
    assert!(errors.keep(client.store_message(invalid).await).is_none(), "it is invalid");
    let call_id = Uuid::now_v7().to_string();
    for (role, part) in [
        (Role::Assistant, part::Part::Text(canaries.text("part"))),
        (
            Role::Assistant,
            part::Part::ToolCall(ToolCall {
                call_id: call_id.clone(),
                name: "find_table".to_owned(),
                arguments: Some(values(canaries)),
            }),
        ),
        (Role::Tool, part::Part::ToolResult(ToolResult { call_id, content: canaries.text("result"), is_error: false })),
        (
            Role::User,
            part::Part::Attachment(Attachment {
                uri: format!("https://files.example.org/{}", canaries.text("uri")),
                media_type: "image/png".to_owned(),
                size_bytes: Some(7),
                name: canaries.text("file"),
            }),
        ),
    ] {
        let message = StoreMessageRequest {
            message_id: Uuid::new_v4().to_string(),
            role: role.into(),
            content: String::new(),
            parts: vec![Part { part: Some(part) }],
            emotion: None,
            ..plain.clone()
        };
        errors.keep(client.store_message(message).await).expect("stored");
    }
    let summary = SetSummaryRequest {
        conversation_id: CHAT.to_owned(),
        through_sequence: 1,
        text: canaries.text("summary"),
        written_by: "test".to_owned(),
        ..SetSummaryRequest::default()
    };
    errors.keep(client.set_summary(summary).await);
    let list = ListMessagesRequest { conversation_id: CHAT.to_owned(), ..ListMessagesRequest::default() };
    let listed = errors.keep(client.list_messages(list).await).expect("listed");
    assert!(format!("{listed:?}").contains("Qzv"), "they are readable for those who may");
    let redact = RedactMessageRequest { conversation_id: CHAT.to_owned(), message_id: plain.message_id };
    errors.keep(client.redact_message(redact).await).expect("redacted");
}

async fn follow_ups(stack: &Stack, canaries: &Canaries, errors: &mut Errors) {
    let mut client = clients::follow_ups(stack.conversation.grpc);
    let follow_up = ScheduleFollowUpRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        conversation_id: CHAT.to_owned(),
        trigger: FollowUpTrigger::Custom.into(),
        content: canaries.text("follow-up"),
        metadata: Some(values(canaries)),
        user_id: canaries.phone.clone(),
        due_at: Some(teppan_shared::wire::timestamp(chrono::Utc::now())),
        // Where it is always within the sending hours.
        time_zone: zone_at_noon(),
        ..ScheduleFollowUpRequest::default()
    };
    errors.keep(client.schedule_follow_up(follow_up.clone()).await).expect("scheduled");
    let invalid = ScheduleFollowUpRequest { subject: canaries.text("subject"), ..follow_up.clone() };
    assert!(errors.keep(client.schedule_follow_up(invalid).await).is_none(), "it is invalid");
    let other = ScheduleFollowUpRequest { content: canaries.text("other"), ..follow_up };
    assert!(errors.keep(client.schedule_follow_up(other).await).is_none(), "the key is used");
    let claim = ClaimDueFollowUpsRequest {
        claimant: "test".to_owned(),
        wait_seconds: i32::try_from(super::stack::BRIEFLY.as_secs()).expect("few"),
        ..ClaimDueFollowUpsRequest::default()
    };
    let claimed = errors.keep(client.claim_due_follow_ups(claim).await).expect("claimed").follow_ups;
    for claimed in claimed {
        let sent = CompleteFollowUpRequest {
            follow_up_id: claimed.follow_up.expect("it").follow_up_id,
            claim_token: claimed.claim_token,
            content: canaries.text("sent"),
            ..CompleteFollowUpRequest::default()
        };
        errors.keep(client.complete_follow_up(sent).await);
    }
    let list = ListFollowUpsRequest { conversation_id: CHAT.to_owned(), ..ListFollowUpsRequest::default() };
    errors.keep(client.list_follow_ups(list).await).expect("listed");
}

/// Calls about a conversation whose id is an address.
async fn of_an_address(stack: &Stack, errors: &mut Errors) {
    let mut conversations = clients::conversations(stack.conversation.grpc);
    let message = fixtures::message(ADDRESS, "Hello");
    errors.keep(conversations.store_message(message).await).expect("stored");
    let escalate = EscalateConversationRequest {
        conversation_id: ADDRESS.to_owned(),
        reason: EscalationReason::CustomerRequest.into(),
        ..EscalateConversationRequest::default()
    };
    errors.keep(conversations.escalate_conversation(escalate).await).expect("escalated");
    let none = GetConversationRequest { conversation_id: format!("{ADDRESS}?none") };
    assert!(errors.keep(conversations.get_conversation(none).await).is_none(), "there is none");
    let mut clients = BookingClients::new(stack.booking.grpc);
    let venue = fixtures::firm_venue(&mut clients, 2).await.expect("a venue").venue_id;
    let booking = CreateBookingRequest { conversation_id: ADDRESS.to_owned(), ..fixtures::booking(&venue, 2) };
    errors.keep(clients.bookings.create_booking(booking).await).expect("booked");
}

/// A time zone in which it is about noon.
fn zone_at_noon() -> String {
    use chrono::Timelike as _;
    let ahead = 12 - i32::try_from(chrono::Utc::now().hour()).expect("small");
    // The signs of these names are those of POSIX: "Etc/GMT-2" is two hours ahead.
    match ahead {
        0 => "UTC".to_owned(),
        hours if hours > 0 => format!("Etc/GMT-{hours}"),
        hours => format!("Etc/GMT+{}", -hours),
    }
}

fn values(canaries: &Canaries) -> Struct {
    let value = Value { kind: Some(Kind::StringValue(canaries.text("value"))) };
    Struct { fields: [(canaries.text("key"), value)].into() }
}
