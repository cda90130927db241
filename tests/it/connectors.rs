//! Members whose documents are served over HTTPS, from a FHIR server or an MHD responder.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, ensure};
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use signpost::{client, config::Service};
use signpost_common::{
    hash::sha256,
    rpc::{status, tls},
};
use signpost_proto::{
    common::v1::{Coding, RecordReference},
    directory::v1::{Endpoint, EndpointProtocol, SetEndpointRequest},
    mpi::v1::RegisterPatientRequest,
    registry::v1::{DocumentEntry, RegisterDocumentRequest},
};
use signpost_tests::{
    Cluster, Topology,
    find::{fetch, locate},
    physician,
    scenario::person,
    system,
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status};

const LOCAL_ID: &str = "MRN-9001";
const UNIQUE_ID: &str = "urn:oid:2.25.4711";
const TEXT: &str = "text/plain";

fn document() -> String {
    "allergic to penicillin\n".repeat(20_000)
}

/// What a FHIR server holds: one document of one patient.
#[derive(Debug, Clone)]
struct Holding {
    local_id: &'static str,
    mime_type: &'static str,
    bytes: Bytes,
}

impl Default for Holding {
    fn default() -> Self {
        Self { local_id: LOCAL_ID, mime_type: TEXT, bytes: document().into() }
    }
}

/// A member's FHIR server, with its base at `/fhir`. It ends with the test.
#[derive(Debug)]
struct FhirServer {
    address: SocketAddr,
    holding: Arc<Mutex<Holding>>,
    task: JoinHandle<()>,
}

impl Drop for FhirServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FhirServer {
    async fn start(cluster: &Cluster, member: &str) -> anyhow::Result<Self> {
        let mut config = (*tls::server(&client::files(&cluster.pki(), member))?).clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, holding) = (listener.local_addr()?, Arc::<Mutex<Holding>>::default());
        let shared = holding.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (handshake, shared) = (acceptor.accept(tcp), shared.clone());
                connections.spawn(async move {
                    let Ok(connection) = handshake.await else { return };
                    let certified = connection.get_ref().1.peer_certificates().is_some();
                    let serve = service_fn(|request| {
                        let holding = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                        async move { Ok::<_, Infallible>(answer(&request, certified, holding)) }
                    });
                    // Clients that leave are as it should be.
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(connection), serve)
                        .await
                        .ok();
                });
            }
        });
        Ok(Self { address, holding, task })
    }

    fn uri(&self) -> String {
        format!("https://{}/fhir", self.address)
    }

    fn hold(&self, holding: Holding) {
        *self.holding.lock().unwrap_or_else(PoisonError::into_inner) = holding;
    }
}

fn answer(request: &Request<Incoming>, certified: bool, holding: Holding) -> Response<Full<Bytes>> {
    let Holding { local_id, mime_type, bytes } = holding;
    let (status, sent, body) = match request.uri().path() {
        _ if !certified => (401, TEXT, "who is it?".into()),
        "/fhir/DocumentReference" => {
            let document = json!({
                "resourceType": "DocumentReference",
                "status": "current",
                "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": UNIQUE_ID},
                "subject": {"reference": "Patient/p1"},
                "content": [{"attachment": {"contentType": mime_type, "url": "Binary/b1"}}],
            });
            let patient = json!({"resourceType": "Patient", "id": "p1", "identifier": [{"value": local_id}]});
            let entry = json!([{"resource": document}, {"resource": patient}]);
            let bundle = json!({"resourceType": "Bundle", "type": "searchset", "entry": entry});
            (200, "application/fhir+json; charset=UTF-8", bundle.to_string().into())
        }
        "/fhir/Binary/b1" => (200, mime_type, bytes),
        _ => (404, TEXT, "nothing".into()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(sent));
    response
}

