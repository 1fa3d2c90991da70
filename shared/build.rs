//! Compiles the contract, with a protobuf compiler written in Rust, so that protoc is not needed; and the small library
//! that lets `initdb` run as a user without a name.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

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
    let has_private_postgres = env::var_os("CARGO_FEATURE_PRIVATE_POSTGRES").is_some();
    if has_private_postgres && env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        compile_user_name(&out.join("user_name.so"))?;
    }
    Ok(())
}

/// See `src/embedded/user_name.c`.
fn compile_user_name(library: &Path) -> Result<(), Box<dyn Error>> {
    const SOURCE: &str = "src/embedded/user_name.c";
    println!("cargo:rerun-if-changed={SOURCE}");
    let mut compiler = cc::Build::new().pic(true).get_compiler().to_command();
    let status = compiler.args(["-shared", "-o"]).arg(library).arg(SOURCE).status()?;
    if status.success() { Ok(()) } else { Err(format!("{SOURCE} cannot be compiled: {status}").into()) }
}
