//! Follow-ups as ScheduleFollowUp stores them, and services that dispatch them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use conversation_service::settings::{DispatchSettings, FollowUpBackoff};
use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};
use secrecy::SecretString;
use teppan_shared::{
    config::CommonSettings,
    contract::conversation::v1::{
        ClaimDueFollowUpsRequest, ClaimedFollowUp, CompleteFollowUpRequest, FailFollowUpRequest, FollowUpFailureReason,
        follow_up_service_client::FollowUpServiceClient,
    },
    keys::Keys,
    sealing::AssociatedData,
};
use teppan_tests::harness::{self, Conversation};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt as _;
use uuid::Uuid;

pub type Client = FollowUpServiceClient<Channel>;

/// A follow-up to be inserted into the database.
pub struct Scheduled {
    pub id: Uuid,
    pub message_id: Uuid,
    pub chat: String,
    pub trigger: &'static str,
    pub subject: String,
    pub due_at: DateTime<Utc>,
    pub time_zone: String,
    pub channel: &'static str,
    pub user_id: Option<String>,
    pub content: Option<String>,
    pub metadata: Vec<(&'static str, &'static str)>,
    pub max_attempts: i32,
}

/// A follow-up that has been due for a second and has no text of its own.
pub fn due(chat: &str) -> Scheduled {
    let id = Uuid::now_v7();
    Scheduled {
        id,
        message_id: Uuid::new_v4(),
        chat: chat.to_owned(),
        trigger: "POST_EVENT",
        subject: format!("booking:{id}"),
        due_at: Utc::now() - TimeDelta::seconds(1),
        time_zone: "UTC".to_owned(),
        channel: "WEB",
        user_id: None,
        content: None,
        metadata: Vec::new(),
        max_attempts: 5,
    }
}

/// A custom follow-up, which has a text of its own.
pub fn custom(chat: &str, content: &str) -> Scheduled {
    Scheduled { trigger: "CUSTOM", content: Some(content.to_owned()), ..due(chat) }
}

/// Inserts follow-ups into the database.
pub async fn schedule(service: &Conversation, follow_ups: &[Scheduled]) {
    let ring = service.keys.ring();
    let mut connection = harness::connect(&service.url).await;
    for new in follow_ups {
        let chat = new.chat.as_bytes();
        let row = [new.message_id.as_bytes(), b"ASSISTANT//".as_slice(), chat].concat();
        let content = AssociatedData { table: "messages", column: "content_sealed", row: &row };
        let row = [new.id.as_bytes().as_slice(), chat].concat();
        let metadata = AssociatedData { table: "follow_ups", column: "metadata_sealed", row: &row };
        let user = AssociatedData { table: "conversations", column: "user_sealed", row: chat };
        let user = new.user_id.as_ref().map(|id| (user_hash(service, id), ring.seal(user, id.as_bytes())));
        let insert = "
            INSERT INTO follow_ups (
                follow_up_id, conversation_id, trigger, subject, status, due_at, time_zone, channel, user_hash,
                user_sealed, content_sealed, metadata_sealed, max_attempts, next_attempt_at, message_id, created_at,
                updated_at)
            VALUES ($1, $2, $3, $4, 'PENDING', $5, $12, $6, $7, $13, $8, $9, $10, $5, $11, $5, $5)";
        sqlx::query(insert)
            .bind(new.id)
            .bind(&new.chat)
            .bind(new.trigger)
            .bind(&new.subject)
            .bind(new.due_at)
            .bind(new.channel)
            .bind(user.as_ref().map(|(hash, _)| hash.as_slice()))
            .bind(new.content.as_ref().map(|text| ring.seal(content, text.as_bytes())))
            .bind((!new.metadata.is_empty()).then(|| ring.seal(metadata, &encoded(&new.metadata))))
            .bind(new.max_attempts)
            .bind(new.message_id)
            .bind(&new.time_zone)
            .bind(user.as_ref().map(|(_, sealed)| sealed.as_slice()))
            .execute(&mut connection)
            .await
            .expect("inserted");
    }
}

/// The hash by which the conversations of a user are found.
pub fn user_hash(service: &Conversation, user_id: &str) -> [u8; 32] {
    *service.keys.hash("teppan conversation user_hash").hash([user_id.as_bytes()]).newest()
}

fn encoded(values: &[(&str, &str)]) -> Vec<u8> {
    let value = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let fields = values.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect();
    Struct { fields }.encode_to_vec()
}

