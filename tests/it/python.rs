//! A standard gRPC client in another language: stubs from the published contract, mutual TLS, tokens made by hand.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use signpost::config::Service;
use signpost_common::hash::sha256;
use signpost_proto::{
    common::v1::{Address, Coding, Demographics, HumanName, RecordReference},
    mpi::v1::RegisterPatientRequest,
    registry::v1::{DocumentEntry, RegisterDocumentRequest},
};
use signpost_tests::{Cluster, DocumentFile, Topology, system, write_index};
use tokio::process::Command;

/// Longest time that Python may take.
const PYTHON_TIMEOUT: Duration = Duration::from_secs(120);

/// Returns a Python that has what the client needs; `None`, with a message, when there is none.
async fn python() -> anyhow::Result<Option<PathBuf>> {
    if let Some(python) = std::env::var_os("SIGNPOST_TEST_PYTHON") {
        return Ok(Some(python.into()));
    }
    let needed = ["-c", "import cryptography, grpc, grpc_tools.protoc"];
    let tried = Command::new("python3").args(needed).stderr(Stdio::null()).status().await;
    if tried.is_ok_and(|status| status.success()) {
        return Ok(Some("python3".into()));
    }
    eprintln!(
        "skipped: no Python with grpcio, grpcio-tools and cryptography; SIGNPOST_TEST_PYTHON may name one"
    );
    Ok(None)
}

/// Runs the client and returns what it prints.
async fn client(python: &Path, cluster: &Cluster, what: &str, more: &[&Path]) -> anyhow::Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/python/locate.py");
    let endpoint = cluster.endpoint(Service::Locator);
    let address = endpoint.strip_prefix("https://").context("the endpoint is not https")?;
    let running = Command::new(python)
        .arg(script)
        .arg(what)
        .arg(cluster.pki())
        .args(["west", address])
        .args(more)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(PYTHON_TIMEOUT, running).await.context("the client does not end")?;
    let Output { status, stdout, stderr } = ended?;
    ensure!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).context("the client does not print JSON")
}

/// Makes bytes without a pattern that a wrong order of chunks would leave as it is (xorshift64*, Vigna 2016).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn jane() -> Demographics {
    let address =
        Address { line: "12 Chestnut Street".into(), postcode: "78701".into(), ..Address::default() };
    Demographics {
        names: vec![HumanName { given: vec!["Jane".into()], family: "Doe".into(), ..HumanName::default() }],
        birth_date: "1984-07-19".into(),
        addresses: vec![address],
        ..Demographics::default()
    }
}

/// Feeds Jane at a member and returns the person.
async fn feed(cluster: &Cluster, member: &str, local_id: &str) -> anyhow::Result<String> {
    let client = cluster.client(member, Service::Mpi)?;
    let record = RegisterPatientRequest {
        local_id: local_id.into(),
        demographics: Some(jane()),
        request_id: local_id.into(),
    };
    Ok(client.mpi().register_patient(client.request(&system(), record)?).await?.into_inner().person_id)
}

/// Puts a document into north's folder, serves and registers it, and returns its id.
async fn register(cluster: &mut Cluster, content: &[u8]) -> anyhow::Result<String> {
    let folder = cluster.documents("north");
    std::fs::write(folder.join("scan.bin"), content)?;
    let file = DocumentFile {
        local_id: "N-1".into(),
        file: "scan.bin".into(),
        mime_type: "application/octet-stream".into(),
        type_code: "18748-4".into(),
        labels: "N".into(),
    };
    write_index(&folder, &[file])?;
    cluster.serve_documents("north").await?;
    let entry = DocumentEntry {
        unique_id: "scan.bin".into(),
        patient: Some(RecordReference { member_id: "north".into(), local_id: "N-1".into() }),
        type_code: Some(Coding { code: "18748-4".into(), ..Coding::default() }),
        labels: vec!["N".into()],
        mime_type: "application/octet-stream".into(),
        size_bytes: content.len() as u64,
        sha256: sha256(content).to_vec(),
        ..DocumentEntry::default()
    };
    let client = cluster.client("north", Service::Registry)?;
    let request = RegisterDocumentRequest { entry: Some(entry), request_id: "scan".into() };
    let registered = client.registry().register_document(client.request(&system(), request)?).await?;
    Ok(registered.into_inner().document_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_another_language_locates_and_fetches() -> anyhow::Result<()> {
    let Some(python) = python().await? else { return Ok(()) };
    let mut cluster = Cluster::start().await?;
    let person = feed(&cluster, "north", "N-1").await?;
    let same = feed(&cluster, "south", "S-1").await?;
    assert_eq!(person, same, "both records are of one person");
    let content = noise((200 << 10) + 17);
    let document = register(&mut cluster, &content).await?;

    let out = cluster.dir().join("fetched.bin");
    let seen = client(&python, &cluster, "locate", &[&out]).await?;
    ensure!(std::fs::read(&out)? == content, "the document did not arrive byte for byte");

    let hash = hex::encode(sha256(&content));
    let probability = seen["probability"].as_f64().context("no probability")?;
    ensure!(probability > 0.9 && probability <= 1.0, "the probability is {probability}");
    let pointer = json!({
        "document_id": document,
        "custodian": "north",
        "type": "18748-4",
        "mime_type": "application/octet-stream",
        "size_bytes": content.len(),
        "sha256": hash,
    });
    let expected = json!({
        "match": "PERSON_MATCH_CERTAIN",
        "person_id": person,
        "probability": probability,
        "pointers": [pointer],
        // South holds no document, so it is not asked.
        "sources": { "north": "SOURCE_STATE_ANSWERED" },
        "asked": 1,
        "answered": 1,
        "truncated": false,
        "chunks": seen["chunks"],
        "fetched_sha256": hash,
        "fetched_mime_type": "application/octet-stream",
    });
    assert_eq!(seen, expected);
    let chunks = seen["chunks"].as_u64().context("no count of chunks")?;
    ensure!(chunks >= 4, "200 KiB came in {chunks} chunks of at most 64 KiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_another_language_reads_why_it_was_refused() -> anyhow::Result<()> {
    let Some(python) = python().await? else { return Ok(()) };
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let seen = client(&python, &cluster, "refuse", &[]).await?;
    let expected = json!({
        "code": "UNAUTHENTICATED",
        "reason": "TOKEN_MISSING",
        "domain": "signpost",
        "message": "the call carries no token: send `authorization: Bearer JWT`",
    });
    assert_eq!(seen, expected);
    Ok(())
}
