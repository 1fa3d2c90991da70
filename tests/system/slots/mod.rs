//! Slots: layout, changes, checks, and their bookings.

use teppan_shared::contract::booking::v1::{ListAvailabilityRequest, SlotAvailability};
use teppan_tests::clients::BookingClients;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

mod bookings;
mod check;
mod largest;
mod layout;
mod list;
mod oversold;
mod plans;
mod refusals;
mod update_slot;
mod update_venue;
mod zones;

/// Code and reason of an error.
fn kind(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().expect("an ErrorInfo").reason)
}

/// The fields in the violations of a refusal.
fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

/// The slots of all pages of a list.
async fn listed(clients: &mut BookingClients, mut request: ListAvailabilityRequest) -> Vec<SlotAvailability> {
    request.page_size = 2000;
    let mut slots = Vec::new();
    loop {
        let page = clients.schedule.list_availability(request.clone()).await.expect("listed").into_inner();
        slots.extend(page.slots);
        if page.next_page_token.is_empty() {
            return slots;
        }
        request.page_token = page.next_page_token;
    }
}
