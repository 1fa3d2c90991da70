//! One run: the world is set up, clients work while faults happen, everything becomes quiet, and is checked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::{join, join_all};
use teppan_tests::{
    clients::BookingClients,
    launch::Which,
    tool::{Interrupt, say},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    checks::{self, Evidence},
    clients::{
        Caller,
        guest::{Guest, Town},
        orchestrator::Orchestrator,
        stripe::Stripe,
        talker::Talker,
    },
    faults,
    ledger::{BUCKET, Ledger},
    plan::{Kind, plan},
    report::{Happened, Report},
    world::{Needs, World, WorldError, venues::Venues},
};

/// After this time without a fault, a call that is not answered never will be.
const GRACE: Duration = Duration::from_mins(1);
/// The part of the goodput before a fault that must be back.
const RECOVERED_SHARE: f64 = 0.5;
/// How long it may take from the end of a fault until the goodput is back. A busy machine takes longer than a quiet
/// one.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);
/// The time over which the goodput after a fault is measured.
const WINDOW: Duration = Duration::from_millis(500);
const ORCHESTRATORS: usize = 2;

/// What to run.
pub struct Run {
    pub span: Duration,
    pub seed: u64,
    pub clients: usize,
    pub kinds: Vec<Kind>,
    pub calm: Duration,
    pub needs: Needs,
}

impl Run {
    /// Runs and checks. When it is interrupted, the faults end, and everything is checked.
    pub async fn go(&self, interrupt: &Interrupt) -> Result<Report, WorldError> {
        let mut world = World::start(self.needs).await?;
        let guests = self.clients.div_ceil(2);
        let mut clients = BookingClients::new(world.grpc(Which::Booking)[0]);
        let venues = Venues::open(&mut clients, guests).await.map_err(Box::new)?;
        let town = Town::new(venues, Stripe::new(world.webhooks()));
        let ledger = Arc::new(Ledger::start());
        let [stop, drained, give_up] = [(); 3].map(|()| CancellationToken::new());
        let pairs = [Which::Booking, Which::Conversation].map(|which| world.grpc(which));
        let caller = |index: usize, stop: &CancellationToken| {
            let [booking, conversation] = pairs;
            Caller::new(Arc::clone(&ledger), booking, conversation, index, [stop.clone(), give_up.clone()])
        };
        let seed = |index: usize| self.seed.wrapping_add(index as u64);
        let guest = |n| Guest::new(caller(n, &stop), &town, seed(n)).run();
        let talker = |n| Talker::new(caller(n, &stop), n - guests, seed(n)).run();
        let orchestrator = |n| Orchestrator::new(caller(n, &drained), n, seed(self.clients + n)).run();

        let guests_and_talkers = join(join_all((0..guests).map(guest)), join_all((guests..self.clients).map(talker)));
        let orchestrators = join_all((0..ORCHESTRATORS).map(orchestrator));
        let load = async {
            let faults = async {
                let happened = self.break_things(&mut world, &ledger, interrupt).await;
                stop.cancel();
                happened
            };
            let (_, happened) = join(guests_and_talkers, faults).await;
            say(format!("{:7.1} s  the clients have stopped; waiting for what follows", ledger.now().as_secs_f64()));
            if timeout(GRACE, town.stripe.all_delivered()).await.is_err() {
                ledger.violation("Stripe's events are accepted", "", "some were not within a minute");
            }
            // What a replica whose clock is ahead has put off is due when the other clocks have caught up.
            let put_off = if self.kinds.contains(&Kind::ClockStep) { faults::CLOCK_STEP } else { Duration::ZERO };
            let quiet = checks::wait_until_quiet(&world, &ledger, checks::BOUND + put_off).await;
            drained.cancel();
            (happened, quiet)
        };
        let grace = async {
            stop.cancelled().await;
            sleep(GRACE).await;
            give_up.cancel();
            std::future::pending::<()>().await;
        };
        let ((happened, quiet), _) = tokio::select! {
            done = join(load, orchestrators) => done,
            () = grace => unreachable!("it never ends"),
        };

        let checking = Instant::now();
        say(format!("{:7.1} s  checking", ledger.now().as_secs_f64()));
        let entries = ledger.entries();
        let reader = caller(0, &stop);
        let (venues, stripe) = (&town.venues, &town.stripe);
        let evidence = Evidence { world: &world, ledger: &ledger, entries: &entries, venues, stripe, reader: &reader };
        let checked = checks::run(&evidence).await;
        if !world.stop().await {
            ledger.violation("every service exits with code 0", "", "one did not");
        }
        Ok(Report::of(self, &ledger, happened, checked, [quiet, checking.elapsed()], town.stripe.accepted()))
    }

