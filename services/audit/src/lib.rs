//! The audit log: every access and decision, in an append-only Merkle log (RFC 6962) whose growth members can check.
//!
//! A leaf is a protobuf message: field 1 the event without the patient's records, field 2 a keyed hash of each record
//! as `sfixed64`, ascending. A patient who calls appears in it under such a hash, in hexadecimal. Nothing is ever changed or deleted; the database itself refuses it. An append answers
//! once it is durable, and many appends share one transaction.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use signpost_common::{
    clock::SharedClock,
    db,
    hash::Blinder,
    lifecycle::Lifecycle,
    rpc::{Transport, watch::Watchers},
};
use signpost_proto::audit::v1::audit_log_service_server::AuditLogServiceServer;
use tokio::sync::{Notify, watch};
use tonic::service::Routes;

pub mod bulk;
pub mod domain;
pub mod export;
pub mod journal;
pub mod misuse_policy;
pub mod raw;
pub mod signing;
pub mod store;
pub mod verify;

mod convert;
mod error;
mod misuse;
mod notary;
mod service;
mod sinks;
mod watcher;
mod writer;

/// Where the service keeps its data, and how it hides patients in it.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: db::Location,
    /// Hides the records of patients. With another key, earlier events of a patient are not found.
    pub blinder: Blinder,
    /// Signs what the log has become.
    pub signer: signing::Signer,
    /// Keys that signed before it, whose checkpoints still count.
    pub keys_before: Vec<domain::checkpoint::Verifier>,
    /// File on another disk that takes events while the database does not.
    pub journal: Option<PathBuf>,
    /// What counts as a sign of misuse.
    pub misuse: domain::misuse::Policy,
}

/// What the service needs from others.
#[derive(Clone)]
pub struct Deps {
    /// Time.
    pub clock: SharedClock,
    /// Owner of the task that writes.
    pub lifecycle: Lifecycle,
    /// Told what needs looking after.
    pub alarms: Alarms,
    /// The directory, once it can be reached: it says what members are.
    pub directory: Arc<OnceLock<Transport>>,
}

/// What needs looking after; nothing as long as all is well.
#[derive(Debug, Clone, Default)]
pub struct Alarms {
    /// A sink takes no events.
    pub sinks: watch::Sender<Option<String>>,
    /// No checkpoint may be signed.
    pub checkpoints: watch::Sender<Option<String>>,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not open.
    #[error("opening the database")]
    Database(#[from] db::Error),
    /// The journal does not open.
    #[error("opening the journal")]
    Journal(#[from] journal::Error),
}

/// Opens the database, starts the writer and the notary, and returns the service.
pub async fn build(config: Config, deps: Deps) -> Result<Routes, Error> {
    let Config { database, blinder, signer, keys_before, journal, misuse: policy } = config;
    let Deps { clock, lifecycle, alarms, directory } = deps;
    let (store, flags) = store::open_all(&database).await?;
    let journal = journal.map(|path| journal::Journal::open(&path)).transpose()?;
    let sinks = sinks::Sinks::start(store.clone(), journal, alarms.sinks, &lifecycle);
    let (writer, written) = writer::Writer::start(sinks, &lifecycle);
    let keys = std::iter::once(signer.verifier().clone()).chain(keys_before).collect();
    let signed = Arc::new(Notify::new());
    let notary = notary::Notary {
        store: store.clone(),
        signer,
        keys,
        clock: clock.clone(),
        last: std::sync::Mutex::default(),
        signed: signed.clone(),
        alarm: alarms.checkpoints,
    };
    Arc::new(notary).start(&lifecycle, written);
    let raised = Arc::new(Notify::new());
    let watcher = watcher::Watcher {
        store: flags.clone(),
        policy: policy.clone(),
        kinds: watcher::Kinds::new(directory.clone()),
        raised: raised.clone(),
    };
    watcher.start(&lifecycle);
    let misuse = misuse::Misuse {
        store: flags,
        policy,
        directory,
        blinder: blinder.clone(),
        clock: clock.clone(),
        lifecycle: lifecycle.clone(),
        raised,
        watchers: Watchers::default(),
    };
    let watchers = Watchers::default();
    let service = service::Service { store, writer, blinder, clock, lifecycle, watchers, signed, misuse };
    Ok(Routes::new(AuditLogServiceServer::new(service)))
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(database: &db::Location) -> Result<(), db::Error> {
    store::open(database).await.map(drop)
}
