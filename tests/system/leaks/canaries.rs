//! Values that occur nowhere else.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What is searched for.
pub struct Canaries {
    pub name: String,
    pub email: String,
    pub phone: String,
    words: Vec<String>,
    numbered: AtomicUsize,
}

/// The beginning of every canary that is a word.
const WORD: &str = "Qzv";
/// The national number of the telephone canary, without its prefix.
const DIGITS: &str = "98765431";

impl Canaries {
    pub fn new() -> Self {
        let name = format!("{WORD}name Xylo");
        let email = format!("{}mail@example.org", WORD.to_lowercase());
        Self {
            name,
            email,
            phone: format!("+4930{DIGITS}"),
            words: vec![WORD.to_owned(), WORD.to_lowercase(), DIGITS.to_owned()],
            numbered: AtomicUsize::new(0),
        }
    }

    /// A new text with this word in it.
    pub fn text(&self, of: &str) -> String {
        format!("{WORD}{of}{}", self.numbered.fetch_add(1, Ordering::Relaxed))
    }

    pub fn count(&self) -> usize {
        self.numbered.load(Ordering::Relaxed) + 3
    }

    pub fn assert_absent(&self, place: &str, bytes: &[u8]) {
        for word in &self.words {
            if let Some(at) = position(bytes, word.as_bytes()) {
                let around = &bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())];
                panic!("{place} has {word}: {:?}", String::from_utf8_lossy(around));
            }
        }
    }
}

pub fn contains(bytes: &[u8], word: &[u8]) -> bool {
    position(bytes, word).is_some()
}

fn position(bytes: &[u8], word: &[u8]) -> Option<usize> {
    let first = word[0];
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(|byte| *byte == first) {
        let at = from + found;
        if bytes[at..].starts_with(word) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}
