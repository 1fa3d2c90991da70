//! Verifies the checkpoints of the events, and compares them with the file of an earlier run.

use uuid::Uuid;

use super::{CheckpointFile, CommandError, Run};
use crate::{
    commands::verify_events::progress::Progress,
    verification::{
        anchors::{Anchors, ENTRIES_MAX},
        checkpoints::{CheckpointAudit, CoveredUntil},
    },
};

/// What the checkpoints state about the events.
pub struct Covered {
    pub anchors: Anchors,
    pub until: CoveredUntil,
}

impl Run<'_> {
    /// Verifies the checkpoints, and reports every finding. `None` when interrupted.
    pub(super) async fn verify_checkpoints(&mut self) -> Result<Option<Covered>, CommandError> {
        let expected = self.checkpoint_file.map(CheckpointFile::read).transpose()?.flatten();
        // Before the checkpoints, which may be written meanwhile.
        let bounds = self.verification.checkpoint_bounds().await?;
        let verification = self.verification;
        let mut audit = CheckpointAudit::new(&verification.checkpoint_keys, expected.as_ref());
        let progress = Progress::start("checkpoints");
        let anchors = self.read_anchors(self.scope.first(), &mut audit, &progress).await?;
        let Some(anchors) = anchors else { return Ok(None) };
        let report = audit.finish();
        for finding in &report.findings {
            self.report(finding, &progress);
        }
        progress.finish();
        let until = bounds.covered_until(report.newest.as_ref(), verification.clock.now());
        self.tally.checkpoints = report.count;
        self.newest_checkpoint = report.newest;
        Ok(Some(Covered { anchors, until }))
    }

    /// Reads the checkpoints again for the bookings from `first` on, if too many were read to keep the entries of all.
    /// Returns whether it was not interrupted.
    pub(super) async fn extend_to(&self, first: Uuid, covered: &mut Covered) -> Result<bool, CommandError> {
        if first <= covered.anchors.last() {
            return Ok(true);
        }
        // The first reading has reported the findings.
        let mut audit = CheckpointAudit::new(&self.verification.checkpoint_keys, None);
        let progress = Progress::start("checkpoints");
        let anchors = self.read_anchors(first, &mut audit, &progress).await?;
        progress.finish();
        let Some(anchors) = anchors else { return Ok(false) };
        covered.anchors = anchors;
        Ok(true)
    }

    async fn read_anchors(
        &self,
        first: Uuid,
        audit: &mut CheckpointAudit<'_>,
        progress: &Progress,
    ) -> Result<Option<Anchors>, CommandError> {
        let mut anchors = Anchors::new(first, self.scope.last(), ENTRIES_MAX);
        let mut after = 0;
        while let Some(last) = self.verification.verify_checkpoints(after, audit, &mut anchors).await? {
            if self.stopping.is_cancelled() {
                return Ok(None);
            }
            progress.advance(last.abs_diff(after));
            after = last;
        }
        anchors.sort();
        Ok(Some(anchors))
    }

    /// Writes the newest checkpoint to the file. Call it when there are no findings: after a finding, the file must
    /// keep the checkpoint that the next run has to find.
    pub(super) fn renew_checkpoint_file(&self) -> Result<(), CommandError> {
        match (self.checkpoint_file, &self.newest_checkpoint) {
            (None, _) => {}
            (Some(_), None) => eprintln!("The checkpoint file was not written: there is no checkpoint yet."),
            (Some(file), Some(newest)) => file.write(newest)?,
        }
        Ok(())
    }

    pub(super) fn summarize_checkpoints(&self) {
        let (count, waiting) = (self.tally.checkpoints, self.tally.waiting);
        let newest = self.newest_checkpoint.as_ref().map_or(String::new(), |newest| {
            let written_at = newest.created_at.format("%Y-%m-%d %H:%M:%S");
            format!(", the newest of {written_at} UTC over {} events", newest.event_count)
        });
        eprintln!("Verified {count} checkpoints{newest}. Events that wait for a checkpoint: {waiting}.");
    }
}
