use chrono::{DateTime, Utc};
use conversation_service::settings::SchedulingSettings;
use prost_types::Struct;
use sqlx::AssertSqlSafe;
use teppan_shared::wire::Timestamp;
use teppan_shared::{
    contract::conversation::v1::{
        CancelFollowUpRequest, Channel, FollowUp, FollowUpKey, FollowUpPurpose, FollowUpStatus, FollowUpTrigger,
        ScheduleFollowUpOutcome, ScheduleFollowUpRequest, ScheduleFollowUpResponse,
    },
    keys::Keys,
    wire::timestamp,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use uuid::Uuid;

/// A timestamp of the wire format.
pub(crate) fn at(text: &str) -> Timestamp {
    timestamp(text.parse::<DateTime<Utc>>().expect("a time"))
}

/// A request for a follow-up of a new booking, which is due so late that no test sends it.
pub(crate) fn request(conversation_id: &str) -> ScheduleFollowUpRequest {
    ScheduleFollowUpRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        conversation_id: conversation_id.to_owned(),
        trigger: FollowUpTrigger::PostEvent.into(),
        subject: format!("booking:{}", Uuid::now_v7()),
        due_at: Some(at("2030-01-15T12:00:00Z")),
        ..Default::default()
    }
}

/// A request for the same follow-up with another idempotency key.
pub(crate) fn again(request: &ScheduleFollowUpRequest) -> ScheduleFollowUpRequest {
    ScheduleFollowUpRequest { idempotency_key: Uuid::now_v7().to_string(), ..request.clone() }
}

/// A request that moves the follow-up to another time, with another idempotency key.
pub(crate) fn moving(request: &ScheduleFollowUpRequest, due_at: &str) -> ScheduleFollowUpRequest {
    ScheduleFollowUpRequest { move_existing: true, due_at: Some(at(due_at)), ..again(request) }
}

pub(crate) fn key(request: &ScheduleFollowUpRequest) -> FollowUpKey {
    FollowUpKey {
        conversation_id: request.conversation_id.clone(),
        trigger: request.trigger,
        subject: request.subject.clone(),
    }
}

pub(crate) async fn schedule(service: &Conversation, request: ScheduleFollowUpRequest) -> ScheduleFollowUpResponse {
    service.follow_ups.clone().schedule_follow_up(request).await.expect("scheduled").into_inner()
}

/// Schedules a follow-up and returns it.
pub(super) async fn scheduled(service: &Conversation, request: ScheduleFollowUpRequest) -> FollowUp {
    schedule(service, request).await.follow_up.expect("the follow-up")
}

/// Claims a follow-up directly in the database, for this many seconds.
pub(super) async fn claim(service: &Conversation, id: &str, seconds: i32) {
    let claim = format!(
        "UPDATE follow_ups SET status = 'CLAIMED', ready_at = now(), attempts = attempts + 1,
             claim_token = gen_random_uuid(), claim_key = 'k', claimant = 'c',
             lease_expires_at = now() + interval '{seconds} s' WHERE follow_up_id = '{id}'"
    );
    harness::execute(&service.url, AssertSqlSafe(claim)).await;
}

/// Finishes a follow-up directly in the database.
pub(super) async fn finish(service: &Conversation, id: &str, status: &str, ago: &str) {
    let finish = format!(
        "UPDATE follow_ups SET status = '{status}',
             cancellation_reason = CASE '{status}' WHEN 'CANCELLED' THEN 'REQUESTED' END, next_attempt_at = NULL, lease_expires_at = NULL,
             finished_at = now() - interval '{ago}' WHERE follow_up_id = '{id}'"
    );
    harness::execute(&service.url, AssertSqlSafe(finish)).await;
}

