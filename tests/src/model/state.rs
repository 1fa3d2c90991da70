//! The state of the service according to the contract. The number of reserved seats is not stored: it is computed from
//! the bookings.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use teppan_shared::wire::Timestamp;
use teppan_shared::{
    contract::booking::v1::{self as wire, BookingStatus, CreateBookingRequest, RecordPaymentRequest},
    time_zone::TimeZone,
    wire::timestamp,
};

use super::{
    calls::{Answer, Call},
    etags::Etags,
    rules, stripe,
    waitlist::{Entry, Named},
};

/// Everything that calls can change. Cheap to clone, so that many orders of calls can be tried.
#[derive(Debug, Clone)]
pub struct Model {
    pub now: DateTime<Utc>,
    pub venues: Vec<Arc<Venue>>,
    pub bookings: Vec<Arc<Booking>>,
    /// The request and booking of each CreateBooking idempotency key.
    pub keys: Arc<BTreeMap<String, Used>>,
    /// Customers by e-mail, with the ids that the service assigned.
    pub customers: Arc<BTreeMap<String, String>>,
    pub etags: Arc<Etags>,
    /// In the order of recording.
    pub payments: Arc<Vec<wire::Payment>>,
    /// The request and payment of each RecordPayment idempotency key.
    pub payment_keys: Arc<BTreeMap<String, (RecordPaymentRequest, wire::Payment)>>,
    /// Stripe's reports about its payments, by payment intent.
    pub intents: Arc<BTreeMap<String, stripe::Intent>>,
    /// In the order of joining.
    pub waitlist: Vec<Arc<Entry>>,
    /// The known bookings of offers, by waitlist entry.
    pub named: Arc<BTreeMap<String, Named>>,
}

#[derive(Debug, Clone)]
pub struct Used {
    pub request: CreateBookingRequest,
    pub booking_id: String,
}

#[derive(Debug, Clone)]
pub struct Venue {
    /// With an empty etag.
    pub proto: wire::Venue,
    /// The number of changes, for which the etag stands.
    pub changes: usize,
    pub zone: TimeZone,
    pub schedule: Option<Schedule>,
    pub slots: BTreeMap<SlotTime, Slot>,
    /// With an empty etag.
    pub floor: Option<wire::Floor>,
}

#[derive(Debug, Clone)]
pub struct Schedule {
    pub periods: Vec<wire::SchedulePeriod>,
    pub exceptions: Vec<wire::ScheduleException>,
    pub updated_at: DateTime<Utc>,
}

pub type SlotTime = (NaiveDate, NaiveTime);

#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub capacity: i32,
    pub price_cents: i64,
    pub opening: Opening,
    /// Whether UpdateSlot has set the value, which then does not follow the schedule.
    pub capacity_set: bool,
    pub price_set: bool,
}

/// Whether a slot is open, and whether the schedule or UpdateSlot decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    ByTheSchedule { open: bool },
    ByTheVenue { open: bool },
}

