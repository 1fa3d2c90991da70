//! Turns operations into calls: looks up in the model what an operation names.

use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    BatchCheckAvailabilityRequest, BookingOrder, BookingStatus, Contact, CreateBookingRequest, GetBookingRequest,
    ListAvailabilityRequest, ListBookingsRequest, ListFloorRequest, ListPaymentsRequest, ListWaitlistRequest,
    PaymentKind, PaymentMethod, RecordPaymentRequest, ScheduleException, SetFloorRequest, SetWeeklyScheduleRequest,
    SlotQuery, UpdateVenueRequest, Venue as WireVenue, WaitlistEntryStatus,
};

use super::{
    calls::Call,
    door::WALK_IN,
    floor_plans::floor,
    names::{UNKNOWN_ID, area, day_of, email, etag, expected_total, id, named, next_start, pick, venue},
    operations::{Amount, Create, Different, Etag, Exception, Fault, Filter, Key, Operation, Pay, Policy},
    plan_change::plan_change,
    schedules::schedule,
    state::{Model, Venue},
    stripe_sequences::StripeSequences,
    waits::{self, Waits},
};
use crate::fixtures::SlotUpdate;

/// The requests so far, which later calls repeat.
#[derive(Debug, Default)]
pub struct Planner {
    asked: Vec<CreateBookingRequest>,
    paid: Vec<RecordPaymentRequest>,
    waits: Waits,
    pub sequences: StripeSequences,
}

impl Planner {
    /// The call of an operation; `alone` when no other call runs at the same time.
    pub fn plan(&mut self, model: &Model, operation: &Operation, alone: bool) -> Call {
        match operation {
            Operation::Create(create) => Call::CreateBooking(self.create(model, create)),
            Operation::Pay(pay) => Call::RecordPayment(self.pay(model, pay)),
            &Operation::ListPayments { booking } => {
                let booking_id = booking.map_or_else(String::new, |booking| id(pick(model, booking)));
                Call::ListPayments(ListPaymentsRequest { booking_id, page_size: 1000, ..Default::default() })
            }
            Operation::Join(join) => Call::JoinWaitlist(self.waits.join(model, join)),
            &Operation::Leave { entry } => Call::LeaveWaitlist(waits::leave(model, entry)),
            &Operation::ListWaitlist { venue: n, waiting, page_size } => {
                let venue_id = n.map_or_else(String::new, |n| venue(model, n).proto.venue_id.clone());
                let statuses = if waiting { vec![WaitlistEntryStatus::Waiting.into()] } else { Vec::new() };
                let page_size = if alone { page_size } else { 1000 };
                Call::ListWaitlist(ListWaitlistRequest { venue_id, statuses, page_size, ..Default::default() })
            }
            Operation::Change(change) => plan_change(model, change),
            &Operation::UpdateSlot { slot_choice, closed, capacity, price_cents } => {
                let (venue_id, date, start_time) = named(model, slot_choice);
                let price_per_person_cents = price_cents;
                let update = SlotUpdate { venue_id, date, start_time, closed, capacity, price_per_person_cents };
                Call::UpdateSlot(update.into())
            }
            &Operation::UpdateVenue { venue, policy, etag } => {
                Call::UpdateVenue(update_venue(model, venue, policy, etag))
            }
            &Operation::SetSchedule { venue: n, variant, exception } => {
                let venue = venue(model, n);
                let exceptions = exception.map(|exception| different(model, venue, exception)).into_iter().collect();
                let venue_id = venue.proto.venue_id.clone();
                Call::SetWeeklySchedule(SetWeeklyScheduleRequest { venue_id, periods: schedule(variant), exceptions })
            }
            &Operation::SetFloor { venue: n, variant } => {
                let floor = Some(floor(variant, &venue(model, n).proto.venue_id));
                Call::SetFloor(SetFloorRequest { floor, validate_only: false })
            }
            &Operation::ListFloor { venue: n, window_minutes } => {
                let venue_id = venue(model, n).proto.venue_id.clone();
                Call::ListFloor(ListFloorRequest { venue_id, window_minutes, ..Default::default() })
            }
            &Operation::GetBooking { booking, by_code } => match (pick(model, booking), by_code) {
                (Some(booking), true) => Call::GetBooking(GetBookingRequest {
                    confirmation_code: booking.proto.confirmation_code.to_lowercase(),
                    ..Default::default()
                }),
                (booking, _) => Call::GetBooking(GetBookingRequest { booking_id: id(booking), ..Default::default() }),
            },
            &Operation::ListBookings { venue, filter, page_size, latest_first } => {
                // Only without concurrent calls do all pages of a list show the same moment.
                let page_size = if alone { page_size } else { 1000 };
                let order = if latest_first { BookingOrder::LatestFirst } else { BookingOrder::EarliestFirst };
                Call::ListBookings(list(model, venue, filter, page_size, order))
            }
            &Operation::ListAvailability { venue: n, from, party_size, bookable_only } => {
                let venue = venue(model, n);
                let venue_id = venue.proto.venue_id.clone();
                let from_date = from.map_or_else(String::new, |day| day_of(model, venue, day));
                let request =
                    ListAvailabilityRequest { venue_id, from_date, party_size, bookable_only, ..Default::default() };
                Call::ListAvailability(request)
            }
            Operation::Check { queries } => {
                let queries = queries.iter().map(|&(slot_choice, party_size)| {
                    let (venue_id, date, start_time) = named(model, slot_choice);
                    SlotQuery { venue_id, date, start_time, party_size }
                });
                Call::BatchCheckAvailability(BatchCheckAvailabilityRequest { queries: queries.collect() })
            }
        }
    }

