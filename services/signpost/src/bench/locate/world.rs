//! Everything around a locate: pointers in the registry, members' sources, the exchange in one process or six.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use prost_types::Timestamp;
use signpost_common::{
    clock::{Clock, SystemClock},
    hash::sha256,
    id::MemberId,
};
use signpost_proto::{
    common::v1::{Coding, PurposeOfUse, RecordReference, Role},
    directory::v1::{Endpoint, EndpointProtocol, SetEndpointRequest},
    registry::v1::DocumentEntry,
};
use signpost_registry::bulk::{AT_ONCE_MAX, Bulk};
use signpost_source::index::COLUMNS;
use tokio::runtime::{Builder, Runtime};

use super::super::{
    database::Database,
    load::{failed, user},
    sample::ByMember,
    server::{self, Server},
};
use crate::{
    cli::{Bars, request_id},
    client::{self, Client, Party},
    config::{Config, EXCHANGE, Service},
    port::free_address,
    wiring::{self, Running},
};

/// Types of documents, as they are spread over a person's pointers.
const TYPES: [(&str, &str); 8] = [
    ("48765-2", "Allergies"),
    ("10160-0", "History of medication use"),
    ("11450-4", "Problem list"),
    ("18842-5", "Discharge summary"),
    ("11524-6", "EKG study"),
    ("18748-4", "Diagnostic imaging study"),
    ("11506-3", "Progress note"),
    ("11502-2", "Laboratory report"),
];

/// The first document is made on this day, 2015-01-01, and each further one five days later: seconds since 1970.
const FIRST_S: i64 = 1_420_070_400;
const APART_S: i64 = 5 * 86_400;

/// Size of the document that is fetched.
pub(super) const DOCUMENT_BYTES: usize = 50 << 20;

/// Unique id and file of that document.
const DOCUMENT: &str = "large.bin";

/// Registers pointers for records, as many for each as come to so many in all, and returns how many there are.
pub(super) async fn fill(
    config: &Config,
    records: &BTreeMap<&'static str, Vec<String>>,
    pointers: u64,
    bars: &Bars,
) -> anyhow::Result<u64> {
    let registry = Bulk::open(&config.location(Service::Registry)?).await?;
    let count = records.values().map(Vec::len).sum::<usize>() as u64;
    let now_us = SystemClock.now().as_microsecond();
    let (mut done, mut before) = (0, 0);
    for (member, local_ids) in records {
        let member_id: MemberId = member.parse()?;
        let mut batch = vec![];
        for (local_id, place) in local_ids.iter().zip(before..) {
            // What does not come out even is spread.
            let (from, to) = (place * pointers / count, (place + 1) * pointers / count);
            batch.extend((from..to).map(|number| pointer(local_id, number)));
            if batch.len() >= AT_ONCE_MAX - 100 {
                done += batch.len() as u64;
                register(&registry, &member_id, &mut batch, now_us).await?;
                bars.show("registering pointers", done, pointers);
            }
        }
        before += local_ids.len() as u64;
        done += batch.len() as u64;
        register(&registry, &member_id, &mut batch, now_us).await?;
    }
    Ok(done)
}

async fn register(
    registry: &Bulk,
    member_id: &MemberId,
    batch: &mut Vec<DocumentEntry>,
    now_us: i64,
) -> anyhow::Result<()> {
    while !batch.is_empty() {
        let now = batch.drain(..batch.len().min(AT_ONCE_MAX));
        registry.register(member_id, now, now_us).await.map_err(failed)?;
    }
    Ok(())
}

