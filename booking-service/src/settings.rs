//! The settings of booking-service.

mod outbox;
mod stripe;

use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use teppan_shared::{
    clock::Clock,
    config::{Addresses, CommonArgs, CommonSettings, Problems},
};

pub use self::stripe::{STRIPE_ATTEMPTS_MAX, StripeSettings};
use self::{outbox::OutboxArgs, stripe::StripeArgs};
use crate::domain::PhoneRegion;
pub use crate::{
    customers::retention::CustomerRetentionSettings,
    event_stream::stream::EventStreamSettings,
    outbox::{FollowUpScheduling, OutboxSettings},
};

/// The settings as given: flags and environment variables.
#[derive(Args)]
pub struct ServiceArgs {
    /// Address of the gRPC server
    #[arg(long, env = "LISTEN_ADDR", hide_env_values = true, default_value = "127.0.0.1:50051", global = true)]
    listen_addr: String,
    /// Address of the HTTP server: /metrics, /livez, /readyz, and /webhooks/stripe unless WEBHOOK_ADDR is given
    #[arg(long, env = "HTTP_ADDR", hide_env_values = true, default_value = "127.0.0.1:9051", global = true)]
    http_addr: String,
    /// Address that serves only /webhooks/stripe, to keep metrics and probes apart from the public webhook
    #[arg(long, env = "WEBHOOK_ADDR", hide_env_values = true, value_name = "ADDR", global = true)]
    webhook_addr: Option<String>,
    /// Default phone region (an ISO 3166 country) of new venues, if the venue's time zone belongs to no country:
    /// telephone numbers without + are read as numbers of this country
    #[arg(long, env = "DEFAULT_PHONE_REGION", hide_env_values = true, default_value = "US", global = true)]
    default_phone_region: String,
    /// Pause of an event stream between two reads when this replica writes no events; other replicas may write some
    #[arg(long, env = "EVENT_STREAM_POLL_MS", hide_env_values = true, default_value = "250", global = true)]
    event_stream_poll_ms: String,
    /// An event stream that has sent nothing for this long sends its cursor
    #[arg(long, env = "EVENT_STREAM_HEARTBEAT_MS", hide_env_values = true, default_value = "15000", global = true)]
    event_stream_heartbeat_ms: String,
    /// How long idempotency keys are kept, at least
    #[arg(long, env = "IDEMPOTENCY_KEEP_HOURS", hide_env_values = true, default_value = "72", global = true)]
    idempotency_keep_hours: String,
    /// Interval of the worker that lays out the slots of a venue's next day
    #[arg(long, env = "SLOT_LAYOUT_INTERVAL_MS", hide_env_values = true, default_value = "60000", global = true)]
    slot_layout_interval_ms: String,
    /// How far the service's clock is ahead of the machine's clock, in seconds. For demos and tests only
    #[arg(long, env = "CLOCK_AHEAD_SECONDS", hide_env_values = true, default_value = "0", global = true)]
    clock_ahead_seconds: String,
    /// Interval of the worker that expires holds and frees their seats
    #[arg(long, env = "HOLD_EXPIRY_INTERVAL_MS", hide_env_values = true, default_value = "1000", global = true)]
    hold_expiry_interval_ms: String,
    /// Interval of the workers that offer freed seats to the waitlist and close entries of slots that can no longer
    /// be booked
    #[arg(long, env = "WAITLIST_INTERVAL_MS", hide_env_values = true, default_value = "1000", global = true)]
    waitlist_interval_ms: String,
    /// Interval of the worker that covers new events with signed checkpoints
    #[arg(long, env = "CHECKPOINT_INTERVAL_MS", hide_env_values = true, default_value = "1000", global = true)]
    checkpoint_interval_ms: String,
    /// Days after which a waitlist entry that ended without an offer is deleted; 0: never
    #[arg(long, env = "WAITLIST_KEEP_DAYS", hide_env_values = true, default_value = "0", global = true)]
    waitlist_keep_days: String,
    /// Days after which a customer without bookings and waitlist entries is erased; 0: never
    #[arg(long, env = "CUSTOMER_KEEP_DAYS", hide_env_values = true, default_value = "0", global = true)]
    customer_keep_days: String,
    /// Interval of the workers that delete old idempotency keys, old Stripe events, and what is no longer needed of
    /// customers
    #[arg(long, env = "RETENTION_INTERVAL_MS", hide_env_values = true, default_value = "60000", global = true)]
    retention_interval_ms: String,
    #[command(flatten)]
    outbox: OutboxArgs,
    #[command(flatten)]
    stripe: StripeArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// The settings as the service uses them.
#[derive(Debug, Clone)]
pub struct Settings {
    pub common: CommonSettings,
    pub default_phone_region: PhoneRegion,
    pub event_stream: EventStreamSettings,
    pub outbox: OutboxSettings,
    pub stripe: StripeSettings,
    /// How long idempotency keys are kept, at least.
    pub idempotency_keep: Duration,
    pub customer_retention: CustomerRetentionSettings,
    pub clock: Clock,
    /// Interval of the slot layout worker; a nudge starts it earlier.
    pub slot_layout_interval: Duration,
    /// Interval of the hold expiry worker.
    pub hold_expiry_interval: Duration,
    /// Interval of the waitlist workers.
    pub waitlist_interval: Duration,
    /// Interval of the worker that covers new events with signed checkpoints.
    pub checkpoint_interval: Duration,
    /// Interval of the workers that delete old idempotency keys and old Stripe events.
    pub retention_interval: Duration,
}

impl ServiceArgs {
    fn addresses(&self) -> Addresses<'_> {
        Addresses { listen: &self.listen_addr, http: &self.http_addr, webhook: self.webhook_addr.as_deref() }
    }
}

