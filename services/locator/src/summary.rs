//! The patient summary: every permitted document that can be read, put together into one FHIR document.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;
use signpost_common::{clock, hash::sha256, rpc::Context};
use signpost_proto::{
    locator::v1::{
        BuildSummaryResponse, DocumentTrailer, SummaryConflict, SummaryDocument, SummaryHeader,
        SummaryOmission, build_summary_response::Message,
    },
    registry::v1::DocumentEntry,
};
use signpost_summary::{DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, Document, Request, Summary};
use tokio::{sync::mpsc, task::spawn_blocking};
use tonic::Status;

use crate::{
    clients::{Clients, Decided},
    convert, error,
    fetch::{self, Part},
    history::{History, Opener, Wanted},
    permit::Permit,
};

/// Most bytes of all documents of one summary, which are in memory at once.
const BYTES_MAX: u64 = 64 << 20;

/// Largest chunk that is sent.
const CHUNK_BYTES: usize = 64 << 10;

/// What the exchange is called in a summary.
const EXCHANGE: &str = "Signpost";

/// What became of a person's documents.
#[derive(Default)]
struct Fetched<'a> {
    /// Those that were fetched.
    documents: Vec<&'a Decided>,
    /// Their contents, in the same order.
    contents: Vec<Vec<u8>>,
    /// Those that were not, and why.
    unread: Vec<SummaryDocument>,
}

/// Fetches the documents, puts them together and sends the summary, as long as all of them may be seen.
pub(crate) async fn send(
    clients: Clients,
    context: Context,
    wanted: Wanted,
    history: History,
    answers: mpsc::Sender<Result<BuildSummaryResponse, Status>>,
) {
    if let Err(failure) = build(&clients, &context, &wanted, &history, &answers).await {
        answers.send(Err(failure)).await.ok();
    }
}

async fn build(
    clients: &Clients,
    context: &Context,
    wanted: &Wanted,
    history: &History,
    answers: &mpsc::Sender<Result<BuildSummaryResponse, Status>>,
) -> Result<(), Status> {
    // Those that could not be read are named, and are to be permitted as well.
    let mut permit = Permit::new(&history.person, &history.documents, &wanted.emergency_session_id);
    let Some(mut fetched) = fetch_all(clients, context, wanted, history, answers).await else {
        return Ok(());
    };
    let failed = || Status::from(error::Error::Service("summary"));
    let (entries, contents): (Vec<_>, _) = (
        fetched.documents.iter().map(|document| document.entry.clone()).collect(),
        std::mem::take(&mut fetched.contents),
    );
    let assembled_at = clients.clock.now();
    // It may take half a second, in which nobody else is to wait.
    let assembled = spawn_blocking(move || assemble(&entries, &contents, assembled_at)).await;
    let summary = assembled.map_err(|_| failed())?;
    let bundle = serde_json::to_vec(&summary.bundle).map_err(|_| failed())?;
    let header = SummaryHeader { truncated: history.truncated, ..header(fetched, &summary) };
    let sha256 = Bytes::copy_from_slice(&sha256(&bundle));
    let trailer = DocumentTrailer { sha256, size_bytes: bundle.len() as u64 };
    let bundle = Bytes::from(bundle);
    let chunks = (0..bundle.len()).step_by(CHUNK_BYTES);
    let chunks = chunks.map(|at| bundle.slice(at..bundle.len().min(at + CHUNK_BYTES)));
    let messages = [Message::Header(header)].into_iter().chain(chunks.map(Message::Chunk));
    for message in messages.chain([Message::Trailer(trailer)]) {
        // First room, then the question whether it may still go: nothing waits in between.
        let Ok(room) = answers.reserve().await else { return Ok(()) };
        permit.holds(clients, context).await?;
        room.send(Ok(BuildSummaryResponse { message: Some(message) }));
    }
    Ok(())
}

/// Fetches what can be read; `None` when nobody waits for it any more.
async fn fetch_all<'a>(
    clients: &Clients,
    context: &Context,
    wanted: &Wanted,
    history: &'a History,
    answers: &mpsc::Sender<Result<BuildSummaryResponse, Status>>,
) -> Option<Fetched<'a>> {
    let opener = Opener::new(clients, context, wanted);
    let (mut fetched, mut bytes) = (Fetched::default(), 0);
    for document in &history.documents {
        if answers.is_closed() {
            return None;
        }
        let entry = &document.entry;
        let read = match left_out(document, fetched.documents.len(), bytes) {
            Some(reason) => Err(reason.to_owned()),
            None => {
                let collected = tokio::select! {
                    collected = collect(clients, &opener, document) => collected,
                    () = answers.closed() => return None,
                };
                collected.map_err(|failure| opener.reason(document, &failure))
            }
        };
        match read {
            Ok(content) => {
                bytes += content.len() as u64;
                fetched.documents.push(document);
                fetched.contents.push(content);
            }
            Err(reason) => fetched.unread.push(SummaryDocument {
                document_id: entry.document_id.clone(),
                custodian: convert::custodian(entry),
                reason,
                ..SummaryDocument::default()
            }),
        }
    }
    Some(fetched)
}

