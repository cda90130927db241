//! Fetch: one document from its custodian to the caller, verified as it flows.

use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use signpost_common::{
    hash::Sha256,
    rpc::{Context, status},
};
use signpost_proto::{
    audit::v1::{DocumentDisclosure, Event, EventKind, EventOutcome},
    common::v1::RecordReference,
    consent::v1::Obligation,
    locator::v1::{DocumentHeader, DocumentTrailer},
    mpi::v1::list_person_records_request::By,
    registry::v1::{DocumentEntry, DocumentStatus, GetDocumentRequest, Stability},
    source::v1::RetrieveDocumentRequest,
};
use tokio::{sync::mpsc, time::Instant};
use tonic::{Code, Status};

use crate::{
    clients::{Clients, Decided, Followed, Person, TO_RECORD},
    convert,
    error::{self, Error},
    even,
    permit::Permit,
    sources::{Announced, FAIR_TIME, Failure, Retrieval},
};

/// Longest wait for a source to begin to send: an emergency does not wait for ever.
const TO_BEGIN: Duration = Duration::from_secs(5);

/// Longest wait for the caller to read a part.
const TO_READ: Duration = Duration::from_secs(30);

/// Largest chunk that is sent on.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Largest document that is sent.
const DOCUMENT_BYTES_MAX: u64 = 4 << 30;

/// Which document, and how it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) action: &'static str,
    pub(crate) document_id: String,
    pub(crate) emergency_session_id: String,
    pub(crate) request_id: String,
    /// Bytes to leave out at the beginning.
    pub(crate) offset_bytes: u64,
    /// Most bytes that the document may have; 0 for the most that any may.
    pub(crate) size_limit_bytes: u64,
}

impl Order {
    fn size_max(&self) -> u64 {
        match self.size_limit_bytes {
            0 => DOCUMENT_BYTES_MAX,
            limit => limit.min(DOCUMENT_BYTES_MAX),
        }
    }
}

/// A document that was permitted and whose source has begun to send. Nothing of it is released.
pub(crate) struct Begun {
    order: Order,
    asked: Asked,
    obligations: Vec<Obligation>,
    retrieval: Retrieval,
}

/// A document whose release is recorded and whose source has begun to send.
pub(crate) struct Opened {
    order: Order,
    header: DocumentHeader,
    entry: DocumentEntry,
    retrieval: Retrieval,
    pending: Bytes,
    hash: Sha256,
    received: u64,
    permit: Permit,
}

/// Decides and opens the source.
pub(crate) async fn begin(clients: &Clients, context: &Context, order: Order) -> Result<Begun, Status> {
    let began = Instant::now();
    let asked = decide(clients, context, &order, false).await?;
    let Some(permitted) = asked.permitted() else {
        let refusal = refuse(clients, context, &order, &asked).await;
        even::out(began).await;
        return Err(refusal?);
    };
    // The source must leave time to record how it went.
    let in_time = Context { deadline: context.deadline - TO_RECORD, ..context.clone() };
    let had = in_time.deadline.saturating_duration_since(Instant::now());
    let obligations = permitted.decision.obligations.clone();
    match retrieve(clients, &in_time, permitted, &order).await {
        Ok(retrieval) => Ok(Begun { order, asked, obligations, retrieval }),
        Err(failure) => {
            tracing::warn!(document_id = order.document_id, reason = failure.reason(), "source failed");
            let event = asked.event(&order, EventOutcome::Failed, failure.reason());
            clients.audit.append(context, event).await?;
            // A caller in a hurry learns nothing of the source.
            if failure.tells_of_document() && had >= FAIR_TIME {
                clients.report(context, &order.document_id, Followed::failed(failure.reason())).await;
            }
            Err(failure.into())
        }
    }
}

