//! PostgreSQL with TLS.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AssertSqlSafe;
use teppan_shared::embedded::{Durability, ThrowawayServer};
use teppan_tests::{
    authority::{Authority, Issued, Mounted},
    harness::{self},
};

use crate::{health::get, logs::log_of};

/// A server with this certificate that accepts only TLS.
async fn postgres(issued: &Issued) -> (ThrowawayServer, SecretString) {
    let server = ThrowawayServer::start(&harness::home(), Durability::Volatile).await.expect("the server starts");
    server.ensure_database("teppan").await.expect("a database");
    let administrator = server.url("postgres");
    // PostgreSQL accepts only a key that its own account owns, so PostgreSQL writes the files itself.
    for (name, text) in [("server.crt", &issued.certificate), ("server.key", &issued.key)] {
        let lines: Vec<_> = text.lines().map(|line| format!("('{line}')")).collect();
        let copy = format!("COPY (VALUES {}) TO PROGRAM 'umask 077; cat > {name}'", lines.join(", "));
        harness::execute(&administrator, AssertSqlSafe(copy)).await;
    }
    let demand = "COPY (VALUES ('hostssl all all 127.0.0.1/32 trust')) TO PROGRAM 'cat > pg_hba.conf'";
    for sql in ["ALTER SYSTEM SET ssl = on", demand, "SELECT pg_reload_conf()"] {
        harness::execute(&administrator, sql).await;
    }
    let url = server.url("teppan");
    (server, url)
}

/// A database URL that requires a certificate for the server's name from this authority.
fn verified(url: &SecretString, authority: &Mounted) -> SecretString {
    let authority = authority.authorities();
    let verified = format!("sslmode=verify-full&sslrootcert={}", authority.to_str().expect("UTF-8"));
    SecretString::from(url.expose_secret().replace("sslmode=disable", &verified))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_verified_by_its_name_and_its_authority() {
    let authority = Authority::new("test authority");
    let (server, url) = postgres(&authority.server()).await;
    let trusted = Mounted::new(&authority.server(), &authority.pem());
    let untrusted = Mounted::new(&authority.server(), &Authority::new("another authority").pem());
    log_of(&verified(&url, &trusted), &[], async |service| {
        harness::eventually("ready", async || get(service.http, "/readyz").await.0 == 200).await;
    })
    .await;
    let log = log_of(&verified(&url, &untrusted), &[], async |service| {
        service.until_logged("UnknownIssuer").await;
        assert_eq!(get(service.http, "/readyz").await.0, 503);
    })
    .await;
    assert!(!log.contains("\"message\":\"ready"), "{log}");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_name_is_refused() {
    let authority = Authority::new("test authority");
    let (server, url) = postgres(&authority.issue(&["db.example.org"])).await;
    let trusted = Mounted::new(&authority.server(), &authority.pem());
    log_of(&verified(&url, &trusted), &[], async |service| {
        service.until_logged("not valid for name").await;
        assert_eq!(get(service.http, "/readyz").await.0, 503);
    })
    .await;
    server.close().await;
}
