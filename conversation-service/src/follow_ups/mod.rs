//! Follow-ups: messages that are scheduled to be sent later.

mod answer;
mod cancel;
mod claim;
mod claim_terms;
mod clock;
mod complete;
mod delete_customer;
mod due;
mod fail;
mod follow_up;
mod list;
mod metrics;
mod purpose;
mod ready;
mod record_consent;
mod reengage;
mod reminders;
mod schedule;
mod sending_hours;
mod template_file;
mod templates;

use std::sync::Arc;

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
    worker::Nudge,
};

pub use self::{
    cancel::{CancelFollowUpError, Cancelled, ToCancel},
    claim::{Claim, ClaimError, Claimed},
    claim_terms::{BatchSize, ClaimToken, Claimant, LeaseSeconds, RetrySeconds, WaitSeconds},
    clock::FollowUpClock,
    complete::{CompleteFollowUpError, Completed, Completion},
    delete_customer::CustomerDeleted,
    due::{Due, FollowUpKey, NewFollowUp},
    fail::{FailFollowUpError, Failure},
    follow_up::{
        CancellationReason, FailureReason, FollowUp, FollowUpId, FollowUpRow, FollowUpStatus, FollowUpTrigger, Subject,
    },
    list::{FollowUpCursor, FollowUpFilter, FollowUpOrder, FollowUpPage, ListFollowUpsError},
    purpose::{Consent, ConsentVersion, CustomerId, FollowUpPurpose},
    record_consent::ConsentRecorded,
    reengage::Reengagement,
    reminders::{MinutesBefore, Reminders, Revision},
    schedule::{ScheduleFollowUpError, ScheduleOutcome, Scheduled},
    sending_hours::{ClosedZones, ClosedZonesCache, SendingHours},
    template_file::TemplateFile,
    templates::{Mood, Templates},
};
use self::{claim::WaitingClaims, metrics::FollowUpMetrics};
use crate::{
    events::Events,
    settings::{DispatchSettings, SchedulingSettings, Settings},
    users::Users,
};

/// Schedules follow-ups, makes them ready when they are due, and gives them to senders.
pub struct FollowUps {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    ring: KeyRing,
    users: Arc<Users>,
    /// Compares calls with the same idempotency key.
    fingerprint: KeyedHash,
    /// Compares claims with the same key, and messages of follow-ups.
    dispatch_fingerprint: KeyedHash,
    pub(crate) scheduling: SchedulingSettings,
    dispatch: DispatchSettings,
    claims: WaitingClaims,
    closed_zones: ClosedZonesCache,
    /// Wakes the follow-up clock when a new follow-up may already be due.
    due: Nudge,
    events: Events,
    metrics: FollowUpMetrics,
}

impl FollowUps {
    pub fn new(database: Database, keys: &Keys, users: Arc<Users>, settings: &Settings, events: Events) -> Self {
        Self {
            database,
            clock: settings.clock,
            ring: keys.ring(),
            users,
            fingerprint: keys.hash("teppan conversation messages.fingerprint"),
            dispatch_fingerprint: keys.hash("teppan follow_ups.fingerprint"),
            scheduling: settings.scheduling.clone(),
            dispatch: settings.dispatch.clone(),
            claims: WaitingClaims::default(),
            closed_zones: ClosedZonesCache::default(),
            due: Nudge::default(),
            events,
            metrics: FollowUpMetrics::default(),
        }
    }

    /// Wakes the follow-up clock and the waiting claims, after follow-ups were released that had waited for a person.
    pub fn released(&self) {
        self.due.nudge();
        self.claims.ready.notify_waiters();
    }

    /// Wakes the follow-up clock.
    pub fn due(&self) -> Nudge {
        self.due.clone()
    }
}
