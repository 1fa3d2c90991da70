//! The lag of background work: the time from a reply until the work is visible.
//!
//! Measured from outside, as by a client: polled from the moment of the reply.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use teppan_shared::contract::conversation::v1::{FollowUpTrigger, GetConversationRequest, ListFollowUpsRequest};
use tokio_util::task::TaskTracker;

use crate::connections::Clients;

/// Work that is not visible by then counts as this late.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);
/// Polls are dense at first and rarer later: the error is at most a fifth of the lag, or one poll.
const POLL_FIRST: Duration = Duration::from_millis(1);
const POLL_SHARE: u32 = 5;
const HIGHEST_MICROS: u64 = 600_000_000;

/// The lags of one phase. Cheap to clone.
#[derive(Clone)]
pub struct Lags(Arc<Inner>);

struct Inner {
    polls: TaskTracker,
    aggregated: Mutex<Histogram<u64>>,
    delivered: Mutex<Histogram<u64>>,
}

impl Default for Lags {
    fn default() -> Self {
        let new = || Mutex::new(Histogram::new_with_bounds(1, HIGHEST_MICROS, 3).expect("the bounds are valid"));
        Self(Arc::new(Inner { polls: TaskTracker::new(), aggregated: new(), delivered: new() }))
    }
}

impl Lags {
    /// Polls from now on until the work is visible.
    pub fn watch(&self, work: Work) {
        let (lags, replied) = (self.clone(), Instant::now());
        self.0.polls.spawn(async move {
            work.done(replied).await;
            let micros = u64::try_from(replied.elapsed().as_micros()).unwrap_or(u64::MAX);
            let lags = match work.sign {
                VisibleResult::Aggregated { .. } => &lags.0.aggregated,
                VisibleResult::FollowUp => &lags.0.delivered,
            };
            lags.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
        });
    }

    /// Waits for the last poll, and returns both histograms in microseconds: until aggregated, until delivered.
    pub async fn finish(self) -> (Histogram<u64>, Histogram<u64>) {
        self.0.polls.close();
        self.0.polls.wait().await;
        let take = |lags: &Mutex<Histogram<u64>>| lags.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (take(&self.0.aggregated), take(&self.0.delivered))
    }
}

/// Background work that a call has caused.
pub struct Work {
    pub clients: Clients,
    pub conversation_id: String,
    pub sign: VisibleResult,
}

/// The visible result of the work.
pub enum VisibleResult {
    /// The conversation's statistics include the message with this sequence.
    Aggregated { sequence: i64 },
    /// The conversation has the follow-up of its booking.
    FollowUp,
}

impl Work {
    /// Waits until the work is done.
    pub async fn done(&self, since: Instant) {
        while !self.is_done().await && since.elapsed() < GIVE_UP_AFTER {
            tokio::time::sleep(POLL_FIRST.max(since.elapsed() / POLL_SHARE)).await;
        }
    }

    async fn is_done(&self) -> bool {
        let conversation_id = self.conversation_id.clone();
        match self.sign {
            VisibleResult::Aggregated { sequence } => {
                let get = GetConversationRequest { conversation_id };
                let answer = self.clients.conversations.clone().get_conversation(get).await;
                let conversation = answer.ok().and_then(|answer| answer.into_inner().conversation);
                let statistics = conversation.and_then(|conversation| conversation.emotion_statistics);
                statistics.is_some_and(|statistics| statistics.aggregated_through >= sequence)
            }
            VisibleResult::FollowUp => {
                let trigger = FollowUpTrigger::PostEvent.into();
                let list = ListFollowUpsRequest { conversation_id, trigger, page_size: 1, ..Default::default() };
                let answer = self.clients.follow_ups.clone().list_follow_ups(list).await;
                answer.is_ok_and(|answer| !answer.into_inner().follow_ups.is_empty())
            }
        }
    }
}
