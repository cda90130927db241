//! Puts services together: in one process they call each other in memory, in many over mTLS.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
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
        pem,
        reload::{ClientTls, Live},
        server::Listener,
        tls,
        token::Signer,
    },
    seal::{FileKeys, KeyEncryption},
    secret_file,
};
use signpost_linkage::Model;
use signpost_mpi::domain::Matching;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
use zeroize::Zeroizing;

use crate::{
    config,
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
    tls: Live,
}

impl Running {
    /// Runs until SIGTERM or SIGINT, then drains. On SIGHUP certificates are read again at once.
    pub async fn until_signal(self) -> anyhow::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let look = async {
            while hangup.recv().await.is_some() {
                self.tls.look_now();
            }
            std::future::pending().await
        };
        tokio::select! {
            stopped = self.lifecycle.stop_on_signal() => stopped?,
            () = look => {}
        }
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
    let tls = Live::read(&config.tls).map_err(hint)?;
    lifecycle.spawn(tls.clone().follow(clock.clone(), lifecycle.stopping()));
    let listener = Listener::bind(&config.listen, tls.clone()).await;
    let listener = listener.with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.address()?;
    let alarms = signpost_audit::Alarms::default();
    let (routes, admission) = if services.contains(&Service::Source) {
        ensure!(
            services.len() == 1,
            "`source` runs as a member and cannot share a process with the exchange"
        );
        source(config, &tls, &lifecycle, clock)?
    } else {
        exchange(config, &services, &tls, &alarms, &lifecycle, clock).await?
    };
    let routes = add_health(routes, &services, &tls, &alarms, &lifecycle, config.reflection).await?;
    let serving = tokio::spawn(listener.serve(routes, admission, lifecycle.clone()));
    let names: Vec<_> = services.iter().map(|service| service.name()).collect();
    tracing::info!(%address, services = names.join(","), "serving");
    let grace = Duration::from_millis(config.drain_grace_ms);
    Ok(Running { address, lifecycle, serving, grace, tls })
}

/// Missing certificates are the first thing a newcomer meets.
fn hint(error: tls::Error) -> anyhow::Error {
    anyhow::Error::new(error).context("reading certificates; `signpost pki` makes them for development")
}

fn source(
    config: &Config,
    tls: &Live,
    lifecycle: &Lifecycle,
    clock: SharedClock,
) -> anyhow::Result<(Routes, Admission)> {
    let settings = &config.source;
    let member_id: MemberId = settings.member_id.parse().context("reading the setting `source.member_id`")?;
    let allowed = settings.exchange.iter().map(|id| id.parse()).collect::<Result<_, _>>();
    let allowed = FixedIdentities(allowed.context("reading the setting `source.exchange`")?);
    let registration = match settings.registry.uri.as_str() {
        "" => None,
        _ => Some(registration(config, &member_id, tls, lifecycle, clock.clone())?),
    };
    let folder = settings.folder.clone();
    let routes = signpost_source::build(signpost_source::Config { folder, member_id }, registration)?;
    Ok((routes, Admission::new(allowed, None, config.limits, clock)))
}

/// Returns how a source registers its documents: with its own certificate, and tokens that are bound to it.
fn registration(
    config: &Config,
    member_id: &MemberId,
    tls: &Live,
    lifecycle: &Lifecycle,
    clock: SharedClock,
) -> anyhow::Result<signpost_source::Registration> {
    let config::Source { state, rescan_seconds, registry, .. } = &config.source;
    let config::SourceRegistry { uri, server_name, token_key, kid, user } = registry;
    ensure!(*rescan_seconds > 0, "the setting `source.rescan_seconds` must be at least 1");
    let chain = pem::certificates(&config.tls.cert)?;
    let own = pem::facts(&chain[0]).context("reading the setting `tls.cert`")?;
    ensure!(
        own.member_id == *member_id,
        "the certificate of `tls.cert` is that of {}, and `source.member_id` is {member_id}",
        own.member_id
    );
    let signer = Signer::from_file(member_id.clone(), kid, token_key, &own.fingerprint)
        .context("reading the setting `source.registry.token_key`")?
        .bound_to(tls);
    let registry =
        client::remote(uri, server_name, tls).context("reading the setting `source.registry.uri`")?;
    Ok(signpost_source::Registration {
        state: state.clone(),
        rescan: Duration::from_secs(*rescan_seconds),
        settle: signpost_source::SETTLE,
        exchange: signpost_source::Exchange { registry, signer, user: user.clone(), clock },
        lifecycle: lifecycle.clone(),
    })
}

