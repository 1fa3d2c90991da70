//! A follow-up is handed out only if the customer's consents allow it at that moment.

use sqlx::AssertSqlSafe;
use teppan_shared::contract::conversation::v1::{
    Channel, FollowUp, FollowUpCancellationReason, FollowUpPurpose, FollowUpStatus, FollowUpTrigger,
    ListFollowUpsRequest, RecordConsentRequest, RecordConsentResponse, ScheduleFollowUpRequest,
};
use teppan_shared::wire::timestamp;
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::fixture::*;
use crate::follow_ups::{request, schedule as schedule_by_call};

use Channel::{Email, Sms, Unspecified as Every};
use FollowUpPurpose::{Marketing, Transactional};

pub fn consent(
    customer: Uuid,
    purpose: FollowUpPurpose,
    channel: Channel,
    granted: bool,
    version: i64,
) -> RecordConsentRequest {
    RecordConsentRequest {
        customer_id: customer.to_string(),
        purpose: purpose.into(),
        channel: channel.into(),
        granted,
        customer_version: version,
    }
}

pub async fn record(service: &Conversation, request: RecordConsentRequest) -> RecordConsentResponse {
    service.follow_ups.clone().record_consent(request).await.expect("recorded").into_inner()
}

/// A follow-up of a customer that is due now.
pub fn of_customer(customer: Uuid, purpose: FollowUpPurpose, channel: Channel) -> ScheduleFollowUpRequest {
    ScheduleFollowUpRequest {
        trigger: FollowUpTrigger::Custom.into(),
        content: "Hello".to_owned(),
        due_at: Some(timestamp(chrono::Utc::now())),
        customer_id: customer.to_string(),
        purpose: purpose.into(),
        channel: channel.into(),
        ..request(&fixtures::conversation_id())
    }
}

pub async fn scheduled(service: &Conversation, request: ScheduleFollowUpRequest) -> String {
    schedule_by_call(service, request).await.follow_up.expect("the follow-up").follow_up_id
}

pub async fn read(service: &Conversation, id: &str) -> FollowUp {
    let all = ListFollowUpsRequest { page_size: 1000, ..Default::default() };
    let listed = service.follow_ups.clone().list_follow_ups(all).await.expect("listed").into_inner().follow_ups;
    listed.into_iter().find(|it| it.follow_up_id == id).expect("it is there")
}

