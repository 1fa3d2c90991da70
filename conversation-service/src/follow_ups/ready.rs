use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{error_chain::error_chain, postgres::DatabaseError, read_error::Corrupted};
use uuid::Uuid;

use super::{
    CancellationReason, FollowUpId, FollowUpTrigger, FollowUps, Mood, SendingHours, Templates,
    clock::BATCH_MAX,
    follow_up::{open_metadata, seal_text},
};
use crate::domain::{ConversationId, MessageId, Metadata, TimeZone};

/// The pause until the next check of a follow-up that must wait, for example in an escalated conversation.
pub const CHECK_AGAIN: TimeDelta = TimeDelta::minutes(1);

/// The result of a run over due follow-ups.
pub struct ReadyBatch {
    pub ready: i64,
    /// Cancelled for any reason, and those of them for a missing consent.
    pub cancelled: i64,
    pub withheld: i64,
    pub unreadable: u64,
    /// Whether more may be due.
    pub more: bool,
    /// How long the oldest had waited.
    pub lag: Duration,
}

impl FollowUps {
    /// Decides about due follow-ups, chooses their texts, and wakes waiting claims.
    pub(super) async fn ready_follow_ups(&self) -> Result<ReadyBatch, DatabaseError> {
        let now = self.clock.now();
        let load = || sqlx::query_file_as!(Due, "src/follow_ups/ready_load.sql", now);
        let due = self.database.fetch_all(load).await?;
        let is_full = i64::try_from(due.len()).unwrap_or(BATCH_MAX) >= BATCH_MAX;
        let (mut decided, mut unreadable, mut oldest) = (Decided::default(), 0, now);
        let templates = self.dispatch.templates.templates();
        for due in due {
            match due.decide(now, &self.scheduling.sending_hours) {
                Decision::Cancel(reason) => decided.cancel(&due, reason),
                Decision::WaitUntil(time) => decided.postpone(&due, time),
                Decision::Ready => {
                    oldest = oldest.min(due.due_at);
                    match self.choose_content(&due, &templates) {
                        Ok(content_sealed) => decided.make_ready(due, content_sealed),
                        Err(error) => {
                            let (id, error) = (due.follow_up_id, error_chain(&error));
                            tracing::error!(follow_up_id = %id, error, "choosing the text of a follow-up failed");
                            unreadable += 1;
                            decided.postpone(&due, now + CHECK_AGAIN);
                        }
                    }
                }
            }
        }
        let Written { ready, cancelled, withheld, postponed } = self.commit_ready(&decided).await?;
        // If a full batch changed nothing, other processes have locked it, and another run would find the same rows.
        let more = is_full && ready + cancelled + postponed > 0;
        if ready > 0 {
            self.claims.ready.notify_waiters();
        }
        Ok(ReadyBatch {
            ready,
            cancelled,
            withheld,
            unreadable,
            more,
            lag: (now - oldest).to_std().unwrap_or_default(),
        })
    }

    /// The text, sealed. `None` when the call that scheduled the follow-up gave one.
    fn choose_content(&self, due: &Due, templates: &Templates) -> Result<Option<Vec<u8>>, Corrupted> {
        if due.has_content {
            return Ok(None);
        }
        let metadata =
            open_metadata(&self.ring, due.follow_up_id, &due.conversation_id, due.metadata_sealed.as_deref())?;
        let mut values = metadata.map(Metadata::texts).unwrap_or_default();
        values.extend(due.event_values());
        let content = templates.render(due.trigger, Mood::of(due.recent_mean), &values);
        // Only a custom follow-up has no template, and a constraint requires it to have a text.
        let content = content.ok_or(Corrupted::Column("follow_ups.content_sealed"))?;
        Ok(Some(seal_text(&self.ring, due.message_id, &due.conversation_id, content.as_str())))
    }

    async fn commit_ready(&self, decided: &Decided) -> Result<Written, DatabaseError> {
        if decided.is_empty() {
            return Ok(Written::default());
        }
        let now = self.clock.now();
        let commit = || {
            sqlx::query_file_as!(
                Written,
                "src/follow_ups/ready_commit.sql",
                &decided.ready,
                &decided.ready_seen_at,
                &decided.contents_sealed as &[Option<Vec<u8>>],
                &decided.channels,
                now,
                self.events.published,
                &decided.waiting,
                &decided.waiting_until,
                &decided.cancelled,
                &decided.cancelled_seen_at,
                &decided.waiting_seen_at,
                &decided.cancellation_reasons as &[&str],
            )
        };
        self.database.fetch_one(commit).await
    }
}

/// A due follow-up, with the data for the decision about it.
#[expect(clippy::struct_excessive_bools, reason = "each is an answer of the statement")]
struct Due {
    follow_up_id: FollowUpId,
    conversation_id: ConversationId,
    trigger: FollowUpTrigger,
    time_zone: String,
    channel: String,
    has_content: bool,
    metadata_sealed: Option<Vec<u8>>,
    /// Of a reminder, the start of its event.
    expires_at: Option<DateTime<Utc>>,
    message_id: MessageId,
    due_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// Whether a person holds the conversation, or should.
    is_escalated: bool,
    /// Whether the user of a re-engagement has written or booked after it was scheduled.
    user_came_back: bool,
    recent_mean: Option<f64>,
    /// Whether the customer's consents allow it, by its channel.
    is_consented: bool,
}

/// The decision about a due follow-up.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Cancel(CancellationReason),
    WaitUntil(DateTime<Utc>),
    Ready,
}

