//! People: bulk work on files, without a server: synthesise, train, link, evaluate.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};
use signpost_linkage::Region;
use signpost_people::{
    columns::Renamed,
    evaluate,
    job::{self, Found, Step},
    output,
    problems::{Loss, Problems},
    read, synth,
};

use super::{bars::Bars, table};

#[derive(Debug, Subcommand)]
pub(super) enum People {
    /// Make synthetic people, the records that a dozen sources keep of them, and the truth
    ///
    /// Writes records.csv, truth.csv (record_id,entity_id) and relations.csv (entity_a,entity_b,relation).
    Synth(Synth),
    /// Learn a model from records, without labels
    Train(Train),
    /// Link records to persons
    ///
    /// Exit code 1 says that rows were left out; everything else was linked and written.
    Link(Link),
    /// Measure links against the truth
    Evaluate(Evaluate),
}

#[derive(Debug, Args)]
pub(super) struct Synth {
    /// About how many people
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=PEOPLE_MAX))]
    people: u32,
    /// What the chances are drawn from: the same seed makes the same files
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// Folder to write to; it is made when it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Most synthetic people.
const PEOPLE_MAX: i64 = 20_000_000;

#[derive(Debug, Args)]
struct Records {
    /// CSV file of records; may be given several times
    ///
    /// The header names columns, in any order: record_id (needed), source, mrn, recorded_on, given, middle, family,
    /// suffix, birth_date (YYYY-MM-DD), sex, address, city, state, postcode, phone, email, national_id. Several values
    /// in one cell are split by `|`. Columns that are not known are named and not read.
    #[arg(long = "input", required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Take a column of the files for one of ours, as given=first_name; may be given several times
    ///
    /// Several columns for one are joined by a space, as in --map address=street_number --map address=street.
    #[arg(long = "map", value_name = "COLUMN=NAME")]
    renamed: Vec<Renamed>,
    /// Country of phone numbers that name none, two letters
    #[arg(long, default_value = "US", value_parser = read::parse_region)]
    region: Region,
    /// Write everything that could not be used to this CSV file: file, line, reason
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Train {
    #[command(flatten)]
    records: Records,
    /// Where to write the model, JSON
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// What pairs are drawn by: the same seed and records make the same model
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct Link {
    #[command(flatten)]
    records: Records,
    /// Model that `train` wrote; without it one is learnt from the records first
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// What pairs are drawn by when a model is learnt; not used with --model
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// Where to write record_id,person_id; one row a record
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to write record_id_l,record_id_r,probability,decision; one row a pair of at least 0.01
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// CSV file of what stewards decided: record_id_l,record_id_r,decision, which is link or apart
    #[arg(long, value_name = "FILE")]
    reviews: Option<PathBuf>,
    /// Write a report for a data steward, one HTML page without patient data
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// Links: record_id,person_id
    #[arg(long, value_name = "FILE")]
    links: PathBuf,
    /// Scored pairs: record_id_l,record_id_r,probability,decision
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// The truth: record_id,entity_id
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Relations between entities: entity_a,entity_b,relation
    #[arg(long, value_name = "FILE")]
    relations: Option<PathBuf>,
    /// Write the measures to this file as JSON; `-` prints them in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the precision-recall curve and the reliability of probabilities to this SVG file
    #[arg(long, value_name = "FILE", requires = "pairs")]
    svg: Option<PathBuf>,
}

impl People {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Synth(synth) => synth.run(),
            Self::Train(train) => train.run(),
            Self::Link(link) => link.run(),
            Self::Evaluate(evaluate) => evaluate.run(),
        }
    }
}

impl Synth {
    fn run(self) -> anyhow::Result<ExitCode> {
        let folder = self.out.display();
        std::fs::create_dir_all(&self.out).with_context(|| format!("making the folder {folder}"))?;
        let options = synth::Options { people: self.people as usize, seed: self.seed };
        let bars = Bars::default();
        let progress = |done, total| bars.show("writing records", done, total);
        let written = synth::write(options, &self.out, &progress);
        bars.end();
        let summary = written.with_context(|| format!("in {folder}"))?;
        let counts = [("entities", summary.entities), ("records", summary.records)];
        let relations = synth::Relation::ALL.map(synth::Relation::as_str).into_iter().zip(summary.relations);
        let (header, counts): (Vec<&str>, Vec<u64>) = counts.into_iter().chain(relations).unzip();
        let mut rows = table(&header);
        rows.add_row(counts);
        println!("{rows}");
        Ok(ExitCode::SUCCESS)
    }
}

impl Records {
    fn options(&self) -> read::Options {
        read::Options { renamed: self.renamed.clone(), region: self.region }
    }

    fn job<'a>(&'a self, options: &'a read::Options) -> job::Records<'a> {
        job::Records { inputs: &self.inputs, options, rejects: self.rejects.as_deref() }
    }

