//! What PostgreSQL says about how it runs a prepared statement.

use sqlx::{AssertSqlSafe, PgConnection};

/// The plan of a call of it, run.
pub async fn plan(connection: &mut PgConnection, call: &str) -> String {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE {call}");
    let lines = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(connection).await.expect("a plan");
    let lines: Vec<String> = lines.iter().map(|line| sqlx::Row::get(line, 0)).collect();
    lines.join("\n")
}

/// Pages that the whole statement looked at: the topmost node counts them all.
pub fn buffers(plan: &str) -> u64 {
    let top = plan.lines().find(|line| line.trim_start().starts_with("Buffers: shared")).expect("buffers");
    let hit = top.split("hit=").nth(1).map(|rest| rest.split(' ').next().unwrap_or_default().to_owned());
    hit.and_then(|hit| hit.parse().ok()).expect("a number")
}
