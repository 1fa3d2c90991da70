//! The words of a text, and their hashes.

use std::collections::BTreeSet;

use icu_normalizer::ComposingNormalizerBorrowed;
use teppan_shared::sealing::KeyedHash;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::domain::{ConversationId, Part, Parts};

/// The most different words of a message that are stored. Longer texts are found by the first ones in the order of
/// hashes only.
const WORDS_MAX: usize = 2000;
const QUERY_CHARS_MAX: usize = 200;
const QUERY_WORDS_MAX: usize = 10;

/// The words of a search: 1 to 10 different ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchWords(BTreeSet<String>);

impl SearchWords {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        if raw.chars().count() > QUERY_CHARS_MAX {
            return Err("must be at most 200 characters");
        }
        let words = words_of(raw);
        if (1..=QUERY_WORDS_MAX).contains(&words.len()) { Ok(Self(words)) } else { Err("must be 1 to 10 words") }
    }
}

/// Hashes words.
pub struct Words(KeyedHash);

impl Words {
    pub fn new(hash: KeyedHash) -> Self {
        Self(hash)
    }

    /// The hashes of the words of a message; `None` when it has no word.
    pub fn of_message(&self, conversation_id: &ConversationId, text: &str, parts: Option<&Parts>) -> Option<Vec<i64>> {
        let mut words = words_of(text);
        for part in parts.into_iter().flat_map(Parts::iter) {
            if let Part::Text(text) = part {
                words.extend(words_of(text.as_str()));
            }
        }
        let tokens: BTreeSet<i64> = words.iter().map(|word| self.tokens(conversation_id, word)[0]).collect();
        (!tokens.is_empty()).then(|| tokens.into_iter().take(WORDS_MAX).collect())
    }

    /// For each key of the ring, the hashes of all words of a search, as an array of PostgreSQL.
    pub fn of_search(&self, conversation_id: &ConversationId, SearchWords(words): &SearchWords) -> Vec<String> {
        let tokens: Vec<_> = words.iter().map(|word| self.tokens(conversation_id, word)).collect();
        let keys = tokens.first().map_or(0, Vec::len);
        let under =
            |key: usize| tokens.iter().map(|tokens: &Vec<i64>| tokens[key].to_string()).collect::<Vec<_>>().join(",");
        (0..keys).map(|key| format!("{{{}}}", under(key))).collect()
    }

    /// The hash of a word in a conversation under each key of the ring. Elsewhere the same word has another one.
    fn tokens(&self, conversation_id: &ConversationId, word: &str) -> Vec<i64> {
        let hashes = self.0.hash([conversation_id.as_str().as_bytes(), word.as_bytes()]).all();
        let first = |hash: &Vec<u8>| hash.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
        hashes.iter().map(first).collect()
    }
}

/// The words of a text by the rules of Unicode, in one form: NFKC, lower case.
fn words_of(text: &str) -> BTreeSet<String> {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    // Lower case may leave the normal form.
    let text = nfkc.normalize(&nfkc.normalize(text).to_lowercase()).into_owned();
    text.unicode_words().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use teppan_shared::keys::Keys;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        words_of(text).into_iter().collect()
    }

    fn chat(id: &str) -> ConversationId {
        ConversationId::parse(id.to_owned()).expect("an id")
    }

    #[test]
    fn words_have_one_form_whatever_their_case_width_and_marks() {
        assert_eq!(words("A Table, for FOUR. Table!"), ["a", "for", "four", "table"]);
        assert_eq!(words("CAFÉ"), words("cafe\u{301}"));
        assert_eq!(words("ｔａｂｌｅ ﬁsh"), ["fish", "table"]);
        assert_eq!(words("can't 3.5 +49 mina@example.org"), ["3.5", "49", "can't", "example.org", "mina"]);
        assert_eq!(words("東京"), ["京", "東"]);
        assert!(words(" \n… 😀").is_empty());
    }

    #[test]
    fn a_search_has_one_to_ten_words() {
        assert_eq!(SearchWords::parse("Table table TABLE").map(|words| words.0.len()), Ok(1));
        for bad in ["", "…", "1 2 3 4 5 6 7 8 9 10 11", &"x".repeat(201)] {
            assert!(SearchWords::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_same_word_has_another_hash_in_each_conversation_and_under_each_key() {
        let hash = |keys: &Keys| Words::new(keys.hash("test"));
        let (keys, query) = (Keys::random(), SearchWords::parse("table").expect("a word"));
        let stored = hash(&keys).of_message(&chat("a"), "Table", None).expect("a word");
        let stored = format!("{{{}}}", stored[0]);
        assert_eq!(hash(&keys).of_search(&chat("a"), &query), std::slice::from_ref(&stored));
        assert_ne!(hash(&keys).of_search(&chat("b"), &query), std::slice::from_ref(&stored));
        assert_ne!(hash(&Keys::random()).of_search(&chat("a"), &query), [stored]);
        assert_eq!(hash(&keys).of_message(&chat("a"), "…", None), None);
    }
}