/// Returns why a document is not fetched at all.
fn left_out(document: &Decided, fetched: usize, bytes: u64) -> Option<&'static str> {
    let (mime_type, size) = (document.entry.mime_type.to_ascii_lowercase(), document.entry.size_bytes);
    // Whatever says that it is XML or JSON may be C-CDA or FHIR; a scanned page is neither.
    if !mime_type.contains("xml") && !mime_type.contains("json") {
        Some("TYPE_NOT_READ")
    } else if size > DOCUMENT_BYTES_MAX as u64 {
        Some("TOO_LARGE")
    } else if fetched >= DOCUMENTS_MAX || bytes + size > BYTES_MAX {
        Some("TOO_MANY_DOCUMENTS")
    } else {
        None
    }
}

/// Fetches a document into memory.
async fn collect(clients: &Clients, opener: &Opener<'_>, document: &Decided) -> Result<Vec<u8>, Status> {
    // A dynamic document states no size beforehand.
    let begun = opener.begin(document, DOCUMENT_BYTES_MAX as u64).await?;
    let context = opener.context();
    let opened = fetch::release(clients, &context, begun).await?;
    let (sender, mut parts) = mpsc::channel(1);
    let relay = async move { fetch::relay(clients, &context, opened, &sender, |part| part).await };
    let gather = async {
        let mut content = vec![];
        while let Some(Ok(part)) = parts.recv().await {
            if let Part::Chunk(chunk) = part {
                content.extend_from_slice(&chunk);
            }
        }
        content
    };
    let (relayed, content) = tokio::join!(relay, gather);
    relayed?;
    Ok(content)
}

fn assemble(entries: &[DocumentEntry], contents: &[Vec<u8>], assembled_at: jiff::Timestamp) -> Summary {
    let documents: Vec<_> = entries
        .iter()
        .zip(contents)
        .map(|(entry, bytes)| {
            let kind = entry.type_code.as_ref();
            Document {
                id: &entry.document_id,
                custodian: entry.patient.as_ref().map_or("", |patient| &patient.member_id),
                type_code: kind.map_or("", |kind| &kind.code),
                title: kind.map_or("", |kind| &kind.display),
                created: entry.creation_time.as_ref().and_then(clock::from_proto),
                mime_type: &entry.mime_type,
                sha256: Some(sha256(bytes)),
                bytes,
            }
        })
        .collect();
    let request = Request { subject: None, assembled_at, exchange: EXCHANGE.to_owned() };
    signpost_summary::summarise(&request, &documents)
}

/// Says what became of every document and statement, and what must go with the summary.
fn header(fetched: Fetched<'_>, summary: &Summary) -> SummaryHeader {
    let Fetched { documents, contents: _, unread } = fetched;
    let report = &summary.report;
    let statements: BTreeMap<&str, u32> = report
        .documents
        .iter()
        .map(|document| (document.id.as_str(), document.statements.values().map(|count| *count as u32).sum()))
        .collect();
    let read: BTreeSet<&str> =
        report.documents.iter().filter(|d| d.format.is_some()).map(|d| d.id.as_str()).collect();
    let whole =
        |id: &str| report.skipped.iter().find(|skipped| skipped.document == id && skipped.place.is_empty());
    let of_fetched = documents.iter().map(|document| {
        let id = document.entry.document_id.as_str();
        let reason = match read.contains(id) {
            true => String::new(),
            false => whole(id).map_or_else(|| "FORMAT_UNKNOWN".to_owned(), |s| name(&s.reason)),
        };
        SummaryDocument {
            document_id: id.to_owned(),
            custodian: convert::custodian(&document.entry),
            reason,
            statements: statements.get(id).copied().unwrap_or_default(),
        }
    });
    let of_all = of_fetched.chain(unread).collect();
    let omissions = report.skipped.iter().filter(|skipped| !skipped.place.is_empty());
    let omissions = omissions.map(|skipped| SummaryOmission {
        document_id: skipped.document.clone(),
        section: skipped.section.map(|section| section.code().to_owned()).unwrap_or_default(),
        reason: name(&skipped.reason),
        text: skipped.reason.text().to_owned(),
        count: skipped.count as u32,
    });
    let conflicts = report.conflicts.iter().map(|conflict| SummaryConflict {
        kind: name(&conflict.kind),
        text: conflict.kind.text().to_owned(),
        section: conflict.section.map(|section| section.code().to_owned()).unwrap_or_default(),
        entry_urls: conflict.entries.clone(),
        document_ids: conflict.documents.clone(),
    });
    let duties = documents.iter().flat_map(|document| &document.decision.obligations);
    let notices: BTreeSet<String> = documents.iter().flat_map(|document| document.duties().notices).collect();
    SummaryHeader {
        documents: of_all,
        conflicts: conflicts.collect(),
        omissions: omissions.collect(),
        entries: report.entries.len() as u32,
        notices: notices.into_iter().collect(),
        obligations: convert::each_once(duties),
        truncated: false,
    }
}

/// Returns the stable name of a reason or a kind.
fn name(of: &impl Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(_) | Err(_) => String::new(),
    }
}
