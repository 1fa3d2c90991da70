use teppan_shared::contract::{
    booking::v1::{BookingStatus, FindCustomerRequest, GetBookingRequest, ListAvailabilityRequest},
    conversation::v1::{
        GetConversationRequest, ListMessagesRequest, conversation_service_client::ConversationServiceClient,
    },
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{Booking, Conversation},
};
use tonic::transport::Channel;

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_becomes_a_booking() {
    let (booking, conversation) = tokio::join!(Booking::start(), Conversation::start());
    let (booking, conversation) = (booking.ready().await, conversation.ready().await);
    a_chat_becomes_a_booking_in(booking.clients, conversation.client).await;
}

/// Makes the calls from a chat to a booking on services that are ready. Returns the id of the venue, which still has
/// open seats.
pub async fn a_chat_becomes_a_booking_in(
    mut booking: BookingClients,
    mut conversation: ConversationServiceClient<Channel>,
) -> String {
    let venue = fixtures::venue(&mut booking, 100).await.expect("a venue");

    let chat = fixtures::conversation_id();
    for text in ["A table for two on Saturday?", "At six, by the window.", "Yes, please book it."] {
        conversation.store_message(fixtures::message(&chat, text)).await.expect("stored");
    }

    let mut request = fixtures::booking(&venue.venue_id, 2);
    request.conversation_id = chat.clone();
    let created = booking.bookings.create_booking(request.clone()).await.expect("booked").into_inner();
    let made = created.booking.expect("the booking");
    assert!(!created.replayed);
    assert_eq!(made.status(), BookingStatus::Pending);
    assert_eq!((made.total_cents, made.deposit_cents, made.currency.as_str()), (7000, 1750, "EUR"));
    assert_eq!((made.date.as_str(), made.start_time.as_str()), (request.date.as_str(), "18:00"));
    assert_eq!(made.conversation_id, chat);
    assert_eq!(made.special_requests, request.special_requests);
    assert!(made.hold_expires_at.is_some());

    // The booking can be read by its id and by its confirmation code.
    for (booking_id, confirmation_code) in
        [(made.booking_id.clone(), String::new()), (String::new(), made.confirmation_code.to_lowercase())]
    {
        let read = GetBookingRequest { booking_id, confirmation_code };
        let read = booking.bookings.get_booking(read).await.expect("read").into_inner().booking;
        assert_eq!(read.as_ref(), Some(&made));
    }

    let contact = request.contact.expect("a contact");
    let find = FindCustomerRequest { email: contact.email.to_uppercase(), ..Default::default() };
    let customer = booking.customers.find_customer(find).await.expect("found").into_inner().customer;
    let customer = customer.expect("the customer");
    assert_eq!(customer.customer_id, made.customer_id);
    assert_eq!(customer.contact.expect("not erased"), contact);
    assert_eq!(customer.booking_count, 1);

    let range = ListAvailabilityRequest {
        venue_id: venue.venue_id.clone(),
        from_date: request.date.clone(),
        to_date: request.date,
        ..Default::default()
    };
    let slots = booking.schedule.list_availability(range).await.expect("listed").into_inner().slots;
    assert_eq!(slots.iter().map(|slot| slot.open_seats).collect::<Vec<_>>(), [98]);

    let read = GetConversationRequest { conversation_id: chat.clone() };
    let read = conversation.get_conversation(read).await.expect("read").into_inner().conversation;
    assert_eq!(read.expect("the conversation").message_count, 3);
    let list = ListMessagesRequest { conversation_id: chat, ..Default::default() };
    let messages = conversation.list_messages(list).await.expect("listed").into_inner().messages;
    assert_eq!(messages.iter().map(|message| message.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(messages[1].content, "At six, by the window.");
    venue.venue_id
}
