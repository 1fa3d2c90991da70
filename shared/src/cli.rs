//! The commands both binaries have.

use std::process::ExitCode;

use clap::Subcommand;

use crate::{
    config::CommonSettings,
    service::{self, Definition, Service, StartError},
};

/// What a binary is asked to do.
#[derive(Debug, Clone, Copy, Default, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or Ctrl-C (the default)
    #[default]
    Serve,
    /// Apply the database migrations that are missing, and end
    Migrate,
}

impl Command {
    /// Does it, and tells the process's exit code.
    pub async fn run(
        self,
        definition: &Definition,
        settings: &CommonSettings,
        start: impl AsyncFnOnce(prometheus::Registry) -> Result<Service, StartError>,
    ) -> ExitCode {
        match self {
            Self::Serve => service::serve(definition, settings, start).await,
            Self::Migrate => service::migrate(definition, settings).await,
        }
    }
}
