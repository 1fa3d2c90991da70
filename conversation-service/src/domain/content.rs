use std::fmt;

const BYTES_MAX: usize = 32_768;

/// The text of a message: 1 to 32,768 bytes of UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        if (1..=BYTES_MAX).contains(&raw.len()) { Ok(Self(raw)) } else { Err("must be 1 to 32,768 bytes of UTF-8") }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// Hides the text, so that it does not appear in logs.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_content_is_limited_in_bytes() {
        for good in ["a", "\0", &"a".repeat(32_768), &"ü".repeat(16_384)] {
            assert!(Content::parse(good.to_owned()).is_ok());
        }
        for bad in ["", &"a".repeat(32_769), &"ü".repeat(16_385)] {
            assert!(Content::parse(bad.to_owned()).is_err());
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_text() {
        let content = Content::parse("Mina Sato".to_owned()).expect("short");
        assert_eq!(format!("{content:?}"), "Content(9 bytes)");
    }
}
