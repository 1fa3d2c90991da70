//! Every statement of the services fits the migrated schema, and its plan uses indexes, on every supported version of
//! PostgreSQL.

pub mod change;

use std::{
    fs,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use teppan_shared::service::Definition;
use teppan_tests::{harness, launch::binary};
use tokio::process::Command;

use crate::environment;

/// Tables with one row, which need no index.
const ONE_ROW: [&str; 1] = ["event_stream"];

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_booking_service_fits_the_schema_and_scans_no_table() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    // `--repair-projection` creates the table for rebuilt rows, which is not in the migrations.
    let mut verify = Command::new(binary("booking-service"));
    verify.args(["verify-events", "--repair-projection"]).envs(environment::with_keys(&url)).kill_on_drop(true);
    let output = verify.output().await.expect("the binary is built: cargo build --workspace --bins");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_plans_go_by_indexes(&booking_service::app::DEFINITION, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_conversation_service_fits_the_schema_and_scans_no_table() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    assert_plans_go_by_indexes(&conversation_service::app::DEFINITION, &url).await;
}

async fn assert_plans_go_by_indexes(definition: &Definition, url: &SecretString) {
    let mut connection = harness::connect(url).await;
    apply_plan_settings(&mut connection).await;
    let mut files = Vec::new();
    collect_statements(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(definition.name), &mut files);
    collect_statements(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/outbox"), &mut files);
    assert!(files.len() > 10, "the statements are found");
    let mut hot = 0;
    for file in files {
        let name = file.display();
        let statement = fs::read_to_string(&file).expect("a statement");
        let plan = generic_plan(&mut connection, &statement).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let scanned: Vec<&str> = plan.lines().filter_map(scanned_table).collect();
        assert!(scanned.iter().all(|table| ONE_ROW.contains(table)), "{name} scans {scanned:?}:\n{plan}");
        if definition.hot_statements.contains(&statement.as_str()) {
            // A scan of a whole index is not allowed either.
            let lines = plan.lines().zip(plan.lines().skip(1).chain([""]));
            let whole = lines.filter(|(line, next)| is_index_scan(line) && !next.contains("Index Cond"));
            assert_eq!(whole.count(), 0, "{name}:\n{plan}");
            hot += 1;
        }
    }
    assert_eq!(hot, definition.hot_statements.len());
}

/// Every `.sql` file below a folder, without the migrations.
fn collect_statements(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("migrations") {
            collect_statements(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
}

fn scanned_table(line: &str) -> Option<&str> {
    line.split_once("Seq Scan on ")?.1.split(' ').next()
}

fn is_index_scan(line: &str) -> bool {
    ["Index Scan", "Index Only Scan"].iter().any(|scan| line.contains(scan))
}

/// The generic plan of the statement, which a connection keeps for all parameters.
async fn generic_plan(connection: &mut PgConnection, statement: &str) -> Result<String, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(format!("PREPARE planned AS {statement}"))).execute(&mut *connection).await?;
    let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'planned'";
    let count: i32 = sqlx::query_scalar(count).fetch_one(&mut *connection).await?;
    let parameters = vec!["NULL"; count.try_into().expect("a number")].join(", ");
    let call = if parameters.is_empty() { String::new() } else { format!("({parameters})") };
    let explain = format!("EXPLAIN EXECUTE planned {call}");
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await?;
    run(connection, "DEALLOCATE planned").await;
    Ok(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n"))
}

/// Gives a connection the settings of the services' connections: a statement has one plan for all parameters.
pub async fn apply_plan_settings(connection: &mut PgConnection) {
    run(connection, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off").await;
}

pub async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.expect("the SQL runs");
}

/// Runs a call of a prepared statement, and returns its plan.
pub async fn plan(connection: &mut PgConnection, call: &str) -> String {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE {call}");
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(connection).await.expect("a plan");
    rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

/// Pages read by the whole statement: the topmost node counts all of them.
pub fn buffers(plan: &str) -> u64 {
    let top = plan.lines().find(|line| line.contains("Buffers: shared")).expect("buffers");
    let hit = top.split("hit=").nth(1).map(|rest| rest.split(' ').next().unwrap_or_default().to_owned());
    hit.and_then(|hit| hit.parse().ok()).expect("a number")
}
