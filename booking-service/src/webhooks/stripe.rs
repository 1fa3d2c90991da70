use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::TryStreamExt as _;
use serde_json::json;
use teppan_shared::{clock::Clock, worker::Nudge};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    core::Core,
    domain::{BadSignature, StripeAccount, StripeEvent, StripeSecrets, StripeSignature},
};

/// Stripe's events take some kilobytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Anybody may send a body, and it is known who signed it only when it is there. So it has little time, which is
/// much for Stripe, and nobody's turn is taken meanwhile: who sends slowly is in nobody's way.
const BODY_TIME: Duration = Duration::from_secs(2);
/// Events that are verified and kept at once.
const IN_FLIGHT_MAX: usize = 64;

/// Takes Stripe's events: checks the signature, keeps the event, and only then says so.
pub struct StripeWebhook {
    pub core: Arc<Core>,
    pub secrets: StripeSecrets,
    /// Whose events are taken; what others are meant to take is acknowledged, so that Stripe does not send it again.
    pub account: StripeAccount,
    /// Wakes up who applies the events.
    pub nudge: Nudge,
    pub timeout: Duration,
}

/// How a request ends.
enum Answer {
    Stored,
    Duplicate,
    Unconfigured,
    Overloaded,
    TooSlow,
    BodyTooSlow,
    TooLarge,
    Incomplete,
    BadSignature,
    /// Signed at another time than now, as it says itself: an old request, or our clock is wrong and everything
    /// Stripe sends is refused.
    OutOfTolerance,
    NoEvent,
    NotStored,
}

impl StripeWebhook {
    /// `POST /webhooks/stripe`; another method is answered 405.
    pub fn routes(self) -> Router {
        let turns = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        Router::new().route("/webhooks/stripe", post(receive)).with_state(Arc::new((self, turns)))
    }

    async fn receive(&self, request: Request, turns: &Semaphore) -> Answer {
        if self.secrets.is_empty() {
            return Answer::Unconfigured;
        }
        let (parts, body) = request.into_parts();
        let signature = parts.headers.get("stripe-signature").and_then(|header| header.to_str().ok());
        let Some(Ok(signature)) = signature.map(StripeSignature::parse) else { return Answer::BadSignature };
        // Stripe signs by its own clock: a service whose clock is ahead for a demo hears from it too.
        let clock = Clock::default();
        if let Err(error) = signature.verify_time(clock.now()) {
            return Answer::unbelieved(error);
        }
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|bytes: usize| bytes > BODY_BYTES_MAX) {
            return Answer::TooLarge;
        }
        let body = match timeout(BODY_TIME, read(body)).await {
            Ok(Ok(body)) => body,
            Ok(Err(answer)) => return answer,
            Err(_) => return Answer::BodyTooSlow,
        };
        let Ok(_turn) = turns.try_acquire() else { return Answer::Overloaded };
        if let Err(error) = signature.verify(&body, &self.secrets, clock.now()) {
            return Answer::unbelieved(error);
        }
        let Ok(event) = StripeEvent::parse(&body, &self.account) else {
            // No stranger can fill the log with this.
            tracing::error!(bytes = body.len(), "what Stripe signed cannot be read as an event: it is not kept");
            return Answer::NoEvent;
        };
        timeout(self.timeout, self.store(&event)).await.unwrap_or(Answer::TooSlow)
    }

    async fn store(&self, event: &StripeEvent) -> Answer {
        match self.core.store_stripe_event(event).await {
            Ok(true) => {
                self.nudge.nudge();
                Answer::Stored
            }
            Ok(false) => Answer::Duplicate,
            Err(error) => {
                // Logs the cause; what a gRPC client would be told is not for Stripe.
                let _ = error.to_failure();
                Answer::NotStored
            }
        }
    }
}

async fn receive(State(state): State<Arc<(StripeWebhook, Arc<Semaphore>)>>, request: Request<Body>) -> Response {
    let (webhook, turns) = &*state;
    let answer = webhook.receive(request, turns).await;
    webhook.core.stripe_metrics.answered(answer.name());
    answer.into_response()
}

/// The whole body, unless it is too large or breaks off.
async fn read(body: Body) -> Result<Vec<u8>, Answer> {
    let mut chunks = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.try_next().await.map_err(|_| Answer::Incomplete)? {
        if whole.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Answer::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

impl Answer {
    fn unbelieved(error: BadSignature) -> Self {
        match error {
            BadSignature::OutOfTime => {
                tracing::warn!(%error, "a request to the Stripe webhook was refused: our clock may be wrong");
                Self::OutOfTolerance
            }
            BadSignature::Malformed | BadSignature::Wrong => {
                tracing::warn!(%error, "a request to the Stripe webhook was not signed by Stripe");
                Self::BadSignature
            }
        }
    }

    /// For the metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Unconfigured => "unconfigured",
            Self::Overloaded => "overloaded",
            Self::TooSlow => "timeout",
            Self::BodyTooSlow => "body_timeout",
            Self::TooLarge => "too_large",
            Self::Incomplete => "incomplete",
            Self::BadSignature => "bad_signature",
            Self::OutOfTolerance => "out_of_tolerance",
            Self::NoEvent => "no_event",
            Self::NotStored => "not_stored",
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
            Self::NoEvent => (Code::BAD_REQUEST, "NO_EVENT", "Send one event object of Stripe's as JSON."),
            Self::NotStored => (Code::SERVICE_UNAVAILABLE, "NOT_STORED", "Send the event again later."),
        };
        let body = json!({"error": {"reason": reason, "message": message}}).to_string();
        (code, json_type(), body).into_response()
    }
}

fn json_type() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/json")]
}
