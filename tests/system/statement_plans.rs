//! The plan of every statement, on every version of PostgreSQL: it goes by indexes.

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

/// Tables of one row, which have no index to go by.
const ONE_ROW: [&str; 1] = ["event_stream"];

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_of_booking_service_scans_a_table() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    // Makes the table that rows are rebuilt in, which is not in the migrations.
    let mut verify = Command::new(binary("booking-service"));
    verify.args(["verify-events", "--repair-projection"]).envs(environment::with_keys(&url)).kill_on_drop(true);
    let output = verify.output().await.expect("the binary is built: cargo build --workspace --bins");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_plans_go_by_indexes(&booking_service::app::DEFINITION, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_of_conversation_service_scans_a_table() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    assert_plans_go_by_indexes(&conversation_service::app::DEFINITION, &url).await;
}

async fn assert_plans_go_by_indexes(definition: &Definition, url: &SecretString) {
    let mut connection = harness::connect(url).await;
    // As the service's connections are set up.
    run(&mut connection, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off").await;
    let mut hot = 0;
    for file in statements(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(definition.name)) {
        let name = file.display();
        let statement = fs::read_to_string(&file).expect("a statement");
        let plan = plan(&mut connection, &statement).await;
        let scanned: Vec<&str> = plan.lines().filter_map(scanned_table).collect();
        assert!(scanned.iter().all(|table| ONE_ROW.contains(table)), "{name} scans {scanned:?}:\n{plan}");
        if definition.hot_statements.contains(&statement.as_str()) {
            // Not the whole of an index either.
            let lines = plan.lines().zip(plan.lines().skip(1).chain([""]));
            let whole = lines.filter(|(line, next)| is_index_scan(line) && !next.contains("Index Cond"));
            assert_eq!(whole.count(), 0, "{name}:\n{plan}");
            hot += 1;
        }
    }
    assert_eq!(hot, definition.hot_statements.len());
}

/// The files with a service's statements, beside the code that runs them.
fn statements(service: &Path) -> Vec<PathBuf> {
    let (mut folders, mut statements) = (vec![service.join("src"), service.join("queries")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|extension| extension == "sql") => statements.push(path),
                _ => {}
            }
        }
    }
    assert!(!statements.is_empty(), "{} has statements", service.display());
    statements
}

fn scanned_table(line: &str) -> Option<&str> {
    line.split_once("Seq Scan on ")?.1.split(' ').next()
}

fn is_index_scan(line: &str) -> bool {
    ["Index Scan", "Index Only Scan"].iter().any(|scan| line.contains(scan))
}

/// The plan that a connection would keep for the statement, whatever its parameters.
async fn plan(connection: &mut PgConnection, statement: &str) -> String {
    run(connection, format!("PREPARE planned AS {statement}")).await;
    let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'planned'";
    let count: i32 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.expect("a number");
    let parameters = vec!["NULL"; count.try_into().expect("a number")].join(", ");
    let call = if parameters.is_empty() { String::new() } else { format!("({parameters})") };
    let explain = format!("EXPLAIN EXECUTE planned {call}");
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.expect("a plan");
    run(connection, "DEALLOCATE planned").await;
    rows.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n")
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.expect("the SQL runs");
}
