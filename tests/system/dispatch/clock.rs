//! The follow-up clock makes due follow-ups ready.

use chrono::{SubsecRound as _, TimeDelta, Utc};
use conversation_service::settings::{DispatchSettings, TemplateFile};
use sqlx::AssertSqlSafe;
use teppan_shared::contract::conversation::v1::Emotion;
use teppan_tests::{fixtures, harness};

use super::fixture::*;

/// Templates whose texts name their entry. Each entry has a text with a value and one without.
const TEMPLATES: &str = "
    [post_event]
    warm = ['warm at {{venue}}', 'warm']
    neutral = ['neutral at {{venue}}', 'neutral']
    apologetic = ['apologetic at {{venue}}', 'apologetic']
    [reengagement]
    warm = ['x']
    neutral = ['x']
    apologetic = ['x']
    [emotion_based]
    warm = ['x']
    neutral = ['x']
    apologetic = ['x']";

#[tokio::test(flavor = "multi_thread")]
async fn the_text_follows_the_recent_emotion_and_the_templates_at_the_due_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("follow_ups.toml");
    std::fs::write(&path, TEMPLATES).expect("written");
    let templates = TemplateFile::open(path.clone()).expect("valid templates");
    let mut service = start_with(DispatchSettings { templates, ..quick() }).await;

    for (score, mood) in [(None, "neutral"), (Some(0.0), "apologetic"), (Some(0.4), "neutral"), (Some(0.7), "warm")] {
        let chat = fixtures::conversation_id();
        let emotion = score.map(|score| Emotion { score: Some(score), ..Default::default() });
        let message = fixtures::message(&chat, "Hello");
        service
            .client
            .store_message(teppan_shared::contract::conversation::v1::StoreMessageRequest { emotion, ..message })
            .await
            .expect("stored");
        until(&service, "SELECT count(*) = 0 FROM emotion_pending").await;
        for metadata in [vec![], vec![("venue", "Teppan Garden")]] {
            let expected = if metadata.is_empty() { mood.to_owned() } else { format!("{mood} at Teppan Garden") };
            schedule(&service, &[Scheduled { metadata, ..due(&chat) }]).await;
            let claimed = claim_one(&service.follow_ups).await;
            assert_eq!(claimed.follow_up.expect("the follow-up").content, expected);
        }
    }

    let chat = fixtures::conversation_id();
    for (text, expected) in [(TEMPLATES.replace("'neutral'", "'changed'"), "changed"), ("broken".to_owned(), "changed")]
    {
        std::fs::write(&path, text).expect("written");
        schedule(&service, &[due(&chat)]).await;
        assert_eq!(claim_one(&service.follow_ups).await.follow_up.expect("the follow-up").content, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_waits_for_its_time_and_takes_the_channel_of_its_conversation() {
    let mut service = start().await;
    let chat = fixtures::conversation_id();
    service.client.store_message(fixtures::message(&chat, "Hello")).await.expect("stored");
    let later = Scheduled { due_at: Utc::now() + TimeDelta::hours(1), ..due(&chat) };
    schedule(&service, &[later, Scheduled { channel: "", ..due(&chat) }]).await;
    let claimed = claim_one(&service.follow_ups).await;
    assert_eq!(claimed.channel, i32::from(teppan_shared::contract::conversation::v1::Channel::Web));
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM follow_ups WHERE ready_at IS NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_is_overdue_for_too_long_is_missed_even_if_it_was_ready() {
    let service = start().await;
    let chat = fixtures::conversation_id();
    let old = || Scheduled { due_at: Utc::now() - TimeDelta::hours(73), ..due(&chat) };
    let young = Scheduled { due_at: Utc::now() - TimeDelta::hours(71), ..due(&chat) };
    let failed = Scheduled { due_at: Utc::now() - TimeDelta::hours(71), ..custom(&chat, "Hello") };
    schedule(&service, &[old(), old(), young, failed]).await;
    until(&service, "SELECT count(*) = 2 FROM follow_ups WHERE status = 'MISSED' AND finished_at IS NOT NULL").await;
    until(&service, "SELECT count(*) = 2 FROM follow_ups WHERE ready_at IS NOT NULL AND status = 'PENDING'").await;
    // A ready follow-up that waits for its next attempt is missed too.
    harness::execute(
        &service.url,
        "UPDATE follow_ups SET due_at = due_at - interval '2 hours', next_attempt_at = now() + interval '1 hour'
         WHERE trigger = 'CUSTOM'",
    )
    .await;
    until(&service, "SELECT status = 'MISSED' FROM follow_ups WHERE trigger = 'CUSTOM'").await;
    assert_eq!(claim(&service.follow_ups, at_once()).await.len(), 1);
}

const READY: &str = include_str!("../../../conversation-service/src/follow_ups/ready_commit.sql");

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_is_moved_after_it_was_read_is_not_postponed_to_its_old_time() {
    let service = start().await;
    let new = Scheduled { due_at: Utc::now() + TimeDelta::hours(1), ..due(&fixtures::conversation_id()) };
    schedule(&service, std::slice::from_ref(&new)).await;
    let mut connection = harness::connect(&service.url).await;
    let until = new.due_at - TimeDelta::minutes(30);
    let mut postpone = async |seen_at| {
        let (ids, times) = (Vec::<uuid::Uuid>::new(), Vec::<chrono::DateTime<Utc>>::new());
        sqlx::query(AssertSqlSafe(READY))
            .bind(ids.clone())
            .bind(times.clone())
            .bind(Vec::<Option<Vec<u8>>>::new())
            .bind(Vec::<String>::new())
            .bind(Utc::now())
            .bind(false)
            .bind([new.id])
            .bind([until])
            .bind(ids)
            .bind(times)
            .bind([seen_at])
            .bind(Vec::<String>::new())
            .execute(&mut connection)
            .await
            .expect("answered")
    };
    let seen: chrono::DateTime<Utc> = service.scalar("SELECT updated_at FROM follow_ups").await;
    let next_attempt = "SELECT next_attempt_at FROM follow_ups";
    postpone(seen - TimeDelta::microseconds(1)).await;
    assert_ne!(service.scalar::<chrono::DateTime<Utc>>(next_attempt).await, until.trunc_subsecs(6));
    postpone(seen).await;
    assert_eq!(service.scalar::<chrono::DateTime<Utc>>(next_attempt).await, until.trunc_subsecs(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_changes_after_it_was_read_is_not_made_ready() {
    let service = start().await;
    // The follow-up is not due, so the service itself does not change it.
    let new = Scheduled { due_at: Utc::now() + TimeDelta::hours(1), ..due(&fixtures::conversation_id()) };
    schedule(&service, std::slice::from_ref(&new)).await;
    let mut connection = harness::connect(&service.url).await;
    let mut ready = async |seen_at| {
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(READY))
            .bind([new.id])
            .bind([seen_at])
            .bind([Some(b"text".to_vec())])
            .bind(["WEB"])
            .bind(Utc::now())
            .bind(false)
            .bind(Vec::<uuid::Uuid>::new())
            .bind(Vec::<chrono::DateTime<Utc>>::new())
            .bind(Vec::<uuid::Uuid>::new())
            .bind(Vec::<chrono::DateTime<Utc>>::new())
            .bind(Vec::<chrono::DateTime<Utc>>::new())
            .bind(Vec::<String>::new())
            .fetch_one(&mut connection)
            .await
            .expect("answered")
    };
    assert_eq!(ready(new.due_at - TimeDelta::microseconds(1)).await, 0, "the follow-up was changed after it was read");
    let seen: chrono::DateTime<Utc> = service.scalar("SELECT updated_at FROM follow_ups").await;
    assert_eq!(ready(seen).await, 1);
    assert_eq!(ready(seen).await, 0, "a concurrent duplicate has made it ready already");
}
