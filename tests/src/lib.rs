//! The harness of the end-to-end tests: a cluster of real processes, or one in this process, with members that
//! serve real folders. Everything listens on loopback, has a folder of its own, and ends with the test.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use signpost::{
    client::{self, Client, Party},
    config::{Config, EXCHANGE, Matching, NetworkDefault, Service},
    pki,
    port::free_address,
    wiring,
};
use signpost_common::{db::Secret, rpc::token::User};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    directory::v1::{Endpoint, EndpointProtocol, SetEndpointRequest},
};
use signpost_source::index::COLUMNS;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use uuid::Uuid;

pub mod fake_source;
pub mod febrl;
pub mod find;
pub mod postgres;
pub mod scenario;

/// The members that every cluster has; more can be asked for.
pub const MEMBERS: [&str; 3] = ["north", "south", "west"];

/// How the exchange runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// In the test's own process, on SQLite files.
    InProcess,
    /// One process of its own, on SQLite files.
    OneProcess,
    /// A process for each service, on PostgreSQL.
    SixProcesses,
}

/// What a cluster should be like.
#[derive(Debug, Clone)]
pub struct Builder {
    topology: Topology,
    network_default: NetworkDefault,
    sources: bool,
    logs_everything: bool,
    matching: Option<Matching>,
    probe_seconds: Option<u64>,
    postgres: Option<String>,
    configure: Option<fn(&mut Config)>,
}

/// A running exchange and its members.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    config: Config,
    addresses: BTreeMap<Service, String>,
    processes: BTreeMap<Service, Process>,
    inside: Vec<wiring::Running>,
    sources: BTreeMap<String, wiring::Running>,
}

/// A process that was started and is ended with the test.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts the command and waits until it says where it listens.
    pub async fn serve(arguments: &[&str], log: impl Into<Stdio>) -> anyhow::Result<(Self, String)> {
        let mut command = Command::new(binary()?);
        command.args(arguments);
        Self::serve_by(command, log).await
    }

    /// Starts a command that ends in `signpost serve`, and waits until it says where it listens.
    pub async fn serve_by(mut command: Command, log: impl Into<Stdio>) -> anyhow::Result<(Self, String)> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(log).stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.context("the process does not say where it listens")??;
        let address = line.as_deref().and_then(|line| line.strip_prefix("listening on "));
        let address = address.with_context(|| format!("the process ended, or says {line:?}"))?;
        Ok((Self { child }, address.to_owned()))
    }

    /// Returns its id, as long as it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it at once, as a power cut would.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to stop, and returns whether it did well.
    pub async fn terminate(mut self) -> anyhow::Result<bool> {
        let pid = self.child.id().context("it has ended already")?;
        let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        ensure!(asked.success(), "SIGTERM could not be sent");
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        Ok(ended.context("it does not stop")??.success())
    }
}

/// Returns the command that `cargo build --bin signpost` made.
pub fn binary() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).context("no target folder")?;
    let binary = folder.join("signpost");
    ensure!(binary.exists(), "{} is missing: run `cargo build --bin signpost`", binary.display());
    Ok(binary)
}

/// Returns the folder of test data; `None`, with a message, when it is not there.
pub fn test_data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let folder =
        std::env::var_os("SIGNPOST_TEST_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    if !folder.is_dir() {
        eprintln!("skipped: no test data; SIGNPOST_TEST_DATA may name its folder");
        return None;
    }
    Some(folder)
}

/// Returns the PostgreSQL that tests may use; `None`, with a message, when there is none.
pub fn postgres() -> Option<String> {
    let url = std::env::var("SIGNPOST_TEST_POSTGRES").ok();
    if url.is_none() {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
    }
    url
}

/// True when tests may take as long as it takes to be sure (`tests/run --soak`).
pub fn soak() -> bool {
    std::env::var_os("SIGNPOST_TEST_SOAK").is_some()
}

impl Cluster {
    /// Begins to describe a cluster: opt-out, with sources.
    pub fn builder(topology: Topology) -> Builder {
        Builder {
            topology,
            network_default: NetworkDefault::OptOut,
            sources: true,
            logs_everything: false,
            matching: None,
            probe_seconds: None,
            postgres: None,
            configure: None,
        }
    }

    /// Starts a cluster in this process, opt-out, with sources.
    pub async fn start() -> anyhow::Result<Self> {
        Self::builder(Topology::InProcess).start().await
    }

