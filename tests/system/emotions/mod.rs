//! Emotion statistics always equal a fresh computation over all messages.

mod expected;
mod history;
mod runs;

use std::time::Duration;

use conversation_service::settings::{EmotionAggregation, EmotionSettings};
use futures::future::join_all;
use rand::Rng as _;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgConnection};
use teppan_shared::contract::conversation::v1::{
    Emotion, EmotionStatistics, GetConversationRequest, Message, StoreMessageRequest,
    conversation_service_client::ConversationServiceClient,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::transport::Channel;

use self::expected::{assert_expected, falls};

type Client = ConversationServiceClient<Channel>;

const LOAD: &str = include_str!("../../../conversation-service/src/emotions/aggregate_load.sql");
const COMMIT: &str = include_str!("../../../conversation-service/src/emotions/aggregate_commit.sql");

/// Blocks the aggregation of every replica, and reading, until the returned connection is dropped. Returns once an
/// aggregation waits.
pub(super) async fn block_aggregation(url: &SecretString) -> PgConnection {
    let mut holding = harness::connect(url).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE emotion_statistics IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holding)
        .await
        .expect("locked");
    harness::eventually("the aggregation waits", async || {
        let waits =
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'emotion_statistics'::regclass AND NOT granted)";
        sqlx::query_scalar(waits).fetch_one(&mut holding).await.expect("the query answers")
    })
    .await;
    holding
}

/// A message with a score in thousandths.
fn scored(chat: &str, thousandths: i32) -> StoreMessageRequest {
    let emotion = Emotion { score: Some(f64::from(thousandths) / 1000.0), ..Default::default() };
    StoreMessageRequest { emotion: Some(emotion), ..fixtures::message(chat, "Hello") }
}

/// A message with a score, a label, both, or neither.
fn any(chat: &str) -> StoreMessageRequest {
    let mut random = rand::rng();
    let score = random.random_bool(0.7).then(|| f64::from(random.random_range(0..=1000)) / 1000.0);
    let label = ["", "", "joy", "calm", "anger"][random.random_range(0..5)].to_owned();
    let emotion = Emotion { score, label, detected: Vec::new() };
    StoreMessageRequest { emotion: Some(emotion), ..fixtures::message(chat, "Hello") }
}

async fn store(client: &mut Client, request: StoreMessageRequest) -> Message {
    client.store_message(request).await.expect("stored").into_inner().message.expect("the message")
}

async fn statistics(client: &Client, chat: &str) -> Option<EmotionStatistics> {
    let request = GetConversationRequest { conversation_id: chat.to_owned() };
    let read = client.clone().get_conversation(request).await.expect("read").into_inner();
    read.conversation.expect("the conversation").emotion_statistics
}

async fn until_everything_is_counted(url: &SecretString) {
    harness::eventually("everything is counted", async || {
        harness::scalar::<i64>(url, "SELECT count(*) FROM emotion_pending").await == 0
    })
    .await;
}

/// The sequences at which the service suggested an escalation.
async fn suggested(url: &SecretString, chat: &str) -> Vec<i64> {
    let query = "SELECT sequence FROM escalation_suggestions WHERE conversation_id = $1 ORDER BY sequence";
    sqlx::query_scalar(query).bind(chat).fetch_all(&mut harness::connect(url).await).await.expect("answered")
}

