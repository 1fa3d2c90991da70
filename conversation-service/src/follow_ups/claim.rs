use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use chrono::TimeDelta;
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    sealing::Hashes,
    server::{Bounds, TooManyWaitingCalls},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{
    BatchSize, ClaimToken, Claimant, ClosedZones, FollowUp, FollowUpRow, FollowUps, LeaseSeconds,
    metrics::FollowUpChange, ready::CHECK_AGAIN,
};
use crate::domain::{Channel, IdempotencyKey, UserId};

/// The most runs of the statement for one query. A run that returns `again` has postponed its candidates, or other
/// calls have taken them. The next run reads twice as many.
const RUNS_MAX: u32 = 8;
/// The most candidates of a run in a channel.
const CANDIDATES_MAX: i64 = 128;
/// A claim takes no more follow-ups when texts and metadata together exceed this. With the other fields of a hundred
/// follow-ups, the answer stays below the 4 MiB that gRPC clients accept by default.
const ANSWER_BYTES_MAX: i64 = 2 << 20;
/// The room that a call reserves for its answer before it claims. If the answer were dropped, the follow-ups would stay
/// claimed until their leases end.
const ANSWER_ROOM_BYTES: usize = 4 << 20;
/// How often a waiting call queries without a wake-up. It finds follow-ups that another replica made ready, and those
/// that are due again after a failed attempt.
const QUERY_EVERY: Duration = Duration::from_secs(1);
/// The most waiting calls that query the database at once, so that calls that wake up together do not fill its queue.
const QUERIES_AT_ONCE: usize = 4;
/// With many waiting calls, each queries less often: all together at most 50 times a second.
const QUERY_EVERY_PER_WAITER: Duration = Duration::from_millis(20);

/// The request of a sender.
#[derive(Debug, Clone)]
pub struct Claim {
    pub claimant: Claimant,
    pub key: Option<IdempotencyKey>,
    pub batch: BatchSize,
    pub lease: LeaseSeconds,
    /// In a fixed order. Empty means any channel, or none.
    pub channels: Vec<Channel>,
}

/// A claimed follow-up, with its text and channel.
pub struct Claimed {
    pub follow_up: FollowUp,
    /// The customer of the conversation, or else of the follow-up.
    pub user_id: Option<UserId>,
    pub token: ClaimToken,
}

