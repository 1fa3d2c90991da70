//! Sets the version. Also makes cargo rebuild the binary after a new migration, which changes no source file.

#[path = "../shared/build/revision.rs"]
mod revision;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    revision::set();
}
