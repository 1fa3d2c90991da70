//! Etags: versions of bookings and venues.

use std::fmt;

/// The version of a booking or venue, opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Etag(i64);

impl Etag {
    pub fn of(version: i64) -> Self {
        Self(version)
    }

    /// Reads the etag of a request. Text that the service never issues becomes version 0, which no booking or venue
    /// has.
    pub fn parse(raw: &str) -> Self {
        let version = raw.strip_prefix('v').and_then(|digits| digits.parse().ok());
        let etag = Self(version.unwrap_or(0));
        if etag.to_string() == raw { etag } else { Self(0) }
    }

    /// Versions begin at 1.
    pub fn version(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsed_etag_equals_the_issued_one_and_other_text_is_version_0() {
        assert_eq!(Etag::parse(&Etag::of(7).to_string()), Etag::of(7));
        for foreign in ["7", "v07", "v+7", "v", "V7", "v7 ", "W/\"v7\"", "v99999999999999999999"] {
            assert_eq!(Etag::parse(foreign).version(), 0, "{foreign}");
        }
    }
}
