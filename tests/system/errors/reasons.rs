//! The contract documents every reason that a call can return.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Texts in capitals that are not reasons of a call: settings, codes of gRPC, and reasons that no call returns.
const NOT_REASONS: [&str; 12] = [
    "LISTEN_ADDR",
    "HTTP_ADDR",
    "WEBHOOK_ADDR",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "OUT_OF_RANGE",
    "DATA_LOSS",
    "FAILED_PRECONDITION",
    // No call expires a hold or corrects an instant.
    "BOOKING_NOT_EXPIRABLE",
    "BOOKING_NOT_CORRECTABLE",
    // ListPayments returns an empty list instead.
    "PAYMENT_NOT_FOUND",
    "RESOURCE_EXHAUSTED",
];
/// Reasons that consist of one word.
const ONE_WORD_REASONS: [&str; 6] = ["OVERLOADED", "DRAINING", "INTERNAL", "CANCELLED", "UNAVAILABLE", "UNKNOWN"];

#[test]
fn every_error_reason_is_documented_in_the_contract() {
    for (service, package) in [("booking-service", "booking"), ("conversation-service", "conversation")] {
        let contract = words_of_comments(&root().join("proto/teppan").join(package).join("v1"));
        let mut found = BTreeMap::new();
        for folder in [
            &format!("{service}/src/grpc"),
            "shared/src/server",
            "shared/src/status.rs",
            "shared/src/identity/refused.rs",
        ] {
            for file in files(&root().join(folder), "rs") {
                for reason in reasons(&read(&file)) {
                    found.insert(reason, file.clone());
                }
            }
        }
        assert!(found.len() > 15 && found.contains_key("METADATA_TOO_LARGE"), "{found:?}");
        let missing: Vec<_> = found.iter().filter(|(reason, _)| !contract.contains(*reason)).collect();
        assert!(missing.is_empty(), "the comments in proto/teppan/{package} do not name {missing:?}");
    }
}

/// The reasons among the string literals of a source file, without its unit tests.
fn reasons(source: &str) -> BTreeSet<String> {
    let program = source.split("#[cfg(test)]").next().unwrap_or_default();
    let texts = program.split('"').skip(1).step_by(2);
    let is_reason = |text: &&str| {
        text.starts_with(|letter: char| letter.is_ascii_uppercase())
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
            && (text.contains('_') || ONE_WORD_REASONS.contains(text))
            && !NOT_REASONS.contains(text)
    };
    texts.filter(is_reason).map(ToOwned::to_owned).collect()
}

/// The words in the comments of the .proto files of a folder.
fn words_of_comments(folder: &Path) -> BTreeSet<String> {
    let texts = files(folder, "proto").iter().map(|file| read(file)).collect::<String>();
    let comments = texts.lines().filter_map(|line| line.trim().strip_prefix("//"));
    let words = comments.flat_map(|line| line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_'));
    words.map(ToOwned::to_owned).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("it can be read")
}

/// The files with this extension in a folder and its subfolders, or `path` itself if it is such a file.
fn files(path: &Path, extension: &str) -> Vec<PathBuf> {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
        return entries.flat_map(|entry| files(&entry, extension)).collect();
    }
    let is_one = path.extension().is_some_and(|found| found == extension);
    if is_one { vec![path.to_owned()] } else { Vec::new() }
}
