//! The values and rules of the service. Parsed types hold only valid values. No I/O.

mod attendance;
mod booking;
mod booking_status;
mod consent;
mod contact;
mod duplicate;
mod etag;
mod floor;
mod follow_up;
mod ids;
mod layout_range;
mod local_time;
mod outbox;
mod payment;
mod phone;
mod phone_region;
mod refusal;
mod schedule;
mod slot;
mod slot_rules;
mod special_days;
mod stripe_charge;
mod stripe_currency;
mod stripe_event;
mod stripe_signature;
mod suggestion;
mod table;
mod terms;
mod text;
mod venue;
mod waitlist;
mod walk_in;

pub use attendance::{Attendance, ExpectedParty, OVERSTAY, SEATED_EARLY};
pub use booking::{ConfirmationCode, NewBooking, PartySize};
pub use booking_status::{BookingChange, BookingStatus, CancellationInitiator, ChangeRefusal, TableRefusal};
pub use consent::{ConsentChannel, ConsentKey, ConsentPurpose, NewConsent};
pub use contact::{Contact, Email, Name};
pub use duplicate::{Duplicate, Visit, duplicate};
pub use etag::Etag;
pub use floor::{Area, AreaKey, Floor, FloorState, Occupancy, Place, Sitting, SittingRule};
pub use follow_up::FollowUpStep;
pub use ids::{BookingId, CustomerId, EventId, PaymentId, SpecialDaysId, VenueId, WaitlistEntryId};
pub use layout_range::LayoutRange;
pub use local_time::instant_or_next;
pub use outbox::OutboxDestination;
pub use payment::{
    AmountCents, ExternalReference, MoneyMove, NewPayment, PaymentKind, PaymentMethod, PaymentStatus, parse_moved_at,
};
pub use phone::{GivenPhone, Phone, PhoneFault};
pub use phone_region::PhoneRegion;
pub use refusal::{Refusal, SlotRefusal};
pub use schedule::{PlannedSlot, ScheduleException, SchedulePeriod, TooManySlots, Weekday, WeeklySchedule};
pub use slot::{SlotChange, SlotKey, parse_date, parse_start_time};
pub use slot_rules::{SlotFacts, SlotRules, SlotRulesNow};
pub use special_days::{
    Deviation, SPECIAL_DAYS_MAX, SpecialDays, TooManySpecialDays, delete as delete_special_days,
    set as set_special_days,
};
pub use stripe_charge::{
    AttemptState, ChargeFacts, DisputeNews, Fact, PROCESSING_MAX, RefundEntry, Standing, Step, TooManyFacts, next_step,
};
pub use stripe_currency::{
    NotConvertible, chargeable_cents, deposit_cents, from_stripe, minimum_cents, step_cents, to_stripe,
};
pub use stripe_event::{
    NoStripeEvent, StripeAccount, StripeEffect, StripeEvent, StripeNames, StripeNews, StripePayment,
};
pub use stripe_signature::{BadSignature, StripeSecrets, StripeSignature};
pub use suggestion::{NearStart, StartWish, VenueStarts};
pub use table::{Combination, TABLES_MAX, Table, TableKey};
pub use teppan_shared::{conversation_id::ConversationId, idempotency_key::IdempotencyKey, time_zone::TimeZone};
pub use terms::{Purse, Terms};
pub use text::{Note, PartyNotes, Source, SpecialDaysReason, SpecialRequests, StripeIntentId, Tags, VenueNotes};
pub use venue::{
    Currency, NewVenue, ReminderMinutes, UNDO_MINUTES_DEFAULT, VenueChange, VenueName, VenuePlace, VenueTags, range,
};
pub use waitlist::{JoinRefusal, NewWaitlistEntry, StartWindow, WaitlistEntryStatus};
pub use walk_in::{WALK_IN, WALK_IN_LATE_MINUTES};
