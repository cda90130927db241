//! Keys that data at rest is sealed under.

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;
use signpost_common::clock;
use signpost_mpi::store::{self, Rotation, Sealed};

use super::{bars::Bars, table};
use crate::{
    config::{Config, Service},
    wiring,
};

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a new data key and seal every record under it, while the exchange runs
    ///
    /// Data keys that an earlier `sealing_key` has wrapped are wrapped by the one in force; name the files of the earlier
    /// ones in `sealing_keys_before`, and take them out when this is done. What was cut short goes on where it was.
    Rotate,
}

impl Keys {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<ExitCode> {
        let Self::Rotate = self;
        let config = Config::load(file)?;
        let now_us = || clock::system().now().as_microsecond();
        let index = store::open(&config.location(Service::Mpi)?, wiring::sealing(&config)?, now_us()).await;
        let index = index.context("opening the database of mpi")?;
        let bars = Bars::default();
        let progress = |what, rows| bars.show(name(what), rows, 0);
        let rotated = index.rotate_keys(now_us(), &progress).await;
        bars.end();
        let Rotation { newest, rewrapped, resealed } = rotated.context("rotating the keys of mpi")?;
        let mut done = table(&["data key", "values sealed anew", "keys wrapped anew"]);
        done.add_row([newest.into(), resealed, rewrapped].map(|number: u64| number.to_string()));
        println!("{done}");
        Ok(ExitCode::SUCCESS)
    }
}

fn name(what: Sealed) -> &'static str {
    match what {
        Sealed::Records => "sealing records",
        Sealed::Comparisons => "sealing comparison records",
        Sealed::Models => "sealing models",
    }
}
