//! What is fed and asked: synthetic people, as a dozen members know them. The same number makes the same sample.

use std::{
    collections::{BTreeMap, HashSet},
    ops::RangeInclusive,
};

use anyhow::ensure;
use jiff::civil::Date;
use signpost_people::synth::{self, Cells};
use signpost_proto::{common::v1::Demographics, mpi::v1::RegisterPatientRequest};

use crate::{cli, pki};

/// What the chances are drawn from.
const SEED: u64 = 1;

/// People beyond those whose records fill the index, at least: what they leave over is asked and registered.
const PEOPLE_MORE: usize = 3_000;

/// The same as a part of the records: a large index is asked about many people, not about a few again and again.
const PART_MORE: usize = 20;

/// Most records that are fed.
const FED_MAX: usize = 20_000;

/// Of so many questions one is about somebody whom the index does not know.
const STRANGER_EVERY: usize = 5;

/// Years of birth that the index takes: slips lead out of them.
const BIRTH_YEARS: RangeInclusive<i16> = 1850..=2025;

/// Whom a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// Somebody of whom the index holds another record.
    Known,
    /// Somebody of whom it holds none.
    Stranger,
}

/// Records of several members.
pub(super) type ByMember = BTreeMap<&'static str, Vec<RegisterPatientRequest>>;

/// Records to fill the index with, and those that are left over.
pub(super) struct Sample {
    /// What fills the index.
    pub(super) seed: ByMember,
    /// New records to feed: as many again, up to a bound.
    pub(super) feed: ByMember,
    /// New records of a member, to register one by one.
    pub(super) later: Vec<(&'static str, RegisterPatientRequest)>,
    known: Vec<Demographics>,
    strangers: Vec<Demographics>,
    members: Vec<&'static str>,
}

impl Sample {
    /// Returns a question; those that follow are other ones, until all were asked.
    pub(super) fn question(&self, at: usize) -> (About, &Demographics) {
        let (round, within) = (at / STRANGER_EVERY, at % STRANGER_EVERY);
        match within.checked_sub(STRANGER_EVERY - 1) {
            Some(_) => (About::Stranger, &self.strangers[round % self.strangers.len()]),
            None => (About::Known, &self.known[(round * (STRANGER_EVERY - 1) + within) % self.known.len()]),
        }
    }

    /// Returns somebody of whom the index holds another record; those that follow are other people, until all were named.
    pub(super) fn known(&self, at: usize) -> &Demographics {
        &self.known[at % self.known.len()]
    }

