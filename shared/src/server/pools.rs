//! The pools of permits for calls, streams and bytes, and each holder's share of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use opentelemetry::{KeyValue, global};
use strum::{EnumCount as _, VariantArray as _};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::ServerSettings;

/// A limited resource of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray, strum::EnumCount)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Resource {
    /// Calls whose message is still arriving.
    Arriving,
    /// Bytes of messages that are arriving or being worked on.
    ArrivingBytes,
    /// Calls that are being worked on.
    Work,
    /// Calls that wait for something to happen.
    Waiting,
    /// Streams that are open.
    Streams,
    /// Calls of probes and tools: health and reflection.
    Probes,
    /// Streams of probes and tools.
    ProbeStreams,
    /// Bytes of answers that clients have not read yet.
    AnswerBytes,
    /// Bytes of answers whose room is reserved before the work. They have a pool of their own: reservations are made
    /// for the largest possible answer and must not block the answers of other calls.
    ReservedAnswerBytes,
}

/// Permits for calls whose message is arriving, for each permit for work. Such calls cost little.
const ARRIVING_PER_WORK: usize = 2;

/// A pool of permits for each [`Resource`].
///
/// No holder can use up a pool: a holder may hold at most as much as is left. So one greedy holder gets half of a pool,
/// n greedy holders get 1/(n + 1) each, and as much stays free for the next holder. The number of holders need not be
/// known. (Network switches share their buffers in this way: dynamic thresholds, Choudhury and Hahne, 1998.)
#[derive(Debug)]
pub struct Pools([Arc<Pool>; Resource::COUNT]);

#[derive(Debug)]
struct Pool {
    permits: Arc<Semaphore>,
    size: usize,
    /// Notified whenever permits are returned.
    freed: Notify,
}

/// A holder of permits (a connection or an identity), with the number of permits that it holds of each pool.
#[derive(Debug, Default)]
pub struct Holder([AtomicUsize; Resource::COUNT]);

/// The holders for which the permits of a call count: its connection, and its caller once it is authenticated. Each of
/// them must have room in its share.
#[derive(Debug, Clone, Default)]
pub struct Holders {
    connection: Arc<Holder>,
    identity: Option<Arc<Holder>>,
}

/// Permits of a pool. They return to the pool when this is dropped.
#[derive(Debug)]
pub struct Permit {
    resource: Resource,
    permit: OwnedSemaphorePermit,
    pool: Arc<Pool>,
    holders: Holders,
}

impl Pools {
    pub fn new(settings: &ServerSettings) -> Self {
        let limits = &settings.limits;
        Self::sized(|resource| match resource {
            Resource::Arriving => settings.max_in_flight.saturating_mul(ARRIVING_PER_WORK),
            Resource::ArrivingBytes => limits.max_arriving_bytes,
            Resource::Work => settings.max_in_flight,
            Resource::Waiting => limits.max_waiting,
            Resource::Streams => limits.max_streams,
            Resource::Probes | Resource::ProbeStreams => limits.max_probes,
            Resource::AnswerBytes | Resource::ReservedAnswerBytes => limits.max_answer_bytes,
        })
    }

    pub fn sized(size: impl Fn(Resource) -> usize) -> Self {
        Self(std::array::from_fn(|index| {
            let resource = Resource::VARIANTS[index];
            let size = size(resource).min(Semaphore::MAX_PERMITS);
            Arc::new(Pool { permits: Arc::new(Semaphore::new(size)), size, freed: Notify::new() })
        }))
    }

    /// An empty permit. [`Permit::grow`] enlarges it.
    pub fn empty(&self, resource: Resource, holders: &Holders) -> Permit {
        self.permit(resource, holders, 0).expect("zero permits are always available")
    }

    /// Takes this many permits; `None` when a holder would then hold more than is left.
    pub fn take(&self, resource: Resource, holders: &Holders, count: usize) -> Option<Permit> {
        if !self.has_room(resource, holders, count) {
            return None;
        }
        let permit = self.permit(resource, holders, count)?;
        holders.add(resource, count);
        Some(permit)
    }

