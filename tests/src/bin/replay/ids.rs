//! Ids that are the same for a repeated call: each is derived from the run, the dialogue and the turn.

use std::{fmt, str::FromStr};

use uuid::{Builder, Uuid};

const BYTES: usize = 6;

/// One run of the tool. Two runs have no conversation, booking or venue in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId([u8; BYTES]);

impl RunId {
    pub fn random() -> Self {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&Uuid::new_v4().as_bytes()[..BYTES]);
        Self(bytes)
    }

    /// The id of a message. `dialogue` and `turn` count from 0.
    pub fn message(self, dialogue: usize, turn: usize) -> Uuid {
        // A UUID of version 8 has free contents, except in bytes 6 and 8.
        let mut bytes = [0; 16];
        bytes[..BYTES].copy_from_slice(&self.0);
        bytes[9..13].copy_from_slice(&number(dialogue));
        bytes[13..].copy_from_slice(&number(turn)[1..]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The conversation of a dialogue.
    pub fn conversation(self, dialogue_id: &str) -> String {
        format!("replay-{self}.{dialogue_id}")
    }

    /// The idempotency key of something that this run creates once.
    pub fn key(self, what: &str, of: impl fmt::Display) -> String {
        format!("replay-{self}/{what}/{of}")
    }
}

fn number(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("a file has fewer lines, and a dialogue fewer turns").to_be_bytes()
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for RunId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let must = "must be the 12 hexadecimal digits that the run printed at its start";
        if text.len() != 2 * BYTES || !text.is_ascii() {
            return Err(must);
        }
        let mut bytes = [0; BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| must)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_one_id_of_its_own() {
        let run = RunId::random();
        assert_eq!(run.message(7, 3), run.message(7, 3));
        assert_ne!(run.message(7, 3), run.message(3, 7));
        assert_ne!(run.message(7, 3), RunId::random().message(7, 3));
        assert_eq!(run.message(0, 0).get_version_num(), 8);
    }

    #[test]
    fn a_run_id_is_parsed_from_its_printed_form() {
        let run = RunId::random();
        assert_eq!(run.to_string().parse(), Ok(run));
        assert!("12".parse::<RunId>().is_err());
        assert!("xyzxyzxyzxyz".parse::<RunId>().is_err());
    }
}
