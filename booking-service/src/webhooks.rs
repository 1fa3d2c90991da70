//! What others call over HTTP.

mod stripe;

pub use self::stripe::StripeWebhook;