    fn pay(&mut self, model: &Model, pay: &Pay) -> RecordPaymentRequest {
        let earlier = |back: u8| self.paid.iter().rev().nth(usize::from(back) % self.paid.len().max(1)).cloned();
        let booking = pick(model, pay.booking);
        let proto = booking.map(|booking| booking.proto.clone()).unwrap_or_default();
        let amount_cents = match (pay.amount, pay.back) {
            (Amount::Due, false) => proto.deposit_cents.max(proto.no_show_fee_cents) - proto.paid_cents,
            (Amount::All, false) => proto.total_cents - proto.paid_cents,
            (Amount::Due, true) => proto.refund_due_cents,
            (Amount::All, true) => proto.paid_cents,
            (Amount::Cents(cents), _) => cents,
        };
        let kind = if pay.back { PaymentKind::Refund } else { PaymentKind::Charge };
        let currency = if pay.foreign { "CHF" } else { "EUR" };
        let mut request = RecordPaymentRequest {
            idempotency_key: format!("payment-{}", self.paid.len()),
            booking_id: id(booking),
            kind: kind.into(),
            method: PaymentMethod::Cash.into(),
            // An amount of zero is replaced by one cent.
            amount_cents: amount_cents.max(1),
            currency: currency.to_owned(),
            external_reference: format!("receipt {}", self.paid.len()),
            occurred_at: None,
            etag: booking.map_or_else(String::new, |booking| {
                etag(model, &booking.proto.booking_id, booking.proto.version, pay.etag)
            }),
            is_extra: pay.extra,
        };
        match pay.key {
            Key::New => {}
            Key::Again { back } => request = earlier(back).unwrap_or(request),
            Key::Reused { back } => {
                request.idempotency_key = earlier(back).map_or(request.idempotency_key, |paid| paid.idempotency_key);
            }
        }
        self.paid.push(request.clone());
        request
    }

    fn create(&mut self, model: &Model, create: &Create) -> CreateBookingRequest {
        let earlier = |back: u8| self.asked.iter().rev().nth(usize::from(back) % self.asked.len().max(1)).cloned();
        let (venue_id, day, start_time) = named(model, create.slot_choice);
        let mut request = CreateBookingRequest {
            idempotency_key: format!("booking-{}", self.asked.len()),
            venue_id,
            date: day,
            start_time,
            party_size: create.party_size,
            contact: Some(Contact { name: "Mina Sato".to_owned(), email: email(create.guest), phone: String::new() }),
            conversation_id: if create.conversation { format!("chat-{}", create.guest) } else { String::new() },
            special_requests: format!("A table for {}.", create.party_size),
            expected_total_cents: None,
            source: "model".to_owned(),
            area: create.area.map_or_else(String::new, area),
            allow_duplicate: create.allow_duplicate,
            ..Default::default()
        };
        if create.walk_in {
            (request.contact, request.source) = (None, WALK_IN.to_owned());
            request.conversation_id.clear();
            if let Some((date, start_time)) = next_start(model, &request.venue_id) {
                (request.date, request.start_time) = (date, start_time);
            }
        }
        request.expected_total_cents = expected_total(
            model,
            &request.venue_id,
            (&request.date, &request.start_time),
            create.party_size,
            create.expected,
        );
        match create.key {
            Key::New => {}
            Key::Again { back } => request = earlier(back).unwrap_or(request),
            Key::Reused { back } => {
                request.idempotency_key = earlier(back).map_or(request.idempotency_key, |asked| asked.idempotency_key);
            }
        }
        match create.fault {
            None => {}
            Some(Fault::NoKey) => request.idempotency_key.clear(),
            Some(Fault::NoVenue) => request.venue_id.clear(),
            Some(Fault::NoParty) => request.party_size = 0,
            // A walk-in needs none.
            Some(Fault::NoEmail) => request.contact.iter_mut().for_each(|contact| contact.email.clear()),
            Some(Fault::NegativePrice) => request.expected_total_cents = Some(-1),
            Some(Fault::PartyOf(party_size)) => request.party_size = party_size,
        }
        if create.fault.is_none() {
            self.asked.push(request.clone());
        }
        request
    }
}

