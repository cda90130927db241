//! Onboarding: many records into the index at once, while nobody else writes there.
//!
//! All records are linked with one another and with those that are stored, as files are, and written in transactions of
//! whole persons. Whoever is killed runs the same again: what is written stays, the rest follows. Records that are stored and
//! say something else now go the way of single records.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use prost::Message;
use signpost_common::id::{PersonId, RecordId, RecordRef};
use signpost_linkage::{
    Model, Packed,
    bulk::{self, Constraints, Corpus},
    decide::Thresholds,
    model::Placeholders,
};
use signpost_proto::common::v1::Demographics;

use crate::{
    convert,
    domain::{
        Change, Incoming, Index, Review, Snapshot, Target,
        bulk::{Held, Plan, Records, plan},
    },
    retrain,
    store::{
        Decider, ENGINE, Error, Store,
        bulk::{NewRecord, StoredRecord},
    },
};

/// About how many blocking keys one transaction writes.
const KEYS_AT_ONCE: usize = 500_000;

/// About how many records one transaction writes.
const RECORDS_AT_ONCE: usize = 20_000;

/// Changed records that are registered at once.
const UPDATED_AT_ONCE: usize = 256;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading what is stored; counted in records.
    Known,
    /// Finding pairs worth comparing.
    Block,
    /// Scoring pairs and making persons of them.
    Link,
    /// Writing records; counted in records.
    Write,
    /// Writing blocking keys; counted in keys.
    Index,
    /// Bringing records up to date and opening questions; counted in both.
    Finish,
}

/// Is told what is being done, and how much of it is done, of how much; 0 of 0 when nobody can say.
pub type Progress<'a> = dyn Fn(Step, u64, u64) + Send + Sync + 'a;

/// How records are taken in.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Weights by which the records are linked.
    pub model: &'a Model,
    /// When, microseconds since 1970.
    pub now_us: i64,
    /// About how many records one transaction writes; a person is never split.
    pub records_at_once: usize,
    /// About how many blocking keys one transaction writes.
    pub keys_at_once: usize,
}

impl<'a> Options<'a> {
    /// Returns what serves a million records.
    pub fn new(model: &'a Model, now_us: i64) -> Self {
        Self { model, now_us, records_at_once: RECORDS_AT_ONCE, keys_at_once: KEYS_AT_ONCE }
    }
}

/// What became of records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Records.
    pub records: u64,
    /// Newcomers that joined a person.
    pub linked: u64,
    /// Newcomers that founded a person.
    pub founded: u64,
    /// Questions to a steward that were opened.
    pub to_review: u64,
    /// Records that were stored, and said the same.
    pub unchanged: u64,
    /// Records that were stored, and said something else.
    pub updated: u64,
}

/// Reads a record as the service does, or says what is wrong with it, with the field's path.
///
/// # Errors
/// With a reason that names no value.
pub fn read(
    index: &Index,
    member: &str,
    local: &str,
    demographics: &Demographics,
    now: Timestamp,
) -> Result<Incoming, String> {
    let member = member.parse().map_err(|error| format!("source {error}"))?;
    let reference = RecordRef::new(member, local).map_err(|error| format!("mrn {error}"))?;
    let record = convert::record("", Some(demographics), now);
    let record = record.map_err(|status| status.message().trim_start_matches('.').to_owned())?;
    if record.names.is_empty() {
        return Err("names: must have at least one name".to_owned());
    }
    Ok(index.incoming(reference, &record, demographics.encode_to_vec()))
}

/// Returns the engine with the model that decides in an index: the configured one, unless another was promoted there.
///
/// # Errors
/// When the database fails.
pub async fn engine(store: &dyn Store, configured: Index, now_us: i64) -> Result<Index, Error> {
    retrain::adopt(store, configured, now_us).await
}

/// Writes the keys of records that an import left without, so that nobody is overlooked.
pub(crate) async fn finish(store: &dyn Store) -> Result<(), Error> {
    store.insert_pending_keys(KEYS_AT_ONCE, &|_, _| {}).await.map(drop)
}

