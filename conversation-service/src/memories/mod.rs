//! Memories: facts about a user that outlive a conversation.

mod delete;
mod list;
mod memory;
mod owner;
mod purge;
mod set;

use std::sync::Arc;

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

pub use self::{
    delete::UserErasure,
    list::{ListMemoriesError, MemoryPage},
    memory::{KEY_HASH, Memory, MemoryId, MemoryKey, MemoryValue, NewMemory},
    purge::ExpiredMemories,
    set::{MEMORIES_MAX, SetMemoryError},
};
use crate::{conversations::Conversations, users::Users};

/// Sets, lists and deletes memories.
pub struct Memories {
    database: Database,
    clock: Clock,
    ring: KeyRing,
    users: Arc<Users>,
    /// Finds a memory of a user.
    key_hash: KeyedHash,
    conversations: Arc<Conversations>,
}

impl Memories {
    pub fn new(
        database: Database,
        clock: Clock,
        keys: &Keys,
        users: Arc<Users>,
        conversations: Arc<Conversations>,
    ) -> Self {
        Self { database, clock, ring: keys.ring(), users, key_hash: keys.hash(KEY_HASH), conversations }
    }
}
