//! The command `rotate-keys`.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    num::NonZeroU32,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use governor::{
    DefaultDirectRateLimiter, Quota,
    clock::{Clock as _, DefaultClock},
};

use super::table::{PAGE_ROWS, SealedTable};
use crate::{
    config::CommonSettings,
    error_chain::error_chain,
    keys::Keys,
    postgres::{Database, DatabaseError},
    sealing::KeyRing,
    service::{self, Definition},
    tasks::StopSignals,
};

/// Exit code: some values could not be sealed anew.
const INCOMPLETE: u8 = 1;
/// Exit code: the command failed.
const NOT_DONE: u8 = 3;
/// Exit code: interrupted, as shells report SIGINT.
const INTERRUPTED: u8 = 130;
/// How often the progress is printed.
const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// How fast to rotate, or whether only to count.
#[derive(Debug, Clone, Args)]
pub struct RotateKeysCommand {
    /// Rows that are read in a second, at most
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rows_per_second: u32,
    /// Change nothing: only report how many values each key has sealed
    #[arg(long)]
    pub count_only: bool,
}

#[derive(Debug, thiserror::Error)]
enum RotateError {
    #[error("the rows cannot be read or written")]
    Database(#[from] DatabaseError),
    #[error("Ctrl-C cannot be received")]
    Signals(#[source] std::io::Error),
}

impl RotateKeysCommand {
    /// Runs the command on the database of the settings, and returns the exit code of the process. `closing` continues
    /// the sentence "Key 2 seals everything" and says what else keeps an older key in use. `failed`: how many rows the
    /// service itself could not rotate.
    pub async fn run(
        self,
        definition: &Definition,
        settings: &CommonSettings,
        tables: &[SealedTable],
        closing: &str,
        failed: u64,
    ) -> ExitCode {
        let mut code = NOT_DONE;
        let _ = service::on_database(definition, settings, async |open| {
            code = self.rotate(&open.database, &open.keys, tables, closing, failed).await?;
            Ok::<_, RotateError>(())
        })
        .await;
        ExitCode::from(code)
    }

    /// How long a page of rows takes at the given rate.
    pub fn time_of_page(&self) -> Duration {
        let rows = u32::try_from(PAGE_ROWS).unwrap_or(u32::MAX);
        Duration::from_secs_f64(f64::from(rows) / f64::from(self.rows_per_second))
    }

    /// Ctrl-C and SIGTERM end the command between two statements.
    async fn rotate(
        &self,
        database: &Database,
        keys: &Keys,
        tables: &[SealedTable],
        closing: &str,
        failed: u64,
    ) -> Result<u8, RotateError> {
        let mut signals = StopSignals::receive().map_err(RotateError::Signals)?;
        let work = async {
            let mut run = Run::new(database, keys, self.rows_per_second);
            if !self.count_only {
                for table in tables {
                    run.pass(table, true).await?;
                }
                eprintln!("Counting what each key seals ...");
            }
            let failed = failed + run.failed;
            run.sealed_by.clear();
            for table in tables {
                run.pass(table, false).await?;
            }
            Ok(run.report(failed, closing))
        };
        tokio::select! {
            biased;
            _ = signals.next() => {
                eprintln!("Interrupted. What was rotated stays; run the command again for the rest.");
                Ok(INTERRUPTED)
            }
            result = work => result,
        }
    }
}

/// The passes over all tables.
struct Run<'a> {
    database: &'a Database,
    keys: &'a Keys,
    ring: KeyRing,
    limiter: DefaultDirectRateLimiter,
    /// How many values each key has sealed.
    sealed_by: BTreeMap<u16, u64>,
    failed: u64,
    reported_at: Instant,
}

impl<'a> Run<'a> {
    fn new(database: &'a Database, keys: &'a Keys, rows_per_second: u32) -> Self {
        let nonzero = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let page = u32::try_from(PAGE_ROWS).unwrap_or(u32::MAX);
        let quota = Quota::per_second(nonzero(rows_per_second)).allow_burst(nonzero(page));
        let limiter = DefaultDirectRateLimiter::direct(quota);
        Self {
            database,
            keys,
            ring: keys.ring(),
            limiter,
            sealed_by: BTreeMap::new(),
            failed: 0,
            reported_at: Instant::now(),
        }
    }

    /// Goes through a table by its key; seals anew what an older key sealed, or only counts.
    async fn pass(&mut self, table: &SealedTable, reseals: bool) -> Result<(), DatabaseError> {
        let (mut after, mut read, mut resealed) = (table.key.2.to_owned(), 0, 0);
        loop {
            self.wait_for_page().await;
            let page = table.read(self.database, &self.ring, &after).await?;
            read += page.sealed_by.values().sum::<u64>();
            for (version, count) in page.sealed_by {
                *self.sealed_by.entry(version).or_default() += count;
            }
            let mut rows = Vec::new();
            for row in page.rows.into_iter().filter(|_| reseals) {
                let key = row.key.clone();
                match table.reseal(self.keys, &self.ring, row) {
                    Ok(row) => rows.push(row),
                    Err(error) => {
                        println!("NOT_ROTATED table={} key={key}: {}", table.name, error_chain(&error));
                        self.failed += 1;
                    }
                }
            }
            if !rows.is_empty() {
                resealed += table.write(self.database, &rows).await?;
            }
            self.show_progress(table, read, resealed, page.next.is_none());
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn wait_for_page(&self) {
        let page = NonZeroU32::new(u32::try_from(PAGE_ROWS).unwrap_or(1)).unwrap_or(NonZeroU32::MIN);
        while let Ok(Err(until)) = self.limiter.check_n(page) {
            tokio::time::sleep(until.wait_time_from(DefaultClock::default().now())).await;
        }
    }

    fn show_progress(&mut self, table: &SealedTable, read: u64, resealed: u64, is_last: bool) {
        let is_due = std::io::stderr().is_terminal() && self.reported_at.elapsed() >= REPORT_INTERVAL;
        if is_last || is_due {
            eprintln!("{}: {read} sealed values read, {resealed} rows sealed anew", table.name);
            self.reported_at = Instant::now();
        }
    }

    /// Prints how many values each key seals, and which keys may go.
    fn report(&self, failed: u64, closing: &str) -> u8 {
        let newest = self.ring.sealing_version();
        for version in self.ring.versions() {
            let count = self.sealed_by.get(&version).copied().unwrap_or_default();
            println!("key={version} seals={count}{}", if version == newest { " (seals new values)" } else { "" });
        }
        let left: u64 = self.sealed_by.iter().filter(|(version, _)| **version != newest).map(|(_, count)| count).sum();
        if failed > 0 || left > 0 {
            eprintln!(
                "{left} values are not sealed by key {newest}, and {failed} rows could not be rotated: keep the older \
                 keys, and run the command again."
            );
            return INCOMPLETE;
        }
        eprintln!("Key {newest} seals everything {closing}");
        0
    }
}
