//! OutboxService of both services. The messages of the two packages differ only in the name of the aggregate's field,
//! but they are different types.

use chrono::Datelike as _;
use tonic::Status;
use uuid::Uuid;

use super::{DeadLetterCursor, DeadLetterFilter, DeadLetterPage, DeadLetterSelection};
use crate::{
    page::{self, PageSizes, TokenError},
    status::Violations,
    wire::given,
};

/// Destinations are `OUTBOX_DESTINATION_EVENT_STREAM` on the wire and `event-stream` elsewhere.
const DESTINATION_PREFIX: &str = "OUTBOX_DESTINATION_";

const PAGE_SIZES: PageSizes = PageSizes { default: 50, max: 1000 };
/// The most ids of dead letters in one request.
const IDS_MAX: usize = 1000;

pub const EVENT_TYPE_MUST: &str = "must be a type of event such as teppan.booking.created.v1";
const EVENT_TYPE_BYTES_MAX: usize = 100;

/// Whether the text has the form of an event type.
pub fn is_event_type(raw: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
    (1..=EVENT_TYPE_BYTES_MAX).contains(&raw.len()) && raw.bytes().all(known)
}

/// The filters of a request, not yet validated.
pub struct RawFilter {
    /// The name of the enum's value; `None` for an unknown number.
    pub destination: Option<&'static str>,
    pub event_type: String,
    pub aggregate_id: String,
    /// The name of the aggregate's field.
    pub aggregate_field: &'static str,
    pub parse_aggregate_id: fn(String) -> Result<String, &'static str>,
}

impl RawFilter {
    fn is_empty(&self) -> bool {
        self.destination.is_some_and(|name| destination(name).is_none())
            && self.event_type.is_empty()
            && self.aggregate_id.is_empty()
    }

    fn parse(self, path: &str, violations: &mut Violations) -> Option<DeadLetterFilter> {
        let destination = self.destination.ok_or("must be an OutboxDestination").map(destination);
        let destination = violations.check(format_args!("{path}destination"), destination);
        let checked = |kind: String| if is_event_type(&kind) { Ok(kind) } else { Err(EVENT_TYPE_MUST) };
        let event_type = violations.check_optional(&format!("{path}event_type"), given(self.event_type).map(checked));
        let field = format!("{path}{}", self.aggregate_field);
        let aggregate_id = violations.check_optional(&field, given(self.aggregate_id).map(self.parse_aggregate_id));
        Some(DeadLetterFilter { destination: destination?, event_type: event_type?, aggregate_id: aggregate_id? })
    }
}

/// The destination of an enum's value, `None` when it is unspecified.
fn destination(value: &str) -> Option<String> {
    let name = value.trim_start_matches(DESTINATION_PREFIX);
    (name != "UNSPECIFIED").then(|| name.to_ascii_lowercase().replace('_', "-"))
}

/// The name of the enum's value for a destination.
pub fn destination_value(destination: &str) -> String {
    format!("{DESTINATION_PREFIX}{}", destination.to_ascii_uppercase().replace('-', "_"))
}

/// A request for a page of dead letters.
pub struct Page {
    pub filter: DeadLetterFilter,
    pub after: Option<DeadLetterCursor>,
    pub size: u16,
}

impl Page {
    /// Parses the request.
    ///
    /// # Errors
    /// All violations of the request.
    pub fn decode(page_size: i32, page_token: &str, filter: RawFilter) -> Result<Self, Status> {
        let mut violations = Violations::default();
        let size = violations.check("page_size", PAGE_SIZES.parse(page_size));
        let filter = filter.parse("", &mut violations);
        let after = filter.as_ref().and_then(|filter| violations.check("page_token", decode_token(filter, page_token)));
        let (Some(size), Some(filter), Some(after)) = (size, filter, after) else {
            return Err(violations.into_status());
        };
        violations.finish()?;
        Ok(Self { filter, after, size })
    }

