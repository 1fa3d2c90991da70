//! Sets the version. Also, a new migration changes no source file: without this the binary would be built without it.

#[path = "../shared/build/revision.rs"]
mod revision;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    revision::set();
}
