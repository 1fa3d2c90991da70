use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use teppan_shared::{
    clock::Clock,
    log_limiter::LogLimiter,
    server::{UnverifiedBodies, UnverifiedError},
    worker::Nudge,
};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    domain::{BadSignature, StripeAccount, StripeEvent, StripeNews, StripeSecrets, StripeSignature},
    stripe::Stripe,
};

/// Largest accepted body. Stripe's events have a few kilobytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest time to read a body. The body is unauthenticated until it has been read, so reading holds no permit.
const BODY_TIME: Duration = Duration::from_secs(2);
/// Events that are verified and stored at the same time.
const IN_FLIGHT_MAX: usize = 64;

/// Receives Stripe's events: checks the signature, stores the event, and only then acknowledges it.
pub struct StripeWebhook {
    pub stripe: Arc<Stripe>,
    pub secrets: StripeSecrets,
    /// The mode and the account whose events are applied; other events are acknowledged, so that Stripe does not send
    /// them again.
    pub account: StripeAccount,
    /// Wakes up the worker that applies the events.
    pub nudge: Nudge,
    pub timeout: Duration,
}

/// The outcome of a request; the metrics use the names.
#[derive(strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
enum Answer {
    Stored,
    Duplicate,
    Unconfigured,
    Overloaded,
    #[strum(serialize = "timeout")]
    TooSlow,
    #[strum(serialize = "body_timeout")]
    BodyTooSlow,
    TooLarge,
    Incomplete,
    BadSignature,
    /// The signature's time is more than 5 minutes away from now. The request is old, or the service's clock is wrong;
    /// with a wrong clock every request of Stripe is refused.
    OutOfTolerance,
    NoEvent,
    NotStored,
}

impl StripeWebhook {
    /// `POST /webhooks/stripe`; another method is answered 405.
    pub fn routes(self) -> Router {
        let endpoint = Endpoint {
            webhook: self,
            permits: Semaphore::new(IN_FLIGHT_MAX),
            out_of_tolerance: Mutex::default(),
            bad_signature: Mutex::default(),
        };
        Router::new().route("/webhooks/stripe", post(receive)).with_state(Arc::new(endpoint))
    }

    async fn receive(&self, request: Request, bodies: &UnverifiedBodies, endpoint: &Endpoint) -> Answer {
        if self.secrets.is_empty() {
            return Answer::Unconfigured;
        }
        let (parts, body) = request.into_parts();
        let signature = parts.headers.get("stripe-signature").and_then(|header| header.to_str().ok());
        let Some(Ok(signature)) = signature.map(StripeSignature::parse) else { return Answer::BadSignature };
        // Stripe signs by real time, so the check must ignore CLOCK_AHEAD_SECONDS.
        let clock = Clock::default();
        if let Err(error) = signature.verify_time(clock.now()) {
            return endpoint.reject_signature(error);
        }
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|bytes: usize| bytes > BODY_BYTES_MAX) {
            return Answer::TooLarge;
        }
        let body = match timeout(BODY_TIME, bodies.read(body, BODY_BYTES_MAX)).await {
            Ok(Ok(body)) => body,
            Ok(Err(UnverifiedError::TooLarge)) => return Answer::TooLarge,
            Ok(Err(UnverifiedError::NoRoom)) => return Answer::Overloaded,
            Ok(Err(UnverifiedError::Incomplete)) => return Answer::Incomplete,
            Err(_) => return Answer::BodyTooSlow,
        };
        let body = body.as_ref();
        let Ok(_permit) = endpoint.permits.try_acquire() else { return Answer::Overloaded };
        if let Err(error) = signature.verify(body, &self.secrets, clock.now()) {
            return endpoint.reject_signature(error);
        }
        let Ok(event) = StripeEvent::parse(body, &self.account) else {
            // Only Stripe can cause this line: the signature was verified before.
            tracing::error!(
                bytes = body.len(),
                "the body of a signed Stripe request is not a readable event: it was not stored"
            );
            return Answer::NoEvent;
        };
        timeout(self.timeout, self.store(&event)).await.unwrap_or(Answer::TooSlow)
    }

    async fn store(&self, event: &StripeEvent) -> Answer {
        match self.stripe.store_stripe_event(event).await {
            Ok(true) => {
                // Every other event is settled when it is stored: the worker has nothing to do.
                if matches!(event.news, StripeNews::Payment(_)) {
                    self.nudge.nudge();
                }
                Answer::Stored
            }
            Ok(false) => Answer::Duplicate,
            Err(error) => {
                // Logs the cause. The gRPC failure itself is not sent to Stripe.
                let _ = error.to_failure();
                Answer::NotStored
            }
        }
    }
}

