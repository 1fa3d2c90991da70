//! Venues, bookings and messages for tests.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{Days, NaiveDate, Utc};
use prost_types::FieldMask;
use teppan_shared::contract::{
    booking::v1::{
        Contact, CreateBookingRequest, CreateVenueRequest, SchedulePeriod, SetWeeklyScheduleRequest, Slot,
        UpdateSlotRequest, Venue, VenueReminders, Weekday,
    },
    conversation::v1::{Channel, Emotion, Role, StoreMessageRequest},
};
use tonic::{IntoRequest, Request, Status};
use uuid::Uuid;

use crate::clients::BookingClients;

/// A statement of a frequent call is longer than this; the statement of the readiness check is shorter.
pub const STATEMENT_BYTES: u64 = 100;

/// A date two weeks ahead, within every venue's horizon and beyond its notice.
pub fn date() -> NaiveDate {
    Utc::now().date_naive() + Days::new(14)
}

/// A venue with one slot a day, at 18:00, with this many seats, at 35.00 per person.
pub async fn venue(clients: &mut BookingClients, seats: i32) -> Result<Venue, Status> {
    venue_with(clients, seats, |_| {}).await
}

/// [`venue`], without a deposit: its bookings are confirmed at once.
pub async fn firm_venue(clients: &mut BookingClients, seats: i32) -> Result<Venue, Status> {
    venue_with(clients, seats, |venue| venue.deposit_percent = Some(0)).await
}

/// [`venue`], with a change before it is created.
pub async fn venue_with(
    clients: &mut BookingClients,
    seats: i32,
    change: impl FnOnce(&mut CreateVenueRequest),
) -> Result<Venue, Status> {
    let mut request = CreateVenueRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        name: "Teppan Garden".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        // Each confirmed booking has one follow-up, the one after its end.
        reminders: Some(VenueReminders::default()),
        ..Default::default()
    };
    change(&mut request);
    let venue = clients.schedule.create_venue(request).await?.into_inner().venue.unwrap_or_default();
    clients.schedule.set_weekly_schedule(every_evening(&venue.venue_id, seats)).await?;
    Ok(venue)
}

/// An UpdateSlot request, whose mask names the given fields.
#[derive(Debug, Clone, Default)]
pub struct SlotUpdate {
    pub venue_id: String,
    pub date: String,
    pub start_time: String,
    pub closed: Option<bool>,
    pub capacity: Option<i32>,
    pub price_per_person_cents: Option<i64>,
}

impl SlotUpdate {
    /// An update of the slot in two weeks, without any fields yet.
    pub fn of(venue_id: &str) -> Self {
        Self {
            venue_id: venue_id.to_owned(),
            date: date().to_string(),
            start_time: "18:00".to_owned(),
            ..Default::default()
        }
    }
}

impl From<SlotUpdate> for UpdateSlotRequest {
    fn from(update: SlotUpdate) -> Self {
        let given = [
            ("closed", update.closed.is_some()),
            ("capacity", update.capacity.is_some()),
            ("price_per_person_cents", update.price_per_person_cents.is_some()),
        ];
        let slot = Slot {
            venue_id: update.venue_id,
            date: update.date,
            start_time: update.start_time,
            closed: update.closed.unwrap_or_default(),
            capacity: update.capacity.unwrap_or_default(),
            price_per_person_cents: update.price_per_person_cents.unwrap_or_default(),
            ..Default::default()
        };
        let paths = given.into_iter().filter(|(_, given)| *given).map(|(field, _)| field.to_owned()).collect();
        Self { slot: Some(slot), update_mask: Some(FieldMask { paths }) }
    }
}

impl IntoRequest<UpdateSlotRequest> for SlotUpdate {
    fn into_request(self) -> Request<UpdateSlotRequest> {
        Request::new(self.into())
    }
}

/// A schedule with one slot a day, at 18:00.
pub fn every_evening(venue_id: &str, seats: i32) -> SetWeeklyScheduleRequest {
    let period = SchedulePeriod {
        days: (Weekday::Monday as i32..=Weekday::Sunday as i32).collect(),
        first_start: "18:00".to_owned(),
        last_start: "18:00".to_owned(),
        capacity: seats,
        price_per_person_cents: 3500,
        ..Default::default()
    };
    SetWeeklyScheduleRequest { venue_id: venue_id.to_owned(), periods: vec![period], exceptions: Vec::new() }
}

/// How many telephone numbers of customers were made up.
static PHONES: AtomicU32 = AtomicU32::new(0);

/// A booking of the venue's slot in two weeks, by a new customer.
pub fn booking(venue_id: &str, party_size: i32) -> CreateBookingRequest {
    let id = Uuid::now_v7();
    CreateBookingRequest {
        idempotency_key: id.to_string(),
        venue_id: venue_id.to_owned(),
        date: date().to_string(),
        start_time: "18:00".to_owned(),
        party_size,
        contact: Some(Contact {
            name: "Mina Sato".to_owned(),
            email: format!("mina.{}@example.org", id.simple()),
            phone: format!("+49151{:08}", PHONES.fetch_add(1, Ordering::Relaxed)),
        }),
        conversation_id: format!("chat-{}", id.simple()),
        special_requests: "A table by the window, please.".to_owned(),
        source: "test".to_owned(),
        ..Default::default()
    }
}

/// A customer's message with a score.
pub fn message(conversation_id: &str, content: &str) -> StoreMessageRequest {
    StoreMessageRequest {
        conversation_id: conversation_id.to_owned(),
        message_id: Uuid::new_v4().to_string(),
        role: Role::User.into(),
        content: content.to_owned(),
        channel: Channel::Web.into(),
        emotion: Some(Emotion { score: Some(0.7), label: "content".to_owned(), detected: vec!["joy".to_owned()] }),
        ..Default::default()
    }
}

/// A new conversation id.
pub fn conversation_id() -> String {
    format!("chat-{}", Uuid::now_v7().simple())
}