    /// Makes the planned faults happen, one after the other, until the time is over.
    async fn break_things(&self, world: &mut World, ledger: &Ledger, interrupt: &Interrupt) -> Vec<Happened> {
        let mut happened = Vec::new();
        for fault in plan(self.seed, &self.kinds, self.calm) {
            let calm_from = ledger.now();
            if calm_from + fault.after >= self.span {
                // The run ends with a calm part, in which everything works.
                interrupt.unless_interrupted(sleep(self.span.saturating_sub(calm_from))).await;
                break;
            }
            if interrupt.unless_interrupted(sleep(fault.after)).await.is_none() {
                break;
            }
            let began = ledger.now();
            let calm = rates(ledger.goodput(calm_from, began), began.saturating_sub(calm_from));
            let failed = Box::pin(faults::inject(world, fault)).await.err();
            let healed = ledger.now();
            let ready = async { world.until_serving().await.map(|()| ledger.now().saturating_sub(healed)) };
            let (ready, recovered) = join(ready, recovered(ledger, healed, calm)).await;
            let failed = failed.or(ready.as_ref().err().map(ToString::to_string));
            if let Some(failed) = &failed {
                let promise = "the services survive a fault";
                ledger.violation(
                    promise,
                    "",
                    format!("{} at {:.1} s: {failed}", fault.kind.name(), began.as_secs_f64()),
                );
            }
            if recovered.is_none() {
                let what = format!("{} at {:.1} s", fault.kind.name(), began.as_secs_f64());
                ledger.violation("the goodput is back soon after a fault", "", what);
            }
            let during = rates(ledger.goodput(began, healed), healed.saturating_sub(began));
            let one = Happened::of(fault, [began, healed], [calm, during], [ready.ok(), recovered], failed);
            say(format!("{one}{}", violations(ledger)));
            happened.push(one);
        }
        happened
    }
}

fn violations(ledger: &Ledger) -> String {
    match ledger.violations().len() {
        0 => String::new(),
        count => format!("  {count} VIOLATIONS"),
    }
}

/// Calls per second of each service.
#[expect(clippy::cast_precision_loss, reason = "a run has fewer calls")]
fn rates(calls: [u64; 2], span: Duration) -> [f64; 2] {
    calls.map(|calls| calls as f64 / span.as_secs_f64().max(0.001))
}

/// Waits until both services answer as many calls as before. Returns the time from the end of the fault, or `None` if
/// that is not soon enough.
async fn recovered(ledger: &Ledger, healed: Duration, calm: [f64; 2]) -> Option<Duration> {
    while ledger.now() < healed + RECOVERED_WITHIN {
        sleep(BUCKET).await;
        let now = ledger.now();
        let from = now.saturating_sub(WINDOW).max(healed);
        let rates = rates(ledger.goodput(from, now), now.saturating_sub(from));
        if rates.iter().zip(calm).all(|(now, before)| *now >= before * RECOVERED_SHARE) {
            return Some(now.saturating_sub(healed));
        }
    }
    None
}

impl Run {
    /// The command that runs the same faults again.
    pub fn command(&self) -> String {
        let kinds = self.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(",");
        let cluster = if self.needs.cluster { " --cluster" } else { "" };
        format!(
            "target/release/chaos --seed {} --minutes {} --clients {} --calm-seconds {} --faults {kinds}{cluster}",
            self.seed,
            self.span.as_secs_f64() / 60.0,
            self.clients,
            self.calm.as_secs_f64()
        )
    }
}
