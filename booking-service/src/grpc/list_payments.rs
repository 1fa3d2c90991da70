use chrono::{DateTime, Utc};
use strum::VariantArray as _;
use teppan_shared::{
    contract::booking::v1 as wire,
    page::{self, PageSizes, TokenError},
    status::Violations,
    wire::given,
};
use tonic::Status;
use uuid::Uuid;

use super::{decode_statuses::decode_statuses, encode_payment::payment};
use crate::{
    domain::{BookingId, PaymentKind, PaymentStatus},
    payments::list::{PaymentPage, PaymentPosition, PaymentsQuery},
};

const SIZES: PageSizes = PageSizes { default: 50, max: 1000 };

/// Decodes the request, or returns every violation.
pub fn decode(request: &wire::ListPaymentsRequest) -> Result<(PaymentsQuery, u16), Status> {
    let mut violations = Violations::default();
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    let cursor = violations.check("page_token", decode_token(request));
    let booking_id =
        violations.check_optional("booking_id", given(request.booking_id.clone()).map(|raw| BookingId::parse(&raw)));
    let kind = violations.check("kind", decode_kind(request.kind));
    let statuses = decode_statuses(&request.statuses, PaymentStatus::VARIANTS.len(), decode_status, &mut violations);
    let parsed = (size, cursor, booking_id, kind);
    let (Some(size), Some(cursor), Some(booking_id), Some(kind)) = parsed else { return Err(violations.into_status()) };
    violations.finish()?;
    let after = cursor.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
    Ok((PaymentsQuery { booking_id, kind, statuses, after }, size))
}

pub fn encode(request: &wire::ListPaymentsRequest, found: PaymentPage) -> wire::ListPaymentsResponse {
    wire::ListPaymentsResponse {
        payments: found.payments.into_iter().map(payment).collect(),
        next_page_token: found.next.map_or_else(String::new, |position| {
            page::encode_token(&filters(request), &(position.0.timestamp_micros(), position.1))
        }),
    }
}

fn decode_kind(raw: i32) -> Result<Option<PaymentKind>, &'static str> {
    match wire::PaymentKind::try_from(raw) {
        Ok(wire::PaymentKind::Unspecified) => Ok(None),
        Ok(wire::PaymentKind::Charge) => Ok(Some(PaymentKind::Charge)),
        Ok(wire::PaymentKind::Refund) => Ok(Some(PaymentKind::Refund)),
        Err(_) => Err("must be a PaymentKind"),
    }
}

fn decode_status(raw: i32) -> Result<PaymentStatus, &'static str> {
    match wire::PaymentStatus::try_from(raw) {
        Ok(wire::PaymentStatus::Succeeded) => Ok(PaymentStatus::Succeeded),
        Ok(wire::PaymentStatus::Failed) => Ok(PaymentStatus::Failed),
        Ok(wire::PaymentStatus::Cancelled) => Ok(PaymentStatus::Cancelled),
        Ok(wire::PaymentStatus::Disputed) => Ok(PaymentStatus::Disputed),
        Ok(wire::PaymentStatus::Processing) => Ok(PaymentStatus::Processing),
        Ok(wire::PaymentStatus::Unspecified) | Err(_) => Err("must be a status of a payment"),
    }
}

fn decode_token(request: &wire::ListPaymentsRequest) -> Result<Option<PaymentPosition>, TokenError> {
    let Some((micros, id)) = page::decode_token::<(i64, Uuid)>(&filters(request), &request.page_token)? else {
        return Ok(None);
    };
    // Refuse a forged token whose values the database cannot read.
    let years = DateTime::<Utc>::UNIX_EPOCH..DateTime::from_timestamp(253_402_300_800, 0).unwrap_or_default();
    let at = DateTime::from_timestamp_micros(micros).filter(|at| years.contains(at));
    at.map(|at| Some((at, id))).ok_or(TokenError::Unreadable)
}

/// The filters that a token belongs to.
fn filters(request: &wire::ListPaymentsRequest) -> (&str, i32, &[i32]) {
    (&request.booking_id, request.kind, &request.statuses)
}
