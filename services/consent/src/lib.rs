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

use error::Error;
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
    /// Days for which decisions can be explained and notices read; 0 for good.
    pub retention_days: u32,
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

/// Opens the database and returns the services.
pub async fn build(config: Config, deps: Deps) -> Result<Routes, db::Error> {
    let store: Arc<dyn store::Store> = Arc::from(store::open(&config.database).await?);
    let shipped = config.network_default;
    store.keep_shipped(&shipped.version(), shipped.source()).await.map_err(|error| match error {
        Error::Database(error) => error,
        _ => db::Error::Corrupt("policy"),
    })?;
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
    deps.lifecycle.spawn(sweep(service.clone(), config.retention_days, deps.lifecycle.clone()));
    Ok(Routes::new(ConsentServiceServer::new(service.clone()))
        .add_service(NoticeServiceServer::new(service.clone()))
        .add_service(EmergencyAccessServiceServer::new(service.clone()))
        .add_service(PolicyServiceServer::new(service)))
}

/// How often overdue reviews, and what is old enough to go, are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

const DAY_US: i64 = 86_400_000_000;

/// Tells of overdue reviews and forgets what is old as long as the process serves. Several processes tell of each once.
async fn sweep(service: service::Service, retention_days: u32, lifecycle: Lifecycle) {
    let stopping = lifecycle.stopping();
    tokio::pin!(stopping);
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut stopping => return,
        }
        let now_us = service.clock.now().as_microsecond();
        escalate(service.store.as_ref(), now_us).await;
        if retention_days > 0 {
            forget(
                service.store.as_ref(),
                now_us.saturating_sub(i64::from(retention_days).saturating_mul(DAY_US)),
            )
            .await;
        }
    }
}

/// Most steps of one sweep: what is left waits for the next, and nobody waits long for either.
const STEPS_MAX: usize = 20;

/// Tells of overdue reviews.
async fn escalate(store: &dyn store::Store, now_us: i64) {
    for _ in 0..STEPS_MAX {
        match store.escalate(now_us).await {
            Ok(0) => return,
            Ok(sessions) => tracing::warn!(sessions, "reviews of emergency access are overdue"),
            Err(error) => return tracing::error!(%error, "overdue reviews could not be looked for"),
        }
    }
}

/// Forgets decisions and notices that are older than a moment.
async fn forget(store: &dyn store::Store, before_us: i64) {
    for _ in 0..STEPS_MAX {
        match store.forget(before_us).await {
            Ok(0) => return,
            Ok(forgotten) => tracing::info!(forgotten, "decisions and notices were old enough to go"),
            Err(error) => return tracing::error!(%error, "what is old could not be forgotten"),
        }
    }
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(database: &db::Location) -> Result<(), db::Error> {
    store::open(database).await.map(drop)
}
