//! Checks that every message is stored once, in order, as it was sent.

use std::{collections::HashMap, sync::Arc};

use teppan_shared::contract::conversation::v1::{ListMessagesRequest, Message, StoreMessageRequest};
use teppan_tests::tool::Trace;
use tonic::Code;

use crate::{
    calls::{Caller, Failure, Method, request},
    connections::Clients,
    plan::Plan,
    play,
    progress::Progress,
};

/// Small pages, so that most conversations need more than one.
const PAGE_SIZE: i32 = 16;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Messages {
    pub expected: usize,
    pub found: usize,
    pub missing: usize,
    /// Found more than once, or never sent.
    pub duplicated: usize,
    /// Found at another position: sequences count 1, 2, 3 without a gap.
    pub out_of_order: usize,
    /// Found with other text, role, channel or emotion.
    pub different: usize,
}

impl Messages {
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.found += other.found;
        self.missing += other.missing;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.different += other.different;
    }
}

/// Reads one conversation and compares it with its dialogue.
pub async fn check(
    caller: Caller,
    clients: Clients,
    plan: Arc<Plan>,
    progress: Progress,
    dialogue: usize,
) -> (Messages, Vec<String>) {
    let turns = plan.dialogues[dialogue].turns.len();
    let sent: Vec<_> = (0..turns).map(|turn| play::message(&plan, dialogue, turn)).collect();
    let outcome = match read(&caller, &clients, &plan.conversation(dialogue)).await {
        Ok(stored) => compare(&sent, &stored),
        Err(failure) => {
            let counts = Messages { expected: turns, missing: turns, ..Default::default() };
            (counts, vec![format!("conversation {}: {failure}", plan.conversation(dialogue))])
        }
    };
    progress.advance(1);
    outcome
}

/// All messages of a conversation; none when the conversation does not exist.
async fn read(caller: &Caller, clients: &Clients, conversation_id: &str) -> Result<Vec<Message>, Failure> {
    let trace = Trace::start();
    let mut messages = Vec::new();
    let mut page_token = String::new();
    loop {
        let list = ListMessagesRequest {
            conversation_id: conversation_id.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = caller.call(Method::ListMessages, || {
            let (mut conversations, list) = (clients.conversations.clone(), list.clone());
            async move { conversations.list_messages(request(trace, list)).await }
        });
        let page = match page.await {
            Err(failure) if failure.code == Code::NotFound => return Ok(Vec::new()),
            page => page?,
        };
        messages.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(messages);
        }
    }
}

/// Compares the messages of a dialogue, in order, with the stored ones.
fn compare(sent: &[StoreMessageRequest], stored: &[Message]) -> (Messages, Vec<String>) {
    let mut counts = Messages { expected: sent.len(), ..Default::default() };
    let mut differences = Vec::new();
    let mut found: HashMap<&str, Vec<(usize, &Message)>> = HashMap::new();
    for (index, message) in stored.iter().enumerate() {
        found.entry(&message.message_id).or_default().push((index, message));
    }
    for (turn, message) in sent.iter().enumerate() {
        let mut report = |what: &str| {
            let StoreMessageRequest { conversation_id, message_id, .. } = message;
            differences.push(format!("conversation {conversation_id}, turn {turn}, message {message_id}: {what}"));
        };
        let Some(copies) = found.remove(message.message_id.as_str()) else {
            counts.missing += 1;
            report("missing");
            continue;
        };
        counts.found += 1;
        if copies.len() > 1 {
            counts.duplicated += copies.len() - 1;
            report(&format!("stored {} times instead of once", copies.len()));
        }
        let (index, stored) = copies[0];
        if index != turn || usize::try_from(stored.sequence) != Ok(turn + 1) {
            counts.out_of_order += 1;
            report(&format!("at position {} with sequence {}", index + 1, stored.sequence));
        }
        if !is_same(message, stored) {
            counts.different += 1;
            report("stored with other values than it was sent with");
        }
    }
    for (message_id, copies) in found {
        counts.duplicated += copies.len();
        let conversation_id = &copies[0].1.conversation_id;
        differences.push(format!("conversation {conversation_id}, message {message_id}: was never sent"));
    }
    (counts, differences)
}

fn is_same(sent: &StoreMessageRequest, stored: &Message) -> bool {
    sent.conversation_id == stored.conversation_id
        && sent.content == stored.content
        && (sent.role, sent.channel) == (stored.role, stored.channel)
        && sent.emotion == stored.emotion
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: usize) -> Vec<StoreMessageRequest> {
        let message = |turn| StoreMessageRequest {
            conversation_id: "chat".to_owned(),
            message_id: format!("id-{turn}"),
            content: format!("turn {turn}"),
            ..Default::default()
        };
        (0..count).map(message).collect()
    }

    fn stored(count: usize) -> Vec<Message> {
        let message = |(sequence, sent): (i64, StoreMessageRequest)| Message {
            conversation_id: sent.conversation_id,
            message_id: sent.message_id,
            content: sent.content,
            sequence,
            ..Default::default()
        };
        (1..).zip(sent(count)).map(message).collect()
    }

    fn counts(stored: &[Message]) -> Messages {
        compare(&sent(4), stored).0
    }

    const ALL: Messages = Messages { expected: 4, found: 4, missing: 0, duplicated: 0, out_of_order: 0, different: 0 };

    #[test]
    fn messages_stored_once_and_in_order_are_no_difference() {
        assert_eq!(compare(&sent(4), &stored(4)), (ALL, Vec::new()));
    }

    #[test]
    fn a_missing_message_and_a_missing_conversation_are_counted_as_missing() {
        assert_eq!(counts(&stored(3)), Messages { found: 3, missing: 1, ..ALL });
        assert_eq!(counts(&[]), Messages { found: 0, missing: 4, ..ALL });
    }

    #[test]
    fn duplicates_and_messages_that_were_never_sent_are_found() {
        let mut twice = stored(4);
        twice.push(Message { sequence: 5, ..twice[1].clone() });
        assert_eq!(counts(&twice), Messages { duplicated: 1, ..ALL });
        assert_eq!(counts(&stored(5)), Messages { duplicated: 1, ..ALL });
    }

    #[test]
    fn swapped_messages_and_gaps_are_found() {
        let mut swapped = stored(4);
        swapped.swap(1, 2);
        assert_eq!(counts(&swapped), Messages { out_of_order: 2, ..ALL });
        let mut gap = stored(4);
        gap[3].sequence = 5;
        assert_eq!(counts(&gap), Messages { out_of_order: 1, ..ALL });
    }

    #[test]
    fn another_text_is_found_and_not_printed() {
        let mut other = stored(4);
        other[2].content = "something else".to_owned();
        let (counts, differences) = compare(&sent(4), &other);
        assert_eq!(counts, Messages { different: 1, ..ALL });
        assert!(!differences[0].contains("something") && differences[0].contains("id-2"), "{differences:?}");
    }
}
