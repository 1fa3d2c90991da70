//! Plans of prepared statements, by EXPLAIN.

use sqlx::{AssertSqlSafe, PgConnection};

/// Runs a call of a prepared statement and returns its plan.
pub async fn plan(connection: &mut PgConnection, call: &str) -> String {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE {call}");
    let lines = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(connection).await.expect("a plan");
    let lines: Vec<String> = lines.iter().map(|line| sqlx::Row::get(line, 0)).collect();
    lines.join("\n")
}

/// Pages that the whole statement read. The topmost node includes those of all nodes.
pub fn buffers(plan: &str) -> u64 {
    let top = plan.lines().find(|line| line.trim_start().starts_with("Buffers: shared")).expect("buffers");
    let hit = top.split("hit=").nth(1).map(|rest| rest.split(' ').next().unwrap_or_default().to_owned());
    hit.and_then(|hit| hit.parse().ok()).expect("a number")
}
