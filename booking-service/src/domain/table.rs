//! The tables of an area, and which of them a party gets. Pure.

use serde::{Deserialize, Serialize};

/// The most tables of an area: each is a bit of an `i64`.
pub const TABLES_MAX: usize = 60;

/// The key of a table, unique in its area: such as `12` or `T4`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableKey(String);

impl TableKey {
    /// # Errors
    /// Anything but 1 to 20 ASCII letters, digits and hyphens that begin with a letter or digit.
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=20).contains(&raw.len()) && raw.bytes().all(is_allowed) && !raw.starts_with('-') {
            Ok(Self(raw.to_owned()))
        } else {
            Err("must be 1 to 20 ASCII letters, digits and hyphens, such as T4")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A table, and the parties that it seats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub table: TableKey,
    pub min_party_size: i32,
    pub max_party_size: i32,
}

/// Tables of one area that may be joined, and the parties that they seat together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combination {
    pub tables: Vec<TableKey>,
    pub min_party_size: i32,
    pub max_party_size: i32,
}

/// Tables that one party can have, as bits in the order of the area's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSet {
    pub tables: i64,
    pub min_party_size: i32,
    pub max_party_size: i32,
}

impl TableSet {
    pub fn fits(&self, party_size: i32) -> bool {
        (self.min_party_size..=self.max_party_size).contains(&party_size)
    }
}

/// The tables and combinations in the order in which a party gets them: the one that seats the fewest guests first, then
/// the one of fewer tables, then the one that the venue names first. Combinations of unknown tables are left out.
pub fn table_sets(tables: &[Table], combinations: &[Combination]) -> Vec<TableSet> {
    let single = |table: &Table| TableSet {
        tables: bits(tables, std::slice::from_ref(&table.table)),
        min_party_size: table.min_party_size,
        max_party_size: table.max_party_size,
    };
    let joined = |it: &Combination| TableSet {
        tables: bits(tables, &it.tables),
        min_party_size: it.min_party_size,
        max_party_size: it.max_party_size,
    };
    let mut sets: Vec<_> = tables.iter().map(single).chain(combinations.iter().map(joined)).collect();
    sets.retain(|set| set.tables != 0);
    sets.sort_by_key(|set| (set.max_party_size, set.tables.count_ones()));
    sets
}

/// Tables as bits. Keys that are not among the tables are left out.
pub fn bits<K: AsRef<str>>(tables: &[Table], keys: &[K]) -> i64 {
    let has = |table: &Table| keys.iter().any(|key| key.as_ref() == table.table.as_str());
    tables.iter().take(TABLES_MAX).enumerate().filter(|(_, table)| has(table)).fold(0, |bits, (n, _)| bits | 1 << n)
}

/// The keys of tables given as bits.
pub fn keys(tables: &[Table], bits: i64) -> Vec<String> {
    let is_set = |n: usize| bits & (1 << n) != 0;
    let chosen = tables.iter().take(TABLES_MAX).enumerate().filter(|(n, _)| is_set(*n));
    chosen.map(|(_, table)| table.table.as_str().to_owned()).collect()
}

impl AsRef<str> for TableKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(raw: &str) -> TableKey {
        TableKey::parse(raw).expect("a table")
    }

    fn table(raw: &str, min_party_size: i32, max_party_size: i32) -> Table {
        Table { table: key(raw), min_party_size, max_party_size }
    }

    #[test]
    fn the_smallest_sufficient_set_of_the_fewest_tables_comes_first_then_the_venues_order() {
        let tables = [table("T1", 3, 6), table("T2", 1, 2), table("T3", 1, 4), table("T4", 1, 4)];
        let join = |keys: &[&str], min_party_size, max_party_size| Combination {
            tables: keys.iter().map(|raw| key(raw)).collect(),
            min_party_size,
            max_party_size,
        };
        let sets = table_sets(&tables, &[join(&["T3", "T4"], 5, 8), join(&["T2", "T3"], 4, 6), join(&["T9"], 1, 2)]);
        let order: Vec<_> = sets.iter().map(|set| keys(&tables, set.tables).join("+")).collect();
        assert_eq!(order, ["T2", "T3", "T4", "T1", "T2+T3", "T3+T4"]);
        let of = |size| sets.iter().find(|set| set.fits(size)).map(|set| keys(&tables, set.tables).join("+"));
        assert_eq!([of(1).as_deref(), of(3).as_deref(), of(7).as_deref()], [Some("T2"), Some("T3"), Some("T3+T4")]);
        assert_eq!(of(9), None);
    }

    #[test]
    fn bits_stand_for_tables_in_their_order() {
        let tables = [table("a", 1, 2), table("b", 1, 2), table("c", 1, 2)];
        assert_eq!(bits(&tables, &["c", "a", "x"]), 0b101);
        assert_eq!(keys(&tables, 0b110), ["b", "c"]);
    }
}
