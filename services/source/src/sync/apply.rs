//! Carries out what was planned. Every step is safe to repeat, and is kept once it is done.

use std::collections::{HashMap, HashSet};

use signpost_common::id::DocumentId;
use signpost_proto::registry::v1::DocumentEntry;
use tonic::Status;

use super::{Round, SAVE_EVERY, Sync};
use crate::{
    convert,
    domain::{Hash, Journal, Record, Row, State, plan::Action, version},
    exchange::{Answer, Refusal},
};

/// Documents that are registered in one stream, and that are asked for at once.
const BATCH: usize = 500;

/// A row that is to be registered.
struct Newcomer {
    row: usize,
    version: u32,
    unknown: Vec<String>,
}

impl Sync {
    /// Does everything but hashing. What replaces comes before what is new, and withdrawals come last, so that a
    /// document that is renewed is never without a pointer.
    pub(super) async fn apply(&mut self, round: &Round, actions: Vec<Action>) -> Result<(), Status> {
        let (mut newcomers, mut withdrawals) = (vec![], vec![]);
        for action in actions {
            if round.is_over() {
                return Ok(());
            }
            match action {
                Action::Hash { .. } => {}
                Action::Note { row } => self.note(&round.rows[row]),
                Action::Replace { row, version, old } => self.replace(round, row, version, &old).await?,
                Action::Register { row, version, unknown } => {
                    newcomers.push(Newcomer { row, version, unknown })
                }
                Action::Withdraw { unique_id } => withdrawals.push(unique_id),
            }
        }
        for batch in newcomers.chunks(BATCH) {
            self.register(round, batch).await?;
            self.save_in_time().await;
            if round.is_over() {
                return Ok(());
            }
        }
        for unique_id in withdrawals {
            if round.is_over() {
                break;
            }
            self.withdraw(&unique_id).await?;
            self.save_in_time().await;
        }
        Ok(())
    }

    async fn save_in_time(&mut self) {
        if self.saved.elapsed() > SAVE_EVERY {
            self.save().await;
        }
    }

    fn keep<T>(&mut self, change: impl FnOnce(&mut Journal) -> T) -> T {
        self.unsaved = true;
        self.registered.write(change)
    }

    fn note(&mut self, row: &Row) {
        let seen = row.seen();
        self.keep(|journal| {
            if let Some(record) = journal.get_mut(&row.unique_id) {
                record.seen = seen;
            }
        });
    }

    /// Returns the pointer to register for a version of a row.
    fn pointer(&self, round: &Round, place: usize, version: u32) -> Option<Pointer> {
        let row = &round.rows[place];
        let sha256 = self.registered.read(|journal| row.hash(journal))?;
        let seen = row.seen()?;
        let entry = round.index.at(place).to_document_entry(seen.stamp.size_bytes, sha256);
        let entry = DocumentEntry { unique_id: version::name(&row.unique_id, version), ..entry };
        Some(Pointer { entry, version, sha256 })
    }

    async fn register(&mut self, round: &Round, batch: &[Newcomer]) -> Result<(), Status> {
        let asked = batch.iter().flat_map(|new| new.unknown.iter().map(|id| (id.clone(), new.row)));
        let asked: Vec<_> = asked.collect();
        let found = self.look_up(round, &asked).await?;
        // What turned out to replace something is planned again.
        let new = batch.iter().filter(|new| !found.contains(&new.row));
        let new: Vec<_> =
            new.filter_map(|new| Some((new.row, self.pointer(round, new.row, new.version)?))).collect();
        let entries = new.iter().map(|(_, pointer)| pointer.entry.clone()).collect();
        let answers = self.exchange.register(entries).await?;
        let (mut known, mut conflicts) = (vec![], vec![]);
        for ((place, pointer), answer) in new.into_iter().zip(answers) {
            let row = &round.rows[place];
            match answer {
                Ok(done) if done.replayed => known.push((place, pointer.record(row, done.document_id))),
                Ok(done) => {
                    self.counts.registered += 1;
                    let record = pointer.record(row, done.document_id);
                    self.keep(|journal| journal.insert(row.unique_id.clone(), record));
                }
                Err(refusal) if refusal.is_conflict() => conflicts.push((place, refusal)),
                Err(refusal) => self.refuse(round, place, &refusal),
            }
        }
        let own = known.iter().map(|(place, _)| *place).chain(conflicts.iter().map(|(place, _)| *place));
        let own: Vec<_> = own.map(|place| (round.rows[place].unique_id.clone(), place)).collect();
        let found = self.look_up(round, &own).await?;
        for (place, record) in known.into_iter().filter(|(place, _)| !found.contains(place)) {
            self.keep(|journal| journal.insert(round.rows[place].unique_id.clone(), record));
        }
        for (place, refusal) in conflicts.into_iter().filter(|(place, _)| !found.contains(place)) {
            self.refuse(round, place, &refusal);
        }
        Ok(())
    }

