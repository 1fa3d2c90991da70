//! A guest books, moves, changes and cancels, pays, and waits for seats.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use teppan_shared::contract::booking::v1::{
    Booking, BookingStatus, CancelBookingRequest, ConfirmBookingRequest, CreateBookingRequest, CreateBookingResponse,
    GetBookingRequest, JoinWaitlistRequest, LeaveWaitlistRequest, RescheduleBookingRequest,
};
use teppan_tests::{fixtures, launch::Which};

use super::{Caller, End, Patience, Span, reason, stripe::Stripe, within};
use crate::{
    ledger::{Answer, Seen},
    world::venues::{STARTS, Venues},
};

/// Bookings that a guest has at once.
const LIVE_MAX: usize = 5;
/// Bookings that every guest may change.
const SHARED_MAX: usize = 60;
/// How often all guests want the same slot at the same moment, and how many bookings each then makes at once.
const RUSH_EVERY: Duration = Duration::from_secs(2);
const RUSH: usize = 3;
/// Earlier requests that are repeated.
const REPEATED_MAX: usize = 10;

/// What all guests share.
pub struct Town {
    pub venues: Venues,
    pub stripe: Stripe,
    shared: Mutex<VecDeque<String>>,
}

impl Town {
    pub fn new(venues: Venues, stripe: Stripe) -> Self {
        Self { venues, stripe, shared: Mutex::default() }
    }

    fn share(&self, booking_id: &str) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.push_back(booking_id.to_owned());
        if shared.len() > SHARED_MAX {
            shared.pop_front();
        }
    }

    fn any_shared(&self, rng: &mut StdRng) -> Option<String> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        (!shared.is_empty()).then(|| shared[rng.random_range(0..shared.len())].clone())
    }
}

/// One guest.
pub struct Guest<'a> {
    caller: Caller,
    town: &'a Town,
    rng: StdRng,
    live: VecDeque<String>,
    waiting: VecDeque<String>,
    made: VecDeque<(CreateBookingRequest, String)>,
    /// The rush that the guest took part in last.
    rush: usize,
}

impl<'a> Guest<'a> {
    pub fn new(caller: Caller, town: &'a Town, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let (live, waiting, made) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { caller, town, rng, live, waiting, made, rush: 0 }
    }

    /// Acts until it is stopped.
    pub async fn run(mut self) {
        while !self.caller.stop.is_cancelled() {
            let rush =
                usize::try_from(self.caller.ledger.now().as_millis() / RUSH_EVERY.as_millis()).unwrap_or_default();
            if rush > self.rush {
                self.rush = rush;
                self.join_the_rush().await;
                continue;
            }
            match self.rng.random_range(0..100) {
                0..40 if self.live.len() < LIVE_MAX => self.book().await,
                0..55 => self.cancel().await,
                55..75 => self.reschedule().await,
                75..82 => self.confirm().await,
                82..88 => self.repeat().await,
                88..92 => self.book_at_both_replicas().await,
                92..96 => self.leave().await,
                _ => self.read().await,
            }
        }
    }

    fn wish(&mut self) -> CreateBookingRequest {
        let party_size = self.rng.random_range(1..=4);
        let venue_id = self.town.venues.any(&mut self.rng);
        let start_time = STARTS[self.rng.random_range(0..STARTS.len())].to_owned();
        CreateBookingRequest { start_time, ..fixtures::booking(venue_id, party_size) }
    }

    fn patience(&mut self) -> Patience {
        if self.rng.random_bool(0.04) { Patience::OneAttempt } else { Patience::UntilAnswered }
    }

    async fn book(&mut self) {
        let (request, patience) = (self.wish(), self.patience());
        let ended = create(&self.caller, &request, patience, 0).await;
        // At the venue with tables a slot may have seats and no table.
        let is_full = matches!(&ended.1, End::Refused(status) if reason(status) == "SLOT_FULL")
            && request.venue_id != self.town.venues.tables;
        if let Some(booking) = created(&self.caller, &request, ended) {
            self.made(request, booking);
        } else if is_full && self.rng.random_bool(0.3) {
            self.wait(request).await;
        }
    }

