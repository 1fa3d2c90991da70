//! Verifies the checkpoints themselves, and collects what they state about events.

use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::postgres::DatabaseError;

use crate::{
    checkpoints::{
        checkpoint::{Anchor, Chain, Checkpoint},
        keys::CheckpointKeys,
    },
    event_stream::stream::StreamPosition,
    verification::{
        Verification,
        anchors::Anchors,
        finding::{CheckpointRange, Finding, FindingReason},
    },
};

/// Checkpoints in one page, and about how many bytes of entries.
const PAGE_SIZE: i64 = 1_000;
const PAGE_BYTES: i64 = 1_000_000;

/// How long an event may wait for a checkpoint. A worker usually needs a second.
const WAIT_MAX: TimeDelta = TimeDelta::minutes(10);

/// Up to where every event must be covered by a checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct CoveredUntil {
    /// The position that the worker has reached.
    pub position: StreamPosition,
    /// [`WAIT_MAX`] before the newest sign of life in the database, so that events that wait are no findings in a
    /// database that was restored or whose services are stopped.
    pub occurred_at: Option<DateTime<Utc>>,
}

impl CoveredUntil {
    /// Whether an event at this position and time must be covered.
    pub fn includes(&self, position: StreamPosition, occurred_at: DateTime<Utc>) -> bool {
        position <= self.position || self.occurred_at.is_some_and(|until| occurred_at < until)
    }
}

/// The state of the database before its checkpoints are read.
#[derive(Debug)]
pub struct CheckpointBounds {
    position: StreamPosition,
    newest_event_at: Option<DateTime<Utc>>,
}

impl CheckpointBounds {
    /// `newest` is the newest checkpoint.
    pub fn covered_until(&self, newest: Option<&Anchor>, now: DateTime<Utc>) -> CoveredUntil {
        let newest_at = self.newest_event_at.max(newest.map(|newest| newest.created_at));
        let occurred_at = newest_at.map(|at| at.min(now) - WAIT_MAX);
        CoveredUntil { position: self.position, occurred_at }
    }
}

/// The result for all checkpoints.
#[derive(Debug, Default)]
pub struct CheckpointReport {
    pub findings: Vec<Finding>,
    pub count: u64,
    pub newest: Option<Anchor>,
}

/// Verifies checkpoints in the order of their numbers.
pub struct CheckpointAudit<'a> {
    keys: &'a CheckpointKeys,
    /// A checkpoint that must still be there.
    expected: Option<&'a Anchor>,
    is_expected_found: bool,
    chain: Chain,
    report: CheckpointReport,
}

impl<'a> CheckpointAudit<'a> {
    pub fn new(keys: &'a CheckpointKeys, expected: Option<&'a Anchor>) -> Self {
        let (chain, report) = (Chain::default(), CheckpointReport::default());
        Self { keys, expected, is_expected_found: false, chain, report }
    }

    fn take(&mut self, checkpoint: &Checkpoint) {
        let (checked, number) = (self.chain.check(checkpoint, self.keys), checkpoint.number);
        if let Some((first, last)) = checked.missing {
            self.add(FindingReason::CheckpointMissing, first, last);
        }
        if !checked.is_authentic {
            self.add(FindingReason::CheckpointForged, number, number);
        }
        let anchor = checkpoint.anchor();
        if let Some(expected) = self.expected.filter(|expected| expected.number == number) {
            self.is_expected_found = true;
            let differing = expected.differing(&anchor);
            if !differing.is_empty() {
                self.diverged(number, differing);
            }
        }
        self.report.count += 1;
        self.report.newest = Some(anchor);
    }

    /// Adds a finding, or extends the last one if it is about the checkpoints directly before: with another key, all
    /// are forged.
    fn add(&mut self, reason: FindingReason, first: i64, last: i64) {
        if let Some(Finding { reason: before, checkpoints: Some(range), .. }) = self.report.findings.last_mut()
            && *before == reason
            && range.last.checked_add(1) == Some(first)
        {
            range.last = last;
            return;
        }
        self.report.findings.push(Finding::of_checkpoints(reason, CheckpointRange { first, last }, Vec::new()));
    }

    fn diverged(&mut self, number: i64, fields: Vec<String>) {
        let range = CheckpointRange { first: number, last: number };
        self.report.findings.push(Finding::of_checkpoints(FindingReason::CheckpointDiverged, range, fields));
    }

    /// The result after the last checkpoint.
    pub fn finish(mut self) -> CheckpointReport {
        if let Some(expected) = self.expected.filter(|_| !self.is_expected_found) {
            self.diverged(expected.number, vec!["number".to_owned()]);
        }
        self.report
    }
}

impl Verification {
    /// Reads up to where checkpoints must cover the events. Call it before the checkpoints are read.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn checkpoint_bounds(&self) -> Result<CheckpointBounds, DatabaseError> {
        let bounds = || sqlx::query_file!("src/verification/checkpoint_bounds.sql");
        let row = self.database.fetch_one(bounds).await?;
        let (transaction_position, version) = (row.position, row.version);
        let position = StreamPosition { transaction_position, version, event_id: row.event_id };
        Ok(CheckpointBounds { position, newest_event_at: row.newest_event_at })
    }

    /// Verifies the next page of checkpoints, and keeps their entries. Returns the last number of the page; `None`
    /// after the last page.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn verify_checkpoints(
        &self,
        after: i64,
        audit: &mut CheckpointAudit<'_>,
        anchors: &mut Anchors,
    ) -> Result<Option<i64>, DatabaseError> {
        let page =
            || sqlx::query_file_as!(Checkpoint, "src/verification/checkpoints.sql", after, PAGE_SIZE, PAGE_BYTES);
        let page = self.database.fetch_all(page).await?;
        for checkpoint in &page {
            audit.take(checkpoint);
            checkpoint.entries().for_each(|entry| anchors.keep(entry));
        }
        Ok(page.last().map(|last| last.number))
    }
}
