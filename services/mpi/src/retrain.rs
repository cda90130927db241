//! Models that are learnt from the index in the background, and the one that decides.
//!
//! Learning reads every record, finds what the new model would change, and leaves both for a steward to look at. A model that
//! is promoted decides in this process at once and in others within [`LOOK_EVERY`]; whoever sees first that its changes wait
//! carries them out, record by record, as if each came again. What is cut short goes on, or is begun again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use prost::Message;
use signpost_common::{db, hash};
use signpost_linkage::{Model, bulk};
use signpost_proto::common::v1::Demographics;
use tokio::sync::oneshot;

use crate::{
    convert,
    domain::{
        Index,
        retrain::{Difference, Holdings, Kept},
    },
    service::Service,
    store::{
        Decider, ENGINE, Error, Store,
        bulk::StoredRecord,
        model::{ModelChange, Progress},
    },
};

/// How often a process looks which model decides.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often whoever works on a model says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long nobody may work on a model before another process takes it over, or it counts as failed.
const ALIVE_US: i64 = 30_000_000;

/// Fewest records that teach anything.
const RECORDS_MIN: usize = 1_000;

/// Records that are decided on anew in one transaction.
const CARRIED_OUT_AT_ONCE: i64 = 200;

/// Returns the time since when whoever works on a model must have said something.
pub(crate) fn alive_us(now_us: i64) -> i64 {
    now_us.saturating_sub(ALIVE_US)
}

/// Returns the engine with the model that decides: the one that a steward promoted, or else the configured one that the index
/// saw last.
pub(crate) async fn adopt(store: &dyn Store, index: Index, now_us: i64) -> Result<Index, Error> {
    let (version, body) = keep(store, &index.model, now_us).await?;
    let configured = store.model(&version).await?.ok_or(Error::ModelUnknown)?;
    let in_force = store.model_in_force().await?;
    match in_force {
        Some(model) if model.version == version => Ok(index.with_model(named(index.model.clone(), &version))),
        // What a steward promoted is not replaced by a setting, or by a new release.
        Some(model) if configured.promoted_us.is_some() || !model.decided.0.is_empty() => {
            if configured.promoted_us.is_none() {
                tracing::warn!(
                    version,
                    in_force = model.version,
                    "the configured model waits to be promoted"
                );
            }
            load(store, &index, &model.version).await
        }
        _ => {
            store.keep_model(&version, &body, true, now_us).await?;
            tracing::info!(version, "the configured model is in force");
            Ok(index.with_model(named(index.model.clone(), &version)))
        }
    }
}

/// Keeps a model that was not learnt here, so that its decisions can be explained; returns its name and what it learnt. Where
/// another model of its name is kept, it is named after what it learnt as well.
pub(crate) async fn keep(store: &dyn Store, model: &Model, now_us: i64) -> Result<(String, String), Error> {
    let body = model.to_json().map_err(|_| db::Error::Corrupt("model"))?;
    let taken = store.model(&model.version).await?.is_some();
    let version = match taken.then_some(store.model_body(&model.version).await?) {
        Some(kept) if kept.as_ref() != Some(&body) => {
            let digest = hash::sha256(body.as_bytes());
            let digest: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}-{digest}", model.version)
        }
        _ => model.version.clone(),
    };
    store.keep_model(&version, &body, false, now_us).await?;
    Ok((version, body))
}

/// Returns a model under the name by which it is kept.
fn named(mut model: Model, version: &str) -> Model {
    version.clone_into(&mut model.version);
    model
}

/// Returns the engine with a model that is kept.
pub(crate) async fn load(store: &dyn Store, index: &Index, version: &str) -> Result<Index, Error> {
    let body = store.model_body(version).await?.ok_or(Error::ModelUnknown)?;
    let model = Model::from_json(&body).map_err(|_| db::Error::Corrupt("model"))?;
    Ok(index.with_model(named(model, version)))
}

