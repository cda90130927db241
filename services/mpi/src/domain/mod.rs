//! What the index decides, apart from where it keeps it.

use std::collections::BTreeMap;

use signpost_common::{
    hash::Blinder,
    id::{PersonId, RecordRef},
};
use signpost_linkage::{
    Model, Packed, Record, Region, View,
    block::{self, Pass},
    decide::{self, Candidate, Decision, Stop, Thresholds},
    model::probability,
    prepare,
};

pub mod bulk;
pub mod join;
pub mod retrain;

use join::{Join, Whole};

/// Most candidates that are scored for one record. When blocking finds more, nothing is linked by itself.
pub const CANDIDATES_MAX: usize = 400;

/// Most persons that a steward is shown for one question.
pub const RANKED_MAX: usize = 10;

/// Least weight of a person that a steward is shown, in bits: one in a hundred.
const RANKED_MIN_BITS: f64 = -6.6;

/// How records are compared.
#[derive(Debug, Clone)]
pub struct Matching {
    /// Weights.
    pub model: Model,
    /// About how many records the index will hold: among more, a chance agreement is likelier.
    pub population: u64,
    /// Country of a phone number that names none.
    pub region: Region,
}

impl Default for Matching {
    /// Returns the model that is shipped, for a network of some hospitals: too few records would link strangers who are
    /// alike, too many only ask a steward more often.
    fn default() -> Self {
        Self { model: Model::default(), population: 1_000_000, region: Region::US }
    }
}

/// Nothing is linked by itself below a probability of 0.998 (9 bits), since documents follow the link. A steward looks
/// from 0.8 (2 bits) on. Two persons within 5 bits of each other, 32 to 1, are not told apart by a score alone.
pub const THRESHOLDS: Thresholds = Thresholds { link_bits: 9.0, review_bits: 2.0, margin_bits: 5.0 };

/// Passes that, next to the wide ones, are too wide for an index that does not split its blocks: at any size some building or some usual name
/// would overfill one, and nobody in it would be linked any more. What they find alone says too little to link.
const PASSES_WIDE: [Pass; 2] = [Pass::House, Pass::Names];

/// The engine with its settings.
#[derive(Debug)]
pub struct Index {
    /// Weights.
    pub model: Model,
    population: u64,
    region: Region,
    /// Makes tokens.
    pub(crate) blinder: Blinder,
}

/// A record on its way in.
#[derive(Debug)]
pub struct Incoming {
    /// Whose it is.
    pub reference: RecordRef,
    /// What the member sent, encoded as it is stored.
    pub demographics: Vec<u8>,
    /// The same, in the form that is compared.
    pub prepared: Packed,
    /// Blocking keys.
    pub keys: Vec<i64>,
    /// Token of the reference: writers of one record wait for each other even when its facts differ.
    pub identity: i64,
}

/// A record that is stored, and whose it is.
#[derive(Debug, Clone)]
pub struct Known {
    /// The person.
    pub person: PersonId,
    /// The record, in the form that is compared.
    pub record: Packed,
}

/// What the index knows when it decides on a record.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The record as it is stored, when it is.
    pub stored: Option<Stored>,
    /// Records that share a blocking key, without the record itself.
    pub candidates: Vec<Known>,
    /// True when there were more than [`CANDIDATES_MAX`].
    pub overfull: bool,
    /// Persons that a steward keeps the record apart from.
    pub kept_apart: Vec<PersonId>,
}

/// A record that is stored.
#[derive(Debug)]
pub struct Stored {
    /// Person it belongs to.
    pub person: PersonId,
    /// True when what the member sends is what is stored.
    pub unchanged: bool,
    /// True when it is the person's only record.
    pub alone: bool,
    /// What it said before, when that is not what the member sends.
    pub before: Option<Packed>,
}

/// What to do with a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where it belongs.
    pub target: Target,
    /// Weight of the decision in bits; 0 when nothing was compared.
    pub bits: f64,
    /// A question for a steward.
    pub review: Option<Review>,
    /// Persons whose record a newcomer surely is, each looked at for itself, when they are several: they may be one.
    pub bridges: Vec<PersonId>,
}