/// Takes records into the index and returns what became of them, by member.
///
/// # Errors
/// When the database fails; then the same may be run again.
pub async fn run(
    store: &dyn Store,
    index: &Index,
    records: &Records,
    options: Options<'_>,
    progress: &Progress<'_>,
) -> Result<BTreeMap<String, Counts>, Error> {
    let (version, _) = retrain::keep(store, options.model, options.now_us).await?;
    let by =
        Decider { actor: ENGINE, reason: "bulk import", model_version: &version, now_us: options.now_us };
    let (held, packed) = known(store, records, progress).await?;
    let asked = store.asked().await?.into_iter().collect();
    let corpus = records.corpus(&packed);
    drop(packed);
    let plan = decided(corpus, &held, &asked, options.model, progress);
    let (ids, persons) =
        written(store, records, &held, &plan, &by, options.records_at_once, progress).await?;
    let index_done = |done, total| progress(Step::Index, done, total);
    store.insert_pending_keys(options.keys_at_once, &index_done).await?;
    let changed: Vec<usize> =
        (0..records.len()).filter(|record| held[*record].is_some_and(|held| !held.unchanged)).collect();
    let total = (changed.len() + plan.questions.len()) as u64;
    progress(Step::Finish, 0, total);
    for part in changed.chunks(UPDATED_AT_ONCE) {
        let batch: Vec<Incoming> =
            part.iter().filter_map(|record| incoming(index, records, *record)).collect();
        let decide = |record: &Incoming, snapshot: Snapshot| updated(index, record, snapshot);
        store.register(&batch, &decide, &by, None).await?;
    }
    let reviews: Vec<(RecordId, Review)> = plan
        .questions
        .iter()
        .map(|question| {
            let candidate = persons[question.candidate as usize];
            let review = Review { candidate, probability: question.probability, reason: question.reason };
            (ids[question.record as usize], review)
        })
        .collect();
    let mut done = changed.len();
    for part in reviews.chunks(options.records_at_once) {
        store.insert_reviews(part, options.now_us).await?;
        done += part.len();
        progress(Step::Finish, done as u64, total);
    }
    store.look_over().await?;
    Ok(counted(records, &held, &plan))
}

/// Brings a stored record up to date where it is. Where else it may belong, the plan asks; here only whether it is still the
/// person's whose record it is.
fn updated(index: &Index, record: &Incoming, snapshot: Snapshot) -> Change {
    let person = snapshot.stored.as_ref().map(|stored| stored.person);
    let review = index.register(record, snapshot).review;
    let review = review.filter(|review| Some(review.candidate) == person);
    Change::new(Target::Stay, 0.0, review)
}

fn incoming(index: &Index, records: &Records, record: usize) -> Option<Incoming> {
    let (member, local) = records.reference(record);
    let identity = index.blinder.token("record", &[member, local]);
    Some(Incoming {
        reference: RecordRef::new(member.parse().ok()?, local).ok()?,
        demographics: records.demographics(record).to_vec(),
        prepared: Packed::parse(records.view(record).as_bytes()).ok()?,
        keys: records.keys(record).to_vec(),
        identity,
    })
}

/// Reads what is stored: which of the records, then the others, to be compared with.
async fn known(
    store: &dyn Store,
    records: &Records,
    progress: &Progress<'_>,
) -> Result<(Vec<Option<Held>>, Vec<Packed>), Error> {
    progress(Step::Known, 0, 0);
    let mut held = vec![None; records.len()];
    let mut packed = vec![];
    let mut count = 0;
    let mut each = |stored: StoredRecord| {
        let place = records.find(&stored.member, &stored.local);
        let unchanged = place.is_none_or(|place| records.demographics(place) == stored.demographics);
        let known = Some(Held { id: stored.id, person: stored.person, unchanged });
        match place {
            Some(place) => held[place] = known,
            None => {
                held.push(known);
                packed.push(stored.prepared);
            }
        }
        count += 1;
        progress(Step::Known, count, 0);
    };
    store.each_record(&mut each).await?;
    Ok((held, packed))
}

