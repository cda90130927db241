//! Fetch: one document from its custodian to the caller, verified as it flows.

use std::time::Duration;

use bytes::Bytes;
use signpost_common::{
    hash::Sha256,
    rpc::{Context, status},
};
use signpost_proto::{
    audit::v1::{DocumentDisclosure, Event, EventKind, EventOutcome},
    common::v1::RecordReference,
    consent::v1::RecordReleaseNoticesRequest,
    locator::v1::{DocumentHeader, DocumentTrailer},
    mpi::v1::list_person_records_request::By,
    registry::v1::{DocumentEntry, DocumentStatus, GetDocumentRequest, ReportRetrievalRequest, Stability},
    source::v1::{
        RetrieveDocumentRequest, RetrieveDocumentResponse,
        retrieve_document_response::Message as SourceMessage,
    },
};
use tokio::{sync::mpsc, time::Instant};
use tonic::{Code, Status, Streaming};

use crate::{
    clients::{Clients, Decided, Person, TO_RECORD},
    convert,
    error::{self, Error},
    even,
    permit::Permit,
};

/// Longest wait for a source to begin to send.
const TO_BEGIN: Duration = Duration::from_secs(5);

/// Largest chunk that is sent on.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Which document, and how it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) action: &'static str,
    pub(crate) document_id: String,
    pub(crate) emergency_session_id: String,
    pub(crate) request_id: String,
}

/// A document whose release is recorded and whose source has begun to send.
pub(crate) struct Opened {
    header: DocumentHeader,
    entry: DocumentEntry,
    source: Streaming<RetrieveDocumentResponse>,
    pending: Bytes,
    hash: Sha256,
    received: u64,
    permit: Permit,
}

/// Decides, opens the source, records the release and decides again, in this order; nothing has been released yet.
///
/// The source and the log take their time: what was revoked meanwhile is recorded as refused and not released.
pub(crate) async fn open(clients: &Clients, context: &Context, order: &Order) -> Result<Opened, Status> {
    let began = Instant::now();
    let asked = decide(clients, context, order, false).await?;
    let Some(permitted) = asked.permitted() else {
        let refusal = refuse(clients, context, order, &asked).await;
        even::out(began, even::STEP).await;
        return Err(refusal?);
    };
    // The source must leave time to record how it went, and not let an emergency wait.
    let in_time = Context { deadline: context.deadline - TO_RECORD, ..context.clone() }.within(TO_BEGIN);
    let obligations = permitted.decision.obligations.clone();
    match retrieve(clients, &in_time, permitted).await {
        Ok(source) => {
            clients.audit.append(context, asked.event(order, EventOutcome::Success, "")).await?;
            let asked = decide(clients, context, order, true).await?;
            let (Some(permitted), Some(person)) = (asked.permitted(), &asked.person) else {
                return Err(refuse(clients, context, order, &asked).await?);
            };
            // What was masked, and who is told, is as the first answer had it.
            let told = match permitted.decision.obligations == obligations {
                true => notify(clients, context, person, permitted, order).await,
                false => Err(Error::Stopped.into()),
            };
            if let Err(stopped) = told {
                // The log holds a release that was not made after all.
                clients.record_failure(context, asked.event(order, EventOutcome::Failed, ""), &stopped).await;
                return Err(stopped);
            }
            Ok(Opened {
                header: convert::header(permitted),
                entry: permitted.entry.clone(),
                source,
                pending: Bytes::new(),
                hash: Sha256::default(),
                received: 0,
                permit: Permit::new(person, [permitted], &order.emergency_session_id),
            })
        }
        Err(failure) => {
            tracing::warn!(document_id = order.document_id, reason = failure.reason(), "source failed");
            let event = asked.event(order, EventOutcome::Failed, failure.reason());
            clients.audit.append(context, event).await?;
            report(clients, context, &permitted.entry.document_id, Some(failure.reason())).await;
            Err(failure.into())
        }
    }
}

