use std::fmt;

use uuid::Uuid;

use crate::domain::{ConversationId, MessageId, bounded_number, printable_text};

printable_text!(
    /// The name of a sender, for operators: 1 to 100 printable ASCII characters.
    Claimant, "must be 1 to 100 printable ASCII characters, such as orchestrator-7"
);

bounded_number!(
    /// The most follow-ups of one claim: 1 to 100, 10 by default.
    BatchSize, (1..=100), "must be 1 to 100, or 0 for 10", 0 => 10
);

bounded_number!(
    /// The length of a lease: 5 to 3,600 seconds, 60 by default.
    LeaseSeconds, (5..=3600), "must be 5 to 3,600 seconds, or 0 for 60", 0 => 60
);

bounded_number!(
    /// How long a claim waits when nothing is due: 0 to 60 seconds.
    WaitSeconds, (0..=60), "must be 0 to 60 seconds"
);

bounded_number!(
    /// The pause that a sender requests after a failure: 0 to 604,800 seconds.
    RetrySeconds, (0..=604_800), "must be 0 to 604,800 seconds"
);

/// The proof of a claim. It also contains the id of the follow-up's message and of its conversation, so that completing
/// need not read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimToken {
    pub claim: Uuid,
    pub message_id: MessageId,
    /// A text that the completing call gives is sealed for it.
    pub conversation_id: ConversationId,
}

impl ClaimToken {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let parse = || {
            let (claim, rest) = raw.split_at_checked(32)?;
            let (message_id, conversation_id) = rest.split_at_checked(32)?;
            Some(Self {
                claim: Uuid::try_parse(claim).ok()?,
                message_id: MessageId(Uuid::try_parse(message_id).ok()?),
                conversation_id: ConversationId::parse(conversation_id.to_owned()).ok()?,
            })
        };
        parse().ok_or("must be the claim_token that ClaimDueFollowUps gave")
    }
}

impl fmt::Display for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.claim.simple(), self.message_id.0.simple(), self.conversation_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_token_can_be_parsed_from_its_text() {
        let token = ClaimToken {
            claim: Uuid::new_v4(),
            message_id: MessageId(Uuid::now_v7()),
            conversation_id: ConversationId::parse("web-7f3a91".to_owned()).expect("an id"),
        };
        let text = token.to_string();
        assert_eq!(ClaimToken::parse(&text), Ok(token));
        for bad in ["", "x", &text[..64], &format!("{text} "), &"ü".repeat(40), &"g".repeat(70)] {
            assert!(ClaimToken::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_terms_of_a_claim_have_defaults_and_bounds() {
        assert_eq!(BatchSize::parse(0).map(BatchSize::get), Ok(10));
        assert_eq!(LeaseSeconds::parse(0).map(LeaseSeconds::get), Ok(60));
        assert!([-1, 101].into_iter().all(|bad| BatchSize::parse(bad).is_err()));
        assert!([-1, 4, 3601].into_iter().all(|bad| LeaseSeconds::parse(bad).is_err()));
        assert!([-1, 61].into_iter().all(|bad| WaitSeconds::parse(bad).is_err()));
        assert!([-1, 604_801].into_iter().all(|bad| RetrySeconds::parse(bad).is_err()));
        assert!(["", "ü", "a\n", &"x".repeat(101)].into_iter().all(|bad| Claimant::parse(bad.to_owned()).is_err()));
    }
}
