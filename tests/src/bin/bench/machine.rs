//! What Linux tells about processes: memory and processor time. Elsewhere there is no answer.

use std::{fs, time::Duration};

/// A tick of `/proc/PID/stat`: Linux shows 100 a second to programs, whatever the kernel uses.
const TICK: Duration = Duration::from_millis(10);

/// Memory of a process that is really in use, in megabytes.
pub fn resident_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

/// Processor time of a process, without its children.
pub fn cpu_of(pid: u32) -> Option<Duration> {
    Some(stat(&pid.to_string())?.own)
}

/// Processor time of the children of a process: those that run, and those it has seen end.
pub fn cpu_of_children(pid: u32) -> Option<Duration> {
    loop {
        let ended = cpu_of_ended_children(pid)?;
        let running = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            stat(&name).filter(|process| process.parent == pid)
        });
        let sum = running.fold(ended, |sum, process| sum + process.own);
        // One that ended in between would be in neither.
        if cpu_of_ended_children(pid)? == ended {
            return Some(sum);
        }
    }
}

/// Processor time of the children that a process has seen end.
pub fn cpu_of_ended_children(pid: u32) -> Option<Duration> {
    Some(stat(&pid.to_string())?.ended_children)
}

struct Stat {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

fn stat(pid: &str) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of the program, which may hold anything, stands in parentheses before all that matters.
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
    fn processor_time_is_found_behind_any_name() {
        let stat = parse_stat("7 (a b) c) S 3 7 7 0 -1 0 1 1 1 1 20 30 4 6 20 0").expect("can be read");
        assert_eq!(stat.parent, 3);
        assert_eq!(stat.own, Duration::from_millis(500));
        assert_eq!(stat.ended_children, Duration::from_millis(100));
    }
}