/// Follows which model decides, and carries out what waits, until the process stops.
pub(crate) async fn follow(service: Service) {
    let stopping = service.lifecycle.stopping();
    tokio::pin!(stopping);
    loop {
        let looked = tokio::select! {
            () = &mut stopping => return,
            looked = look(&service) => looked,
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "could not look which model decides");
        }
        tokio::select! {
            () = &mut stopping => return,
            () = service.promoted.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(service: &Service) -> Result<(), Error> {
    let store = service.store.as_ref();
    let failed = store.fail_silent(alive_us(service.now_us())).await?;
    if failed > 0 {
        tracing::warn!(failed, "a model was not learnt to the end: its process has stopped");
    }
    let Some(model) = store.model_in_force().await? else { return Ok(()) };
    let index = service.index();
    if index.model.version != model.version {
        service.replace_index(load(store, &index, &model.version).await?);
        tracing::info!(version = model.version, "a model is in force");
    }
    let now_us = service.now_us();
    let waits = !store.pending_changes(&model.version, 1).await?.is_empty();
    if waits && store.take_over(&model.version, alive_us(now_us), now_us).await? {
        carry_out(service, &model.version).await?;
    }
    Ok(())
}

/// Decides anew on the records that a model decides otherwise on.
async fn carry_out(service: &Service, version: &str) -> Result<(), Error> {
    let (store, index) = (service.store.as_ref(), service.index());
    let counts = store.model_change_counts(version).await?;
    let total: i64 = counts.iter().map(|(.., records)| records).sum();
    let mut done = 0;
    loop {
        let now_us = service.now_us();
        let progress = Progress { step: "CARRY_OUT".to_owned(), done, total };
        // Another may have been promoted meanwhile.
        if !store.touch_model(version, &progress, now_us).await? {
            return Ok(());
        }
        let waiting = store.pending_changes(version, CARRIED_OUT_AT_ONCE).await?;
        if waiting.is_empty() {
            return store.touch_model(version, &Progress::default(), now_us).await.map(drop);
        }
        let by = Decider { actor: ENGINE, reason: "model promoted", model_version: version, now_us };
        let changes: Vec<i64> = waiting.iter().map(|(change, _)| *change).collect();
        let mut batch = vec![];
        for (_, record) in waiting {
            let demographics = Demographics::decode(&record.demographics[..]);
            let demographics = demographics.map_err(|_| db::Error::Corrupt("record"))?;
            // What was accepted once is accepted still, unless the rules have changed: then it stays as it is.
            if let Ok(said) = convert::record("demographics", Some(&demographics), service.clock.now()) {
                batch.push(index.incoming(record.reference, &said, record.demographics));
            }
        }
        store.carry_out(&batch, &changes, index.as_ref(), &by).await?;
        service.decided.notify_waiters();
        done += changes.len() as i64;
    }
}

/// Learns a model in the background and finds what it would change.
pub(crate) async fn train(service: Service, version: String) {
    let trained = learn(&service, &version).await;
    let store = service.store.as_ref();
    let failure = match trained {
        Ok(Some((body, records, changes))) => {
            let now_us = service.now_us();
            match store.model_learnt(&version, &body, records, &changes, now_us).await {
                Ok(()) => {
                    tracing::info!(version, records, changes = changes.len(), "a model is ready");
                    return;
                }
                Err(error) => error,
            }
        }
        // It was given up, which is not a failure.
        Ok(None) => return,
        Err(error) => error,
    };
    tracing::error!(version, error = %failure, "a model was not learnt");
    let reason = match failure {
        Error::TooFewRecords => "TOO_FEW_RECORDS",
        _ => "TRAINING_FAILED",
    };
    if let Err(error) = store.model_failed(&version, reason, service.now_us()).await {
        tracing::error!(%error, "a failed model could not be marked");
    }
}

/// How far a thread is, and whether it should go on.
#[derive(Default)]
struct Work {
    progress: Mutex<Progress>,
    given_up: AtomicBool,
}

impl Work {
    fn step(&self, step: &str, done: usize, total: usize) -> bool {
        let progress = Progress { step: step.to_owned(), done: done as i64, total: total as i64 };
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
        !self.given_up.load(Ordering::Relaxed)
    }

    fn now(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Learnt = (String, i64, Vec<ModelChange>);

async fn learn(service: &Service, version: &str) -> Result<Option<Learnt>, Error> {
    let work = Arc::new(Work::default());
    let told = tell(service, version, &work);
    tokio::pin!(told);
    let holdings = tokio::select! {
        read = read(service.store.as_ref(), &work) => read?,
        told = &mut told => return told.map(|()| None),
    };
    if holdings.len() < RECORDS_MIN {
        return Err(Error::TooFewRecords);
    }
    let (sender, receiver) = oneshot::channel();
    let (index, name, working) = (service.index(), version.to_owned(), work.clone());
    // A thread of its own, which nobody waits for when the process stops.
    thread::Builder::new()
        .name("training".to_owned())
        .spawn(move || sender.send(compare(&holdings, &index, &name, &working)).ok())
        .map_err(|_| Error::TrainingFailed)?;
    tokio::select! {
        // A thread that panicked sends nothing.
        learnt = receiver => learnt.map_err(|_| Error::TrainingFailed)?,
        told = &mut told => {
            work.given_up.store(true, Ordering::Relaxed);
            told.map(|()| None)
        }
    }
}

/// Says how far the work is until the model is given up.
async fn tell(service: &Service, version: &str, work: &Work) -> Result<(), Error> {
    while service.store.touch_model(version, &work.now(), service.now_us()).await? {
        tokio::time::sleep(TELL_EVERY).await;
    }
    Ok(())
}

/// Reads all records and what stewards said of them.
async fn read(store: &dyn Store, work: &Work) -> Result<Holdings, Error> {
    let mut records = vec![];
    let mut each = |record: StoredRecord| {
        let StoredRecord { id, person, prepared, keys, .. } = record;
        records.push(Kept { id, person, prepared, keys });
        work.step("READ", records.len(), 0);
    };
    store.each_record(&mut each).await?;
    let words = store.words().await?.into_iter().map(|word| (word.record, word.person, word.linked));
    Ok(Holdings::new(records, words))
}

/// Learns a model and finds what it would change; nothing when it was given up. Half of the cores go on serving.
fn compare(holdings: &Holdings, index: &Index, version: &str, work: &Work) -> Result<Option<Learnt>, Error> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads((cores / 2).max(1)).build();
    pool.map_err(|_| Error::TrainingFailed)?.install(|| {
        let total = holdings.len();
        work.step("BLOCK", 0, total);
        let (corpus, placeholders) = holdings.corpus(&index.model.placeholders);
        let blocked = bulk::block(&corpus);
        if !work.step("LEARN", 0, total) {
            return Ok(None);
        }
        let model = holdings.learn(&corpus, &blocked, placeholders, version);
        drop((corpus, blocked));
        let body = model.to_json().map_err(|_| Error::TrainingFailed)?;
        let after = index.with_model(model);
        let go_on = |done| work.step("COMPARE", done, total);
        let Some(differences) = holdings.differences(index, &after, &go_on) else { return Ok(None) };
        Ok(Some((body, total as i64, differences.into_iter().map(Into::into).collect())))
    })
}

impl From<Difference> for ModelChange {
    fn from(difference: Difference) -> Self {
        let Difference { record, person, before, after, candidate, probability } = difference;
        let (before, after) = (before.to_owned(), after.to_owned());
        Self { record, person, before, after, candidate, probability }
    }
}
