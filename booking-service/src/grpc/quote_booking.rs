use teppan_shared::{
    contract::booking::v1::{QuoteBookingRequest, QuoteBookingResponse},
    status::Violations,
    wire::{given, timestamp},
};
use tonic::Status;

use super::encode;
use crate::{
    bookings::{begin::SlotWish, quote::Quote},
    domain::{AreaKey, PartySize, SlotKey, VenueId, parse_date, parse_start_time},
};

/// A valid request.
pub struct QuoteWish {
    pub slot: SlotKey,
    pub party_size: PartySize,
    pub area: Option<AreaKey>,
}

impl QuoteWish {
    pub fn wish(&self) -> SlotWish<'_> {
        let Self { slot, party_size, .. } = *self;
        SlotWish { slot, party_size: party_size.get(), area: self.area.as_ref(), expected_total_cents: None }
    }
}

/// Decodes the request, or returns every violation.
pub fn decode(request: QuoteBookingRequest) -> Result<QuoteWish, Status> {
    let mut violations = Violations::default();
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let date = violations.check("date", parse_date(&request.date));
    let start_time = violations.check("start_time", parse_start_time(&request.start_time));
    let party_size = violations.check("party_size", PartySize::parse(request.party_size));
    let area = violations.check_optional("area", given(request.area).map(|area| AreaKey::parse(&area)));
    let (Some(venue_id), Some(date), Some(start_time), Some(party_size), Some(area)) =
        (venue_id, date, start_time, party_size, area)
    else {
        return Err(violations.into_status());
    };
    Ok(QuoteWish { slot: SlotKey { venue_id, date, start_time }, party_size, area })
}

pub fn encode(quote: Quote) -> QuoteBookingResponse {
    let Quote { booking, terms, full_refund_until } = quote;
    QuoteBookingResponse {
        venue_id: booking.venue_id.to_string(),
        date: encode::date(booking.slot_date),
        start_time: encode::time(booking.start_time),
        starts_at: Some(timestamp(booking.starts_at)),
        ends_at: Some(timestamp(booking.ends_at)),
        time_zone: booking.time_zone,
        party_size: booking.party_size,
        price_per_person_cents: booking.price_per_person_cents,
        total_cents: booking.total_cents,
        deposit_cents: booking.deposit_cents,
        currency: booking.currency,
        hold_expires_at: booking.hold_expires_at.map(timestamp),
        terms: Some((&terms).into()),
        full_refund_until: Some(timestamp(full_refund_until)),
        area: booking.area.unwrap_or_default(),
    }
}
