//! Stripe: payments and refunds, whose events come late, twice and out of order, until a replica accepts each.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use rand::{Rng as _, rngs::StdRng};
use serde_json::Value;
use teppan_shared::contract::booking::v1::Booking;
use teppan_tests::stripe::{self, Intent};
use tokio_util::task::TaskTracker;

use super::Pair;
use crate::world::CLOCK_AHEAD_SECONDS;

pub const SECRET: &str = "whsec_of_the_chaos";
const LATE_MS: std::ops::Range<u64> = 0..4000;
const RETRY: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_secs(5);
const SUCCESS: u16 = 200;

/// What Stripe knows about a booking, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money {
    pub charged: i64,
    pub refunded: i64,
}

/// Stripe's side.
pub struct Stripe {
    http: Pair,
    money: Mutex<BTreeMap<String, Money>>,
    deliveries: TaskTracker,
    accepted: Arc<Mutex<u64>>,
}

impl Stripe {
    pub fn new(http: Pair) -> Self {
        Self { http, money: Mutex::default(), deliveries: TaskTracker::new(), accepted: Arc::default() }
    }

    /// The customer pays the deposit, or tries to.
    pub fn pay(&self, rng: &mut StdRng, booking: &Booking) {
        let intent = Intent::of(&booking.booking_id, booking.deposit_due_cents.max(100));
        let (mut events, mut money) = (Vec::new(), Money::default());
        let mut paid = |events: &mut Vec<Value>, intent: &Intent| {
            events.push(intent.succeeded());
            money.charged += intent.amount_cents;
        };
        match rng.random_range(0..100) {
            0..50 => paid(&mut events, &intent),
            50..60 => {
                events.push(intent.processing());
                paid(&mut events, &intent);
            }
            60..70 => events.push(intent.failed()),
            // Twice, by mistake.
            70..80 => {
                paid(&mut events, &intent);
                paid(&mut events, &Intent::of(&booking.booking_id, intent.amount_cents));
            }
            _ => {
                paid(&mut events, &intent);
                let part = rng.random_range(1..intent.amount_cents);
                events.push(intent.refund_made("1", part));
                events.push(intent.refunded(part));
                money.refunded += part;
            }
        }
        let mut all = self.money.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = all.entry(booking.booking_id.clone()).or_default();
        sums.charged += money.charged;
        sums.refunded += money.refunded;
        drop(all);
        for event in events {
            for _ in 0..rng.random_range(1..=3) {
                let late = Duration::from_millis(rng.random_range(LATE_MS));
                self.deliver(event.to_string(), late, rng.random_range(0..2));
            }
        }
    }

    fn deliver(&self, body: String, late: Duration, first: usize) {
        let (http, accepted) = (self.http, Arc::clone(&self.accepted));
        self.deliveries.spawn(async move {
            tokio::time::sleep(late).await;
            for replica in first.. {
                if post(http[replica % 2], &body).await {
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
            *accepted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        });
    }

    /// Waits until every event was accepted.
    pub async fn all_delivered(&self) {
        self.deliveries.close();
        self.deliveries.wait().await;
    }

    /// Deliveries that were accepted.
    pub fn accepted(&self) -> u64 {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn money(&self) -> BTreeMap<String, Money> {
        self.money.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn post(http: SocketAddr, body: &str) -> bool {
    let now = Utc::now() + TimeDelta::seconds(CLOCK_AHEAD_SECONDS);
    let request = stripe::webhook(Some(&stripe::signed(body, SECRET, now)), body);
    let answer = tokio::time::timeout(TIMEOUT, stripe::try_exchange(http, request.as_bytes())).await;
    matches!(answer, Ok(Ok((SUCCESS, _))))
}
