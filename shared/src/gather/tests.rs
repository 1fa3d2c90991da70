use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use futures::{future::join_all, poll};
use tokio::sync::Semaphore;

use super::*;

/// Answers each number with its double. Odd numbers are not settled; a statement with 666 fails.
#[derive(Default)]
struct Doubles {
    /// Statements wait for a permit each.
    permits: Option<Semaphore>,
    statements: Mutex<Vec<Vec<u32>>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Gathered for Arc<Doubles> {
    const METHOD: &'static str = "doubles";
    type Call = u32;
    type Answer = u32;

    fn fences(&self, call: &u32) -> Vec<Vec<u8>> {
        vec![call.to_be_bytes().to_vec()]
    }

    async fn run(&self, calls: &[u32]) -> Result<Vec<Option<u32>>, DatabaseError> {
        self.most.fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
        self.statements.lock().unwrap().push(calls.to_vec());
        if let Some(permits) = &self.permits {
            permits.acquire().await.expect("open").forget();
        }
        self.running.fetch_sub(1, SeqCst);
        if calls.contains(&666) {
            return Err(DatabaseError::Overloaded);
        }
        Ok(calls.iter().map(|call| (call % 2 == 0).then_some(call * 2)).collect())
    }
}

fn gatherer(doubles: &Arc<Doubles>, calls: usize, statements: usize) -> Gatherer<Arc<Doubles>> {
    let limits = GatherLimits { calls, statements, statements_far: statements };
    Gatherer::new(Arc::clone(doubles), limits)
}

/// The turn of a call that runs alone at once.
async fn turn(gatherer: &Gatherer<Arc<Doubles>>, call: u32) -> Turn<Arc<Doubles>> {
    match gatherer.join(call).await {
        Ok(Joined::Alone(_, turn)) if turn.running.is_some() => turn,
        _ => panic!("{call} does not run at once"),
    }
}

/// What came out for a call: its answer, or that it runs alone, with a turn or without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Settled(u32),
    AloneWithTurn,
    Alone,
}

async fn join(gatherer: &Gatherer<Arc<Doubles>>, call: u32) -> End {
    match gatherer.join(call).await.expect("it is not refused") {
        Joined::Settled(_, answer) => End::Settled(answer),
        Joined::Alone(_, turn) if turn.running.is_some() => End::AloneWithTurn,
        Joined::Alone(..) => End::Alone,
    }
}

#[tokio::test]
async fn a_call_runs_at_once_while_fewer_statements_run_than_may_and_the_others_go_together() {
    let doubles = Arc::new(Doubles::default());
    let gatherer = gatherer(&doubles, 8, 2);
    let turns = [turn(&gatherer, 1).await, turn(&gatherer, 3).await];
    let mut rest = join_all([10, 12, 14].map(|call| join(&gatherer, call)));
    assert!(poll!(&mut rest).is_pending());
    assert!(doubles.statements.lock().unwrap().is_empty());
    drop(turns);
    assert_eq!(rest.await, [End::Settled(20), End::Settled(24), End::Settled(28)]);
    assert_eq!(*doubles.statements.lock().unwrap(), [[10, 12, 14]]);
}

#[tokio::test]
async fn no_statement_has_more_calls_and_no_more_statements_run_than_may() {
    let doubles = Arc::new(Doubles::default());
    let gatherer = gatherer(&doubles, 8, 2);
    let ends = join_all((0..200).map(|n| {
        let gatherer = gatherer.clone();
        async move {
            match gatherer.join(n * 2).await.unwrap() {
                Joined::Settled(_, answer) => answer,
                Joined::Alone(call, _turn) => {
                    tokio::task::yield_now().await;
                    call * 2
                }
            }
        }
    }))
    .await;
    assert_eq!(ends, (0..200).map(|n| n * 4).collect::<Vec<_>>(), "each call gets its own answer");
    assert!(doubles.most.load(SeqCst) <= 2);
    let statements = doubles.statements.lock().unwrap();
    assert!(statements.iter().all(|calls| (2..=8).contains(&calls.len())));
    assert!(statements.len() < 60);
    let state = gatherer.lock();
    assert!(state.is_idle());
}

