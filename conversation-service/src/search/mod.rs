//! Finds messages by their words, although their texts are sealed.

mod find;
mod words;

use std::sync::Arc;

use teppan_shared::{
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

pub use self::{
    find::{Found, SearchError, SearchPosition, Searched},
    words::{SearchWords, Words},
};
use crate::users::Users;

/// Searches messages.
pub struct Search {
    database: Database,
    ring: KeyRing,
    users: Arc<Users>,
    words: Words,
    is_on: bool,
}

impl Search {
    pub fn new(database: Database, keys: &Keys, users: Arc<Users>, is_on: bool) -> Self {
        Self { database, ring: keys.ring(), users, words: Words::new(hash(keys)), is_on }
    }
}

/// What stores the words of messages, if the setting is on.
pub fn stored_words(keys: &Keys, is_on: bool) -> Option<Words> {
    is_on.then(|| Words::new(hash(keys)))
}

fn hash(keys: &Keys) -> KeyedHash {
    keys.hash("teppan conversation message_search.tokens")
}
