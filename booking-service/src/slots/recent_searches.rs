//! Searches whose results are shared for a short time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

/// How long a result is shared.
const SHARED_FOR: Duration = Duration::from_secs(1);
/// The most searches of a second. Further searches are not made.
const SEARCHES_MAX: usize = 1_000;

/// The searches of the last second. Calls for one key share one search: the first call runs it, the others wait for it.
/// If the first call is cancelled meanwhile, one of the others runs it.
pub struct RecentSearches<K, V> {
    searches: Mutex<HashMap<K, Search<V>>>,
}

struct Search<V> {
    began: Instant,
    result: Arc<OnceCell<V>>,
}

impl<K, V> Default for RecentSearches<K, V> {
    fn default() -> Self {
        Self { searches: Mutex::default() }
    }
}

impl<K: Eq + Hash, V: Clone> RecentSearches<K, V> {
    /// The result of a search that began less than a second ago; `None` if there are too many other searches.
    pub async fn get<F: Future<Output = V>>(&self, key: K, search: impl FnOnce() -> F) -> Option<V> {
        let result = self.join(key)?;
        Some(result.get_or_init(search).await.clone())
    }

    fn join(&self, key: K) -> Option<Arc<OnceCell<V>>> {
        let now = Instant::now();
        let is_recent = |search: &Search<V>| now.duration_since(search.began) < SHARED_FOR;
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(search) = searches.get(&key).filter(|search| is_recent(search)) {
            return Some(Arc::clone(&search.result));
        }
        if searches.len() >= SEARCHES_MAX {
            searches.retain(|_, search| is_recent(search));
            if searches.len() >= SEARCHES_MAX {
                return None;
            }
        }
        let result = Arc::new(OnceCell::new());
        searches.insert(key, Search { began: now, result: Arc::clone(&result) });
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicU32, Ordering::SeqCst},
    };

    use futures::{future::join_all, poll};
    use tokio::{task::yield_now, time::advance};

    use super::*;

    /// Counts its runs.
    async fn search(runs: &AtomicU32) -> u32 {
        let run = runs.fetch_add(1, SeqCst) + 1;
        yield_now().await;
        run
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_calls_for_one_key_in_a_minute_run_sixty_searches() {
        let (recent, runs) = (RecentSearches::default(), AtomicU32::new(0));
        for _ in 0..600 {
            let calls = join_all((0..17).map(|_| recent.get("18:00", || search(&runs)))).await;
            assert!(calls.iter().all(|found| *found == calls[0] && found.is_some()));
            advance(Duration::from_millis(100)).await;
        }
        assert_eq!(runs.into_inner(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn another_call_runs_the_search_when_the_first_call_is_cancelled() {
        let (recent, runs) = (RecentSearches::default(), AtomicU32::new(0));
        let mut second = pin!(recent.get("18:00", || search(&runs)));
        {
            let mut first = pin!(recent.get("18:00", || search(&runs)));
            assert!(poll!(&mut first).is_pending());
            assert!(poll!(&mut second).is_pending());
        }
        assert_eq!(second.await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_bounded_number_of_searches_is_kept_and_made_in_a_second() {
        let (recent, runs) = (RecentSearches::default(), AtomicU32::new(0));
        for key in 0..SEARCHES_MAX {
            assert!(recent.get(key, || search(&runs)).await.is_some());
        }
        assert_eq!(recent.get(SEARCHES_MAX, || search(&runs)).await, None);
        assert_eq!(recent.get(7, || search(&runs)).await, Some(8));
        advance(SHARED_FOR).await;
        assert!(recent.get(SEARCHES_MAX, || search(&runs)).await.is_some());
        assert_eq!(recent.searches.lock().expect("not poisoned").len(), 1);
    }
}