/// Has north know a patient, register a document and serve it in this protocol; returns the document's id.
async fn publish(
    cluster: &Cluster,
    server: &FhirServer,
    protocol: EndpointProtocol,
) -> anyhow::Result<String> {
    cluster.set_endpoint_of("north", &server.uri(), protocol).await?;
    let north = cluster.client("north", Service::Registry)?;
    let record = RegisterPatientRequest {
        local_id: LOCAL_ID.into(),
        demographics: Some(person(1)),
        request_id: String::new(),
    };
    north.mpi().register_patient(north.request(&system(), record)?).await?;
    let bytes = document();
    let entry = DocumentEntry {
        unique_id: UNIQUE_ID.into(),
        patient: Some(RecordReference { member_id: "north".into(), local_id: LOCAL_ID.into() }),
        type_code: Some(Coding { code: "48765-2".into(), ..Coding::default() }),
        mime_type: TEXT.into(),
        size_bytes: bytes.len() as u64,
        sha256: sha256(bytes.as_bytes()).to_vec(),
        ..DocumentEntry::default()
    };
    let request = RegisterDocumentRequest { entry: Some(entry), request_id: String::new() };
    let registered = north.registry().register_document(north.request(&system(), request)?).await?;
    Ok(registered.into_inner().document_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_on_a_members_fhir_server_is_found_and_fetched() -> anyhow::Result<()> {
    for protocol in [EndpointProtocol::Fhir, EndpointProtocol::Mhd] {
        let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
        let server = FhirServer::start(&cluster, "north").await?;
        let document_id = publish(&cluster, &server, protocol).await?;
        let west = cluster.client("west", Service::Locator)?;
        let located = locate(&west, &physician(), &person(1)).await?;
        assert_eq!(located.pointers.len(), 1);
        assert_eq!((located.completion.asked, located.completion.answered), (1, 1));
        let fetched = fetch(&west, &physician(), &document_id, "").await?;
        assert_eq!(fetched.bytes, document().as_bytes());
        assert_eq!(fetched.trailer.sha256, sha256(document().as_bytes()).to_vec());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fhir_server_sends_must_be_what_was_registered() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let server = FhirServer::start(&cluster, "north").await?;
    let document_id = publish(&cluster, &server, EndpointProtocol::Fhir).await?;
    let west = cluster.client("west", Service::Locator)?;
    let other = |bytes: String| Holding { bytes: bytes.into(), ..Holding::default() };
    let somebody = Holding { local_id: "MRN-9002", ..Holding::default() };
    let cases = [
        (other(document().replacen("allergic", "immune  ", 1)), Code::DataLoss, "WRONG_HASH"),
        (other(document() + "x"), Code::DataLoss, "WRONG_SIZE"),
        (Holding { mime_type: "text/html", ..Holding::default() }, Code::DataLoss, "WRONG_TYPE"),
        (somebody, Code::Unavailable, "SOURCE_HAS_NOT"),
    ];
    for (holding, code, reason) in cases {
        server.hold(holding);
        let failed = fetch(&west, &physician(), &document_id, "").await.map(drop);
        let failed = failed.err().with_context(|| format!("{reason}: it came"))?.downcast::<Status>()?;
        assert_eq!((failed.code(), status::reason(&failed).as_str()), (code, reason));
    }
    server.hold(Holding::default());
    assert_eq!(fetch(&west, &physician(), &document_id, "").await?.bytes, document().as_bytes());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_holds_everything_holds_no_url_that_tells_of_a_patient() -> anyhow::Result<()> {
    let builder = Cluster::builder(Topology::OneProcess).without_sources().logging_everything();
    let cluster = builder.start().await?;
    let server = FhirServer::start(&cluster, "north").await?;
    let document_id = publish(&cluster, &server, EndpointProtocol::Fhir).await?;
    let west = cluster.client("west", Service::Locator)?;
    locate(&west, &physician(), &person(1)).await?;
    fetch(&west, &physician(), &document_id, "").await?;
    // What fails is told with its reason alone.
    server.hold(Holding { local_id: "MRN-9002", ..Holding::default() });
    fetch(&west, &physician(), &document_id, "").await.map(drop).err().context("it came")?;
    drop(server);
    fetch(&west, &physician(), &document_id, "").await.map(drop).err().context("it came")?;
    let log = cluster.log()?;
    ensure!(log.contains("FetchDocument"), "the log says nothing");
    for secret in [LOCAL_ID, "MRN-9002", "2.25.4711", "patient.identifier", "penicillin"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_says_what_it_speaks_and_is_refused_by_field() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let north = cluster.client("north", Service::Directory)?;
    let set = async |uri: &str, protocol: i32| {
        let (uri, tls_server_name) = (uri.into(), "north".into());
        let endpoint = Some(Endpoint { uri, tls_server_name, protocol });
        let request = SetEndpointRequest { member_id: "north".into(), endpoint, request_id: String::new() };
        let set = north.directory().set_endpoint(north.request(&system(), request)?).await;
        anyhow::Ok(set.map(|set| set.into_inner().endpoint.unwrap_or_default()))
    };
    let (grpc, fhir) = (EndpointProtocol::Grpc as i32, EndpointProtocol::Fhir as i32);
    assert_eq!(set("https://127.0.0.1:1", 0).await??.protocol, grpc, "as before there was a choice");
    assert_eq!(set("https://127.0.0.1:1/fhir/R4", fhir).await??.protocol, fhir);
    for (uri, protocol, field) in [
        ("https://127.0.0.1:1/fhir", grpc, "endpoint.uri"),
        ("https://127.0.0.1:1/fhir?a=b", fhir, "endpoint.uri"),
        ("https://user@127.0.0.1:1/fhir", fhir, "endpoint.uri"),
        ("https://127.0.0.1:1", 9, "endpoint.protocol"),
    ] {
        let refusal = set(uri, protocol).await?.err().with_context(|| format!("{uri} was accepted"))?;
        assert_eq!(refusal.code(), Code::InvalidArgument, "{uri}");
        let shown = format!("{} {}", refusal.message(), String::from_utf8_lossy(refusal.details()));
        assert!(shown.contains(field), "{shown}");
    }
    Ok(())
}
