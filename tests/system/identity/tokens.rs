//! Bearer tokens of the credentials file.

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
    let is_known = async |token: &Token| {
        let called = call(&channel, STORE_MESSAGE, Some(token.expose())).await;
        // The empty message is refused only once its caller is known.
        reason(&called).0 == "INVALID_FIELDS"
    };
    assert!(is_known(&old).await && !is_known(&new).await);

    callers.write(&entries.concat());
    eventually("the new token is known", async || {
        assert!(is_known(&old).await);
        is_known(&new).await
    })
    .await;

    callers.write(&entries[1]);
    eventually("the old token is not known any more", async || {
        assert!(is_known(&new).await);
        !is_known(&old).await
    })
    .await;
    let refused = call(&channel, STORE_MESSAGE, Some(old.expose())).await;
    assert_eq!(reason(&refused), ("CREDENTIALS_INVALID".to_owned(), "unknown token".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_became_unusable_changes_nothing_until_it_is_mended() {
    let (callers, new) = (Callers::default(), Token::random());
    let service = conversation(|settings| callers.guard(settings)).await;
    let channel = channel_to(&service);
    let sender = callers.token(Role::Sender);
    let is_known = async |token: &str| reason(&call(&channel, STORE_MESSAGE, Some(token)).await).0 == "ROLE_MISSING";
    // Were the file used, the token of `new` would be known in the end.
    callers.write(&format!("{}roles = broken", entry("new", Role::Venue, &new)));
    for _ in 0..20 {
        assert!(is_known(sender).await && !is_known(new.expose()).await);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    callers.write(&entry("new", Role::Venue, &new));
    eventually("the mended file is used", async || is_known(new.expose()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_bearer_token_is_refused_with_what_is_wrong() {
    let callers = Callers::default();
    let service = conversation(|settings| callers.guard(settings)).await;
    let channel = channel_to(&service);
    let long = "x".repeat(10 * 1024);
    for (token, problem) in [
        ("unheard-of", "unknown token"),
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
    // The file that the command makes an entry for is not there yet.
    command.env("CREDENTIALS_FILE", folder.join("credentials.toml")).args(["token", "create"]).args(more);
    command.output().await.expect("it runs; `cargo build --workspace --bins` first")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_command_made_lets_grpcurl_in() {
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
    assert!(!String::from_utf8_lossy(&made.stdout).contains(token.trim()), "the file has the hash only");

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
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(!without.status.success() && said.contains("Unauthenticated"), "{said}");
    assert!(process.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_for_it_the_token_is_shown_once_and_apart_from_the_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = token_create(folder.path(), &["--name", "a", "--roles", "venue"]).await;
    let (entry, shown) = (String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    assert!(made.status.success() && entry.contains("token_sha256") && !entry.contains("teppan_"), "{entry}");
    assert!(shown.contains("not shown again: teppan_"), "{shown}");
    let wrong = token_create(folder.path(), &["--name", "a", "--roles", "admin"]).await;
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && said.contains("must be orchestrator, sender, venue"), "{said}");
}
