//! The master patient index: every member's source records, and the persons they belong to.
//!
//! A record is stored with the decision that linked it in one transaction, and acknowledged after the commit.
//! Decisions are kept as events. The index knows nothing of documents or consent.

use std::sync::Arc;

use arc_swap::ArcSwap;
use signpost_common::{
    clock::SharedClock, db, hash::Blinder, lifecycle::Lifecycle, rpc::audit::AuditTrail, seal::KeyEncryption,
};
use signpost_proto::mpi::v1::{
    master_patient_index_service_server::MasterPatientIndexServiceServer,
    matching_model_service_server::MatchingModelServiceServer,
};
use tonic::service::Routes;

pub mod domain;
pub mod onboard;
pub mod store;

mod convert;
mod error;
mod feed;
mod golden;
mod limits;
mod models;
mod own;
mod retrain;
mod service;
mod watch;

/// Largest message: several times the largest record, and a feed holds many at once.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

pub use limits::Limits;

/// Where the service keeps its data.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: db::Location,
    /// Turns blocking keys into tokens; the same key must be used for the life of the database.
    pub blinder: Blinder,
    /// Wraps the keys that records are sealed under.
    pub sealing: Arc<dyn KeyEncryption>,
    /// How records are compared.
    pub matching: domain::Matching,
    /// How often callers may ask who is known.
    pub limits: Limits,
}

/// What the service needs from others.
#[derive(Clone)]
pub struct Deps {
    /// Where stewards' decisions are recorded.
    pub audit: AuditTrail,
    /// Time.
    pub clock: SharedClock,
    /// Owns streams, which end when the process stops.
    pub lifecycle: Lifecycle,
}

/// Opens the database and returns the service.
pub async fn build(config: Config, deps: Deps) -> Result<Routes, db::Error> {
    let now_us = deps.clock.now().as_microsecond();
    let store = store::open(&config.database, config.sealing, now_us).await?;
    onboard::finish(store.as_ref()).await.map_err(at_start)?;
    let index = domain::Index::new(config.blinder, config.matching);
    let index = retrain::adopt(store.as_ref(), index, now_us).await.map_err(at_start)?;
    let Deps { audit, clock, lifecycle } = deps;
    let service = service::Service {
        store: Arc::from(store),
        engine: Arc::new(ArcSwap::from_pointee(index)),
        probing: Arc::new(limits::Probing::new(config.limits)),
        audit,
        clock,
        lifecycle,
        decided: Arc::default(),
        watchers: Arc::default(),
        promoted: Arc::default(),
    };
    service.lifecycle.spawn(retrain::follow(service.clone()));
    let models = MatchingModelServiceServer::new(service.clone());
    let server = MasterPatientIndexServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(Routes::new(server).add_service(models))
}

/// Before anybody can ask for anything, only the database can fail.
fn at_start(error: store::Error) -> db::Error {
    match error {
        store::Error::Database(error) => error,
        _ => db::Error::Corrupt("index"),
    }
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(database: &db::Location) -> Result<(), db::Error> {
    store::migrate(database).await
}