impl Change {
    /// Makes a change without bridges.
    pub fn new(target: Target, bits: f64, review: Option<Review>) -> Self {
        Self { target, bits, review, bridges: vec![] }
    }
}

/// What decides on records for the store.
pub trait Decide: Send + Sync {
    /// Decides on a record, given what the index knows at that moment.
    fn decide(&self, record: &Incoming, snapshot: Snapshot) -> Change;

    /// Decides whether persons of one record join another with a newcomer that bridges them, given the records of other persons
    /// that it may be.
    fn join(&self, record: &Incoming, persons: &[Whole], rivals: &[Known]) -> Option<Join>;
}

impl Decide for Index {
    fn decide(&self, record: &Incoming, snapshot: Snapshot) -> Change {
        self.register(record, snapshot)
    }

    fn join(&self, record: &Incoming, persons: &[Whole], rivals: &[Known]) -> Option<Join> {
        self.join(record.prepared.view(), persons, rivals)
    }
}

/// A function decides, and joins nobody.
impl<F: Fn(&Incoming, Snapshot) -> Change + Send + Sync> Decide for F {
    fn decide(&self, record: &Incoming, snapshot: Snapshot) -> Change {
        self(record, snapshot)
    }

    fn join(&self, _: &Incoming, _: &[Whole], _: &[Known]) -> Option<Join> {
        None
    }
}

/// Where a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To a new person.
    NewPerson,
    /// To a person that is known.
    Person(PersonId),
    /// Where it is.
    Stay,
}

/// A question for a steward: is the record this person's?
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// The person.
    pub candidate: PersonId,
    /// Probability, 0 to 1.
    pub probability: f64,
    /// Stable reason, upper snake case.
    pub reason: &'static str,
}

impl Index {
    /// Makes an engine.
    pub fn new(blinder: Blinder, matching: Matching) -> Self {
        let Matching { model, population, region } = matching;
        Self { model: model.for_population(population), population, region, blinder }
    }

    /// Returns the same engine with another model.
    #[must_use]
    pub fn with_model(&self, model: Model) -> Self {
        let matching = Matching { model, population: self.population, region: self.region };
        Self::new(self.blinder.clone(), matching)
    }

    /// Normalises a record and makes its blocking keys.
    pub fn prepare(&self, record: &Record) -> (Packed, Vec<i64>) {
        let prepared = prepare(record, self.region);
        let prepared = self.model.placeholders.strip(prepared.view()).unwrap_or(prepared);
        let token = |key: block::Key| self.blinder.token(key.pass.name(), &key.parts.map(u64::to_be_bytes));
        let tight = |key: &block::Key| !key.pass.is_wide() && !PASSES_WIDE.contains(&key.pass);
        let keys = block::keys(prepared.view()).into_iter().filter(tight);
        let keys = keys.map(token).collect();
        (prepared, keys)
    }

    /// Prepares a record that arrives.
    pub fn incoming(&self, reference: RecordRef, record: &Record, demographics: Vec<u8>) -> Incoming {
        let (prepared, keys) = self.prepare(record);
        let identity = self.blinder.token("record", &[reference.member_id.as_str(), reference.local_id()]);
        Incoming { reference, demographics, prepared, keys, identity }
    }

    /// Decides whose record it is among candidates.
    pub fn decide(&self, record: View<'_>, known: &[Known], overfull: bool) -> Decision<PersonId> {
        let candidates: Vec<_> = known
            .iter()
            .map(|known| Candidate { person: known.person, record: known.record.view() })
            .collect();
        match decide::decide(&self.model, THRESHOLDS, record, &candidates) {
            // Someone who fits better may be among those that were not looked at.
            Decision::Link { person, score } if overfull => {
                Decision::Review { person, score, reason: "BLOCK_OVERFULL" }
            }
            decision => decision,
        }
    }

