use std::{collections::BTreeSet, fmt, fs, path::Path, str::FromStr, time::Duration};

use secrecy::SecretString;

/// Every setting that is wrong, so that they can be reported at once.
#[derive(Debug, Default)]
pub struct Problems {
    listed: Vec<String>,
    /// Settings that were given without a value. Each is reported once, and not again for what its value must be.
    empty: BTreeSet<String>,
}

impl Problems {
    /// Notes that the setting of this name is wrong, and what it must be.
    pub fn add(&mut self, name: &str, must: impl fmt::Display) {
        let problem = format!("{name}: {must}");
        // A setting may be read for several purposes.
        if !self.empty.contains(name) && !self.listed.contains(&problem) {
            self.listed.push(problem);
        }
    }

    /// Notes that the setting of this name was given without a value.
    pub fn empty(&mut self, name: &str) {
        self.add(name, "is empty: give it a value, or leave it out");
        self.empty.insert(name.to_owned());
    }

    /// The value of a setting, or `None` with the problem noted.
    pub fn parse<T: FromStr>(&mut self, name: &str, raw: &str, must: &str) -> Option<T> {
        let parsed = raw.trim().parse().ok();
        if parsed.is_none() {
            self.add(name, must);
        }
        parsed
    }

    /// A whole number within limits, or `None` with the problem noted.
    pub fn number(&mut self, name: &str, raw: &str, unit: &str, least: u64, most: u64) -> Option<u64> {
        let number = raw.trim().parse().ok().filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.add(name, format!("must be a whole number of {unit} from {least} to {most}"));
        }
        number
    }

    /// A span of milliseconds within limits, or `None` with the problem noted.
    pub fn millis(&mut self, name: &str, raw: &str, least: u64, most: u64) -> Option<Duration> {
        self.number(name, raw, "milliseconds", least, most).map(Duration::from_millis)
    }

    /// A secret given as a value or in a file. `None` when it is given in neither, or, with the
    /// problem noted, wrongly.
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

    /// The text of a file, or `None` with the problem noted. An empty file is a problem too.
    pub fn read(&mut self, name: &str, file: &Path) -> Option<String> {
        match fs::read_to_string(file) {
            Ok(text) if text.trim().is_empty() => self.add(name, "is an empty file"),
            Ok(text) => return Some(text),
            Err(error) => self.add(name, format!("cannot be read: {}", error.kind())),
        }
        None
    }

    /// Two settings of which each needs the other. `None` when only one is given, with the problem noted.
    pub fn both<T>(&mut self, first: (&str, Option<T>), second: (&str, Option<T>)) -> Option<Option<(T, T)>> {
        let (missing, given) = match (first, second) {
            ((_, Some(first)), (_, Some(second))) => return Some(Some((first, second))),
            ((_, None), (_, None)) => return Some(None),
            ((given, Some(_)), (missing, None)) | ((missing, None), (given, Some(_))) => (missing, given),
        };
        self.add(missing, format!("is required with {given}"));
        None
    }

    /// `Ok` when nothing is wrong.
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