fn pointer(local_id: &str, number: u64) -> DocumentEntry {
    let (code, display) = TYPES[number as usize % TYPES.len()];
    let time = Timestamp { seconds: FIRST_S + (number % 800) as i64 * APART_S, nanos: 0 };
    DocumentEntry {
        unique_id: format!("urn:bench:{number}"),
        patient: Some(RecordReference { member_id: String::new(), local_id: local_id.to_owned() }),
        class_code: Some(Coding { code: "11503-0".into(), ..Coding::default() }),
        type_code: Some(Coding { code: code.into(), display: display.into(), system: String::new() }),
        creation_time: Some(time),
        service_start_time: Some(time),
        author_institution: "General Hospital".into(),
        labels: vec!["N".into()],
        mime_type: "application/fhir+json".into(),
        size_bytes: 4096,
        sha256: sha256(&number.to_be_bytes()).to_vec(),
        ..DocumentEntry::default()
    }
}

/// Returns the local ids of records, by member.
pub(super) fn local_ids(records: &ByMember) -> BTreeMap<&'static str, Vec<String>> {
    let ids = |(member, rows): (&&'static str, &Vec<_>)| {
        let id = |row: &signpost_proto::mpi::v1::RegisterPatientRequest| row.local_id.clone();
        (*member, rows.iter().map(id).collect())
    };
    records.iter().map(ids).collect()
}

/// The exchange under measurement.
pub(super) struct Exchange {
    servers: Vec<Server>,
    endpoints: BTreeMap<Service, String>,
    keys: PathBuf,
}

impl Exchange {
    /// Starts it in one process or in six.
    pub(super) async fn start(folder: &Path, database: &Database, split: bool) -> anyhow::Result<Self> {
        let keys = server::pki(folder);
        if !split {
            let server = Server::start(folder, database, &[], &[]).await?;
            let endpoints = EXCHANGE.map(|service| (service, server.endpoint.clone())).into();
            return Ok(Self { servers: vec![server], endpoints, keys });
        }
        let mut addresses = BTreeMap::new();
        for service in EXCHANGE {
            addresses.insert(service, free_address()?);
        }
        let peer = |(service, address): (&Service, &String)| {
            (format!("SIGNPOST_PEERS__{}", service.name().to_uppercase()), format!("https://{address}"))
        };
        let others = addresses.iter().filter(|(service, _)| **service != Service::Locator);
        // Six processes share what the server has.
        let pool = ("SIGNPOST_DATABASE_CONNECTIONS_MAX".to_owned(), "8".to_owned());
        let settings: Vec<_> = others.map(peer).chain([pool]).collect();
        let mut servers = vec![];
        for (service, address) in &addresses {
            let listen = ("SIGNPOST_LISTEN".to_owned(), address.clone());
            let settings: Vec<_> = settings.iter().cloned().chain([listen]).collect();
            servers.push(Server::start(folder, database, &[*service], &settings).await?);
        }
        let endpoints =
            addresses.into_iter().map(|(service, address)| (service, format!("https://{address}")));
        Ok(Self { servers, endpoints: endpoints.collect(), keys })
    }

    /// Returns how many processes it is.
    pub(super) fn processes(&self) -> usize {
        self.servers.len()
    }

    /// Returns a member's connection to a service.
    pub(super) fn client(&self, member: &str, service: Service) -> anyhow::Result<Client> {
        let endpoint = self.endpoints.get(&service).context("no such service")?.clone();
        let (pki, member_id) = (self.keys.clone(), member.parse()?);
        Client::new(&Party { endpoint, server_name: "exchange".into(), pki, member_id })
    }

    /// Says where a member serves its documents.
    pub(super) async fn set_endpoint(&self, member: &str, address: &str) -> anyhow::Result<()> {
        let client = self.client(member, Service::Directory)?;
        let (uri, protocol) = (format!("https://{address}"), EndpointProtocol::Grpc.into());
        let endpoint = Endpoint { uri, tls_server_name: member.into(), protocol };
        let (member_id, endpoint) = (member.to_owned(), Some(endpoint));
        let request = SetEndpointRequest { member_id, endpoint, request_id: request_id() };
        let system = user("ehr-feed", Role::System, PurposeOfUse::Hoperat);
        client.directory().set_endpoint(client.request(&system, request)?).await.map_err(failed)?;
        Ok(())
    }

