//! The settings of booking-service.

use clap::Args;
use teppan_shared::config::{CommonArgs, CommonSettings, Problems};

use crate::domain::PhoneRegion;

/// Settings as they are given.
#[derive(Args)]
pub struct ServiceArgs {
    /// Address of the gRPC server
    #[arg(long, env = "LISTEN_ADDR", hide_env_values = true, default_value = "127.0.0.1:50051", global = true)]
    listen_addr: String,
    /// Address of the HTTP server: /metrics, /livez, /readyz
    #[arg(long, env = "HTTP_ADDR", hide_env_values = true, default_value = "127.0.0.1:9051", global = true)]
    http_addr: String,
    /// Country in which telephone numbers without a country code are meant, as ISO 3166 names it
    #[arg(long, env = "PHONE_REGION", hide_env_values = true, default_value = "US", global = true)]
    phone_region: String,
    #[command(flatten)]
    common: CommonArgs,
}

/// Settings as the service uses them.
#[derive(Debug, Clone)]
pub struct Settings {
    pub common: CommonSettings,
    pub phone_region: PhoneRegion,
}

impl Settings {
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn parse(args: &ServiceArgs) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let phone_region =
            problems.parse("PHONE_REGION", &args.phone_region, "must be a country of ISO 3166 such as US or DE");
        let common = CommonSettings::parse(&args.common, &args.listen_addr, &args.http_addr, &mut problems);
        match (common, phone_region) {
            (Some(common), Some(phone_region)) => problems.finish().map(|()| Self { common, phone_region }),
            _ => Err(problems),
        }
    }
}
