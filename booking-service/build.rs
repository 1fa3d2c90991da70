//! Sets the version, and rebuilds the binary after a new migration: a migration changes no source file.

#[path = "../shared/build/revision.rs"]
mod revision;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    revision::set();
}