/// Records the release and decides again, in this order; nothing has been released yet.
///
/// The source and the log take their time: what was revoked meanwhile is recorded as refused and not released.
pub(crate) async fn release(clients: &Clients, context: &Context, begun: Begun) -> Result<Opened, Status> {
    let Begun { order, asked, obligations, retrieval } = begun;
    clients.audit.append(context, asked.event(&order, EventOutcome::Success, "")).await?;
    let asked = decide(clients, context, &order, true).await?;
    let (Some(permitted), Some(person)) = (asked.permitted(), &asked.person) else {
        return Err(refuse(clients, context, &order, &asked).await?);
    };
    // What was masked, and who is told, is as the first answer had it.
    let told = match permitted.notice(person, &order.emergency_session_id) {
        _ if permitted.decision.obligations != obligations => Err(Error::Stopped.into()),
        Some(notice) => clients.notify(context, notice).await,
        None => Ok(()),
    };
    if let Err(stopped) = told {
        // The log holds a release that was not made after all.
        clients.record_failure(context, asked.event(&order, EventOutcome::Failed, ""), &stopped).await;
        return Err(stopped);
    }
    Ok(Opened {
        header: DocumentHeader { offset_bytes: order.offset_bytes, ..convert::header(permitted) },
        entry: permitted.entry.clone(),
        permit: Permit::new(person, [permitted], &order.emergency_session_id),
        order,
        retrieval,
        pending: Bytes::new(),
        hash: Sha256::default(),
        received: 0,
    })
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
    let request = context.request(GetDocumentRequest { document_id, as_of: None });
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
    order: &Order,
) -> Result<Retrieval, Error> {
    let (entry, mask_labels) = (&permitted.entry, permitted.duties().mask);
    let is_static = entry.stability() != Stability::Dynamic && mask_labels.is_empty();
    if order.offset_bytes > 0 && !is_static {
        return Err(Error::OffsetUnsupported);
    }
    if is_static && order.offset_bytes > entry.size_bytes {
        return Err(Error::OffsetBeyond);
    }
    if is_static && entry.size_bytes > order.size_max() {
        return Err(Error::TooLarge(order.size_max()));
    }
    let member = convert::custodian(entry);
    let source = clients.source(context, &member).await.map_err(|_| Error::Service("directory"))?;
    let source = source.ok_or_else(|| Error::NoSource(member.clone()))?;
    let wanted = RetrieveDocumentRequest {
        unique_id: entry.unique_id.clone(),
        patient: entry.patient.clone(),
        mask_labels: mask_labels.clone(),
    };
    let retrieval = source.retrieve(context, TO_BEGIN, &wanted).await;
    let retrieval = retrieval.map_err(|failure| Error::Source { member: member.clone(), failure })?;
    let Announced { unique_id, mime_type, size_bytes, masked_labels } = &retrieval.announced;
    if !mask_labels.iter().all(|label| masked_labels.contains(label)) {
        return Err(Error::Source { member, failure: Failure::CannotMask });
    }
    let wrong = |reason| Err(Error::NotAsRegistered { member, reason });
    if *unique_id != entry.unique_id {
        wrong("WRONG_DOCUMENT")
    } else if *mime_type != entry.mime_type {
        wrong("WRONG_TYPE")
    } else if is_static && size_bytes.is_some_and(|size_bytes| size_bytes != entry.size_bytes) {
        wrong("WRONG_SIZE")
    } else {
        Ok(retrieval)
    }
}

/// A part of a document, in the order header, chunks, trailer.
pub(crate) enum Part {
    Header(DocumentHeader),
    Chunk(Bytes),
    Trailer(DocumentTrailer),
}

/// Sends a document part by part, each wrapped as the stream needs it. Returns how many bytes it has, `None` when the caller
/// has gone. A document that ends in an error has no trailer, and what came of it is to be thrown away.
pub(crate) async fn relay<T>(
    clients: &Clients,
    context: &Context,
    mut opened: Opened,
    answers: &mpsc::Sender<Result<T, Status>>,
    wrap: fn(Part) -> T,
) -> Result<Option<u64>, Status> {
    let mut part = Ok(Part::Header(opened.header.clone()));
    let ended = loop {
        let Ok(next) = part else { break part.map(|_| None) };
        let is_last = matches!(next, Part::Trailer(_));
        // First room for the part, then the question whether it may still go, then it goes: nothing waits in between.
        // Who does not read keeps others from the source.
        let room = tokio::time::timeout(TO_READ, answers.reserve()).await;
        let Ok(Ok(room)) = room else { return Ok(None) };
        if let Err(stopped) = opened.permit.holds(clients, context).await {
            break Err(stopped);
        }
        room.send(Ok(wrap(next)));
        if is_last {
            break Ok(Some(opened.received));
        }
        // A source that hangs is not kept for a caller who has gone.
        part = tokio::select! {
            part = opened.next(context) => part,
            () = answers.closed() => return Ok(None),
        };
    };
    // The caller has what it waits for; how it went is recorded with time of its own.
    let context = Context { deadline: Instant::now() + TO_RECORD, ..context.clone() };
    opened.finish(clients, &context, ended.as_ref().err()).await;
    ended
}

