//! Calls and their answers, in the terms of the contract.

use std::collections::BTreeMap;

use teppan_shared::contract::booking::v1::{
    AssignTablesRequest, BatchCheckAvailabilityRequest, Booking, CancelBookingRequest, CompleteBookingRequest,
    ConfirmBookingRequest, CreateBookingRequest, CreateBookingResponse, Floor, GetBookingRequest, GetFloorRequest,
    GetVenueRequest, GetVenueResponse, JoinWaitlistRequest, JoinWaitlistResponse, LeaveWaitlistRequest,
    ListAvailabilityRequest, ListAvailabilityResponse, ListBookingsRequest, ListFloorRequest, ListFloorResponse,
    ListPaymentsRequest, ListWaitlistRequest, MarkNoShowRequest, PartiesOfArea, Payment, RecordPaymentRequest,
    RecordPaymentResponse, ReinstateBookingRequest, RescheduleBookingRequest, SeatBookingRequest, SetFloorRequest,
    SetFloorResponse, SetWeeklyScheduleRequest, SetWeeklyScheduleResponse, Slot, SlotCheck, UpdateBookingRequest,
    UpdateSlotRequest, UpdateVenueRequest, Venue, WaitlistEntry,
};
use tonic::Code;

use super::stripe::Event;

/// One call, with all its wire values.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    CreateBooking(CreateBookingRequest),
    ConfirmBooking(ConfirmBookingRequest),
    CancelBooking(CancelBookingRequest),
    RescheduleBooking(RescheduleBookingRequest),
    CompleteBooking(CompleteBookingRequest),
    MarkNoShow(MarkNoShowRequest),
    ReinstateBooking(ReinstateBookingRequest),
    UpdateBooking(Box<UpdateBookingRequest>),
    AssignTables(AssignTablesRequest),
    SeatBooking(SeatBookingRequest),
    GetBooking(GetBookingRequest),
    ListBookings(ListBookingsRequest),
    RecordPayment(RecordPaymentRequest),
    ListPayments(ListPaymentsRequest),
    /// A Stripe event that is posted to the webhook.
    Stripe(Event),
    JoinWaitlist(JoinWaitlistRequest),
    LeaveWaitlist(LeaveWaitlistRequest),
    ListWaitlist(ListWaitlistRequest),
    UpdateSlot(UpdateSlotRequest),
    UpdateVenue(UpdateVenueRequest),
    SetWeeklySchedule(SetWeeklyScheduleRequest),
    SetFloor(SetFloorRequest),
    GetFloor(GetFloorRequest),
    ListFloor(ListFloorRequest),
    GetVenue(GetVenueRequest),
    ListAvailability(ListAvailabilityRequest),
    BatchCheckAvailability(BatchCheckAvailabilityRequest),
}

impl Call {
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateBooking(_) => "CreateBooking",
            Self::ConfirmBooking(_) => "ConfirmBooking",
            Self::CancelBooking(_) => "CancelBooking",
            Self::RescheduleBooking(_) => "RescheduleBooking",
            Self::CompleteBooking(_) => "CompleteBooking",
            Self::MarkNoShow(_) => "MarkNoShow",
            Self::ReinstateBooking(_) => "ReinstateBooking",
            Self::UpdateBooking(_) => "UpdateBooking",
            Self::AssignTables(_) => "AssignTables",
            Self::SeatBooking(_) => "SeatBooking",
            Self::GetBooking(_) => "GetBooking",
            Self::ListBookings(_) => "ListBookings",
            Self::RecordPayment(_) => "RecordPayment",
            Self::ListPayments(_) => "ListPayments",
            Self::Stripe(_) => "Stripe",
            Self::JoinWaitlist(_) => "JoinWaitlist",
            Self::LeaveWaitlist(_) => "LeaveWaitlist",
            Self::ListWaitlist(_) => "ListWaitlist",
            Self::UpdateSlot(_) => "UpdateSlot",
            Self::UpdateVenue(_) => "UpdateVenue",
            Self::SetWeeklySchedule(_) => "SetWeeklySchedule",
            Self::SetFloor(_) => "SetFloor",
            Self::GetFloor(_) => "GetFloor",
            Self::ListFloor(_) => "ListFloor",
            Self::GetVenue(_) => "GetVenue",
            Self::ListAvailability(_) => "ListAvailability",
            Self::BatchCheckAvailability(_) => "BatchCheckAvailability",
        }
    }
}

/// The answer to a call that was not refused. Etags are opaque and compared separately: here they are empty.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Created(CreateBookingResponse),
    Booking(Booking),
    /// All pages together.
    Bookings(Vec<Booking>),
    Paid(RecordPaymentResponse),
    Payments(Vec<Payment>),
    /// The webhook has accepted the event and will apply it soon.
    Taken,
    Joined(JoinWaitlistResponse),
    Waits(WaitlistEntry),
    Waitlist(Vec<WaitlistEntry>),
    Slot(Slot),
    Venue(Venue),
    VenueAndSchedule(Box<GetVenueResponse>),
    LaidOut(SetWeeklyScheduleResponse),
    FloorSet(SetFloorResponse),
    Floor(Floor),
    Parties(Box<ListFloorResponse>),
    Availability(ListAvailabilityResponse),
    Checks(Vec<SlotCheck>),
}

impl Reply {
    /// The bookings in the answer.
    pub fn bookings(&mut self) -> impl Iterator<Item = &mut Booking> {
        let (one, more, areas): (_, &mut [Booking], &mut [PartiesOfArea]) = match self {
            Self::Created(response) => (response.booking.as_mut(), &mut [], &mut []),
            Self::Paid(response) => (response.booking.as_mut(), &mut [], &mut []),
            Self::Booking(booking) => (Some(booking), &mut [], &mut []),
            Self::Bookings(bookings) => (None, bookings, &mut []),
            Self::Parties(listed) => (None, &mut [], &mut listed.areas),
            _ => (None, &mut [], &mut []),
        };
        let parties = areas.iter_mut().flat_map(|of| of.seated.iter_mut().chain(&mut of.arriving).chain(&mut of.late));
        one.into_iter().chain(more).chain(parties)
    }
}

/// A refusal: its code, its reason, and the metadata that the contract names.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub code: Code,
    pub reason: String,
    pub metadata: BTreeMap<String, String>,
    /// The fields of an INVALID_FIELDS error.
    pub fields: Vec<String>,
}

impl Refused {
    pub fn new(code: Code, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), metadata: BTreeMap::new(), fields: Vec::new() }
    }

    pub fn precondition(reason: &str) -> Self {
        Self::new(Code::FailedPrecondition, reason)
    }

    pub fn not_found(reason: &str) -> Self {
        Self::new(Code::NotFound, reason)
    }

    pub fn invalid(fields: &[&str]) -> Self {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        Self { fields, ..Self::new(Code::InvalidArgument, "INVALID_FIELDS") }
    }

    pub fn with(mut self, name: &str, value: impl Into<Figure>) -> Self {
        self.metadata.insert(name.to_owned(), value.into().0);
        self
    }
}

/// A value in metadata: a number or a name.
pub struct Figure(String);

impl From<i32> for Figure {
    fn from(number: i32) -> Self {
        Self(number.to_string())
    }
}

impl From<i64> for Figure {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl From<&str> for Figure {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

pub type Answer = Result<Reply, Refused>;
