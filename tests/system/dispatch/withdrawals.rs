//! A withdrawal cancels what is pending, and a customer's consents are deleted last.

use futures::future::join_all;
use sqlx::AssertSqlSafe;
use teppan_shared::contract::conversation::v1::{
    Channel::{Email, Sms, Unspecified as Every},
    ClaimDueFollowUpsRequest, DeleteCustomerRequest, DeleteCustomerResponse, FollowUpCancellationReason,
    FollowUpPurpose::{Marketing, Transactional},
    FollowUpStatus, RecordConsentResponse, ScheduleFollowUpRequest,
};
use teppan_tests::harness::{self, Conversation};
use uuid::Uuid;

use super::{
    consents::{consent, of_customer, read, record, scheduled},
    fixture::*,
};

/// The same, due so late that no test sends it.
fn later(request: ScheduleFollowUpRequest) -> ScheduleFollowUpRequest {
    ScheduleFollowUpRequest { due_at: Some(crate::follow_ups::at("2030-01-15T12:00:00Z")), ..request }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_cancels_what_is_pending_at_once_and_nothing_else() {
    let service = start().await;
    let (mina, kenji) = (Uuid::now_v7(), Uuid::now_v7());
    for customer in [mina, kenji] {
        record(&service, consent(customer, Marketing, Every, true, 2)).await;
    }
    let stays = [
        scheduled(&service, later(of_customer(kenji, Marketing, Email))).await,
        scheduled(&service, later(of_customer(mina, Transactional, Email))).await,
        scheduled(&service, later(of_customer(mina, Marketing, Sms))).await,
    ];
    let goes = [
        scheduled(&service, later(of_customer(mina, Marketing, Email))).await,
        scheduled(&service, later(of_customer(mina, Marketing, Every))).await,
    ];
    let withdraw = consent(mina, Marketing, Email, false, 3);
    let answer = record(&service, withdraw.clone()).await;
    assert_eq!(answer, RecordConsentResponse { recorded: true, follow_ups_cancelled: 2 });
    for id in &goes {
        let now = read(&service, id).await;
        assert_eq!(
            (now.status(), now.cancellation_reason()),
            (FollowUpStatus::Cancelled, FollowUpCancellationReason::ConsentMissing)
        );
        assert!(now.finished_at.is_some() && now.next_attempt_at.is_none());
    }
    for id in &stays {
        assert_eq!(read(&service, id).await.status(), FollowUpStatus::Pending);
    }
    // Again, and an older one: nothing changes.
    assert_eq!(record(&service, withdraw).await, RecordConsentResponse { recorded: true, follow_ups_cancelled: 0 });
    let older = record(&service, consent(mina, Marketing, Email, true, 2)).await;
    assert_eq!(older, RecordConsentResponse::default());
    // A late delivery of an older withdrawal does not cancel what a newer consent allows.
    let late = record(&service, consent(kenji, Marketing, Email, false, 1)).await;
    assert_eq!(late, RecordConsentResponse { recorded: true, follow_ups_cancelled: 0 });
    let every = record(&service, consent(mina, Marketing, Every, false, 4)).await;
    assert_eq!(every.follow_ups_cancelled, 1, "the one by SMS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_was_claimed_before_the_withdrawal_may_be_completed_and_is_not_handed_out_again() {
    let service = start().await;
    let customer = Uuid::now_v7();
    let mut claims = Vec::new();
    for _ in 0..3 {
        scheduled(&service, of_customer(customer, Transactional, Email)).await;
        claims.push(claim_one(&service.follow_ups).await);
    }
    let answer = record(&service, consent(customer, Transactional, Every, false, 2)).await;
    assert_eq!(answer.follow_ups_cancelled, 0);
    let mut client = service.follow_ups.clone();
    client.complete_follow_up(completion(&claims[0])).await.expect("it was sent before");
    // The second one is not sent, and the lease of the third one expires.
    client.fail_follow_up(failure(&claims[1])).await.expect("recorded");
    harness::execute(&service.url, "UPDATE follow_ups SET lease_expires_at = now() WHERE status = 'CLAIMED'").await;
    until(&service, "SELECT count(*) = 0 FROM follow_ups WHERE status = 'CLAIMED'").await;
    harness::execute(&service.url, "UPDATE follow_ups SET next_attempt_at = now() WHERE status = 'PENDING'").await;
    assert!(claim(&service.follow_ups, at_once()).await.is_empty());
    until(&service, "SELECT count(*) = 2 FROM follow_ups WHERE cancellation_reason = 'CONSENT_MISSING'").await;
    // A late report of what was sent is stored; a failure changes nothing.
    let failed = reason(client.fail_follow_up(failure(&claims[1])).await);
    assert_eq!(failed, ("FOLLOW_UP_FINISHED".to_owned(), "FOLLOW_UP_STATUS_CANCELLED".to_owned()));
    let late = client.complete_follow_up(completion(&claims[2])).await.expect("it was sent before").into_inner();
    let follow_up = late.follow_up.expect("the follow-up");
    assert_eq!(follow_up.status(), FollowUpStatus::Completed);
    assert_eq!(follow_up.cancellation_reason(), FollowUpCancellationReason::Unspecified);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_after_a_withdrawal_is_answered_while_many_senders_claim() {
    let service = start().await;
    let other = replica(&service).await;
    for round in 0..5 {
        let customer = Uuid::now_v7();
        record(&service, consent(customer, Marketing, Every, true, 2)).await;
        join_all((0..20).map(|_| scheduled(&service, of_customer(customer, Marketing, Sms)))).await;
        until(&service, "SELECT bool_and(ready_at IS NOT NULL OR finished_at IS NOT NULL) FROM follow_ups").await;
        let one = || ClaimDueFollowUpsRequest { batch_size: 1, ..at_once() };
        let claims = join_all((0..12).map(|n| {
            let client = if n % 2 == 0 { service.follow_ups.clone() } else { other.follow_ups.clone() };
            async move { claim(&client, one()).await.len() }
        }));
        let withdrawal = record(&other, consent(customer, Marketing, Every, false, 3));
        let (claimed, _) = tokio::join!(claims, withdrawal);
        assert!(claim(&service.follow_ups, at_once()).await.is_empty(), "round {round}");
        let claimed: usize = claimed.into_iter().sum();
        let open = format!(
            "SELECT count(*) FILTER (WHERE status = 'CLAIMED') = {claimed} AND bool_and(status IN ('CLAIMED', 'CANCELLED'))
             FROM follow_ups WHERE customer_id = '{customer}'"
        );
        let mut connection = harness::connect(&service.url).await;
        let consistent: bool =
            sqlx::query_scalar(AssertSqlSafe(open)).fetch_one(&mut connection).await.expect("answered");
        assert!(consistent, "round {round}");
    }
}

/// Inserts pending follow-ups of a customer, each in a conversation of its own.
async fn many(service: &Conversation, customer: Uuid, count: u32) {
    let insert = format!(
        "INSERT INTO follow_ups (follow_up_id, conversation_id, trigger, subject, status, due_at, time_zone, max_attempts,
                                 next_attempt_at, message_id, created_at, updated_at, customer_id)
         SELECT gen_random_uuid(), 'chat-' || n, 'POST_EVENT', '', 'PENDING', now() + interval '9 days', 'UTC', 5,
                now() + interval '9 days', gen_random_uuid(), now(), now(), '{customer}'
         FROM generate_series(1, {count}) AS n"
    );
    harness::execute(&service.url, AssertSqlSafe(insert)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_cancels_thousands_of_follow_ups_in_batches() {
    let service = start().await;
    let customer = Uuid::now_v7();
    many(&service, customer, 2500).await;
    let answer = record(&service, consent(customer, Transactional, Every, false, 2)).await;
    assert_eq!(answer.follow_ups_cancelled, 2500);
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM follow_ups WHERE status = 'PENDING'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_deleted_in_steps_and_the_consents_last() {
    let service = start().await;
    let (customer, other) = (Uuid::now_v7(), Uuid::now_v7());
    many(&service, customer, 1500).await;
    for customer in [customer, other] {
        record(&service, consent(customer, Marketing, Every, true, 2)).await;
        record(&service, consent(customer, Marketing, Sms, false, 3)).await;
    }
    scheduled(&service, later(of_customer(other, Marketing, Email))).await;
    let delete = async || {
        let request = DeleteCustomerRequest { customer_id: customer.to_string() };
        service.follow_ups.clone().delete_customer(request).await.expect("deleted").into_inner()
    };
    let first = DeleteCustomerResponse { consents_deleted: 0, follow_ups_deleted: 1000, remaining: true };
    assert_eq!(delete().await, first);
    let second = DeleteCustomerResponse { consents_deleted: 2, follow_ups_deleted: 500, remaining: false };
    assert_eq!(delete().await, second);
    assert_eq!(delete().await, DeleteCustomerResponse::default());
    let left = "SELECT (SELECT count(*) FROM follow_ups) + (SELECT count(*) FROM customer_consents)";
    assert_eq!(service.scalar::<i64>(left).await, 3, "those of the other customer");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_consents_of_one_version_the_one_of_the_channel_counts_in_any_order() {
    let service = start().await;
    for first_is_every in [true, false] {
        let customer = Uuid::now_v7();
        let by_sms = scheduled(&service, later(of_customer(customer, Transactional, Sms))).await;
        let by_email = scheduled(&service, later(of_customer(customer, Transactional, Email))).await;
        // As after a merge of customers.
        let mut both =
            [consent(customer, Transactional, Every, false, 5), consent(customer, Transactional, Sms, true, 5)];
        if !first_is_every {
            both.reverse();
        }
        for consent in both {
            record(&service, consent).await;
        }
        assert_eq!(read(&service, &by_email).await.status(), FollowUpStatus::Cancelled);
        let allowed = format!("SELECT is_consented('{customer}', 'TRANSACTIONAL', 'SMS')");
        assert!(is_true(&service, allowed).await, "{first_is_every}");
        let expected = if first_is_every { FollowUpStatus::Cancelled } else { FollowUpStatus::Pending };
        assert_eq!(read(&service, &by_sms).await.status(), expected);
    }
}

async fn is_true(service: &harness::Conversation, query: String) -> bool {
    let mut connection = harness::connect(&service.url).await;
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await.expect("answered")
}
