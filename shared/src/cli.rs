//! The commands of both binaries.

use std::process::ExitCode;

use clap::Subcommand;

use crate::{
    config::CommonSettings,
    service::{self, Definition, Service, StartError},
    tasks::FORCED_STOP_TIME,
};

/// The command of a binary.
#[derive(Debug, Clone, Copy, Default, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM, Ctrl-C or SIGHUP (the default); a second signal cuts off running calls
    #[default]
    Serve,
    /// Apply the missing database migrations, and exit
    Migrate,
}

/// Runs the work of a binary on an asynchronous runtime.
///
/// The database does most of the work of a call, and waking another thread costs more than the rest of it. So the
/// runtime has one worker for two cores; the library's default is one for each core. `TOKIO_WORKER_THREADS` overrides
/// the number.
pub fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        runtime.worker_threads(cores.div_ceil(2));
    }
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A blocking read or write that hangs must not keep the process from ending.
            runtime.shutdown_timeout(FORCED_STOP_TIME);
            code
        }
        Err(error) => {
            eprintln!("the runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// Runs the command and returns the exit code of the process.
    pub async fn run(
        self,
        definition: &Definition,
        settings: &CommonSettings,
        start: impl AsyncFnOnce(Option<prometheus::Registry>) -> Result<Service, StartError>,
    ) -> ExitCode {
        match self {
            Self::Serve => service::serve(definition, settings, start).await,
            Self::Migrate => service::migrate(definition, settings).await,
        }
    }
}
