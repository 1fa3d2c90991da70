use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use teppan_shared::{
    contract::booking::v1 as wire,
    page::{self, PageSizes, TokenError},
    status::Violations,
    wire::timestamp,
};
use tonic::Status;

use super::{encode, encode_payment::payment, encode_waitlist_entry::waitlist_entry, set_consent::consent_change};
use crate::{
    customers::export::{ExportCursor, ExportPage, ExportPosition},
    domain::CustomerId,
};

const SIZES: PageSizes = PageSizes { default: 50, max: 200 };

/// A decoded ExportCustomerRequest.
pub struct Export {
    pub id: CustomerId,
    pub after: Option<ExportCursor>,
    pub page_size: u16,
}

/// Decodes the request, or returns every violation.
pub fn decode(request: &wire::ExportCustomerRequest) -> Result<Export, Status> {
    let mut violations = Violations::default();
    let id = violations.check("customer_id", CustomerId::parse(&request.customer_id));
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    let after = violations.check("page_token", decode_token(request));
    let (Some(id), Some(page_size), Some(after)) = (id, size, after) else { return Err(violations.into_status()) };
    Ok(Export { id, after, page_size })
}

pub fn encode(
    request: &wire::ExportCustomerRequest,
    page: ExportPage,
    now: DateTime<Utc>,
) -> wire::ExportCustomerResponse {
    let exported = |(booking, payments): (_, Vec<_>)| wire::ExportedBooking {
        booking: Some(encode::booking(booking)),
        payments: payments.into_iter().map(payment).collect(),
    };
    wire::ExportCustomerResponse {
        customer: Some(encode::customer(page.customer)),
        bookings: page.bookings.into_iter().map(exported).collect(),
        waitlist_entries: page.entries.into_iter().map(waitlist_entry).collect(),
        next_page_token: page.next.map_or_else(String::new, |after| token(request, after)),
        consent_changes: page.consent_changes.into_iter().map(consent_change).collect(),
        exported_at: Some(timestamp(now)),
    }
}

/// The token of the page after a cursor.
pub fn token(request: &wire::ExportCustomerRequest, after: ExportCursor) -> String {
    page::encode_token(&request.customer_id, &after)
}

fn decode_token(request: &wire::ExportCustomerRequest) -> Result<Option<ExportCursor>, TokenError> {
    let after = page::decode_token::<ExportCursor>(&request.customer_id, &request.page_token)?;
    // Refuse a forged token whose values the database cannot read.
    let readable = match after.map(|after| after.position) {
        Some(ExportPosition::Booking((date, start_time, _))) => {
            (1970..10_000).contains(&date.year()) && start_time.nanosecond() < 1_000_000_000
        }
        _ => true,
    };
    if readable { Ok(after) } else { Err(TokenError::Unreadable) }
}
