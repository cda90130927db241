//! The documents of a person that the caller may see, page by page, and how many there are.

use std::collections::HashSet;

use prost::Message;
use signpost_common::{
    clock,
    rpc::{Context, micros, page, status::invalid},
};
use signpost_proto::{
    audit::v1::{DocumentDisclosure, Event, EventKind, EventOutcome},
    locator::v1::{ListDocumentsRequest, ListDocumentsResponse},
    mpi::v1::list_person_records_request::By,
    registry::v1::DocumentEntry,
};
use tokio::time::Instant;
use tonic::Status;

use crate::{
    clients::{Clients, Decided},
    convert,
    domain::rank::Ranked,
    error::Error,
    even,
    permit::Permit,
};

/// How the locator names its method in the audit log.
const ACTION: &str = "/signpost.locator.v1.RecordLocatorService/ListDocuments";

/// Place of a document in the list, newest first, as the registry has it.
type Place = (i64, String);

fn place(entry: &DocumentEntry) -> Place {
    let created = entry.creation_time.as_ref().and_then(clock::from_proto).map_or(0, micros);
    (created, entry.document_id.clone())
}

fn to_text((created_us, id): &Place) -> String {
    format!("{created_us}/{id}")
}

fn from_text(text: &str) -> Result<Place, Status> {
    let read = || {
        let (created, id) = text.split_once('/')?;
        Some((created.parse().ok()?, id.to_owned()))
    };
    read().ok_or_else(|| invalid("page_token", "is not one of ours"))
}

/// Lists what may be seen, and records it, also when it fails.
pub(crate) async fn list(
    clients: &Clients,
    context: &Context,
    request: ListDocumentsRequest,
) -> Result<ListDocumentsResponse, Status> {
    let request_id = request.request_id.clone();
    let listed = list_page(clients, context, request).await;
    if let Err(failure) = &listed {
        let (kind, action) = (EventKind::Locate.into(), ACTION.to_owned());
        let attempt = Event { kind, action, request_id, ..Event::default() };
        clients.record_failure(context, attempt, failure).await;
    }
    listed
}

/// What is on the page is in the audit log before it is shown; the rest only counts.
async fn list_page(
    clients: &Clients,
    context: &Context,
    mut request: ListDocumentsRequest,
) -> Result<ListDocumentsResponse, Status> {
    let began = Instant::now();
    let limit = page::size(std::mem::take(&mut request.page_size))?;
    let page_token = std::mem::take(&mut request.page_token);
    let ListDocumentsRequest { person_id, filter, emergency_session_id, request_id, .. } = request.clone();
    request.request_id.clear();
    // A token is of no use to anybody else.
    let bound = [request.encode_to_vec(), context.actor().into_bytes()].concat();
    let after = page::position(&bound, &page_token)?.as_deref().map(from_text).transpose()?;
    let mut event = Event {
        kind: EventKind::Locate.into(),
        action: ACTION.to_owned(),
        outcome: EventOutcome::Success.into(),
        emergency_session_id: emergency_session_id.clone(),
        request_id,
        ..Event::default()
    };
    let person = clients.person(context, By::PersonId(person_id)).await?.ok_or(Error::PersonUnknown)?;
    event.person_id.clone_from(&person.id);
    event.patient_records.clone_from(&person.records);
    let (decided, truncated) = clients.decided(context, &person, filter, &emergency_session_id).await?;
    let disclosed: Vec<_> = decided.iter().map(convert::disclosure).collect();
    let permitted: Vec<_> = decided.into_iter().filter(Decided::permitted).collect();
    let count = u32::try_from(permitted.len()).unwrap_or(u32::MAX);
    let is_after = |decided: &Decided| after.as_ref().is_none_or(|after| place(&decided.entry) < *after);
    let mut shown: Vec<_> = permitted.into_iter().filter(is_after).collect();
    let next_page_token = page::cut(&bound, &mut shown, limit, |decided| to_text(&place(&decided.entry)));
    let ids: HashSet<_> = shown.iter().map(|decided| &decided.entry.document_id).collect();
    // What is withheld is recorded once, with the first page; each page has its own.
    let of_page = |document: &DocumentDisclosure| match document.released {
        true => ids.contains(&document.document_id),
        false => after.is_none(),
    };
    event.documents = disclosed.into_iter().filter(of_page).collect();
    clients.audit.append(context, event).await?;
    for notice in shown.iter().filter_map(|decided| decided.notice(&person, &emergency_session_id)) {
        clients.notify(context, notice).await?;
    }
    if count == 0 {
        even::out(began).await;
    }
    Permit::new(&person, &shown, &emergency_session_id).holds(clients, context).await?;
    let pointer = |Decided { entry, decision, .. }: Decided| {
        let alone = Ranked { entry, reasons: vec![], copies: vec![] };
        signpost_proto::locator::v1::Pointer { rank: 0, ..convert::pointer(0, alone, decision.obligations) }
    };
    let pointers = shown.into_iter().map(pointer).collect();
    Ok(ListDocumentsResponse { pointers, next_page_token, count, truncated })
}
