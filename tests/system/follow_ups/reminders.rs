//! Reminders of a subject: scheduled, moved and cancelled with its follow-up, and not sent after the event begins.

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use sqlx::AssertSqlSafe;
use teppan_shared::{
    contract::conversation::v1::{
        CancelFollowUpRequest, FollowUp, FollowUpKey, FollowUpStatus, FollowUpTrigger, ListFollowUpsRequest, Reminders,
        ScheduleFollowUpRequest,
    },
    wire::timestamp,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic_types::StatusExt as _;

use super::scheduling::{again, key, request, schedule};
use crate::dispatch::fixture::{self, claim_one, until};

/// A request with reminders of an event that is this many days ahead.
fn reminding(request: &ScheduleFollowUpRequest, days: i64, minutes: &[i32], revision: i64) -> ScheduleFollowUpRequest {
    let reminders =
        Reminders { event_starts_at: Some(timestamp(starts_in(days))), minutes_before: minutes.to_vec(), revision };
    ScheduleFollowUpRequest { reminders: Some(reminders), ..again(request) }
}

/// 12:00 UTC, within sending hours, as many days ahead.
fn starts_in(days: i64) -> DateTime<Utc> {
    let today = Utc::now().date_naive().and_hms_opt(12, 0, 0).expect("a time").and_utc();
    today + TimeDelta::days(days)
}

async fn reminders(service: &Conversation, conversation_id: &str) -> Vec<FollowUp> {
    let request = ListFollowUpsRequest {
        conversation_id: conversation_id.to_owned(),
        trigger: FollowUpTrigger::Reminder.into(),
        ..Default::default()
    };
    service.follow_ups.clone().list_follow_ups(request).await.expect("listed").into_inner().follow_ups
}

/// The minutes of the reminders that wait, and the days until their event.
async fn waiting(service: &Conversation, conversation_id: &str) -> Vec<(i32, i64)> {
    let all = reminders(service, conversation_id).await.into_iter();
    let waiting = all.filter(|it| it.status() == FollowUpStatus::Pending).map(|it| {
        let starts = it.expires_at.expect("the start of the event").seconds;
        assert_eq!(starts - it.due_at.expect("a time").seconds, i64::from(it.minutes_before) * 60);
        (it.minutes_before, (starts - starts_in(0).timestamp()) / 86_400)
    });
    let mut waiting: Vec<_> = waiting.collect();
    waiting.sort_unstable();
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn reminders_are_created_moved_and_cancelled_with_the_follow_up_of_their_subject() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let base = request(&chat);
    schedule(&service, reminding(&base, 3, &[1440, 180], 1)).await;
    assert_eq!(waiting(&service, &chat).await, [(180, 3), (1440, 3)]);
    let ids = |all: Vec<FollowUp>| all.into_iter().map(|it| (it.follow_up_id, it.subject)).collect::<Vec<_>>();
    let before = ids(reminders(&service, &chat).await);
    assert!(before.iter().any(|(_, subject)| *subject == format!("{}:1440", base.subject)), "{before:?}");

    // The same again changes nothing; other minutes replace those that are not wanted any more.
    schedule(&service, reminding(&base, 3, &[180, 1440], 2)).await;
    assert_eq!(ids(reminders(&service, &chat).await), before);
    schedule(&service, reminding(&base, 3, &[1440, 60], 3)).await;
    assert_eq!(waiting(&service, &chat).await, [(60, 3), (1440, 3)]);
    // An event that moves takes them along, whether its follow-up is moved or not.
    let moved = ScheduleFollowUpRequest { move_existing: true, ..reminding(&base, 5, &[1440, 60], 4) };
    schedule(&service, moved.clone()).await;
    assert_eq!(waiting(&service, &chat).await, [(60, 5), (1440, 5)]);
    // Neither a late delivery of an older version nor a repeated call changes them.
    schedule(&service, reminding(&base, 3, &[180], 3)).await;
    schedule(&service, reminding(&base, 6, &[30], 5)).await;
    schedule(&service, moved).await;
    assert_eq!(waiting(&service, &chat).await, [(30, 6)]);

    // A caller that does not know reminders moves the follow-up: they would be sent at the wrong time.
    schedule(&service, ScheduleFollowUpRequest { move_existing: true, ..again(&base) }).await;
    assert_eq!(waiting(&service, &chat).await, []);
    schedule(&service, reminding(&base, 6, &[30, 60], 6)).await;
    let cancel = CancelFollowUpRequest { key: Some(key(&base)), ..Default::default() };
    service.follow_ups.clone().cancel_follow_up(cancel).await.expect("cancelled");
    assert_eq!(waiting(&service, &chat).await, []);
    schedule(&service, reminding(&base, 6, &[30], 5)).await;
    assert_eq!(waiting(&service, &chat).await, [], "the cancelled event was newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reminder_is_cancelled_by_its_own_key() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let base = request(&chat);
    schedule(&service, reminding(&base, 3, &[1440, 180], 1)).await;
    let own = FollowUpKey {
        conversation_id: chat.clone(),
        trigger: FollowUpTrigger::Reminder.into(),
        subject: format!("{}:180", base.subject),
    };
    let cancel = CancelFollowUpRequest { key: Some(own), ..Default::default() };
    let cancelled = service.follow_ups.clone().cancel_follow_up(cancel).await.expect("cancelled").into_inner();
    assert_eq!(cancelled.follow_up.expect("the reminder").minutes_before, 180);
    assert_eq!(waiting(&service, &chat).await, [(1440, 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_versions_the_newest_decides() {
    let service = Conversation::start().await.ready().await;
    for _ in 0..5 {
        let chat = fixtures::conversation_id();
        let base = request(&chat);
        let calls = (1..=12).map(|revision: i64| {
            let minutes = [10 * i32::try_from(revision).expect("small") + 40, 30];
            let call = reminding(&base, 3 + revision, &minutes, revision);
            let call = ScheduleFollowUpRequest { move_existing: revision % 2 == 0, ..call };
            schedule(&service, call)
        });
        join_all(calls).await;
        assert_eq!(waiting(&service, &chat).await, [(30, 15), (160, 15)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_reminders_is_reported() {
    let service = Conversation::start().await.ready().await;
    let base = request(&fixtures::conversation_id());
    let violations = async |request: ScheduleFollowUpRequest| {
        let refused = service.follow_ups.clone().schedule_follow_up(request).await.expect_err("refused");
        let details = refused.get_details_bad_request().expect("violations").field_violations;
        details.into_iter().map(|it| it.field).collect::<Vec<_>>()
    };
    let wrong = ScheduleFollowUpRequest { reminders: Some(Reminders::default()), ..again(&base) };
    assert_eq!(violations(wrong).await, ["reminders.event_starts_at", "reminders.revision"]);
    let elsewhere = ScheduleFollowUpRequest {
        trigger: FollowUpTrigger::EmotionBased.into(),
        subject: String::new(),
        ..reminding(&base, 3, &[180, 180], 1)
    };
    assert_eq!(violations(elsewhere).await, ["reminders", "subject", "reminders.minutes_before"]);
    let direct = ScheduleFollowUpRequest { trigger: FollowUpTrigger::Reminder.into(), ..again(&base) };
    assert_eq!(violations(direct).await, ["trigger"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_reminder_is_sent_with_its_text_and_missed_once_its_event_begins() {
    let service = fixture::start().await;
    let (sent, late) = (fixtures::conversation_id(), fixtures::conversation_id());
    for chat in [&sent, &late] {
        schedule(&service, reminding(&request(chat), 3, &[1440], 1)).await;
    }
    let update = |chat: &str, set: &str| {
        let sql = format!("UPDATE follow_ups SET {set} WHERE conversation_id = '{chat}' AND trigger = 'REMINDER'");
        let url = service.url.clone();
        async move { harness::execute(&url, AssertSqlSafe(sql)).await }
    };
    update(&late, "due_at = now(), next_attempt_at = now(), expires_at = now()").await;
    until(&service, "SELECT bool_or(status = 'MISSED') FROM follow_ups").await;
    update(&sent, "due_at = now(), next_attempt_at = now(), channel = 'WEB'").await;
    let claimed = claim_one(&service.follow_ups).await;
    let reminder = claimed.follow_up.expect("the reminder");
    assert_eq!((reminder.trigger(), &reminder.conversation_id), (FollowUpTrigger::Reminder, &sent));
    let event = starts_in(3);
    let (date, time) = (event.format("%F").to_string(), event.format("%H:%M").to_string());
    assert!(reminder.content.contains(&date) && reminder.content.contains(&time), "{}", reminder.content);
}
