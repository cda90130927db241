//! All that may be seen of a person, in rank order: decided once, then fetched document by document.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use signpost_common::rpc::{Context, status};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    locator::v1::{
        DocumentFailure, FetchHistoryResponse, HistoryCompletion, HistoryProgress,
        fetch_history_response::Message,
    },
    mpi::v1::list_person_records_request::By,
    registry::v1::DocumentFilter,
};
use tokio::{sync::mpsc, time::Instant};
use tonic::Status;

use crate::{
    clients::{Clients, Decided, Person},
    convert,
    domain::rank,
    error::Error,
    even,
    fetch::{self, Begun, Order, Part},
    sources::Failure,
};

/// Longest time for one document of a history.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Sources that are asked at once. Each of those that wait holds what has come of its document, up to a window of the protocol.
const AHEAD: usize = 4;

/// Whose history, and how it was asked for.
pub(crate) struct Wanted {
    pub(crate) action: &'static str,
    pub(crate) person_id: String,
    pub(crate) filter: Option<DocumentFilter>,
    pub(crate) emergency_session_id: String,
    pub(crate) request_id: String,
}

/// A person's documents that the caller may see, the most useful first.
pub(crate) struct History {
    pub(crate) person: Person,
    pub(crate) documents: Vec<Decided>,
    /// True when there are more.
    pub(crate) truncated: bool,
}

/// Finds out what may be seen. That it was asked is recorded here; each release when its document is opened.
pub(crate) async fn ask(clients: &Clients, context: &Context, wanted: &Wanted) -> Result<History, Status> {
    let began = Instant::now();
    let person = clients.person(context, By::PersonId(wanted.person_id.clone())).await?;
    let (mut decided, mut truncated) = (vec![], false);
    if let Some(person) = &person {
        (decided, truncated) =
            clients.decided(context, person, wanted.filter.clone(), &wanted.emergency_session_id).await?;
    }
    let found = person.is_some();
    let person = person.unwrap_or_default();
    let event = Event {
        kind: EventKind::Locate.into(),
        action: wanted.action.to_owned(),
        outcome: if found { EventOutcome::Success } else { EventOutcome::Refused }.into(),
        reason: if found { String::new() } else { Error::PersonUnknown.reason().to_owned() },
        person_id: person.id.clone(),
        patient_records: person.records.clone(),
        emergency_session_id: wanted.emergency_session_id.clone(),
        request_id: wanted.request_id.clone(),
        ..Event::default()
    };
    clients.audit.append(context, event).await?;
    if !found {
        return Err(Error::PersonUnknown.into());
    }
    let permitted: Vec<_> = decided.into_iter().filter(Decided::permitted).collect();
    let entries = permitted.iter().map(|decided| decided.entry.clone()).collect();
    let mut by_id: HashMap<String, Decided> =
        permitted.into_iter().map(|decided| (decided.entry.document_id.clone(), decided)).collect();
    // Copies are fetched, too, each after the document that it is a copy of.
    let ranked = rank::rank(entries, clients.clock.now().as_second()).into_iter();
    let ranked = ranked.flat_map(|ranked| {
        let copies = ranked.copies.into_iter().map(|(copy, _)| copy);
        [ranked.entry].into_iter().chain(copies)
    });
    let documents: Vec<_> = ranked.filter_map(|entry| by_id.remove(&entry.document_id)).collect();
    if documents.is_empty() {
        even::out(began).await;
    }
    Ok(History { person, documents, truncated })
}

/// Opens documents of a history. Each has its time, and a member that let one pass is not waited for again.
pub(crate) struct Opener<'a> {
    clients: &'a Clients,
    context: &'a Context,
    wanted: &'a Wanted,
    silent: Mutex<HashSet<String>>,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(clients: &'a Clients, context: &'a Context, wanted: &'a Wanted) -> Self {
        Self { clients, context, wanted, silent: Mutex::default() }
    }

    fn silent(&self) -> MutexGuard<'_, HashSet<String>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the context of one document, which has its own time.
    pub(crate) fn context(&self) -> Context {
        Context { deadline: Instant::now() + DOCUMENT_TIMEOUT, ..self.context.clone() }
    }

    /// Has a document's source begin to send; a limit of 0 is none.
    pub(crate) async fn begin(&self, document: &Decided, size_limit_bytes: u64) -> Result<Begun, Status> {
        let member = convert::custodian(&document.entry);
        if self.silent().contains(&member) {
            return Err(Error::Source { member, failure: Failure::TimedOut }.into());
        }
        let order = Order {
            action: self.wanted.action,
            document_id: document.entry.document_id.clone(),
            emergency_session_id: self.wanted.emergency_session_id.clone(),
            request_id: self.wanted.request_id.clone(),
            offset_bytes: 0,
            size_limit_bytes,
        };
        fetch::begin(self.clients, &self.context(), order).await
    }

    /// Returns what to say of a document that could not be fetched.
    fn failed(&self, document: &Decided, failure: &Status) -> DocumentFailure {
        let (custodian, reason) = (convert::custodian(&document.entry), self.reason(document, failure));
        DocumentFailure { document_id: document.entry.document_id.clone(), custodian, reason }
    }

    /// Returns why a document could not be fetched, and remembers who did not answer.
    pub(crate) fn reason(&self, document: &Decided, failure: &Status) -> String {
        let reason = status::reason(failure);
        if reason == Failure::TimedOut.reason() {
            self.silent().insert(convert::custodian(&document.entry));
        }
        reason
    }
}

