//! Joining the queue of a full slot, or of a part of a day.

use std::sync::Arc;

use chrono::NaiveTime;
use teppan_shared::{
    contract::booking::v1::{
        self as wire, JoinWaitlistRequest, JoinWaitlistResponse, UnavailableReason, WaitlistEntryStatus,
    },
    wire::timestamp,
};

use super::{
    calls::{Answer, Refused, Reply},
    rules::Wish,
    state::{Model, SlotTime, Venue, date, time},
    waitlist::{Entry, is_open, window},
};

impl Model {
    pub(super) fn join_waitlist(&mut self, request: &JoinWaitlistRequest, seen: &Answer) -> Answer {
        let used = |entry: &&Arc<Entry>| entry.request.idempotency_key == request.idempotency_key;
        if let Some(n) = self.waitlist.iter().position(|entry| used(&entry)) {
            if self.waitlist[n].request != *request {
                return Err(Refused::new(tonic::Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
            }
            let entry = Some(self.shown(n));
            return Ok(Reply::Joined(JoinWaitlistResponse { entry, replayed: true, ..Default::default() }));
        }
        let has_window = !request.latest_start_time.is_empty() || !request.areas.is_empty();
        let from = time(&request.start_time);
        let until = if request.latest_start_time.is_empty() { from } else { time(&request.latest_start_time) };
        let n = self.venue(&request.venue_id).ok_or_else(|| Refused::not_found("VENUE_NOT_FOUND"))?;
        let day = date(&request.date);
        let slots = Self::slots_within(&self.venues[n], &request.date, (from, until));
        let wish = |slot| Wish::new(&request.venue_id, slot, request.party_size);
        let is_full =
            |slot: &&SlotTime| matches!(self.unavailable_slot(wish(**slot)), None | Some(UnavailableReason::SlotFull));
        let waitable: Vec<_> = slots.iter().filter(is_full).copied().collect();
        let Some(first) = waitable.first().copied() else {
            let refused = self.refused(wish(slots.first().copied().unwrap_or((day, from))));
            return Err(refused.unwrap_or_else(|| Refused::not_found("SLOT_NOT_FOUND")));
        };
        let venue = &self.venues[n];
        let is_area =
            |area: &String| venue.floor.as_ref().is_none_or(|floor| floor.areas.iter().any(|it| it.area == *area));
        if !request.areas.iter().all(is_area) {
            return Err(Refused::not_found("AREA_NOT_FOUND"));
        }
        let named = match seen {
            Ok(Reply::Joined(response)) => response.entry.clone().unwrap_or_default(),
            _ => wire::WaitlistEntry::default(),
        };
        let email = request.contact.as_ref().map(|contact| contact.email.clone()).unwrap_or_default();
        let customer_id = self.customers.get(&email).cloned().unwrap_or(named.customer_id.clone());
        // The service may name any of several entries.
        let own = self.places(&customer_id, request, (from, until));
        let is_named = |n: &&usize| self.waitlist[**n].proto.waitlist_entry_id == named.waitlist_entry_id;
        if let Some(&place) = own.iter().find(is_named).or(own.first()) {
            let entry = self.shown(place);
            if has_window {
                let response = JoinWaitlistResponse { entry: Some(entry), already_waiting: true, ..Default::default() };
                return Ok(Reply::Joined(response));
            }
            return Err(Refused::precondition("ALREADY_WAITING").with("status", entry.status().as_str_name()));
        }
        if let Some(slot) = waitable.iter().find(|slot| self.has_room(wish(**slot), &request.areas)) {
            return Err(Refused::precondition("SLOT_AVAILABLE").with("open_seats", self.open_seats(wish(*slot))));
        }
        let capacities = waitable.iter().map(|slot| venue.capacity_for_one(&venue.slots[slot], &request.areas));
        let capacity = capacities.max().unwrap_or(0);
        if request.party_size > capacity {
            return Err(Refused::precondition("PARTY_EXCEEDS_CAPACITY").with("capacity", capacity));
        }
        let at = |time: NaiveTime| if has_window { time.format("%H:%M").to_string() } else { String::new() };
        let proto = wire::WaitlistEntry {
            waitlist_entry_id: named.waitlist_entry_id,
            status: WaitlistEntryStatus::Waiting.into(),
            venue_id: request.venue_id.clone(),
            date: request.date.clone(),
            start_time: first.1.format("%H:%M").to_string(),
            starts_at: Some(timestamp(venue.slots[&first].starts_at)),
            time_zone: venue.proto.time_zone.clone(),
            party_size: request.party_size,
            customer_id: customer_id.clone(),
            conversation_id: request.conversation_id.clone(),
            created_at: Some(timestamp(self.now)),
            updated_at: Some(timestamp(self.now)),
            earliest_start_time: at(from),
            latest_start_time: at(until),
            areas: request.areas.clone(),
            ..Default::default()
        };
        Arc::make_mut(&mut self.customers).insert(email, customer_id);
        self.waitlist.push(Arc::new(Entry { proto, request: request.clone() }));
        let entry = Some(self.shown(self.waitlist.len() - 1));
        Ok(Reply::Joined(JoinWaitlistResponse { entry, ..Default::default() }))
    }

    /// The open entries of a customer for starts of a part of a day, or with an offer in it.
    fn places(
        &self,
        customer_id: &str,
        request: &JoinWaitlistRequest,
        (from, until): (NaiveTime, NaiveTime),
    ) -> Vec<usize> {
        let is_place = |entry: &wire::WaitlistEntry| {
            let (first, last) = window(entry);
            is_open(entry)
                && entry.customer_id == customer_id
                && (&entry.venue_id, &entry.date) == (&request.venue_id, &request.date)
                && (first <= until && last >= from || (from..=until).contains(&time(&entry.start_time)))
        };
        (0..self.waitlist.len()).filter(|&n| is_place(&self.waitlist[n].proto)).collect()
    }

    /// Whether a party can book a slot now, in one of these areas. A venue without a floor has none to choose from.
    pub(super) fn has_room(&self, wish: Wish, areas: &[String]) -> bool {
        self.wish_in(wish, areas).is_some()
    }

    /// The wish for the first of these areas that has a place; empty: for any.
    pub(super) fn wish_in<'a>(&self, wish: Wish<'a>, areas: &'a [String]) -> Option<Wish<'a>> {
        let has_floor = self.venue(wish.venue_id).is_some_and(|n| self.venues[n].floor.is_some());
        let is_free = |wish: &Wish| self.unavailable(*wish).is_none();
        if areas.is_empty() || !has_floor {
            return Some(wish).filter(is_free);
        }
        areas.iter().map(|area| Wish { area, ..wish }).find(is_free)
    }

    /// The slots of a day from one start to another.
    pub(super) fn slots_within(venue: &Venue, day: &str, (from, until): (NaiveTime, NaiveTime)) -> Vec<SlotTime> {
        let day = date(day);
        venue.slots.range((day, from)..=(day, until)).map(|(key, _)| *key).collect()
    }
}