    /// Returns persons that a record may belong to, the likeliest first.
    pub fn rank(&self, record: View<'_>, known: &[Known]) -> Vec<(PersonId, f64)> {
        let mut best: BTreeMap<PersonId, f64> = BTreeMap::new();
        for Known { person, record: other } in known {
            let bits = self.model.score(record, other.view()).bits;
            let before = best.entry(*person).or_insert(bits);
            *before = before.max(bits);
        }
        let mut ranked: Vec<_> = best.into_iter().filter(|(_, bits)| *bits >= RANKED_MIN_BITS).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(RANKED_MAX);
        ranked.into_iter().map(|(person, bits)| (person, probability(bits))).collect()
    }

    /// Decides what to do with a record that arrives.
    pub fn register(&self, record: &Incoming, snapshot: Snapshot) -> Change {
        self.place(record.prepared.view(), snapshot)
    }

    /// Decides where a record belongs.
    fn place(&self, record: View<'_>, mut snapshot: Snapshot) -> Change {
        let stay = |review| Change::new(Target::Stay, 0.0, review);
        if snapshot.stored.as_ref().is_some_and(|stored| stored.unchanged) {
            return stay(None);
        }
        snapshot.candidates.retain(|candidate| !snapshot.kept_apart.contains(&candidate.person));
        let decision = self.decide(record, &snapshot.candidates, snapshot.overfull);
        let Some(stored) = snapshot.stored else {
            let sure = match &decision {
                Decision::Link { .. } => !snapshot.overfull,
                Decision::Review { reason, .. } => *reason == Stop::TwoPersons.code() && !snapshot.overfull,
                Decision::New => false,
            };
            let bridges = if sure { self.bridged(record, &snapshot.candidates) } else { vec![] };
            let change = match decision {
                Decision::Link { person, score } => Change::new(Target::Person(person), score.bits, None),
                Decision::Review { person, score, reason } => {
                    let review = Review { candidate: person, probability: score.probability(), reason };
                    Change::new(Target::NewPerson, score.bits, Some(review))
                }
                Decision::New => Change::new(Target::NewPerson, 0.0, None),
            };
            return Change { bridges, ..change };
        };
        match decision {
            Decision::Link { person, .. } | Decision::Review { person, .. } if person == stored.person => {
                stay(None)
            }
            Decision::Link { person, score } if stored.alone => {
                Change::new(Target::Person(person), score.bits, None)
            }
            // Moving one of several records could be wrong for the others: a steward looks.
            Decision::Link { person, score } => {
                let (probability, reason) = (score.probability(), "BELONGS_ELSEWHERE");
                stay(Some(Review { candidate: person, probability, reason }))
            }
            Decision::Review { person, score, reason } => {
                stay(Some(Review { candidate: person, probability: score.probability(), reason }))
            }
            Decision::New if stored.alone => stay(self.other_identity(record, &stored)),
            Decision::New => {
                let (candidate, reason) = (stored.person, "NO_LONGER_ALIKE");
                stay(Some(Review { candidate, probability: 0.0, reason }))
            }
        }
    }
}

impl Index {
    /// A record under which somebody else appears, with all documents of who was there before, is for a steward.
    fn other_identity(&self, record: View<'_>, stored: &Stored) -> Option<Review> {
        let score = self.model.score(stored.before.as_ref()?.view(), record);
        let (candidate, probability) = (stored.person, score.probability());
        let reason = "IDENTITY_CHANGED";
        let other = decide::conflict(&self.model, &score.comparison).is_some() || score.bits < 0.0;
        other.then_some(Review { candidate, probability, reason })
    }
}

/// Returns the attributes that could decide a match and that a query did not state.
pub fn attributes_missing(query: View<'_>) -> Vec<&'static str> {
    let attributes = [
        ("birth_date", query.has_birth_date()),
        ("names.given", query.has_given()),
        ("names.family", query.has_family()),
        ("addresses.postcode", query.has_postcode()),
        ("addresses.line", query.has_street()),
        ("phones", query.has_phone()),
        ("identifiers", query.has_identifier()),
    ];
    let missing: Vec<_> = attributes.into_iter().filter(|(_, known)| !known).map(|(name, _)| name).collect();
    // Everything was stated and still does not decide: another identifier may.
    if missing.is_empty() { vec!["identifiers"] } else { missing }
}

#[cfg(test)]
mod tests;