fn member(document: &Decided) -> &str {
    document.entry.patient.as_ref().map_or("", |patient| &patient.member_id)
}

/// Takes the document to ask for next, of those that wait in rank order: of the member that is asked least at this moment, so that
/// one that hangs does not take every place.
fn next<'a>(waiting: &mut Vec<&'a Decided>, ahead: &[&str]) -> &'a Decided {
    let asked = |document: &Decided| ahead.iter().filter(|asked| **asked == member(document)).count();
    let least = (0..waiting.len()).min_by_key(|place| asked(waiting[*place])).unwrap_or(0);
    waiting.remove(least)
}

/// Sends every document of a history; one that fails is named and the others go on. Sources are asked in rank order, several
/// at once, and who begins first is sent first: one that is slow lets the others pass.
pub(crate) async fn send(
    clients: Clients,
    context: Context,
    wanted: Wanted,
    history: History,
    answers: mpsc::Sender<Result<FetchHistoryResponse, Status>>,
) {
    let opener = Opener::new(&clients, &context, &wanted);
    let begin = async |document| (document, opener.begin(document, 0).await);
    let mut waiting: Vec<_> = history.documents.iter().collect();
    let (mut ahead, mut begun, mut ready) = (vec![], FuturesUnordered::new(), VecDeque::new());
    let mut completion = HistoryCompletion { truncated: history.truncated, ..HistoryCompletion::default() };
    let total = u32::try_from(history.documents.len()).unwrap_or(u32::MAX);
    let mut progress = HistoryProgress { done: 0, total, bytes: 0 };
    if answers.send(Ok(respond(Message::Progress(progress)))).await.is_err() {
        return;
    }
    loop {
        while ahead.len() < AHEAD && !waiting.is_empty() {
            let document = next(&mut waiting, &ahead);
            ahead.push(member(document));
            begun.push(begin(document));
        }
        let next = match ready.pop_front() {
            None => begun.next().await,
            ready => ready,
        };
        let Some((document, opened)) = next else { break };
        if let Some(place) = ahead.iter().position(|asked| *asked == member(document)) {
            ahead.swap_remove(place);
        }
        let context = opener.context();
        let mut sent = pin!(send_one(&clients, &context, opened, &answers));
        // The others go on meanwhile: their time does not stand still.
        let sent = loop {
            tokio::select! {
                sent = &mut sent => break sent,
                Some(one) = begun.next() => ready.push_back(one),
            }
        };
        match sent {
            Ok(Some(bytes)) => {
                completion.fetched += 1;
                progress.bytes += bytes;
            }
            Ok(None) => return,
            Err(failure) => {
                completion.failed += 1;
                let failure = opener.failed(document, &failure);
                if answers.send(Ok(respond(Message::Failure(failure)))).await.is_err() {
                    return;
                }
            }
        }
        progress.done += 1;
        if answers.send(Ok(respond(Message::Progress(progress)))).await.is_err() {
            return;
        }
    }
    answers.send(Ok(respond(Message::Completion(completion)))).await.ok();
}

/// Sends a document whose source has begun to send. Returns how many bytes it has, `None` when the caller has gone.
async fn send_one(
    clients: &Clients,
    context: &Context,
    begun: Result<Begun, Status>,
    answers: &mpsc::Sender<Result<FetchHistoryResponse, Status>>,
) -> Result<Option<u64>, Status> {
    let begun = begun?;
    // Nothing is released to nobody.
    if answers.is_closed() {
        return Ok(None);
    }
    let wrap = |part| {
        respond(match part {
            Part::Header(header) => Message::Header(header),
            Part::Chunk(chunk) => Message::Chunk(chunk),
            Part::Trailer(trailer) => Message::Trailer(trailer),
        })
    };
    let opened = fetch::release(clients, context, begun).await?;
    fetch::relay(clients, context, opened, answers, wrap).await
}

fn respond(message: Message) -> FetchHistoryResponse {
    FetchHistoryResponse { message: Some(message) }
}
