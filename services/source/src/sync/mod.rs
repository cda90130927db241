//! The task that keeps the registry in step with the folder.
//!
//! A round looks at the folder, plans, and carries out, until there is nothing left to do. Nothing is queued: what a
//! round leaves undone, whatever the reason, the next one finds again.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{StreamExt, stream};
use signpost_common::{id::MemberId, lifecycle::Lifecycle, rpc::status};
use tokio::{sync::Notify, time::Instant};
use tonic::Status;

use crate::{
    Registration,
    domain::{
        File, Journal, Record, Refused, Row,
        plan::{Action, plan},
    },
    error::Error,
    exchange::Exchange,
    folder::{self, Folder, Looks, Scan, blocking},
    index::Index,
    state::{Found, StateFolder},
    watch::Watch,
};

mod apply;

/// Files that are hashed at once.
const HASHES_MAX: usize = 2;

/// Most files that are hashed before what they are is registered.
const HASH_BATCH: usize = 10_000;

/// How long what was done may be kept in memory alone; it is found again after a crash, only slower.
const SAVE_EVERY: Duration = Duration::from_secs(5);

const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How long a look at the folder is acted upon, and how many times as long as the look took it is at least.
const ROUND_MAX: Duration = Duration::from_secs(10);
const ROUND_LOOKS: u32 = 4;

/// Shortest time between two looks at the folder, and how many times as long as a look it is at least.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_LOOKS: u32 = 4;

/// What is registered, for those who serve it.
#[derive(Default)]
pub(crate) struct Registered {
    journal: RwLock<Journal>,
    stale: Notify,
}

impl Registered {
    /// Returns what is registered of a row's document.
    pub(crate) fn record(&self, unique_id: &str) -> Option<Record> {
        self.read(|journal| journal.get(unique_id).cloned())
    }

    /// Asks for a look at the folder soon.
    pub(crate) fn look_again(&self) {
        self.stale.notify_one();
    }

