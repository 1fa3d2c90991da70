//! Stripe as the service sees it: signed events, with the fields of real events, including fields that the service
//! ignores.

use std::{io, net::SocketAddr};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

/// The header `Stripe-Signature` of a body, signed at this time.
pub fn signed(body: &str, secret: &str, at: DateTime<Utc>) -> String {
    format!("t={},v1={}", at.timestamp(), signature(body, secret, at))
}

/// The signature alone, in hexadecimal.
pub fn signature(body: &str, secret: &str, at: DateTime<Utc>) -> String {
    let hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key length is accepted");
    let bytes = hmac.chain_update(format!("{}.{body}", at.timestamp())).finalize().into_bytes();
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Sends an event to the webhook as Stripe does, and returns the status code and body of the answer.
pub async fn send(http: SocketAddr, event: &Value, secret: &str) -> (u16, String) {
    let body = event.to_string();
    post(http, Some(&signed(&body, secret, Utc::now())), &body).await
}

/// Posts a body with this signature to the webhook.
pub async fn post(http: SocketAddr, signature: Option<&str>, body: &str) -> (u16, String) {
    exchange(http, webhook(signature, body).as_bytes()).await
}

/// The HTTP request of a webhook with this signature.
pub fn webhook(signature: Option<&str>, body: &str) -> String {
    let signature = signature.map_or_else(String::new, |it| format!("Stripe-Signature: {it}\r\n"));
    let length = body.len();
    format!(
        "POST /webhooks/stripe HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{signature}\r\n{body}"
    )
}

/// Sends an HTTP request unchanged, and returns the status code and body of the answer.
pub async fn exchange(http: SocketAddr, request: &[u8]) -> (u16, String) {
    try_exchange(http, request).await.expect("HTTP listens and answers")
}

/// [`exchange`], with a server that may be unavailable.
///
/// # Errors
/// The server does not listen, or ends the connection before the answer.
pub async fn try_exchange(http: SocketAddr, request: &[u8]) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(http).await?;
    // The answer may arrive before the whole body is sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((code, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

/// A payment intent for a booking's deposit, and the charge that it leads to.
#[derive(Debug, Clone)]
pub struct Intent {
    pub id: String,
    pub charge_id: String,
    pub booking_id: String,
    pub amount_cents: i64,
    pub currency: String,
}

impl Intent {
    pub fn of(booking_id: &str, amount_cents: i64) -> Self {
        let id = Uuid::now_v7().simple().to_string();
        Self {
            id: format!("pi_{id}"),
            charge_id: format!("ch_{id}"),
            booking_id: booking_id.to_owned(),
            amount_cents,
            currency: "eur".to_owned(),
        }
    }

    pub fn succeeded(&self) -> Value {
        event("payment_intent.succeeded", self.intent("succeeded", self.amount_cents, Some(&self.charge_id)))
    }

    pub fn failed(&self) -> Value {
        let charge = format!("{}_failed", self.charge_id);
        event("payment_intent.payment_failed", self.intent("requires_payment_method", 0, Some(&charge)))
    }

    pub fn canceled(&self) -> Value {
        event("payment_intent.canceled", self.intent("canceled", 0, None))
    }

    /// A paid session of Checkout.
    pub fn session_completed(&self) -> Value {
        event(
            "checkout.session.completed",
            json!({
                "id": format!("cs_{}", self.id), "object": "checkout.session", "mode": "payment",
                "amount_total": self.amount_cents, "currency": self.currency, "payment_status": "paid",
                "payment_intent": self.id, "status": "complete", "metadata": {"booking_id": self.booking_id},
                "customer_details": {"email": "mina@example.org", "name": "Mina Sato"},
            }),
        )
    }

    /// The charge after a total of this much was refunded.
    pub fn refunded(&self, refunded_cents: i64) -> Value {
        event(
            "charge.refunded",
            json!({
                "id": self.charge_id, "object": "charge", "amount": self.amount_cents,
                "amount_captured": self.amount_cents, "amount_refunded": refunded_cents,
                "currency": self.currency, "payment_intent": self.id, "status": "succeeded",
                "refunded": refunded_cents == self.amount_cents, "metadata": {"booking_id": self.booking_id},
                "billing_details": {"email": "mina@example.org"},
            }),
        )
    }

    /// The bank has not decided yet, as with a direct debit.
    pub fn processing(&self) -> Value {
        event("payment_intent.processing", self.intent("processing", 0, None))
    }

    /// A refund of the charge with this id: its creation, or a later status.
    pub fn refund(&self, kind: &str, id: &str, amount_cents: i64, status: &str) -> Value {
        event(
            kind,
            json!({
                "id": format!("re_{id}_{}", self.id), "object": "refund", "amount": amount_cents,
                "charge": self.charge_id, "payment_intent": self.id, "currency": self.currency, "metadata": {},
                "reason": null, "status": status,
            }),
        )
    }

    pub fn refund_made(&self, id: &str, amount_cents: i64) -> Value {
        self.refund("refund.created", id, amount_cents, "succeeded")
    }

    pub fn refund_failed(&self, id: &str, amount_cents: i64) -> Value {
        self.refund("refund.failed", id, amount_cents, "failed")
    }

    /// A dispute of the whole charge, which names the charge and its intent but not the booking.
    pub fn disputed(&self) -> Value {
        self.dispute("charge.dispute.created", "1", self.amount_cents, "needs_response")
    }

    pub fn dispute_won(&self) -> Value {
        self.dispute("charge.dispute.closed", "1", self.amount_cents, "won")
    }

    pub fn dispute_lost(&self) -> Value {
        self.dispute("charge.dispute.closed", "1", self.amount_cents, "lost")
    }

    /// A dispute of a part, with this id.
    pub fn dispute(&self, kind: &str, id: &str, amount_cents: i64, status: &str) -> Value {
        event(
            kind,
            json!({
                "id": format!("dp_{id}_{}", self.id), "object": "dispute", "amount": amount_cents,
                "charge": self.charge_id, "payment_intent": self.id, "currency": self.currency,
                "reason": "fraudulent", "status": status, "metadata": {}, "balance_transactions": [],
            }),
        )
    }

    fn intent(&self, status: &str, received: i64, charge: Option<&str>) -> Value {
        json!({
            "id": self.id, "object": "payment_intent", "amount": self.amount_cents, "amount_received": received,
            "currency": self.currency, "latest_charge": charge, "status": status,
            "metadata": {"booking_id": self.booking_id}, "receipt_email": "mina@example.org",
        })
    }
}

/// The same event, created this many seconds later.
pub fn later(mut event: Value, seconds: i64) -> Value {
    event["created"] = (event["created"].as_i64().unwrap_or_default() + seconds).into();
    event
}

/// An event of test mode with a new id.
pub fn event(kind: &str, object: Value) -> Value {
    let mut event = json!({
        "id": format!("evt_{}", Uuid::now_v7().simple()), "object": "event", "api_version": "2025-09-30.clover",
        "created": Utc::now().timestamp(), "livemode": false, "pending_webhooks": 1, "type": kind,
        "request": {"id": null, "idempotency_key": null}, "data": {},
    });
    event["data"]["object"] = object;
    event
}
