//! How long after a reply its background work is to be seen.
//!
//! Measured from outside, as a client would: asked for again and again from the moment of the reply.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use teppan_shared::contract::conversation::v1::{FollowUpTrigger, GetConversationRequest, ListFollowUpsRequest};
use tokio_util::task::TaskTracker;

use crate::connections::Clients;

/// What is not to be seen by then counts as this late.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// Looks are dense at first and rarer later: the error is at most a fifth of the lag, or one look.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_SHARE: u32 = 5;
const HIGHEST_MICROS: u64 = 600_000_000;

/// The lags of one phase. Cheap to clone.
#[derive(Clone)]
pub struct Lags(Arc<Inner>);

struct Inner {
    looks: TaskTracker,
    aggregated: Mutex<Histogram<u64>>,
    delivered: Mutex<Histogram<u64>>,
}

impl Default for Lags {
    fn default() -> Self {
        let new = || Mutex::new(Histogram::new_with_bounds(1, HIGHEST_MICROS, 3).expect("these bounds are in order"));
        Self(Arc::new(Inner { looks: TaskTracker::new(), aggregated: new(), delivered: new() }))
    }
}

impl Lags {
    /// Looks from now on until the statistics of a conversation include this message.
    pub fn watch_aggregation(&self, clients: Clients, conversation_id: String, sequence: i64) {
        let (lags, replied) = (self.clone(), Instant::now());
        self.0.looks.spawn(async move {
            until(replied, async || is_aggregated(&clients, &conversation_id, sequence).await).await;
            record(&lags.0.aggregated, replied.elapsed());
        });
    }

    /// Looks from now on until the follow-up of a booking's conversation is scheduled.
    pub fn watch_delivery(&self, clients: Clients, conversation_id: String) {
        let (lags, replied) = (self.clone(), Instant::now());
        self.0.looks.spawn(async move {
            until(replied, async || has_follow_up(&clients, &conversation_id).await).await;
            record(&lags.0.delivered, replied.elapsed());
        });
    }

    /// Waits for the last look, and gives both histograms, in microseconds: to aggregated, to delivered.
    pub async fn finish(self) -> (Histogram<u64>, Histogram<u64>) {
        self.0.looks.close();
        self.0.looks.wait().await;
        let take = |lags: &Mutex<Histogram<u64>>| lags.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (take(&self.0.aggregated), take(&self.0.delivered))
    }
}

fn record(lags: &Mutex<Histogram<u64>>, lag: Duration) {
    let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
    lags.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
}

/// Looks until it holds.
pub async fn until(since: Instant, mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await && since.elapsed() < GIVE_UP_AFTER {
        tokio::time::sleep(LOOK_FIRST.max(since.elapsed() / LOOK_SHARE)).await;
    }
}

/// Whether the statistics of a conversation include the message with this sequence.
pub async fn is_aggregated(clients: &Clients, conversation_id: &str, sequence: i64) -> bool {
    let get = GetConversationRequest { conversation_id: conversation_id.to_owned() };
    let answer = clients.conversations.clone().get_conversation(get).await;
    let conversation = answer.ok().and_then(|answer| answer.into_inner().conversation);
    let statistics = conversation.and_then(|conversation| conversation.emotion_statistics);
    statistics.is_some_and(|statistics| statistics.aggregated_through >= sequence)
}

/// Whether a conversation has the follow-up of its booking.
pub async fn has_follow_up(clients: &Clients, conversation_id: &str) -> bool {
    let list = ListFollowUpsRequest {
        conversation_id: conversation_id.to_owned(),
        trigger: FollowUpTrigger::PostEvent.into(),
        page_size: 1,
        ..Default::default()
    };
    let answer = clients.follow_ups.clone().list_follow_ups(list).await;
    answer.is_ok_and(|answer| !answer.into_inner().follow_ups.is_empty())
}
