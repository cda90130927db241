//! Puts services together: in one process they call each other in memory, in many over mTLS.

use std::{collections::BTreeSet, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use rustls::ClientConfig;
use signpost_common::{
    clock::{self, SharedClock},
    db,
    hash::Blinder,
    id::MemberId,
    lifecycle::Lifecycle,
    rpc::{
        Transport,
        admit::Admission,
        audit::AuditTrail,
        client,
        identity::{DirectoryIdentities, FixedIdentities},
        server::Listener,
        tls,
    },
};
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::{
    config::{Config, EXCHANGE, Service},
    pki,
};

/// Services that run.
#[derive(Debug)]
pub struct Running {
    /// Address they listen on.
    pub address: SocketAddr,
    lifecycle: Lifecycle,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    grace: Duration,
}

impl Running {
    /// Runs until SIGTERM or SIGINT, then drains.
    pub async fn until_signal(self) -> anyhow::Result<()> {
        self.lifecycle.stop_on_signal().await?;
        self.stop().await
    }

    /// Stops: calls under way finish within the grace period, then what is left is dropped.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.lifecycle.stop();
        let Self { serving, grace, lifecycle, .. } = self;
        let abort = serving.abort_handle();
        match tokio::time::timeout(grace, serving).await {
            Ok(served) => served??,
            Err(_) => abort.abort(),
        }
        lifecycle.drain(grace).await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Starts services: all of the exchange when `only` names none.
pub async fn start(config: &Config, only: &[Service]) -> anyhow::Result<Running> {
    start_at(config, only, clock::system()).await
}

/// Starts services with a clock of their own.
pub async fn start_at(config: &Config, only: &[Service], clock: SharedClock) -> anyhow::Result<Running> {
    let services: BTreeSet<Service> =
        if only.is_empty() { EXCHANGE.into() } else { only.iter().copied().collect() };
    let lifecycle = Lifecycle::new();
    let tls = tls::server(&config.tls).map_err(hint)?;
    let listener = Listener::bind(&config.listen, tls).await;
    let listener = listener.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.address()?;
    let (routes, admission) = if services.contains(&Service::Source) {
        ensure!(
            services.len() == 1,
            "`source` runs as a member and cannot share a process with the exchange"
        );
        source(config, clock)?
    } else {
        exchange(config, &services, &lifecycle, clock).await?
    };
    let routes = add_health(routes, &services, config.reflection).await?;
    let serving = tokio::spawn(listener.serve(routes, admission, lifecycle.clone()));
    let names: Vec<_> = services.iter().map(|service| service.name()).collect();
    tracing::info!(%address, services = names.join(","), "serving");
    Ok(Running { address, lifecycle, serving, grace: Duration::from_millis(config.drain_grace_ms) })
}

/// Missing certificates are the first thing a newcomer meets.
fn hint(error: tls::Error) -> anyhow::Error {
    anyhow::Error::new(error).context("reading certificates; `signpost pki` makes them for development")
}

fn source(config: &Config, clock: SharedClock) -> anyhow::Result<(Routes, Admission)> {
    let settings = &config.source;
    let member_id: MemberId = settings.member_id.parse().context("reading the setting `source.member_id`")?;
    let allowed = settings.exchange.iter().map(|id| id.parse()).collect::<Result<_, _>>();
    let allowed = FixedIdentities(allowed.context("reading the setting `source.exchange`")?);
    let folder = settings.folder.clone();
    let routes = signpost_source::build(signpost_source::Config { folder, member_id })?;
    Ok((routes, Admission::new(allowed, None, clock)))
}

/// How services reach each other.
struct Peers<'a> {
    config: &'a Config,
    tls: Arc<ClientConfig>,
}

impl Peers<'_> {
    /// Returns the way to a service that is not in this process.
    fn remote(&self, service: Service) -> anyhow::Result<Transport> {
        let peers = &self.config.peers;
        let uri = match service {
            Service::Mpi => &peers.mpi,
            Service::Registry => &peers.registry,
            Service::Consent => &peers.consent,
            Service::Directory => &peers.directory,
            Service::Audit => &peers.audit,
            Service::Locator | Service::Source => bail!("nothing calls {}", service.name()),
        };
        let setting = || format!("reading the setting `peers.{}`", service.name());
        client::remote(uri, &peers.server_name, self.tls.clone()).with_context(setting)
    }

    /// Returns the way to a service: in memory when it is here.
    fn to(&self, service: Service, here: Option<&Routes>) -> anyhow::Result<Transport> {
        here.map_or_else(|| self.remote(service), |routes| Ok(client::in_process(routes.clone())))
    }
}

