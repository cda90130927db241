//! What became of locates, and what users saw: answered from the audit log and the registry's history.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use prost_types::Timestamp;
use signpost_common::rpc::{
    Context,
    status::{self, invalid},
};
use signpost_proto::{
    audit::v1::{DocumentDisclosure, Event, EventKind, EventOutcome, LoggedEvent, SearchEventsRequest},
    locator::v1::{
        GetLocateRunResponse, ListLocateRunsRequest, ListLocateRunsResponse, LocateRun, LocateRunState,
        SeenDocument,
    },
    mpi::v1::list_person_records_request::By,
    registry::v1::{DocumentEntry, GetDocumentRequest},
};
use tonic::{Code, Status};

use crate::{clients::Clients, convert, error, locate, permit::Permit};

/// How the locator names its method in the audit log.
const ACTION: &str = "/signpost.locator.v1.RecordLocatorService/GetLocateRun";

/// Most locates of one page: each has up to 500 documents, and a message holds no more.
const RUNS_MAX: i32 = 10;

/// Most pages of the log that are looked through for one page of a user's.
const LOG_PAGES_MAX: usize = 10;

/// Documents that the registry is asked for at once.
const AT_ONCE: usize = 8;

/// Locates that are being prepared in this process: who asked, and what they named it.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashMap<(String, String), usize>>>);

/// A locate that is under way until this is dropped.
pub(crate) struct Mark {
    all: UnderWay,
    name: (String, String),
}

impl UnderWay {
    /// Marks a locate as under way.
    pub(crate) fn begin(&self, context: &Context, request_id: &str) -> Mark {
        let name = (context.actor(), request_id.to_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default() += 1;
        Mark { all: self.clone(), name }
    }

    fn has(&self, context: &Context, request_id: &str) -> bool {
        let name = (context.actor(), request_id.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&name)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.name) {
            *count -= 1;
        }
        all.retain(|name, count| *name != self.name || *count > 0);
    }
}

/// Says what became of a locate of the caller's.
pub(crate) async fn get(
    clients: &Clients,
    context: &Context,
    under_way: &UnderWay,
    request_id: &str,
) -> Result<GetLocateRunResponse, Status> {
    if request_id.is_empty() {
        return Err(invalid("request_id", "must be set"));
    }
    // Before the log is read: whatever ends in between is in the log.
    let is_under_way = under_way.has(context, request_id);
    let Some(logged) = find(clients, context, request_id).await? else {
        let state = if is_under_way { LocateRunState::UnderWay } else { LocateRunState::Unspecified };
        return Ok(GetLocateRunResponse { state: state.into(), run: None });
    };
    let answered = logged.event.as_ref().is_some_and(|event| event.outcome() == EventOutcome::Success);
    let state = if answered { LocateRunState::Answered } else { LocateRunState::Failed };
    let mut run = run(clients, context, logged).await?;
    show_permitted(clients, context, &mut run).await?;
    Ok(GetLocateRunResponse { state: state.into(), run: Some(run) })
}

