use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing},
};
use uuid::Uuid;

use crate::{
    domain::{ConversationId, MessageId, NUL, UserId, bounded_text, uuid_id},
    emotions::EmotionScore,
};

const VALUE_BYTES_MAX: usize = 4096;

/// The purpose of the hash that finds a memory of a user.
pub const KEY_HASH: &str = "teppan conversation user_memories.key_hash";

uuid_id!(
    /// The id of a memory, which it has until it is set again.
    MemoryId
);

bounded_text!(
    /// What a memory is about: 1 to 100 characters.
    MemoryKey, 1..=100, "must be 1 to 100 characters"
);

/// A fact: 1 to 4,096 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryValue(String);

impl MemoryValue {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        if !(1..=VALUE_BYTES_MAX).contains(&raw.len()) {
            Err("must be 1 to 4,096 bytes")
        } else if raw.contains(NUL) {
            Err("must not contain the character U+0000")
        } else {
            Ok(Self(raw))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A memory to be set.
#[derive(Debug, Clone)]
pub struct NewMemory {
    pub user_id: UserId,
    pub key: MemoryKey,
    pub value: MemoryValue,
    pub source_message_id: Option<MessageId>,
    /// How certain it is, from 0 to 1.
    pub confidence: Option<EmotionScore>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A fact about a user.
#[derive(Debug, Clone)]
pub struct Memory {
    pub user_id: UserId,
    pub key: MemoryKey,
    pub value: MemoryValue,
    pub source_conversation_id: Option<ConversationId>,
    pub source_message_id: Option<MessageId>,
    pub confidence: Option<f64>,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A row of `user_memories`, in the order of its columns.
///
/// Statements return it as an anonymous record: sqlx would ask the server to describe the table's own type.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "record")]
pub struct MemoryRow {
    pub memory_id: MemoryId,
    pub memory_user_id: Uuid,
    pub key_hash: Vec<u8>,
    pub key_sealed: Vec<u8>,
    pub value_sealed: Vec<u8>,
    pub source_conversation_id: Option<ConversationId>,
    pub source_message_id: Option<MessageId>,
    pub confidence: Option<f64>,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The row of the associated data: which memory, and whose.
pub fn associated_row(memory_id: MemoryId, memory_user_id: &Uuid) -> Vec<u8> {
    [*memory_id.0.as_bytes(), *memory_user_id.as_bytes()].concat()
}

pub fn key_associated_data(row: &[u8]) -> AssociatedData<'_> {
    AssociatedData { table: "user_memories", column: "key_sealed", row }
}

pub fn value_associated_data(row: &[u8]) -> AssociatedData<'_> {
    AssociatedData { table: "user_memories", column: "value_sealed", row }
}

/// What is sealed and hashed for a key: with the user's row, so that the same key of two users has two hashes.
pub fn owned_key(memory_user_id: &Uuid, key: &MemoryKey) -> String {
    format!("{memory_user_id} {}", key.as_str())
}

impl MemoryRow {
    /// The memory of a user whose row was checked.
    pub fn open(self, user_id: &UserId, ring: &KeyRing) -> Result<Memory, Corrupted> {
        let row = associated_row(self.memory_id, &self.memory_user_id);
        let owned_key = ring.open_text(key_associated_data(&row), &self.key_sealed)?;
        let key = owned_key.split_once(' ').map_or("", |(_, key)| key).to_owned();
        let value = MemoryValue::parse(ring.open_text(value_associated_data(&row), &self.value_sealed)?);
        Ok(Memory {
            user_id: user_id.clone(),
            key: MemoryKey::parse(key).map_err(|_| Corrupted::Column("user_memories.key_sealed"))?,
            value: value.map_err(|_| Corrupted::Column("user_memories.value_sealed"))?,
            source_conversation_id: self.source_conversation_id,
            source_message_id: self.source_message_id,
            confidence: self.confidence,
            expires_at: self.expires_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
