//! Compiles the contract with a protobuf compiler written in Rust, so that nobody needs protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from("../proto");
    let mut files = Vec::new();
    for package in ["booking", "conversation", "events"] {
        let folder = root.join("teppan").join(package).join("v1");
        println!("cargo:rerun-if-changed={}", folder.display());
        for entry in fs::read_dir(&folder)? {
            files.push(entry?.path());
        }
    }
    files.sort();

    let descriptors = protox::compile(&files, [&root])?;
    // The same bytes feed reflection: a client sees exactly what was compiled.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        .codec_path("crate::server::codec::RequestCodec")
        // An RPC that is not built answers UNIMPLEMENTED.
        .generate_default_stubs(true)
        .compile_fds(descriptors)?;
    Ok(())
}
