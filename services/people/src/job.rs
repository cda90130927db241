//! Jobs on files of people, from the files that are read to those that are written: training a model and linking.
//!
//! Nothing here knows a terminal: how far a job is goes to a callback, what it found is returned. A job that fails
//! leaves every file as it was.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use signpost_linkage::{
    bulk::{self, Blocked, Constraint, Corpus, Linked, PassCount},
    decide::Thresholds,
    model::{self, Model, Placeholders},
};

use crate::{
    output::{self, Output},
    problems::Problems,
    read::{self, Ids, Input, People, without_placeholders},
    report,
    reviews::{self, Reviews},
    write::{self, Decision},
};

/// Fewest records that a model can be learnt from.
const RECORDS_MIN: usize = 2;

/// Fewest records of which `link` learns its own model: what a handful of pairs teaches links strangers, so the shipped model
/// serves files that are smaller.
const LINK_RECORDS_MIN: usize = 100;

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading records; counted in bytes.
    Read,
    /// Finding pairs worth comparing.
    Block,
    /// Learning a model.
    Learn,
    /// Scoring pairs and making persons of them.
    Link,
    /// Writing what was found; counted in rows.
    Write,
}

/// Is told what a job is doing, and how much of it is done, of how much; 0 of 0 when nobody can say.
pub type Progress<'a> = &'a (dyn Fn(Step, u64, u64) + Sync);

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened.
    #[error("opening {}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Records could not be read.
    #[error(transparent)]
    Read(#[from] read::Error),
    /// Reviews could not be read.
    #[error(transparent)]
    Reviews(#[from] reviews::Error),
    /// A model could not be read or written.
    #[error("the model {}", file.display())]
    Model {
        /// The file.
        file: PathBuf,
        /// Why.
        source: model::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// The report could not be made.
    #[error(transparent)]
    Report(#[from] report::Error),
    /// There is next to nothing to learn from.
    #[error("a model cannot be learnt from {0} records; give files with more")]
    TooFew(usize),
}

/// Files of records.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    /// The files, read one after another.
    pub inputs: &'a [PathBuf],
    /// How they are read.
    pub options: &'a read::Options,
    /// File for everything in them that could not be used.
    pub rejects: Option<&'a Path>,
}

/// What reading found, but for the records.
#[derive(Debug, Default)]
pub struct Found {
    /// Records.
    pub records: usize,
    /// What could not be used.
    pub problems: Problems,
    /// Columns that were not used, with the file.
    pub columns_ignored: Vec<(String, String)>,
}

/// Learning a model.
#[derive(Debug, Clone)]
pub struct Train<'a> {
    /// What to learn from.
    pub records: Records<'a>,
    /// Where the model is written.
    pub model: &'a Path,
    /// Seed of what is drawn at random.
    pub seed: u64,
}

/// What training did.
#[derive(Debug)]
pub struct Trained {
    /// What was read.
    pub found: Found,
    /// The model.
    pub model: Model,
}

/// Linking records to persons.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// What to link.
    pub records: Records<'a>,
    /// Model that was trained before; without it one is learnt from the records.
    pub model: Option<&'a Path>,
    /// Seed of what is drawn at random when a model is learnt.
    pub seed: u64,
    /// Where links are written.
    pub out: &'a Path,
    /// Where scored pairs are written.
    pub pairs: Option<&'a Path>,
    /// What stewards decided.
    pub reviews: Option<&'a Path>,
    /// Where the report is written, HTML.
    pub report: Option<&'a Path>,
}

/// What linking did.
#[derive(Debug)]
pub struct Summary {
    /// What was read.
    pub found: Found,
    /// Persons.
    pub persons: u64,
    /// Pairs that were compared.
    pub pairs_compared: u64,
    /// Pairs that were scored high enough to be kept, by decision: link, review, apart.
    pub pairs_decided: [u64; 3],
    /// Decisions of stewards that were obeyed.
    pub reviews: usize,
}

/// Learns a model.
///
/// # Errors
/// When a file cannot be read or written, or there is too little to learn from.
pub fn train(job: &Train<'_>, progress: Progress<'_>) -> Result<Trained, Error> {
    check(&job.records, &[], &[("--model", Some(job.model))])?;
    let (People { corpus, ids }, mut found) = read(&job.records, progress)?;
    drop(ids);
    if corpus.len() < RECORDS_MIN {
        return Err(Error::TooFew(corpus.len()));
    }
    let (corpus, placeholders) = without_placeholders(corpus, None);
    let blocked = block(&corpus, progress);
    let model = learn(&corpus, &blocked, placeholders, job.seed, progress);
    let json = model.to_json().map_err(|source| Error::Model { file: job.model.to_owned(), source })?;
    publish(vec![text_file(job.model, &json)?], &mut found.problems)?;
    Ok(Trained { found, model })
}

