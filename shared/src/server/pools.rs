//! The pools of calls, streams and bytes, and each holder's share of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use opentelemetry::{KeyValue, global};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::ServerSettings;

/// What a server has a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Calls whose message is still arriving.
    Arriving,
    /// Bytes of messages that are arriving or being worked on.
    ArrivingBytes,
    /// Calls that are worked on.
    Work,
    /// Calls that wait for something to happen.
    Waiting,
    /// Streams that are open.
    Streams,
    /// Calls of probes and tools: health and reflection.
    Probes,
    /// Streams of probes and tools.
    ProbeStreams,
    /// Bytes of answers that clients have not taken yet.
    AnswerBytes,
    /// Bytes of answers for which room is taken before the work. They are apart from the others: room that is taken for
    /// an answer as large as there can be must not keep other calls from theirs.
    ReservedAnswerBytes,
}

const RESOURCES: [Resource; 9] = [
    Resource::Arriving,
    Resource::ArrivingBytes,
    Resource::Work,
    Resource::Waiting,
    Resource::Streams,
    Resource::Probes,
    Resource::ProbeStreams,
    Resource::AnswerBytes,
    Resource::ReservedAnswerBytes,
];

impl Resource {
    /// Its name in the metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Arriving => "arriving",
            Self::ArrivingBytes => "arriving_bytes",
            Self::Work => "work",
            Self::Waiting => "waiting",
            Self::Streams => "streams",
            Self::Probes => "probes",
            Self::ProbeStreams => "probe_streams",
            Self::AnswerBytes => "answer_bytes",
            Self::ReservedAnswerBytes => "reserved_answer_bytes",
        }
    }
}

/// Calls whose message is arriving, for each call that may be worked on. They cost little.
const ARRIVING_PER_WORK: usize = 2;

/// A pool of permits for each [`Resource`].
///
/// No holder can use up a pool: it gets more only while it then holds no more than what is left. So one greedy holder
/// gets half of a pool, n greedy holders get 1/(n + 1) each, and as much stays free for the next one. The number of
/// holders need not be known. (Switches share their buffers so: dynamic thresholds, Choudhury and
/// Hahne, 1998.)
#[derive(Debug)]
pub struct Pools([Arc<Pool>; RESOURCES.len()]);

#[derive(Debug)]
struct Pool {
    permits: Arc<Semaphore>,
    size: usize,
    /// Notified of all permits that come back.
    freed: Notify,
}

/// A holder of permits, a connection or an identity, with the number it holds of each pool.
#[derive(Debug, Default)]
pub struct Holder([AtomicUsize; RESOURCES.len()]);

/// For whom the permits of a call count: its connection, and its caller once that is known. Each of them needs room in
/// its share.
#[derive(Debug, Clone, Default)]
pub struct Holders {
    connection: Arc<Holder>,
    identity: Option<Arc<Holder>>,
}

/// Some permits of a pool. They go back to the pool when this is dropped.
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
        Self(RESOURCES.map(|resource| {
            let size = size(resource).min(Semaphore::MAX_PERMITS);
            Arc::new(Pool { permits: Arc::new(Semaphore::new(size)), size, freed: Notify::new() })
        }))
    }

    /// An empty permit, to be enlarged by [`Permit::grow`].
    pub fn empty(&self, resource: Resource, holders: &Holders) -> Permit {
        self.permit(resource, holders, 0).expect("nothing can always be had")
    }

    /// This many permits, or `None` when a holder would then hold more than is left.
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
        // Concurrent calls of one holder may pass this check together. They are few, and the semaphore still bounds
        // the pool.
        let left = self.pool(resource).permits.available_permits();
        holders.iter().all(|holder| holder.held(resource).load(Relaxed).saturating_add(count) <= left)
    }

    /// Returns when [`Pools::take`] would succeed. Another call may be faster then.
    pub async fn room(&self, resource: Resource, holders: &Holders, count: usize) {
        loop {
            // Listened to before looking: what comes back in between wakes up.
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
        let pools = RESOURCES.iter().zip(&self.0);
        pools
            .map(|(resource, pool)| (*resource, pool.size - pool.permits.available_permits().min(pool.size), pool.size))
    }
}

