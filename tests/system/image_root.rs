//! Builds the root file systems of the images as the Dockerfile does, and runs them without Docker.
//!
//! `make image-root` runs this with the binaries of the images, in the folder TEPPAN_IMAGE_BINARIES. Without that
//! variable the test uses the same binaries as all tests.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AssertSqlSafe;
use teppan_shared::service::Definition;
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures, harness,
    launch::{self, Process, Shown, Which},
};
use tokio::process::Command;

use crate::{environment, health::get};

/// Limit of the compressed size of an image, in bytes.
const PACKED_MAX: u64 = 25 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn booking_service_migrates_serves_and_stops_in_a_read_only_root_as_any_user() {
    assert_serves(Which::Booking, &booking_service::app::DEFINITION, async |process| {
        fixtures::venue(&mut BookingClients::new(process.grpc), 4).await.expect("a venue");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversation_service_migrates_serves_and_stops_in_a_read_only_root_as_any_user() {
    assert_serves(Which::Conversation, &conversation_service::app::DEFINITION, async |process| {
        let message = fixtures::message(&fixtures::conversation_id(), "Hello");
        clients::conversations(process.grpc).store_message(message).await.expect("stored");
    })
    .await;
}

async fn assert_serves(which: Which, definition: &Definition, call: impl AsyncFnOnce(&Process)) {
    let step = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/docker").join(name);
    let may_run = Command::new(step("run-root.sh")).arg("--check").output().await;
    if !may_run.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user cannot make a mount namespace here");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (root, packed) = (folder.path().join("root"), folder.path().join("root.tar.gz"));
    let images = env::var_os("TEPPAN_IMAGE_BINARIES").map(PathBuf::from);
    let binary = images.as_ref().map_or_else(|| launch::binary(which.binary()), |images| images.join(which.binary()));
    let built = Command::new(step("build.sh")).arg("root").args([&binary, &root]).status();
    assert!(built.await.expect("build.sh runs").success());

    let service = || {
        let mut command = Command::new(step("run-root.sh"));
        command.args([&root, &Path::new("/").join(which.binary())]);
        command
    };
    if images.is_some() {
        let packing = Command::new(step("build.sh")).arg("pack").args([&root, &packed]).status();
        assert!(packing.await.expect("build.sh runs").success());
        let bytes = fs::metadata(&packed).expect("it is packed").len();
        println!("{}: {bytes} bytes packed", which.binary());
        assert!(bytes <= PACKED_MAX, "{bytes}");
        let output = service().env_remove("DATABASE_URL").output().await.expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains("DATABASE_URL: is required"), "{stderr}");
    }

    let url = empty_database(definition).await;
    let environment: HashMap<_, _> =
        environment::with_keys(&url).chain([("MIGRATE_AT_START".to_owned(), "false".to_owned())]).collect();
    let migrated = service().arg("migrate").envs(&environment).status();
    assert!(migrated.await.expect("it runs").success());
    let process = Process::start_command(which, service(), &environment, Shown::Errors).await.expect("it starts");
    harness::eventually("ready", async || get(process.http, "/readyz").await.0 == 200).await;
    let id = process.id().expect("it runs");
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    assert!(status.contains(&format!("Name:\t{:.15}\n", which.binary())), "{status}");
    assert!(!status.contains("Uid:\t0\t"), "{status}");
    call(&process).await;
    assert!(process.stop().await, "the exit code is 0");
    harness::drop_database(&url).await;
}

/// A database without tables.
async fn empty_database(definition: &Definition) -> SecretString {
    let server = harness::postgres().await;
    let name = format!("image_of_{}", definition.database);
    harness::execute(&server.url("postgres"), AssertSqlSafe(format!("CREATE DATABASE {name}"))).await;
    let url = server.url(&name);
    assert!(url.expose_secret().contains(&name));
    url
}
