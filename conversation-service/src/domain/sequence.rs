/// The direction of a list of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SequenceOrder {
    #[default]
    OldestFirst,
    NewestFirst,
}

/// A range of sequences; both ends are excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceRange {
    pub after: i64,
    pub before: i64,
}

impl SequenceRange {
    /// The rest of the range after a page that ended with this sequence.
    #[must_use]
    pub fn beyond(self, last: i64, order: SequenceOrder) -> Self {
        match order {
            SequenceOrder::OldestFirst => Self { after: self.after.max(last), ..self },
            SequenceOrder::NewestFirst => Self { before: self.before.min(last), ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_starts_after_the_last_one_and_stays_in_the_range() {
        let range = SequenceRange { after: 5, before: 40 };
        assert_eq!(range.beyond(15, SequenceOrder::OldestFirst), SequenceRange { after: 15, before: 40 });
        assert_eq!(range.beyond(30, SequenceOrder::NewestFirst), SequenceRange { after: 5, before: 30 });
        // A forged token does not widen it.
        assert_eq!(range.beyond(1, SequenceOrder::OldestFirst), range);
        assert_eq!(range.beyond(i64::MAX, SequenceOrder::NewestFirst), range);
    }
}
