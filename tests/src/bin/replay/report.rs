//! The output of the tool: the plan, the figures, and the result.

use std::time::Duration;

use hdrhistogram::Histogram;
use teppan_tests::tool::{Align, Screen, Table};

use crate::{
    calls::{Measured, Meter, Method},
    plan::Plan,
    play::Played,
    reconcile::{Background, Verdict},
};

const DIFFERENCES_SHOWN: usize = 20;

/// Prints the plan before it is played.
pub fn plan(plan: &Plan) {
    println!(
        "Run {}: {} dialogues, {} turns and {} bookings at {} venues.",
        plan.run,
        plan.dialogues.len(),
        plan.turns(),
        plan.bookings.len(),
        plan.venues.len(),
    );
    if plan.normalised > 0 {
        println!("{} dates or times were corrected; --help explains how.", plan.normalised);
    }
}

/// Prints the figures of the writing calls.
pub fn written(what: &str, meter: &Meter, took: Duration) {
    println!("\n{what}, played in {}:", seconds(took));
    println!("{}", calls(meter, &Method::WRITES));
}

/// Prints how long the background work of a burst took after its end.
pub fn backlog(burst: Duration, gone_after: Duration) {
    println!(
        "Its background work was done {} after the last reply of the burst of {}.",
        seconds(gone_after),
        seconds(burst),
    );
}

/// Prints the lags of background work, beside the times of the calls in the same phase.
pub fn lags(meter: &Meter, aggregated: &Histogram<u64>, delivered: &Histogram<u64>) {
    let right = ["watched", "p50 ms", "p99 ms", "max ms", "p99 of the call", "ratio"];
    let mut table =
        Table::new([("from the reply", Align::Left)].into_iter().chain(right.map(|heading| (heading, Align::Right))));
    let mut row = |what: &str, lags: &Histogram<u64>, method: Method| {
        let call = meter.of(method).micros.value_at_quantile(0.99);
        table.row([
            what.to_owned(),
            lags.len().to_string(),
            millis(lags.value_at_quantile(0.5)),
            millis(lags.value_at_quantile(0.99)),
            millis(lags.max()),
            millis(call),
            format!("{:.1}", ratio(lags.value_at_quantile(0.99), call)),
        ]);
    };
    row("StoreMessage to statistics", aggregated, Method::StoreMessage);
    row("CreateBooking to follow-up", delivered, Method::CreateBooking);
    println!("{table}");
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for a person to read")]
fn ratio(lag: u64, call: u64) -> f64 {
    lag as f64 / call.max(1) as f64
}

/// Prints the figures of the reading calls.
pub fn read_back(meter: &Meter, took: Duration) {
    println!("Read back in {}:", seconds(took));
    println!("{}", calls(meter, &Method::READS));
    println!("The time of a call includes every attempt and the waits between them.");
}

/// Prints the figures of an interrupted run, and how to continue it.
pub fn interrupted(meters: [&Meter; 2], plan: &Plan) {
    println!("\nInterrupted. Nothing was compared. Until now:");
    for meter in meters {
        println!("{}", calls(meter, &Method::WRITES));
    }
    println!("Today `--run-id {}` with the same file continues this run.", plan.run);
}

/// A row for each method that was called.
fn calls(meter: &Meter, methods: &[Method]) -> Table {
    let counts = ["calls", "retries", "failed", "per second"];
    let times = ["p50 ms", "p95 ms", "p99 ms", "max ms"];
    let right = counts.into_iter().chain(times).map(|heading| (heading, Align::Right));
    let mut table = Table::new([("method", Align::Left)].into_iter().chain(right));
    for method in methods {
        let measured = meter.of(*method);
        if measured.calls > 0 {
            table.row(row(*method, &measured));
        }
    }
    table
}

fn row(method: Method, measured: &Measured) -> [String; 9] {
    let Measured { calls, retries, failed, micros, .. } = measured;
    let at = |quantile| millis(micros.value_at_quantile(quantile));
    [
        method.to_string(),
        calls.to_string(),
        retries.to_string(),
        failed.to_string(),
        format!("{:.0}", per_second(micros, measured.span())),
        at(0.5),
        at(0.95),
        at(0.99),
        millis(micros.max()),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a rate for a person to read")]
fn per_second(calls: &Histogram<u64>, span: Duration) -> f64 {
    calls.len() as f64 / span.as_secs_f64().max(f64::EPSILON)
}

#[expect(clippy::cast_precision_loss, reason = "a time for a person to read")]
fn millis(micros: u64) -> String {
    format!("{:.1}", micros as f64 / 1000.0)
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

/// Prints whether everything is stored, and what is not.
pub fn verdict(screen: Screen, verdict: &Verdict, played: &[Played]) {
    println!("\nReconciliation:");
    println!("{}", counts(verdict, played));
    let failures = played.iter().filter_map(|played| played.failure.as_ref());
    let failures: Vec<_> = failures.map(ToString::to_string).collect();
    if verdict.is_clean() && failures.is_empty() {
        println!("{}", screen.good("Everything is stored once, in order and as it was sent."));
        return;
    }
    println!("{}", screen.bad("Something is missing or different."));
    list("dialogues were not completed", &failures);
    list("differences", &verdict.differences);
}

fn counts(verdict: &Verdict, played: &[Played]) -> Table {
    let Verdict { messages, bookings, seats, background, .. } = verdict;
    let headings = ["expected", "found", "missing", "duplicated", "out of order", "different"];
    let right = headings.into_iter().map(|heading| (heading, Align::Right));
    let mut table = Table::new([("", Align::Left)].into_iter().chain(right));
    let whole = played.iter().filter(|played| played.failure.is_none()).count();
    let mut row = |what: &str, cells: [Option<usize>; 6]| {
        let cells = cells.map(|cell| cell.map_or_else(|| "-".to_owned(), |count| count.to_string()));
        table.row([what.to_owned()].into_iter().chain(cells));
    };
    row("dialogues", [Some(played.len()), Some(whole), Some(played.len() - whole), None, None, None]);
    row(
        "messages",
        [
            Some(messages.expected),
            Some(messages.found),
            Some(messages.missing),
            Some(messages.duplicated),
            Some(messages.out_of_order),
            Some(messages.different),
        ],
    );
    row(
        "bookings",
        [
            Some(bookings.expected),
            Some(bookings.found),
            Some(bookings.missing),
            Some(bookings.shared),
            None,
            Some(bookings.different),
        ],
    );
    let seat = |count: i64| usize::try_from(count).ok();
    row("seats", [seat(seats.expected), seat(seats.reserved), None, None, None, None]);
    let Background { statistics, other_statistics, expected, follow_ups, missing, duplicated } = background;
    row("statistics", [Some(*statistics), None, None, None, None, Some(*other_statistics)]);
    row("follow-ups", [Some(*expected), Some(*follow_ups), Some(*missing), Some(*duplicated), None, None]);
    row("slots", [None, Some(seats.slots), None, None, None, Some(seats.different)]);
    table
}

/// Prints the first entries of a list.
fn list(what: &str, entries: &[String]) {
    if entries.is_empty() {
        return;
    }
    println!("{} {what}:", entries.len());
    for entry in entries.iter().take(DIFFERENCES_SHOWN) {
        println!("  {entry}");
    }
    if let Some(more @ 1..) = entries.len().checked_sub(DIFFERENCES_SHOWN) {
        println!("  and {more} more");
    }
}