    /// Returns the members whose records these are.
    pub(super) fn members(&self) -> Vec<pki::NewMember> {
        let member = |id: &&str| pki::NewMember {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
            region: String::new(),
            kind: pki::Kind::Provider,
            endpoint: String::new(),
        };
        self.members.iter().map(member).collect()
    }
}

/// Spreads the records of the population's sources over members.
struct Spread(Vec<&'static str>);

impl Spread {
    /// Over so many members; 0 keeps the sources as they are.
    fn over(members: usize) -> Self {
        // They live as long as the bench.
        let name = |number: usize| -> &'static str { format!("member-{number:03}").leak() };
        Self((1..=members).map(name).collect())
    }

    /// Returns the member of a record, and the local id there: each source stands for several members.
    fn place(&self, record: &synth::Record) -> (&'static str, String) {
        match self.0.len() {
            0 => (record.source, record.mrn.clone()),
            members => {
                let hash = record.mrn.bytes().chain(record.source.bytes());
                let hash = hash.fold(17_usize, |hash, byte| hash.wrapping_mul(31) + usize::from(byte));
                (self.0[hash % members], format!("{}-{}", record.source, record.mrn))
            }
        }
    }
}

/// Makes a sample that fills an index with so many records of so many members; 0 for as many as the population has sources.
pub(super) fn make(records: usize, members: usize) -> anyhow::Result<Sample> {
    let spread = Spread::over(members);
    let fed_most = records.min(FED_MAX);
    // There are more than two records of a person, so that some of everything is left over.
    let people = (records + fed_most) / 2 + PEOPLE_MORE.max(records / PART_MORE);
    let population = synth::generate(synth::Options { people, seed: SEED });
    let (seed, feed) = (ByMember::new(), ByMember::new());
    let mut sample = Sample { seed, feed, later: vec![], known: vec![], strangers: vec![], members: vec![] };
    let (mut seeded, mut fed, mut entities, mut numbers) = (0, 0, HashSet::new(), HashSet::new());
    let mut is_new = false;
    for record in population.records() {
        let Some(demographics) = demographics(&record.cells) else { continue };
        let (source, local_id) = spread.place(&record);
        let first = numbers.insert((source, local_id.clone()));
        let registration = |demographics| RegisterPatientRequest {
            local_id: local_id.clone(),
            demographics: Some(demographics),
            request_id: String::new(),
        };
        if seeded < records {
            if first {
                seeded += 1;
                entities.insert(record.entity);
                sample.seed.entry(source).or_default().push(registration(demographics));
            }
            continue;
        }
        let is_member = sample.seed.contains_key(source);
        if fed < fed_most {
            if first && is_member {
                fed += 1;
                entities.insert(record.entity);
                sample.feed.entry(source).or_default().push(registration(demographics));
            }
            continue;
        }
        // Every second new record is registered, and the others are asked about.
        is_new = !is_new;
        if first && is_new && is_member {
            sample.later.push((source, registration(demographics)));
        } else if is_askable(&demographics) {
            let known = entities.contains(&record.entity);
            if known { &mut sample.known } else { &mut sample.strangers }.push(demographics);
        }
    }
    let enough = !sample.later.is_empty() && !sample.known.is_empty() && !sample.strangers.is_empty();
    ensure!(
        seeded == records && fed == fed_most && enough,
        "the synthetic population is too small for {records} records"
    );
    sample.members = sample.seed.keys().copied().collect();
    Ok(sample)
}

/// Returns what a source wrote down, as it would send it; `None` when the index would not take it.
fn demographics(cells: &Cells) -> Option<Demographics> {
    let born: Option<Date> = cells.birth_date.parse().ok();
    let birth_date =
        if born.is_some_and(|date| BIRTH_YEARS.contains(&date.year())) { &cells.birth_date } else { "" };
    let cell = |column: &str| match column {
        "given" => &cells.given,
        "middle" => &cells.middle,
        "family" => &cells.family,
        "suffix" => &cells.suffix,
        "birth_date" => birth_date,
        "sex" => &cells.sex,
        "address" => &cells.address,
        "city" => &cells.city,
        "state" => &cells.state,
        "postcode" => &cells.postcode,
        "phone" => &cells.phone,
        "email" => &cells.email,
        "national_id" => &cells.national_id,
        _ => "",
    };
    cli::demographics(cell).filter(|found| !found.names.is_empty())
}

/// True when the index would answer: it wants one attribute besides the name.
fn is_askable(demographics: &Demographics) -> bool {
    let Demographics { birth_date, addresses, phones, emails, identifiers, .. } = demographics;
    let lists = addresses.len() + phones.len() + emails.len() + identifiers.len();
    !birth_date.is_empty() || lists > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_as_large_as_asked_for_and_leaves_enough_over() {
        for records in [100, 5_000] {
            let sample = make(records, 0).unwrap();
            for part in [&sample.seed, &sample.feed] {
                assert_eq!(part.values().map(Vec::len).sum::<usize>(), records);
            }
            let left = [sample.later.len(), sample.known.len(), sample.strangers.len()];
            assert!(left.iter().all(|count| *count >= 50), "{records}: {left:?}");
            assert!(sample.members.len() >= 4);
        }
    }

    #[test]
    fn records_are_spread_over_as_many_members_as_wanted() {
        let sample = make(5_000, 20).unwrap();
        assert_eq!(sample.members.len(), 20);
        let sizes = sample.seed.values().map(Vec::len);
        assert!(sizes.clone().min().unwrap() * 2 > sizes.max().unwrap());
    }

    #[test]
    fn one_question_of_five_is_about_a_stranger_and_none_comes_twice_at_once() {
        let sample = make(100, 0).unwrap();
        let asked: Vec<_> = (0..50).map(|at| sample.question(at)).collect();
        assert_eq!(asked.iter().filter(|(about, _)| *about == About::Stranger).count(), 10);
        let mut bytes: Vec<_> = asked.iter().map(|(_, question)| prost_text(question)).collect();
        bytes.sort();
        bytes.dedup();
        assert!(bytes.len() > 45, "{}", bytes.len());
    }

    fn prost_text(question: &Demographics) -> String {
        let names = question.names.iter().flat_map(|name| name.given.iter().chain([&name.family]));
        names.chain([&question.birth_date]).chain(&question.phones).cloned().collect::<Vec<_>>().join(" ")
    }
}