/// Has those told who are to know of a release, before it is made.
async fn notify(
    clients: &Clients,
    context: &Context,
    person: &Person,
    permitted: &Decided,
    order: &Order,
) -> Result<(), Status> {
    let parties = permitted.duties().notify;
    if parties.is_empty() {
        return Ok(());
    }
    let request = RecordReleaseNoticesRequest {
        parties: parties.into_iter().map(Into::into).collect(),
        person_id: person.id.clone(),
        patient_records: person.records.clone(),
        document_id: permitted.entry.document_id.clone(),
        custodian: convert::custodian(&permitted.entry),
        emergency_session_id: order.emergency_session_id.clone(),
    };
    let recorded = clients.notices.clone().record_release_notices(context.request(request)).await;
    recorded.map(drop).map_err(error::of("consent service"))
}

/// Records a refusal and returns what the caller sees of it: the same as for a document that does not exist.
async fn refuse(
    clients: &Clients,
    context: &Context,
    order: &Order,
    asked: &Asked,
) -> Result<Status, Status> {
    let refusal = Error::DocumentUnknown;
    clients.audit.append(context, asked.event(order, EventOutcome::Refused, refusal.reason())).await?;
    Ok(refusal.into())
}

/// Whose a document is and what consent says; nothing when there is no such document.
#[derive(Default)]
struct Asked {
    person: Option<Person>,
    decided: Option<Decided>,
}

impl Asked {
    fn permitted(&self) -> Option<&Decided> {
        self.decided.as_ref().filter(|decided| decided.permitted())
    }

    fn event(&self, order: &Order, outcome: EventOutcome, reason: &str) -> Event {
        let released = outcome == EventOutcome::Success;
        let disclosure = |decided| DocumentDisclosure { released, ..convert::disclosure(decided) };
        let person = self.person.clone().unwrap_or_default();
        Event {
            kind: EventKind::Fetch.into(),
            action: order.action.to_owned(),
            outcome: outcome.into(),
            reason: reason.to_owned(),
            person_id: person.id,
            patient_records: person.records,
            documents: self.decided.iter().map(disclosure).collect(),
            emergency_session_id: order.emergency_session_id.clone(),
            request_id: order.request_id.clone(),
            object_id: order.document_id.clone(),
            ..Event::default()
        }
    }
}

/// Asks whose the document is and what consent says; when that cannot be found out, records it.
async fn decide(clients: &Clients, context: &Context, order: &Order, again: bool) -> Result<Asked, Status> {
    match ask(clients, context, order, again).await {
        Err(failure) => {
            let attempt = Asked::default().event(order, EventOutcome::Failed, "");
            clients.record_failure(context, attempt, &failure).await;
            Err(failure)
        }
        asked => asked,
    }
}

async fn ask(clients: &Clients, context: &Context, order: &Order, again: bool) -> Result<Asked, Status> {
    let document_id = order.document_id.clone();
    let request = context.request(GetDocumentRequest { document_id });
    let entry = match clients.registry.clone().get_document(request).await {
        Err(error) if error.code() == Code::NotFound => None,
        response => response.map_err(error::of("registry"))?.into_inner().entry,
    };
    // What its custodian withdrew is not to be relied on, whoever remembers its id.
    let entry = entry.filter(|entry| entry.status() != DocumentStatus::Deprecated);
    let Some((entry, patient)) =
        entry.and_then(|entry| entry.patient.clone().map(|patient| (entry, patient)))
    else {
        return Ok(Asked::default());
    };
    // Documents of a patient whom the index does not know are nobody's: directives could not be found.
    let person = match clients.person(context, By::Record(patient)).await {
        // Too many records to decide on: nothing is released, and nothing told.
        Err(error) if error.code() == Code::FailedPrecondition => None,
        person => person?,
    };
    let Some(person) = person else { return Ok(Asked::default()) };
    let linked = |record: &RecordReference| entry.patient.as_ref() == Some(record);
    if !person.records.iter().any(linked) {
        return Ok(Asked::default());
    }
    let session = &order.emergency_session_id;
    let decided = match clients.decide(context, &person, vec![entry], session, again).await {
        // A session that does not serve is refused as if there were no document: there is none to try it on either.
        Err(error) if error.code() == Code::FailedPrecondition => None,
        decided => decided?.pop(),
    };
    Ok(Asked { person: Some(person), decided })
}