async fn exchange(
    config: &Config,
    services: &BTreeSet<Service>,
    tls: &Live,
    alarms: &signpost_audit::Alarms,
    lifecycle: &Lifecycle,
    clock: SharedClock,
) -> anyhow::Result<(Routes, Admission)> {
    let (tls, alarms) = (ClientTls::from(tls), alarms.clone());
    let (built, directory) = (BTreeMap::new(), Arc::default());
    let mut house = House { config, services, tls, alarms, clock: clock.clone(), built, directory };
    // Each needs only those before it; that audit and directory admit each other's calls is settled on the wire.
    house.build_audit(lifecycle).await?;
    let audit = AuditTrail::new(house.to(Service::Audit)?, clock.clone());
    house.build_directory(&audit, lifecycle).await?;
    house.directory.set(house.to(Service::Directory)?).ok();
    house.build_mpi(&audit, lifecycle).await?;
    house.build_registry(lifecycle).await?;
    house.build_consent(&audit, lifecycle).await?;
    house.build_locator(&audit, lifecycle)?;
    let identities = DirectoryIdentities::new(house.to(Service::Directory)?, "admission", lifecycle);
    Ok((merge(house.built.into_values()), Admission::new(identities, Some(audit), config.limits, clock)))
}

/// The services of the exchange that run here, and how to reach all of them.
struct House<'a> {
    config: &'a Config,
    services: &'a BTreeSet<Service>,
    tls: ClientTls,
    alarms: signpost_audit::Alarms,
    clock: SharedClock,
    built: BTreeMap<Service, Routes>,
    /// For the audit log, which is there before the directory.
    directory: Arc<OnceLock<Transport>>,
}

