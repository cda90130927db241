//! Compiles the IDL with protox, so that no protoc need be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 9] = [
    "audit/v1/audit",
    "common/v1/common",
    "consent/v1/consent",
    "directory/v1/directory",
    "locator/v1/locator",
    "mpi/v1/mpi",
    "mpi/v1/model",
    "registry/v1/registry",
    "source/v1/source",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=signpost");
    let files = FILES.map(|name| format!("signpost/{name}.proto"));
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".signpost.locator.v1")
        .bytes(".signpost.source.v1")
        // Patient data never reaches a log through Debug (see `redact`).
        .skip_debug([
            ".signpost.common.v1.RecordReference",
            ".signpost.common.v1.Demographics",
            ".signpost.common.v1.HumanName",
            ".signpost.common.v1.Address",
            ".signpost.common.v1.Identifier",
            ".signpost.common.v1.Caller",
            ".signpost.mpi.v1.RegisterPatientRequest",
        ])
        .enum_attribute(
            ".signpost.locator.v1.LocateResponse.message",
            "#[expect(clippy::large_enum_variant, reason = \"one message at a time\")]",
        )
        .compile_fds(descriptors)?;
    Ok(())
}
