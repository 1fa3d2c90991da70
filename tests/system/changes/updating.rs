//! UpdateBooking. The unit tests of the decision cover each field.

use futures::future::join_all;
use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    Booking as Made, Contact, EraseCustomerRequest, ExportCustomerRequest, GetBookingRequest, UpdateBookingRequest,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Change, VenueFixture, refusal};
use crate::verify;

fn request(booking: Made, paths: &[&str]) -> UpdateBookingRequest {
    let paths = paths.iter().map(ToString::to_string).collect();
    UpdateBookingRequest { booking: Some(booking), update_mask: Some(FieldMask { paths }), ..Default::default() }
}

async fn update(fixture: &VenueFixture, request: UpdateBookingRequest) -> Result<Made, Status> {
    let updated = fixture.service.clients.clone().bookings.update_booking(request).await?;
    Ok(updated.into_inner().booking.expect("the booking"))
}

/// A booking with other values in every field that can be changed.
fn wish(made: &Made) -> Made {
    Made {
        booking_id: made.booking_id.clone(),
        contact: Some(Contact {
            name: "Bea".to_owned(),
            email: "bea@example.org".to_owned(),
            phone: "030 654321".to_owned(),
        }),
        special_requests: "By the window".to_owned(),
        venue_notes: "Regular guest".to_owned(),
        party_notes: "2 children, 1 high chair".to_owned(),
        tags: vec!["birthday".to_owned(), "VIP".to_owned()],
        stripe_intent_id: "seti_1Mm8s8LkdIwHu7ix0OXBfTRG".to_owned(),
        // Not in the mask.
        party_size: 9,
        ..Made::default()
    }
}

