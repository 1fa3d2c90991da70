use chrono::{DateTime, SubsecRound as _, Utc};
use strum::VariantArray as _;
use teppan_shared::wire::Timestamp;
use teppan_shared::{
    contract::conversation::v1 as wire,
    page::{self, TokenError},
    status::Violations,
    wire::given,
};
use tonic::Status;
use uuid::Uuid;

use super::{
    decode::{self, PAGE_SIZES},
    encode,
    enums::WireEnum as _,
};
use crate::{
    domain::ConversationId,
    follow_ups::{
        FollowUpCursor, FollowUpFilter, FollowUpId, FollowUpOrder, FollowUpPage, FollowUpStatus, FollowUpTrigger,
        Subject,
    },
};

/// The years that both PostgreSQL and protobuf can represent.
const YEARS_MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// A decoded request for a page of follow-ups.
pub struct PageRequest {
    pub filter: FollowUpFilter,
    pub order: FollowUpOrder,
    pub after: Option<FollowUpCursor>,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// The filters that a page token is bound to: conversation, trigger, subject, statuses, bounds in microseconds, order.
type TokenFilter = (String, i32, String, Vec<String>, Option<i64>, Option<i64>, bool);

/// Reads the request, or reports everything that is wrong with it.
pub fn decode(request: wire::ListFollowUpsRequest) -> Result<PageRequest, Status> {
    decode::request(|violations| {
        let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
        let raw_conversation_id = request.conversation_id.clone();
        let raw_subject = request.subject.clone();
        let conversation_id = given(request.conversation_id).map(ConversationId::parse);
        let conversation_id = violations.check_optional("conversation_id", conversation_id);
        let trigger = violations.check("trigger", FollowUpTrigger::optional(request.trigger));
        let subject = violations.check_optional("subject", given(request.subject).map(Subject::parse_any));
        let statuses = decode_statuses(&request.statuses, violations);
        let due_from = violations.check_optional("due_from", request.due_from.map(decode_bound));
        let due_before = violations.check_optional("due_before", request.due_before.map(decode_bound));
        let order = violations.check("order", FollowUpOrder::optional(request.order));
        let order = order.map(Option::unwrap_or_default);
        let micros = |bound: Option<Option<DateTime<Utc>>>| bound.flatten().map(|time| time.timestamp_micros());
        let columns = statuses.iter().flatten().map(|status| status.as_ref().to_owned()).collect();
        let token_filter: TokenFilter = (
            raw_conversation_id,
            request.trigger,
            raw_subject,
            columns,
            micros(due_from),
            micros(due_before),
            order == Some(FollowUpOrder::LatestFirst),
        );
        let after = violations.check("page_token", decode_token(&token_filter, &request.page_token));
        Some(PageRequest {
            filter: FollowUpFilter {
                conversation_id: conversation_id?,
                trigger: trigger?,
                subject: subject?,
                statuses: statuses?,
                due_from: due_from?,
                due_before: due_before?,
            },
            order: order?,
            after: after?,
            page_size: page_size?,
            token_filter,
        })
    })
}

/// The requested statuses, each once, in a fixed order; all of them when the list is empty.
fn decode_statuses(raw: &[i32], violations: &mut Violations) -> Option<Vec<FollowUpStatus>> {
    // A longer list must contain duplicates; report one violation.
    if raw.len() > FollowUpStatus::VARIANTS.len() {
        violations.add("statuses", "must have at most 6 entries");
        return None;
    }
    let named = decode::entries("statuses", raw, |raw| FollowUpStatus::optional(*raw), violations)?;
    let any = named.is_empty() || named.contains(&None);
    let requested = |status: &&FollowUpStatus| any || named.contains(&Some(**status));
    Some(FollowUpStatus::VARIANTS.iter().filter(requested).copied().collect())
}

/// Truncated to microseconds like the stored times, so that the due time of an answer works as a bound.
fn decode_bound(raw: Timestamp) -> Result<DateTime<Utc>, &'static str> {
    decode::time(raw).map(|time| time.trunc_subsecs(6))
}

pub fn encode(requested: &PageRequest, page: FollowUpPage) -> wire::ListFollowUpsResponse {
    let next_page_token = page.next.as_ref().map_or_else(String::new, |cursor| token(requested, cursor));
    let follow_ups = page.follow_ups.into_iter().map(encode::follow_up).collect();
    wire::ListFollowUpsResponse { follow_ups, next_page_token }
}

/// The token of the page after this follow-up.
pub fn token(requested: &PageRequest, cursor: &FollowUpCursor) -> String {
    encode_token(&requested.token_filter, cursor)
}

fn encode_token(filter: &TokenFilter, cursor: &FollowUpCursor) -> String {
    page::encode_token(filter, &(cursor.due_at.timestamp_micros(), cursor.follow_up_id.0))
}

fn decode_token(filter: &TokenFilter, token: &str) -> Result<Option<FollowUpCursor>, TokenError> {
    let Some((due_at, id)) = page::decode_token::<(i64, Uuid)>(filter, token)? else { return Ok(None) };
    // A forged token must not contain values that the database cannot represent.
    let due_at = Some(due_at).filter(|micros| YEARS_MICROS.contains(micros));
    let due_at = due_at.and_then(DateTime::from_timestamp_micros).ok_or(TokenError::Unreadable)?;
    Ok(Some(FollowUpCursor { due_at, follow_up_id: FollowUpId(id) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_is_refused() {
        let filter = TokenFilter::default();
        let id = Uuid::now_v7();
        let decode = |micros: i64| decode_token(&filter, &page::encode_token(&filter, &(micros, id)));
        let cursor = decode(1_700_000_000_123_456).expect("readable").expect("there");
        assert_eq!(decode_token(&filter, &encode_token(&filter, &cursor)), Ok(Some(cursor)));
        for bad in [i64::MIN, i64::MAX, *YEARS_MICROS.end() + 1] {
            assert_eq!(decode(bad), Err(TokenError::Unreadable), "{bad}");
        }
        let no_id = page::encode_token(&filter, &(0, "x"));
        assert_eq!(decode_token(&filter, &no_id), Err(TokenError::Unreadable));
    }

    #[test]
    fn duplicate_statuses_count_once_and_an_empty_list_means_all() {
        let statuses = |raw: &[i32]| decode_statuses(raw, &mut Violations::default());
        assert_eq!(statuses(&[]), Some(FollowUpStatus::VARIANTS.to_vec()));
        assert_eq!(statuses(&[2, 0]), Some(FollowUpStatus::VARIANTS.to_vec()));
        assert_eq!(statuses(&[4, 1, 4]), Some(vec![FollowUpStatus::Pending, FollowUpStatus::Cancelled]));
        assert_eq!(statuses(&[1, 7]), None);
        assert_eq!(statuses(&[1; 7]), None);
    }
}