/// Links records to persons.
///
/// # Errors
/// When a file cannot be read or written.
pub fn link(job: &Link<'_>, progress: Progress<'_>) -> Result<Summary, Error> {
    let read_too = [("--model", job.model), ("--reviews", job.reviews)];
    let written = [("--out", Some(job.out)), ("--pairs", job.pairs), ("--report", job.report)];
    check(&job.records, &read_too, &written)?;
    let known = job.model.map(load).transpose()?;
    let (People { corpus, ids }, mut found) = read(&job.records, progress)?;
    let reviews = match job.reviews {
        Some(path) => reviews::read(&path.display().to_string(), open(path)?, &ids, &mut found.problems)?,
        None => Reviews::default(),
    };
    let solved = solve(corpus, known, job.seed, &reviews, progress);
    let mut outputs = vec![];
    if let Some(path) = job.report {
        outputs.push(text_file(path, &report(job, &found, &ids, &solved)?)?);
    }
    let Solved { linked, pairs_compared, .. } = solved;
    outputs.extend(rows(job, &ids, &linked, progress)?);
    publish(outputs, &mut found.problems)?;
    let is_first = |(record, person): &(usize, &u32)| *record == **person as usize;
    let persons = linked.persons.iter().enumerate().filter(is_first).count() as u64;
    let pairs_decided = decided(&linked);
    Ok(Summary { found, persons, pairs_compared, pairs_decided, reviews: reviews.decided.len() })
}

/// Persons, and how they were found.
struct Solved {
    corpus: Corpus,
    model: Model,
    passes: Vec<PassCount>,
    pairs_compared: u64,
    linked: Linked,
    reviews: usize,
}

/// Makes persons of records.
fn solve(
    corpus: Corpus,
    known: Option<Model>,
    seed: u64,
    reviews: &Reviews,
    progress: Progress<'_>,
) -> Solved {
    let taken_before = known.as_ref().map(|model| &model.placeholders);
    let (corpus, placeholders) = without_placeholders(corpus, taken_before);
    let blocked = block(&corpus, progress);
    let model = match known {
        Some(mut model) => {
            model.placeholders = placeholders;
            model.for_population(corpus.len() as u64)
        }
        None if corpus.len() < LINK_RECORDS_MIN => Model::default().for_population(corpus.len() as u64),
        None => learn(&corpus, &blocked, placeholders, seed, progress),
    };
    let labels = labels(&corpus, &model, reviews);
    let model = model.calibrated(&labels);
    progress(Step::Link, 0, 0);
    let linked = bulk::link(&corpus, &blocked, &model, Thresholds::default(), &reviews.constraints());
    let pairs_compared = blocked.len() as u64;
    Solved { corpus, model, passes: blocked.passes, pairs_compared, linked, reviews: reviews.decided.len() }
}

/// Returns what people decided, with the weight that the model gives to it.
fn labels(corpus: &Corpus, model: &Model, reviews: &Reviews) -> Vec<(f64, bool)> {
    let label = |(a, b, constraint): &(u32, u32, Constraint)| {
        let bits = model.plain_bits(corpus.view(*a), corpus.view(*b));
        (bits, *constraint == Constraint::MustLink)
    };
    reviews.decided.iter().map(label).collect()
}

fn report(job: &Link<'_>, found: &Found, ids: &Ids, solved: &Solved) -> Result<String, report::Error> {
    let files: Vec<String> = job.records.inputs.iter().map(|path| path.display().to_string()).collect();
    let Solved { corpus, model, passes, pairs_compared, linked, reviews } = solved;
    report::html(report::Facts {
        files: &files,
        found,
        corpus,
        ids,
        model,
        passes,
        pairs_compared: *pairs_compared,
        linked,
        reviews: *reviews,
    })
}