/// Waits until the follow-up is finished, or can be claimed, and returns whether a sender gets it.
async fn is_handed_out(service: &Conversation, id: &str) -> bool {
    let decided =
        format!("SELECT ready_at IS NOT NULL OR finished_at IS NOT NULL FROM follow_ups WHERE follow_up_id = '{id}'");
    harness::eventually("the clock decides", async || {
        let mut connection = harness::connect(&service.url).await;
        sqlx::query_scalar(AssertSqlSafe(decided.clone())).fetch_one(&mut connection).await.expect("a follow-up")
    })
    .await;
    let claimed = claim(&service.follow_ups, at_once()).await.iter().any(|it| id_of(it) == id);
    let now = read(service, id).await;
    let expected = if claimed {
        (FollowUpStatus::Claimed, FollowUpCancellationReason::Unspecified)
    } else {
        (FollowUpStatus::Cancelled, FollowUpCancellationReason::ConsentMissing)
    };
    assert_eq!((now.status(), now.cancellation_reason()), expected);
    claimed
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_transactional_follow_ups_are_handed_out_and_those_for_marketing_are_not() {
    let service = start().await;
    let nobody = ScheduleFollowUpRequest { customer_id: String::new(), ..of_customer(Uuid::nil(), Marketing, Email) };
    let id = scheduled(&service, nobody.clone()).await;
    assert!(!is_handed_out(&service, &id).await, "nobody has agreed");
    let id = scheduled(&service, ScheduleFollowUpRequest { purpose: 0, ..crate::follow_ups::again(&nobody) }).await;
    assert!(is_handed_out(&service, &id).await);
    let customer = Uuid::now_v7();
    for (purpose, trigger, expected) in [
        (Transactional, FollowUpTrigger::Reengagement, true),
        (Marketing, FollowUpTrigger::PostEvent, false),
        (FollowUpPurpose::Unspecified, FollowUpTrigger::PostEvent, true),
        (FollowUpPurpose::Unspecified, FollowUpTrigger::EmotionBased, true),
        (FollowUpPurpose::Unspecified, FollowUpTrigger::Custom, true),
        (FollowUpPurpose::Unspecified, FollowUpTrigger::Reengagement, false),
    ] {
        let new = ScheduleFollowUpRequest { trigger: trigger.into(), ..of_customer(customer, purpose, Email) };
        let id = scheduled(&service, new).await;
        assert_eq!(is_handed_out(&service, &id).await, expected, "{purpose:?} {trigger:?}");
        let now = read(&service, &id).await;
        assert_eq!(now.customer_id, customer.to_string());
        assert_eq!(now.purpose() == Marketing, !expected);
    }
}

/// Channel, whether it is granted, and version.
type Consents = &'static [(Channel, bool, i64)];

#[tokio::test(flavor = "multi_thread")]
async fn of_the_consent_of_a_channel_and_the_one_of_every_channel_the_newer_one_decides() {
    let service = start().await;
    let cases: [(Consents, FollowUpPurpose, Channel, bool); 12] = [
        (&[(Every, true, 2)], Marketing, Email, true),
        (&[(Email, true, 2)], Marketing, Email, true),
        (&[(Email, true, 2)], Marketing, Sms, false),
        (&[(Every, true, 2), (Email, false, 3)], Marketing, Email, false),
        (&[(Every, true, 2), (Email, false, 3)], Marketing, Sms, true),
        (&[(Email, true, 2), (Every, false, 3)], Marketing, Email, false),
        // Delivered in the other order.
        (&[(Every, false, 3), (Email, true, 2)], Marketing, Email, false),
        (&[(Email, true, 3), (Email, false, 2)], Marketing, Email, true),
        (&[(Every, false, 2)], Transactional, Sms, false),
        (&[(Sms, false, 2)], Transactional, Sms, false),
        (&[(Sms, false, 2)], Transactional, Email, true),
        (&[(Sms, false, 2), (Every, true, 3)], Transactional, Sms, true),
    ];
    for (consents, purpose, channel, expected) in cases {
        let customer = Uuid::now_v7();
        for (channel, granted, version) in consents {
            record(&service, consent(customer, purpose, *channel, *granted, *version)).await;
        }
        let id = scheduled(&service, of_customer(customer, purpose, channel)).await;
        assert_eq!(is_handed_out(&service, &id).await, expected, "{consents:?} {purpose:?} {channel:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_whose_channel_is_unknown_is_handed_out_only_if_no_channel_is_declined() {
    let service = start().await;
    for (consents, expected) in [
        (vec![], true),
        (vec![(Sms, false, 2)], false),
        (vec![(Sms, false, 2), (Every, true, 3)], true),
        (vec![(Every, true, 2), (Sms, false, 3)], false),
    ] {
        let customer = Uuid::now_v7();
        for (channel, granted, version) in &consents {
            record(&service, consent(customer, Transactional, *channel, *granted, *version)).await;
        }
        let id = scheduled(&service, of_customer(customer, Transactional, Every)).await;
        assert_eq!(is_handed_out(&service, &id).await, expected, "{consents:?}");
    }
    // Of a conversation the channel is known.
    let (customer, chat) = (Uuid::now_v7(), fixtures::conversation_id());
    service.client.clone().store_message(fixtures::message(&chat, "Hello")).await.expect("stored");
    record(&service, consent(customer, Transactional, Sms, false, 2)).await;
    let new = ScheduleFollowUpRequest { conversation_id: chat, ..of_customer(customer, Transactional, Every) };
    let id = scheduled(&service, new).await;
    assert!(is_handed_out(&service, &id).await, "it goes to the web chat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_is_looked_at_again_when_a_follow_up_is_claimed() {
    let service = start().await;
    let customer = Uuid::now_v7();
    let id = scheduled(&service, of_customer(customer, Transactional, Email)).await;
    until(&service, "SELECT bool_and(ready_at IS NOT NULL) FROM follow_ups").await;
    // The row alone, as if the follow-up had been locked when it was recorded.
    let declined = format!("INSERT INTO customer_consents VALUES ('{customer}', 'TRANSACTIONAL', 'EMAIL', false, 2)");
    harness::execute(&service.url, AssertSqlSafe(declined)).await;
    let other = scheduled(&service, of_customer(Uuid::now_v7(), Transactional, Email)).await;
    until(&service, "SELECT bool_and(ready_at IS NOT NULL) FROM follow_ups").await;
    let claimed = claim(&service.follow_ups, at_once()).await;
    assert_eq!(claimed.iter().map(id_of).collect::<Vec<_>>(), [other], "the one behind it is handed out");
    let now = read(&service, &id).await;
    assert_eq!((now.status(), now.attempts), (FollowUpStatus::Cancelled, 0));
    assert_eq!(now.cancellation_reason(), FollowUpCancellationReason::ConsentMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_consent_is_reported_at_once() {
    let service = start().await;
    let fields = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().expect("a BadRequest").field_violations;
        violations.into_iter().map(|it| it.field).collect::<Vec<_>>()
    };
    let mut client = service.follow_ups.clone();
    let invalid = RecordConsentRequest { customer_id: "7".to_owned(), channel: 99, ..Default::default() };
    let refused = client.record_consent(invalid).await.expect_err("refused");
    assert_eq!(fields(refused), ["customer_id", "purpose", "channel", "customer_version"]);
    let invalid = ScheduleFollowUpRequest {
        customer_id: "7".to_owned(),
        purpose: 9,
        ..of_customer(Uuid::now_v7(), Marketing, Email)
    };
    let refused = client.schedule_follow_up(invalid).await.expect_err("refused");
    assert_eq!(fields(refused), ["customer_id", "purpose"]);
}