/// Finds the event of a locate of the caller's, the latest when there are several of one name.
async fn find(clients: &Clients, context: &Context, request_id: &str) -> Result<Option<LoggedEvent>, Status> {
    let mut request = SearchEventsRequest {
        kinds: vec![EventKind::Locate.into()],
        member_id: context.caller.member_id.clone(),
        request_id: request_id.to_owned(),
        page_size: RUNS_MAX,
        ..SearchEventsRequest::default()
    };
    let own = |logged: &LoggedEvent| {
        let event = logged.event.as_ref();
        event.is_some_and(|event| event.action == locate::ACTION && user(event) == context.caller.user)
    };
    for _ in 0..LOG_PAGES_MAX {
        let page = clients.audit.search(context, request.clone()).await.map_err(error::of("audit log"))?;
        if let Some(found) = page.events.into_iter().find(own) {
            return Ok(Some(found));
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// Leaves the ids alone of documents that may not be seen any more; the others are released again, with all that goes with it.
async fn show_permitted(clients: &Clients, context: &Context, run: &mut LocateRun) -> Result<(), Status> {
    if run.documents.is_empty() {
        return Ok(());
    }
    let person = clients.person(context, By::PersonId(run.person_id.clone())).await?.unwrap_or_default();
    let entries = run.documents.iter().filter_map(|seen| seen.entry.clone());
    // What was linked to somebody else since is not decided on as this person's.
    let entries = entries.filter(|entry| entry.patient.as_ref().is_some_and(|p| person.records.contains(p)));
    let decided = clients.decide(context, &person, entries.collect(), &run.emergency_session_id, false).await;
    let decided = match decided {
        // The session is over.
        Err(error) if error.code() == Code::FailedPrecondition => vec![],
        decided => decided?,
    };
    let permitted: Vec<_> = decided.iter().filter(|decided| decided.permitted()).collect();
    let event = Event {
        kind: EventKind::Locate.into(),
        action: ACTION.to_owned(),
        outcome: EventOutcome::Success.into(),
        person_id: person.id.clone(),
        patient_records: person.records.clone(),
        documents: permitted.iter().map(|decided| convert::disclosure(decided)).collect(),
        emergency_session_id: run.emergency_session_id.clone(),
        object_id: run.request_id.clone(),
        ..Event::default()
    };
    clients.audit.append(context, event).await?;
    for notice in permitted.iter().filter_map(|decided| decided.notice(&person, &run.emergency_session_id)) {
        clients.notify(context, notice).await?;
    }
    for seen in &mut run.documents {
        let Some(entry) = &mut seen.entry else { continue };
        match permitted.iter().find(|decided| decided.entry.document_id == entry.document_id) {
            Some(decided) => seen.obligations.clone_from(&decided.decision.obligations),
            None => {
                let document_id = std::mem::take(&mut entry.document_id);
                *entry = DocumentEntry { document_id, ..DocumentEntry::default() };
            }
        }
    }
    Permit::new(&person, permitted, &run.emergency_session_id).holds(clients, context).await
}

fn user(event: &Event) -> &str {
    event.caller.as_ref().map_or("", |caller| &caller.user)
}

/// Lists what users of a member saw.
pub(crate) async fn list(
    clients: &Clients,
    context: &Context,
    request: ListLocateRunsRequest,
) -> Result<ListLocateRunsResponse, Status> {
    let ListLocateRunsRequest { member_id, user: of, from, to, page_size, page_token } = request;
    let member_id = match member_id.as_str() {
        "" => context.caller.member_id.clone(),
        named if context.operator || named == context.caller.member_id => member_id,
        _ => return Err(status::denied("NOT_YOUR_OWN", "members may ask about their own users only")),
    };
    let wanted = match page_size {
        0 => RUNS_MAX,
        1.. => page_size.min(RUNS_MAX),
        _ => return Err(invalid("page_size", "must not be negative")),
    };
    let mut search = SearchEventsRequest {
        kinds: vec![EventKind::Locate.into(), EventKind::Fetch.into()],
        member_id,
        from,
        to,
        page_size: wanted,
        page_token,
        ..SearchEventsRequest::default()
    };
    let mut seen = vec![];
    for _ in 0..LOG_PAGES_MAX {
        let found = clients.audit.search(context, search.clone()).await.map_err(error::of("audit log"))?;
        search.page_token = found.next_page_token;
        let by_user = |logged: &LoggedEvent| {
            of.is_empty() || logged.event.as_ref().is_some_and(|event| user(event) == of)
        };
        seen.extend(found.events.into_iter().filter(by_user));
        // Pages of the log are passed on whole, so that its tokens serve here, too.
        if !seen.is_empty() || search.page_token.is_empty() {
            break;
        }
    }
    let mut runs = vec![];
    for logged in seen {
        runs.push(run(clients, context, logged).await?);
    }
    Ok(ListLocateRunsResponse { runs, next_page_token: search.page_token })
}

/// Returns what an event shows, with its documents as they stood at its time.
async fn run(clients: &Clients, context: &Context, logged: LoggedEvent) -> Result<LocateRun, Status> {
    let LoggedEvent { sequence, event } = logged;
    let event = event.unwrap_or_default();
    let released = event.documents.into_iter().filter(|document| document.released);
    let documents = released.map(|disclosure| seen(clients, context, disclosure, event.occurred_at));
    let documents = stream::iter(documents).buffered(AT_ONCE).try_collect().await?;
    Ok(LocateRun {
        request_id: event.request_id,
        occurred_at: event.occurred_at,
        caller: event.caller,
        person_id: event.person_id,
        reason: event.reason,
        documents,
        sequence,
        emergency_session_id: event.emergency_session_id,
        action: event.action,
    })
}

async fn seen(
    clients: &Clients,
    context: &Context,
    disclosure: DocumentDisclosure,
    as_of: Option<Timestamp>,
) -> Result<SeenDocument, Status> {
    let document_id = disclosure.document_id.clone();
    let request = context.request(GetDocumentRequest { document_id: document_id.clone(), as_of });
    let entry = match clients.registry.clone().get_document(request).await {
        Err(error) if error.code() == Code::NotFound => None,
        response => response.map_err(error::of("registry"))?.into_inner().entry,
    };
    let entry = entry.unwrap_or_else(|| DocumentEntry { document_id, ..DocumentEntry::default() });
    let DocumentDisclosure { rule_ids, decision_id, .. } = disclosure;
    Ok(SeenDocument { entry: Some(entry), rule_ids, decision_id, obligations: vec![] })
}