    pub fn next_token(&self, found: &DeadLetterPage) -> String {
        found.next.as_ref().map(|cursor| page::encode_token(&filters(&self.filter), cursor)).unwrap_or_default()
    }
}

/// The filters that a page token is bound to.
fn filters(filter: &DeadLetterFilter) -> [Option<&str>; 3] {
    [&filter.destination, &filter.event_type, &filter.aggregate_id].map(Option::as_deref)
}

/// Parses the selection of a request. `filters` lists the names of the filters, for the error when the request has
/// neither ids nor `all`.
///
/// # Errors
/// All violations of the selection.
pub fn decode_selection(
    ids: &[String],
    all: bool,
    filter: RawFilter,
    filters: &str,
) -> Result<DeadLetterSelection, Status> {
    let mut violations = Violations::default();
    let ids = decode_ids(ids, all, !filter.is_empty(), filters, &mut violations);
    let filter = filter.parse("selection.", &mut violations);
    violations.finish()?;
    Ok(match filter {
        Some(filter) if all => DeadLetterSelection::All(filter),
        _ => DeadLetterSelection::Ids(ids),
    })
}

fn decode_ids(raw: &[String], all: bool, is_filtered: bool, filters: &str, violations: &mut Violations) -> Vec<Uuid> {
    const IDS: &str = "selection.dead_letter_ids";
    match (raw.is_empty(), all) {
        (true, false) => {
            violations.add(IDS, "must name dead letters, unless selection.all is true");
            let all = format!("must be true to take every dead letter that matches {filters}");
            violations.add("selection.all", all);
        }
        (false, true) => violations.add(IDS, "must be empty when all is true"),
        (false, false) if is_filtered => {
            violations.add(IDS, "must be empty when there are filters, which need selection.all");
        }
        _ => {}
    }
    if raw.len() > IDS_MAX {
        violations.add(IDS, format!("must be at most {IDS_MAX}"));
    }
    let mut ids = Vec::with_capacity(raw.len().min(IDS_MAX));
    for (index, id) in raw.iter().enumerate().take(IDS_MAX) {
        ids.extend(violations.check(format_args!("{IDS}[{index}]"), Uuid::try_parse(id).map_err(|_| "must be a UUID")));
    }
    ids
}

fn decode_token(filter: &DeadLetterFilter, token: &str) -> Result<Option<DeadLetterCursor>, TokenError> {
    let Some(cursor) = page::decode_token::<DeadLetterCursor>(&filters(filter), token)? else { return Ok(None) };
    // A forged token can hold a time that PostgreSQL cannot represent.
    if (1970..10_000).contains(&cursor.0.year()) { Ok(Some(cursor)) } else { Err(TokenError::Unreadable) }
}