    /// Whether [`Pools::take`] would succeed now.
    pub fn has_room(&self, resource: Resource, holders: &Holders, count: usize) -> bool {
        // Concurrent calls of one holder may pass this check together. They are few, and the semaphore bounds the pool.
        let left = self.pool(resource).permits.available_permits();
        holders.iter().all(|holder| holder.held(resource).load(Relaxed).saturating_add(count) <= left)
    }

    /// Returns when [`Pools::take`] would succeed. Another call may take the permits first.
    pub async fn room(&self, resource: Resource, holders: &Holders, count: usize) {
        loop {
            // Subscribed before the check, so that permits that are returned in between are noticed.
            let freed = self.pool(resource).freed.notified();
            if self.has_room(resource, holders, count) {
                return;
            }
            freed.await;
        }
    }

    fn permit(&self, resource: Resource, holders: &Holders, count: usize) -> Option<Permit> {
        let pool = Arc::clone(self.pool(resource));
        let permit = Arc::clone(&pool.permits).try_acquire_many_owned(u32::try_from(count).ok()?).ok()?;
        Some(Permit { resource, permit, pool, holders: holders.clone() })
    }

    fn pool(&self, resource: Resource) -> &Arc<Pool> {
        &self.0[resource as usize]
    }

    /// How many permits of each pool are taken, and how many there are.
    fn usage(&self) -> impl Iterator<Item = (Resource, usize, usize)> {
        let pools = Resource::VARIANTS.iter().zip(&self.0);
        pools
            .map(|(resource, pool)| (*resource, pool.size - pool.permits.available_permits().min(pool.size), pool.size))
    }
}

/// Exports the usage of the pools as metrics.
pub fn observe(pools: &Arc<Pools>) {
    let meter = global::meter("teppan");
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let weak = Arc::downgrade(pools);
    meter
        .u64_observable_gauge("teppan.server.pool.used")
        .with_description("Permits that are taken, by pool.")
        .with_callback(move |gauge| {
            let Some(pools) = weak.upgrade() else { return };
            for (resource, used, _) in pools.usage() {
                gauge.observe(number(used), &[KeyValue::new("pool", resource.into_str())]);
            }
        })
        .build();
    let weak = Arc::downgrade(pools);
    meter
        .u64_observable_gauge("teppan.server.pool.max")
        .with_description("Size of the pools in permits.")
        .with_callback(move |gauge| {
            let Some(pools) = weak.upgrade() else { return };
            for (resource, _, size) in pools.usage() {
                gauge.observe(number(size), &[KeyValue::new("pool", resource.into_str())]);
            }
        })
        .build();
}

impl Holder {
    fn held(&self, resource: Resource) -> &AtomicUsize {
        &self.0[resource as usize]
    }
}

impl Holders {
    pub fn of_connection(connection: &Arc<Holder>) -> Self {
        Self { connection: Arc::clone(connection), identity: None }
    }

    pub fn and_identity(self, identity: Arc<Holder>) -> Self {
        Self { identity: Some(identity), ..self }
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Holder>> {
        std::iter::once(&self.connection).chain(&self.identity)
    }

    fn add(&self, resource: Resource, count: usize) {
        for holder in self.iter() {
            holder.held(resource).fetch_add(count, Relaxed);
        }
    }
}

impl Permit {
    /// Adds this many permits; `false` when a holder may not have them.
    pub fn grow(&mut self, pools: &Pools, count: usize) -> bool {
        // Many messages end with an empty frame, which takes no room.
        if count == 0 {
            return true;
        }
        let more = pools.take(self.resource, &self.holders, count).and_then(|mut more| more.permit.split(count));
        let grows = more.is_some();
        if let Some(more) = more {
            self.permit.merge(more);
        }
        grows
    }

    pub fn count(&self) -> usize {
        self.permit.num_permits()
    }

    /// Returns the permits beyond this number.
    pub fn shrink(&mut self, count: usize) {
        self.give_back(self.count().saturating_sub(count));
    }

    fn give_back(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        // The pool first, then the holders, so that other calls never see more room than there is.
        drop(self.permit.split(count));
        for holder in self.holders.iter() {
            holder.held(self.resource).fetch_sub(count, Relaxed);
        }
        self.pool.freed.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.count());
    }
}

#[cfg(test)]
mod tests;
