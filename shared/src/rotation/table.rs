//! The sealed columns of one table: reading them page by page, and writing them sealed anew.

use std::{collections::BTreeMap, fmt::Write as _};

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};

use crate::{
    keys::Keys,
    postgres::{Database, DatabaseError},
    sealing::{AssociatedData, KeyRing, OpenError},
};

/// Rows of one page. A page is read and written by one statement each, which locks its rows for some milliseconds.
pub(super) const PAGE_ROWS: i64 = 200;
/// The most runs of the statement that writes a page.
const WRITES_MAX: usize = 4;

/// A table with sealed columns.
#[derive(Debug, Clone, Copy)]
pub struct SealedTable {
    pub name: &'static str,
    /// The primary key, its type, and a value below every key.
    pub key: (&'static str, &'static str, &'static str),
    pub columns: &'static [SealedColumn],
    /// The hash by which rows are found, if there is one.
    pub hash: Option<HashedColumn>,
}

/// A column with the keyed hash of a sealed value in the same row. Both are written together, so the key that sealed the
/// value also made the hash, and both are made anew together.
#[derive(Debug, Clone, Copy)]
pub struct HashedColumn {
    pub name: &'static str,
    /// The sealed column.
    pub of: &'static str,
    /// The purpose of the hash; see [`Keys::hash`].
    pub purpose: &'static str,
    /// Tables whose primary key is such a hash. If there is a row with the new hash already, the old row stays.
    pub copies: &'static [(&'static str, &'static str)],
}

/// A sealed column, with the associated data of its values.
#[derive(Debug, Clone, Copy)]
pub struct SealedColumn {
    pub name: &'static str,
    /// The table and column that the associated data name: those of the row that the value may be copied to.
    pub about: (&'static str, &'static str),
    /// The SQL expression for the associated data's row, over the columns of the table.
    pub row: &'static str,
}

/// A page of a table.
pub(super) struct Page {
    pub rows: Vec<SealedRow>,
    /// The key after which the next page begins; `None` at the end of the table.
    pub next: Option<String>,
    /// How many values each key has sealed.
    pub sealed_by: BTreeMap<u16, u64>,
}

/// A row with values that an older key sealed.
pub(super) struct SealedRow {
    pub key: String,
    /// The values under an older key and their associated data, column by column.
    values: Vec<Option<Pair>>,
    hash: Option<Vec<u8>>,
}

/// A row whose values are sealed anew: the old and the new value of each column, and of the hash.
pub(super) struct ResealedRow {
    key: String,
    values: Vec<Option<Pair>>,
    hash: Option<Pair>,
}

/// A sealed value and its associated data's row, or an old and a new sealed value.
type Pair = (Vec<u8>, Vec<u8>);

impl SealedTable {
    /// Reads the page after this key.
    pub(super) async fn read(&self, database: &Database, ring: &KeyRing, after: &str) -> Result<Page, DatabaseError> {
        let statement = self.select();
        let newest = i32::from(ring.sealing_version());
        let read = || {
            sqlx::query(AssertSqlSafe(statement.clone())).bind(after).bind(newest).try_map(|row: PgRow| self.row(&row))
        };
        let read = database.fetch_all(read).await?;
        let is_full = i64::try_from(read.len()) == Ok(PAGE_ROWS);
        let next = read.last().filter(|_| is_full).map(|(row, _)| row.key.clone());
        let mut page = Page { rows: Vec::new(), next, sealed_by: BTreeMap::new() };
        for (row, versions) in read {
            for version in versions.into_iter().flatten() {
                *page.sealed_by.entry(u16::try_from(version).unwrap_or_default()).or_default() += 1;
            }
            if row.values.iter().any(Option::is_some) {
                page.rows.push(row);
            }
        }
        Ok(page)
    }

    /// Seals the values of a row under the first key of the ring.
    pub(super) fn reseal(&self, keys: &Keys, ring: &KeyRing, row: SealedRow) -> Result<ResealedRow, OpenError> {
        let (mut values, mut hash) = (Vec::with_capacity(row.values.len()), None);
        for (column, value) in self.columns.iter().zip(row.values) {
            let Some((sealed, about)) = value else {
                values.push(None);
                continue;
            };
            let about = AssociatedData { table: column.about.0, column: column.about.1, row: &about };
            let plain = ring.open(about, &sealed)?;
            if let Some(hashed) = self.hash.filter(|hashed| hashed.of == column.name) {
                let new = keys.hash(hashed.purpose).hash([plain.as_slice()]).newest().to_vec();
                hash = row.hash.clone().map(|old| (old, new));
            }
            let resealed = ring.seal(about, &plain);
            values.push(Some((sealed, resealed)));
        }
        Ok(ResealedRow { key: row.key, values, hash })
    }

    /// Writes rows that are sealed anew. Returns how many; rows that have changed are left out.
    pub(super) async fn write(&self, database: &Database, rows: &[ResealedRow]) -> Result<u64, DatabaseError> {
        for _ in 1..WRITES_MAX {
            match self.write_once(database, rows).await {
                Err(error) if self.is_overtaken(&error) => {}
                written => return written,
            }
        }
        self.write_once(database, rows).await
    }

    /// Whether a concurrent call has inserted a row with the new hash. The next run sees it.
    fn is_overtaken(&self, error: &DatabaseError) -> bool {
        let copies = self.hash.map_or(&[][..], |hash| hash.copies);
        copies.iter().any(|(table, _)| error.violates(&format!("{table}_pkey")))
    }

