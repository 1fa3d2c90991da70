use chrono::{DateTime, SubsecRound as _, Utc};
use prost_types::Timestamp;
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
};
use crate::{
    domain::ConversationId,
    follow_ups::{FollowUpCursor, FollowUpFilter, FollowUpId, FollowUpOrder, FollowUpPage, FollowUpStatus, Subject},
};

/// The years whose times PostgreSQL and protobuf both have.
const YEARS_MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// A page of follow-ups that is asked for.
pub struct Wanted {
    pub filter: FollowUpFilter,
    pub order: FollowUpOrder,
    pub after: Option<FollowUpCursor>,
    pub page_size: u16,
    token_filter: TokenFilter,
}

/// What a page token is bound to: conversation, trigger, subject, statuses, the bounds in microseconds,
/// the order.
type TokenFilter = (String, i32, String, Vec<&'static str>, Option<i64>, Option<i64>, bool);

/// Reads the request, or lists everything that is wrong with it.
pub fn decode(request: wire::ListFollowUpsRequest) -> Result<Wanted, Status> {
    let mut violations = Violations::default();
    decode_fields(request, &mut violations).ok_or_else(|| violations.into_status())
}

/// `None` when a field is wrong, which is then among the violations.
fn decode_fields(request: wire::ListFollowUpsRequest, violations: &mut Violations) -> Option<Wanted> {
    let page_size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
    let raw_conversation_id = request.conversation_id.clone();
    let raw_subject = request.subject.clone();
    let conversation_id = given(request.conversation_id).map(ConversationId::parse);
    let conversation_id = violations.check_optional("conversation_id", conversation_id);
    let trigger = violations.check("trigger", decode::follow_up_trigger_filter(request.trigger));
    let subject = violations.check_optional("subject", given(request.subject).map(Subject::parse));
    let statuses = decode_statuses(&request.statuses, violations);
    let due_from = violations.check_optional("due_from", request.due_from.map(decode_bound));
    let due_before = violations.check_optional("due_before", request.due_before.map(decode_bound));
    let order = violations.check("order", decode_order(request.order));
    let micros = |bound: Option<Option<DateTime<Utc>>>| bound.flatten().map(|time| time.timestamp_micros());
    let columns = statuses.iter().flatten().map(|status| status.as_column()).collect();
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
    Some(Wanted {
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
}

/// The wanted states, each once, in an order of ours; all of them when none is named.
fn decode_statuses(raw: &[i32], violations: &mut Violations) -> Option<Vec<FollowUpStatus>> {
    // Of the entries of a list that is too long nothing is told: there might be very many.
    if raw.len() > FollowUpStatus::ALL.len() {
        violations.add("statuses", "must have at most 6 entries");
        return None;
    }
    let named: Vec<_> = raw
        .iter()
        .enumerate()
        .map(|(index, raw)| violations.check(format_args!("statuses[{index}]"), decode::follow_up_status_filter(*raw)))
        .collect();
    let named: Vec<_> = named.into_iter().collect::<Option<_>>()?;
    let any = named.is_empty() || named.contains(&None);
    Some(FollowUpStatus::ALL.into_iter().filter(|status| any || named.contains(&Some(*status))).collect())
}

/// To the microsecond, which is what is kept: a due time that was answered is a bound that fits it.
fn decode_bound(raw: Timestamp) -> Result<DateTime<Utc>, &'static str> {
    decode::time(raw).map(|time| time.trunc_subsecs(6))
}

fn decode_order(raw: i32) -> Result<FollowUpOrder, &'static str> {
    use wire::FollowUpOrder as Wire;

    match Wire::try_from(raw) {
        Ok(Wire::Unspecified | Wire::EarliestFirst) => Ok(FollowUpOrder::EarliestFirst),
        Ok(Wire::LatestFirst) => Ok(FollowUpOrder::LatestFirst),
        Err(_) => Err("must be FOLLOW_UP_ORDER_EARLIEST_FIRST or FOLLOW_UP_ORDER_LATEST_FIRST"),
    }
}

pub fn encode(wanted: &Wanted, page: FollowUpPage) -> wire::ListFollowUpsResponse {
    let next_page_token = page.next.as_ref().map_or_else(String::new, |cursor| token(wanted, cursor));
    let follow_ups = page.follow_ups.into_iter().map(encode::follow_up).collect();
    wire::ListFollowUpsResponse { follow_ups, next_page_token }
}

/// The token of the page behind this follow-up.
pub fn token(wanted: &Wanted, cursor: &FollowUpCursor) -> String {
    encode_token(&wanted.token_filter, cursor)
}

fn encode_token(filter: &TokenFilter, cursor: &FollowUpCursor) -> String {
    page::encode_token(filter, &(cursor.due_at.timestamp_micros(), cursor.follow_up_id.0))
}

fn decode_token(filter: &TokenFilter, token: &str) -> Result<Option<FollowUpCursor>, TokenError> {
    let Some((due_at, id)) = page::decode_token::<(i64, Uuid)>(filter, token)? else { return Ok(None) };
    // A token that somebody made up must not reach the database with what it cannot read.
    let due_at = Some(due_at).filter(|micros| YEARS_MICROS.contains(micros));
    let due_at = due_at.and_then(DateTime::from_timestamp_micros).ok_or(TokenError::Unreadable)?;
    Ok(Some(FollowUpCursor { due_at, follow_up_id: FollowUpId(id) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_somebody_made_up_is_refused() {
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
    fn statuses_are_wanted_each_once_and_all_when_none_is_named() {
        let statuses = |raw: &[i32]| decode_statuses(raw, &mut Violations::default());
        assert_eq!(statuses(&[]), Some(FollowUpStatus::ALL.to_vec()));
        assert_eq!(statuses(&[2, 0]), Some(FollowUpStatus::ALL.to_vec()));
        assert_eq!(statuses(&[4, 1, 4]), Some(vec![FollowUpStatus::Pending, FollowUpStatus::Cancelled]));
        assert_eq!(statuses(&[1, 7]), None);
        assert_eq!(statuses(&[1; 7]), None);
    }
}
