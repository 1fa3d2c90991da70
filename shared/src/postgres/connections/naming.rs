//! The names of connections. PostgreSQL shows them as `application_name`.

/// The name if the database's URL has none.
const DEFAULT: &str = "teppan";
/// PostgreSQL keeps 63 bytes of a name. This leaves room for the unique suffix.
const GIVEN_MAX: usize = 32;

/// The prefix of the names of this process's connections. It is unique to this process.
pub(super) fn prefix(given: Option<&str>) -> String {
    let given = given.filter(|name| !name.is_empty()).unwrap_or(DEFAULT);
    let short = &given[..given.floor_char_boundary(GIVEN_MAX)];
    format!("{short}/{:016x}", rand::random::<u64>())
}

/// The name of a connection, by its number.
pub(super) fn name(prefix: &str, number: u64) -> String {
    format!("{prefix}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_name_is_unique_and_at_most_63_bytes_long() {
        assert!(prefix(None).starts_with("teppan/"));
        assert!(prefix(Some("front desk")).starts_with("front desk/"));
        assert_ne!(prefix(None), prefix(None));
        // An umlaut has two bytes; no character is cut in two.
        let long = name(&prefix(Some(&"ä".repeat(100))), 9_999_999_999);
        assert!(long.len() <= 63, "{long}");
    }
}
