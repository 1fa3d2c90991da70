use prost_types::Struct;
use sqlx::AssertSqlSafe;
use teppan_shared::contract::conversation::v1::{
    CancelFollowUpRequest, Channel, FollowUpKey, FollowUpTrigger, ListFollowUpsRequest, Reminders,
    ScheduleFollowUpRequest,
};
use teppan_shared::wire::Timestamp;
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::scheduling::{at, cancel_by_key, claim, finish, moving, request, schedule, scheduled, written};

type Change = fn(&mut ScheduleFollowUpRequest);

fn kind(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().expect("an ErrorInfo").reason)
}

fn fields(status: &Status) -> Vec<String> {
    assert_eq!(kind(status), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
    let details = status.get_details_bad_request().expect("a BadRequest");
    details.field_violations.into_iter().map(|violation| violation.field).collect()
}

async fn refused(service: &Conversation, request: ScheduleFollowUpRequest) -> Status {
    service.follow_ups.clone().schedule_follow_up(request).await.expect_err("refused")
}

async fn cancel_refused(service: &Conversation, request: CancelFollowUpRequest) -> Status {
    service.follow_ups.clone().cancel_follow_up(request).await.expect_err("refused")
}

async fn list_refused(service: &Conversation, request: ListFollowUpsRequest) -> Status {
    service.follow_ups.clone().list_follow_ups(request).await.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_follow_up_request_is_reported_at_once() {
    let service = Conversation::start().await.ready().await;
    let beyond = Timestamp { seconds: i64::MAX, nanos: 0 };
    let large = Struct { fields: [("x".to_owned(), "x".repeat(17_000).into())].into() };
    let wrong = ScheduleFollowUpRequest {
        idempotency_key: "ä".to_owned(),
        conversation_id: "a b".to_owned(),
        trigger: 99,
        subject: "s".repeat(41),
        due_at: Some(beyond),
        event_ends_at: Some(beyond),
        time_zone: "Berlin".to_owned(),
        channel: 99,
        content: "c".repeat(32_769),
        metadata: Some(large),
        user_id: "u".repeat(101),
        move_existing: true,
        customer_id: "7".to_owned(),
        purpose: 99,
        reminders: Some(Reminders::default()),
    };
    let status = refused(&service, wrong).await;
    assert_eq!(
        fields(&status),
        [
            "idempotency_key",
            "conversation_id",
            "trigger",
            "subject",
            "reminders.event_starts_at",
            "reminders.revision",
            "due_at",
            "event_ends_at",
            "time_zone",
            "channel",
            "content",
            "metadata",
            "user_id",
            "customer_id",
            "purpose"
        ]
    );
    let empty = refused(&service, ScheduleFollowUpRequest::default()).await;
    assert_eq!(fields(&empty), ["idempotency_key", "conversation_id", "trigger", "due_at"]);

    let both = CancelFollowUpRequest {
        idempotency_key: "ä".to_owned(),
        follow_up_id: Uuid::now_v7().to_string(),
        key: Some(FollowUpKey::default()),
    };
    let status = cancel_refused(&service, both).await;
    assert_eq!(fields(&status), ["idempotency_key", "key.conversation_id", "key.trigger"]);

    let list = ListFollowUpsRequest {
        page_size: -1,
        page_token: "nonsense".to_owned(),
        conversation_id: "a b".to_owned(),
        trigger: 99,
        subject: "s".repeat(41),
        statuses: vec![1, 99, 2, 98],
        due_from: Some(beyond),
        due_before: Some(beyond),
        order: 99,
    };
    let mut listed = fields(&list_refused(&service, list).await);
    listed.sort();
    let expected = [
        "conversation_id",
        "due_before",
        "due_from",
        "order",
        "page_size",
        "page_token",
        "statuses[1]",
        "statuses[3]",
        "subject",
        "trigger",
    ];
    assert_eq!(listed, expected);
    assert_eq!(written(&service).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_required_fields_depend_on_the_trigger() {
    let service = Conversation::start().await.ready().await;
    let event_ends_at = Some(at("2030-01-15T12:00:00Z"));
    for trigger in [FollowUpTrigger::Reengagement, FollowUpTrigger::EmotionBased] {
        let without = ScheduleFollowUpRequest {
            trigger: trigger.into(),
            due_at: None,
            event_ends_at,
            ..request(&fixtures::conversation_id())
        };
        assert_eq!(fields(&refused(&service, without.clone()).await), ["due_at"]);
        let both_wrong = ScheduleFollowUpRequest { event_ends_at: Some(at("9998-01-01T00:00:00Z")), ..without };
        assert_eq!(fields(&refused(&service, both_wrong).await), ["due_at", "event_ends_at"]);
    }
    let custom =
        ScheduleFollowUpRequest { trigger: FollowUpTrigger::Custom.into(), ..request(&fixtures::conversation_id()) };
    assert_eq!(fields(&refused(&service, custom).await), ["content"]);
    for time in ["9998-01-01T00:00:00Z", "9999-12-31T22:00:00Z"] {
        let late = ScheduleFollowUpRequest { due_at: Some(at(time)), ..request(&fixtures::conversation_id()) };
        assert_eq!(fields(&refused(&service, late).await), ["due_at"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_names_one_follow_up_by_id_or_by_key() {
    let service = Conversation::start().await.ready().await;
    let neither = CancelFollowUpRequest::default();
    assert_eq!(fields(&cancel_refused(&service, neither).await), ["follow_up_id"]);
    let both = CancelFollowUpRequest {
        follow_up_id: Uuid::now_v7().to_string(),
        ..cancel_by_key(&request(&fixtures::conversation_id()))
    };
    assert_eq!(fields(&cancel_refused(&service, both).await), ["follow_up_id"]);
    let wrong = CancelFollowUpRequest { follow_up_id: "7".to_owned(), ..Default::default() };
    assert_eq!(fields(&cancel_refused(&service, wrong).await), ["follow_up_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_any_other_request_is_refused() {
    let service = Conversation::start().await.ready().await;
    let original = ScheduleFollowUpRequest {
        content: "Hello".to_owned(),
        user_id: "mina".to_owned(),
        ..request(&fixtures::conversation_id())
    };
    schedule(&service, original.clone()).await;
    let before = written(&service).await;
    let changes: [(&str, Change); 11] = [
        ("conversation", |r| r.conversation_id.push('x')),
        ("trigger", |r| r.trigger = FollowUpTrigger::EmotionBased.into()),
        ("subject", |r| r.subject.clear()),
        ("due", |r| r.due_at = Some(at("2030-01-15T12:00:00.000001Z"))),
        ("event", |r| r.event_ends_at = r.due_at.take()),
        ("zone", |r| r.time_zone = "Asia/Tokyo".to_owned()),
        ("channel", |r| r.channel = Channel::Sms.into()),
        ("content", |r| r.content.clear()),
        ("metadata", |r| r.metadata = Some(Struct::default())),
        ("user", |r| r.user_id.clear()),
        ("move", |r| r.move_existing = true),
    ];
    for (what, change) in changes {
        let mut other = original.clone();
        change(&mut other);
        let status = refused(&service, other).await;
        assert_eq!(kind(&status), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED".to_owned()), "{what}");
    }
    assert_eq!(written(&service).await, before);
    // A request that names the default time zone is the same request.
    let same = ScheduleFollowUpRequest { time_zone: "UTC".to_owned(), ..original.clone() };
    assert!(schedule(&service, same).await.replayed);

    let cancel = cancel_by_key(&original);
    service.follow_ups.clone().cancel_follow_up(cancel.clone()).await.expect("cancelled");
    let other = CancelFollowUpRequest { idempotency_key: cancel.idempotency_key, ..cancel_by_key(&request("x")) };
    let status = cancel_refused(&service, other).await;
    assert_eq!(kind(&status), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_follow_up_is_not_moved() {
    let service = Conversation::start().await.ready().await;
    let original = ScheduleFollowUpRequest { content: "Hello".to_owned(), ..request(&fixtures::conversation_id()) };
    let made = scheduled(&service, original.clone()).await;
    claim(&service, &made.follow_up_id, 600).await;
    let before = written(&service).await;
    let move_to = moving(&original, "2030-02-01T12:00:00Z");
    let status = refused(&service, move_to.clone()).await;
    assert_eq!(kind(&status), (Code::FailedPrecondition, "FOLLOW_UP_CLAIMED".to_owned()));
    let violations = status.get_details_precondition_failure().expect("a PreconditionFailure").violations;
    assert_eq!(violations[0].subject, format!("teppan/follow_up/{}", made.follow_up_id));
    assert_eq!(written(&service).await, before, "nothing was written, not even the key");
    harness::execute(&service.url, "UPDATE follow_ups SET status = 'PENDING', lease_expires_at = NULL").await;
    assert!(!schedule(&service, move_to).await.replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_or_finished_follow_up_is_not_cancelled() {
    let service = Conversation::start().await.ready().await;
    let unknown = Uuid::now_v7().to_string();
    let by_id = |id: &str| CancelFollowUpRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        follow_up_id: id.to_owned(),
        key: None,
    };
    let status = cancel_refused(&service, by_id(&unknown)).await;
    assert_eq!(kind(&status), (Code::NotFound, "FOLLOW_UP_NOT_FOUND".to_owned()));
    assert_eq!(status.get_details_resource_info().expect("a ResourceInfo").resource_name, unknown);
    for end in ["COMPLETED", "FAILED", "MISSED"] {
        let made = scheduled(&service, request(&fixtures::conversation_id())).await;
        finish(&service, &made.follow_up_id, end, "0 s").await;
        let before = written(&service).await;
        let status = cancel_refused(&service, by_id(&made.follow_up_id)).await;
        assert_eq!(kind(&status), (Code::FailedPrecondition, "FOLLOW_UP_FINISHED".to_owned()));
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.metadata.get("status"), Some(&format!("FOLLOW_UP_STATUS_{end}")));
        assert_eq!(written(&service).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_schedule_call_reports_that_its_follow_up_was_deleted() {
    let service = Conversation::start().await.ready().await;
    let original = request(&fixtures::conversation_id());
    schedule(&service, original.clone()).await;
    harness::execute(&service.url, "DELETE FROM follow_ups").await;
    let status = refused(&service, original).await;
    assert_eq!(kind(&status), (Code::NotFound, "FOLLOW_UP_NOT_FOUND".to_owned()));
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM follow_ups").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_text_that_cannot_be_decrypted_is_reported_as_corrupted() {
    let service = Conversation::start().await.ready().await;
    let original = ScheduleFollowUpRequest { content: "Hello".to_owned(), ..request(&fixtures::conversation_id()) };
    schedule(&service, original.clone()).await;
    harness::execute(&service.url, "UPDATE follow_ups SET content_sealed = 'x'").await;
    let corrupted = (Code::Internal, "DATA_CORRUPTED".to_owned());
    assert_eq!(kind(&refused(&service, original).await), corrupted);
    assert_eq!(kind(&list_refused(&service, ListFollowUpsRequest::default()).await), corrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduling_and_cancelling_write_nothing_when_one_of_their_writes_fails() {
    let service = Conversation::start().await.ready().await;
    let original = request(&fixtures::conversation_id());
    schedule(&service, original.clone()).await;
    let before = written(&service).await;
    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'made to fail'; END $$";
    harness::execute(&service.url, fail).await;
    for (write, table) in [("INSERT", "follow_ups"), ("UPDATE", "follow_ups"), ("INSERT", "idempotency_keys")] {
        let create = format!("CREATE TRIGGER fail BEFORE {write} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()");
        harness::execute(&service.url, AssertSqlSafe(create)).await;
        let mut failures = Vec::new();
        if (write, table) != ("UPDATE", "follow_ups") {
            failures.push(refused(&service, request(&fixtures::conversation_id())).await);
        }
        if (write, table) != ("INSERT", "follow_ups") {
            failures.push(refused(&service, moving(&original, "2030-02-01T12:00:00Z")).await);
            failures.push(cancel_refused(&service, cancel_by_key(&original)).await);
        }
        for failure in failures {
            assert_eq!(kind(&failure), (Code::Internal, "INTERNAL".to_owned()), "{write} {table}");
            assert!(!failure.message().contains("made to fail"), "the status does not contain the database's error");
        }
        assert_eq!(written(&service).await, before, "{write} {table}");
        harness::execute(&service.url, AssertSqlSafe(format!("DROP TRIGGER fail ON {table}"))).await;
    }
    schedule(&service, moving(&original, "2030-02-01T12:00:00Z")).await;
}