    async fn replace(&mut self, round: &Round, place: usize, version: u32, old: &str) -> Result<(), Status> {
        let row = &round.rows[place];
        let replaced = self.registered.record(old).filter(Record::is_current);
        let (Some(replaced), Some(pointer)) = (replaced, self.pointer(round, place, version)) else {
            return Ok(());
        };
        match self.exchange.replace(&replaced, row, pointer.entry.clone()).await? {
            Ok(document_id) => {
                self.counts.superseded += 1;
                self.keep(|journal| {
                    past(journal, old);
                    journal.insert(row.unique_id.clone(), pointer.record(row, document_id));
                });
            }
            Err(refusal) => {
                let asked = [(row.unique_id.clone(), place), (old.to_owned(), place)];
                let conflict = refusal.is_conflict();
                let found = if conflict { self.look_up(round, &asked).await? } else { HashSet::new() };
                if found.is_empty() {
                    self.refuse(round, place, &refusal);
                }
            }
        }
        self.save_in_time().await;
        Ok(())
    }

    async fn withdraw(&mut self, unique_id: &str) -> Result<(), Status> {
        let Some(record) = self.registered.record(unique_id) else { return Ok(()) };
        let answer: Answer<()> = self.exchange.withdraw(&record.document_id).await?;
        match answer {
            Ok(()) => {
                self.counts.withdrawn += 1;
                self.keep(|journal| past(journal, unique_id));
            }
            Err(refusal) if refusal.is_unknown() => {
                self.keep(|journal| journal.remove(unique_id));
            }
            Err(Refusal { reason, field }) => {
                let document_id = record.document_id;
                tracing::warn!(%document_id, reason, field, "withdrawal refused");
                self.refused.add_withdrawal(unique_id);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, round: &Round, place: usize, refusal: &Refusal) {
        let Refusal { reason, field } = refusal;
        tracing::warn!(line = round.index.at(place).line, reason, field, "document refused until it changes");
        self.refused.add(&round.rows[place]);
    }

    /// Asks the exchange what it knows of every row: the state may be lost or old, as may be the exchange's own.
    pub(super) async fn reconcile(&mut self, round: &Round) -> Result<(), Status> {
        let own = round.rows.iter().zip(0..).map(|(row, place)| (row.unique_id.clone(), place));
        let older =
            round.rows.iter().zip(0..).filter_map(|(row, place)| Some((row.replaces.clone()?, place)));
        let asked: Vec<_> = own.chain(older).collect();
        let mut corrected = 0;
        for batch in asked.chunks(BATCH) {
            corrected += self.look_up(round, batch).await?.len();
        }
        if corrected > 0 {
            tracing::info!(corrected, "the exchange knew more of documents than the state");
        }
        self.reconciled = true;
        Ok(())
    }

    /// Asks the exchange for the newest versions of some documents, each of a row's patient. Returns the rows for
    /// which it knew something else.
    async fn look_up(&mut self, round: &Round, asked: &[(String, usize)]) -> Result<HashSet<usize>, Status> {
        if asked.is_empty() {
            return Ok(HashSet::new());
        }
        let patients: HashSet<_> =
            asked.iter().map(|(_, place)| round.index.at(*place).local_id.clone()).collect();
        let patients: Vec<_> = patients.into_iter().collect();
        let mut newest: HashMap<String, Record> = HashMap::new();
        for (unique_id, record) in
            self.exchange.find(&patients).await?.into_iter().filter_map(convert::record)
        {
            if newest.get(&unique_id).is_none_or(|other| other.version < record.version) {
                newest.insert(unique_id, record);
            }
        }
        let changed = self.registered.write(|journal| {
            let news = asked.iter().filter(|(unique_id, place)| {
                correct(journal, &round.rows[*place], unique_id, newest.get(unique_id))
            });
            news.map(|(_, place)| *place).collect::<HashSet<_>>()
        });
        self.unsaved |= !changed.is_empty();
        Ok(changed)
    }
}

/// A pointer that is to be registered.
struct Pointer {
    entry: DocumentEntry,
    version: u32,
    sha256: Hash,
}

impl Pointer {
    /// Returns what to keep of it once it has an id.
    fn record(&self, row: &Row, document_id: DocumentId) -> Record {
        Record {
            document_id,
            version: self.version,
            state: State::Current,
            patient: row.patient,
            facts: row.facts,
            sha256: self.sha256,
            seen: row.seen(),
        }
    }
}

fn past(journal: &mut Journal, unique_id: &str) {
    if let Some(record) = journal.get_mut(unique_id) {
        record.state = State::Past;
    }
}

/// Corrects what is kept of a document by what the exchange knows of it for a row's patient. Returns whether it had to.
fn correct(journal: &mut Journal, row: &Row, unique_id: &str, found: Option<&Record>) -> bool {
    let known = journal.get(unique_id);
    match (found, known) {
        // Another patient's is not among what was asked for.
        (None, Some(known)) if known.patient == row.patient => journal.remove(unique_id).is_some(),
        (None, _) => false,
        (Some(found), Some(known)) if known.patient != row.patient && known.version > found.version => false,
        (Some(found), known) => {
            let same = known.filter(|known| known.document_id == found.document_id);
            // What was stated of it never changes.
            let corrected =
                same.map_or_else(|| found.clone(), |known| Record { state: found.state, ..known.clone() });
            if known == Some(&corrected) {
                return false;
            }
            journal.insert(unique_id.to_owned(), corrected);
            true
        }
    }
}
