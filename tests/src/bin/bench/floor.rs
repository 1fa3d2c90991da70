//! The floor: one bare INSERT of a small row, in a transaction of its own.

use crate::pgbench::Script;

/// Made in the plain service's database.
pub const TABLE: &str = "CREATE TABLE floor (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stored_at timestamptz NOT NULL, content text NOT NULL)";
const STATEMENT: &str = "INSERT INTO floor (stored_at, content) VALUES (now(), $1)";
pub const WRITTEN: &str = "SELECT count(*) FROM floor WHERE $1 <> ''";
const CONTENT: &str = "Could we get a table for four on Saturday?";

pub fn script() -> Script {
    let mut script = Script::new(STATEMENT, &[":content::text"]);
    script.variables = vec![("content", CONTENT.to_owned())];
    script
}
