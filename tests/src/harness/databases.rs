//! A separate database for each test, on one server for all tests of the process.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    mem,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, PgConnection};
use teppan_shared::{
    embedded::{Durability, ThrowawayServer},
    keys::Keys,
    service::Definition,
};
use tokio::sync::OnceCell;

use crate::proxy::Proxy;

/// The server of this test process, which the first test starts and which ends with the process.
static POSTGRES: OnceCell<ThrowawayServer> = OnceCell::const_new();
static TEMPLATES: [OnceCell<()>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Databases of tests that have ended. The next test that needs a database removes them, because several hundred would
/// take gigabytes.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The keys of the services that this process has started, by database: programs over the same database need the same
/// keys.
static ENCRYPTION_KEYS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// The databases of the test on this thread. They are released when the test ends.
    static MINE: RefCell<Mine> = const { RefCell::new(Mine(Vec::new())) };
}

struct Mine(Vec<String>);

impl Drop for Mine {
    fn drop(&mut self) {
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.0);
    }
}

/// The project's TEPPAN_HOME, where set-up installs PostgreSQL's programs if the machine has none.
pub fn home() -> PathBuf {
    let home = std::env::var_os("TEPPAN_HOME").map_or_else(|| PathBuf::from(".teppan"), PathBuf::from);
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(home)
}

/// The PostgreSQL server of this process.
pub async fn postgres() -> &'static ThrowawayServer {
    POSTGRES
        .get_or_init(async || {
            ThrowawayServer::start(&home(), Durability::Volatile).await.unwrap_or_else(|error| panic!("{error}"))
        })
        .await
}

/// A new database with the service's tables, as a URL.
pub async fn database(definition: &Definition) -> SecretString {
    let server = postgres().await;
    let (index, migrator) = match definition.name {
        "booking-service" => (0, definition.migrator),
        _ => (1, definition.migrator),
    };
    let template = format!("{}_template", definition.database);
    TEMPLATES[index]
        .get_or_init(async || {
            server.ensure_database(&template).await.expect("the template can be made");
            let mut connection = connect(&server.url(&template)).await;
            migrator.run_direct(None, &mut connection, false).await.expect("the migrations apply");
            connection.close().await.expect("the connection to the template closes");
        })
        .await;
    let mut connection = connect(&server.url("postgres")).await;
    let left = mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner));
    for name in left {
        remove(&mut connection, &name).await;
    }
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.expect("a database can be made");
    MINE.with_borrow_mut(|mine| mine.0.push(name.clone()));
    server.url(&name)
}

/// The keys of the services over this database; any keys if no service was started in this process.
pub fn encryption_keys(url: &SecretString) -> String {
    let any = format!("1:{}=", "A".repeat(43)); // base64 of 32 bytes
    ENCRYPTION_KEYS.lock().unwrap_or_else(PoisonError::into_inner).get(name_of(url)).cloned().unwrap_or(any)
}

pub(super) fn remember_keys(url: &SecretString, keys: &Keys) {
    let keys = keys.to_text().expose_secret().to_owned();
    ENCRYPTION_KEYS.lock().unwrap_or_else(PoisonError::into_inner).insert(name_of(url).to_owned(), keys);
}

fn name_of(url: &SecretString) -> &str {
    url.expose_secret().rsplit('/').next().and_then(|rest| rest.split('?').next()).unwrap_or_default()
}

/// Removes a database of [`database`] before its test ends, for tests that make many.
pub async fn drop_database(url: &SecretString) {
    remove(&mut connect(&postgres().await.url("postgres")).await, name_of(url)).await;
}

async fn remove(connection: &mut PgConnection, name: &str) {
    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(connection).await.expect("a database can be removed");
}

/// A direct connection to the database, to check what the service wrote.
pub async fn connect(url: &SecretString) -> PgConnection {
    PgConnection::connect(url.expose_secret()).await.expect("the database answers")
}

/// A new database, and a proxy that leads to it.
pub async fn proxied(definition: &Definition) -> (Proxy, SecretString) {
    let url = database(definition).await;
    let proxy = Proxy::start(database_address(&url)).await.expect("a proxy");
    let url = through(&url, proxy.address);
    (proxy, url)
}

/// The URL of the same database at another address.
pub fn through(url: &SecretString, address: SocketAddr) -> SecretString {
    let port = format!("127.0.0.1:{}", database_address(url).port());
    SecretString::from(url.expose_secret().replace(&port, &address.to_string()))
}

/// The address of a database's server.
pub fn database_address(url: &SecretString) -> SocketAddr {
    let after = url.expose_secret().split('@').nth(1).and_then(|rest| rest.split('/').next());
    after.and_then(|address| address.parse().ok()).expect("the harness's URLs name an address")
}

/// The only value of a query.
pub async fn scalar<T>(url: &SecretString, query: &'static str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    sqlx::query_scalar(query).fetch_one(&mut connect(url).await).await.expect("the query answers")
}

/// Runs SQL directly on the database.
pub async fn execute(url: &SecretString, sql: impl sqlx::SqlSafeStr) {
    sqlx::raw_sql(sql).execute(&mut connect(url).await).await.expect("the SQL runs");
}