/// Settings with very short intervals and pauses.
pub fn quick() -> DispatchSettings {
    DispatchSettings {
        clock_interval: Duration::from_millis(20),
        backoff: FollowUpBackoff { first: Duration::from_millis(1), max: Duration::from_millis(5) },
        reengagement_interval: Duration::from_millis(20),
        ..DispatchSettings::default()
    }
}

/// Starts a service over a new database.
pub async fn start() -> Conversation {
    start_with(quick()).await
}

pub async fn start_with(dispatch: DispatchSettings) -> Conversation {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    over(url, Keys::random(), dispatch, |_| {}).await
}

/// Starts another replica of the service.
pub async fn replica(of: &Conversation) -> Conversation {
    over(of.url.clone(), of.keys.clone(), quick(), |_| {}).await
}

pub async fn over(
    url: SecretString,
    keys: Keys,
    dispatch: DispatchSettings,
    change: impl FnOnce(&mut CommonSettings),
) -> Conversation {
    let mut common = harness::settings(url.clone(), &keys);
    change(&mut common);
    start_with_hours("00:00-24:00", common, url, keys, dispatch).await
}

/// Starts a service whose sending hours are 09:00 to 21:00.
pub async fn start_with_sending_hours() -> Conversation {
    let (url, keys) = (harness::database(&conversation_service::app::DEFINITION).await, Keys::random());
    start_with_hours("09:00-21:00", harness::settings(url.clone(), &keys), url, keys, quick()).await
}

async fn start_with_hours(
    hours: &str,
    common: CommonSettings,
    url: SecretString,
    keys: Keys,
    dispatch: DispatchSettings,
) -> Conversation {
    Conversation::changed(common, url, keys, |settings| {
        settings.dispatch = dispatch;
        settings.scheduling.sending_hours = hours.parse().expect("hours");
    })
    .await
    .ready()
    .await
}

/// A time zone in which the current hour of the day is about `hour`.
pub fn zone_at(hour: i32) -> String {
    let utc = i32::try_from(Utc::now().hour()).expect("an hour");
    let ahead = (hour - utc + 12).rem_euclid(24) - 12;
    // The sign in these names is inverted: Etc/GMT-2 is two hours ahead of UTC.
    format!("Etc/GMT{:+}", -ahead)
}

/// A claim of up to 100 that waits up to ten seconds.
pub fn waiting() -> ClaimDueFollowUpsRequest {
    ClaimDueFollowUpsRequest { wait_seconds: 10, ..at_once() }
}

/// A claim of up to 100 that does not wait.
pub fn at_once() -> ClaimDueFollowUpsRequest {
    ClaimDueFollowUpsRequest { claimant: "a test".to_owned(), batch_size: 100, ..Default::default() }
}

pub async fn claim(client: &Client, request: ClaimDueFollowUpsRequest) -> Vec<ClaimedFollowUp> {
    client.clone().claim_due_follow_ups(request).await.expect("claimed").into_inner().follow_ups
}

/// Waits for the next due follow-up and claims it; there must be exactly one.
pub async fn claim_one(client: &Client) -> ClaimedFollowUp {
    let mut claimed = claim(client, waiting()).await;
    assert_eq!(claimed.len(), 1);
    claimed.remove(0)
}

pub fn id_of(claimed: &ClaimedFollowUp) -> String {
    claimed.follow_up.as_ref().expect("the follow-up").follow_up_id.clone()
}

pub fn completion(claimed: &ClaimedFollowUp) -> CompleteFollowUpRequest {
    CompleteFollowUpRequest {
        follow_up_id: id_of(claimed),
        claim_token: claimed.claim_token.clone(),
        ..Default::default()
    }
}

pub fn failure(claimed: &ClaimedFollowUp) -> FailFollowUpRequest {
    FailFollowUpRequest {
        follow_up_id: id_of(claimed),
        claim_token: claimed.claim_token.clone(),
        reason: FollowUpFailureReason::ChannelUnreachable.into(),
        ..Default::default()
    }
}

/// The reason of an error, and its `status` when it has one.
pub fn reason<T>(answer: Result<T, Status>) -> (String, String) {
    let Err(status) = answer else { panic!("it was accepted") };
    let info = status.get_details_error_info().expect("an ErrorInfo");
    (info.reason, info.metadata.get("status").cloned().unwrap_or_default())
}

/// Waits until a condition over the follow-ups holds.
pub async fn until(service: &Conversation, condition: &'static str) {
    harness::eventually(condition, async || service.scalar::<bool>(condition).await).await;
}