impl Opening {
    pub fn open(self) -> bool {
        match self {
            Self::ByTheSchedule { open } | Self::ByTheVenue { open } => open,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Booking {
    /// With an empty etag.
    pub proto: wire::Booking,
    /// Type and time of each event.
    pub history: Vec<(&'static str, DateTime<Utc>)>,
    /// The disputed amount of its payments.
    pub disputed_cents: i64,
    /// The amount that the venue keeps of a cancelled booking.
    pub kept_cents: i64,
    /// The largest price that was paid for when the customer changed it late.
    pub base_cents: i64,
    /// Whether its visit was over when the floor was set, which counts upcoming bookings only.
    pub is_uncounted: bool,
}

impl Booking {
    pub fn new(proto: wire::Booking, history: Vec<(&'static str, DateTime<Utc>)>) -> Self {
        Self { proto, history, disputed_cents: 0, kept_cents: 0, base_cents: 0, is_uncounted: false }
    }

    /// The amount that has to be refunded: what was paid beyond what the venue may keep.
    pub fn owed_cents(&self) -> i64 {
        let kept = match self.proto.status() {
            BookingStatus::Cancelled => self.kept_cents,
            BookingStatus::Expired => 0,
            _ => (self.proto.total_cents + self.proto.retained_cents).max(self.proto.no_show_fee_cents),
        };
        (rules::paid(&self.proto) - kept).max(0)
    }

    /// Whether the booking takes seats.
    pub fn live(&self) -> bool {
        matches!(self.proto.status(), BookingStatus::Pending | BookingStatus::Confirmed)
    }

    /// The common part of every change.
    pub fn changed(&mut self, event: &'static str, now: DateTime<Utc>) {
        self.proto.version += 1;
        self.proto.updated_at = Some(timestamp(now));
        self.history.push((event, now));
    }
}

impl Model {
    pub fn at(now: DateTime<Utc>) -> Self {
        Self {
            now,
            venues: Vec::new(),
            bookings: Vec::new(),
            keys: Arc::default(),
            customers: Arc::default(),
            etags: Arc::default(),
            payments: Arc::default(),
            payment_keys: Arc::default(),
            intents: Arc::default(),
            waitlist: Vec::new(),
            named: Arc::default(),
        }
    }

    /// Makes a call and returns its answer. New ids and codes, which only the service can choose, are taken from the
    /// service's answer.
    pub fn take(&mut self, call: &Call, seen: &Answer) -> Answer {
        let mut answer = self.make(call, seen);
        if let Ok(reply) = &mut answer {
            // What is due follows from the other fields.
            reply.bookings().for_each(|booking| {
                booking.deposit_due_cents = rules::deposit_due(booking);
                booking.no_show_fee_due_cents = rules::fee_due(booking);
            });
        }
        answer
    }

    fn make(&mut self, call: &Call, seen: &Answer) -> Answer {
        match call {
            Call::CreateBooking(request) => self.create_booking(request, seen),
            Call::ConfirmBooking(request) if request.confirmed_by_guest => self.confirm_by_guest(request),
            Call::ConfirmBooking(request) => self.confirm(&request.booking_id, &request.etag),
            Call::CancelBooking(request) => self.cancel(request),
            Call::RescheduleBooking(request) => self.reschedule(request),
            Call::CompleteBooking(request) => {
                self.conclude(&request.booking_id, &request.etag, BookingStatus::Completed, true)
            }
            Call::MarkNoShow(request) => {
                self.conclude(&request.booking_id, &request.etag, BookingStatus::NoShow, request.waive_fee)
            }
            Call::ReinstateBooking(request) => self.reinstate(&request.booking_id, &request.etag),
            Call::UpdateBooking(request) => self.update(request),
            Call::AssignTables(request) => self.assign_tables(request),
            Call::SeatBooking(request) => self.seat_booking(request),
            Call::GetBooking(request) => self.get_booking(request),
            Call::ListBookings(request) => Ok(self.list_bookings(request)),
            Call::RecordPayment(request) => self.record_payment(request, seen),
            Call::ListPayments(request) => Ok(self.list_payments(request)),
            Call::Stripe(event) => self.stripe(event),
            Call::JoinWaitlist(request) => self.join_waitlist(request, seen),
            Call::LeaveWaitlist(request) => self.leave_waitlist(request),
            Call::ListWaitlist(request) => Ok(self.list_waitlist(request)),
            Call::UpdateSlot(request) => self.update_slot(request),
            Call::UpdateVenue(request) => self.update_venue(request),
            Call::SetWeeklySchedule(request) => self.set_weekly_schedule(request),
            Call::SetFloor(request) => self.set_floor(request),
            Call::GetFloor(request) => self.get_floor(request),
            Call::ListFloor(request) => self.list_floor(request),
            Call::GetVenue(request) => self.get_venue(request),
            Call::ListAvailability(request) => self.list_availability(request),
            Call::BatchCheckAvailability(request) => Ok(self.check(request)),
        }
    }

    /// Moves the clock; new days come within the horizons. The workers' part is done by `do_worker_step`.
    pub fn pass(&mut self, span: TimeDelta) {
        self.now += span;
        let now = self.now;
        for venue in &mut self.venues {
            Arc::make_mut(venue).lay_out_missing(now);
        }
    }

    pub(super) fn expire(&mut self, n: usize) {
        let now = self.now;
        let booking = Arc::make_mut(&mut self.bookings[n]);
        booking.proto.set_status(BookingStatus::Expired);
        booking.proto.hold_expires_at = None;
        booking.proto.refund_due_cents = rules::paid(&booking.proto);
        booking.changed("teppan.booking.expired.v1", now);
        self.follow(n);
    }

    pub fn venue(&self, venue_id: &str) -> Option<usize> {
        self.venues.iter().position(|venue| venue.proto.venue_id == venue_id)
    }

    pub fn booking(&self, booking_id: &str) -> Option<usize> {
        self.bookings.iter().position(|booking| booking.proto.booking_id == booking_id)
    }

    /// Seats that live bookings take in a slot, without one of them.
    pub fn reserved(&self, venue_id: &str, slot: SlotTime, but: Option<usize>) -> i32 {
        let (date, start) = (slot.0.to_string(), slot.1.format("%H:%M").to_string());
        let here =
            |proto: &wire::Booking| proto.venue_id == venue_id && proto.date == date && proto.start_time == start;
        let others = self.bookings.iter().enumerate().filter(|(n, _)| Some(*n) != but).map(|(_, booking)| booking);
        others.filter(|booking| booking.live() && here(&booking.proto)).map(|booking| booking.proto.party_size).sum()
    }
}

impl Venue {
    pub fn today(&self, now: DateTime<Utc>) -> NaiveDate {
        now.with_timezone(&self.zone).date_naive()
    }

    pub fn last_day(&self, now: DateTime<Utc>) -> NaiveDate {
        self.today(now) + TimeDelta::days(self.proto.horizon_days.into())
    }
}

pub fn moment(stamp: &Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp(stamp.seconds, u32::try_from(stamp.nanos).unwrap_or(0)).unwrap_or_default()
}

pub fn date(text: &str) -> NaiveDate {
    text.parse().unwrap_or_default()
}

pub fn time(text: &str) -> NaiveTime {
    NaiveTime::parse_from_str(text, "%H:%M").unwrap_or_default()
}