impl Opened {
    /// True when its bytes are to be those that were registered.
    fn is_static(&self) -> bool {
        self.entry.stability() != Stability::Dynamic && self.header.masked_labels.is_empty()
    }

    /// Returns the next chunk, or the trailer when everything came and is what was registered.
    async fn next(&mut self, context: &Context) -> Result<Part, Status> {
        let began = Instant::now();
        loop {
            if self.pending.is_empty() {
                let chunk = tokio::time::timeout_at(context.deadline, self.retrieval.chunks.next()).await;
                let failed = |failure| Error::Source { member: convert::custodian(&self.entry), failure };
                // The caller may have taken most of the time to read.
                let late = || match began.elapsed() < FAIR_TIME {
                    true => Error::TooLate,
                    false => failed(Failure::TimedOut),
                };
                match chunk.map_err(|_| late())? {
                    Some(chunk) => self.pending = chunk.map_err(failed)?,
                    None => return self.end(),
                }
            }
            let mut chunk = self.pending.split_to(self.pending.len().min(CHUNK_BYTES_MAX));
            // What is left out at the beginning is verified with the rest.
            let left_out = self.order.offset_bytes.saturating_sub(self.received).min(chunk.len() as u64);
            self.hash.update(&chunk);
            self.received += chunk.len() as u64;
            if self.is_static() && self.received > self.entry.size_bytes {
                return Err(self.wrong("WRONG_SIZE"));
            }
            if self.received > self.order.size_max() {
                return Err(Error::TooLarge(self.order.size_max()).into());
            }
            chunk.advance(left_out as usize);
            if !chunk.is_empty() {
                return Ok(Part::Chunk(chunk));
            }
        }
    }

    /// Returns the trailer.
    fn end(&self) -> Result<Part, Status> {
        let sha256 = self.hash.clone().finish();
        if self.is_static() && self.received != self.entry.size_bytes {
            return Err(self.wrong("WRONG_SIZE"));
        }
        if self.is_static() && self.entry.sha256 != sha256 {
            return Err(self.wrong("WRONG_HASH"));
        }
        let sha256 = Bytes::copy_from_slice(&sha256);
        Ok(Part::Trailer(DocumentTrailer { sha256, size_bytes: self.received }))
    }

    fn wrong(&self, reason: &'static str) -> Status {
        Error::NotAsRegistered { member: convert::custodian(&self.entry), reason }.into()
    }

    /// Tells the registry how the retrieval ended, and the audit log when it failed after the release began.
    async fn finish(self, clients: &Clients, context: &Context, failure: Option<&Status>) {
        let Self { order, retrieval, .. } = self;
        // The release itself is recorded already.
        if let Some(failure) = failure {
            let reason = status::reason(failure);
            tracing::warn!(document_id = order.document_id, reason, "document broke off");
            let attempt = Asked::default().event(&order, EventOutcome::Failed, "");
            clients.record_failure(context, attempt, failure).await;
        }
        let reason = failure.map(status::reason);
        // What consent stopped, or was too large for the caller, says nothing of the pointer.
        if reason
            .as_deref()
            .is_some_and(|reason| !reason.starts_with("SOURCE_") && !reason.starts_with("WRONG_"))
        {
            return;
        }
        let failure = reason.unwrap_or_default();
        clients
            .report(context, &order.document_id, Followed { failure, took: retrieval.took, probe: false })
            .await;
    }
}
