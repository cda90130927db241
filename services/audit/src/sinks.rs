//! The two sinks: the database, and the journal when the database does not take events in time. One is enough.
//!
//! As long as entries wait in the journal, new ones go there too, so that their order is kept; a task of its own brings them into the
//! database as soon as it answers. An event's id makes that repeatable: what came into the database after all stands there once.
//! Only when the journal fails while entries wait in it do new ones pass them: rather out of order than not at all.
//!
//! A disk may hang. The journal is used on threads that may wait for it, by one at a time, and nobody waits for that one for long.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use signpost_common::lifecycle::Lifecycle;
use tokio::sync::{Mutex, Notify, watch};

use crate::{convert, domain::Entry, error::Error, journal::Journal, store::Store};

/// How long the database may take for a batch before the journal takes it.
const DATABASE_TIME: Duration = Duration::from_secs(1);

/// How long the journal may take, with whoever uses it before.
const JOURNAL_TIME: Duration = Duration::from_secs(5);

/// How long the database may take for entries that waited.
const RETURN_TIME: Duration = Duration::from_secs(10);

/// How often it is tried whether the database answers again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// How often the journal is looked after when it is not needed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Entries that are brought into the database at once.
const AT_ONCE: usize = 512;

/// How often the same trouble is logged, in tries.
const TELL_EVERY: u32 = 60;

const WAITING: &str = "the database does not take events: they wait in the journal";
const NO_JOURNAL: &str = "the journal is of no use: events go to the database alone";
const NEITHER: &str = "neither the database nor the journal takes events: nothing is released";

/// Where an event stands: its position, or none while it waits in the journal.
pub(crate) type Place = Option<u64>;

/// The journal. What it did last says whether entries wait in it, without waiting for what it does now.
#[derive(Clone)]
struct Shared {
    journal: Arc<Mutex<Journal>>,
    waits: Arc<AtomicBool>,
    /// Whether the last use took too long and is not done yet.
    hangs: Arc<AtomicBool>,
}

impl Shared {
    fn new(journal: Journal) -> Self {
        let waits = Arc::new(AtomicBool::new(journal.waits()));
        Self { journal: Arc::new(Mutex::new(journal)), waits, hangs: Arc::default() }
    }

    fn waits(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }

    fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Acquire)
    }

    /// Uses the journal. What takes too long may still be done later.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (waits, hangs) = (self.waits.clone(), self.hangs.clone());
        let done = async {
            let mut journal = self.journal.clone().lock_owned().await;
            let work = move || {
                let done = work(&mut journal);
                waits.store(journal.waits(), Ordering::Release);
                hangs.store(false, Ordering::Release);
                done
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        let done = tokio::time::timeout(JOURNAL_TIME, done).await;
        done.unwrap_or_else(|_| {
            self.hangs.store(true, Ordering::Release);
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

pub(crate) struct Sinks {
    store: Arc<dyn Store>,
    journal: Option<Shared>,
    /// Wakes the task that empties the journal.
    diverted: Notify,
    alarm: watch::Sender<Option<String>>,
}

impl Sinks {
    /// Writes to a database, and to a journal where there is one. The task that empties it ends at the soft stop; what waits then
    /// waits for the next start.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        journal: Option<Journal>,
        alarm: watch::Sender<Option<String>>,
        lifecycle: &Lifecycle,
    ) -> Arc<Self> {
        let journal = journal.map(Shared::new);
        let sinks = Arc::new(Self { store, journal, diverted: Notify::new(), alarm });
        if let Some(journal) = sinks.journal.clone() {
            let (emptying, stopping) = (sinks.clone(), lifecycle.stopping());
            lifecycle.spawn(async move {
                tokio::select! {
                    () = stopping => {}
                    () = emptying.keep_empty(journal) => {}
                }
            });
        }
        sinks
    }

    /// Makes events durable, in one sink or the other.
    pub(crate) async fn write(&self, entries: &[Entry]) -> Vec<Result<Place, Error>> {
        let waits = self.journal.as_ref().is_some_and(|journal| journal.waits() && !journal.hangs());
        if !waits && let Some(places) = self.try_database(entries).await {
            return places;
        }
        match self.to_journal(entries).await {
            Ok(()) => return entries.iter().map(|_| Ok(None)).collect(),
            Err(Some(error)) => {
                tracing::error!(%error, events = entries.len(), "events could not be written to the journal");
                if waits && let Some(places) = self.try_database(entries).await {
                    self.raise(NO_JOURNAL);
                    return places;
                }
                self.raise(NEITHER);
            }
            Err(None) => {}
        }
        entries.iter().map(|_| Err(Error::NotDurable)).collect()
    }

    async fn try_database(&self, entries: &[Entry]) -> Option<Vec<Result<Place, Error>>> {
        match self.to_database(entries).await {
            Ok(places) => Some(places.into_iter().map(|place| place.map(Some)).collect()),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, events = entries.len(), "events could not be appended to the database");
                None
            }
        }
    }

    /// Appends to the database. Where there is a journal, the database has a moment and not longer.
    async fn to_database(&self, entries: &[Entry]) -> Result<Vec<Result<u64, Error>>, Error> {
        let append = self.store.append(entries);
        match self.journal {
            None => append.await,
            // What comes into the database after all is found there when the journal is emptied.
            Some(_) => tokio::time::timeout(DATABASE_TIME, append).await.unwrap_or(Err(Error::TooSlow)),
        }
    }

    /// Writes to the journal; fails without an error when there is none.
    async fn to_journal(&self, entries: &[Entry]) -> Result<(), Option<io::Error>> {
        let journal = self.journal.as_ref().ok_or(None)?;
        let leaves: Vec<_> = entries.iter().map(|entry| entry.leaf.clone()).collect();
        journal.with(move |journal| journal.append(leaves.iter().map(Vec::as_slice))).await.map_err(Some)?;
        self.raise(WAITING);
        self.diverted.notify_one();
        Ok(())
    }

    /// Brings what waits into the database, whenever something does.
    async fn keep_empty(&self, journal: Shared) {
        let mut tries = 0;
        loop {
            if !journal.waits() {
                tries = 0;
                self.look_after(&journal).await;
                tokio::time::timeout(LOOK_EVERY, self.diverted.notified()).await.ok();
                continue;
            }
            match self.empty(&journal).await {
                Ok(0) => {}
                Ok(events) => {
                    tracing::info!(events, "events that waited in the journal are in the database");
                    continue;
                }
                Err(error) => {
                    self.raise(if let Error::Journal(_) = error { NO_JOURNAL } else { WAITING });
                    if tries % TELL_EVERY == 0 {
                        tracing::error!(%error, "events of the audit log wait in the journal alone");
                    }
                }
            }
            tries += 1;
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Brings the next entries into the database; returns how many.
    async fn empty(&self, journal: &Shared) -> Result<usize, Error> {
        let (leaves, next) = journal.with(|journal| journal.read(AT_ONCE)).await.map_err(Error::Journal)?;
        // What is no entry of ours was never taken.
        let entries: Option<Vec<_>> = leaves.into_iter().map(convert::entry_of).collect();
        let entries = entries.ok_or(Error::Journal(io::ErrorKind::InvalidData.into()))?;
        let append = tokio::time::timeout(RETURN_TIME, self.store.append(&entries));
        let places = append.await.unwrap_or(Err(Error::TooSlow))?;
        let refused = entries.iter().zip(&places).filter(|(_, place)| place.is_err());
        let refused: Vec<_> = refused.map(|(entry, _)| entry.leaf.clone()).collect();
        let done = journal.with(move |journal| {
            if !refused.is_empty() {
                tracing::error!(
                    events = refused.len(),
                    "the ids of events that waited stand for other events: they are kept beside the journal"
                );
                journal.refused(refused.iter().map(Vec::as_slice))?;
            }
            journal.done(next)
        });
        done.await.map_err(Error::Journal)?;
        Ok(entries.len())
    }

    /// Sees whether the journal would take something, and takes it up again when it was replaced.
    async fn look_after(&self, journal: &Shared) {
        let looked = journal.with(|journal| {
            if journal.still_there().is_err() {
                *journal = Journal::open(journal.path()).map_err(io::Error::other)?;
            }
            Ok(())
        });
        match looked.await {
            Ok(()) => self.lower(),
            Err(error) => {
                tracing::error!(%error, "the journal of the audit log is of no use");
                self.raise(NO_JOURNAL);
            }
        }
    }

    fn raise(&self, what: &str) {
        self.alarm.send_if_modified(|alarm| {
            let new = alarm.as_deref() != Some(what);
            *alarm = Some(what.to_owned());
            new
        });
    }

    fn lower(&self) {
        self.alarm.send_if_modified(|alarm| alarm.take().is_some());
    }
}

#[cfg(test)]
mod tests;