/// Asks the custodian for the document and checks what it announces.
async fn retrieve(
    clients: &Clients,
    context: &Context,
    permitted: &Decided,
) -> Result<Streaming<RetrieveDocumentResponse>, Error> {
    let (entry, mask_labels) = (&permitted.entry, permitted.duties().mask);
    let member = convert::custodian(entry);
    let failed = |reason| Error::Source { member: member.clone(), reason };
    let endpoint = clients.endpoint(context, &member).await.map_err(|_| Error::Service("directory"))?;
    let endpoint = endpoint.ok_or_else(|| failed("SOURCE_WITHOUT_ENDPOINT"))?;
    let mut source = clients.sources.client(&endpoint).map_err(|_| failed("SOURCE_ENDPOINT_INVALID"))?;
    let request = RetrieveDocumentRequest {
        unique_id: entry.unique_id.clone(),
        patient: entry.patient.clone(),
        mask_labels: mask_labels.clone(),
    };
    let retrieved = async {
        let mut stream = source.retrieve_document(context.request(request)).await?.into_inner();
        let first = stream.message().await?;
        Ok::<_, Status>((stream, first))
    };
    let late = || Status::new(Code::DeadlineExceeded, "");
    let retrieved =
        tokio::time::timeout_at(context.deadline, retrieved).await.unwrap_or_else(|_| Err(late()));
    let (stream, first) = retrieved.map_err(|error| match error.code() {
        Code::NotFound => failed("SOURCE_HAS_NOT"),
        Code::DeadlineExceeded | Code::Cancelled => failed("SOURCE_TIMED_OUT"),
        Code::PermissionDenied | Code::Unauthenticated => failed("SOURCE_REFUSED"),
        Code::FailedPrecondition if status::reason(&error) == "MASKING_UNSUPPORTED" => {
            failed("SOURCE_CANNOT_MASK")
        }
        _ => failed("SOURCE_UNAVAILABLE"),
    })?;
    let wrong = |reason| Error::NotAsRegistered { member: member.clone(), reason };
    let Some(SourceMessage::Header(header)) = first.and_then(|first| first.message) else {
        return Err(wrong("WRONG_FORM"));
    };
    let masked = |label| header.masked_labels.contains(label);
    if !mask_labels.iter().all(masked) {
        return Err(failed("SOURCE_CANNOT_MASK"));
    }
    let is_static = entry.stability() != Stability::Dynamic && mask_labels.is_empty();
    if header.unique_id != entry.unique_id {
        Err(wrong("WRONG_DOCUMENT"))
    } else if header.mime_type != entry.mime_type {
        Err(wrong("WRONG_TYPE"))
    } else if is_static && header.size_bytes != entry.size_bytes {
        Err(wrong("WRONG_SIZE"))
    } else {
        Ok(stream)
    }
}

/// A part of a document, in the order header, chunks, trailer.
pub(crate) enum Part {
    Header(DocumentHeader),
    Chunk(Bytes),
    Trailer(DocumentTrailer),
}

