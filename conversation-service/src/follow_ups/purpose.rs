use uuid::Uuid;

use super::FollowUpTrigger;
use crate::domain::Channel;

/// The id of a customer, which booking-service makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomerId(pub Uuid);

impl CustomerId {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        Uuid::try_parse(raw).map(Self).map_err(|_| "must be a UUID")
    }
}

/// What a follow-up is for. The customer's consent for it decides whether the follow-up is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type, strum::AsRefStr)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum FollowUpPurpose {
    /// About the customer's own bookings and conversations. Allowed unless the customer has declined.
    Transactional,
    /// Forbidden unless the customer has agreed.
    Marketing,
}

impl FollowUpTrigger {
    /// The purpose when the call that schedules the follow-up gives none.
    pub fn purpose(self) -> FollowUpPurpose {
        match self {
            Self::PostEvent | Self::EmotionBased | Self::Custom | Self::Reminder => FollowUpPurpose::Transactional,
            Self::Reengagement => FollowUpPurpose::Marketing,
        }
    }
}

/// A customer's consent, or its refusal, as booking-service recorded it.
#[derive(Debug, Clone)]
pub struct Consent {
    pub customer_id: CustomerId,
    pub purpose: FollowUpPurpose,
    /// `None` means every channel.
    pub channel: Option<Channel>,
    pub granted: bool,
    /// The version of the customer after the change.
    pub version: ConsentVersion,
}

/// The version of a customer: 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentVersion(i64);

impl ConsentVersion {
    pub fn parse(raw: i64) -> Result<Self, &'static str> {
        if raw >= 1 { Ok(Self(raw)) } else { Err("must be at least 1") }
    }

    pub fn get(self) -> i64 {
        self.0
    }
}
