//! A killed shared server is restarted by the processes that use it.

use std::{fs, path::Path, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection};
use teppan_shared::embedded::SharedServer;
use tokio_util::sync::CancellationToken;

use crate::{STOP_TIMEOUT, connect, kill, temporary_home};

#[tokio::test]
async fn a_killed_shared_server_is_restarted_by_a_process_that_uses_it() {
    let home = temporary_home();
    let first = SharedServer::start(home.path()).await.unwrap();
    let second = SharedServer::start(home.path()).await.unwrap();
    let url = first.url("postgres");
    sqlx::raw_sql("CREATE TABLE t (n int)").execute(&mut connect(url.expose_secret()).await).await.unwrap();
    let stopping = CancellationToken::new();
    let killing = async {
        for _ in 0..2 {
            let killed = server_of(home.path()).unwrap();
            kill(&killed);
            wait_until_server_answers(url.expose_secret()).await;
            assert_ne!(server_of(home.path()).unwrap(), killed);
            // Each start has a log of its own, and the next start renames it.
            for log in ["server.log", "server.log.old"] {
                let log = fs::read_to_string(home.path().join("postgres").join(log)).unwrap();
                assert_eq!(log.matches("ready to accept connections").count(), 1, "{log}");
            }
        }
        stopping.cancel();
    };
    tokio::join!(first.supervisor().run(stopping.clone()), second.supervisor().run(stopping.clone()), killing);

    sqlx::raw_sql("SELECT n FROM t").execute(&mut connect(url.expose_secret()).await).await.expect("the data are kept");
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    assert_eq!(server_of(home.path()), None, "the last user stopped the server");
}

async fn wait_until_server_answers(url: &str) {
    let answers = async {
        while PgConnection::connect(url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(STOP_TIMEOUT, answers).await.expect("the server answers again");
}

/// The process id of the server of a home, while there is one.
fn server_of(home: &Path) -> Option<String> {
    let file = fs::read_to_string(home.join("postgres/data/postmaster.pid")).ok()?;
    file.lines().next().map(str::to_owned)
}
