//! Onboarding: files of people of all members into the database of the index, in one go.

use std::{collections::BTreeMap, fs::File, path::Path, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use csv::StringRecord;
use jiff::Timestamp;
use rayon::prelude::*;
use signpost_common::{
    clock,
    id::MemberId,
    rows::{Row, Rows},
};
use signpost_linkage::Model;
use signpost_mpi::{
    domain::{Incoming, Index, bulk::Records},
    onboard::{self, Counts, Options, Step},
    store::{self, Store},
};
use signpost_people::{
    job::Found,
    output::{self, Output},
    problems::{Loss, Problem, Problems},
};
use signpost_proto::common::v1::Demographics;

use super::{bars::Bars, import::Columns, people::report, table};
use crate::{
    config::{Config, Service},
    wiring,
};

/// Rows that are prepared at once.
pub(crate) const ROWS_AT_ONCE: usize = 8192;

/// How rows are counted that name no member.
const NO_MEMBER: &str = "(none)";

/// Takes files into the index.
pub(super) async fn run(
    config: Option<&Path>,
    files: &[PathBuf],
    model: Option<&Path>,
    rejects: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let named: Vec<_> = files.iter().map(|file| ("--bulk", file.as_path())).collect();
    output::check(&named, &rejects.map(|file| ("--rejects", file)).into_iter().collect::<Vec<_>>())?;
    let onboarding = Onboarding::open(&Config::load(config)?, model).await?;
    let bars = Bars::default();
    let mut intake = Intake::begin(&onboarding, rejects)?;
    intake.read_all(files, &|done, total| bars.show(READING, done, total))?;
    let Intake { records, mut found, left, .. } = intake;
    found.records = records.len();
    let counts = onboarding.write(&records, &bars).await;
    let counts = counts.context("writing the records; what was written stays, run the same command again")?;
    let written = found.problems.take_file().context("writing the rejects")?;
    output::publish(written.into_iter().collect())?;
    show(counts, left);
    Ok(report(&found, rejects.is_some()))
}

/// What the bar says while records are read.
pub(crate) const READING: &str = "reading records";

/// The database of the index, open for many records at once, and how they are compared.
pub(crate) struct Onboarding {
    store: Box<dyn Store>,
    index: Index,
    model: Model,
    population: u64,
    now: Timestamp,
}

impl Onboarding {
    /// Opens the database that the configuration names. Records are linked by the model that decides there, unless another is
    /// named.
    pub(crate) async fn open(config: &Config, model: Option<&Path>) -> anyhow::Result<Self> {
        let matching = wiring::matching(&config.matching)?;
        let chosen = model.map(wiring::model).transpose()?;
        let now = clock::system().now();
        let location = config.location(Service::Mpi)?;
        let store = store::open(&location, wiring::sealing(config)?, now.as_microsecond());
        let store = store.await.context("opening the database of mpi")?;
        let index = Index::new(wiring::blinder(&config.blinding_key)?, matching);
        let index = onboard::engine(store.as_ref(), index, now.as_microsecond()).await;
        let index = index.context("reading which model decides")?;
        let model = chosen.unwrap_or_else(|| index.model.clone());
        Ok(Self { store, index, model, population: config.matching.population, now })
    }

    /// Reads a record, or says what is wrong with it.
    pub(crate) fn read(
        &self,
        member: &str,
        local: &str,
        demographics: &Demographics,
    ) -> Result<Incoming, String> {
        onboard::read(&self.index, member, local, demographics, self.now)
    }

    /// Takes records into the index and returns what became of them, by member.
    pub(crate) async fn write(
        &self,
        records: &Records,
        bars: &Bars,
    ) -> Result<BTreeMap<String, Counts>, store::Error> {
        // Among more records a chance agreement is likelier.
        let model = self.model.clone().for_population(self.population.max(records.len() as u64));
        let options = Options::new(&model, self.now.as_microsecond());
        let progress = |step, done, total| bars.show(name(step), done, total);
        let done = onboard::run(self.store.as_ref(), &self.index, records, options, &progress).await;
        bars.end();
        done
    }
}

/// Records as they are read, and what could not be.
struct Intake<'a> {
    onboarding: &'a Onboarding,
    records: Records,
    found: Found,
    /// Rows of each member that were left out, and that a later row overrules.
    left: BTreeMap<String, [u64; 2]>,
}