const PATHS: [&str; 6] = ["contact", "special_requests", "venue_notes", "party_notes", "tags", "stripe_intent_id"];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_venue_must_know_changes_without_the_customer_or_anything_else_of_the_booking() {
    let fixture = VenueFixture::without_deposit(10).await;
    fixture.sql("UPDATE venues SET phone_region = 'DE'").await;
    let made = fixture.book(2).await;
    let customers = "SELECT string_agg(c::text, '') FROM customers c";
    let customer: String = fixture.service.scalar(customers).await;

    let before = fixture.service.written().await;
    let preview = UpdateBookingRequest { validate_only: true, ..request(wish(&made), &PATHS) };
    assert_eq!(update(&fixture, preview).await.expect("valid").venue_notes, "Regular guest");
    assert_eq!(fixture.service.written().await, before);

    let updated = update(&fixture, request(wish(&made), &PATHS)).await.expect("updated");
    let contact = Contact { phone: "+4930654321".to_owned(), ..wish(&made).contact.expect("a contact") };
    let expected = Made {
        contact: Some(contact),
        party_size: made.party_size,
        version: 2,
        etag: updated.etag.clone(),
        updated_at: updated.updated_at,
        ..Made {
            special_requests: wish(&made).special_requests,
            venue_notes: wish(&made).venue_notes,
            party_notes: wish(&made).party_notes,
            tags: wish(&made).tags,
            stripe_intent_id: wish(&made).stripe_intent_id,
            ..made.clone()
        }
    };
    assert_eq!(updated, expected);
    let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let read = fixture.service.clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking;
    assert_eq!(read, Some(updated.clone()));
    let fields = "SELECT data->>'changed_fields' FROM booking_events WHERE type = 'teppan.booking.updated.v1'";
    let fields: Vec<String> = serde_json::from_str(&fixture.service.scalar::<String>(fields).await).expect("a list");
    assert_eq!((fields.len(), &*fields[0], &*fields[6]), (8, "BOOKING_FIELD_CONTACT_NAME", "BOOKING_FIELD_TAGS"));
    assert_eq!(fixture.service.scalar::<String>(customers).await, customer);

    // Again, with an old etag: it already is as requested.
    let again = UpdateBookingRequest { etag: made.etag.clone(), ..request(wish(&made), &PATHS) };
    assert_eq!(update(&fixture, again).await.expect("the target state"), updated);
    let other = Made { tags: Vec::new(), special_requests: String::new(), ..wish(&made) };
    let stale = UpdateBookingRequest { etag: made.etag.clone(), ..request(other.clone(), &["tags"]) };
    assert_eq!(update(&fixture, stale).await.expect_err("stale").code(), Code::Aborted);
    let emptied = update(&fixture, request(other, &["tags", "special_requests"])).await.expect("emptied");
    assert_eq!((emptied.tags.len(), &*emptied.special_requests, &*emptied.venue_notes), (0, "", "Regular guest"));

    // Other changes keep the details, and a booking that has ended can still get notes.
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let note = Made { venue_notes: "Called at noon".to_owned(), ..wish(&made) };
    let noted = update(&fixture, request(note, &["venue_notes"])).await.expect("updated");
    assert_eq!((&*noted.venue_notes, &*noted.party_notes), ("Called at noon", "2 children, 1 high chair"));
    fixture.assert_consistent().await;
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_of_an_update_is_reported_at_once() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(2).await;
    let wrong = Made {
        booking_id: "x".to_owned(),
        contact: Some(Contact { name: String::new(), email: "no address".to_owned(), phone: "letters".to_owned() }),
        special_requests: "x".repeat(501),
        venue_notes: "x".repeat(1001),
        party_notes: "x".repeat(201),
        tags: vec!["a".to_owned(), "a".to_owned(), String::new()],
        stripe_intent_id: "pi_1_secret_2".to_owned(),
        ..Made::default()
    };
    let paths = [&PATHS[..], &["party_size", "contact.country"]].concat();
    let status = update(&fixture, request(wrong, &paths)).await.expect_err("wrong");
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "booking.booking_id",
            "booking.contact.name",
            "booking.contact.email",
            "booking.contact.phone",
            "booking.special_requests",
            "booking.venue_notes",
            "booking.party_notes",
            "booking.tags[1]",
            "booking.tags[2]",
            "booking.stripe_intent_id",
            "update_mask.paths[6]",
            "update_mask.paths[7]",
        ]
    );
    let nothing = Made { booking_id: made.booking_id.clone(), ..Made::default() };
    let unreachable = update(&fixture, request(nothing.clone(), &["contact.email", "contact.phone"])).await;
    assert_eq!(refusal(&unreachable.expect_err("unreachable"), "").0, "INVALID_FIELDS");
    let no_mask = update(&fixture, request(nothing, &[])).await.expect_err("no mask");
    assert_eq!(refusal(&no_mask, "").0, "INVALID_FIELDS");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_updates_of_different_fields_are_all_kept_beside_other_changes() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(2).await;
    let updates = PATHS.iter().flat_map(|path| std::iter::repeat_n(path, 4)).map(|path| {
        let request = request(wish(&made), &[path]);
        update(&fixture, request)
    });
    let moves = ["18:30", "19:00", "18:00"].map(|time| fixture.act(Change::Move(time), &made.booking_id));
    let (answers, others) = tokio::join!(join_all(updates), join_all(moves));
    assert!(answers.into_iter().chain(others).all(|answer| answer.is_ok()));
    let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let read = fixture.service.clients.clone().bookings.get_booking(get).await.expect("read").into_inner();
    let read = read.booking.expect("the booking");
    assert_eq!(read.contact.map(|contact| contact.name), wish(&made).contact.map(|contact| contact.name));
    assert_eq!((read.special_requests, read.venue_notes), (wish(&made).special_requests, wish(&made).venue_notes));
    assert_eq!((read.party_notes, read.tags), (wish(&made).party_notes, wish(&made).tags));
    assert_eq!(read.stripe_intent_id, wish(&made).stripe_intent_id);
    fixture.assert_consistent().await;
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_and_tags_are_exported_and_erased_with_the_customer_and_cannot_be_set_again() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(2).await;
    update(&fixture, request(wish(&made), &PATHS)).await.expect("updated");
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
    let mut customers = fixture.service.clients.customers.clone();
    let export = ExportCustomerRequest { customer_id: made.customer_id.clone(), ..Default::default() };
    let exported = format!("{:?}", customers.export_customer(export).await.expect("exported").into_inner());
    for value in ["Regular guest", "high chair", "birthday", "By the window", "bea@example.org", "seti_1Mm8"] {
        assert!(exported.contains(value), "{value}");
    }
    let erase = EraseCustomerRequest { customer_id: made.customer_id.clone() };
    customers.erase_customer(erase).await.expect("erased");
    let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let read = fixture.service.clients.clone().bookings.get_booking(get).await.expect("read").into_inner();
    let read = read.booking.expect("the booking");
    assert_eq!(
        (read.contact, read.venue_notes, read.party_notes, read.tags.len(), read.stripe_intent_id),
        (None, String::new(), String::new(), 0, String::new())
    );
    let refused = update(&fixture, request(wish(&made), &["venue_notes"])).await.expect_err("erased");
    assert_eq!(refusal(&refused, "status"), ("BOOKING_ERASED".to_owned(), "BOOKING_STATUS_CANCELLED".to_owned()));
    let refused = fixture.act(Change::Reinstate, &made.booking_id).await.expect_err("erased");
    assert_eq!(refusal(&refused, "").0, "BOOKING_NOT_REINSTATABLE");
    verify::assert_derivable(&fixture.service.url).await;
}