/// Checks the names of all files before any work is done.
fn check(
    records: &Records<'_>,
    read_too: &[(&'static str, Option<&Path>)],
    written: &[(&'static str, Option<&Path>)],
) -> Result<(), Error> {
    let inputs = records.inputs.iter().map(|path| ("--input", path.as_path()));
    fn named<'a>((name, path): &(&'static str, Option<&'a Path>)) -> Option<(&'static str, &'a Path)> {
        Some((*name, (*path)?))
    }
    let read: Vec<_> = inputs.chain(read_too.iter().filter_map(named)).collect();
    let written: Vec<_> = written.iter().chain(&[("--rejects", records.rejects)]).filter_map(named).collect();
    Ok(output::check(&read, &written)?)
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Open { file: path.to_owned(), source })
}

/// Reads all records. The headers of all files are read first, so that what is wrong with one is known at once.
fn read(records: &Records<'_>, progress: Progress<'_>) -> Result<(People, Found), Error> {
    let mut bytes = 0;
    let mut inputs = vec![];
    for path in records.inputs {
        let file = open(path)?;
        bytes += file.metadata().map_or(0, |metadata| metadata.len());
        inputs.push(Input::new(&path.display().to_string(), file, records.options)?);
    }
    let ignored = |input: &Input<File>| {
        let name = input.name.to_string();
        input.header.ignored.iter().map(move |column| (name.clone(), column.clone())).collect::<Vec<_>>()
    };
    let columns_ignored = inputs.iter().flat_map(ignored).collect();
    let mut problems = match records.rejects {
        None => Problems::default(),
        Some(path) => Problems::written_to(Output::create(path)?).map_err(output::Error::writing(path))?,
    };
    progress(Step::Read, 0, bytes);
    let people =
        read::read(inputs, records.options, &mut problems, &|done| progress(Step::Read, done, bytes))?;
    let records = people.corpus.len();
    Ok((people, Found { records, problems, columns_ignored }))
}

fn load(path: &Path) -> Result<Model, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Open { file: path.to_owned(), source })?;
    Model::from_json(&text).map_err(|source| Error::Model { file: path.to_owned(), source })
}

fn block(corpus: &Corpus, progress: Progress<'_>) -> Blocked {
    progress(Step::Block, 0, 0);
    bulk::block(corpus)
}

fn learn(
    corpus: &Corpus,
    blocked: &Blocked,
    placeholders: Placeholders,
    seed: u64,
    progress: Progress<'_>,
) -> Model {
    progress(Step::Learn, 0, 0);
    let version = format!("learnt-{}-{seed}", corpus.len());
    bulk::learn(corpus, blocked, placeholders, &bulk::Options { version, seed })
}

/// Writes links and, when they are asked for, pairs.
fn rows(job: &Link<'_>, ids: &Ids, linked: &Linked, progress: Progress<'_>) -> Result<Vec<Output>, Error> {
    let pairs = job.pairs.map_or(0, |_| linked.pairs.len());
    let total = (linked.persons.len() + pairs) as u64;
    let mut done = 0;
    progress(Step::Write, done, total);
    let mut more = |rows| {
        done += rows;
        progress(Step::Write, done, total);
    };
    let mut links = Output::create(job.out)?;
    write::links(&mut links, ids, &linked.persons, &mut more).map_err(output::Error::writing(job.out))?;
    let mut outputs = vec![links];
    if let Some(path) = job.pairs {
        let mut pairs = Output::create(path)?;
        write::pairs(&mut pairs, ids, linked, &mut more).map_err(output::Error::writing(path))?;
        outputs.push(pairs);
    }
    Ok(outputs)
}

/// Begins a file with a text.
fn text_file(path: &Path, text: &str) -> Result<Output, Error> {
    let mut output = Output::create(path)?;
    output.write_all(text.as_bytes()).map_err(output::Error::writing(path))?;
    Ok(output)
}

/// Counts the pairs by decision.
fn decided(linked: &Linked) -> [u64; 3] {
    let count = |mut counts: [u64; 3], pair: &bulk::Pair| {
        counts[Decision::of(pair, &linked.persons) as usize] += 1;
        counts
    };
    let add = |a: [u64; 3], b: [u64; 3]| std::array::from_fn(|i| a[i] + b[i]);
    linked.pairs.par_iter().fold(|| [0; 3], count).reduce(|| [0; 3], add)
}

/// Gives all files their names, with that of the rejects.
fn publish(mut outputs: Vec<Output>, problems: &mut Problems) -> Result<(), Error> {
    outputs.extend(problems.take_file().map_err(read::Error::Rejects)?);
    Ok(output::publish(outputs)?)
}

#[cfg(test)]
mod tests;