impl House<'_> {
    /// Returns the way to a service: in memory when it is here.
    fn to(&self, service: Service) -> anyhow::Result<Transport> {
        match self.built.get(&service) {
            Some(routes) => Ok(client::in_process(routes.clone())),
            None => self.remote(service),
        }
    }

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

    async fn build_audit(&mut self, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let Some(database) = self.database(Service::Audit)? else { return Ok(()) };
        let blinder = blinder(&self.config.blinding_key)?;
        let (signer, keys_before) = (log_signer(self.config)?, log_keys_before(self.config)?);
        let journal = Some(self.config.audit.journal.clone()).filter(|path| !path.as_os_str().is_empty());
        let misuse = misuse_policy(self.config, &blinder)?;
        let config = signpost_audit::Config { database, blinder, signer, keys_before, journal, misuse };
        let (clock, lifecycle, alarms) = (self.clock.clone(), lifecycle.clone(), self.alarms.clone());
        let deps = signpost_audit::Deps { clock, lifecycle, alarms, directory: self.directory.clone() };
        let built = signpost_audit::build(config, deps).await;
        self.built.insert(Service::Audit, built.context("starting the audit log")?);
        Ok(())
    }

    async fn build_directory(&mut self, audit: &AuditTrail, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let Some(database) = self.database(Service::Directory)? else { return Ok(()) };
        let bootstrap = match self.config.bootstrap.as_os_str().is_empty() {
            true => vec![],
            false => pki::read_members(&self.config.bootstrap)?,
        };
        let config = signpost_directory::Config { database, bootstrap };
        let (audit, clock, lifecycle) = (audit.clone(), self.clock.clone(), lifecycle.clone());
        let deps = signpost_directory::Deps { audit, clock, lifecycle };
        self.keep(Service::Directory, signpost_directory::build(config, deps).await)
    }

    async fn build_mpi(&mut self, audit: &AuditTrail, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let Some(database) = self.database(Service::Mpi)? else { return Ok(()) };
        let blinder = blinder(&self.config.blinding_key)?;
        let (sealing, matching) = (sealing(self.config)?, matching(&self.config.matching)?);
        let settings = &self.config.matching;
        let limits =
            signpost_mpi::Limits { user: settings.user_per_minute, member: settings.member_per_minute };
        let config = signpost_mpi::Config { database, blinder, sealing, matching, limits };
        let (audit, clock, lifecycle) = (audit.clone(), self.clock.clone(), lifecycle.clone());
        let deps = signpost_mpi::Deps { audit, clock, lifecycle };
        self.keep(Service::Mpi, signpost_mpi::build(config, deps).await)
    }

    async fn build_registry(&mut self, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let Some(database) = self.database(Service::Registry)? else { return Ok(()) };
        let deps = signpost_registry::Deps { clock: self.clock.clone(), lifecycle: lifecycle.clone() };
        let built = signpost_registry::build(signpost_registry::Config { database }, deps).await;
        self.keep(Service::Registry, built)
    }

    async fn build_consent(&mut self, audit: &AuditTrail, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        let Some(database) = self.database(Service::Consent)? else { return Ok(()) };
        let crate::config::Consent { network_default, emergency_per_user_per_day, retention_days } =
            self.config.consent;
        let config = signpost_consent::Config {
            database,
            network_default,
            emergency_per_user_per_day,
            retention_days,
        };
        let patients = Arc::new(signpost_consent::Index::new(self.to(Service::Mpi)?));
        let lifecycle = lifecycle.clone();
        let deps =
            signpost_consent::Deps { audit: audit.clone(), patients, clock: self.clock.clone(), lifecycle };
        self.keep(Service::Consent, signpost_consent::build(config, deps).await)
    }

    fn build_locator(&mut self, audit: &AuditTrail, lifecycle: &Lifecycle) -> anyhow::Result<()> {
        if !self.services.contains(&Service::Locator) {
            return Ok(());
        }
        let deps = signpost_locator::Deps {
            mpi: self.to(Service::Mpi)?,
            registry: self.to(Service::Registry)?,
            consent: self.to(Service::Consent)?,
            directory: self.to(Service::Directory)?,
            audit: audit.clone(),
            source_tls: self.tls.clone(),
            lifecycle: lifecycle.clone(),
            clock: self.clock.clone(),
        };
        let probe_every = match self.config.locator.probe_seconds {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        };
        let config = signpost_locator::Config { probe_every };
        self.keep(Service::Locator, Ok(signpost_locator::build(config, deps)))
    }

    /// Returns where a service keeps its data, when it is to run here.
    fn database(&self, service: Service) -> anyhow::Result<Option<db::Location>> {
        self.services.contains(&service).then(|| self.config.location(service)).transpose()
    }

    fn keep(&mut self, service: Service, built: Result<Routes, db::Error>) -> anyhow::Result<()> {
        let routes = built.with_context(|| format!("opening the database of {}", service.name()))?;
        self.built.insert(service, routes);
        Ok(())
    }
}

/// Joins the routes of several services; each brings an answer for unknown methods, of which one is kept.
fn merge(routes: impl IntoIterator<Item = Routes>) -> Routes {
    let add = |all: Routes, more: Routes| {
        Routes::from(all.into_axum_router().merge(more.into_axum_router().reset_fallback()))
    };
    routes.into_iter().fold(Routes::default(), add)
}