/// Asserts that a conversation's statistics and suggestions are those of its messages.
async fn assert_counted((client, url): (&Client, &SecretString), chat: &str, messages: &mut [Message]) {
    messages.sort_by_key(|message| message.sequence);
    assert_expected(&statistics(client, chat).await.expect("statistics"), messages);
    assert_eq!(suggested(url, chat).await, falls(messages));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_equal_a_fresh_computation_with_32_writers_two_replicas_and_more_aggregators() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let chats: Vec<_> = (0..3).map(|_| fixtures::conversation_id()).collect();
    let writers = (0..32).map(|writer| {
        let mut client = if writer % 2 == 0 { first.client.clone() } else { second.client.clone() };
        let chat = chats[writer % chats.len()].clone();
        async move {
            let mut stored = Vec::new();
            for _ in 0..12 {
                stored.push(store(&mut client, any(&chat)).await);
            }
            stored
        }
    });
    // These services aggregate every millisecond.
    let eager = EmotionSettings { aggregation: EmotionAggregation::Background, interval: Duration::from_millis(1) };
    let others = join_all((0..3).map(|_| {
        let (url, keys) = (first.url.clone(), first.keys.clone());
        Conversation::with_emotion_settings(eager, harness::settings(url.clone(), &keys), url, keys)
    }));
    let others = others.await;
    let stored = join_all(writers).await;
    until_everything_is_counted(&first.url).await;
    drop(others);
    for chat in &chats {
        let mut messages: Vec<_> = stored.iter().flatten().filter(|it| it.conversation_id == *chat).cloned().collect();
        assert!(messages.len() >= 120);
        assert_counted((&second.client, &second.url), chat, &mut messages).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_of_zero_counts_and_every_score_counts_once() {
    let mut service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let mut messages = Vec::new();
    for score in [0, 0, 1000, 500, 0] {
        messages.push(store(&mut service.client, scored(&chat, score)).await);
        until_everything_is_counted(&service.url).await;
        assert_counted((&service.client, &service.url), &chat, &mut messages).await;
    }
    let statistics = statistics(&service.client, &chat).await.expect("statistics");
    assert_eq!((statistics.score_count, statistics.mean_score), (5, Some(0.3)));
    assert_eq!((statistics.minimum_score, statistics.maximum_score), (Some(0.0), Some(1.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_compared_with_the_bounds_as_decimal_numbers() {
    let mut service = Conversation::start().await.ready().await;
    // As binary fractions the mean of ten times 0.3 is below 0.3, and 0.6 - 0.45 below 0.15.
    let (low, rising) = (fixtures::conversation_id(), fixtures::conversation_id());
    for _ in 0..10 {
        store(&mut service.client, scored(&low, 300)).await;
    }
    for score in [450, 450, 600, 600] {
        store(&mut service.client, scored(&rising, score)).await;
    }
    until_everything_is_counted(&service.url).await;
    let low_statistics = statistics(&service.client, &low).await.expect("statistics");
    assert_eq!((low_statistics.recent_mean_score, low_statistics.escalation_suggested), (Some(0.3), false));
    assert!(suggested(&service.url, &low).await.is_empty());
    let trend = statistics(&service.client, &rising).await.expect("statistics");
    assert_eq!(trend.trend_delta, Some(0.15));
    assert_eq!(trend.trend(), teppan_shared::contract::conversation::v1::EmotionTrend::Improving);
}

/// Stores these scores in a new conversation and returns its statistics.
async fn statistics_of(service: &mut Conversation, scores: &[f64]) -> EmotionStatistics {
    let chat = fixtures::conversation_id();
    for score in scores {
        let emotion = Emotion { score: Some(*score), ..Default::default() };
        let message = StoreMessageRequest { emotion: Some(emotion), ..fixtures::message(&chat, "Hello") };
        let stored = store(&mut service.client, message).await;
        assert_eq!(stored.emotion.and_then(|it| it.score), Some(*score), "a score is stored as it was given");
    }
    until_everything_is_counted(&service.url).await;
    let suggestions = suggested(&service.url, &chat).await.len();
    let statistics = statistics(&service.client, &chat).await.expect("statistics");
    // The mean may have fallen and risen again.
    assert!(suggestions > 0 || !statistics.escalation_suggested, "{scores:?}: {statistics:?}");
    if scores.iter().all(|score| score.to_bits() == scores[0].to_bits()) {
        assert_eq!(statistics.escalation_suggested, suggestions > 0, "{scores:?}: {statistics:?}");
    }
    statistics
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mean_of_equal_scores_is_that_score_for_any_number_of_digits() {
    let mut service = Conversation::start().await.ready().await;
    let below = f64::from_bits(0.3_f64.to_bits() - 1);
    // Scores as models return them: in single precision, and as sums of binary fractions.
    for score in [0.3, below, f64::from(0.3_f32), f64::from(0.7_f32), 0.1 + 0.2, 1.0 / 3.0, f64::MIN_POSITIVE, 1.0] {
        let found = statistics_of(&mut service, &[score; 10]).await;
        assert_eq!((found.recent_mean_score, found.mean_score), (Some(score), Some(score)));
        assert_eq!(found.escalation_suggested, score < 0.3, "{score}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mean_lies_between_the_lowest_and_the_highest_score() {
    let mut service = Conversation::start().await.ready().await;
    for _ in 0..20 {
        let centre: f64 = rand::rng().random();
        // Neighbouring doubles, which differ in the seventeenth digit only, or any doubles.
        let spread = if rand::rng().random_bool(0.5) { 3 } else { 1 << 50 };
        let scores: Vec<f64> = (0..rand::rng().random_range(1..=12))
            .map(|_| f64::from_bits(centre.to_bits() - rand::rng().random_range(0..spread)))
            .collect();
        let found = statistics_of(&mut service, &scores).await;
        let (lowest, highest) = (found.minimum_score.expect("lowest"), found.maximum_score.expect("highest"));
        for mean in [found.mean_score, found.recent_mean_score] {
            assert!(mean.is_some_and(|mean| (lowest..=highest).contains(&mean)), "{scores:?}: {found:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_score_does_not_change_the_scores() {
    let mut service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let plain = StoreMessageRequest { emotion: None, ..fixtures::message(&chat, "Hello") };
    store(&mut service.client, plain.clone()).await;
    assert!(statistics(&service.client, &chat).await.is_none());

    let label = Emotion { label: "joy".to_owned(), ..Default::default() };
    let labelled = StoreMessageRequest { emotion: Some(label), ..fixtures::message(&chat, "Hello") };
    let mut messages = vec![store(&mut service.client, labelled).await];
    until_everything_is_counted(&service.url).await;
    assert_counted((&service.client, &service.url), &chat, &mut messages).await;

    messages.push(store(&mut service.client, scored(&chat, 700)).await);
    store(&mut service.client, StoreMessageRequest { message_id: uuid::Uuid::new_v4().to_string(), ..plain }).await;
    until_everything_is_counted(&service.url).await;
    assert_counted((&service.client, &service.url), &chat, &mut messages).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_hundred_labels_are_counted_by_name_and_the_others_together() {
    let mut service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let mut labelled = async |label: String| {
        let emotion = Emotion { label, ..Default::default() };
        let message = StoreMessageRequest { emotion: Some(emotion), ..fixtures::message(&chat, "Hello") };
        store(&mut service.client, message).await;
    };
    for number in (0..120).rev() {
        labelled(format!("label {number:03}")).await;
    }
    // The first is counted by name, the second is not.
    for number in [119, 0] {
        labelled(format!("label {number:03}")).await;
    }
    until_everything_is_counted(&service.url).await;
    let found = statistics(&service.client, &chat).await.expect("statistics");
    let counts: Vec<_> = found.label_counts.iter().map(|it| (it.label.clone(), it.count)).collect();
    let named = (20..119).map(|number| (format!("label {number:03}"), 1));
    let expected: Vec<_> = std::iter::once(("label 119".to_owned(), 2)).chain(named).collect();
    assert_eq!(counts, expected);
    assert_eq!(found.other_label_count, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_an_emotion_run_reads_a_whole_table() {
    let service = Conversation::start().await.ready().await;
    let mut connection = harness::connect(&service.url).await;
    let prepare = format!(
        "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; PREPARE load AS {LOAD}; PREPARE commit_run AS {COMMIT}"
    );
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.expect("prepared");
    let mut explain = async |call: &'static str| {
        let explained = sqlx::raw_sql(call).fetch_all(&mut connection).await.expect("explained");
        explained.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>().join("\n")
    };
    let commit = explain("EXPLAIN EXECUTE commit_run ('[]', now(), false, '{}')").await;
    assert!(!commit.contains("Seq Scan"), "{commit}");
    let plan = explain("EXPLAIN EXECUTE load (NULL, now())").await;
    assert!(!plan.contains("Seq Scan"), "{plan}");
    // No whole index is read either: every table is read by key.
    for (index, condition) in [
        // Rows that were counted before stay in the index until vacuum.
        ("emotion_pending_since on emotion_pending", "since >= $2"),
        ("messages_emotion on messages", "(conversation_id = b.conversation_id) AND (sequence > b.through)"),
        ("emotion_statistics_pkey on emotion_statistics", "conversation_id = taken.conversation_id"),
    ] {
        let (_, step) = plan.split_once(index).unwrap_or_else(|| panic!("{index} is not used: {plan}"));
        assert!(step.lines().nth(1).is_some_and(|line| line.contains(condition)), "{index}: {plan}");
    }
}