/// Sends a document part by part, each wrapped as the stream needs it. Returns false when the caller has gone. A
/// document that ends in an error has no trailer, and what came of it is to be thrown away.
pub(crate) async fn relay<T>(
    clients: &Clients,
    context: &Context,
    order: &Order,
    mut opened: Opened,
    answers: &mpsc::Sender<Result<T, Status>>,
    wrap: fn(Part) -> T,
) -> Result<bool, Status> {
    let mut part = Ok(Part::Header(opened.header.clone()));
    let ended = loop {
        let Ok(next) = part else { break part.map(|_| true) };
        let is_last = matches!(next, Part::Trailer(_));
        // First room for the part, then the question whether it may still go, then it goes: nothing waits in between.
        let Ok(room) = answers.reserve().await else { return Ok(false) };
        if let Err(stopped) = opened.permit.holds(clients, context).await {
            break Err(stopped);
        }
        room.send(Ok(wrap(next)));
        if is_last {
            break Ok(true);
        }
        part = opened.next(context).await;
    };
    // The caller has what it waits for; how it went is recorded with time of its own.
    let context = Context { deadline: Instant::now() + TO_RECORD, ..context.clone() };
    opened.finish(clients, &context, order, ended.as_ref().err()).await;
    ended
}

impl Opened {
    /// True when its bytes are to be those that were registered.
    fn is_static(&self) -> bool {
        self.entry.stability() != Stability::Dynamic && self.header.masked_labels.is_empty()
    }

    /// Returns the next chunk, or the trailer when everything came and is what was registered.
    async fn next(&mut self, context: &Context) -> Result<Part, Status> {
        let member = || convert::custodian(&self.entry);
        let failed = |reason| Error::Source { member: member(), reason };
        let wrong = |reason| Error::NotAsRegistered { member: member(), reason };
        while self.pending.is_empty() {
            let message = tokio::time::timeout_at(context.deadline, self.source.message()).await;
            let message =
                message.map_err(|_| failed("SOURCE_TIMED_OUT"))?.map_err(|_| failed("SOURCE_BROKE_OFF"))?;
            match message.map(|message| message.message) {
                Some(Some(SourceMessage::Chunk(chunk))) => self.pending = chunk,
                Some(_) => return Err(wrong("WRONG_FORM").into()),
                None => {
                    let (sha256, is_static) = (self.hash.clone().finish(), self.is_static());
                    if is_static && self.received != self.entry.size_bytes {
                        return Err(wrong("WRONG_SIZE").into());
                    }
                    if is_static && self.entry.sha256 != sha256 {
                        return Err(wrong("WRONG_HASH").into());
                    }
                    let sha256 = Bytes::copy_from_slice(&sha256);
                    return Ok(Part::Trailer(DocumentTrailer { sha256, size_bytes: self.received }));
                }
            }
        }
        let chunk = self.pending.split_to(self.pending.len().min(CHUNK_BYTES_MAX));
        self.received += chunk.len() as u64;
        if self.is_static() && self.received > self.entry.size_bytes {
            return Err(wrong("WRONG_SIZE").into());
        }
        self.hash.update(&chunk);
        Ok(Part::Chunk(chunk))
    }

    /// Tells the registry how the retrieval ended, and the audit log when it failed after the release began.
    async fn finish(&self, clients: &Clients, context: &Context, order: &Order, failure: Option<&Status>) {
        // The release itself is recorded already.
        if let Some(failure) = failure {
            let reason = status::reason(failure);
            tracing::warn!(document_id = order.document_id, reason, "document broke off");
            let attempt = Asked::default().event(order, EventOutcome::Failed, "");
            clients.record_failure(context, attempt, failure).await;
        }
        let reason = failure.map(status::reason);
        // What consent stopped says nothing of the pointer.
        if reason
            .as_deref()
            .is_some_and(|reason| !reason.starts_with("SOURCE_") && !reason.starts_with("WRONG_"))
        {
            return;
        }
        report(clients, context, &order.document_id, reason.as_deref()).await;
    }
}

/// Tells the registry whether a pointer led anywhere. Its failure changes nothing for the caller.
async fn report(clients: &Clients, context: &Context, document_id: &str, failure: Option<&str>) {
    let request = ReportRetrievalRequest {
        document_id: document_id.to_owned(),
        succeeded: failure.is_none(),
        reason: failure.unwrap_or_default().to_owned(),
        request_id: String::new(),
    };
    if let Err(error) = clients.registry.clone().report_retrieval(context.request(request)).await {
        tracing::warn!(document_id, code = ?error.code(), "retrieval could not be reported");
    }
}
