//! The tables of an area, and those that may be joined.

use std::collections::BTreeSet;

use teppan_shared::{
    contract::booking::v1::{Table as WireTable, TableCombination},
    status::Violations,
};

use crate::domain::{Combination, TABLES_MAX, Table, TableKey};

const COMBINATIONS_MAX: usize = 200;
const PARTY_MAX: i32 = 50;

pub fn decode(tables: &[WireTable], violations: &mut Violations) -> Vec<Table> {
    if tables.len() > TABLES_MAX {
        violations.add("tables", format_args!("must be at most {TABLES_MAX}"));
    }
    let (mut decoded, mut keys) = (Vec::new(), BTreeSet::new());
    for (index, table) in tables.iter().take(TABLES_MAX).enumerate() {
        let at = |field: &str| format!("tables[{index}].{field}");
        let key = violations.check(at("table"), TableKey::parse(&table.table));
        let (min_party_size, max_party_size) = parties(&at, table.min_party_size, table.max_party_size, violations);
        if !keys.insert(&table.table) {
            violations.add(at("table"), "must be named only once");
        }
        decoded.extend(key.map(|table| Table { table, min_party_size, max_party_size }));
    }
    decoded
}

pub fn decode_combinations(
    combinations: &[TableCombination],
    tables: &[Table],
    violations: &mut Violations,
) -> Vec<Combination> {
    if combinations.len() > COMBINATIONS_MAX {
        violations.add("combinations", format_args!("must be at most {COMBINATIONS_MAX}"));
    }
    let mut decoded = Vec::new();
    for (index, combination) in combinations.iter().take(COMBINATIONS_MAX).enumerate() {
        let at = |field: &str| format!("combinations[{index}].{field}");
        let different: BTreeSet<_> = combination.tables.iter().collect();
        if !(2..=10).contains(&combination.tables.len()) || different.len() != combination.tables.len() {
            violations.add(at("tables"), "must be 2 to 10 different tables");
        }
        let mut keys = Vec::new();
        for key in &combination.tables {
            match tables.iter().find(|it| it.table.as_str() == key) {
                Some(table) => keys.push(table.table.clone()),
                None => violations.add(at("tables"), "must be tables of the same area"),
            }
        }
        let (min_party_size, max_party_size) =
            parties(&at, combination.min_party_size, combination.max_party_size, violations);
        decoded.push(Combination { tables: keys, min_party_size, max_party_size });
    }
    decoded
}

/// The smallest and the largest party. 0 as the smallest is the default.
fn parties(at: &dyn Fn(&str) -> String, min: i32, max: i32, violations: &mut Violations) -> (i32, i32) {
    let min = if min == 0 { 1 } else { min };
    if !(1..=PARTY_MAX).contains(&max) {
        violations.add(at("max_party_size"), format_args!("must be 1 to {PARTY_MAX}"));
    }
    if !(1..=PARTY_MAX).contains(&min) || min > max.max(1) {
        violations.add(at("min_party_size"), "must be at least 1 and at most max_party_size, or 0 for 1");
    }
    (min, max)
}

pub fn encode(tables: &[Table]) -> Vec<WireTable> {
    let encode = |it: &Table| WireTable {
        table: it.table.as_str().to_owned(),
        min_party_size: it.min_party_size,
        max_party_size: it.max_party_size,
    };
    tables.iter().map(encode).collect()
}

pub fn encode_combinations(combinations: &[Combination]) -> Vec<TableCombination> {
    let encode = |it: &Combination| TableCombination {
        tables: it.tables.iter().map(|table| table.as_str().to_owned()).collect(),
        min_party_size: it.min_party_size,
        max_party_size: it.max_party_size,
    };
    combinations.iter().map(encode).collect()
}
