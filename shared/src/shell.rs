//! Quotes text for a shell.

use std::path::Path;

/// The path, quoted so that a shell reads it as one word.
pub fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    if path.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c)) {
        return path.into_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_stays_one_word() {
        assert_eq!(quoted(Path::new("/opt/grpcurl")), "/opt/grpcurl");
        assert_eq!(quoted(Path::new("/my tools/it's")), r"'/my tools/it'\''s'");
    }
}