    /// All guests want the same slot, as when tables are released at noon: calls are gathered, and seats run out.
    async fn join_the_rush(&mut self) {
        let (venue_id, start_time) = (self.town.venues.firm.clone(), STARTS[self.rush % STARTS.len()]);
        let wishes: Vec<_> = (0..RUSH)
            .map(|_| CreateBookingRequest {
                start_time: start_time.to_owned(),
                ..fixtures::booking(&venue_id, self.rng.random_range(1..=4))
            })
            .collect();
        let calls = wishes.iter().map(|wish| create(&self.caller, wish, Patience::UntilAnswered, 0));
        for (request, ended) in wishes.iter().zip(join_all(calls).await) {
            if let Some(booking) = created(&self.caller, request, ended) {
                self.made(request.clone(), booking);
            }
        }
    }

    fn made(&mut self, request: CreateBookingRequest, booking: Booking) {
        if self.rng.random_bool(0.3) {
            self.town.share(&booking.booking_id);
        }
        if booking.status() == BookingStatus::Pending {
            self.town.stripe.pay(&mut self.rng, &booking);
        }
        self.live.push_back(booking.booking_id.clone());
        self.made.push_back((request, booking.booking_id));
        if self.made.len() > REPEATED_MAX {
            self.made.pop_front();
        }
    }

    /// The same request at the same time at both replicas, as when a proxy repeats it.
    async fn book_at_both_replicas(&mut self) {
        if self.live.len() >= LIVE_MAX {
            return self.cancel().await;
        }
        let request = self.wish();
        let both = tokio::join!(
            create(&self.caller, &request, Patience::UntilAnswered, 0),
            create(&self.caller, &request, Patience::UntilAnswered, 1),
        );
        let made = [both.0, both.1].map(|ended| created(&self.caller, &request, ended));
        if let [Some(one), Some(other)] = &made {
            self.same(&request, &one.booking_id, &other.booking_id);
        }
        if let Some(booking) = made.into_iter().flatten().next() {
            self.made(request, booking);
        }
    }

    /// An earlier request again: it must find its booking.
    async fn repeat(&mut self) {
        let Some((request, booking_id)) = self.made.back().cloned() else { return };
        let ended = create(&self.caller, &request, Patience::UntilAnswered, 0).await;
        if let End::Refused(status) = &ended.1 {
            let what = format!("a repeated request was refused: {}", reason(status));
            self.caller.ledger.violation("a key has one booking", &booking_id, what);
        }
        if let Some(again) = created(&self.caller, &request, ended) {
            self.same(&request, &booking_id, &again.booking_id);
        }
    }

    fn same(&self, request: &CreateBookingRequest, one: &str, other: &str) {
        if one != other {
            let what = format!("one request got the bookings {one} and {other}");
            self.caller.ledger.violation("a key has one booking", &request.idempotency_key, what);
        }
    }

    /// One of the guest's own bookings, or one that others change too.
    fn any(&mut self) -> Option<String> {
        if self.live.is_empty() || self.rng.random_bool(0.15) {
            return self.town.any_shared(&mut self.rng);
        }
        Some(self.live[self.rng.random_range(0..self.live.len())].clone())
    }

    async fn cancel(&mut self) {
        let own = self.live.pop_front();
        let Some(booking_id) = own.or_else(|| self.town.any_shared(&mut self.rng)) else { return self.book().await };
        let request = CancelBookingRequest { booking_id: booking_id.clone(), ..Default::default() };
        let patience = self.patience();
        let ended = self.caller.call("CancelBooking", patience, async |replica, deadline| {
            self.caller.bookings[replica].bookings.clone().cancel_booking(within(deadline, request.clone())).await
        });
        changed(&self.caller, "CancelBooking", &booking_id, ended.await, |answer| answer.booking.as_ref());
    }

    async fn reschedule(&mut self) {
        let Some(booking_id) = self.any() else { return };
        let request = RescheduleBookingRequest {
            booking_id: booking_id.clone(),
            start_time: STARTS[self.rng.random_range(0..STARTS.len())].to_owned(),
            party_size: self.rng.random_bool(0.5).then(|| self.rng.random_range(1..=4)),
            ..Default::default()
        };
        let patience = self.patience();
        let ended = self.caller.call("RescheduleBooking", patience, async |replica, deadline| {
            self.caller.bookings[replica].bookings.clone().reschedule_booking(within(deadline, request.clone())).await
        });
        changed(&self.caller, "RescheduleBooking", &booking_id, ended.await, |answer| answer.booking.as_ref());
    }

    async fn confirm(&mut self) {
        let Some(booking_id) = self.any() else { return };
        let request = ConfirmBookingRequest { booking_id: booking_id.clone(), ..Default::default() };
        let ended = self.caller.call("ConfirmBooking", Patience::UntilAnswered, async |replica, deadline| {
            self.caller.bookings[replica].bookings.clone().confirm_booking(within(deadline, request.clone())).await
        });
        changed(&self.caller, "ConfirmBooking", &booking_id, ended.await, |answer| answer.booking.as_ref());
    }

