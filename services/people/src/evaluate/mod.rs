//! Measures links against a known truth.
//!
//! Given which person each record was linked to, and which entity (real person) it truly belongs to, this module
//! tells how good the links are; given the scored pairs too, how well the scores separate true pairs from false
//! ones and whether a stated probability can be believed; given relations (twins, parent and child), how often the
//! related are taken for one. Everything comes from counts: no step looks at all pairs of records.
//!
//! Invariants: the order of rows and columns changes nothing; a record the truth does not know is an error; a record
//! of the truth without a link is a person of its own. Where a precision or recall would be 0/0 it is 1: nothing was
//! claimed wrongly, nothing was missed. Nothing here links records, and no error names a record or a person.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use serde::Serialize;

mod calibration;
mod chart;
mod contingency;
mod error;
mod links;
mod pairs;
mod read;
mod relations;
mod rows;
mod table;

#[cfg(test)]
mod tests;

pub use self::{
    calibration::{Bin, Calibration, StatedHigh},
    error::{Error, Problem},
    links::LinkMeasures,
    pairs::{DecisionMeasures, PairMeasures, Point, RecallAtPrecision},
    relations::{KindMeasures, RelationMeasures},
    rows::Source,
};
use self::{contingency::Contingency, pairs::Pairs};

/// The files to evaluate.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Links: `record_id,person_id`, one row a record.
    pub links: &'a Path,
    /// Scored pairs: `record_id_l,record_id_r,probability,decision`.
    pub pairs: Option<&'a Path>,
    /// The truth: `record_id,entity_id`, one row a record.
    pub truth: &'a Path,
    /// Relations between entities: `entity_a,entity_b,relation`.
    pub relations: Option<&'a Path>,
}

/// The same as [`Inputs`], opened.
#[derive(Clone, Debug)]
pub struct Sources<R> {
    /// Links: `record_id,person_id`, one row a record.
    pub links: Source<R>,
    /// Scored pairs: `record_id_l,record_id_r,probability,decision`.
    pub pairs: Option<Source<R>>,
    /// The truth: `record_id,entity_id`, one row a record.
    pub truth: Source<R>,
    /// Relations between entities: `entity_a,entity_b,relation`.
    pub relations: Option<Source<R>>,
}

/// All that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The links as a clustering of the records.
    pub links: LinkMeasures,
    /// The scored pairs, when they were given.
    pub pairs: Option<PairMeasures>,
    /// What became of related entities, when relations were given.
    pub relations: Option<RelationMeasures>,
}

impl Evaluation {
    /// Returns the measures as aligned plain text.
    pub fn table(&self) -> String {
        self.to_string()
    }

    /// Returns a drawing of the precision-recall curve and the reliability diagram, or an error without pairs.
    pub fn svg(&self) -> Result<String, Error> {
        let pairs = self.pairs.as_ref().ok_or(Error::NothingToDraw)?;
        chart::svg(pairs).map_err(|source| Error::Draw(Box::new(source)))
    }
}

/// Precision, recall and their harmonic mean, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Share of what was claimed that is true.
    pub precision: f64,
    /// Share of what is true that was claimed.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

impl Scores {
    /// Returns the scores for `hits` true claims among `claimed`, where `wanted` are true in all.
    fn from_counts(hits: u64, claimed: u64, wanted: u64) -> Self {
        Self::new(ratio(hits, claimed), ratio(hits, wanted))
    }

    /// Returns the scores with the harmonic mean of the two, which is 0 where both are 0.
    fn new(precision: f64, recall: f64) -> Self {
        let sum = precision + recall;
        let f1 = if sum > 0.0 { (2.0 * precision * recall / sum).min(1.0) } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

/// Reads the files and measures, telling `progress` how many bytes of how many are read.
pub fn evaluate(inputs: Inputs<'_>, progress: &dyn Fn(u64, u64)) -> Result<Evaluation, Error> {
    let failed = |path: &Path, source| Error::Open { file: path.display().to_string(), source };
    let mut bytes_total = 0;
    for path in [Some(inputs.truth), Some(inputs.links), inputs.relations, inputs.pairs].into_iter().flatten()
    {
        bytes_total += fs::metadata(path).map_err(|source| failed(path, source))?.len();
    }
    let meter = Meter { bytes_done: Cell::new(0), bytes_total, progress };
    let open = |path: &Path| -> Result<Source<Metered<'_>>, Error> {
        let file = File::open(path).map_err(|source| failed(path, source))?;
        Ok(Source { name: path.display().to_string(), reader: Metered { file, meter: &meter } })
    };
    evaluate_sources(Sources {
        links: open(inputs.links)?,
        pairs: inputs.pairs.map(open).transpose()?,
        truth: open(inputs.truth)?,
        relations: inputs.relations.map(open).transpose()?,
    })
}

/// Reads the open sources and measures.
pub fn evaluate_sources<R: Read>(sources: Sources<R>) -> Result<Evaluation, Error> {
    let truth = read::truth(sources.truth)?;
    let links = read::links(sources.links, &truth)?;
    let relations = sources.relations.map(|source| read::relations(source, &truth)).transpose()?;
    let pairs = sources.pairs.map(|source| read::pairs(source, &truth).map(Pairs::new)).transpose()?;

    let counts = Contingency::new(&links.person_of, &truth.entity_of);
    let relation_measures = relations.map(|relations| {
        let scored = pairs.as_ref().map(|pairs| relations::scored_high(pairs, &truth.entity_of));
        relations::measure(&relations, &counts, scored.as_deref())
    });
    Ok(Evaluation {
        links: links::measure(&counts, links.records_unlinked),
        pairs: pairs.map(|pairs| pairs::measure(&pairs, counts.pairs_true())),
        relations: relation_measures,
    })
}

/// Returns `part` of `whole`, and 1 where there is no whole.
fn ratio(part: u64, whole: u64) -> f64 {
    share(part, whole).unwrap_or(1.0)
}

/// Returns `part` of `whole`, and nothing where there is no whole.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// How far the reading of all files is.
struct Meter<'a> {
    bytes_done: Cell<u64>,
    bytes_total: u64,
    progress: &'a dyn Fn(u64, u64),
}

/// A file that reports what is read of it.
struct Metered<'a> {
    file: File,
    meter: &'a Meter<'a>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        let done = self.meter.bytes_done.get() + bytes as u64;
        self.meter.bytes_done.set(done);
        (self.meter.progress)(done, self.meter.bytes_total);
        Ok(bytes)
    }
}