/// Shows in the metrics from now on how much of the pools is taken.
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
                gauge.observe(number(used), &[KeyValue::new("pool", resource.name())]);
            }
        })
        .build();
    let weak = Arc::downgrade(pools);
    meter
        .u64_observable_gauge("teppan.server.pool.max")
        .with_description("Permits there are, by pool.")
        .with_callback(move |gauge| {
            let Some(pools) = weak.upgrade() else { return };
            for (resource, _, size) in pools.usage() {
                gauge.observe(number(size), &[KeyValue::new("pool", resource.name())]);
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
    /// Adds this many permits to it; `false` when the holder may not have them.
    pub fn grow(&mut self, pools: &Pools, count: usize) -> bool {
        // A frame without data ends many messages, and takes no room.
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

    /// Gives back what exceeds this many.
    pub fn shrink(&mut self, count: usize) {
        self.give_back(self.count().saturating_sub(count));
    }

    fn give_back(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        // First the pool's, then the holders': others never see more room than there is.
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
mod tests {
    use super::*;

    fn pools(work: usize) -> Pools {
        Pools::sized(|_| work)
    }

    fn take_all(pools: &Pools, holders: &Holders) -> Vec<Permit> {
        std::iter::from_fn(|| pools.take(Resource::Work, holders, 1)).collect()
    }

    #[test]
    fn a_holder_alone_gets_half_and_each_of_several_leaves_as_much_for_the_next() {
        let pools = pools(1000);
        let holders: Vec<Holders> = (0..4).map(|_| Holders::default()).collect();
        let held: Vec<_> = holders.iter().map(|holder| take_all(&pools, holder)).collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [500, 250, 125, 63]);
    }

    #[test]
    fn the_connections_of_one_identity_share_its_share() {
        let pools = pools(1000);
        let identity = Arc::default();
        let connection = || Holders::default().and_identity(Arc::clone(&identity));
        let held: Vec<_> = (0..4).map(|_| take_all(&pools, &connection())).collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [500, 0, 0, 0]);
        assert_eq!(take_all(&pools, &Holders::default()).len(), 250, "as much is free for others");
    }

    #[test]
    fn the_last_permit_of_a_pool_can_be_had() {
        let pools = pools(1);
        assert_eq!(take_all(&pools, &Holders::default()).len(), 1);
    }

    #[test]
    fn what_is_dropped_can_be_had_again_with_what_it_grew_by() {
        let pools = pools(100);
        let holder = Holders::default();
        let mut permit = pools.take(Resource::Work, &holder, 10).expect("there is room");
        assert!(permit.grow(&pools, 30));
        assert!(!permit.grow(&pools, 30), "it would hold more than is left");
        let others = pools.take(Resource::Work, &Holders::default(), 30).expect("there is room");
        assert!(permit.grow(&pools, 0), "nothing always fits");
        drop(others);
        assert_eq!(holder.connection.held(Resource::Work).load(Relaxed), 40);
        drop(permit);
        assert_eq!(holder.connection.held(Resource::Work).load(Relaxed), 0);
        assert_eq!(pools.pool(Resource::Work).permits.available_permits(), 100);
    }

    #[test]
    fn a_permit_that_shrinks_gives_the_rest_back() {
        let pools = pools(100);
        let holder = Holders::default();
        let mut permit = pools.take(Resource::Work, &holder, 40).expect("there is room");
        permit.shrink(10);
        permit.shrink(30);
        assert_eq!(holder.connection.held(Resource::Work).load(Relaxed), 10);
        assert_eq!(pools.pool(Resource::Work).permits.available_permits(), 90);
    }

    #[tokio::test]
    async fn whoever_waits_for_room_gets_no_more_than_its_share() {
        let pools = pools(10);
        let (greedy, other): (Holders, Holders) = Default::default();
        let mut held = take_all(&pools, &greedy);
        assert_eq!(held.len(), 5);
        let room = pools.room(Resource::Work, &greedy, 1);
        tokio::pin!(room);
        assert!(futures::poll!(&mut room).is_pending(), "half of the pool is left, and none of it is for this holder");
        let others = take_all(&pools, &other);
        drop(held.pop());
        assert!(futures::poll!(&mut room).is_pending(), "it holds 4, and 3 are left");
        drop(others);
        room.await;
    }
}
