//! Etags are opaque: the contract promises only that they change with the booking or venue.

use std::collections::BTreeMap;

/// The etag of each version of a booking or venue.
#[derive(Debug, Clone, Default)]
pub struct Etags {
    of_version: BTreeMap<(String, i64), String>,
    version_of: BTreeMap<(String, String), i64>,
}

/// An etag as it was read.
#[derive(Debug, Clone)]
pub struct SeenEtag {
    pub id: String,
    pub version: i64,
    pub etag: String,
}

impl Etags {
    pub fn of(&self, id: &str, version: i64) -> Option<&str> {
        self.of_version.get(&(id.to_owned(), version)).map(String::as_str)
    }

    pub fn version(&self, id: &str, etag: &str) -> Option<i64> {
        self.version_of.get(&(id.to_owned(), etag.to_owned())).copied()
    }

    /// # Errors
    /// When one version has two etags, or two versions have one.
    pub fn note(&mut self, SeenEtag { id, version, etag }: SeenEtag) -> Result<(), String> {
        let known = self.of_version.entry((id.clone(), version)).or_insert_with(|| etag.clone());
        if *known != etag || etag.is_empty() {
            return Err(format!("version {version} of {id} has the etag {known:?} and then {etag:?}"));
        }
        let stands_for = *self.version_of.entry((id.clone(), etag.clone())).or_insert(version);
        if stands_for != version {
            return Err(format!("etag {etag:?} of {id} stands for version {stands_for} and for {version}"));
        }
        Ok(())
    }
}
