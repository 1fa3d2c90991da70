use std::{collections::BTreeSet, fmt, fs, path::Path, str::FromStr, time::Duration};

use secrecy::SecretString;

/// All invalid settings, so that they are reported together.
#[derive(Debug, Default)]
pub struct Problems {
    listed: Vec<String>,
    /// Settings that were given without a value. For each, only this problem is reported.
    empty: BTreeSet<String>,
}

impl Problems {
    /// Adds a problem of the setting with this name.
    pub fn add(&mut self, name: &str, must: impl fmt::Display) {
        let problem = format!("{name}: {must}");
        // A setting may be parsed several times.
        if !self.empty.contains(name) && !self.listed.contains(&problem) {
            self.listed.push(problem);
        }
    }

    /// Adds the problem that the setting with this name was given without a value.
    pub fn empty(&mut self, name: &str) {
        self.add(name, "is empty: give it a value, or leave it out");
        self.empty.insert(name.to_owned());
    }

    /// The value of a setting; `None` when it is invalid, with the problem added.
    pub fn parse<T: FromStr>(&mut self, name: &str, raw: &str, must: &str) -> Option<T> {
        let parsed = raw.trim().parse().ok();
        if parsed.is_none() {
            self.add(name, must);
        }
        parsed
    }

    /// A whole number within limits; `None` when it is invalid, with the problem added.
    pub fn number(&mut self, name: &str, raw: &str, unit: &str, least: u64, most: u64) -> Option<u64> {
        let number = raw.trim().parse().ok().filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.add(name, format!("must be a whole number of {unit} from {least} to {most}"));
        }
        number
    }

    /// A duration in milliseconds within limits; `None` when it is invalid, with the problem added.
    pub fn millis(&mut self, name: &str, raw: &str, least: u64, most: u64) -> Option<Duration> {
        self.number(name, raw, "milliseconds", least, most).map(Duration::from_millis)
    }

    /// A secret that is given directly or in a file. `None` when it is not given, or when it is invalid, with the
    /// problem added.
    pub fn secret(&mut self, name: &str, value: Option<&str>, file: Option<&Path>) -> Option<SecretString> {
        let value = value.filter(|value| !value.trim().is_empty());
        match (value, file.filter(|file| !file.as_os_str().is_empty())) {
            (Some(_), Some(_)) => {
                self.add(name, format!("give it directly or through {name}_FILE, not both"));
                None
            }
            (Some(value), None) => Some(SecretString::from(value.trim())),
            (None, Some(file)) => self.read(&format!("{name}_FILE"), file).map(|text| SecretString::from(text.trim())),
            (None, None) => None,
        }
    }

    /// The text of a file; `None` when it cannot be read or is empty, with the problem added.
    pub fn read(&mut self, name: &str, file: &Path) -> Option<String> {
        match fs::read_to_string(file) {
            Ok(text) if text.trim().is_empty() => self.add(name, "is an empty file"),
            Ok(text) => return Some(text),
            Err(error) => self.add(name, format!("cannot be read: {}", error.kind())),
        }
        None
    }

    /// Two settings that need each other. `None` when only one is given, with the problem added.
    pub fn both<T>(&mut self, first: (&str, Option<T>), second: (&str, Option<T>)) -> Option<Option<(T, T)>> {
        let (missing, given) = match (first, second) {
            ((_, Some(first)), (_, Some(second))) => return Some(Some((first, second))),
            ((_, None), (_, None)) => return Some(None),
            ((given, Some(_)), (missing, None)) | ((missing, None), (given, Some(_))) => (missing, given),
        };
        self.add(missing, format!("is required with {given}"));
        None
    }

    /// `Ok` when there are no problems.
    pub fn finish(self) -> Result<(), Self> {
        if self.listed.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "These settings are wrong (`--help` explains each):")?;
        for problem in &self.listed {
            writeln!(f, "  {problem}")?;
        }
        Ok(())
    }
}
