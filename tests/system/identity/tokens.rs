//! Bearer tokens from the credentials file.

use std::{fs, path::Path, process::Output};

use teppan_shared::identity::{Role, Token};
use teppan_tests::{
    callers::{Callers, call, entry, reason},
    harness::{eventually, home},
    launch::{Process, Which, binary},
};
use tokio::process::Command;

use super::*;
use crate::environment;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_rotated_without_a_restart_and_without_a_refused_call() {
    let (callers, old, new) = (Callers::default(), Token::random(), Token::random());
    let entries = [&old, &new].map(|token| entry("rotating", Role::Orchestrator, token));
    callers.write(&entries[0]);
    let service = conversation(|settings| callers.guard(settings)).await;
    let channel = channel_to(&service);
    let is_accepted = async |token: &Token| {
        let called = call(&channel, STORE_MESSAGE, Some(token.expose())).await;
        // An empty message is invalid, but only an authenticated caller gets that answer.
        reason(&called).0 == "INVALID_FIELDS"
    };
    assert!(is_accepted(&old).await && !is_accepted(&new).await);

    callers.write(&entries.concat());
    eventually("the new token is accepted", async || {
        assert!(is_accepted(&old).await);
        is_accepted(&new).await
    })
    .await;

    callers.write(&entries[1]);
    eventually("the old token is no longer accepted", async || {
        assert!(is_accepted(&new).await);
        !is_accepted(&old).await
    })
    .await;
    let refused = call(&channel, STORE_MESSAGE, Some(old.expose())).await;
    assert_eq!(reason(&refused), ("CREDENTIALS_INVALID".to_owned(), "unknown token".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_credentials_file_is_ignored_until_it_is_corrected() {
    let (callers, new) = (Callers::default(), Token::random());
    let service = conversation(|settings| callers.guard(settings)).await;
    let channel = channel_to(&service);
    let sender = callers.token(Role::Sender);
    let is_accepted = async |token: &str| reason(&call(&channel, STORE_MESSAGE, Some(token)).await).0 == "ROLE_MISSING";
    // If the service used this file, the token of `new` would be accepted in the end.
    callers.write(&format!("{}roles = broken", entry("new", Role::Venue, &new)));
    for _ in 0..20 {
        assert!(is_accepted(sender).await && !is_accepted(new.expose()).await);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    callers.write(&entry("new", Role::Venue, &new));
    eventually("the corrected file is used", async || is_accepted(new.expose()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_or_unknown_bearer_token_is_refused_with_the_problem() {
    let callers = Callers::default();
    let service = conversation(|settings| callers.guard(settings)).await;
    let channel = channel_to(&service);
    let long = "x".repeat(10 * 1024);
    for (token, problem) in [
        ("made-up", "unknown token"),
        ("two words", "not `Bearer` and a token"),
        (&long, "too long"),
        ("a.b.c", "unknown token"),
    ] {
        let refused = call(&channel, STORE_MESSAGE, Some(token)).await;
        assert_eq!(reason(&refused), ("CREDENTIALS_INVALID".to_owned(), problem.to_owned()));
    }
}

async fn token_create(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(binary("booking-service"));
    // The command creates an entry for a credentials file that does not exist yet.
    command.env("CREDENTIALS_FILE", folder.join("credentials.toml")).args(["token", "create"]).args(more);
    command.output().await.expect("it runs; `cargo build --workspace --bins` first")
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_is_authenticated_by_a_token_that_the_command_created() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, token) = (folder.path().join("credentials.toml"), folder.path().join("token"));
    let made = token_create(
        folder.path(),
        &["--name", "assistant", "--roles", "orchestrator,operator", "--token-file", token.to_str().expect("UTF-8")],
    )
    .await;
    assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
    fs::write(&file, &made.stdout).expect("written");
    let token = fs::read_to_string(token).expect("the token");
    assert!(!String::from_utf8_lossy(&made.stdout).contains(token.trim()), "the entry contains only the hash");

    let url = harness::database(&booking_service::app::DEFINITION).await;
    let credentials = [("CREDENTIALS_FILE".to_owned(), file.to_str().expect("UTF-8").to_owned())];
    let environment = environment::with_keys(&url).chain(credentials).collect();
    let process = Process::start(Which::Booking, &environment).await.expect("it starts");
    let grpcurl = async |headers: &[&str]| {
        let mut command = Command::new(home().join("tools/bin/grpcurl"));
        let method = "teppan.booking.v1.ScheduleService.ListVenues";
        command.arg("-plaintext").args(headers).args(["-d", "{}", &process.grpc.to_string(), method]);
        command.output().await.expect("grpcurl is there: deploy/local/setup.sh grpcurl")
    };
    let header = format!("authorization: Bearer {}", token.trim());
    eventually("the service answers", async || grpcurl(&["-H", &header]).await.status.success()).await;
    let without = grpcurl(&[]).await;
    let stderr = String::from_utf8_lossy(&without.stderr);
    assert!(!without.status.success() && stderr.contains("Unauthenticated"), "{stderr}");
    assert!(process.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_file_the_command_prints_the_token_separately_from_the_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = token_create(folder.path(), &["--name", "a", "--roles", "venue"]).await;
    let (entry, shown) = (String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    assert!(made.status.success() && entry.contains("token_sha256") && !entry.contains("teppan_"), "{entry}");
    assert!(shown.contains("not shown again: teppan_"), "{shown}");
    let wrong = token_create(folder.path(), &["--name", "a", "--roles", "admin"]).await;
    let stderr = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && stderr.contains("must be orchestrator, sender, venue"), "{stderr}");
}
