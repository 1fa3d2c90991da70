//! Memory and processor time of processes, from Linux's `/proc`. Elsewhere the functions return `None`.

use std::{collections::HashMap, fs, time::Duration};

/// A tick of `/proc/PID/stat`: Linux shows 100 a second to programs, whatever the kernel uses.
const TICK: Duration = Duration::from_millis(10);

/// The resident memory of a process, in megabytes.
#[expect(clippy::cast_precision_loss, reason = "a process has less")]
pub fn resident_mb(pid: u32) -> Option<f64> {
    Some(resident_kib(pid)? as f64 * 1024.0 / 1e6)
}

/// The resident memory of a process, in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Processor time of a process, without its children.
pub fn cpu_of(pid: u32) -> Option<Duration> {
    Some(stat(&pid.to_string())?.own)
}

/// Processor time of a process's children: the running ones, and the ended ones that it has reaped.
pub fn cpu_of_children(pid: u32) -> Option<Duration> {
    loop {
        let ended = cpu_of_ended_children(pid)?;
        let running = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            stat(&name).filter(|process| process.parent == pid)
        });
        let sum = running.fold(ended, |sum, process| sum + process.own);
        // Read first: a child that ends between the two reads would be missing in both.
        if cpu_of_ended_children(pid)? == ended {
            return Some(sum);
        }
    }
}

/// Processor time of the ended children that a process has reaped.
pub fn cpu_of_ended_children(pid: u32) -> Option<Duration> {
    Some(stat(&pid.to_string())?.ended_children)
}

/// Processor time of these processes and of everything that they have started, directly or not.
pub fn cpu_of_trees(roots: &[u32]) -> Option<Duration> {
    let running: HashMap<u32, Stat> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.parse().ok()?, stat(&name)?))
        })
        .collect();
    let belongs = |pid: u32| {
        let mut ancestors = std::iter::successors(Some(pid), |pid| running.get(pid).map(|process| process.parent));
        ancestors.any(|ancestor| roots.contains(&ancestor))
    };
    let trees = running.iter().filter(|(pid, _)| belongs(**pid));
    Some(trees.map(|(_, process)| process.own + process.ended_children).sum())
}

/// The machine's processor time since its start, the part that was used, and the part that its host gave to other
/// machines.
#[derive(Debug, Clone, Copy)]
pub struct MachineTime {
    all: u64,
    used: u64,
    stolen: u64,
}

impl MachineTime {
    pub fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The share that the host took since then, in percent.
    #[expect(clippy::cast_precision_loss, reason = "ticks since the start of a machine are few")]
    pub fn stolen_percent_since(self, earlier: Self) -> f64 {
        100.0 * (self.stolen - earlier.stolen) as f64 / (self.all - earlier.all).max(1) as f64
    }

    /// The share that programs of this machine used since then beyond this time of some of them, in percent.
    #[expect(clippy::cast_precision_loss, reason = "ticks since the start of a machine are few")]
    pub fn others_percent_since(self, earlier: Self, ours: Duration) -> f64 {
        let others = (self.used - earlier.used) as f64 - ours.as_secs_f64() / TICK.as_secs_f64();
        100.0 * others.max(0.0) / (self.all - earlier.all).max(1) as f64
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; the rest is part of the first two.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|ticks| ticks.parse().ok()).collect();
        Some(Self { all: ticks.iter().sum(), used: ticks.iter().take(3).sum(), stolen: *ticks.get(7)? })
    }
}

struct Stat {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

fn stat(pid: &str) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The program's name, which may contain anything, is in parentheses before the numbers.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |from: usize| -> Option<Duration> {
        let two: Vec<u32> = fields.get(from..from + 2)?.iter().filter_map(|field| field.parse().ok()).collect();
        Some(TICK * two.iter().sum())
    };
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own: ticks(11)?, ended_children: ticks(13)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_the_host_took_is_a_percentage_of_all_time() {
        let at = |line| MachineTime::parse(line).expect("can be read");
        let (earlier, later) = (at("cpu  10 0 10 70 0 0 0 10 5 0\ncpu0 1"), at("cpu  60 0 10 70 0 0 0 60 9 0\ncpu0 1"));
        assert!((later.stolen_percent_since(earlier) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn the_share_of_other_programs_is_what_remains_of_the_used_time() {
        let at = |line| MachineTime::parse(line).expect("can be read");
        let (earlier, later) = (at("cpu  10 0 10 70 0 0 0 10"), at("cpu  50 10 20 110 0 0 0 10"));
        assert!((later.others_percent_since(earlier, Duration::from_millis(400)) - 20.0).abs() < 1e-9);
        assert!(later.others_percent_since(earlier, Duration::from_secs(9)).abs() < 1e-9);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = parse_stat("7 (a b) c) S 3 7 7 0 -1 0 1 1 1 1 20 30 4 6 20 0").expect("can be read");
        assert_eq!(stat.parent, 3);
        assert_eq!(stat.own, Duration::from_millis(500));
        assert_eq!(stat.ended_children, Duration::from_millis(100));
    }
}
