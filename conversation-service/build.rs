//! A new migration changes no source file: without this the binary would be built without it.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
