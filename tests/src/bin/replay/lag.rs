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
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);
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
    /// Looks from now on until the work is to be seen.
    pub fn watch(&self, work: Work) {
        let (lags, replied) = (self.clone(), Instant::now());
        self.0.looks.spawn(async move {
            work.done(replied).await;
            let micros = u64::try_from(replied.elapsed().as_micros()).unwrap_or(u64::MAX);
            let lags = match work.sign {
                Sign::Aggregated { .. } => &lags.0.aggregated,
                Sign::FollowUp => &lags.0.delivered,
            };
            lags.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
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

/// Work that a reply left to be done.
pub struct Work {
    pub clients: Clients,
    pub conversation_id: String,
    pub sign: Sign,
}

/// By what it is seen that it is done.
pub enum Sign {
    /// The conversation's statistics include the message with this sequence.
    Aggregated { sequence: i64 },
    /// The conversation has the follow-up of its booking.
    FollowUp,
}

impl Work {
    /// Waits until it is done.
    pub async fn done(&self, since: Instant) {
        while !self.is_done().await && since.elapsed() < GIVE_UP_AFTER {
            tokio::time::sleep(LOOK_FIRST.max(since.elapsed() / LOOK_SHARE)).await;
        }
    }

    async fn is_done(&self) -> bool {
        let conversation_id = self.conversation_id.clone();
        match self.sign {
            Sign::Aggregated { sequence } => {
                let get = GetConversationRequest { conversation_id };
                let answer = self.clients.conversations.clone().get_conversation(get).await;
                let conversation = answer.ok().and_then(|answer| answer.into_inner().conversation);
                let statistics = conversation.and_then(|conversation| conversation.emotion_statistics);
                statistics.is_some_and(|statistics| statistics.aggregated_through >= sequence)
            }
            Sign::FollowUp => {
                let trigger = FollowUpTrigger::PostEvent.into();
                let list = ListFollowUpsRequest { conversation_id, trigger, page_size: 1, ..Default::default() };
                let answer = self.clients.follow_ups.clone().list_follow_ups(list).await;
                answer.is_ok_and(|answer| !answer.into_inner().follow_ups.is_empty())
            }
        }
    }
}
