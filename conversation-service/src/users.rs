//! The ids of users as they are stored. On some channels the id is a telephone number, so it is nowhere in clear: a keyed
//! hash finds the conversations of a user, and the sealed id is read.

use teppan_shared::{
    keys::Keys,
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing, KeyedHash},
};

use crate::domain::{ConversationId, UserId};

/// The purpose of the hash.
pub const USER_HASH: &str = "teppan conversation user_hash";

/// Seals, opens and finds the ids of users.
pub struct Users {
    ring: KeyRing,
    hash: KeyedHash,
}

/// The user of a conversation, as stored.
pub struct SealedUser {
    pub hash: [u8; 32],
    pub sealed: Vec<u8>,
}

impl Users {
    pub fn new(keys: &Keys) -> Self {
        Self { ring: keys.ring(), hash: keys.hash(USER_HASH) }
    }

    /// The stored form of a conversation's user.
    pub fn seal(&self, user: &UserId, conversation_id: &ConversationId) -> SealedUser {
        let plain = user.as_str().as_bytes();
        SealedUser {
            hash: *self.hash.hash([plain]).newest(),
            sealed: self.ring.seal(associated_data(conversation_id), plain),
        }
    }

    /// The hashes by which the conversations of a user are found, one for each key of the ring.
    pub fn hashes(&self, user: &UserId) -> Vec<Vec<u8>> {
        self.hash.hash([user.as_str().as_bytes()]).all()
    }

    /// The user of a conversation that may have been found by the hash.
    ///
    /// # Errors
    /// When it cannot be read, or is not the user of the hash.
    pub fn open_found(
        &self,
        conversation_id: &ConversationId,
        hash: Option<&[u8]>,
        sealed: Option<&[u8]>,
    ) -> Result<Option<UserId>, Corrupted> {
        let user = self.open(conversation_id, sealed)?;
        let is_of_hash = |user: &UserId| hash.is_some_and(|it| self.hash.hash([user.as_str().as_bytes()]).matches(it));
        if user.as_ref().is_none_or(is_of_hash) { Ok(user) } else { Err(Corrupted::Column("user_hash")) }
    }

    /// The user of a conversation.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(&self, conversation_id: &ConversationId, sealed: Option<&[u8]>) -> Result<Option<UserId>, Corrupted> {
        let Some(sealed) = sealed else { return Ok(None) };
        let text = self.ring.open_text(associated_data(conversation_id), sealed)?;
        UserId::parse(text).map(Some).map_err(|_| Corrupted::Column("user_sealed"))
    }
}

/// The same in every table, because a conversation gets its user from the follow-up that is its first message.
fn associated_data(conversation_id: &ConversationId) -> AssociatedData<'_> {
    AssociatedData { table: "conversations", column: "user_sealed", row: conversation_id.as_str().as_bytes() }
}
