//! Personal data is found nowhere but where `docs/privacy.md` says: not in the files of the databases and their
//! write-ahead log, not in NATS, logs, spans, metrics and errors; through success, refusal, error, crash and shutdown.

mod calls;
mod canaries;
mod every_method;
mod stack;

use std::{fs, path::Path};

use teppan_tests::harness;

use self::{canaries::Canaries, stack::Stack};

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_nowhere_in_clear() {
    let canaries = Canaries::new();
    let mut stack = Stack::start().await;
    let mut seen = calls::make(&stack, &canaries).await;
    stack.crash().await;
    seen.extend(calls::make(&stack, &canaries).await);
    seen.extend(every_method::call(&stack, &canaries).await);
    seen.push(("metrics", stack.metrics().await));
    harness::eventually("the events are published", async || stack.is_idle().await).await;
    let (home, nats, logs, spans) = stack.stop().await;
    seen.push(("spans", spans));

    let mut places = 0;
    for (what, text) in &seen {
        canaries.assert_absent(what, without_keys(text).as_bytes());
        places += 1;
    }
    for folder in [&home, &nats, &logs] {
        for file in files(folder.path()) {
            let bytes = fs::read(&file).expect("readable");
            canaries.assert_absent(&file.display().to_string(), &bytes);
            places += 1;
        }
    }
    // The search finds what is there: ids of conversations are documented to be in clear.
    let all: Vec<_> = files(home.path()).into_iter().map(|file| fs::read(file).expect("readable")).collect();
    assert!(all.iter().any(|bytes| canaries::contains(bytes, calls::CHAT.as_bytes())), "the files are those in use");
    assert!(all.iter().any(|bytes| canaries::contains(bytes, calls::ADDRESS.as_bytes())), "it is stored");
    let is_logged = |id: &str| {
        files(logs.path()).iter().any(|file| canaries::contains(&fs::read(file).expect("readable"), id.as_bytes()))
    };
    assert!(is_logged(calls::CHAT), "the audit log has opaque ids");
    assert!(!is_logged(calls::ADDRESS), "logs have no id that may be an address");
    for (what, text) in seen.iter().filter(|(what, _)| *what != "an error") {
        assert!(!text.contains(calls::ADDRESS), "{what} has an id that may be an address");
    }
    println!("{places} places were searched for {} canaries", canaries.count());
}

/// An error without the names in paths such as `metadata.fields["table"]`: it tells the caller which of its own is wrong.
fn without_keys(error: &str) -> String {
    let mut parts = error.split("fields[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| kept + part.split_once(']').map_or("", |(_, rest)| rest))
}

/// Every file in a folder; links are not followed.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}
