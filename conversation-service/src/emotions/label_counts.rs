use std::collections::BTreeMap;

use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing},
};

/// The number of labels that are counted by name: the first ones of a conversation. Clients may use any label.
const NAMED_MAX: usize = 100;
/// The key of the common count of all labels that are not counted by name. It is not a label itself.
const OTHERS: &str = "";

/// How many messages of a conversation have each label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelCounts(BTreeMap<String, i64>);

impl LabelCounts {
    /// Counts the label of a message.
    pub fn add(&mut self, label: String) {
        let named = self.0.len() - usize::from(self.0.contains_key(OTHERS));
        let is_named = named < NAMED_MAX || self.0.contains_key(&label);
        *self.0.entry(if is_named { label } else { OTHERS.to_owned() }).or_default() += 1;
    }

    /// The labels that are counted by name, the most frequent first, then by name; and the count of all others.
    pub fn into_parts(mut self) -> (Vec<(String, i64)>, i64) {
        let others = self.0.remove(OTHERS).unwrap_or(0);
        let mut counts: Vec<_> = self.0.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        (counts, others)
    }

    /// Seals the counts up to a watermark.
    pub fn seal(&self, ring: &KeyRing, conversation_id: &str, through: i64) -> Vec<u8> {
        let plain = serde_json::to_vec(&self.0).unwrap_or_default();
        ring.seal(associated_data(&row(conversation_id, through)), &plain)
    }

    /// Opens the counts up to a watermark.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn open(ring: &KeyRing, conversation_id: &str, through: i64, sealed: &[u8]) -> Result<Self, Corrupted> {
        let plain = ring.open(associated_data(&row(conversation_id, through)), sealed)?;
        let counts = serde_json::from_slice(&plain);
        counts.map(Self).map_err(|_| Corrupted::Column("emotion_statistics.label_counts_sealed"))
    }
}

/// The watermark is part of it, so that older counts cannot be put back.
fn row(conversation_id: &str, through: i64) -> Vec<u8> {
    [conversation_id.as_bytes(), &[0], &through.to_be_bytes()].concat()
}

fn associated_data(row: &[u8]) -> AssociatedData<'_> {
    AssociatedData { table: "emotion_statistics", column: "label_counts_sealed", row }
}

#[cfg(test)]
mod tests {
    use teppan_shared::keys::Keys;

    use super::*;

    #[test]
    fn the_first_hundred_labels_are_counted_by_name_and_the_others_together() {
        let mut counts = LabelCounts::default();
        (0..120).map(|n| format!("label {n}")).for_each(|label| counts.add(label));
        ["label 7", "label 110"].map(str::to_owned).into_iter().for_each(|label| counts.add(label));
        let (named, others) = counts.into_parts();
        assert_eq!((named.len(), others), (100, 21));
        assert_eq!(named[0], ("label 7".to_owned(), 2));
    }

    #[test]
    fn counts_open_for_their_conversation_and_watermark_only() {
        let ring = Keys::random().ring();
        let mut counts = LabelCounts::default();
        counts.add("joy".to_owned());
        let sealed = counts.seal(&ring, "web-7f3a91", 3);
        assert_eq!(LabelCounts::open(&ring, "web-7f3a91", 3, &sealed).ok(), Some(counts));
        assert!(LabelCounts::open(&ring, "web-7f3a91", 4, &sealed).is_err());
        assert!(LabelCounts::open(&ring, "web-7f3a92", 3, &sealed).is_err());
    }
}
