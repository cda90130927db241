//! Keys: which there are, and what data at rest is sealed under.

use std::{os::unix::fs::PermissionsExt, path::Path, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;
use signpost_common::clock;
use signpost_mpi::store::{self, DataKey, Rotation, Sealed, Store};

use super::{bars::Bars, steward::shown_time, table};
use crate::{
    config::{Config, Service},
    wiring,
};

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Show the files of keys, who may read them, and the data keys of the index
    ///
    /// Keys themselves are never shown. Two machines that show the same mark have the same key. The exit code is 1 when a key
    /// cannot be used.
    Status,
    /// Make a new data key and seal every record under it, while the exchange runs
    ///
    /// Data keys that an earlier `sealing_key` has wrapped are wrapped by the one in force; name the files of the earlier
    /// ones in `sealing_keys_before`, and take them out when this is done. What was cut short goes on where it was.
    Rotate,
}

impl Keys {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<ExitCode> {
        let config = Config::load(file)?;
        match self {
            Self::Status => status(&config).await,
            Self::Rotate => rotate(&config).await,
        }
    }
}

async fn open(config: &Config) -> anyhow::Result<Box<dyn Store>> {
    let now_us = clock::system().now().as_microsecond();
    let index = store::open(&config.location(Service::Mpi)?, wiring::sealing(config)?, now_us).await;
    index.context("opening the database of mpi")
}

async fn rotate(config: &Config) -> anyhow::Result<ExitCode> {
    let index = open(config).await?;
    let bars = Bars::default();
    let progress = |what, rows| bars.show(name(what), rows, 0);
    let rotated = index.rotate_keys(clock::system().now().as_microsecond(), &progress).await;
    bars.end();
    let Rotation { newest, rewrapped, resealed } = rotated.context("rotating the keys of mpi")?;
    let mut done = table(&["data key", "values sealed anew", "keys wrapped anew"]);
    done.add_row([newest.into(), resealed, rewrapped].map(|number: u64| number.to_string()));
    println!("{done}");
    Ok(ExitCode::SUCCESS)
}

async fn status(config: &Config) -> anyhow::Result<ExitCode> {
    let sealing = wiring::sealing(config).map(|keys| keys.name().to_owned());
    let blinding = wiring::blinder(&config.blinding_key)
        .map(|blinder| format!("{:08x}", blinder.token("key-mark", &[b""]) >> 32 & 0xffff_ffff));
    let signing = wiring::log_signer(config).map(|signer| signer.verifier().to_string());
    let files = [
        ("wraps data keys", &config.sealing_key, sealing),
        ("blinds tokens", &config.blinding_key, blinding),
        ("signs the audit log", &config.audit_signing_key, signing),
    ];
    let mut rows = table(&["key", "file", "permissions", "mark"]);
    let mut unusable = vec![];
    for (what, path, mark) in files {
        let mark = mark.unwrap_or_else(|error| {
            unusable.push(error);
            "cannot be used".to_owned()
        });
        rows.add_row([what.to_owned(), path.display().to_string(), permissions(path), mark]);
    }
    println!("{rows}");
    for error in &unusable {
        eprintln!("error: {error:#}");
    }
    if !unusable.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let keys = open(config).await?.data_keys().await.context("reading the data keys of mpi")?;
    println!("\n{}", data_keys(&keys));
    Ok(ExitCode::SUCCESS)
}

fn permissions(path: &Path) -> String {
    let mode = std::fs::metadata(path).map(|data| data.permissions().mode() & 0o777);
    mode.map_or_else(|_| "missing".to_owned(), |mode| format!("{mode:o}"))
}

fn data_keys(keys: &[DataKey]) -> comfy_table::Table {
    let mut rows = table(&["data key", "made", "wrapped by", "state"]);
    for (place, key) in keys.iter().enumerate() {
        let state = match key.retired_us {
            _ if place + 1 == keys.len() => "seals".to_owned(),
            Some(retired_us) => format!("retired {}", shown(retired_us)),
            None => "a rotation is to finish: signpost keys rotate".to_owned(),
        };
        rows.add_row([key.key_id.to_string(), shown(key.created_us), key.wrapped_by.clone(), state]);
    }
    rows
}

fn shown(micros: i64) -> String {
    shown_time(Some(&clock::micros_to_proto(micros)))
}

fn name(what: Sealed) -> &'static str {
    match what {
        Sealed::Records => "sealing records",
        Sealed::Comparisons => "sealing comparison records",
        Sealed::Models => "sealing models",
    }
}
