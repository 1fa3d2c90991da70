//! Follow-ups: each is sent once, and each booking has the one that belongs to it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use sqlx::FromRow;

use super::{Checked, Evidence, Findings, bookings::Stored, rows};
use crate::ledger::{Answer, Outcome};

#[derive(FromRow)]
struct Row {
    follow_up_id: String,
    subject: String,
    status: String,
    trigger: String,
    /// Stored messages with its message id.
    messages: i64,
}

const FOLLOW_UPS: &str = "
    SELECT follow_up_id::text AS follow_up_id, subject, status, trigger,
           (SELECT count(*) FROM messages m
            WHERE m.conversation_id = f.conversation_id AND m.message_id = f.message_id) AS messages
    FROM follow_ups f";

/// A confirmed booking has one follow-up that waits; a booking that ended has none.
pub async fn of_bookings(evidence: &Evidence<'_>, stored: &Stored) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "bookings have their follow-ups");
    let mut waiting: HashMap<String, usize> = HashMap::new();
    for row in rows::<Row>(&evidence.world.conversation, FOLLOW_UPS).await {
        if row.trigger == "POST_EVENT" && matches!(row.status.as_str(), "PENDING" | "CLAIMED") {
            *waiting.entry(row.subject).or_default() += 1;
        }
    }
    for booking in stored.bookings.values() {
        let expected = usize::from(booking.status == "CONFIRMED");
        let found = waiting.remove(&format!("booking:{}", booking.booking_id)).unwrap_or_default();
        findings.check(found == expected, &booking.booking_id, || {
            let (id, status) = (&booking.booking_id, &booking.status);
            format!("{id} is {status} and has {found} follow-ups that wait, not {expected}")
        });
    }
    findings.check(waiting.is_empty(), "", || format!("{} follow-ups belong to no booking", waiting.len()));
    findings.done()
}

/// Everything that was scheduled is completed once, under one claim, and its message is stored once.
pub async fn are_sent_once(evidence: &Evidence<'_>) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "follow-ups are sent once");
    let all = rows::<Row>(&evidence.world.conversation, FOLLOW_UPS).await;
    let by_id: HashMap<_, _> = all.into_iter().map(|row| (row.follow_up_id.clone(), row)).collect();
    let mut completions: HashMap<&str, (HashSet<&str>, Duration)> = HashMap::new();
    for entry in evidence.entries {
        let Outcome::Acknowledged(answer) = &entry.outcome else { continue };
        match (entry.call, answer) {
            ("ScheduleFollowUp", _) => {
                let row = by_id.get(&*entry.subject);
                let done = row.is_some_and(|row| row.status == "COMPLETED" && row.messages == 1);
                findings.check(done, &entry.subject, || {
                    let found = row.map(|row| (&row.status, row.messages));
                    format!("{} was scheduled; status and messages are {found:?}", entry.subject)
                });
            }
            ("CompleteFollowUp", Answer::Claim(token)) => {
                let (tokens, ended) = completions.entry(&entry.subject).or_insert((HashSet::new(), entry.ended));
                tokens.insert(token);
                *ended = entry.ended.min(*ended);
            }
            _ => {}
        }
    }
    for (id, (tokens, _)) in &completions {
        findings.check(tokens.len() == 1, id, || format!("{id} was completed under {} claims", tokens.len()));
    }
    for entry in evidence.entries.iter().filter(|entry| entry.call == "ClaimDueFollowUps") {
        let sent = completions.get(&*entry.subject).map(|(_, ended)| *ended);
        findings.check(sent.is_none_or(|sent| entry.began < sent), &entry.subject, || {
            format!("{} was handed out again after it had been sent", entry.subject)
        });
    }
    findings.done()
}
