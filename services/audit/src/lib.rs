//! The audit log: every access and decision, in an append-only Merkle log (RFC 6962) whose growth members can check.
//!
//! A leaf is a protobuf message: field 1 the event without the patient's records, field 2 a keyed hash of each record
//! as `sfixed64`, ascending. A patient who calls appears in it under such a hash, in hexadecimal. Nothing is ever changed or deleted; the database itself refuses it. An append answers
//! once it is durable, and many appends share one transaction.

use std::sync::Arc;

use signpost_common::{clock::SharedClock, db, hash::Blinder, lifecycle::Lifecycle};
use signpost_proto::audit::v1::audit_log_service_server::AuditLogServiceServer;
use tonic::service::Routes;

pub mod domain;
pub mod store;

mod convert;
mod error;
mod service;
mod writer;

/// Where the service keeps its data, and how it hides patients in it.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: db::Location,
    /// Hides the records of patients. With another key, earlier events of a patient are not found.
    pub blinder: Blinder,
}

/// What the service needs from others.
#[derive(Clone)]
pub struct Deps {
    /// Time.
    pub clock: SharedClock,
    /// Owner of the task that writes.
    pub lifecycle: Lifecycle,
}

/// Opens the database, starts the writer, and returns the service.
pub async fn build(config: Config, deps: Deps) -> Result<Routes, db::Error> {
    let store: Arc<dyn store::Store> = Arc::from(store::open(&config.database).await?);
    let writer = writer::Writer::start(store.clone(), &deps.lifecycle);
    let service = service::Service { store, writer, blinder: config.blinder, clock: deps.clock };
    Ok(Routes::new(AuditLogServiceServer::new(service)))
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(database: &db::Location) -> Result<(), db::Error> {
    store::open(database).await.map(drop)
}
