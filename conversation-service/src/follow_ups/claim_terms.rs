use std::{fmt, time::Duration};

use uuid::Uuid;

use crate::domain::MessageId;

const CLAIMANT_BYTES_MAX: usize = 100;

/// The name of a sender, for operators: 1 to 100 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant(String);

impl Claimant {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let printable = raw.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && (1..=CLAIMANT_BYTES_MAX).contains(&raw.len()) {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 100 printable ASCII characters, such as orchestrator-7")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Most follow-ups of one claim: 1 to 100, 10 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSize(i32);

impl BatchSize {
    pub fn parse(raw: i32) -> Result<Self, &'static str> {
        match raw {
            0 => Ok(Self(10)),
            1..=100 => Ok(Self(raw)),
            _ => Err("must be 1 to 100, or 0 for 10"),
        }
    }

    pub fn get(self) -> i32 {
        self.0
    }
}

/// How long a claim stands: 5 to 3,600 seconds, 60 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTime(i32);

impl LeaseTime {
    pub fn parse(raw: i32) -> Result<Self, &'static str> {
        match raw {
            0 => Ok(Self(60)),
            5..=3600 => Ok(Self(raw)),
            _ => Err("must be 5 to 3,600 seconds, or 0 for 60"),
        }
    }

    pub fn seconds(self) -> i32 {
        self.0
    }
}

/// How long a claim waits when nothing is due: 0 to 60 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTime(Duration);

impl WaitTime {
    pub fn parse(raw: i32) -> Result<Self, &'static str> {
        let seconds = u64::try_from(raw).ok().filter(|seconds| *seconds <= 60);
        seconds.map(|seconds| Self(Duration::from_secs(seconds))).ok_or("must be 0 to 60 seconds")
    }

    pub fn get(self) -> Duration {
        self.0
    }
}

/// The pause that a sender requests after a failure: 0 to 604,800 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPause(i32);

impl RetryPause {
    pub fn parse(raw: i32) -> Result<Self, &'static str> {
        if (0..=604_800).contains(&raw) { Ok(Self(raw)) } else { Err("must be 0 to 604,800 seconds") }
    }

    pub fn seconds(self) -> i32 {
        self.0
    }
}

/// Proves a claim. It also holds the id of the follow-up's message, so that completing need not read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimToken {
    pub claim: Uuid,
    pub message_id: MessageId,
}

impl ClaimToken {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let halves = raw.split_at_checked(32).filter(|(_, second)| second.len() == 32);
        let parse = |half| Uuid::try_parse(half).ok();
        halves
            .and_then(|(claim, id)| Some(Self { claim: parse(claim)?, message_id: MessageId(parse(id)?) }))
            .ok_or("must be the claim_token that ClaimDueFollowUps gave")
    }
}

impl fmt::Display for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.claim.simple(), self.message_id.0.simple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_token_reads_as_it_was_written() {
        let token = ClaimToken { claim: Uuid::new_v4(), message_id: MessageId(Uuid::now_v7()) };
        assert_eq!(ClaimToken::parse(&token.to_string()), Ok(token));
        let text = token.to_string();
        for bad in ["", "x", &text[1..], &format!("{text}0"), &"ü".repeat(32), &"g".repeat(64)] {
            assert!(ClaimToken::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn limits_have_defaults_and_bounds() {
        assert_eq!(BatchSize::parse(0).map(BatchSize::get), Ok(10));
        assert_eq!(LeaseTime::parse(0).map(LeaseTime::seconds), Ok(60));
        assert!([-1, 101].into_iter().all(|bad| BatchSize::parse(bad).is_err()));
        assert!([-1, 4, 3601].into_iter().all(|bad| LeaseTime::parse(bad).is_err()));
        assert!([-1, 61].into_iter().all(|bad| WaitTime::parse(bad).is_err()));
        assert!([-1, 604_801].into_iter().all(|bad| RetryPause::parse(bad).is_err()));
        assert!(["", "ü", "a\n", &"x".repeat(101)].into_iter().all(|bad| Claimant::parse(bad.to_owned()).is_err()));
    }
}