/// Links all records and decides what becomes of them.
fn decided(
    corpus: Corpus,
    held: &[Option<Held>],
    asked: &HashSet<(PersonId, PersonId)>,
    model: &Model,
    progress: &Progress<'_>,
) -> Plan {
    progress(Step::Block, 0, 0);
    // What is nobody's in these records is no evidence, whatever the model knows.
    let mut placeholders = Placeholders::find(&corpus);
    placeholders.extend(&model.placeholders);
    let corpus = corpus.map(|record| placeholders.strip(record));
    let blocked = bulk::block(&corpus);
    progress(Step::Link, 0, 0);
    let linked = bulk::link(&corpus, &blocked, model, Thresholds::default(), &Constraints::default());
    drop((corpus, blocked));
    plan(held, &linked, asked)
}

/// Writes the newcomers, all of a person in one transaction; returns the ids of all records and of all persons.
async fn written(
    store: &dyn Store,
    records: &Records,
    held: &[Option<Held>],
    plan: &Plan,
    by: &Decider<'_>,
    at_once: usize,
    progress: &Progress<'_>,
) -> Result<(Vec<RecordId>, Vec<PersonId>), Error> {
    let newcomers = (0..held.len() as u32).filter(|record| held[*record as usize].is_none());
    let mut newcomers: Vec<u32> = newcomers.collect();
    newcomers.sort_by_key(|record| plan.groups[*record as usize]);
    let total = newcomers.len() as u64;
    progress(Step::Write, 0, total);
    // Ids are made in the order in which they are written, so that indexes grow at one end.
    let persons: Vec<PersonId> =
        plan.persons.iter().map(|person| person.unwrap_or_else(PersonId::generate)).collect();
    let mut ids: Vec<Option<RecordId>> = held.iter().map(|held| held.map(|held| held.id)).collect();
    newcomers.iter().for_each(|record| ids[*record as usize] = Some(RecordId::generate()));
    let ids: Vec<RecordId> = ids.into_iter().flatten().collect();
    let mut chunk = vec![];
    let mut done = 0;
    for group in newcomers.chunk_by(|a, b| plan.groups[*a as usize] == plan.groups[*b as usize]) {
        let number = plan.groups[group[0] as usize] as usize;
        for (place, record) in group.iter().enumerate() {
            let record = *record as usize;
            let founds = place == 0 && plan.persons[number].is_none();
            let (member, local) = records.reference(record);
            chunk.push(NewRecord {
                id: ids[record],
                person: persons[number],
                founds,
                bits: if founds { 0.0 } else { plan.bits[record].into() },
                member,
                local,
                demographics: records.demographics(record),
                prepared: records.view(record),
                keys: records.keys(record),
            });
        }
        if chunk.len() >= at_once {
            store.insert_records(&chunk, by).await?;
            done += chunk.len() as u64;
            progress(Step::Write, done, total);
            chunk.clear();
        }
    }
    if !chunk.is_empty() {
        store.insert_records(&chunk, by).await?;
        progress(Step::Write, total, total);
    }
    Ok((ids, persons))
}

fn counted(records: &Records, held: &[Option<Held>], plan: &Plan) -> BTreeMap<String, Counts> {
    let mut all: BTreeMap<String, Counts> = BTreeMap::new();
    let mut founded = HashSet::new();
    for (record, held) in held.iter().enumerate().take(records.len()) {
        let (member, _) = records.reference(record);
        let counts = match all.get_mut(member) {
            Some(counts) => counts,
            None => all.entry(member.to_owned()).or_default(),
        };
        let group = plan.groups[record];
        counts.records += 1;
        match held {
            Some(Held { unchanged: true, .. }) => counts.unchanged += 1,
            Some(_) => counts.updated += 1,
            None if plan.persons[group as usize].is_none() && founded.insert(group) => counts.founded += 1,
            None => counts.linked += 1,
        }
    }
    for question in plan.questions.iter().filter(|question| (question.record as usize) < records.len()) {
        let (member, _) = records.reference(question.record as usize);
        if let Some(counts) = all.get_mut(member) {
            counts.to_review += 1;
        }
    }
    all
}