/// Implements OutboxService of a package for a type. `operations` is the expression for its [`Operations`]; `aggregate`
/// is the field of the booking or the conversation, with the function that parses it.
///
/// [`Operations`]: super::Operations
#[macro_export]
macro_rules! outbox_service {
    ($package:ident for $grpc:ty, operations: |$this:ident| $operations:expr, aggregate: $aggregate:ident by $parse:expr) => {
        const _: () = {
            use ::tonic::{Request, Response, Status};
            use $crate::{
                contract::$package::v1,
                outbox::{
                    DeadLetter, DeadLetterSelection, DestinationStatus, Operations as _, Settlement,
                    grpc::{Page, RawFilter, decode_selection, destination_value},
                },
                wire::timestamp,
            };

            #[::tonic::async_trait]
            impl v1::outbox_service_server::OutboxService for $grpc {
                async fn get_outbox_status(
                    &self,
                    _: Request<v1::GetOutboxStatusRequest>,
                ) -> Result<Response<v1::GetOutboxStatusResponse>, Status> {
                    let $this = self;
                    let found = $operations.read_status().await.map_err(|error| error.to_failure())?;
                    let destinations = found.into_iter().map(status).collect();
                    Ok(Response::new(v1::GetOutboxStatusResponse { destinations }))
                }

                async fn list_dead_letters(
                    &self,
                    request: Request<v1::ListDeadLettersRequest>,
                ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
                    let $this = self;
                    let request = request.into_inner();
                    let filter = raw_filter(request.destination, request.event_type, request.$aggregate);
                    let page = Page::decode(request.page_size, &request.page_token, filter)?;
                    let found = $operations.list_dead_letters(&page.filter, page.after, page.size).await;
                    let found = found.map_err(|error| error.to_failure())?;
                    let next_page_token = page.next_token(&found);
                    let dead_letters = found.dead_letters.into_iter().map(dead_letter).collect();
                    Ok(Response::new(v1::ListDeadLettersResponse { dead_letters, next_page_token }))
                }

                async fn retry_dead_letters(
                    &self,
                    request: Request<v1::RetryDeadLettersRequest>,
                ) -> Result<Response<v1::RetryDeadLettersResponse>, Status> {
                    let $this = self;
                    let selection = selection(request.into_inner().selection)?;
                    let done = $operations.settle_dead_letters(Settlement::Retry, &selection).await;
                    let done = done.map_err(|error| error.to_failure())?;
                    let (retried, remaining) = (done.settled, done.remaining);
                    Ok(Response::new(v1::RetryDeadLettersResponse { retried, remaining }))
                }

                async fn discard_dead_letters(
                    &self,
                    request: Request<v1::DiscardDeadLettersRequest>,
                ) -> Result<Response<v1::DiscardDeadLettersResponse>, Status> {
                    let $this = self;
                    let selection = selection(request.into_inner().selection)?;
                    let done = $operations.settle_dead_letters(Settlement::Discard, &selection).await;
                    let done = done.map_err(|error| error.to_failure())?;
                    let (discarded, remaining) = (done.settled, done.remaining);
                    Ok(Response::new(v1::DiscardDeadLettersResponse { discarded, remaining }))
                }
            }

            fn raw_filter(destination: i32, event_type: String, aggregate_id: String) -> RawFilter {
                RawFilter {
                    destination: v1::OutboxDestination::try_from(destination).ok().map(|it| it.as_str_name()),
                    event_type,
                    aggregate_id,
                    aggregate_field: stringify!($aggregate),
                    parse_aggregate_id: $parse,
                }
            }

            fn selection(selection: Option<v1::DeadLetterSelection>) -> Result<DeadLetterSelection, Status> {
                const FILTERS: &str = concat!("destination, event_type and ", stringify!($aggregate));
                let selection = selection.unwrap_or_default();
                let filter = raw_filter(selection.destination, selection.event_type, selection.$aggregate);
                decode_selection(&selection.dead_letter_ids, selection.all, filter, FILTERS)
            }

            fn status(status: DestinationStatus) -> v1::OutboxDestinationStatus {
                v1::OutboxDestinationStatus {
                    destination: destination(&status.destination),
                    pending_count: status.pending,
                    leased_count: status.leased,
                    dead_letter_count: status.dead,
                    oldest_pending_at: status.oldest_at.map(timestamp),
                    lag_seconds: status.lag_seconds,
                    last_delivered_at: status.last_delivered_at.map(timestamp),
                }
            }

            fn dead_letter(dead: DeadLetter) -> v1::DeadLetter {
                v1::DeadLetter {
                    dead_letter_id: dead.id.to_string(),
                    event_id: dead.event_id,
                    event_type: dead.event_type,
                    destination: destination(&dead.destination),
                    $aggregate: dead.aggregate_id,
                    attempts: dead.attempts,
                    last_error_reason: dead.last_error_reason,
                    created_at: Some(timestamp(dead.created_at)),
                    dead_at: Some(timestamp(dead.dead_at)),
                    traceparent: dead.traceparent.unwrap_or_default(),
                }
            }

            fn destination(name: &str) -> i32 {
                v1::OutboxDestination::from_str_name(&destination_value(name)).map_or(0, Into::into)
            }
        };
    };
}
