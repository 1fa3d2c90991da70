//! What the service talks about, as types that cannot hold a wrong value. No I/O.

mod booking;
mod contact;
mod event;
mod follow_up;
mod ids;
mod outbox;
mod refusal;
mod schedule;
mod slot;
mod text;
mod venue;

pub use booking::{BookingStatus, ConfirmationCode, NewBooking, PartySize};
pub use contact::{Contact, Email, Name, Phone, PhoneRegion};
pub use event::{BookingCreated, BookingEvent, EVENT_SOURCE, EventData, UnreadableEvent};
pub use follow_up::FollowUpStep;
pub use ids::{BookingId, CustomerId, EventId, VenueId};
pub use outbox::{NO_ANSWER, OutboxDestination, OutboxMessage, Undelivered, pause_after};
pub use refusal::SlotRefusal;
pub use schedule::{
    PlannedSlot, ScheduleException, SchedulePeriod, TooManySlots, Weekday, WeeklySchedule, layout_range,
};
pub use slot::{SlotKey, parse_date, parse_start_time};
pub use teppan_shared::conversation_id::ConversationId;
pub use text::{IdempotencyKey, Source, SpecialRequests};
pub use venue::{Currency, NewVenue, VenueName, VenueTimeZone};