    async fn write_once(&self, database: &Database, rows: &[ResealedRow]) -> Result<u64, DatabaseError> {
        let statement = self.update();
        let keys: Vec<&str> = rows.iter().map(|row| &*row.key).collect();
        let write = || {
            let mut write = sqlx::query(AssertSqlSafe(statement.clone())).bind(&keys);
            for number in 0..self.columns.len() {
                let column = |pick: fn(&Pair) -> &Vec<u8>| -> Vec<Option<&[u8]>> {
                    rows.iter().map(|row| row.values[number].as_ref().map(|it| pick(it).as_slice())).collect()
                };
                write = write.bind(column(|it| &it.0)).bind(column(|it| &it.1));
            }
            if self.hash.is_some() {
                let hash = |pick: fn(&Pair) -> &Vec<u8>| -> Vec<Option<&[u8]>> {
                    rows.iter().map(|row| row.hash.as_ref().map(|it| pick(it).as_slice())).collect()
                };
                write = write.bind(hash(|it| &it.0)).bind(hash(|it| &it.1));
            }
            write.try_map(|row: PgRow| row.try_get::<String, _>(0))
        };
        Ok(u64::try_from(database.fetch_all(write).await?.len()).unwrap_or(u64::MAX))
    }

    fn row(&self, row: &PgRow) -> Result<(SealedRow, Vec<Option<i32>>), sqlx::Error> {
        let (mut values, mut versions) = (Vec::new(), Vec::new());
        for number in 0..self.columns.len() {
            let sealed: Option<Vec<u8>> = row.try_get(1 + 3 * number)?;
            let about: Vec<u8> = row.try_get(2 + 3 * number)?;
            versions.push(row.try_get(3 + 3 * number)?);
            values.push(sealed.map(|sealed| (sealed, about)));
        }
        let hash = if self.hash.is_some() { row.try_get(1 + 3 * self.columns.len())? } else { None };
        Ok((SealedRow { key: row.try_get(0)?, values, hash }, versions))
    }

    /// A page of rows by key. Of each sealed column: the value if another key than the newest sealed it, the row of its
    /// associated data, and the version of its key. At last the hash.
    fn select(&self) -> String {
        let (key, kind, _) = self.key;
        let mut columns = vec![format!("{key}::text")];
        for SealedColumn { name, row, .. } in self.columns {
            let version = format!("get_byte({name}, 1) * 256 + get_byte({name}, 2)");
            columns.push(format!("CASE WHEN {version} <> $2 THEN {name} END, {row}, {version}"));
        }
        columns.extend(self.hash.map(|hash| hash.name.to_owned()));
        let (table, columns) = (self.name, columns.join(", "));
        // Without the table's name, the order would be that of the text in the first column, and no index has it. With
        // a constant limit, the planner knows that the page is small.
        format!("SELECT {columns} FROM {table} WHERE {key} > $1::{kind} ORDER BY {table}.{key} LIMIT {PAGE_ROWS}")
    }

    fn update(&self) -> String {
        let (key, kind, _) = self.key;
        let (mut sets, mut names, mut parameters, mut unchanged) = (vec![], vec![], vec![], vec![]);
        for (number, SealedColumn { name, .. }) in self.columns.iter().enumerate() {
            sets.push(format!("{name} = COALESCE(n.new_{number}, t.{name})"));
            names.push(format!("old_{number}, new_{number}"));
            parameters.push(format!("${}::bytea[], ${}::bytea[]", 2 + 2 * number, 3 + 2 * number));
            unchanged.push(format!("(n.old_{number} IS NULL OR t.{name} = n.old_{number})"));
        }
        let mut copies = String::new();
        if let Some(hash) = self.hash {
            let first = 2 + 2 * self.columns.len();
            sets.push(format!("{0} = COALESCE(n.new_hash, t.{0})", hash.name));
            names.push("old_hash, new_hash".to_owned());
            parameters.push(format!("${first}::bytea[], ${}::bytea[]", first + 1));
            unchanged.push(format!("(n.old_hash IS NULL OR t.{} = n.old_hash)", hash.name));
            // DISTINCT reads every written row first. So no row of a copy is locked while the statement waits for a row
            // of the table, and there is no deadlock with a call that locks both in this order.
            for (number, (table, column)) in hash.copies.iter().enumerate() {
                let _ = write!(
                    copies,
                    ", copy_{number} AS (UPDATE {table} AS c SET {column} = w.new_hash \
                     FROM (SELECT DISTINCT old_hash, new_hash FROM written WHERE new_hash IS NOT NULL) AS w \
                     WHERE c.{column} = w.old_hash AND NOT EXISTS (SELECT FROM {table} WHERE {column} = w.new_hash))"
                );
            }
        }
        let hashes = self.hash.map_or("", |_| ", n.old_hash, n.new_hash");
        // By an array of keys, so that rows are found by the primary key whatever the planner expects.
        format!(
            "WITH written AS (UPDATE {} AS t SET {} FROM unnest($1::text[], {}) AS n (key, {}) \
             WHERE t.{key} = ANY ($1::{kind}[]) AND t.{key} = n.key::{kind} AND {} \
             RETURNING t.{key}::text AS written_key{hashes}){copies} SELECT written_key FROM written",
            self.name,
            sets.join(", "),
            parameters.join(", "),
            names.join(", "),
            unchanged.join(" AND "),
        )
    }
}
