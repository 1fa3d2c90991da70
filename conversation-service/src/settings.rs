//! The settings of conversation-service.

mod dispatch;
mod scheduling;

use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use teppan_shared::{
    clock::Clock,
    config::{Addresses, CommonArgs, CommonSettings, Problems},
    nats::{NatsArgs, NatsSettings},
    outbox::{RelayArgs, RelaySettings},
};

use self::dispatch::DispatchArgs;
pub use self::{
    dispatch::{DispatchSettings, FollowUpBackoff},
    scheduling::{RetentionSettings, SchedulingArgs, SchedulingSettings},
};
use crate::emotions::INTERVAL_MAX_MS;
pub use crate::follow_ups::TemplateFile;

/// The settings, not yet validated.
#[derive(Args)]
pub struct ServiceArgs {
    /// Address of the gRPC server
    #[arg(long, env = "LISTEN_ADDR", hide_env_values = true, default_value = "127.0.0.1:50052", global = true)]
    listen_addr: String,
    /// Address of the HTTP server: /metrics, /livez, /readyz
    #[arg(long, env = "HTTP_ADDR", hide_env_values = true, default_value = "127.0.0.1:9052", global = true)]
    http_addr: String,
    /// When the emotion of a message is counted: background (soon after the reply) or inline (before the reply)
    #[arg(long, env = "EMOTION_AGGREGATION", hide_env_values = true, default_value = "background", global = true)]
    emotion_aggregation: String,
    /// How often the service checks for emotions that an ended process left uncounted
    #[arg(
        long,
        env = "EMOTION_AGGREGATION_INTERVAL_MS",
        hide_env_values = true,
        default_value = "1000",
        global = true
    )]
    emotion_aggregation_interval_ms: String,
    /// Whether SearchMessages finds the messages that are stored from now on: on or off. It keeps keyed hashes of their
    /// words
    #[arg(long, env = "MESSAGE_SEARCH", hide_env_values = true, default_value = "off", global = true)]
    message_search: String,
    /// How far the service's clock is ahead of the machine's, in seconds. For demos and tests only
    #[arg(long, env = "CLOCK_AHEAD_SECONDS", hide_env_values = true, default_value = "0", global = true)]
    clock_ahead_seconds: String,
    #[command(flatten)]
    scheduling: SchedulingArgs,
    #[command(flatten)]
    dispatch: DispatchArgs,
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    relay: RelayArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// The parsed settings.
#[derive(Debug, Clone)]
pub struct Settings {
    pub common: CommonSettings,
    pub clock: Clock,
    pub emotions: EmotionSettings,
    pub message_search: MessageSearch,
    pub scheduling: SchedulingSettings,
    pub dispatch: DispatchSettings,
    /// Where events are published; `None` when they are not published.
    pub nats: Option<NatsSettings>,
    /// How events are published.
    pub relay: RelaySettings,
}

/// Whether the words of messages are kept for SearchMessages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum MessageSearch {
    On,
    #[default]
    Off,
}

/// How emotions are counted.
#[derive(Debug, Clone, Copy)]
pub struct EmotionSettings {
    pub aggregation: EmotionAggregation,
    /// How often the worker checks without a wake-up.
    pub interval: Duration,
}

impl Default for EmotionSettings {
    fn default() -> Self {
        Self { aggregation: EmotionAggregation::Background, interval: Duration::from_secs(1) }
    }
}

/// When the emotion of a message is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum EmotionAggregation {
    /// Soon after the reply.
    Background,
    /// Before the reply, which costs more round trips.
    Inline,
}

impl ServiceArgs {
    fn addresses(&self) -> Addresses<'_> {
        Addresses { listen: &self.listen_addr, http: &self.http_addr, webhook: None }
    }
}

impl Settings {
    /// Parses the settings. `problems` contains earlier problems.
    ///
    /// # Errors
    /// All problems of the settings.
    pub fn parse(args: &ServiceArgs, mut problems: Problems) -> Result<Self, Problems> {
        let common = CommonSettings::parse(&args.common, args.addresses(), &mut problems);
        let clock = parse_clock(args, &mut problems);
        let emotions = parse_emotions(args, &mut problems);
        let message_search = problems.parse("MESSAGE_SEARCH", &args.message_search, "must be on or off");
        let scheduling = SchedulingSettings::parse(&args.scheduling, &mut problems);
        let dispatch = DispatchSettings::parse(&args.dispatch, &mut problems);
        let nats = args.nats.parse(args.common.allows_insecure(), &mut problems);
        let relay = args.relay.parse(&mut problems);
        match (common, clock, emotions, message_search, scheduling, dispatch, nats, relay) {
            (
                Some(common),
                Some(clock),
                Some(emotions),
                Some(message_search),
                Some(scheduling),
                Some(dispatch),
                Some(nats),
                Some(relay),
            ) => problems.finish().map(|()| Self {
                common,
                clock,
                emotions,
                message_search,
                scheduling,
                dispatch,
                nats,
                relay,
            }),
            _ => Err(problems),
        }
    }
}

fn parse_clock(args: &ServiceArgs, problems: &mut Problems) -> Option<Clock> {
    const YEAR_SECONDS: u64 = 366 * 24 * 60 * 60;
    let ahead = problems.number("CLOCK_AHEAD_SECONDS", &args.clock_ahead_seconds, "seconds", 0, YEAR_SECONDS)?;
    Some(Clock::ahead(TimeDelta::seconds(ahead.cast_signed())))
}

fn parse_emotions(args: &ServiceArgs, problems: &mut Problems) -> Option<EmotionSettings> {
    let must = "must be background or inline";
    let aggregation = problems.parse("EMOTION_AGGREGATION", &args.emotion_aggregation, must);
    let raw = &args.emotion_aggregation_interval_ms;
    let interval = problems.millis("EMOTION_AGGREGATION_INTERVAL_MS", raw, 10, INTERVAL_MAX_MS);
    Some(EmotionSettings { aggregation: aggregation?, interval: interval? })
}
