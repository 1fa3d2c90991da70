//! The gRPC services: decode, call, encode. No other module uses wire types.

mod assign_tables;
mod batch_check_availability;
mod booking_service;
mod cancel_booking;
mod change_booking;
mod create_booking;
mod create_venue;
mod customer_service;
mod decode_phone;
mod decode_statuses;
mod encode;
mod encode_payment;
mod encode_waitlist_entry;
pub mod export_customer;
mod get_booking;
mod join_waitlist;
mod leave_waitlist;
mod list_availability;
mod list_bookings;
mod list_floor;
mod list_payments;
mod list_venues;
mod list_waitlist;
mod merge_customers;
mod outbox_service;
mod payment_service;
mod quote_booking;
mod record_payment;
mod refused_booking;
mod reschedule_booking;
mod schedule_service;
mod set_consent;
mod set_floor;
mod set_weekly_schedule;
mod special_days;
mod status;
mod stream_booking_events;
mod suggest_slots;
mod update_booking;
mod update_customer;
mod update_mask;
mod update_slot;
mod update_venue;

use std::sync::Arc;

use crate::{
    bookings::Bookings, customers::Customers, customers::export::CustomerExports, customers::merge::CustomerMerges,
    event_stream::BookingEvents, outbox::dead_letters::OutboxOperations, payments::Payments, slots::Slots,
    venues::Venues, waitlist::Waitlist,
};

/// Implements all gRPC services of this binary. Cheap to clone.
#[derive(Clone)]
pub struct Grpc {
    pub bookings: Arc<Bookings>,
    pub customers: Arc<Customers>,
    pub exports: Arc<CustomerExports>,
    pub events: Arc<BookingEvents>,
    pub merges: Arc<CustomerMerges>,
    pub outbox: OutboxOperations,
    pub payments: Arc<Payments>,
    pub slots: Arc<Slots>,
    pub venues: Arc<Venues>,
    pub waitlist: Arc<Waitlist>,
}
