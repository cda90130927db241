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
    bulk::{self, Blocked, Corpus, Linked},
    decide::Thresholds,
    model::{self, Model, Placeholders},
};

use crate::{
    output::{self, Output},
    problems::Problems,
    read::{self, Ids, Input, People, without_placeholders},
    reviews::{self, Reviews},
    write::{self, Decision},
};

/// Fewest records that a model can be learnt from.
const RECORDS_MIN: usize = 2;

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
    let mut out = Output::create(job.model)?;
    out.write_all(json.as_bytes()).map_err(output::Error::writing(job.model))?;
    publish(vec![out], &mut found.problems)?;
    Ok(Trained { found, model })
}

/// Links records to persons.
///
/// # Errors
/// When a file cannot be read or written.
pub fn link(job: &Link<'_>, progress: Progress<'_>) -> Result<Summary, Error> {
    let read_too = [("--model", job.model), ("--reviews", job.reviews)];
    check(&job.records, &read_too, &[("--out", Some(job.out)), ("--pairs", job.pairs)])?;
    let known = job.model.map(load).transpose()?;
    let (People { corpus, ids }, mut found) = read(&job.records, progress)?;
    let reviews = job.reviews.map(|file| read_reviews(file, &ids, &mut found.problems)).transpose()?;
    let reviews = reviews.unwrap_or_default();
    let (corpus, placeholders) =
        without_placeholders(corpus, known.as_ref().map(|model| &model.placeholders));
    let blocked = block(&corpus, progress);
    let model = match known {
        Some(model) => model.for_population(corpus.len() as u64),
        None if corpus.len() < RECORDS_MIN => Model::default(),
        None => learn(&corpus, &blocked, placeholders, job.seed, progress),
    };
    let pairs_compared = blocked.len() as u64;
    let linked = persons(&corpus, blocked, &model, &reviews, progress);
    drop(corpus);
    let mut outputs = vec![Output::create(job.out)?];
    outputs.extend(job.pairs.map(Output::create).transpose()?);
    write(&mut outputs, &ids, &linked, progress)?;
    publish(outputs, &mut found.problems)?;
    let is_first = |(record, person): &(usize, &u32)| *record == **person as usize;
    Ok(Summary {
        found,
        persons: linked.persons.iter().enumerate().filter(is_first).count() as u64,
        pairs_compared,
        pairs_decided: decided(&linked),
        reviews: reviews.decided.len(),
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

fn read_reviews(path: &Path, ids: &Ids, problems: &mut Problems) -> Result<Reviews, Error> {
    Ok(reviews::read(&path.display().to_string(), open(path)?, ids, problems)?)
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

/// Makes persons. What blocking found is of no use afterwards and gives its memory back.
fn persons(
    corpus: &Corpus,
    blocked: Blocked,
    model: &Model,
    reviews: &Reviews,
    progress: Progress<'_>,
) -> Linked {
    progress(Step::Link, 0, 0);
    bulk::link(corpus, &blocked, model, Thresholds::default(), &reviews.constraints())
}

/// Writes links and, when there is a second file, pairs.
fn write(outputs: &mut [Output], ids: &Ids, linked: &Linked, progress: Progress<'_>) -> Result<(), Error> {
    let pairs = if outputs.len() > 1 { linked.pairs.len() } else { 0 };
    let total = (linked.persons.len() + pairs) as u64;
    let mut done = 0;
    progress(Step::Write, done, total);
    let mut more = |rows| {
        done += rows;
        progress(Step::Write, done, total);
    };
    for (place, output) in outputs.iter_mut().enumerate() {
        let path = output.path().to_owned();
        let written = match place {
            0 => write::links(output, ids, &linked.persons, &mut more),
            _ => write::pairs(output, ids, linked, &mut more),
        };
        written.map_err(output::Error::writing(&path))?;
    }
    Ok(())
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
