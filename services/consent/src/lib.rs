//! Consent: who may see what, decided from the patient's directives and the network's default.
//!
//! Whatever cannot be decided is denied. Only the caller that was verified is judged, never one that a request
//! names. The service depends on the audit log, in which each change stands before it is made, and on the index,
//! which says whose records a person's are when emergency access is recorded; releases are
//! audited by who makes them, with the rules that this service names. The network's policy is a document in versions
//! (see [`document`]); as long as none was activated, one that is shipped holds.

use std::{sync::Arc, time::Duration};

use signpost_common::{clock::SharedClock, db, lifecycle::Lifecycle, rpc::audit::AuditTrail};
use signpost_proto::consent::v1::{
    consent_service_server::ConsentServiceServer,
    emergency_access_service_server::EmergencyAccessServiceServer,
    notice_service_server::NoticeServiceServer, policy_service_server::PolicyServiceServer,
};
use tonic::service::Routes;

pub mod document;
pub mod domain;
pub mod fhir;
pub mod store;

mod convert;
mod error;
mod keeper;
mod kept;
mod patients;
mod rulebook;
mod service;

pub use patients::{Index, Patients};

/// Where the service keeps its data, and what holds when the patient said nothing.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: db::Location,
    /// What the network does as long as no policy was activated.
    pub network_default: document::NetworkDefault,
    /// Most sessions of emergency access that one user opens in a day; 0 for any number.
    pub emergency_per_user_per_day: u32,
}

/// What the service needs from others.
#[derive(Clone)]
pub struct Deps {
    /// Where changes are recorded.
    pub audit: AuditTrail,
    /// Who the records of a person belong to.
    pub patients: Arc<dyn Patients>,
    /// Time.
    pub clock: SharedClock,
    /// Runs work that goes on behind the answers.
    pub lifecycle: Lifecycle,
}

/// Opens the database and returns the three services.
pub async fn build(config: Config, deps: Deps) -> Result<Routes, db::Error> {
    let store: Arc<dyn store::Store> = Arc::from(store::open(&config.database).await?);
    let service = service::Service {
        rulebook: Arc::new(rulebook::Rulebook::new(store.clone(), config.network_default)),
        keeper: keeper::Keeper::new(store.clone(), &deps.lifecycle),
        store,
        audit: deps.audit,
        patients: deps.patients,
        clock: deps.clock,
        network_default: config.network_default,
        emergency_per_user_per_day: config.emergency_per_user_per_day,
    };
    deps.lifecycle.spawn(escalate(service.clone(), deps.lifecycle.clone()));
    Ok(Routes::new(ConsentServiceServer::new(service.clone()))
        .add_service(NoticeServiceServer::new(service.clone()))
        .add_service(EmergencyAccessServiceServer::new(service.clone()))
        .add_service(PolicyServiceServer::new(service)))
}

/// How often overdue reviews are looked for.
const ESCALATE_EVERY: Duration = Duration::from_secs(60);

/// Tells of overdue reviews as long as the process serves. Several processes tell of each once.
async fn escalate(service: service::Service, lifecycle: Lifecycle) {
    let stopping = lifecycle.stopping();
    tokio::pin!(stopping);
    let mut ticks = tokio::time::interval(ESCALATE_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut stopping => return,
        }
        let now_us = service.clock.now().as_microsecond();
        match service.store.escalate(now_us).await {
            Ok(0) => {}
            Ok(sessions) => tracing::warn!(sessions, "reviews of emergency access are overdue"),
            Err(error) => tracing::error!(%error, "overdue reviews could not be looked for"),
        }
    }
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(database: &db::Location) -> Result<(), db::Error> {
    store::open(database).await.map(drop)
}