    /// Returns the cluster's folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the configuration of the exchange.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the folder with keys.
    pub fn pki(&self) -> PathBuf {
        self.dir.path().join("pki")
    }

    /// Returns what a process that logs everything has logged.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.dir.path().join("log"))?)
    }

    /// Returns the address of a service: `https://host:port`.
    pub fn endpoint(&self, service: Service) -> String {
        format!("https://{}", self.addresses[&service])
    }

    /// Returns a member's folder of documents.
    pub fn documents(&self, member: &str) -> PathBuf {
        self.dir.path().join("members").join(member)
    }

    /// Connects a member to a service.
    pub fn client(&self, member: &str, service: Service) -> anyhow::Result<Client> {
        self.client_at(member, self.endpoint(service))
    }

    /// Connects a member to an address: `https://host:port`.
    pub fn client_at(&self, member: &str, endpoint: String) -> anyhow::Result<Client> {
        Client::new(&Party {
            endpoint,
            server_name: "exchange".into(),
            pki: self.pki(),
            member_id: member.parse()?,
        })
    }

    /// Returns the id of the process that runs a service.
    pub fn pid(&self, service: Service) -> Option<u32> {
        self.processes.get(&service)?.pid()
    }

    /// Takes the process that runs a service, to end it.
    pub fn take_process(&mut self, service: Service) -> anyhow::Result<Process> {
        let key = if self.processes.contains_key(&service) { service } else { Service::Locator };
        self.processes.remove(&key).with_context(|| format!("{} runs in no process", service.name()))
    }

    /// Sends a signal to the process of a service, for instance `STOP` to have it hang.
    pub async fn signal(&self, service: Service, signal: &str) -> anyhow::Result<()> {
        let id = self.processes.get(&service).and_then(|process| process.child.id());
        let id = id.with_context(|| format!("{} runs in no process of its own", service.name()))?;
        let sent = Command::new("kill").args([format!("-{signal}"), id.to_string()]).status().await?;
        ensure!(sent.success(), "the signal could not be sent");
        Ok(())
    }

    /// Starts a service again, at its address.
    pub async fn restart(&mut self, service: Service) -> anyhow::Result<()> {
        let only = if self.addresses.values().collect::<std::collections::BTreeSet<_>>().len() == 1 {
            vec![]
        } else {
            vec![service]
        };
        self.spawn(service, &only).await
    }

    /// Starts another process of a service that runs in one of its own, on the same database; returns its address, too.
    pub async fn replica(&self, service: Service) -> anyhow::Result<(Process, String)> {
        let name = format!("{}-replica", service.name());
        self.write_config(&name, &Config { listen: "127.0.0.1:0".into(), ..self.config.clone() })?;
        let file = self.dir.path().join(format!("{name}.toml"));
        let file = file.to_str().context("the folder's name is no text")?;
        let arguments = ["serve", "--config", file, "--only", service.name()];
        let (process, address) = Process::serve(&arguments, Stdio::inherit()).await?;
        Ok((process, format!("https://{address}")))
    }

    /// Writes a member's documents and their index, and starts or restarts its source.
    pub async fn serve_documents(&mut self, member: &str) -> anyhow::Result<()> {
        if let Some(running) = self.sources.remove(member) {
            running.stop().await?;
        }
        let mut config = self.config.clone();
        config.listen = "127.0.0.1:0".into();
        config.tls = client::files(&self.pki(), member);
        config.source.member_id = member.into();
        config.source.folder = self.documents(member);
        // On the heap: what a test waits for must fit the stack of its thread.
        let running = Box::pin(wiring::start(&config, &[Service::Source])).await?;
        self.set_endpoint(member, &format!("https://{}", running.address)).await?;
        self.sources.insert(member.into(), running);
        Ok(())
    }

    /// Stops a member's source; the directory still names it.
    pub async fn stop_source(&mut self, member: &str) -> anyhow::Result<()> {
        match self.sources.remove(member) {
            Some(running) => running.stop().await,
            None => bail!("{member} has no source"),
        }
    }

    /// Tells the directory where a member serves its documents, over gRPC.
    pub async fn set_endpoint(&self, member: &str, uri: &str) -> anyhow::Result<()> {
        self.set_endpoint_of(member, uri, EndpointProtocol::Grpc).await
    }

    /// Tells the directory where a member serves its documents, and in what protocol.
    pub async fn set_endpoint_of(
        &self,
        member: &str,
        uri: &str,
        protocol: EndpointProtocol,
    ) -> anyhow::Result<()> {
        let client = self.client(member, Service::Directory)?;
        let (uri, tls_server_name) = (uri.into(), member.into());
        let endpoint = Some(Endpoint { uri, tls_server_name, protocol: protocol.into() });
        let request = SetEndpointRequest { member_id: member.into(), endpoint, request_id: String::new() };
        client.directory().set_endpoint(client.request(&system(), request)?).await?;
        Ok(())
    }

    async fn spawn(&mut self, service: Service, only: &[Service]) -> anyhow::Result<()> {
        let name = only.first().map_or("all", |service| service.name());
        let file = self.dir.path().join(format!("{name}.toml"));
        let mut arguments = vec!["serve", "--config", file.to_str().context("path")?];
        for service in only {
            arguments.extend(["--only", service.name()]);
        }
        let log = match self.config.telemetry.filter.as_str() {
            "trace" => std::fs::File::create(self.dir.path().join("log"))?.into(),
            _ => Stdio::inherit(),
        };
        let (process, _) = Process::serve(&arguments, log).await?;
        self.processes.insert(service, process);
        Ok(())
    }

    fn write_config(&self, name: &str, config: &Config) -> anyhow::Result<()> {
        let mut text = config.shown()?;
        // The URL of the tests' own PostgreSQL: shown to nobody else.
        text = text.replace("postgres://[redacted]", config.database.expose());
        Ok(std::fs::write(self.dir.path().join(format!("{name}.toml")), text)?)
    }
}

