use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use chrono::TimeDelta;
use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    server::{Bounds, TooManyWait},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{
    BatchSize, ClaimToken, Claimant, ClosedZones, FollowUp, FollowUpRow, FollowUps, LeaseSeconds, ready::CHECK_AGAIN,
};
use crate::domain::{Channel, IdempotencyKey, UserId};

/// Runs of the statement for one query. A run that ends with `again` has postponed its candidates, or other
/// calls took them; the next one reads twice as many.
const RUNS_MAX: u32 = 8;
/// Most candidates of a run in a channel.
const CANDIDATES_MAX: i64 = 128;
/// A claim ends when texts and metadata together exceed this. With everything else of a hundred follow-ups the
/// answer stays below the 4 MiB that gRPC clients accept by default.
const ANSWER_BYTES_MAX: i64 = 2 << 20;
/// Room that a call reserves for its answer before it claims: what an answer cannot carry would stay claimed until
/// its lease ends.
const ANSWER_ROOM_BYTES: usize = 4 << 20;
/// How often a waiting call queries without a wake-up: for what another replica made ready, and what comes back
/// after a failed attempt.
const QUERY_EVERY: Duration = Duration::from_secs(1);
/// Waiting calls that query the database at once: many that wake up together must not fill its queue.
const QUERIES_AT_ONCE: usize = 4;
/// With many waiting calls each queries less often: together at most 50 times a second.
const QUERY_EVERY_PER_WAITER: Duration = Duration::from_millis(20);

/// The request of a sender.
#[derive(Debug, Clone)]
pub struct Claim {
    pub claimant: Claimant,
    pub key: Option<IdempotencyKey>,
    pub batch: BatchSize,
    pub lease: LeaseSeconds,
    /// In a fixed order. Empty: any, also none.
    pub channels: Vec<Channel>,
}

/// A claimed follow-up, with its text and channel.
pub struct Claimed {
    pub follow_up: FollowUp,
    /// The customer, as the conversation or the follow-up knows them.
    pub user_id: Option<UserId>,
    pub token: ClaimToken,
}

/// Why nothing was claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("the key belongs to another request")]
    KeyReused,
    #[error(transparent)]
    TooManyWait(#[from] TooManyWait),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// The calls that wait for a follow-up to fall due.
pub struct WaitingClaims {
    /// Wakes them.
    pub ready: Notify,
    count: AtomicU32,
    /// Bounds how many of them query the database at once.
    queries: Semaphore,
}

impl Default for WaitingClaims {
    fn default() -> Self {
        Self { ready: Notify::new(), count: AtomicU32::new(0), queries: Semaphore::new(QUERIES_AT_ONCE) }
    }
}

/// A call that is counted as waiting until this is dropped.
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
    /// Claims what is due, or waits for it until `until`, or until the call's connection is draining. A waiting
    /// call holds no connection to the database, and does not count as work.
    ///
    /// # Errors
    /// [`ClaimError`]. When the database gave no answer, something may have been claimed: a call with the same key
    /// returns it, and without a key it comes back when the lease is over.
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
                    // Room first: calls of a client without room must not fill the queue of queries.
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
        let closed = self.scheduling.sending_hours.closed_zones(self.clock.now());
        for run in 0..RUNS_MAX {
            let candidates = (i64::from(claim.batch.get()) << run).min(CANDIDATES_MAX);
            let rows = self.claim_once(claim, candidates, &closed).await?;
            match rows.first().map(|row| row.outcome.as_str()) {
                Some("claimed") => {
                    let claimed: Vec<_> = rows.into_iter().filter_map(|row| self.hand_out(row)).collect();
                    // When none can be read there may be others. A key would only return the same ones.
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
                &fingerprint,
                now + CHECK_AGAIN,
                candidates,
                &closed.names as &[&str],
                &closed.open_at,
                ANSWER_BYTES_MAX,
            )
        };
        let rows = self.database.fetch_all(statement).await?;
        // A repeated claim returns claims of before, which are counted already.
        for row in rows.iter().filter_map(|row| row.follow_up.as_ref()).filter(|row| row.updated_at == now) {
            let claimable_since = row.next_attempt_at.unwrap_or(now);
            self.metrics.claimed((now - claimable_since).to_std().unwrap_or_default());
        }
        Ok(rows)
    }

    /// The request without its key and its wait, as a keyed hash.
    fn claim_fingerprint(&self, claim: &Claim) -> [u8; 32] {
        let mut fields = vec![
            b"ClaimDueFollowUps".to_vec(),
            claim.claimant.as_str().into(),
            claim.batch.get().to_be_bytes().into(),
            claim.lease.get().to_be_bytes().into(),
        ];
        fields.extend(claim.channels.iter().map(|channel| channel.as_ref().into()));
        self.dispatch_fingerprint.hash(fields.iter().map(Vec::as_slice))
    }

    /// `None` when it cannot be read: the sender still gets the others. It comes back when its lease is over, until
    /// its attempts are used up.
    fn hand_out(&self, answer: Answer) -> Option<Claimed> {
        let row = answer.follow_up?;
        row.link_to_scheduling();
        let (id, claim, user_id) = (row.follow_up_id, row.claim_token?, answer.user_id.or(row.user_id.clone()));
        match row.open(&self.ring) {
            Ok(follow_up) => {
                let token = ClaimToken { claim, message_id: follow_up.row.message_id };
                Some(Claimed { follow_up, user_id, token })
            }
            Err(error) => {
                tracing::error!(follow_up_id = %id, error = error_chain(&error), "a follow-up cannot be read");
                None
            }
        }
    }
}

/// A row of the statement, whose comment says what each outcome means.
struct Answer {
    outcome: String,
    follow_up: Option<FollowUpRow>,
    /// The customer, as the conversation knows them.
    user_id: Option<UserId>,
}
