use teppan_shared::{
    contract::booking::v1::{Booking, Contact, UpdateBookingRequest},
    status::Violations,
    wire::{given, instant},
};
use tonic::Status;

use super::{change_booking, update_mask};
use crate::{
    bookings::{change::BookingTarget, update::BookingUpdate},
    domain::{Email, GivenPhone, Name, Note, SpecialRequests, StripeIntentId, Tags},
};

/// Decodes the request, or returns every violation. Of the booking only its id and the fields in the mask are read.
pub fn decode(request: UpdateBookingRequest) -> Result<(BookingTarget, BookingUpdate), Status> {
    let mut violations = Violations::default();
    let booking = request.booking.unwrap_or_default();
    let target = violations.within("booking.", |violations| {
        change_booking::target(&booking.booking_id, request.etag, request.validate_only, violations)
    });
    let mut change = BookingUpdate::default();
    let paths = request.update_mask.unwrap_or_default().paths;
    update_mask::apply(&paths, "contact.name or special_requests", &mut violations, |path, violations| {
        violations.within("booking.", |violations| set(path, &booking, &mut change, violations))
    });
    let Some(target) = target else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok((target, change))
}

/// Sets one field of the change. Returns false for a field that cannot be changed.
fn set(path: &str, booking: &Booking, change: &mut BookingUpdate, violations: &mut Violations) -> bool {
    match path {
        "special_requests" => {
            let text = given(booking.special_requests.clone()).map(SpecialRequests::parse);
            change.special_requests = violations.check_optional(path, text);
        }
        "venue_notes" => change.venue_notes = note(path, &booking.venue_notes, violations),
        "party_notes" => change.party_notes = note(path, &booking.party_notes, violations),
        "stripe_intent_id" => {
            let id = given(booking.stripe_intent_id.clone()).map(StripeIntentId::parse);
            change.stripe_intent_id = violations.check_optional(path, id);
        }
        "ends_at" => {
            let at = booking.ends_at.as_ref().and_then(instant).ok_or("is required, as a timestamp");
            change.ends_at = violations.check(path, at);
        }
        "tags" => match Tags::parse(&booking.tags) {
            Ok(tags) => change.tags = Some(tags),
            Err(faults) => {
                for (index, fault) in faults {
                    let place = index.map_or_else(String::new, |index| format!("[{index}]"));
                    violations.add(format_args!("tags{place}"), fault);
                }
            }
        },
        _ => {
            let contact = booking.contact.clone().unwrap_or_default();
            return set_contact(path, &contact, change, violations);
        }
    }
    true
}

fn set_contact(path: &str, contact: &Contact, change: &mut BookingUpdate, violations: &mut Violations) -> bool {
    match path {
        "contact" => {
            for path in ["contact.name", "contact.email", "contact.phone"] {
                set_contact(path, contact, change, violations);
            }
        }
        "contact.name" => change.name = violations.check(path, Name::parse(&contact.name)),
        "contact.email" => {
            let email = given(contact.email.clone()).map(|email| Email::parse(&email));
            change.email = violations.check_optional(path, email);
        }
        "contact.phone" => {
            let phone = given(contact.phone.clone()).map(|phone| GivenPhone::parse(&phone));
            change.phone = violations.check_optional(path, phone);
        }
        _ => return false,
    }
    true
}

fn note<const MAX: usize>(path: &str, text: &str, violations: &mut Violations) -> Option<Option<Note<MAX>>> {
    violations.check_optional(path, given(text.to_owned()).map(Note::parse))
}