async fn add_health(
    routes: Routes,
    services: &BTreeSet<Service>,
    tls: &Live,
    alarms: &signpost_audit::Alarms,
    lifecycle: &Lifecycle,
    reflection: bool,
) -> anyhow::Result<Routes> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut told = vec![("certificates", tls.alarm())];
    if services.contains(&Service::Audit) {
        told.push(("audit-sinks", alarms.sinks.subscribe()));
        told.push(("audit-checkpoints", alarms.checkpoints.subscribe()));
    }
    for (name, alarm) in told {
        lifecycle.spawn(tell_alarm(reporter.clone(), name, alarm, lifecycle.stopping()));
    }
    for service in services {
        reporter.set_service_status(service.name(), ServingStatus::Serving).await;
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

/// Has the health service say of something whether it is in order.
async fn tell_alarm(
    reporter: HealthReporter,
    name: &'static str,
    mut alarm: watch::Receiver<Option<String>>,
    stopping: impl Future<Output = ()> + Send,
) {
    let telling = async {
        loop {
            let status = match alarm.borrow_and_update().is_some() {
                true => ServingStatus::NotServing,
                false => ServingStatus::Serving,
            };
            reporter.set_service_status(name, status).await;
            if alarm.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = stopping => {}
        () = telling => {}
    }
}

/// Reads the key that blocking keys are made under.
pub fn blinder(path: &Path) -> anyhow::Result<Blinder> {
    let reading =
        || format!("reading the blinding key {}; `signpost pki` makes one for development", path.display());
    let text = secret_file::read(path).with_context(reading)?;
    let key = hex::decode(text.trim()).ok().map(Zeroizing::new).and_then(|key| Blinder::new(&key));
    key.context("must be 64 hexadecimal digits").with_context(reading)
}

/// Returns what wraps the keys that records are sealed under.
pub fn sealing(config: &Config) -> anyhow::Result<Arc<dyn KeyEncryption>> {
    let before = config.sealing_keys_before.iter().map(PathBuf::as_path);
    let keys = FileKeys::read(&config.sealing_key, before)
        .context("reading the sealing key; `signpost pki` makes one for development")?;
    Ok(Arc::new(keys))
}

/// Reads the key that signs checkpoints of the audit log.
pub fn log_signer(config: &Config) -> anyhow::Result<signpost_audit::signing::Signer> {
    signpost_audit::signing::Signer::read(&config.audit_signing_key).with_context(|| {
        let path = config.audit_signing_key.display();
        format!("reading the signing key of the audit log, {path}; `signpost pki` makes one for development")
    })
}

/// Reads what counts as a sign of misuse.
fn misuse_policy(
    config: &Config,
    blinder: &Blinder,
) -> anyhow::Result<signpost_audit::domain::misuse::Policy> {
    let path = &config.audit.misuse_policy;
    if path.as_os_str().is_empty() {
        return Ok(signpost_audit::domain::misuse::Policy::default());
    }
    let reading = || format!("reading the setting `audit.misuse_policy`, {}", path.display());
    let text = std::fs::read_to_string(path).with_context(reading)?;
    signpost_audit::misuse_policy::read(&text, blinder).with_context(reading)
}

/// Returns the keys that signed checkpoints before.
pub fn log_keys_before(config: &Config) -> anyhow::Result<Vec<signpost_audit::domain::checkpoint::Verifier>> {
    let keys = config.audit.verifier_keys_before.iter().map(|text| text.parse());
    keys.collect::<Result<_, _>>().context("reading the setting `audit.verifier_keys_before`")
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

/// Reads a model file.
pub fn model(file: &Path) -> anyhow::Result<Model> {
    let at = || format!("reading the model {}", file.display());
    Model::from_json(&std::fs::read_to_string(file).with_context(at)?).with_context(at)
}

/// Returns how records are compared.
pub fn matching(settings: &config::Matching) -> anyhow::Result<Matching> {
    let model = match settings.model.as_os_str().is_empty() {
        true => Model::default(),
        false => model(&settings.model)?,
    };
    let region = settings.region.parse();
    let region = region.map_err(|_| {
        anyhow::anyhow!("the setting `matching.region` must be the two letters of a country, such as US")
    })?;
    Ok(Matching { model, population: settings.population, region })
}
