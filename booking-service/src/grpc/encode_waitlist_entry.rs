//! Converts waitlist entries to wire types.

use teppan_shared::{contract::booking::v1 as wire, wire::timestamp};

use super::encode::{date, time};
use crate::{
    domain::{BookingId, WaitlistEntryStatus},
    waitlist::row::WaitlistEntry,
};

pub fn waitlist_entry(entry: WaitlistEntry) -> wire::WaitlistEntry {
    let window = entry.window.map(|(from, until)| (time(from), time(until))).unwrap_or_default();
    let offered = entry.offered.map(|it| (it.total_cents, it.currency, it.area)).unwrap_or_default();
    wire::WaitlistEntry {
        waitlist_entry_id: entry.id.to_string(),
        status: waitlist_entry_status(entry.status).into(),
        venue_id: entry.slot.venue_id.to_string(),
        date: date(entry.slot.date),
        start_time: time(entry.slot.start_time),
        starts_at: Some(timestamp(entry.starts_at)),
        time_zone: entry.time_zone,
        party_size: entry.party_size,
        position: entry.position,
        customer_id: entry.customer_id.to_string(),
        conversation_id: entry.conversation_id,
        booking_id: entry.booking_id.as_ref().map_or_else(String::new, BookingId::to_string),
        offer_expires_at: entry.offer_expires_at.map(timestamp),
        created_at: Some(timestamp(entry.created_at)),
        updated_at: Some(timestamp(entry.updated_at)),
        earliest_start_time: window.0,
        latest_start_time: window.1,
        areas: entry.areas,
        offered_total_cents: offered.0,
        offered_currency: offered.1,
        offered_area: offered.2,
    }
}

pub fn waitlist_entry_status(status: WaitlistEntryStatus) -> wire::WaitlistEntryStatus {
    match status {
        WaitlistEntryStatus::Waiting => wire::WaitlistEntryStatus::Waiting,
        WaitlistEntryStatus::Offered => wire::WaitlistEntryStatus::Offered,
        WaitlistEntryStatus::Accepted => wire::WaitlistEntryStatus::Accepted,
        WaitlistEntryStatus::Lapsed => wire::WaitlistEntryStatus::Lapsed,
        WaitlistEntryStatus::Left => wire::WaitlistEntryStatus::Left,
        WaitlistEntryStatus::Closed => wire::WaitlistEntryStatus::Closed,
    }
}
