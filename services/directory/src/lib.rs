//! The directory: members of the exchange, how they prove who they are, and where they serve documents.
//!
//! Every other service asks it whom a certificate belongs to and whether a token was used before, at every call. It depends on
//! the audit log alone: each change is audited before it is made.

use std::sync::Arc;

use signpost_common::{clock::SharedClock, db, lifecycle::Lifecycle, rpc::audit::AuditTrail};
use signpost_proto::directory::v1::directory_service_server::DirectoryServiceServer;
use tonic::service::Routes;

pub mod domain;
pub mod store;
pub mod tokens;

mod convert;
mod error;
mod service;

/// Where the service keeps its data, and whom it knows from the start.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: db::Location,
    /// Members that are added at the start when they are missing. A member that is there keeps its state: what was
    /// revoked or suspended stays so.
    pub bootstrap: Vec<domain::Member>,
}

/// What the service needs from others.
#[derive(Clone)]
pub struct Deps {
    /// Where changes are recorded.
    pub audit: AuditTrail,
    /// Time.
    pub clock: SharedClock,
    /// Owner of the tasks.
    pub lifecycle: Lifecycle,
}

/// Opens the database, adds the members of the bootstrap, and returns the service.
pub async fn build(config: Config, deps: Deps) -> Result<Routes, db::Error> {
    let store = store::open(&config.database).await?;
    let now_us = deps.clock.now().as_microsecond();
    for member in &config.bootstrap {
        store.bootstrap(member, now_us).await?;
    }
    let tokens = tokens::open(&config.database).await?;
    tokens::sweep(tokens.clone(), deps.clock.clone(), &deps.lifecycle);
    let service = service::Service { store: Arc::from(store), tokens, audit: deps.audit, clock: deps.clock };
    Ok(Routes::new(DirectoryServiceServer::new(service)))
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(database: &db::Location) -> Result<(), db::Error> {
    store::open(database).await?;
    tokens::open(database).await.map(drop)
}