fn update_venue(model: &Model, n: u8, policy: Policy, wanted: Etag) -> UpdateVenueRequest {
    let venue = venue(model, n);
    let etag = etag(model, &venue.proto.venue_id, i64::try_from(venue.changes).unwrap_or_default(), wanted);
    let mut changed = WireVenue { venue_id: venue.proto.venue_id.clone(), ..Default::default() };
    let paths: &[&str] = match policy {
        Policy::Notice(minutes) => {
            changed.notice_minutes = minutes;
            &["notice_minutes"]
        }
        Policy::Hold(minutes) => {
            changed.hold_minutes = minutes;
            &["hold_minutes"]
        }
        Policy::Deposit(percent) => {
            changed.deposit_percent = percent;
            &["deposit_percent"]
        }
        Policy::SetDeposits { per_person, fixed, min_party_size } => {
            (changed.deposit_per_person_cents, changed.deposit_fixed_cents) = (per_person, fixed);
            changed.deposit_min_party_size = min_party_size;
            &["deposit_per_person_cents", "deposit_fixed_cents", "deposit_min_party_size"]
        }
        Policy::MinimumSpend(cents) => {
            changed.minimum_spend_cents = cents;
            &["minimum_spend_cents"]
        }
        Policy::NoShowFee(cents) => {
            changed.no_show_fee_per_person_cents = cents;
            &["no_show_fee_per_person_cents"]
        }
        Policy::Refunds { full_hours, late_percent } => {
            (changed.full_refund_hours, changed.late_refund_percent) = (full_hours, late_percent);
            &["full_refund_hours", "late_refund_percent"]
        }
        Policy::Parties { min, max } => {
            (changed.min_party_size, changed.max_party_size) = (min, max);
            &["min_party_size", "max_party_size"]
        }
    };
    let mask = FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() };
    UpdateVenueRequest { venue: Some(changed), update_mask: Some(mask), etag }
}

fn different(model: &Model, venue: &Venue, exception: Exception) -> ScheduleException {
    let date = day_of(model, venue, exception.day);
    match exception.what {
        Different::Closed => ScheduleException { date, closed: true, ..Default::default() },
        Different::Capacity(capacity) => ScheduleException { date, capacity: Some(capacity), ..Default::default() },
        Different::Price(cents) => {
            ScheduleException { date, price_per_person_cents: Some(cents), ..Default::default() }
        }
    }
}

fn list(model: &Model, n: Option<u8>, filter: Filter, page_size: i32, order: BookingOrder) -> ListBookingsRequest {
    let venue_id = n.map_or_else(String::new, |n| venue(model, n).proto.venue_id.clone());
    let mut request = ListBookingsRequest { venue_id, page_size, order: order.into(), ..Default::default() };
    match filter {
        Filter::All => {}
        Filter::Day(day) => {
            let day = day_of(model, venue(model, n.unwrap_or_default()), day);
            (request.from_date, request.to_date) = (day.clone(), day);
        }
        Filter::Guest(guest) => {
            request.customer_id = model.customers.get(&email(guest)).cloned().unwrap_or_else(|| UNKNOWN_ID.to_owned());
        }
        Filter::Live => request.statuses = vec![BookingStatus::Pending.into(), BookingStatus::Confirmed.into()],
        Filter::Pending => request.statuses = vec![BookingStatus::Pending.into()],
    }
    request
}
