//! Conversations: every acknowledged message is stored once, at its sequence, and sequences follow real time.

use std::collections::{HashMap, HashSet};

use super::{
    Checked, Evidence, Findings,
    order::{Positioned, contradictions},
    rows,
};
use crate::ledger::{Answer, Outcome};

pub async fn messages(evidence: &Evidence<'_>) -> [Checked; 2] {
    let stored: Vec<(String, String, i64)> =
        rows(&evidence.world.conversation, "SELECT message_id::text, conversation_id, sequence FROM messages").await;
    let of_follow_ups: Vec<(String,)> =
        rows(&evidence.world.conversation, "SELECT message_id::text FROM follow_ups WHERE status = 'COMPLETED'").await;
    let of_follow_ups: HashSet<_> = of_follow_ups.into_iter().map(|(id,)| id).collect();
    let count = stored.len();
    let by_id: HashMap<_, _> = stored.into_iter().map(|(id, chat, sequence)| (id, (chat, sequence))).collect();

    let mut lost = Findings::of(evidence.ledger, "nothing acknowledged is lost: messages");
    let mut order = Findings::of(evidence.ledger, "a conversation's sequences follow real time");
    lost.check(by_id.len() == count, "", || format!("{count} messages have {} ids", by_id.len()));
    let (mut by_chat, mut asked): (HashMap<&str, Vec<Positioned<'_>>>, HashSet<&str>) = Default::default();
    let calls = evidence.entries.iter().filter(|entry| entry.call.starts_with("StoreMessage"));
    for entry in calls {
        if let Outcome::Acknowledged(Answer::Message(position)) = entry.outcome {
            let found = by_id.get(&*entry.key);
            let is_there =
                found.is_some_and(|(chat, sequence)| (chat.as_str(), *sequence) == (&*entry.subject, position));
            lost.check(is_there, &entry.subject, || {
                format!("{} was stored as {position} of {}; found {found:?}", entry.key, entry.subject)
            });
            by_chat.entry(&entry.subject).or_default().push(Positioned { entry, position });
        }
        if !matches!(entry.outcome, Outcome::Refused(_)) {
            asked.insert(&entry.key);
        }
    }
    for (id, (chat, _)) in &by_id {
        let is_known = asked.contains(id.as_str()) || of_follow_ups.contains(id);
        lost.check(is_known, chat, || format!("{id} of {chat} is stored, and nobody sent it"));
    }
    for (chat, calls) in by_chat {
        let found = contradictions(&calls);
        order.check(found.is_empty(), chat, || {
            let (entry, sequence, newest) = found[0];
            format!("{} became {sequence} of {chat} after {newest} had been answered", entry.key)
        });
    }
    [lost.done(), order.done()]
}