    /// Returns the server that runs a service.
    fn server(&self, service: Service) -> anyhow::Result<&Server> {
        let endpoint = self.endpoints.get(&service);
        let server = self.servers.iter().find(|server| Some(&server.endpoint) == endpoint);
        server.context("no such service")
    }

    /// Returns the memory that the locator's process has now, in MB, without files that are mapped into it.
    pub(super) fn locator_rss_mb(&self) -> anyhow::Result<f64> {
        self.server(Service::Locator)?.anonymous_rss_mb()
    }

    /// Returns the most memory that all processes have had, in MB.
    pub(super) fn peak_rss_mb(&self) -> anyhow::Result<f64> {
        self.servers.iter().map(Server::peak_rss_mb).sum()
    }

    /// Ends it.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        for server in self.servers {
            server.end().await?;
        }
        Ok(())
    }
}

/// The members' document sources, in this process.
pub(super) struct Sources {
    /// A thread of their own: they are not to wait for the load, nor the load for them.
    runtime: Runtime,
    running: Vec<Running>,
    /// Accepts connections and never says a word.
    hung: TcpListener,
}

impl Sources {
    /// Starts a source for every member, and tells the exchange where.
    pub(super) async fn start(folder: &Path, members: &[&str], exchange: &Exchange) -> anyhow::Result<Self> {
        let keys = server::pki(folder);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut running = vec![];
        for member in members {
            let documents = folder.join("members").join(member);
            let mut config = Config { listen: "127.0.0.1:0".into(), ..Config::default() };
            config.tls = client::files(&keys, member);
            config.source.member_id = (*member).to_owned();
            config.source.folder = documents.clone();
            if !documents.exists() {
                write_index(&documents, None)?;
            }
            let source =
                runtime.spawn(async move { wiring::start(&config, &[Service::Source]).await }).await??;
            exchange.set_endpoint(member, &source.address.to_string()).await?;
            running.push(source);
        }
        Ok(Self { runtime, running, hung: TcpListener::bind("127.0.0.1:0")? })
    }

    /// Returns the address of a source that hangs.
    pub(super) fn hung(&self) -> anyhow::Result<String> {
        Ok(self.hung.local_addr()?.to_string())
    }

    /// Ends them.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        let running = self.running;
        let stopped = self.runtime.spawn(async move {
            for source in running {
                source.stop().await?;
            }
            anyhow::Ok(())
        });
        let stopped = stopped.await;
        self.runtime.shutdown_background();
        stopped?
    }
}

/// Writes a member's large document of a patient, and returns its pointer.
pub(super) fn write_document(folder: &Path, member: &str, local_id: &str) -> anyhow::Result<DocumentEntry> {
    let documents = folder.join("members").join(member);
    write_index(&documents, Some(local_id))?;
    let bytes: Vec<u8> = (0..DOCUMENT_BYTES).map(|at| (at * 31 + at / 251) as u8).collect();
    fs::write(documents.join(DOCUMENT), &bytes).context("writing the large document")?;
    Ok(DocumentEntry {
        unique_id: DOCUMENT.into(),
        mime_type: "application/octet-stream".into(),
        size_bytes: bytes.len() as u64,
        sha256: sha256(&bytes).to_vec(),
        ..pointer(local_id, 0)
    })
}

fn write_index(documents: &Path, local_id: Option<&str>) -> anyhow::Result<()> {
    fs::create_dir_all(documents)?;
    let mut index = fs::File::create(documents.join("index.csv"))?;
    writeln!(index, "{}", COLUMNS.join(","))?;
    if let Some(local_id) = local_id {
        writeln!(index, "{local_id},{DOCUMENT},{DOCUMENT},application/octet-stream,48765-2,Allergies,,,,N,")?;
    }
    index.flush().map_err(|error| anyhow!(error))
}