impl Builder {
    /// Sets what holds when a patient said nothing.
    #[must_use]
    pub fn network_default(mut self, default: NetworkDefault) -> Self {
        self.network_default = default;
        self
    }

    /// Starts no document sources.
    #[must_use]
    pub fn without_sources(mut self) -> Self {
        self.sources = false;
        self
    }

    /// Lets processes log all they can, to a file: see [`Cluster::log`].
    #[must_use]
    pub fn logging_everything(mut self) -> Self {
        self.logs_everything = true;
        self
    }

    /// Compares records by a model of their own population.
    #[must_use]
    pub fn matching(mut self, matching: Matching) -> Self {
        self.matching = Some(matching);
        self
    }

    /// Has pointers probed so often.
    #[must_use]
    pub fn probe_seconds(mut self, seconds: u64) -> Self {
        self.probe_seconds = Some(seconds);
        self
    }

    /// Changes other settings of the exchange; the keys are there by then.
    #[must_use]
    pub fn configure(mut self, configure: fn(&mut Config)) -> Self {
        self.configure = Some(configure);
        self
    }

    /// Keeps data in this database of PostgreSQL, which nobody else uses.
    #[must_use]
    pub fn postgres(mut self, url: &str) -> Self {
        self.postgres = Some(url.to_owned());
        self
    }

    /// Starts it.
    pub async fn start(self) -> anyhow::Result<Cluster> {
        let dir = tempfile::tempdir()?;
        let pki_dir = dir.path().join("pki");
        let members = MEMBERS.map(|id| pki::NewMember {
            id: id.into(),
            name: format!("{id} hospital"),
            region: "MA".into(),
            kind: pki::Kind::Provider,
            endpoint: String::new(),
        });
        pki::create(&pki_dir, &members)?;
        let mut config = Config {
            listen: "127.0.0.1:0".into(),
            database: Secret::new(self.postgres.unwrap_or_else(|| "sqlite".into())),
            database_connections_max: 6,
            data_dir: dir.path().join("data"),
            bootstrap: pki_dir.join("members.toml"),
            blinding_key: pki_dir.join("blinding.key"),
            sealing_key: pki_dir.join("sealing.key"),
            audit_signing_key: pki_dir.join("audit.key"),
            tls: client::files(&pki_dir, "exchange"),
            drain_grace_ms: 3_000,
            ..Config::default()
        };
        config.consent.network_default = self.network_default;
        config.matching = self.matching.unwrap_or(config.matching);
        config.locator.probe_seconds = self.probe_seconds.unwrap_or(config.locator.probe_seconds);
        config.telemetry.filter = match self.logs_everything {
            true => "trace".into(),
            false => std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into()),
        };
        if let Some(configure) = self.configure {
            configure(&mut config);
        }
        let mut cluster = Cluster {
            dir,
            config,
            addresses: BTreeMap::new(),
            processes: BTreeMap::new(),
            inside: vec![],
            sources: BTreeMap::new(),
        };
        match self.topology {
            Topology::InProcess => {
                let running = Box::pin(wiring::start(&cluster.config, &[])).await?;
                let address = running.address.to_string();
                cluster.addresses = EXCHANGE.map(|service| (service, address.clone())).into();
                cluster.inside.push(running);
            }
            Topology::OneProcess => {
                // A fixed port, so that it can be started again in the same place.
                cluster.config.listen = free_address()?;
                cluster.addresses = EXCHANGE.map(|service| (service, cluster.config.listen.clone())).into();
                cluster.write_config("all", &cluster.config)?;
                cluster.spawn(Service::Locator, &[]).await?;
            }
            Topology::SixProcesses => cluster.start_six().await?,
        }
        if self.sources {
            for member in MEMBERS {
                let folder = cluster.documents(member);
                std::fs::create_dir_all(&folder)?;
                write_index(&folder, &[])?;
                cluster.serve_documents(member).await?;
            }
        }
        Ok(cluster)
    }
}

