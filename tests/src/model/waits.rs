//! Turns operations into calls about the waitlist.

use std::sync::Arc;

use teppan_shared::contract::booking::v1::{
    Contact, JoinWaitlistRequest, LeaveWaitlistRequest, UnavailableReason, WaitlistEntryStatus,
};

use super::{
    names::{UNKNOWN_ID, area, email, named},
    operations::{Join, Key, Pick},
    rules::Wish,
    schedules::STARTS,
    state::Model,
    waitlist::Entry,
};

/// The requests so far, which later calls repeat.
#[derive(Debug, Default)]
pub struct Waits {
    asked: Vec<JoinWaitlistRequest>,
}

impl Waits {
    pub fn join(&mut self, model: &Model, join: &Join) -> JoinWaitlistRequest {
        let earlier = |back: u8| self.asked.iter().rev().nth(usize::from(back) % self.asked.len().max(1)).cloned();
        let full = join.full.and_then(|nth| full(model, join.party_size, nth));
        let (venue_id, date, start_time) = full.unwrap_or_else(|| named(model, join.slot_choice));
        let mut request = JoinWaitlistRequest {
            idempotency_key: format!("wait-{}", self.asked.len()),
            venue_id,
            date,
            start_time,
            party_size: join.party_size,
            contact: Some(Contact { name: "Mina Sato".to_owned(), email: email(join.guest), phone: String::new() }),
            conversation_id: if join.guest == 0 { "chat-0".to_owned() } else { String::new() },
            special_requests: format!("Any table for {}.", join.party_size),
            source: "model".to_owned(),
            areas: join.areas.iter().map(|&n| area(n)).collect(),
            ..Default::default()
        };
        let latest = join.latest.map(|start| STARTS[usize::from(start) % STARTS.len()]);
        if let Some(latest) = latest.filter(|latest| *latest >= request.start_time.as_str()) {
            latest.clone_into(&mut request.latest_start_time);
        }
        match join.key {
            Key::New => {}
            Key::Again { back } => request = earlier(back).unwrap_or(request),
            Key::Reused { back } => {
                request.idempotency_key = earlier(back).map_or(request.idempotency_key, |asked| asked.idempotency_key);
            }
        }
        self.asked.push(request.clone());
        request
    }
}

pub fn leave(model: &Model, pick: Pick) -> LeaveWaitlistRequest {
    let is_open = |entry: &&Arc<Entry>| {
        !pick.live || matches!(entry.proto.status(), WaitlistEntryStatus::Waiting | WaitlistEntryStatus::Offered)
    };
    let all: Vec<_> = model.waitlist.iter().rev().filter(is_open).collect();
    let entry = all.get(usize::from(pick.back) % all.len().max(1));
    let waitlist_entry_id = entry.map_or_else(|| UNKNOWN_ID.to_owned(), |entry| entry.proto.waitlist_entry_id.clone());
    LeaveWaitlistRequest { waitlist_entry_id, validate_only: false }
}

/// One of the slots without enough seats for a party.
fn full(model: &Model, party_size: i32, nth: u8) -> Option<(String, String, String)> {
    let all = model.venues.iter().flat_map(|venue| venue.slots.keys().map(move |slot| (&venue.proto.venue_id, *slot)));
    let lacks = |&(venue_id, slot): &(&String, _)| {
        model.unavailable(Wish::new(venue_id, slot, party_size)) == Some(UnavailableReason::SlotFull)
    };
    let all: Vec<_> = all.filter(lacks).collect();
    let (venue_id, (day, start)) = all.get(usize::from(nth) % all.len().max(1))?;
    Some(((*venue_id).clone(), day.to_string(), start.format("%H:%M").to_string()))
}
