//! The files of `deploy/prometheus`, with other addresses and durations.

use std::{fmt::Write as _, fs, io, net::SocketAddr, path::Path, path::PathBuf};

/// The speed of rules and alerts.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Seconds between two scrapes, and between two evaluations.
    pub interval_s: u32,
    /// Divides the `for` of each alert, and the grouping times of Alertmanager.
    pub divisor: u32,
}

impl Pace {
    /// Evaluates every second, and shortens a minute to a second.
    pub const FAST: Self = Self { interval_s: 1, divisor: 60 };
}

/// A folder in the project's `deploy`.
pub fn deploy(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(folder)
}

/// The addresses in the configuration, each with the address that replaces it.
pub type Addresses<'a> = &'a [(&'static str, SocketAddr)];

/// Writes Prometheus's rules and configuration into a folder, with further `scrape_configs` at its end.
pub fn write_prometheus(folder: &Path, addresses: Addresses<'_>, also_scraped: &str, pace: Pace) -> io::Result<()> {
    let rules = folder.join("rules");
    fs::create_dir_all(&rules)?;
    for file in fs::read_dir(deploy("prometheus/rules"))? {
        let file = file?;
        fs::write(rules.join(file.file_name()), divided(&fs::read_to_string(file.path())?, pace.divisor))?;
    }
    let config = fs::read_to_string(deploy("prometheus/prometheus.yml"))?;
    let interval = format!("_interval: {}s", pace.interval_s);
    let config = readdressed(&config, addresses).replace("_interval: 15s", &interval);
    fs::write(folder.join("prometheus.yml"), config + also_scraped)
}

/// Writes Alertmanager's configuration into a folder.
pub fn write_alertmanager(folder: &Path, pace: Pace) -> io::Result<()> {
    let config = fs::read_to_string(deploy("prometheus/alertmanager.yml"))?;
    fs::write(folder.join("alertmanager.yml"), divided(&config, pace.divisor))
}

fn readdressed(config: &str, addresses: Addresses<'_>) -> String {
    addresses.iter().fold(config.to_owned(), |config, (written, meant)| config.replace(written, &meant.to_string()))
}

/// The YAML, with the durations divided for which something waits.
fn divided(yaml: &str, divisor: u32) -> String {
    let mut lines = String::new();
    for line in yaml.lines() {
        let duration = ["for: ", "group_wait: ", "group_interval: "].iter().find_map(|name| {
            let at = line.find(name)? + name.len();
            Some((&line[..at], millis(&line[at..])? / u64::from(divisor)))
        });
        let _ = match duration {
            Some((name, millis)) => writeln!(lines, "{name}{}ms", millis.max(1)),
            None => writeln!(lines, "{line}"),
        };
    }
    lines
}

fn millis(duration: &str) -> Option<u64> {
    let (number, unit) = duration.split_at(duration.find(|letter: char| !letter.is_ascii_digit())?);
    let unit = match unit {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_durations_that_wait_are_divided() {
        let yaml = "- alert: A\n  expr: rate(a[5m]) > 0\n  for: 2m\n  summary: for 2m\n";
        assert_eq!(divided(yaml, 60), "- alert: A\n  expr: rate(a[5m]) > 0\n  for: 2000ms\n  summary: for 2m\n");
    }
}
