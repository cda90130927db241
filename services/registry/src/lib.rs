//! The document registry: pointers to members' documents, and whether they lead anywhere.
//!
//! A pointer hangs on the custodian's own identifier of the patient, never on a person: when records are linked
//! or unlinked, no pointer moves. The registry holds no document, and does not decide who may see a pointer: members
//! see their own, services of the exchange see all and ask for consent. Every change of a pointer is logged with it, to be
//! followed, and to tell how the registry stood at any moment.

use std::sync::Arc;

use signpost_common::{clock::SharedClock, db, lifecycle::Lifecycle};
use signpost_proto::registry::v1::document_registry_service_server::DocumentRegistryServiceServer;
use tonic::service::Routes;

pub mod bulk;
pub mod domain;
pub mod store;

mod convert;
mod error;
mod scoreboard;
mod service;
mod watch;

/// Largest message: many times the largest pointer, and a feed holds many at once.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Where the service keeps its data.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: db::Location,
}

/// What the service needs from others.
#[derive(Clone)]
pub struct Deps {
    /// Time.
    pub clock: SharedClock,
    /// Owns streams, which end when the process stops.
    pub lifecycle: Lifecycle,
}

/// Opens the database and returns the service.
pub async fn build(config: Config, deps: Deps) -> Result<Routes, db::Error> {
    let store = store::open(&config.database).await?;
    let service = service::Service {
        store: Arc::from(store),
        clock: deps.clock,
        lifecycle: deps.lifecycle,
        changed: Arc::default(),
        watchers: Arc::default(),
        scoreboard: Arc::default(),
    };
    let server = DocumentRegistryServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(Routes::new(server))
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(database: &db::Location) -> Result<(), db::Error> {
    store::open(database).await.map(drop)
}