#[tokio::test]
async fn what_a_statement_does_not_settle_and_every_call_of_one_that_fails_runs_alone() {
    let doubles = Arc::new(Doubles::default());
    let gatherer = gatherer(&doubles, 3, 1);
    let first = turn(&gatherer, 0).await;
    let mut rest = join_all([2, 3, 4, 666, 8, 10].map(|call| join(&gatherer, call)));
    assert!(poll!(&mut rest).is_pending());
    drop(first);
    assert_eq!(rest.await, [End::Settled(4), End::Alone, End::Settled(8), End::Alone, End::Alone, End::Alone]);
    assert!(gatherer.lock().is_idle());
}

#[tokio::test]
async fn calls_with_the_same_fence_are_never_in_one_statement() {
    let doubles = Arc::new(Doubles::default());
    let gatherer = gatherer(&doubles, 8, 1);
    let first = turn(&gatherer, 2).await;
    assert_eq!(join(&gatherer, 2).await, End::Alone, "of a call that runs");
    let mut rest = join_all([4, 6].map(|call| join(&gatherer, call)));
    assert!(poll!(&mut rest).is_pending());
    assert_eq!(join(&gatherer, 4).await, End::Alone, "of a call that waits");
    drop(first);
    assert_eq!(rest.await, [End::Settled(8), End::Settled(12)]);
    assert_eq!(join(&gatherer, 4).await, End::AloneWithTurn, "the fence is gone when the call has ended");
}

#[tokio::test]
async fn a_call_whose_caller_leaves_while_it_waits_is_not_run_and_the_others_do_not_notice() {
    let doubles = Arc::new(Doubles::default());
    let gatherer = gatherer(&doubles, 8, 1);
    let first = turn(&gatherer, 0).await;
    let mut rest = join_all([2, 4].map(|call| join(&gatherer, call)));
    assert!(poll!(&mut rest).is_pending());
    {
        let mut left = pin!(join(&gatherer, 6));
        assert!(poll!(&mut left).is_pending());
    }
    drop(first);
    assert_eq!(rest.await, [End::Settled(4), End::Settled(8)]);
    assert_eq!(*doubles.statements.lock().unwrap(), [[2, 4]]);
    assert_eq!(join(&gatherer, 6).await, End::AloneWithTurn, "its fence is gone");
}