    async fn read(&mut self) {
        let Some(booking_id) = self.any() else { return };
        let request = GetBookingRequest { booking_id: booking_id.clone(), ..Default::default() };
        let ended = self.caller.call("GetBooking", Patience::UntilAnswered, async |replica, deadline| {
            self.caller.bookings[replica].bookings.clone().get_booking(within(deadline, request.clone())).await
        });
        changed(&self.caller, "GetBooking", &booking_id, ended.await, |answer| answer.booking.as_ref());
    }

    async fn wait(&mut self, wish: CreateBookingRequest) {
        let request = JoinWaitlistRequest {
            idempotency_key: wish.idempotency_key,
            venue_id: wish.venue_id,
            date: wish.date,
            start_time: wish.start_time,
            party_size: wish.party_size,
            contact: wish.contact,
            conversation_id: wish.conversation_id,
            ..Default::default()
        };
        let ended = self.caller.call("JoinWaitlist", Patience::UntilAnswered, async |replica, deadline| {
            self.caller.bookings[replica].bookings.clone().join_waitlist(within(deadline, request.clone())).await
        });
        let call = (Which::Booking, "JoinWaitlist");
        let joined = self.caller.record(call, (&request.idempotency_key, ""), ended.await, |answer| {
            let entry = answer.entry.clone().unwrap_or_default();
            let status = entry.status().as_str_name().into();
            (entry.waitlist_entry_id, Answer::Status(status))
        });
        self.waiting.extend(joined.and_then(|answer| answer.entry).map(|entry| entry.waitlist_entry_id));
    }

    async fn leave(&mut self) {
        let Some(waitlist_entry_id) = self.waiting.pop_front() else { return };
        let request = LeaveWaitlistRequest { waitlist_entry_id: waitlist_entry_id.clone(), validate_only: false };
        let ended = self.caller.call("LeaveWaitlist", Patience::UntilAnswered, async |replica, deadline| {
            self.caller.bookings[replica].bookings.clone().leave_waitlist(within(deadline, request.clone())).await
        });
        let call = (Which::Booking, "LeaveWaitlist");
        self.caller.record(call, (&waitlist_entry_id, &waitlist_entry_id), ended.await, |answer| {
            let status = answer.entry.as_ref().map(|entry| entry.status().as_str_name()).unwrap_or_default();
            (waitlist_entry_id.clone(), Answer::Status(status.into()))
        });
    }
}

async fn create(
    caller: &Caller,
    request: &CreateBookingRequest,
    patience: Patience,
    other: usize,
) -> (Span, End<CreateBookingResponse>) {
    let attempt = async |replica: usize, deadline: Duration| {
        let mut bookings = caller.bookings[(replica + other) % 2].bookings.clone();
        bookings.create_booking(within(deadline, request.clone())).await
    };
    caller.call("CreateBooking", patience, attempt).await
}

fn created(
    caller: &Caller,
    request: &CreateBookingRequest,
    ended: (Span, End<CreateBookingResponse>),
) -> Option<Booking> {
    let key = &request.idempotency_key;
    let answer = caller.record((Which::Booking, "CreateBooking"), (key, ""), ended, |answer| {
        let booking = answer.booking.clone().unwrap_or_default();
        let seen = Seen { replayed: answer.replayed, ..seen(&booking) };
        (booking.booking_id, Answer::Booking(seen))
    });
    answer.and_then(|answer| answer.booking)
}

fn changed<T>(
    caller: &Caller,
    call: &'static str,
    booking_id: &str,
    ended: (Span, End<T>),
    booking: impl Fn(&T) -> Option<&Booking>,
) {
    caller.record((Which::Booking, call), (booking_id, booking_id), ended, |answer| {
        (booking_id.to_owned(), Answer::Booking(booking(answer).map_or_else(|| seen(&Booking::default()), seen)))
    });
}

/// The part of a booking that is checked.
pub fn seen(booking: &Booking) -> Seen {
    Seen {
        version: booking.version,
        status: booking.status().as_str_name().trim_start_matches("BOOKING_STATUS_").into(),
        slot: format!("{} {} {}", booking.venue_id, booking.date, booking.start_time).into(),
        party_size: booking.party_size,
        replayed: false,
    }
}