async fn exchange(
    config: &Config,
    services: &BTreeSet<Service>,
    lifecycle: &Lifecycle,
    clock: SharedClock,
) -> anyhow::Result<(Routes, Admission)> {
    let peers = Peers { config, tls: tls::client(&config.tls).map_err(hint)? };
    let has = |service| services.contains(&service);
    let opening = |service: Service| move || format!("opening the database of {}", service.name());
    let mut routes: Vec<Routes> = vec![];

    let mut audit_routes = None;
    if has(Service::Audit) {
        let database = config.location(Service::Audit)?;
        let settings = signpost_audit::Config { database, blinder: blinder(&config.blinding_key)? };
        let deps = signpost_audit::Deps { clock: clock.clone(), lifecycle: lifecycle.clone() };
        let built = signpost_audit::build(settings, deps).await.with_context(opening(Service::Audit))?;
        routes.push(built.clone());
        audit_routes = Some(built);
    }
    let audit = AuditTrail::new(peers.to(Service::Audit, audit_routes.as_ref())?, clock.clone());

    let mut directory_routes = None;
    if has(Service::Directory) {
        let bootstrap = match config.bootstrap.as_os_str().is_empty() {
            true => vec![],
            false => pki::read_members(&config.bootstrap)?,
        };
        let database = config.location(Service::Directory)?;
        let settings = signpost_directory::Config { database, bootstrap };
        let deps = signpost_directory::Deps { audit: audit.clone(), clock: clock.clone() };
        let built =
            signpost_directory::build(settings, deps).await.with_context(opening(Service::Directory))?;
        routes.push(built.clone());
        directory_routes = Some(built);
    }
    let directory = peers.to(Service::Directory, directory_routes.as_ref())?;

    let mut mpi_routes = None;
    if has(Service::Mpi) {
        let database = config.location(Service::Mpi)?;
        let settings = signpost_mpi::Config { database, blinder: blinder(&config.blinding_key)? };
        let deps = signpost_mpi::Deps { audit: audit.clone(), clock: clock.clone() };
        let built = signpost_mpi::build(settings, deps).await.with_context(opening(Service::Mpi))?;
        routes.push(built.clone());
        mpi_routes = Some(built);
    }

    let mut registry_routes = None;
    if has(Service::Registry) {
        let settings = signpost_registry::Config { database: config.location(Service::Registry)? };
        let deps = signpost_registry::Deps { clock: clock.clone() };
        let built =
            signpost_registry::build(settings, deps).await.with_context(opening(Service::Registry))?;
        routes.push(built.clone());
        registry_routes = Some(built);
    }

    let mut consent_routes = None;
    if has(Service::Consent) {
        let database = config.location(Service::Consent)?;
        let settings = signpost_consent::Config { database, network_default: config.consent.network_default };
        let patients = Arc::new(signpost_consent::Index::new(peers.to(Service::Mpi, mpi_routes.as_ref())?));
        let deps = signpost_consent::Deps { audit: audit.clone(), patients, clock: clock.clone() };
        let built = signpost_consent::build(settings, deps).await.with_context(opening(Service::Consent))?;
        routes.push(built.clone());
        consent_routes = Some(built);
    }

    if has(Service::Locator) {
        routes.push(signpost_locator::build(signpost_locator::Deps {
            mpi: peers.to(Service::Mpi, mpi_routes.as_ref())?,
            registry: peers.to(Service::Registry, registry_routes.as_ref())?,
            consent: peers.to(Service::Consent, consent_routes.as_ref())?,
            directory: directory.clone(),
            audit: audit.clone(),
            source_tls: peers.tls.clone(),
            lifecycle: lifecycle.clone(),
        }));
    }
    let identities = DirectoryIdentities::new(directory, "admission");
    Ok((merge(routes), Admission::new(identities, Some(audit), clock)))
}

/// Joins the routes of several services; each brings an answer for unknown methods, of which one is kept.
fn merge(routes: Vec<Routes>) -> Routes {
    let add = |all: Routes, more: Routes| {
        Routes::from(all.into_axum_router().merge(more.into_axum_router().reset_fallback()))
    };
    routes.into_iter().fold(Routes::default(), add)
}

async fn add_health(
    routes: Routes,
    services: &BTreeSet<Service>,
    reflection: bool,
) -> anyhow::Result<Routes> {
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in services {
        reporter.set_service_status(service.name(), tonic_health::ServingStatus::Serving).await;
    }
    let routes = routes.add_service(health);
    if !reflection {
        return Ok(routes);
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(signpost_proto::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(routes.add_service(reflection))
}

fn blinder(path: &Path) -> anyhow::Result<Blinder> {
    let reading = || format!("reading the blinding key {}", path.display());
    let text = std::fs::read_to_string(path).with_context(reading)?;
    let key = hex::decode(text.trim()).ok().and_then(|key| Blinder::new(&key));
    key.context("must be 64 hexadecimal digits").with_context(reading)
}

/// Brings the schemas of services up to date and does nothing else.
pub async fn migrate(config: &Config, only: &[Service]) -> anyhow::Result<Vec<Service>> {
    let mut done = vec![];
    for service in EXCHANGE.into_iter().filter(|service| only.is_empty() || only.contains(service)) {
        let database: db::Location = match service {
            Service::Locator | Service::Source => continue,
            _ => config.location(service)?,
        };
        let migrated = match service {
            Service::Mpi => signpost_mpi::migrate(&database).await,
            Service::Registry => signpost_registry::migrate(&database).await,
            Service::Consent => signpost_consent::migrate(&database).await,
            Service::Directory => signpost_directory::migrate(&database).await,
            Service::Audit => signpost_audit::migrate(&database).await,
            Service::Locator | Service::Source => Ok(()),
        };
        migrated.with_context(|| format!("migrating {}", service.name()))?;
        done.push(service);
    }
    Ok(done)
}