/// Why nothing was claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("the key belongs to another request")]
    KeyReused,
    #[error(transparent)]
    TooManyWaitingCalls(#[from] TooManyWaitingCalls),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// The calls that wait until a follow-up is due.
pub struct WaitingClaims {
    /// Wakes them.
    pub ready: Notify,
    count: AtomicU32,
    /// Limits the number of calls that query the database at once.
    queries: Semaphore,
}

impl Default for WaitingClaims {
    fn default() -> Self {
        Self { ready: Notify::new(), count: AtomicU32::new(0), queries: Semaphore::new(QUERIES_AT_ONCE) }
    }
}

/// Counts a waiting call until it is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }

    fn query_every(&self) -> Duration {
        QUERY_EVERY.max(QUERY_EVERY_PER_WAITER * self.0.load(Relaxed))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl FollowUps {
    /// Claims due follow-ups. If none are due, waits for them until `until`, or until the call's connection is
    /// draining. A waiting call holds no database connection and does not count as work.
    ///
    /// # Errors
    /// [`ClaimError`]. If the database does not answer, follow-ups may have been claimed. A call with the same key
    /// returns them; without a key they are due again when their leases end.
    pub async fn claim(&self, claim: &Claim, until: Instant, bounds: &Bounds) -> Result<Vec<Claimed>, ClaimError> {
        if until <= Instant::now() {
            bounds.answer_room(ANSWER_ROOM_BYTES).await;
            return self.query(claim).await;
        }
        let wait = bounds.wait(ANSWER_ROOM_BYTES)?;
        let waiting = Waiting::begin(&self.claims.count);
        let over = async {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = bounds.draining() => {}
            }
        };
        tokio::pin!(over);
        loop {
            // Before the query: a follow-up that becomes ready in between wakes the call.
            let ready = self.claims.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let permit = async {
                loop {
                    // Room first, so that calls of a client without room do not fill the query queue.
                    wait.room().await;
                    let query = self.claims.queries.acquire().await;
                    if wait.resume() {
                        break query;
                    }
                }
            };
            let claimed = tokio::select! {
                _permit = permit => self.query(claim).await?,
                () = &mut over => return Ok(Vec::new()),
            };
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            wait.pause();
            tokio::select! {
                () = ready => {}
                () = tokio::time::sleep(waiting.query_every()) => {}
                () = &mut over => return Ok(Vec::new()),
            }
        }
    }

    async fn query(&self, claim: &Claim) -> Result<Vec<Claimed>, ClaimError> {
        let closed = self.closed_zones.at(self.clock.now(), &self.scheduling.sending_hours);
        for run in 0..RUNS_MAX {
            let candidates = (i64::from(claim.batch.get()) << run).min(CANDIDATES_MAX);
            let rows = self.claim_once(claim, candidates, &closed).await?;
            match rows.first().map(|row| row.outcome.as_str()) {
                Some("claimed") => {
                    let claimed: Vec<_> = rows.into_iter().filter_map(|row| self.open_claimed(row)).collect();
                    // If none could be opened, others may be due. With a key, the next run would return the same ones.
                    if !claimed.is_empty() || claim.key.is_some() {
                        return Ok(claimed);
                    }
                }
                Some("reused") => return Err(ClaimError::KeyReused),
                Some("again") => {}
                _ => return Ok(Vec::new()),
            }
        }
        Ok(Vec::new())
    }

    async fn claim_once(
        &self,
        claim: &Claim,
        candidates: i64,
        closed: &ClosedZones,
    ) -> Result<Vec<Answer>, DatabaseError> {
        let now = self.clock.now();
        let lease_expires_at = now + TimeDelta::seconds(claim.lease.get().into());
        let only = || claim.channels.iter().map(AsRef::as_ref).collect();
        let channels: Vec<&str> = if claim.channels.is_empty() { Channel::columns() } else { only() };
        let fingerprint = self.claim_fingerprint(claim);
        let statement = || {
            sqlx::query_file_as!(
                Answer,
                "src/follow_ups/claim.sql",
                now,
                lease_expires_at,
                &channels as &[&str],
                i64::from(claim.batch.get()),
                claim.claimant.as_str(),
                claim.key.as_ref().map(IdempotencyKey::as_str),
                &fingerprint.all(),
                now + CHECK_AGAIN,
                candidates,
                &closed.names as &[&str],
                &closed.open_at,
                ANSWER_BYTES_MAX,
            )
        };
        let rows = self.database.fetch_all(statement).await?;
        let withheld = rows.first().map_or(0, |row| u64::try_from(row.withheld).unwrap_or(0));
        self.metrics.changed(FollowUpChange::Withheld, withheld);
        // A repeated claim returns earlier claims, which are already counted.
        for row in rows.iter().filter_map(|row| row.follow_up.as_ref()).filter(|row| row.updated_at == now) {
            let claimable_since = row.next_attempt_at.unwrap_or(now);
            self.metrics.claimed((now - claimable_since).to_std().unwrap_or_default());
        }
        Ok(rows)
    }

    /// The request without its key and its wait, as a keyed hash.
    fn claim_fingerprint(&self, claim: &Claim) -> Hashes {
        let mut fields = vec![
            b"ClaimDueFollowUps".to_vec(),
            claim.claimant.as_str().into(),
            claim.batch.get().to_be_bytes().into(),
            claim.lease.get().to_be_bytes().into(),
        ];
        fields.extend(claim.channels.iter().map(|channel| channel.as_ref().into()));
        self.dispatch_fingerprint.hash(fields.iter().map(Vec::as_slice))
    }

    /// `None` when a follow-up cannot be opened; the sender still gets the others. It is due again when its lease ends,
    /// until its attempts are exhausted.
    fn open_claimed(&self, answer: Answer) -> Option<Claimed> {
        let row = answer.follow_up?;
        row.link_to_scheduling();
        let (id, claim) = (row.follow_up_id, row.claim_token?);
        let user_sealed = answer.user_sealed.as_ref().or(row.user_sealed.as_ref());
        let user_id = self.users.open(&row.conversation_id, user_sealed.map(Vec::as_slice));
        match user_id.and_then(|user_id| Ok((user_id, row.open(&self.ring)?))) {
            Ok((user_id, follow_up)) => {
                let FollowUpRow { message_id, conversation_id, .. } = &follow_up.row;
                let token = ClaimToken { claim, message_id: *message_id, conversation_id: conversation_id.clone() };
                Some(Claimed { follow_up, user_id, token })
            }
            Err(error) => {
                tracing::error!(follow_up_id = %id, error = error_chain(&error), "opening a claimed follow-up failed");
                None
            }
        }
    }
}

/// A row of `claim.sql`, which explains the outcomes.
struct Answer {
    outcome: String,
    follow_up: Option<FollowUpRow>,
    /// How many this run cancelled for a missing consent; the same in every row.
    withheld: i64,
    /// The user of the conversation.
    user_sealed: Option<Vec<u8>>,
}
