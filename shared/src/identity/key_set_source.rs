//! The source of an issuer's keys: a file, or a URL that is fetched regularly. The known keys stay in use while the URL
//! cannot be fetched.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{KeyValue, global, metrics::Counter};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use super::key_set::{KeySet, KeySetFault};
use crate::{error_chain::error_chain, reloaded::Reloaded};

/// The largest key set.
const BYTES_MAX: usize = 256 * 1024;
/// The time limit of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after a successful fetch.
const REFRESH_INTERVAL: Duration = Duration::from_mins(5);
/// The first and the longest pause after failed fetches.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_mins(1);
/// A token with an unknown key triggers an early fetch, but not sooner than this after the last fetch. So any number of
/// invented keys causes at most one request to the issuer in 5 s.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(5);
/// The retry delay of a call that was refused because no keys are known at all.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a call waits for an early fetch, and how many calls may wait.
const UNKNOWN_KEY_WAIT: Duration = Duration::from_secs(3);
const WAITING_MAX: usize = 32;

/// The keys of an issuer.
pub enum IssuerKeys {
    File(Arc<Reloaded<KeySet>>),
    Fetched(Arc<FetchedKeys>),
}

/// Keys that are fetched from a URL.
#[derive(Default)]
pub struct FetchedKeys {
    current: RwLock<Option<Arc<KeySet>>>,
    /// Notified by tokens with unknown keys.
    wanted: Notify,
    /// Counts fetches.
    fetched: watch::Sender<u64>,
    /// Until this time an unknown key does not trigger a fetch; `None` during a fetch.
    rests_until: Mutex<Option<Instant>>,
    waiting: Waiting,
}

/// The calls that wait for a fetch.
struct Waiting(Semaphore);

impl Default for Waiting {
    fn default() -> Self {
        Self(Semaphore::new(WAITING_MAX))
    }
}

/// Why the key set could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the URL cannot be fetched")]
    Http(#[from] reqwest::Error),
    #[error("the machine trusts no authorities: set SSL_CERT_FILE")]
    NoAuthorities,
    #[error("the answer has more than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is not text")]
    NotText,
    #[error("the answer is not a usable key set: {0}")]
    Unusable(#[from] KeySetFault),
}

impl IssuerKeys {
    /// The known keys; `None` before the first successful fetch.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(keys) => Some(keys.current()),
            Self::Fetched(keys) => keys.current(),
        }
    }

    /// The key set. If it has no key with this id, it may be fetched again first.
    pub async fn with_key(&self, id: Option<&str>) -> Option<Arc<KeySet>> {
        let current = self.current();
        match self {
            Self::Fetched(keys) if current.as_ref().is_none_or(|keys| keys.get(id).is_none()) => {
                keys.refresh().await;
                keys.current()
            }
            _ => current,
        }
    }
}

impl FetchedKeys {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a fetch, unless there was one a moment ago or too many calls wait.
    async fn refresh(&self) {
        let resting = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let Ok(_waiting) = self.waiting.0.try_acquire() else { return };
        let mut fetched = self.fetched.subscribe();
        self.wanted.notify_one();
        // The caller uses the keys that are known afterwards, whether or not the fetch succeeded.
        let _ = timeout(UNKNOWN_KEY_WAIT, fetched.changed()).await;
    }

    /// Fetches the key set regularly until `stopping` is cancelled.
    pub async fn fetch(self: Arc<Self>, url: Url, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.keep_fetching(&url)).await;
    }

    async fn keep_fetching(&self, url: &Url) {
        let metrics = Fetches::new();
        let (mut last, mut retry) = (String::new(), RETRY_FIRST);
        loop {
            *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let key_set = fetch(url).await.and_then(|text| Ok((KeySet::parse(&text)?, text)));
            let pause = match key_set {
                Ok((keys, text)) => {
                    metrics.ended("fetched");
                    if text != last {
                        tracing::info!(keys = keys.len(), "the issuer's key set has changed");
                        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                        last = text;
                    }
                    retry = RETRY_FIRST;
                    REFRESH_INTERVAL
                }
                Err(error) => {
                    metrics.ended("failed");
                    tracing::error!(
                        error = error_chain(&error),
                        known = self.current().map_or(0, |keys| keys.len()),
                        "the issuer's key set cannot be fetched; the known keys stay in use"
                    );
                    let pause = retry;
                    retry = (retry * 2).min(RETRY_MAX);
                    pause
                }
            };
            let rest = UNKNOWN_KEY_PAUSE.min(pause);
            *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + rest);
            self.fetched.send_modify(|count| *count += 1);
            sleep(rest).await;
            tokio::select! {
                () = sleep(pause.saturating_sub(rest)) => {}
                () = self.wanted.notified() => {}
            }
        }
    }
}

async fn fetch(url: &Url) -> Result<String, FetchError> {
    let mut client = reqwest::Client::builder()
        .timeout(FETCH_TIMEOUT)
        // A redirect could lead to plain http.
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls(url)?);
    if is_loopback(url) {
        client = client.no_proxy();
    }
    let mut answer = client.build()?.get(url.clone()).send().await?.error_for_status()?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| FetchError::NotText)
}

/// Trusts the authorities that the machine trusts, or those of SSL_CERT_FILE.
fn tls(url: &Url) -> Result<rustls::ClientConfig, FetchError> {
    let mut authorities = rustls::RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if authorities.is_empty() && url.scheme() == "https" {
        return Err(FetchError::NoAuthorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions");
    Ok(config.with_root_certificates(authorities).with_no_client_auth())
}

/// Whether the keys are protected on the way: https, or http on loopback.
pub fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || url.scheme() == "http" && is_loopback(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

struct Fetches(Counter<u64>);

impl Fetches {
    fn new() -> Self {
        let meter = global::meter("teppan");
        let description = "Fetches of the issuer's key set, by outcome.";
        let counter = meter.u64_counter("teppan.identity.key_set_fetches").with_description(description).build();
        for outcome in ["fetched", "failed"] {
            counter.add(0, &[KeyValue::new("outcome", outcome)]);
        }
        Self(counter)
    }

    fn ended(&self, outcome: &'static str) {
        self.0.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_be_fetched_by_https_or_from_this_machine() {
        let safe = |url: &str| is_safe(&url.parse().expect("a URL"));
        assert!(safe("https://issuer.example/keys") && safe("http://127.0.0.1:80/") && safe("http://[::1]/"));
        assert!(safe("http://localhost:8080/keys"));
        assert!(!safe("http://issuer.example/keys") && !safe("ftp://127.0.0.1/") && !safe("http://localhost.example/"));
    }
}