    fn read<T>(&self, read: impl FnOnce(&Journal) -> T) -> T {
        read(&self.journal.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut Journal) -> T) -> T {
        write(&mut self.journal.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Opens the state and starts the task.
pub(crate) fn start(
    registration: Registration,
    folder: Arc<Folder>,
    member_id: MemberId,
) -> Result<Arc<Registered>, Error> {
    let Registration { state, rescan, settle, exchange, lifecycle } = registration;
    let state = StateFolder::open(&state, &folder.real_path()?, member_id)?;
    let journal = match state.read() {
        Found::Whole(journal) => journal,
        Found::Nothing => {
            tracing::info!("there is no state yet: what is registered is asked of the exchange");
            Journal::new()
        }
        Found::Broken(error) => {
            tracing::warn!(%error, "the state cannot be read: what is registered is asked of the exchange");
            Journal::new()
        }
    };
    let registered = Arc::new(Registered { journal: RwLock::new(journal), stale: Notify::new() });
    let task = Sync {
        folder,
        registered: registered.clone(),
        state: Arc::new(state),
        exchange,
        rescan,
        settle,
        looks: Looks::default(),
        refused: Refused::default(),
        folders: HashSet::new(),
        reconciled: false,
        unsaved: false,
        saved: Instant::now(),
        look_took: Duration::ZERO,
        counts: Counts::default(),
        stopped: Arc::default(),
    };
    lifecycle.spawn(task.run(lifecycle.clone()));
    Ok(registered)
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    registered: u64,
    superseded: u64,
    withdrawn: u64,
}

/// The folder at one moment, with the index that names its documents.
struct Round {
    index: Arc<Index>,
    rows: Vec<Row>,
    unread: HashSet<String>,
    /// When the folder may have become another.
    ends: Instant,
}

impl Round {
    /// True when it is time to look again; what is left to do is found then.
    fn is_over(&self) -> bool {
        Instant::now() > self.ends
    }
}

/// When to look again.
enum Next {
    /// At once: there is more to do.
    Now,
    /// Once files have had the time to settle.
    Soon,
    /// When something changes.
    Later,
}

struct Sync {
    folder: Arc<Folder>,
    registered: Arc<Registered>,
    state: Arc<StateFolder>,
    exchange: Exchange,
    rescan: Duration,
    settle: Duration,
    looks: Looks,
    refused: Refused,
    /// Folders to watch, as the last look found them.
    folders: HashSet<PathBuf>,
    /// Whether the exchange was asked what it knows, since the start.
    reconciled: bool,
    unsaved: bool,
    saved: Instant,
    look_took: Duration,
    counts: Counts,
    /// Ends a hash under way.
    stopped: Arc<AtomicBool>,
}

impl Drop for Sync {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl Sync {
    async fn run(mut self, lifecycle: Lifecycle) {
        let mut stopping = std::pin::pin!(lifecycle.stopping());
        let delays =
            ExponentialBuilder::default().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX).with_jitter();
        let delays = delays.without_max_times();
        let mut retry = delays.build();
        loop {
            let mut watch = self.watch().await;
            let round = tokio::select! {
                () = &mut stopping => break,
                round = self.round() => round,
            };
            self.save().await;
            let wait = async {
                match round {
                    Ok(Next::Now) => {}
                    Ok(Next::Soon) => tokio::time::sleep(self.settle.max(self.pause())).await,
                    Ok(Next::Later) => {
                        tokio::time::sleep(self.pause()).await;
                        self.change(watch.as_mut()).await;
                    }
                    Err(ref error) => {
                        let delay = retry.next().unwrap_or(RETRY_MAX);
                        let (code, reason, retry_ms) =
                            (error.code(), status::reason(error), delay.as_millis());
                        let message = error.message();
                        tracing::warn!(?code, reason, message, retry_ms, "registry is not in step");
                        tokio::time::sleep(delay).await;
                    }
                }
            };
            tokio::select! {
                () = &mut stopping => break,
                () = wait => {}
            }
            if round.is_ok() {
                retry = delays.build();
            }
        }
        self.stopped.store(true, Ordering::Relaxed);
        self.save().await;
    }

    fn pause(&self) -> Duration {
        PAUSE_MIN.max(self.look_took.saturating_mul(PAUSE_LOOKS))
    }

    /// Begins to watch before the folder is looked at, so that nothing falls between the two.
    async fn watch(&self) -> Option<Watch> {
        let folders = self.folders.clone();
        let watch = blocking(move || Watch::new(&folders).map_err(Error::Document)).await;
        watch
            .inspect_err(|error| {
                let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(cause, "the folder cannot be watched: changes are found when it is looked at");
            })
            .ok()
    }

    /// Completes when there is a reason to look at the folder.
    async fn change(&self, watch: Option<&mut Watch>) {
        let watched = async {
            match watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = watched => {}
            () = self.registered.stale.notified() => {}
            () = tokio::time::sleep(self.rescan) => {}
        }
    }

    /// Looks at the folder and does what is to be done.
    async fn round(&mut self) -> Result<Next, Status> {
        let first = !self.reconciled;
        let (scan, index) = self.look().await?;
        let Scan { rows, unread, folders, looks: _, settled } = scan;
        let unwatched = self.folders != folders;
        self.folders = folders;
        if !settled {
            return Ok(Next::Soon);
        }
        self.refused.forget_all_but(&rows);
        let ends = Instant::now() + ROUND_MAX.max(self.look_took.saturating_mul(ROUND_LOOKS));
        let mut round = Round { index, rows, unread, ends };
        if first {
            self.reconcile(&round).await?;
        }
        loop {
            let (mut hashes, mut calls) = (vec![], vec![]);
            let actions;
            (round, actions) = self.plan(round).await?;
            for action in actions {
                match action {
                    Action::Hash { row } => hashes.push(row),
                    action => calls.push(action),
                }
            }
            if calls.is_empty() && hashes.is_empty() {
                break;
            }
            if calls.is_empty() {
                hashes.truncate(HASH_BATCH);
                self.hash(&mut round, hashes).await;
            } else {
                self.apply(&round, calls).await?;
            }
            if round.is_over() {
                return Ok(Next::Now);
            }
        }
        let waiting = |row: &&Row| matches!(row.file, File::Missing | File::Unsettled);
        self.tell(first, round.rows.iter().filter(waiting).count());
        let unsettled = round.rows.iter().any(|row| row.file == File::Unsettled);
        Ok(if unsettled || unwatched { Next::Soon } else { Next::Later })
    }

    fn tell(&mut self, first: bool, waiting: usize) {
        let counts = std::mem::take(&mut self.counts);
        let Counts { registered, superseded, withdrawn } = counts;
        let failed = self.refused.len();
        if first || counts != Counts::default() {
            tracing::info!(registered, superseded, withdrawn, failed, waiting, "registry is in step");
        } else {
            tracing::debug!(failed, waiting, "registry is in step");
        }
    }

    async fn look(&mut self) -> Result<(Scan, Arc<Index>), Error> {
        let (stamp, index) = self.folder.index().await?;
        let (registered, settle) = (self.registered.clone(), self.settle);
        let looks = std::mem::take(&mut self.looks);
        let began = Instant::now();
        let (mut scan, index) = blocking(move || {
            let scan = registered.read(|journal| folder::scan(&index, stamp, journal, &looks, began, settle));
            Ok((scan, index))
        })
        .await?;
        self.look_took = began.elapsed();
        self.looks = std::mem::take(&mut scan.looks);
        Ok((scan, index))
    }

    async fn plan(&mut self, round: Round) -> Result<(Round, Vec<Action>), Error> {
        let registered = self.registered.clone();
        let refused = std::mem::take(&mut self.refused);
        let (round, refused, actions) = blocking(move || {
            let actions = registered.read(|journal| plan(&round.rows, &round.unread, journal, &refused));
            Ok((round, refused, actions))
        })
        .await?;
        self.refused = refused;
        Ok((round, actions))
    }

    async fn hash(&mut self, round: &mut Round, places: Vec<usize>) {
        let work = places.into_iter().map(|place| {
            let (index, stopped, file) = (round.index.clone(), self.stopped.clone(), round.rows[place].file);
            let hash = blocking(move || {
                let File::There(stamp) = file else { return Ok(file) };
                let path = index.resolve(index.at(place)).map_err(Error::Document)?;
                folder::hash(&path, stamp, &stopped).map_err(Error::Document)
            });
            async move { (place, hash.await) }
        });
        let ends = round.ends;
        // What is begun is finished, however large it is.
        let work = stream::iter(work.collect::<Vec<_>>());
        let work = work.take_while(|_| std::future::ready(Instant::now() < ends));
        let hashed: Vec<_> = work.buffer_unordered(HASHES_MAX).collect().await;
        for (place, file) in hashed {
            let row = &mut round.rows[place];
            row.file = file.unwrap_or_else(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(line = round.index.at(place).line, cause, "document cannot be read");
                File::Missing
            });
            if let (File::Hashed(_, hash), Some(seen)) = (row.file, row.seen()) {
                self.looks.keep(seen, hash);
            }
        }
    }

    async fn save(&mut self) {
        if !self.unsaved {
            return;
        }
        let (registered, state) = (self.registered.clone(), self.state.clone());
        let written =
            blocking(move || registered.read(|journal| state.write(journal)).map_err(Error::Document));
        match written.await {
            Ok(()) => self.unsaved = false,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(cause, "the state cannot be written; it is tried again");
            }
        }
        self.saved = Instant::now();
    }
}
