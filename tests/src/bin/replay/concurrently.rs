//! Runs many pieces of work concurrently, up to a bound.

use futures::{StreamExt as _, stream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Runs the work of 0 to `count` - 1, at most `at_once` concurrently, and returns the results in that order. Dropping
/// the future ends all of them.
pub async fn each<T, F>(count: usize, at_once: usize, work: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    // Separate tasks, so that the work is spread over the cores.
    let tracker = TaskTracker::new();
    let mut outcomes: Vec<(usize, T)> = stream::iter(0..count)
        .map(|index| {
            let task = AbortOnDropHandle::new(tracker.spawn(work(index)));
            async move { (index, task.await.expect("the task neither panics nor is aborted while it is awaited")) }
        })
        .buffer_unordered(at_once.max(1))
        .collect()
        .await;
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_are_in_the_order_of_the_work_whatever_ends_first() {
        let work = |index: usize| async move {
            for _ in index..8 {
                tokio::task::yield_now().await;
            }
            index
        };
        assert_eq!(each(8, 3, work).await, (0..8).collect::<Vec<_>>());
    }
}
