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
    BatchSize, ClaimToken, Claimant, ClosedZones, FollowUp, FollowUps, LeaseTime, clock::LOOK_AGAIN,
    dispatch_row::DispatchRow,
};
use crate::domain::{Channel, IdempotencyKey};

/// How often the statement is run for one look. Each run that ends with `again` has moved what it
/// looked at out of the way, or others have; the next one looks at twice as many.
const RUNS_MAX: u32 = 8;
/// Most that a run looks at in a channel.
const LOOK_MAX: i64 = 128;
/// No further follow-up is claimed once texts and metadata exceed this together. With everything else of a
/// hundred follow-ups the answer stays below the 4 MiB that gRPC clients accept by default.
const ANSWER_BYTES_MAX: i64 = 2 << 20;
/// Room that is taken for the answer before anything is claimed: what an answer cannot carry would stay claimed until
/// its lease ends.
const ANSWER_ROOM_BYTES: usize = 4 << 20;
/// While a call waits, how often it looks without being told: what another replica made ready, and
/// what comes back after a failed attempt.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Waiting calls that query the database at once: many that wake up together must not fill its queue.
const LOOKS_AT_ONCE: usize = 4;
/// Each waiting call looks less often when there are many: together they query at most 50 times a second.
const LOOK_EVERY_PER_WAITER: Duration = Duration::from_millis(20);

/// What a sender asks for.
#[derive(Debug, Clone)]
pub struct Claim {
    pub claimant: Claimant,
    pub key: Option<IdempotencyKey>,
    pub batch: BatchSize,
    pub lease: LeaseTime,
    /// In a fixed order. Empty: any, also none.
    pub channels: Vec<Channel>,
}

/// A follow-up that was handed out, its text and channel in it.
pub struct Claimed {
    pub follow_up: FollowUp,
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
        Self { ready: Notify::new(), count: AtomicU32::new(0), queries: Semaphore::new(LOOKS_AT_ONCE) }
    }
}

/// A call that is counted as waiting until this is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY.max(LOOK_EVERY_PER_WAITER * self.0.load(Relaxed))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl FollowUps {
    /// Hands out what is due, or waits for it until `until`, or until the call's connection takes no more calls.
    /// A call that waits holds no connection to the database, and does not count as work.
    ///
    /// # Errors
    /// [`ClaimError`]. When the database gave no answer, something may have been claimed: the same
    /// key tells, and without one it comes back when the lease is over.
    pub async fn claim(&self, claim: &Claim, until: Instant, bounds: &Bounds) -> Result<Vec<Claimed>, ClaimError> {
        if until <= Instant::now() {
            bounds.answer_room(ANSWER_ROOM_BYTES).await;
            return self.look(claim).await;
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
            // Listened to before looking: what becomes ready in between wakes up.
            let ready = self.claims.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let turn = async {
                loop {
                    // First the room: one client's calls that have none must not fill the queue of looks.
                    wait.room().await;
                    let look = self.claims.queries.acquire().await;
                    if wait.resume() {
                        break look;
                    }
                }
            };
            let claimed = tokio::select! {
                _look = turn => self.look(claim).await?,
                () = &mut over => return Ok(Vec::new()),
            };
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            wait.pause();
            tokio::select! {
                () = ready => {}
                () = tokio::time::sleep(waiting.look_every()) => {}
                () = &mut over => return Ok(Vec::new()),
            }
        }
    }

    async fn look(&self, claim: &Claim) -> Result<Vec<Claimed>, ClaimError> {
        let closed = self.scheduling.sending_hours.closed_zones(self.clock.now());
        for run in 0..RUNS_MAX {
            let look_at = (i64::from(claim.batch.get()) << run).min(LOOK_MAX);
            let rows = self.claim_once(claim, look_at, &closed).await?;
            match rows.first().map(|row| row.outcome.as_str()) {
                Some("claimed") => {
                    let claimed: Vec<_> = rows.into_iter().filter_map(|row| self.hand_out(row)).collect();
                    // When none of them can be read there may be others. With a key the same ones would come again.
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
        look_at: i64,
        closed: &ClosedZones,
    ) -> Result<Vec<DispatchRow>, DatabaseError> {
        let now = self.clock.now();
        let lease_expires_at = now + TimeDelta::seconds(claim.lease.seconds().into());
        let every = || Channel::ALL.into_iter().map(Channel::as_column).chain([""]).collect();
        let only = || claim.channels.iter().map(|channel| channel.as_column()).collect();
        let channels: Vec<&str> = if claim.channels.is_empty() { every() } else { only() };
        let fingerprint = self.claim_fingerprint(claim);
        let statement = || {
            sqlx::query_file_as!(
                DispatchRow,
                "src/follow_ups/claim.sql",
                now,
                lease_expires_at,
                &channels as &[&str],
                i64::from(claim.batch.get()),
                claim.claimant.as_str(),
                claim.key.as_ref().map(IdempotencyKey::as_str),
                &fingerprint,
                now + LOOK_AGAIN,
                look_at,
                &closed.names as &[&str],
                &closed.open_at,
                ANSWER_BYTES_MAX,
            )
        };
        let rows = self.database.fetch_all(statement).await?;
        // A repeated claim shows what was claimed before.
        for row in rows.iter().filter(|row| row.outcome == "claimed" && row.updated_at == Some(now)) {
            let claimable_since = row.next_attempt_at.unwrap_or(now);
            self.metrics.claimed((now - claimable_since).to_std().unwrap_or_default());
        }
        Ok(rows)
    }

    /// The request without its key, as a keyed hash. How long it waits is not what it asks for.
    fn claim_fingerprint(&self, claim: &Claim) -> [u8; 32] {
        let mut fields = vec![
            b"ClaimDueFollowUps".to_vec(),
            claim.claimant.as_str().into(),
            claim.batch.get().to_be_bytes().into(),
            claim.lease.seconds().to_be_bytes().into(),
        ];
        fields.extend(claim.channels.iter().map(|channel| channel.as_column().into()));
        self.dispatch_fingerprint.hash(fields.iter().map(Vec::as_slice))
    }

    /// `None` when it cannot be read: that must not keep the others from their senders. It comes back
    /// when its lease is over, until its attempts are used up.
    fn hand_out(&self, row: DispatchRow) -> Option<Claimed> {
        row.link_to_scheduling();
        let (id, claim) = (row.follow_up_id, row.claim_token?);
        match row.open(&self.ring) {
            Ok(follow_up) => Some(Claimed { token: ClaimToken { claim, message_id: follow_up.message_id }, follow_up }),
            Err(error) => {
                tracing::error!(follow_up_id = ?id, error = error_chain(&error), "a follow-up cannot be read");
                None
            }
        }
    }
}
