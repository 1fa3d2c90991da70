//! Compiles the contract with a protobuf compiler written in Rust, so that protoc is not needed. Also compiles the
//! small library with which `initdb` can run as a user without a name.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_types::FileDescriptorSet;

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
    // Reflection uses the same bytes, so clients see exactly the compiled contract.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    let descriptor_bytes = descriptors.encode_to_vec();
    tonic_prost_build::configure()
        .codec_path("crate::server::codec::RequestCodec")
        // An RPC without an implementation answers UNIMPLEMENTED.
        .generate_default_stubs(true)
        .extern_path(format!(".{EVENTS}"), "crate::contract::events::v1")
        .extern_path(".google.protobuf.Timestamp", "::pbjson_types::Timestamp")
        .compile_fds(descriptors.clone())?;
    compile_events(descriptors, &descriptor_bytes)?;
    let has_private_postgres = env::var_os("CARGO_FEATURE_PRIVATE_POSTGRES").is_some();
    if has_private_postgres && env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        compile_user_name(&out.join("user_name.so"))?;
    }
    Ok(())
}

/// The package whose messages are stored and published as JSON.
const EVENTS: &str = "teppan.events.v1";

/// Compiles the events separately: their JSON mapping needs a timestamp type with a JSON mapping. The other packages
/// use the same timestamp type.
fn compile_events(descriptors: FileDescriptorSet, descriptor_bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let is_needed = |package: &str| [EVENTS, "google.protobuf"].contains(&package);
    let file = descriptors.file.into_iter().filter(|file| is_needed(file.package())).collect();
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(FileDescriptorSet { file })?;
    pbjson_build::Builder::new()
        .register_descriptors(descriptor_bytes)?
        .preserve_proto_field_names()
        // A newer replica may have written fields that this version does not know.
        .ignore_unknown_fields()
        // The JSON contains every field, even if it is 0.
        .emit_fields()
        .build(&[format!(".{EVENTS}")])?;
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
