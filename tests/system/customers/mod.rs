//! Customers: how they are found by their contact, and what happens to their data.

mod consent_delivery;
mod consents;
mod contact;
mod deadlocks;
pub mod erasure;
mod export;
mod merge;
mod merge_delivery;
mod merge_races;
mod races;
mod retention;
mod sealing;
mod update;

use teppan_shared::contract::booking::v1::{
    Booking as BookingMessage, Contact, CreateBookingRequest, Customer, GetCustomerRequest, Venue,
};
use teppan_tests::{clients::BookingClients, fixtures, harness::Booking};
use tonic::Status;
use tonic_types::StatusExt as _;

/// A service with a venue of a thousand seats, whose bookings are confirmed at once.
async fn service_with_venue() -> (Booking, Venue) {
    let service = Booking::start().await.ready().await;
    let venue = fixtures::firm_venue(&mut service.clients.clone(), 1000).await.expect("a venue");
    (service, venue)
}

fn contact(name: &str, email: &str, phone: &str) -> Contact {
    Contact { name: name.to_owned(), email: email.to_owned(), phone: phone.to_owned() }
}

/// A booking for the one start of the day, also by a customer who has one.
fn request_by(venue: &Venue, contact: Contact) -> CreateBookingRequest {
    CreateBookingRequest { contact: Some(contact), allow_duplicate: true, ..fixtures::booking(&venue.venue_id, 1) }
}

async fn book_by(clients: &BookingClients, venue: &Venue, contact: Contact) -> BookingMessage {
    let made = clients.clone().bookings.create_booking(request_by(venue, contact)).await.expect("booked");
    made.into_inner().booking.expect("the booking")
}

async fn read_customer(clients: &BookingClients, customer_id: &str) -> Result<Customer, Status> {
    let request = GetCustomerRequest { customer_id: customer_id.to_owned() };
    Ok(clients.clone().customers.get_customer(request).await?.into_inner().customer.expect("the customer"))
}

async fn contact_of(clients: &BookingClients, customer_id: &str) -> Contact {
    read_customer(clients, customer_id).await.expect("read").contact.expect("a contact")
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("an ErrorInfo").reason
}
