//! Reports: pages that a data steward can read in a browser, without a script and without anything from elsewhere. This one
//! is of a linking job; [`changes`] tells what a model would change.
//!
//! No patient data is on them: ids of records, levels of agreement and counts, never a value.

pub mod changes;
mod plot;
mod reasons;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use askama::Template;
use signpost_linkage::{
    bulk::{Corpus, Linked, Pair, PassCount},
    decide::Thresholds,
    explain::explain,
    model::{Component, Model, Placeholders},
    pattern::Field,
};

pub use self::reasons::Reason;
use self::reasons::reason;
use crate::{job::Found, read::Ids, write::Decision};

/// Examples of each reason.
const SAMPLES: usize = 3;

/// Largest persons that are named.
const LARGEST: usize = 5;

/// Sizes of persons: last size of each row.
const SIZES: [usize; 9] = [1, 2, 3, 4, 5, 10, 20, 50, usize::MAX];

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plot could not be drawn.
    #[error("drawing the plot of the report")]
    Draw(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The page could not be written.
    #[error("writing the report")]
    Page(#[from] askama::Error),
}

/// What a report tells of.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Names of the files that were read.
    pub files: &'a [String],
    /// What was read.
    pub found: &'a Found,
    /// The records, without placeholders.
    pub corpus: &'a Corpus,
    /// Their ids.
    pub ids: &'a Ids,
    /// The model that decided, with the placeholders that were taken out.
    pub model: &'a Model,
    /// What blocking did.
    pub passes: &'a [PassCount],
    /// Pairs that were compared.
    pub pairs_compared: u64,
    /// What linking found.
    pub linked: &'a Linked,
    /// Decisions of stewards that were obeyed.
    pub reviews: usize,
}

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    facts: Facts<'a>,
    version: &'static str,
    persons: u64,
    sizes: Vec<(String, u64, u64)>,
    largest: Vec<(&'a str, u64)>,
    decided: [u64; 3],
    rates: Vec<(&'static str, String)>,
    placeholders: [(&'static str, u64); 5],
    plot: String,
    reasons: Vec<Because<'a>>,
}

/// A reason for review, with examples.
struct Because<'a> {
    reason: Reason,
    count: u64,
    share: String,
    samples: Vec<Sample<'a>>,
}

/// A pair as an example.
struct Sample<'a> {
    left: &'a str,
    right: &'a str,
    probability: String,
    alone: String,
    rows: Vec<(&'static str, &'static str, String)>,
    svg: String,
}

/// Returns the report as HTML.
///
/// # Errors
/// When the plot cannot be drawn.
pub fn html(facts: Facts<'_>) -> Result<String, Error> {
    let persons = persons(facts.linked);
    let page = Page {
        facts,
        version: env!("CARGO_PKG_VERSION"),
        persons: persons.len() as u64,
        sizes: sizes(&persons),
        largest: largest(&persons, facts.ids),
        decided: decided(facts.linked),
        rates: rates(facts.model),
        placeholders: placeholders(&facts.model.placeholders),
        plot: plot::svg(facts.linked).map_err(|source| Error::Draw(Box::new(source)))?,
        reasons: because(facts),
    };
    Ok(page.render()?)
}

/// Records of each person.
fn persons(linked: &Linked) -> Vec<(u32, u64)> {
    let mut counts: Vec<u64> = vec![0; linked.persons.len()];
    linked.persons.iter().for_each(|person| counts[*person as usize] += 1);
    (0..).zip(counts).filter(|(_, records)| *records > 0).collect()
}

/// How many persons have how many records: size, persons, records.
fn sizes(persons: &[(u32, u64)]) -> Vec<(String, u64, u64)> {
    let mut rows = vec![];
    let mut from = 1;
    for to in SIZES {
        let inside = persons.iter().filter(|(_, size)| (from..=to).contains(&(*size as usize)));
        let (count, records) = inside.fold((0, 0), |(count, records), (_, size)| (count + 1, records + size));
        let name = match to {
            usize::MAX => format!("{from} or more"),
            _ if from == to => from.to_string(),
            _ => format!("{from} to {to}"),
        };
        if count > 0 {
            rows.push((name, count, records));
        }
        from = to.saturating_add(1);
    }
    rows
}

/// The persons with most records: an id of one of them, records.
fn largest<'a>(persons: &[(u32, u64)], ids: &'a Ids) -> Vec<(&'a str, u64)> {
    let mut large: Vec<_> = persons.iter().filter(|(_, size)| *size > 1).collect();
    large.sort_unstable_by_key(|(person, size)| (std::cmp::Reverse(*size), *person));
    large.into_iter().take(LARGEST).map(|(person, size)| (&*ids[*person as usize], *size)).collect()
}

