//! A guest of the chat: messages one by one and together, and follow-ups that are due at once.

use chrono::Utc;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use teppan_shared::contract::conversation::v1::{
    Channel, Emotion, FollowUpTrigger, ScheduleFollowUpRequest, StoreMessageRequest, StoreMessagesRequest,
};
use teppan_tests::{fixtures, launch::Which};
use uuid::Uuid;

use super::{Caller, End, Patience, Span, within};
use crate::ledger::Answer;

/// Messages after which a talker begins another conversation.
const TURNS: usize = 80;
const TOGETHER: usize = 5;
const STORE_MESSAGES: &str = "StoreMessages";

/// One talker. Two of them talk in each conversation.
pub struct Talker {
    pub caller: Caller,
    pub index: usize,
    rng: StdRng,
}

impl Talker {
    pub fn new(caller: Caller, index: usize, seed: u64) -> Self {
        Self { caller, index, rng: StdRng::seed_from_u64(seed) }
    }

    /// Talks until it is stopped.
    pub async fn run(mut self) {
        for conversation in 0.. {
            let chat = format!("chaos-{}-{conversation}", self.index / 2);
            for _ in 0..TURNS {
                if self.caller.stop.is_cancelled() {
                    return;
                }
                match self.rng.random_range(0..100) {
                    0..80 => self.store(&chat).await,
                    80..90 => self.store_together(&chat).await,
                    _ => self.schedule(&chat).await,
                }
            }
        }
    }

    fn message(&mut self, chat: &str) -> StoreMessageRequest {
        let score = f64::from(self.rng.random_range(0..=1000_u16)) / 1000.0;
        let emotion = Emotion { score: Some(score), ..Default::default() };
        StoreMessageRequest { emotion: Some(emotion), ..fixtures::message(chat, "Is there a table by the window?") }
    }

    fn patience(&mut self) -> Patience {
        if self.rng.random_bool(0.04) { Patience::OneAttempt } else { Patience::UntilAnswered }
    }

    async fn store(&mut self, chat: &str) {
        let (message, patience) = (self.message(chat), self.patience());
        let ended = self.caller.call("StoreMessage", patience, async |replica, deadline| {
            self.caller.conversations[replica].clone().store_message(within(deadline, message.clone())).await
        });
        self.caller.record((Which::Conversation, "StoreMessage"), (&message.message_id, chat), ended.await, |answer| {
            let sequence = answer.message.as_ref().map(|message| message.sequence).unwrap_or_default();
            (chat.to_owned(), Answer::Message(sequence))
        });
    }

    async fn store_together(&mut self, chat: &str) {
        let messages: Vec<_> = (0..TOGETHER).map(|_| self.message(chat)).collect();
        let request = StoreMessagesRequest { conversation_id: chat.to_owned(), messages };
        let (span, end) = self
            .caller
            .call(STORE_MESSAGES, Patience::UntilAnswered, async |replica, deadline| {
                self.caller.conversations[replica].clone().store_messages(within(deadline, request.clone())).await
            })
            .await;
        // An entry for each message.
        for (n, message) in request.messages.iter().enumerate() {
            let end = match &end {
                End::Answered(answer) => {
                    let stored = answer.results.get(n).and_then(|result| result.message.as_ref());
                    End::Answered(stored.map(|message| message.sequence).unwrap_or_default())
                }
                End::Refused(status) => End::Refused(status.clone()),
                End::Unknown => End::Unknown,
            };
            let ended: (Span, End<i64>) = (span, end);
            let call = (Which::Conversation, STORE_MESSAGES);
            self.caller.record(call, (&message.message_id, chat), ended, |sequence| {
                (chat.to_owned(), Answer::Message(*sequence))
            });
        }
    }

    async fn schedule(&mut self, chat: &str) {
        let key = Uuid::now_v7().to_string();
        let request = ScheduleFollowUpRequest {
            idempotency_key: key.clone(),
            conversation_id: chat.to_owned(),
            trigger: FollowUpTrigger::Custom.into(),
            subject: format!("chaos:{key}"),
            due_at: Some(Utc::now().into()),
            channel: Channel::Web.into(),
            content: "How was your evening?".to_owned(),
            ..Default::default()
        };
        let ended = self.caller.call("ScheduleFollowUp", Patience::UntilAnswered, async |replica, deadline| {
            self.caller.follow_ups[replica].clone().schedule_follow_up(within(deadline, request.clone())).await
        });
        self.caller.record((Which::Conversation, "ScheduleFollowUp"), (&key, ""), ended.await, |answer| {
            let follow_up = answer.follow_up.clone().unwrap_or_default();
            let status = follow_up.status().as_str_name().into();
            (follow_up.follow_up_id, Answer::Status(status))
        });
    }
}