impl Settings {
    /// `problems` are the problems found so far.
    ///
    /// # Errors
    /// All problems of the settings.
    pub fn parse(args: &ServiceArgs, mut problems: Problems) -> Result<Self, Problems> {
        let default_phone_region =
            problems.parse("DEFAULT_PHONE_REGION", &args.default_phone_region, PhoneRegion::MUST);
        let common = CommonSettings::parse(&args.common, args.addresses(), &mut problems);
        let event_stream = parse_event_stream(args, &mut problems);
        let outbox = args.outbox.parse(args.common.allows_insecure(), &mut problems);
        let stripe = args.stripe.parse(&mut problems);
        let keep = outbox::parse_keep(&args.idempotency_keep_hours, &mut problems);
        let customer_retention = parse_customer_retention(args, &mut problems);
        let clock = parse_clock(args, &mut problems);
        let layout = problems.millis("SLOT_LAYOUT_INTERVAL_MS", &args.slot_layout_interval_ms, 10, 3_600_000);
        let expiry = problems.millis("HOLD_EXPIRY_INTERVAL_MS", &args.hold_expiry_interval_ms, 10, 60_000);
        let waitlist = problems.millis("WAITLIST_INTERVAL_MS", &args.waitlist_interval_ms, 10, 60_000);
        let checkpoint = problems.millis("CHECKPOINT_INTERVAL_MS", &args.checkpoint_interval_ms, 10, 60_000);
        let retention = problems.millis("RETENTION_INTERVAL_MS", &args.retention_interval_ms, 10, 86_400_000);
        let parsed = (
            common,
            default_phone_region,
            event_stream,
            outbox,
            stripe,
            keep,
            customer_retention,
            clock,
            layout,
            expiry,
            waitlist,
            checkpoint,
            retention,
        );
        let (
            Some(common),
            Some(default_phone_region),
            Some(event_stream),
            Some(outbox),
            Some(stripe),
            Some(idempotency_keep),
            Some(customer_retention),
            Some(clock),
            Some(slot_layout_interval),
            Some(hold_expiry_interval),
            Some(waitlist_interval),
            Some(checkpoint_interval),
            Some(retention_interval),
        ) = parsed
        else {
            return Err(problems);
        };
        problems.finish().map(|()| Self {
            common,
            default_phone_region,
            event_stream,
            outbox,
            stripe,
            idempotency_keep,
            customer_retention,
            clock,
            slot_layout_interval,
            hold_expiry_interval,
            waitlist_interval,
            checkpoint_interval,
            retention_interval,
        })
    }
}

fn parse_customer_retention(args: &ServiceArgs, problems: &mut Problems) -> Option<CustomerRetentionSettings> {
    let mut days = |name: &str, raw: &str| {
        let days = problems.number(name, raw, "days", 0, 36_500)?;
        Some((days > 0).then(|| Duration::from_hours(24 * days)))
    };
    let entries = days("WAITLIST_KEEP_DAYS", &args.waitlist_keep_days);
    let customers = days("CUSTOMER_KEEP_DAYS", &args.customer_keep_days);
    Some(CustomerRetentionSettings { entries: entries?, customers: customers? })
}

fn parse_clock(args: &ServiceArgs, problems: &mut Problems) -> Option<Clock> {
    const YEAR_SECONDS: u64 = 366 * 24 * 60 * 60;
    let ahead = problems.number("CLOCK_AHEAD_SECONDS", &args.clock_ahead_seconds, "seconds", 0, YEAR_SECONDS)?;
    Some(Clock::ahead(TimeDelta::seconds(ahead.cast_signed())))
}

/// The API promises a step every 30 seconds: the largest heartbeat plus the largest poll stay below that.
fn parse_event_stream(args: &ServiceArgs, problems: &mut Problems) -> Option<EventStreamSettings> {
    let poll = problems.millis("EVENT_STREAM_POLL_MS", &args.event_stream_poll_ms, 10, 5_000);
    let heartbeat = problems.millis("EVENT_STREAM_HEARTBEAT_MS", &args.event_stream_heartbeat_ms, 100, 20_000);
    Some(EventStreamSettings { poll: poll?, heartbeat: heartbeat? })
}
