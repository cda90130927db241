//! The locator: finds the traveller, lists what may be seen, fetches it. It owns no data.
//!
//! Its rules: nothing is released before its audit event is durable; a document that may not be seen looks like one
//! that does not exist; a member's failure is an outcome in the answer, never an error of the call; where a
//! document lies is known from the directory alone, never from a pointer.

use std::sync::Arc;

use rustls::ClientConfig;
use signpost_common::{
    lifecycle::Lifecycle,
    rpc::{Transport, audit::AuditTrail},
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
mod locate;
mod permit;
mod service;

use clients::{Clients, Sources};

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
    pub source_tls: Arc<ClientConfig>,
    /// Owns the streams under way.
    pub lifecycle: Lifecycle,
}

/// Returns the service.
pub fn build(deps: Deps) -> Routes {
    let clients = Clients {
        mpi: MasterPatientIndexServiceClient::new(deps.mpi),
        registry: DocumentRegistryServiceClient::new(deps.registry),
        consent: ConsentServiceClient::new(deps.consent.clone()),
        notices: NoticeServiceClient::new(deps.consent),
        directory: DirectoryServiceClient::new(deps.directory),
        audit: deps.audit,
        sources: Arc::new(Sources::new(deps.source_tls)),
    };
    Routes::new(RecordLocatorServiceServer::new(service::Service { clients, lifecycle: deps.lifecycle }))
}
