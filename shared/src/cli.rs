//! The commands both binaries have.

use std::process::ExitCode;

use clap::Subcommand;

use crate::{
    config::CommonSettings,
    service::{self, Definition, Service, StartError},
    tasks::LAST_WORDS,
};

/// What a binary is asked to do.
#[derive(Debug, Clone, Copy, Default, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM, Ctrl-C or SIGHUP (the default); a second one does not wait for running calls
    #[default]
    Serve,
    /// Apply the database migrations that are missing, and end
    Migrate,
}

/// Runs a binary's work on a runtime of its size.
///
/// A call's work is small beside what it costs to wake another thread for it, and the database does
/// the most of it. So there is a worker for every two cores, where the library has one for each;
/// `TOKIO_WORKER_THREADS` sets another number.
pub fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        runtime.worker_threads(cores.div_ceil(2));
    }
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A write or a read that hangs on a thread of its own must not keep the process.
            runtime.shutdown_timeout(LAST_WORDS);
            code
        }
        Err(error) => {
            eprintln!("the runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// Does it, and tells the process's exit code.
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