impl Due {
    /// The date and time of a reminder's event in its time zone, for the placeholders of its text.
    fn event_values(&self) -> Vec<(String, String)> {
        let (Some(at), Ok(zone)) = (self.expires_at, TimeZone::parse(&self.time_zone)) else { return Vec::new() };
        let local = at.with_timezone(&zone);
        [("event_date", "%F"), ("event_time", "%H:%M")]
            .map(|(name, format)| (name.to_owned(), local.format(format).to_string()))
            .to_vec()
    }

    /// A re-engagement is cancelled if its user came back, and anything that the customer's consents do not allow. Nothing
    /// is sent while a person holds the conversation, and
    /// nothing outside sending hours.
    fn decide(&self, now: DateTime<Utc>, hours: &SendingHours) -> Decision {
        if self.trigger == FollowUpTrigger::Reengagement && self.user_came_back {
            return Decision::Cancel(CancellationReason::CustomerReturned);
        }
        if !self.is_consented {
            return Decision::Cancel(CancellationReason::ConsentMissing);
        }
        let person_holds = self.is_escalated.then(|| now + CHECK_AGAIN);
        let opens_at = TimeZone::parse(&self.time_zone).ok().map(|zone| hours.at_or_after(now, zone));
        match person_holds.max(opens_at.filter(|opens_at| *opens_at > now)) {
            Some(time) => Decision::WaitUntil(time),
            None => Decision::Ready,
        }
    }
}

/// The numbers of follow-ups that the commit changed.
#[derive(Default)]
struct Written {
    ready: i64,
    cancelled: i64,
    withheld: i64,
    postponed: i64,
}

/// The parameters of the commit, as columns.
#[derive(Default)]
struct Decided {
    ready: Vec<Uuid>,
    ready_seen_at: Vec<DateTime<Utc>>,
    contents_sealed: Vec<Option<Vec<u8>>>,
    channels: Vec<String>,
    waiting: Vec<Uuid>,
    waiting_until: Vec<DateTime<Utc>>,
    waiting_seen_at: Vec<DateTime<Utc>>,
    cancelled: Vec<Uuid>,
    cancelled_seen_at: Vec<DateTime<Utc>>,
    cancellation_reasons: Vec<&'static str>,
}

impl Decided {
    fn make_ready(&mut self, due: Due, content_sealed: Option<Vec<u8>>) {
        self.ready.push(due.follow_up_id.0);
        self.ready_seen_at.push(due.updated_at);
        self.contents_sealed.push(content_sealed);
        self.channels.push(due.channel);
    }

    fn postpone(&mut self, due: &Due, until: DateTime<Utc>) {
        self.waiting.push(due.follow_up_id.0);
        self.waiting_until.push(until);
        self.waiting_seen_at.push(due.updated_at);
    }

    fn cancel(&mut self, due: &Due, reason: CancellationReason) {
        self.cancelled.push(due.follow_up_id.0);
        self.cancellation_reasons.push(reason.into());
        self.cancelled_seen_at.push(due.updated_at);
    }

    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.waiting.is_empty() && self.cancelled.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(trigger: FollowUpTrigger, time_zone: &str) -> Due {
        Due {
            follow_up_id: FollowUpId::generate(),
            conversation_id: ConversationId::parse("web-7f3a91".to_owned()).expect("an id"),
            trigger,
            time_zone: time_zone.to_owned(),
            channel: String::new(),
            has_content: true,
            metadata_sealed: None,
            expires_at: None,
            message_id: MessageId::generate(),
            due_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            is_escalated: false,
            user_came_back: false,
            recent_mean: None,
            is_consented: true,
        }
    }

    #[test]
    fn a_follow_up_waits_for_sending_hours_and_while_staff_lead_the_conversation() {
        let now: DateTime<Utc> = "2026-12-05T03:00:00Z".parse().expect("a time");
        let decide = |due: Due| due.decide(now, &SendingHours::default());
        assert_eq!(decide(due(FollowUpTrigger::PostEvent, "Asia/Tokyo")), Decision::Ready);
        let morning = "2026-12-05T08:00:00Z".parse().expect("a time");
        assert_eq!(decide(due(FollowUpTrigger::PostEvent, "Europe/Berlin")), Decision::WaitUntil(morning));
        let escalated = |trigger, zone| Due { is_escalated: true, ..due(trigger, zone) };
        let again = Decision::WaitUntil(now + CHECK_AGAIN);
        assert_eq!(decide(escalated(FollowUpTrigger::PostEvent, "Asia/Tokyo")), again);
        assert_eq!(decide(escalated(FollowUpTrigger::Custom, "Asia/Tokyo")), again);
        assert_eq!(decide(escalated(FollowUpTrigger::PostEvent, "Europe/Berlin")), Decision::WaitUntil(morning));
    }

    #[test]
    fn only_a_re_engagement_is_cancelled_when_its_user_came_back() {
        let now: DateTime<Utc> = "2026-12-05T03:00:00Z".parse().expect("a time");
        let decide = |trigger| {
            let due = Due { user_came_back: true, ..due(trigger, "Asia/Tokyo") };
            due.decide(now, &SendingHours::default())
        };
        let came_back = Decision::Cancel(CancellationReason::CustomerReturned);
        assert_eq!(decide(FollowUpTrigger::Reengagement), came_back);
        assert_eq!(decide(FollowUpTrigger::PostEvent), Decision::Ready);
    }

    #[test]
    fn what_the_customer_has_not_agreed_to_is_cancelled_also_while_it_would_have_to_wait() {
        let now: DateTime<Utc> = "2026-12-05T03:00:00Z".parse().expect("a time");
        for zone in ["Asia/Tokyo", "Europe/Berlin"] {
            let due = Due { is_consented: false, is_escalated: true, ..due(FollowUpTrigger::PostEvent, zone) };
            let decision = due.decide(now, &SendingHours::default());
            assert_eq!(decision, Decision::Cancel(CancellationReason::ConsentMissing));
        }
    }
}