impl<'a> Intake<'a> {
    fn begin(onboarding: &'a Onboarding, rejects: Option<&Path>) -> anyhow::Result<Self> {
        let problems = match rejects {
            None => Problems::default(),
            Some(path) => Problems::written_to(Output::create(path)?).context("writing the rejects")?,
        };
        let found = Found { problems, ..Found::default() };
        Ok(Self { onboarding, records: Records::default(), found, left: BTreeMap::new() })
    }

    /// Reads files one after another; all headers first, so that what is wrong with one is known at once.
    fn read_all(&mut self, files: &[PathBuf], progress: &dyn Fn(u64, u64)) -> anyhow::Result<()> {
        let mut inputs = vec![];
        let mut total = 0;
        for path in files {
            let reading = || format!("reading {}", path.display());
            let file = File::open(path).with_context(reading)?;
            total += file.metadata().with_context(reading)?.len();
            let mut rows = Rows::new(file);
            let header = rows.next_row().with_context(reading)?.and_then(|row| row.cells.ok());
            let header = header.unwrap_or_default();
            let columns = Columns::of_all_members(&header).with_context(reading)?;
            let name: Arc<str> = path.display().to_string().into();
            let ignored = Columns::unknown(&header).map(|column| (name.to_string(), column.to_owned()));
            self.found.columns_ignored.extend(ignored);
            inputs.push((name, rows, columns));
        }
        let mut before = 0;
        for (name, mut rows, columns) in inputs {
            let mut end = 0;
            loop {
                let mut batch = Vec::with_capacity(ROWS_AT_ONCE);
                while batch.len() < ROWS_AT_ONCE
                    && let Some(row) = rows.next_row().with_context(|| format!("reading {name}"))?
                {
                    batch.push(row);
                }
                let Some(last) = batch.last() else { break };
                end = last.end;
                self.take_in(&name, batch, &columns).context("writing the rejects")?;
                progress(before + end, total);
            }
            before += end;
        }
        Ok(())
    }

    fn take_in(&mut self, file: &Arc<str>, rows: Vec<Row>, columns: &Columns) -> std::io::Result<()> {
        let onboarding = self.onboarding;
        let read = |Row { line, end: _, cells }: Row| match cells {
            Ok(cells) => (line, columns.source(&cells).to_owned(), one(onboarding, columns, line, &cells)),
            Err(reason) => (line, String::new(), Err(reason.to_owned())),
        };
        let read: Vec<_> = rows.into_par_iter().map(read).collect();
        for (line, member, record) in read {
            let is_new = record.map(|record| self.records.push(&record));
            if is_new == Ok(true) {
                continue;
            }
            let member = if member.parse::<MemberId>().is_ok() { member } else { NO_MEMBER.to_owned() };
            let [rejected, overruled] = self.left.entry(member).or_default();
            let Err(reason) = is_new else {
                *overruled += 1;
                continue;
            };
            *rejected += 1;
            self.found.problems.add(Problem { file: file.clone(), line, reason, loss: Loss::Row })?;
        }
        Ok(())
    }
}

/// Reads a row, or says why it is none.
fn one(
    onboarding: &Onboarding,
    columns: &Columns,
    line: u64,
    cells: &StringRecord,
) -> Result<Incoming, String> {
    let record = columns.record(line, cells).map_err(|reject| reject.reason())?;
    onboarding.read(columns.source(cells), &record.local_id, &record.demographics.unwrap_or_default())
}

fn show(counts: BTreeMap<String, Counts>, left: BTreeMap<String, [u64; 2]>) {
    let mut all: BTreeMap<String, (Counts, [u64; 2])> =
        counts.into_iter().map(|(member, counts)| (member, (counts, [0; 2]))).collect();
    for (member, left) in left {
        all.entry(member).or_default().1 = left;
    }
    let header = ["member", "records", "linked", "persons founded", "to review", "unchanged", "updated"];
    let mut rows = table(&[&header[..], &["rejected", "overruled"]].concat());
    let mut sum = [0; 8];
    for (member, (counts, [rejected, overruled])) in all {
        let Counts { records, linked, founded, to_review, unchanged, updated } = counts;
        let numbers = [records, linked, founded, to_review, unchanged, updated, rejected, overruled];
        sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        rows.add_row([member].into_iter().chain(numbers.map(|number| number.to_string())));
    }
    rows.add_row(["all".to_owned()].into_iter().chain(sum.map(|number| number.to_string())));
    println!("{rows}");
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Known => "reading what is stored",
        Step::Block => "finding pairs",
        Step::Link => "linking",
        Step::Write => "writing records",
        Step::Index => "writing keys",
        Step::Finish => "opening questions",
    }
}