/// The webhook and the state that its requests share.
struct Endpoint {
    webhook: StripeWebhook,
    permits: Semaphore,
    out_of_tolerance: Mutex<LogLimiter>,
    bad_signature: Mutex<LogLimiter>,
}

async fn receive(
    State(endpoint): State<Arc<Endpoint>>,
    Extension(bodies): Extension<UnverifiedBodies>,
    request: Request,
) -> Response {
    let webhook = &endpoint.webhook;
    let answer = webhook.receive(request, &bodies, &endpoint).await;
    webhook.stripe.metrics.record_request(answer.into_str());
    answer.into_response()
}

impl Endpoint {
    /// Unauthenticated callers can cause any number of refusals: metrics count each one, and the log has a line once in
    /// a while.
    fn reject_signature(&self, error: BadSignature) -> Answer {
        let record =
            |log_limiter: &Mutex<LogLimiter>| log_limiter.lock().unwrap_or_else(PoisonError::into_inner).record();
        match error {
            BadSignature::OutOfTime => {
                if let Some(times) = record(&self.out_of_tolerance) {
                    tracing::warn!(%error, times, "requests to the Stripe webhook were refused: check the clock");
                }
                Answer::OutOfTolerance
            }
            BadSignature::Malformed | BadSignature::Wrong => {
                if let Some(times) = record(&self.bad_signature) {
                    tracing::warn!(%error, times, "requests to the Stripe webhook were not signed by Stripe");
                }
                Answer::BadSignature
            }
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        use StatusCode as Code;
        let (code, reason, message) = match self {
            Self::Stored | Self::Duplicate => {
                return (Code::OK, json_type(), json!({"received": true}).to_string()).into_response();
            }
            Self::Unconfigured => (
                Code::SERVICE_UNAVAILABLE,
                "WEBHOOK_NOT_CONFIGURED",
                "Set STRIPE_WEBHOOK_SECRETS to the signing secret of this endpoint, as Stripe shows it.",
            ),
            Self::Overloaded => (Code::SERVICE_UNAVAILABLE, "OVERLOADED", "Send the event again later."),
            Self::TooSlow => (Code::SERVICE_UNAVAILABLE, "DEADLINE_EXCEEDED", "Send the event again later."),
            Self::BodyTooSlow => (Code::REQUEST_TIMEOUT, "BODY_TOO_SLOW", "Send the whole event within 2 seconds."),
            Self::Incomplete => (Code::BAD_REQUEST, "BODY_INCOMPLETE", "Send the whole event in one body."),
            Self::TooLarge => {
                (Code::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "Send the whole event, of at most 1 MiB, in one body.")
            }
            Self::BadSignature | Self::OutOfTolerance => (
                Code::BAD_REQUEST,
                "BAD_SIGNATURE",
                "Sign the raw body with the endpoint's secret, less than 5 minutes ago, and send Stripe-Signature.",
            ),
            Self::NoEvent => (Code::BAD_REQUEST, "NO_EVENT", "Send one Stripe event object as JSON."),
            Self::NotStored => (Code::SERVICE_UNAVAILABLE, "NOT_STORED", "Send the event again later."),
        };
        let body = json!({"error": {"reason": reason, "message": message}}).to_string();
        (code, json_type(), body).into_response()
    }
}

fn json_type() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/json")]
}