fn decided(linked: &Linked) -> [u64; 3] {
    let mut counts = [0; 3];
    linked.pairs.iter().for_each(|pair| counts[Decision::of(pair, &linked.persons) as usize] += 1);
    counts
}

/// Expected pairs for a thousand records, by what the two are to one another.
fn rates(model: &Model) -> Vec<(&'static str, String)> {
    let words = |component| match component {
        Component::Same => "records of one person",
        Component::Household => "members of one household",
        Component::Twin => "twins",
        Component::Namesake => "parent and child of one name",
        Component::Unrelated => "strangers",
    };
    let rates = Component::ALL.into_iter().zip(model.rates);
    rates.map(|(component, rate)| (words(component), format!("{:.1}", rate * 1000.0))).collect()
}

fn placeholders(found: &Placeholders) -> [(&'static str, u64); 5] {
    let Placeholders { phones, emails, identifiers, addresses, birth_dates } = found;
    [
        ("phone numbers", phones.len() as u64),
        ("e-mail addresses", emails.len() as u64),
        ("identifiers", identifiers.len() as u64),
        ("addresses", addresses.len() as u64),
        ("birth dates", birth_dates.len() as u64),
    ]
}

/// The reasons for review, the most common one first, with examples.
fn because(facts: Facts<'_>) -> Vec<Because<'_>> {
    let review = |pair: &&Pair| Decision::of(pair, &facts.linked.persons) == Decision::Review;
    let mut by_reason: BTreeMap<Reason, Vec<&Pair>> = BTreeMap::new();
    for pair in facts.linked.pairs.iter().filter(review) {
        by_reason.entry(reason(pair)).or_default().push(pair);
    }
    let total: usize = by_reason.values().map(Vec::len).sum();
    let mut reasons: Vec<_> = by_reason
        .into_iter()
        .map(|(reason, mut pairs)| Because {
            reason,
            count: pairs.len() as u64,
            share: format!("{:.1} %", 100.0 * pairs.len() as f64 / total as f64),
            samples: chosen(&mut pairs).map(|pair| sample(facts, pair)).collect(),
        })
        .collect();
    reasons.sort_by_key(|because| (std::cmp::Reverse(because.count), because.reason));
    reasons
}

/// Chooses the most probable pair, the least probable one and the one between.
fn chosen<'a>(pairs: &mut [&'a Pair]) -> impl Iterator<Item = &'a Pair> {
    pairs.sort_by(|a, b| b.bits.total_cmp(&a.bits));
    let last = pairs.len() - 1;
    let mut places: Vec<usize> = (0..SAMPLES).map(|sample| last * sample / (SAMPLES - 1)).collect();
    places.dedup();
    places.into_iter().map(|place| pairs[place])
}

fn sample<'a>(facts: Facts<'a>, pair: &Pair) -> Sample<'a> {
    let (a, b) = (facts.corpus.view(pair.a), facts.corpus.view(pair.b));
    let explanation = explain(facts.model, Thresholds::default(), a, b);
    let mut rows = vec![("prior", "", bits(explanation.prior_bits))];
    for part in &explanation.fields {
        rows.push((Field::name(part.field), part.level, bits(part.bits)));
        if part.frequency_bits != 0.0 {
            rows.push(("", "how frequent the value is", bits(part.frequency_bits)));
        }
    }
    if explanation.calibration_bits != 0.0 {
        rows.push(("calibration", "", bits(explanation.calibration_bits)));
    }
    rows.push(("weight", "", bits(explanation.bits)));
    Sample {
        left: &facts.ids[pair.a as usize],
        right: &facts.ids[pair.b as usize],
        probability: format!("{:.6}", pair.probability()),
        alone: format!("{:.6}", explanation.probability),
        rows,
        svg: explanation.svg(),
    }
}

fn bits(bits: f64) -> String {
    format!("{bits:+.1}")
}

/// What the page writes in a way of its own.
#[expect(unreachable_pub, reason = "the macro writes public items")]
mod filters {
    use std::fmt::Display;

    /// Writes a number with a thin space between thousands.
    #[askama::filter_fn]
    pub(super) fn grouped(number: impl Display, _: &dyn askama::Values) -> askama::Result<String> {
        let digits = number.to_string();
        let group = |(place, digit): (usize, char)| {
            let space = place > 0 && (digits.len() - place).is_multiple_of(3);
            space.then_some('\u{202f}').into_iter().chain([digit])
        };
        Ok(digits.chars().enumerate().flat_map(group).collect())
    }
}