impl Cluster {
    async fn start_six(&mut self) -> anyhow::Result<()> {
        let url = postgres().context("SIGNPOST_TEST_POSTGRES is not set")?;
        self.config.database = Secret::new(new_database(&url).await?);
        for service in EXCHANGE {
            self.addresses.insert(service, free_address()?);
        }
        let peers = &mut self.config.peers;
        let uri = |service| format!("https://{}", self.addresses[&service]);
        peers.mpi = uri(Service::Mpi);
        peers.registry = uri(Service::Registry);
        peers.consent = uri(Service::Consent);
        peers.directory = uri(Service::Directory);
        peers.audit = uri(Service::Audit);
        for service in EXCHANGE {
            let listen = self.addresses[&service].clone();
            let config = Config { listen, ..self.config.clone() };
            self.write_config(service.name(), &config)?;
            self.spawn(service, &[service]).await?;
        }
        Ok(())
    }
}

/// Makes a database of its own and returns its URL.
async fn new_database(url: &str) -> anyhow::Result<String> {
    use sqlx::Connection;
    let name = format!("it_{}", Uuid::now_v7().simple());
    let mut connection = sqlx::PgConnection::connect(url).await?;
    // The name is made here, of hexadecimal digits.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    connection.close().await?;
    let (server, _) = url.rsplit_once('/').context("the URL names no database")?;
    Ok(format!("{server}/{name}"))
}

/// A document in a member's folder.
#[derive(Debug, Clone)]
pub struct DocumentFile {
    /// The patient's identifier at the member.
    pub local_id: String,
    /// File in the folder; also its unique id.
    pub file: String,
    /// MIME type.
    pub mime_type: String,
    /// LOINC type code.
    pub type_code: String,
    /// Labels.
    pub labels: String,
}

/// Writes a member's `index.csv`.
pub fn write_index(folder: &Path, documents: &[DocumentFile]) -> anyhow::Result<()> {
    let mut index = csv::Writer::from_path(folder.join("index.csv"))?;
    index.write_record(COLUMNS)?;
    for document in documents {
        let DocumentFile { local_id, file, mime_type, type_code, labels } = document;
        let time = "2025-03-01T09:00:00Z";
        index.write_record([
            local_id, file, file, mime_type, type_code, "", "", time, time, labels, "Hospital",
        ])?;
    }
    Ok(index.flush()?)
}

/// A member's unattended feed.
pub fn system() -> User {
    user("ehr", Role::System, PurposeOfUse::Hoperat)
}

/// A physician who treats.
pub fn physician() -> User {
    user("dr.lee", Role::Physician, PurposeOfUse::Treat)
}

/// A patient at a member's portal.
pub fn patient(local_id: &str) -> User {
    user(local_id, Role::Patient, PurposeOfUse::Patrqt)
}

/// Someone of the operator's.
pub fn operator(role: Role) -> User {
    user("sam", role, PurposeOfUse::Hoperat)
}

/// Any user.
pub fn user(name: &str, role: Role, purpose: PurposeOfUse) -> User {
    User { name: name.into(), role, purpose, encounter: String::new() }
}
