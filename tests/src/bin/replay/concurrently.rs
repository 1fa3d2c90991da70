//! Many pieces of work at once, up to a bound.

use futures::{StreamExt as _, stream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Does the work of 0 to `count` - 1, so many at once, and gives the outcomes in that order. A
/// piece that is done makes room for the next at once, whichever it is. Dropped, it ends them all.
pub async fn each<T, F>(count: usize, at_once: usize, work: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    // Tasks of their own, so that the work is spread over the processors.
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
    async fn outcomes_are_in_order_whoever_is_done_first() {
        let work = |index: usize| async move {
            for _ in index..8 {
                tokio::task::yield_now().await;
            }
            index
        };
        assert_eq!(each(8, 3, work).await, (0..8).collect::<Vec<_>>());
    }
}
