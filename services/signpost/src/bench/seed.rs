//! Fills the index before the server starts, as `signpost import people --bulk` does.

use std::time::{Duration, Instant};

use anyhow::Context;
use rayon::prelude::*;
use signpost_mpi::{domain::bulk::Records, onboard::Counts};
use signpost_proto::mpi::v1::RegisterPatientRequest;

use super::sample::ByMember;
use crate::{
    cli::{Bars, Onboarding, READING, ROWS_AT_ONCE},
    config::Config,
};

/// What came of the import.
#[derive(Default)]
pub(super) struct Seeded {
    /// All members together.
    pub(super) counts: Counts,
    /// From the first record to the last key and question; what opens the database comes before.
    pub(super) took: Duration,
}

/// Takes records into the database of a server that does not run yet.
pub(super) async fn fill(config: &Config, seed: ByMember, bars: &Bars) -> anyhow::Result<Seeded> {
    let onboarding = Onboarding::open(config, None).await?;
    let began = Instant::now();
    let records = read(&onboarding, seed, bars)?;
    let all = onboarding.write(&records, bars).await.context("importing the records")?;
    let took = began.elapsed();
    let sum = |pick: fn(&Counts) -> u64| all.values().map(pick).sum();
    let counts = Counts {
        records: sum(|counts| counts.records),
        linked: sum(|counts| counts.linked),
        founded: sum(|counts| counts.founded),
        to_review: sum(|counts| counts.to_review),
        ..Counts::default()
    };
    Ok(Seeded { counts, took })
}

fn read(onboarding: &Onboarding, seed: ByMember, bars: &Bars) -> anyhow::Result<Records> {
    let total = seed.values().map(Vec::len).sum::<usize>() as u64;
    let mut records = Records::default();
    for (member, rows) in seed {
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let one = |row: &RegisterPatientRequest| {
                let demographics = row.demographics.as_ref().context("a record of the sample is empty")?;
                let read = onboarding.read(member, &row.local_id, demographics).map_err(anyhow::Error::msg);
                read.context("a record of the sample was refused")
            };
            for record in rows.par_iter().map(one).collect::<anyhow::Result<Vec<_>>>()? {
                records.push(&record);
            }
            bars.show(READING, records.len() as u64, total);
        }
    }
    Ok(records)
}
