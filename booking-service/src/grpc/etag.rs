//! Etags: opaque to clients; here they are versions.

/// The etag of what is at this version.
pub fn of(version: i64) -> String {
    format!("v{version}")
}

/// The version that a client expects; `None` when it gives no etag. One that was never given out is
/// of version 0, at which nothing ever is.
pub fn expected_version(etag: &str) -> Option<i64> {
    let version = || etag.strip_prefix('v')?.parse().ok().filter(|version| of(*version) == etag);
    (!etag.is_empty()).then(|| version().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_reads_back_and_a_made_up_one_fits_nothing() {
        assert_eq!(expected_version(""), None);
        assert_eq!(expected_version(&of(7)), Some(7));
        for made_up in ["7", "v", "v07", "v+7", "V7", "v 7", "v99999999999999999999", "nonsense"] {
            assert_eq!(expected_version(made_up), Some(0), "{made_up:?}");
        }
    }
}
