//! The PostgreSQL that is measured against.

use std::path::Path;

use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};
use teppan_shared::embedded::{Durability, ThrowawayServer};

use crate::error::BenchError;

/// What PostgreSQL's manual gives a server with 4 GB of memory, a quarter of it. The embedded server has less by
/// itself, for a small machine's sake; then calls on large tables would tell how fast pages are copied from the
/// system's cache.
const SHARED_BUFFERS: &str = "ALTER SYSTEM SET shared_buffers = '1GB'";
/// Enough for pgbench with a connection for each of 128 clients, beside several services.
const MAX_CONNECTIONS: &str = "ALTER SYSTEM SET max_connections = 300";

/// A durable server that keeps in memory what a production one would.
pub async fn start(home: &Path) -> Result<ThrowawayServer, BenchError> {
    let server = ThrowawayServer::start(home, Durability::Durable).await?;
    let mut connection = PgConnection::connect(server.url("postgres").expose_secret()).await?;
    for setting in [SHARED_BUFFERS, MAX_CONNECTIONS] {
        sqlx::raw_sql(setting).execute(&mut connection).await?;
    }
    connection.close().await?;
    server.stop().await?;
    server.restart().await?;
    Ok(server)
}
