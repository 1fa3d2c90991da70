//! Metrics of the process: its build, its start time and its resource usage.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::{KeyValue, global};

use super::Build;

/// Registers the metrics.
pub(super) fn observe(build: Build) {
    let meter = global::meter("teppan");
    let attributes =
        [KeyValue::new("version", build.version), KeyValue::new("revision", build.revision.unwrap_or_default())];
    meter
        .u64_observable_gauge("teppan.build.info")
        .with_description("Always 1: the version of the program, and the revision it was built from.")
        .with_callback(move |gauge| gauge.observe(1, &attributes))
        .build();
    let (start, started) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now());
    meter
        .f64_observable_gauge("process.start_time")
        .with_unit("s")
        .with_description("When the process started, as a Unix time.")
        .with_callback(move |gauge| gauge.observe(start.as_secs_f64(), &[]))
        .build();
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("How long the process has been running.")
        .with_callback(move |gauge| gauge.observe(started.elapsed().as_secs_f64(), &[]))
        .build();
    #[cfg(target_os = "linux")]
    linux::observe();
}

#[cfg(target_os = "linux")]
mod linux {
    use opentelemetry::{KeyValue, global};
    use procfs::process::{Process, Stat};

    pub fn observe() {
        let meter = global::meter("teppan");
        meter
            .f64_observable_counter("process.cpu.time")
            .with_unit("s")
            .with_description("Processor time of the process, by mode.")
            .with_callback(|counter| {
                let Some(stat) = stat() else { return };
                for (mode, ticks) in [("user", stat.utime), ("system", stat.stime)] {
                    counter.observe(seconds(ticks), &[KeyValue::new("cpu.mode", mode)]);
                }
            })
            .build();
        meter
            .u64_observable_gauge("process.memory.usage")
            .with_unit("By")
            .with_description("Resident memory of the process.")
            .with_callback(|gauge| gauge.observe(stat().map_or(0, |it| it.rss * procfs::page_size()), &[]))
            .build();
        meter
            .i64_observable_gauge("process.thread.count")
            .with_description("Threads of the process.")
            .with_callback(|gauge| gauge.observe(stat().map_or(0, |it| it.num_threads), &[]))
            .build();
        meter
            .u64_observable_gauge("process.unix.file_descriptor.count")
            .with_description("Open file descriptors of the process.")
            .with_callback(|gauge| {
                if let Ok(count) = Process::myself().and_then(|process| process.fd_count()) {
                    gauge.observe(u64::try_from(count).unwrap_or(u64::MAX), &[]);
                }
            })
            .build();
    }

    fn stat() -> Option<Stat> {
        Process::myself().and_then(|process| process.stat()).ok()
    }

    #[expect(clippy::cast_precision_loss, reason = "exact for as long as machines run")]
    fn seconds(ticks: u64) -> f64 {
        ticks as f64 / procfs::ticks_per_second() as f64
    }
}