/// All rows that scheduling writes, each with the transaction that wrote it, as one text.
pub(super) async fn written(service: &Conversation) -> String {
    let rows = "
        SELECT COALESCE(string_agg(row, ' ' ORDER BY row), '') FROM (
            SELECT xmin || f::text FROM follow_ups f
            UNION ALL SELECT xmin || k::text FROM idempotency_keys k
            UNION ALL SELECT xmin || o::text FROM outbox_messages o
        ) AS rows (row)";
    service.scalar(rows).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_is_made_with_everything_that_was_requested() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let metadata = Struct { fields: [("table".to_owned(), "7".to_owned().into())].into() };
    let request = ScheduleFollowUpRequest {
        trigger: FollowUpTrigger::Custom.into(),
        time_zone: "Europe/Berlin".to_owned(),
        channel: Channel::Sms.into(),
        content: "How was the tasting, Mina?".to_owned(),
        metadata: Some(metadata.clone()),
        user_id: "mina".to_owned(),
        customer_id: Uuid::now_v7().to_string(),
        purpose: FollowUpPurpose::Marketing.into(),
        ..request(&chat)
    };
    let reply = schedule(&service, request.clone()).await;
    assert_eq!((reply.outcome(), reply.replayed), (ScheduleFollowUpOutcome::Created, false));
    let made = reply.follow_up.expect("the follow-up");
    let expected = FollowUp {
        follow_up_id: made.follow_up_id.clone(),
        conversation_id: chat,
        trigger: FollowUpTrigger::Custom.into(),
        subject: request.subject.clone(),
        status: FollowUpStatus::Pending.into(),
        due_at: request.due_at,
        time_zone: "Europe/Berlin".to_owned(),
        channel: Channel::Sms.into(),
        content: "How was the tasting, Mina?".to_owned(),
        metadata: Some(metadata),
        max_attempts: 5,
        next_attempt_at: request.due_at,
        created_at: made.created_at,
        updated_at: made.created_at,
        customer_id: request.customer_id.clone(),
        purpose: FollowUpPurpose::Marketing.into(),
        ..Default::default()
    };
    assert_eq!(made, expected);
    let row: String = service.scalar("SELECT f::text FROM follow_ups f").await;
    for text in ["tasting", "mina"] {
        assert!(!row.contains(text) && !row.contains(&hex(text)), "it is sealed: {row}");
    }
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_schedule_call_returns_the_result_of_the_first() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let chat = fixtures::conversation_id();
    let created = request(&chat);
    let existing = again(&created);
    let moved = moving(&created, "2030-01-20T12:00:00Z");
    for (request, outcome) in [
        (&created, ScheduleFollowUpOutcome::Created),
        (&existing, ScheduleFollowUpOutcome::Existing),
        (&moved, ScheduleFollowUpOutcome::Moved),
    ] {
        let done = schedule(&first, request.clone()).await;
        let before = written(&first).await;
        let replay = schedule(&second, request.clone()).await;
        assert_eq!((done.outcome(), done.replayed), (outcome, false));
        assert_eq!((replay.outcome(), replay.replayed), (outcome, true));
        assert_eq!(done.follow_up, replay.follow_up);
        assert_eq!(written(&first).await, before, "a replay writes nothing");
    }
    // The replay has the outcome of the first call and the current state of the follow-up.
    let replay = schedule(&first, created).await;
    assert_eq!((replay.outcome(), replay.replayed), (ScheduleFollowUpOutcome::Created, true));
    assert_eq!(replay.follow_up.expect("the follow-up").due_at, moved.due_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduling_again_leaves_an_unfinished_follow_up_unchanged() {
    let service = Conversation::start().await.ready().await;
    let request = request(&fixtures::conversation_id());
    let made = scheduled(&service, request.clone()).await;
    let other = ScheduleFollowUpRequest {
        due_at: Some(at("2031-01-15T12:00:00Z")),
        content: "Something else".to_owned(),
        ..again(&request)
    };
    let existing = schedule(&service, other.clone()).await;
    assert_eq!(existing.outcome(), ScheduleFollowUpOutcome::Existing);
    assert_eq!(existing.follow_up.as_ref(), Some(&made));
    finish(&service, &made.follow_up_id, "MISSED", "0 s").await;
    let next = schedule(&service, again(&other)).await;
    assert_eq!(next.outcome(), ScheduleFollowUpOutcome::Created);
    assert_ne!(next.follow_up.expect("the follow-up").follow_up_id, made.follow_up_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_follow_up_starts_again_at_the_new_time_with_its_old_ids() {
    let service = Conversation::start().await.ready().await;
    let original = ScheduleFollowUpRequest {
        content: "The old text".to_owned(),
        channel: Channel::Email.into(),
        ..request(&fixtures::conversation_id())
    };
    let made = scheduled(&service, original.clone()).await;
    let ids = "SELECT follow_up_id || ' ' || message_id FROM follow_ups";
    let before: String = service.scalar(ids).await;
    // A follow-up whose lease has expired can be moved.
    claim(&service, &made.follow_up_id, -5).await;
    for (content, metadata) in [("", None), ("The new text", Some(Struct::default())), ("", None)] {
        let move_to = ScheduleFollowUpRequest {
            content: content.to_owned(),
            metadata,
            channel: Channel::Unspecified.into(),
            time_zone: "Asia/Tokyo".to_owned(),
            ..moving(&original, "2030-02-01T03:00:00Z")
        };
        let moved = schedule(&service, move_to.clone()).await;
        assert_eq!(moved.outcome(), ScheduleFollowUpOutcome::Moved);
        let moved = moved.follow_up.expect("the follow-up");
        let expected = FollowUp {
            due_at: move_to.due_at,
            next_attempt_at: move_to.due_at,
            time_zone: "Asia/Tokyo".to_owned(),
            content: content.to_owned(),
            metadata: move_to.metadata,
            updated_at: moved.updated_at,
            ..made.clone()
        };
        assert_eq!(moved, expected, "pending, with no attempt used");
        assert_eq!(service.scalar::<String>(ids).await, before);
        let unclaimed = "SELECT ready_at IS NULL AND claim_token IS NULL AND claim_key IS NULL FROM follow_ups";
        assert!(service.scalar::<bool>(unclaimed).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn move_existing_creates_the_follow_up_if_there_is_none() {
    let service = Conversation::start().await.ready().await;
    let request = ScheduleFollowUpRequest { move_existing: true, ..request(&fixtures::conversation_id()) };
    assert_eq!(schedule(&service, request).await.outcome(), ScheduleFollowUpOutcome::Created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_is_due_in_sending_hours_and_a_day_after_its_event() {
    let service = Conversation::start().await.ready().await;
    for (zone, due_at, event_ends_at, expected) in [
        ("", "2030-01-15T08:59:59Z", "", "2030-01-15T09:00:00Z"),
        ("", "2030-01-15T21:00:00Z", "", "2030-01-16T09:00:00Z"),
        ("Europe/Berlin", "", "2030-01-15T17:00:00Z", "2030-01-16T17:00:00Z"),
        ("Europe/Berlin", "", "2030-01-15T22:00:00Z", "2030-01-17T08:00:00Z"),
        // Clocks go forward on 31 March: 24 hours later it is 21:00 in Berlin, which is too late.
        ("Europe/Berlin", "", "2030-03-30T19:00:00Z", "2030-04-01T07:00:00Z"),
        ("America/New_York", "", "2030-11-02T16:00:00Z", "2030-11-03T16:00:00Z"),
        ("Australia/Lord_Howe", "2030-10-05T16:00:00Z", "", "2030-10-05T22:00:00Z"),
        ("Europe/Berlin", "2030-01-15T12:00:00.123456789Z", "2030-01-20T12:00:00Z", "2030-01-15T12:00:00.123456Z"),
    ] {
        let given = |text: &str| (!text.is_empty()).then(|| at(text));
        let request = ScheduleFollowUpRequest {
            due_at: given(due_at),
            event_ends_at: given(event_ends_at),
            time_zone: zone.to_owned(),
            ..request(&fixtures::conversation_id())
        };
        let made = scheduled(&service, request.clone()).await;
        assert_eq!(made.due_at, Some(at(expected)), "{zone} {due_at}{event_ends_at}");
        assert!(schedule(&service, request).await.replayed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_hours_delay_and_attempts_can_be_configured() {
    let (url, keys) = (harness::database(&conversation_service::app::DEFINITION).await, Keys::random());
    let common = harness::settings(url.clone(), &keys);
    let service = Conversation::changed(common, url, keys, |settings| {
        settings.scheduling = SchedulingSettings {
            sending_hours: "10:30-11:00".parse().expect("hours"),
            after_event: chrono::TimeDelta::hours(2),
            attempts_max: 3,
            ..settings.scheduling.clone()
        };
    });
    let service = service.await.ready().await;
    let after = ScheduleFollowUpRequest {
        due_at: None,
        event_ends_at: Some(at("2030-01-15T08:00:00Z")),
        ..request(&fixtures::conversation_id())
    };
    let made = scheduled(&service, after).await;
    assert_eq!((made.due_at, made.max_attempts), (Some(at("2030-01-15T10:30:00Z")), 3));
}

/// A cancellation by conversation, trigger and subject.
pub(super) fn cancel_by_key(request: &ScheduleFollowUpRequest) -> CancelFollowUpRequest {
    CancelFollowUpRequest { idempotency_key: Uuid::now_v7().to_string(), key: Some(key(request)), ..Default::default() }
}