    fn report(&self, found: &Found) -> ExitCode {
        report(found, self.rejects.is_some())
    }
}

/// Shows what in the files could not be used. Rows that were left out fail the command.
pub(super) fn report(found: &Found, is_written: bool) -> ExitCode {
    for (file, column) in &found.columns_ignored {
        eprintln!("{file}: the column {column} is not known and not read");
    }
    let problems = &found.problems;
    for problem in &problems.first {
        let cost = match problem.loss {
            Loss::Row => "the row is left out",
            Loss::Cell => "the cell counts as missing",
            Loss::Overruled => "the row does not count",
        };
        eprintln!("{}, line {}: {}; {cost}", problem.file, problem.line, problem.reason);
    }
    let Problems { rows_lost, cells_lost, rows_overruled, .. } = problems;
    if problems.len() > problems.first.len() as u64 {
        let hint = if !is_written { "; --rejects FILE writes them all" } else { "" };
        eprintln!("and {} more{hint}", problems.len() - problems.first.len() as u64);
    }
    if !problems.is_empty() {
        eprintln!(
            "{rows_lost} rows left out, {cells_lost} cells not readable, {rows_overruled} reviews overruled"
        );
    }
    if *rows_lost > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Train {
    fn run(self) -> anyhow::Result<ExitCode> {
        let options = self.records.options();
        let train = job::Train { records: self.records.job(&options), model: &self.model, seed: self.seed };
        let bars = Bars::default();
        let trained = job::train(&train, &|step, done, total| bars.show(name(step), done, total));
        bars.end();
        let job::Trained { found, model } = trained?;
        let facts = &model.facts;
        let header =
            ["model", "records", "pairs", "pairs seen", "random pairs", "patterns", "rounds", "converged"];
        let mut rows = table(&header);
        rows.add_row([
            model.version.clone(),
            facts.records.to_string(),
            facts.pairs.to_string(),
            facts.pairs_sampled.to_string(),
            facts.pairs_random.to_string(),
            facts.patterns.to_string(),
            facts.rounds.to_string(),
            if facts.converged { "yes" } else { "no" }.to_owned(),
        ]);
        println!("{rows}");
        Ok(self.records.report(&found))
    }
}

impl Link {
    fn run(self) -> anyhow::Result<ExitCode> {
        let options = self.records.options();
        let link = job::Link {
            records: self.records.job(&options),
            model: self.model.as_deref(),
            seed: self.seed,
            out: &self.out,
            pairs: self.pairs.as_deref(),
            reviews: self.reviews.as_deref(),
            report: self.report.as_deref(),
        };
        let bars = Bars::default();
        let summary = job::link(&link, &|step, done, total| bars.show(name(step), done, total));
        bars.end();
        let job::Summary { found, persons, pairs_compared, pairs_decided, reviews } = summary?;
        let [linked, review, apart] = pairs_decided;
        let mut rows = table(&[
            "records",
            "persons",
            "pairs compared",
            "linked",
            "to review",
            "apart",
            "reviews obeyed",
        ]);
        rows.add_row([found.records as u64, persons, pairs_compared, linked, review, apart, reviews as u64]);
        println!("{rows}");
        Ok(self.records.report(&found))
    }
}

impl Evaluate {
    fn run(self) -> anyhow::Result<ExitCode> {
        let prints_json = self.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
        let json = self.json.as_deref().filter(|_| !prints_json);
        let inputs = evaluate::Inputs {
            links: &self.links,
            pairs: self.pairs.as_deref(),
            truth: &self.truth,
            relations: self.relations.as_deref(),
        };
        let read = [("--links", Some(inputs.links)), ("--truth", Some(inputs.truth))];
        let read = read.into_iter().chain([("--pairs", inputs.pairs), ("--relations", inputs.relations)]);
        let written = [("--json", json), ("--svg", self.svg.as_deref())];
        output::check(&named(read), &named(written))?;
        let bars = Bars::default();
        let measured = evaluate::evaluate(inputs, &|done, total| bars.show("reading", done, total));
        bars.end();
        let measured = measured?;
        let text = serde_json::to_string_pretty(&measured)? + "\n";
        if let Some(path) = json {
            output::write(path, &text)?;
        }
        if let Some(path) = &self.svg {
            output::write(path, &measured.svg()?)?;
        }
        let shown = if prints_json { text } else { measured.table() };
        std::io::stdout().write_all(shown.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn named<'a, T: ?Sized>(
    files: impl IntoIterator<Item = (&'static str, Option<&'a T>)>,
) -> Vec<(&'static str, &'a T)> {
    files.into_iter().filter_map(|(name, file)| Some((name, file?))).collect()
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Read => "reading records",
        Step::Block => "finding pairs",
        Step::Learn => "learning the model",
        Step::Link => "linking",
        Step::Write => "writing",
    }
}
