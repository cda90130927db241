//! The locator: finds the traveller, lists what may be seen, fetches it. It owns no data.
//!
//! Its rules: nothing is released before its audit event is durable; a document that may not be seen looks like one
//! that does not exist; a member's failure is an outcome in the answer, never an error of the call; where a
//! document lies is known from the directory alone, never from a pointer.

use std::{sync::Arc, time::Duration};

use signpost_common::{
    clock::SharedClock,
    lifecycle::Lifecycle,
    rpc::{Transport, audit::AuditTrail, reload::ClientTls},
};
use signpost_proto::{
    consent::v1::{consent_service_client::ConsentServiceClient, notice_service_client::NoticeServiceClient},
    directory::v1::directory_service_client::DirectoryServiceClient,
    locator::v1::record_locator_service_server::RecordLocatorServiceServer,
    mpi::v1::master_patient_index_service_client::MasterPatientIndexServiceClient,
    registry::v1::document_registry_service_client::DocumentRegistryServiceClient,
};
use tonic::service::Routes;

mod clients;
mod convert;
mod domain;
mod duties;
mod error;
mod even;
mod fetch;
mod history;
mod list;
mod locate;
mod permit;
mod probe;
mod runs;
mod service;
mod sources;
mod summary;

use clients::Clients;
use runs::UnderWay;
use sources::Sources;

/// What the service is told.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How often pointers are probed that nobody has followed for long; `None` for never.
    pub probe_every: Option<Duration>,
}

/// What the service needs from others.
#[derive(Clone)]
pub struct Deps {
    /// The index.
    pub mpi: Transport,
    /// The registry.
    pub registry: Transport,
    /// The consent service.
    pub consent: Transport,
    /// The directory.
    pub directory: Transport,
    /// Where every locate and fetch is recorded.
    pub audit: AuditTrail,
    /// How the exchange shows itself to members' document sources.
    pub source_tls: ClientTls,
    /// Owns the streams under way.
    pub lifecycle: Lifecycle,
    /// Time.
    pub clock: SharedClock,
}

/// Begins to probe and returns the service.
pub fn build(config: Config, deps: Deps) -> Routes {
    let clients = Clients {
        mpi: MasterPatientIndexServiceClient::new(deps.mpi),
        registry: DocumentRegistryServiceClient::new(deps.registry),
        consent: ConsentServiceClient::new(deps.consent.clone()),
        notices: NoticeServiceClient::new(deps.consent),
        directory: DirectoryServiceClient::new(deps.directory),
        audit: deps.audit,
        sources: Arc::new(Sources::new(deps.source_tls)),
        clock: deps.clock,
    };
    if let Some(every) = config.probe_every {
        deps.lifecycle.spawn(probe::run(clients.clone(), every, deps.lifecycle.stopping()));
    }
    let service = service::Service { clients, lifecycle: deps.lifecycle, under_way: UnderWay::default() };
    Routes::new(RecordLocatorServiceServer::new(service))
}