#[tokio::test]
async fn a_statement_goes_on_when_all_its_callers_have_left() {
    let doubles = Arc::new(Doubles { permits: Some(Semaphore::new(0)), ..Doubles::default() });
    let gatherer = gatherer(&doubles, 8, 1);
    let first = turn(&gatherer, 0).await;
    {
        let mut calls = join_all([2, 4].map(|call| join(&gatherer, call)));
        assert!(poll!(&mut calls).is_pending());
        drop(first);
        while doubles.statements.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(join(&gatherer, 2).await, End::Alone, "it still runs");
    doubles.permits.as_ref().unwrap().add_permits(1);
    while !gatherer.lock().is_idle() {
        tokio::task::yield_now().await;
    }
    assert_eq!(join(&gatherer, 2).await, End::AloneWithTurn);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_take_more_than_half_of_its_time_is_refused_at_once() {
    let doubles = Arc::new(Doubles::default());
    let gatherer = gatherer(&doubles, 2, 1);
    for call in 0..20 {
        let mut turn = turn(&gatherer, call).await;
        tokio::time::advance(Duration::from_millis(99)).await;
        turn.ended(true);
    }
    let _running = turn(&gatherer, 100).await;
    let in_time = |call, millis| {
        let gatherer = gatherer.clone();
        postgres::in_time(
            Instant::now() + Duration::from_millis(millis),
            async move { gatherer.join(call).await.err() },
        )
    };
    // Statements take 99 ms: one runs, and one would follow.
    assert!(matches!(poll!(pin!(in_time(102, 390))), std::task::Poll::Ready(Some(DatabaseError::Overloaded))));
    assert!(poll!(pin!(in_time(104, 410))).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_statement_would_begin_too_late_is_refused_and_one_whose_statement_runs_is_awaited() {
    let doubles = Arc::new(Doubles { permits: Some(Semaphore::new(0)), ..Doubles::default() });
    let gatherer = gatherer(&doubles, 2, 1);
    let first = turn(&gatherer, 0).await;
    let ends_at = Instant::now() + Duration::from_secs(1);
    let mut calls = join_all([2, 4, 6].map(|call| {
        let gatherer = gatherer.clone();
        postgres::in_time(ends_at, async move { gatherer.join(call).await.map(|_| ()) })
    }));
    assert!(poll!(&mut calls).is_pending());
    drop(first);
    let release = async {
        tokio::time::sleep(Duration::from_millis(990)).await;
        doubles.permits.as_ref().unwrap().add_permits(2);
    };
    let (ends, ()) = tokio::join!(calls, release);
    assert!(matches!(ends[..], [Ok(()), Ok(()), Err(DatabaseError::Overloaded)]), "{ends:?}");
    assert_eq!(*doubles.statements.lock().unwrap(), [[2, 4]]);
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_is_stuck_does_not_stop_the_others() {
    let doubles = Arc::new(Doubles::default());
    let limits = GatherLimits { calls: 8, statements: 1, statements_far: 3 };
    let gatherer = Gatherer::new(Arc::clone(&doubles), limits);
    let _stuck = turn(&gatherer, 1).await;
    let rest = join_all([2, 4].map(|call| join(&gatherer, call)));
    assert_eq!(rest.await, [End::Settled(4), End::Settled(8)]);
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_is_never_answered_ends_with_the_last_of_its_callers() {
    let doubles = Arc::new(Doubles { permits: Some(Semaphore::new(0)), ..Doubles::default() });
    let gatherer = gatherer(&doubles, 8, 1);
    let first = turn(&gatherer, 0).await;
    let mut calls = join_all([(2, 1), (4, 2)].map(|(call, seconds)| {
        let gatherer = gatherer.clone();
        postgres::in_time(Instant::now() + Duration::from_secs(seconds), async move { join(&gatherer, call).await })
    }));
    assert!(poll!(&mut calls).is_pending());
    drop(first);
    let began = Instant::now();
    assert_eq!(calls.await, [End::Alone, End::Alone]);
    assert_eq!(began.elapsed().as_secs(), 2);
    assert!(gatherer.lock().is_idle());
}

#[tokio::test]
async fn a_call_that_runs_alone_keeps_its_fences_and_does_not_count_when_its_statement_has_ended() {
    let doubles = Arc::new(Doubles::default());
    let gatherer = gatherer(&doubles, 8, 1);
    let mut first = turn(&gatherer, 2).await;
    first.ended(true);
    assert_eq!(join(&gatherer, 4).await, End::AloneWithTurn);
    assert_eq!(join(&gatherer, 2).await, End::Alone);
    drop(first);
    assert_eq!(join(&gatherer, 2).await, End::AloneWithTurn);
}

#[tokio::test(start_paused = true)]
async fn while_the_database_is_far_more_statements_run_at_once() {
    let doubles = Arc::new(Doubles::default());
    let limits = GatherLimits { calls: 8, statements: 1, statements_far: 3 };
    let gatherer = Gatherer::new(Arc::clone(&doubles), limits);
    let mut near = turn(&gatherer, 0).await;
    assert!(poll!(pin!(gatherer.join(2))).is_pending());
    tokio::time::advance(Duration::from_millis(40)).await;
    near.ended(true);
    drop(near);
    let _three = [turn(&gatherer, 0).await, turn(&gatherer, 2).await, turn(&gatherer, 4).await];
    assert!(poll!(pin!(gatherer.join(6))).is_pending());
}

#[tokio::test]
async fn nothing_is_gathered_when_a_statement_may_have_one_call() {
    let doubles = Arc::new(Doubles::default());
    let gatherer = Gatherer::new(Arc::clone(&doubles), GatherLimits::OFF);
    let ends = join_all((0..5).map(|call| join(&gatherer, call))).await;
    assert_eq!(ends, [End::Alone; 5]);
}
