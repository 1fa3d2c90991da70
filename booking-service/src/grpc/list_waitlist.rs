use strum::EnumCount as _;
use teppan_shared::{
    contract::booking::v1 as wire,
    page::{self, PageSizes, TokenError},
    status::Violations,
};
use tonic::Status;

use super::{decode_statuses::decode_statuses, encode_waitlist_entry::waitlist_entry};
use crate::{
    domain::{ConversationId, CustomerId, VenueId, WaitlistEntryStatus, parse_date, parse_start_time},
    waitlist::list::{WaitlistPage, WaitlistQuery},
};

const SIZES: PageSizes = PageSizes { default: 50, max: 1000 };

/// Decodes the request, or returns every violation.
pub fn decode(request: &wire::ListWaitlistRequest) -> Result<(WaitlistQuery, u16), Status> {
    let mut violations = Violations::default();
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    let after = violations.check("page_token", decode_token(request));
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let venue_id = violations.check_optional("venue_id", given(&request.venue_id).map(|raw| VenueId::parse(&raw)));
    let date = violations.check_optional("date", given(&request.date).map(|raw| parse_date(&raw)));
    if !request.date.is_empty() && request.venue_id.is_empty() {
        violations.add("date", "needs venue_id");
    }
    let start_time =
        violations.check_optional("start_time", given(&request.start_time).map(|raw| parse_start_time(&raw)));
    if !request.start_time.is_empty() && request.date.is_empty() {
        violations.add("start_time", "needs date");
    }
    let customer_id =
        violations.check_optional("customer_id", given(&request.customer_id).map(|raw| CustomerId::parse(&raw)));
    let conversation_id =
        violations.check_optional("conversation_id", given(&request.conversation_id).map(ConversationId::parse));
    let statuses = decode_statuses(&request.statuses, WaitlistEntryStatus::COUNT, decode_status, &mut violations);

    let parsed = (size, after, venue_id, date, start_time, customer_id, conversation_id);
    let (
        Some(size),
        Some(after),
        Some(venue_id),
        Some(date),
        Some(start_time),
        Some(customer_id),
        Some(conversation_id),
    ) = parsed
    else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    let after = after.unwrap_or(0);
    Ok((WaitlistQuery { conversation_id, customer_id, venue_id, date, start_time, statuses, after }, size))
}

pub fn encode(request: &wire::ListWaitlistRequest, found: WaitlistPage) -> wire::ListWaitlistResponse {
    wire::ListWaitlistResponse {
        entries: found.entries.into_iter().map(waitlist_entry).collect(),
        next_page_token: found
            .next
            .map_or_else(String::new, |position| page::encode_token(&filters(request), &position)),
    }
}

fn decode_status(raw: i32) -> Result<WaitlistEntryStatus, &'static str> {
    use wire::WaitlistEntryStatus as Wire;
    match Wire::try_from(raw) {
        Ok(Wire::Waiting) => Ok(WaitlistEntryStatus::Waiting),
        Ok(Wire::Offered) => Ok(WaitlistEntryStatus::Offered),
        Ok(Wire::Accepted) => Ok(WaitlistEntryStatus::Accepted),
        Ok(Wire::Lapsed) => Ok(WaitlistEntryStatus::Lapsed),
        Ok(Wire::Left) => Ok(WaitlistEntryStatus::Left),
        Ok(Wire::Closed) => Ok(WaitlistEntryStatus::Closed),
        Ok(Wire::Unspecified) | Err(_) => Err("must be a status of a waitlist entry"),
    }
}

fn decode_token(request: &wire::ListWaitlistRequest) -> Result<Option<i64>, TokenError> {
    page::decode_token::<i64>(&filters(request), &request.page_token)
}

/// The filters that a token belongs to.
fn filters(request: &wire::ListWaitlistRequest) -> (&str, &str, &str, &str, &str, &[i32]) {
    (
        &request.venue_id,
        &request.date,
        &request.start_time,
        &request.customer_id,
        &request.conversation_id,
        &request.statuses,
    )
}
