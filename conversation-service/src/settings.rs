//! The settings of conversation-service.

use clap::Args;
use teppan_shared::config::{CommonArgs, CommonSettings, Problems};

/// Settings as they are given.
#[derive(Args)]
pub struct ServiceArgs {
    /// Address of the gRPC server
    #[arg(long, env = "LISTEN_ADDR", hide_env_values = true, default_value = "127.0.0.1:50052", global = true)]
    listen_addr: String,
    /// Address of the HTTP server: /metrics, /livez, /readyz
    #[arg(long, env = "HTTP_ADDR", hide_env_values = true, default_value = "127.0.0.1:9052", global = true)]
    http_addr: String,
    #[command(flatten)]
    common: CommonArgs,
}

/// Settings as the service uses them.
#[derive(Debug, Clone)]
pub struct Settings {
    pub common: CommonSettings,
}

impl Settings {
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn parse(args: &ServiceArgs) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        match CommonSettings::parse(&args.common, &args.listen_addr, &args.http_addr, &mut problems) {
            Some(common) => problems.finish().map(|()| Self { common }),
            None => Err(problems),
        }
    }
}
