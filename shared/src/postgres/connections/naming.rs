//! The names of connections. PostgreSQL shows them as `application_name`.

/// The name where the database's URL gives none.
const DEFAULT: &str = "teppan";
/// PostgreSQL keeps 63 bytes of a name; this leaves room for what makes it unique.
const GIVEN_MAX: usize = 32;

/// What the names of the connections of one process begin with. No other process has the same.
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
    fn a_name_is_unique_and_fits() {
        assert!(prefix(None).starts_with("teppan/"));
        assert!(prefix(Some("front desk")).starts_with("front desk/"));
        assert_ne!(prefix(None), prefix(None));
        // Umlauts take two bytes each, and no character is cut in two.
        let long = name(&prefix(Some(&"ä".repeat(100))), 9_999_999_999);
        assert!(long.len() <= 63, "{long}");
    }
}
