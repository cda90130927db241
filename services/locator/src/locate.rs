//! Locate: who is it, what may be seen, and who could not be asked.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    time::Duration,
};

use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use signpost_common::rpc::{Context, status};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::RecordReference,
    consent::v1::Obligation,
    locator::v1::{
        Completion, LocateRequest, LocateResponse, PersonMatch, PersonOutcome, Pointer, SourceOutcome,
        SourceState, locate_request::Subject, locate_response::Message,
    },
    mpi::v1::{MatchPatientRequest, list_person_records_request::By},
    source::v1::CheckDocumentsRequest,
};
use tokio::{sync::mpsc, time::Instant};
use tonic::{Code, Status};

use crate::{
    clients::{Clients, Decided, Person},
    convert,
    domain::{merge, plan, rank},
    error, even,
    permit::Permit,
};

/// How the locator names its method in the audit log.
const ACTION: &str = "/signpost.locator.v1.RecordLocatorService/Locate";

const POINTERS_MAX: u32 = 500;
const SOURCE_TIMEOUT_MS_DEFAULT: u32 = 2_000;
const SOURCE_TIMEOUT_MS_MAX: u32 = 30_000;

/// An answer that is ready to be released: its audit event is durable.
pub(crate) struct Located {
    person: PersonOutcome,
    pointers: Vec<Pointer>,
    permit: Permit,
    ask: Vec<(String, Vec<RecordReference>)>,
    source_timeout: Duration,
    completion: Completion,
}

/// Finds the person, decides on the documents and records it all, also when it fails.
pub(crate) async fn prepare(
    clients: &Clients,
    context: &Context,
    request: LocateRequest,
) -> Result<Located, Status> {
    let request_id = request.request_id.clone();
    let prepared = prepare_answer(clients, context, request).await;
    if let Err(failure) = &prepared {
        let (kind, action) = (EventKind::Locate.into(), ACTION.to_owned());
        let attempt = Event { kind, action, request_id, ..Event::default() };
        clients.record_failure(context, attempt, failure).await;
    }
    prepared
}

async fn prepare_answer(
    clients: &Clients,
    context: &Context,
    request: LocateRequest,
) -> Result<Located, Status> {
    let began = Instant::now();
    let LocateRequest { subject, filter, pointer_limit, emergency_session_id, request_id, source_timeout_ms } =
        request;
    let limit = match pointer_limit {
        0 => POINTERS_MAX,
        limit => limit.min(POINTERS_MAX),
    };
    let source_timeout_ms = match source_timeout_ms {
        0 => SOURCE_TIMEOUT_MS_DEFAULT,
        ms => ms.min(SOURCE_TIMEOUT_MS_MAX),
    };
    let (outcome, person) = find(clients, context, subject).await?;
    let (mut completion, mut decided) = (Completion::default(), vec![]);
    if let Some(person) = &person {
        let entries = clients.documents(context, person, filter).await?;
        decided = clients.decide(context, person, entries, &emergency_session_id, false).await?;
        completion.emergency_could_show_more =
            decided.iter().any(|d| !d.permitted() && d.decision.emergency_could_permit);
    }
    let disclosed = decided.iter().map(convert::disclosure);
    let mut event = Event {
        kind: EventKind::Locate.into(),
        action: ACTION.to_owned(),
        outcome: EventOutcome::Success.into(),
        reason: if person.is_some() { String::new() } else { outcome.r#match().as_str_name().to_owned() },
        person_id: outcome.person_id.clone(),
        patient_records: person.as_ref().map(|person| person.records.clone()).unwrap_or_default(),
        documents: disclosed.collect(),
        emergency_session_id,
        request_id,
        ..Event::default()
    };
    let permitted: Vec<_> = decided.into_iter().filter(Decided::permitted).collect();
    let permit = match &person {
        Some(person) => Permit::new(person, &permitted, &event.emergency_session_id),
        None => Permit::default(),
    };
    let mut obligations: HashMap<String, Vec<Obligation>> =
        permitted.iter().map(|d| (d.entry.document_id.clone(), d.decision.obligations.clone())).collect();
    let permitted: Vec<_> = permitted.into_iter().map(|decided| decided.entry).collect();
    let records = person.map(|person| person.records).unwrap_or_default();
    let ask = plan::members_to_ask(&permitted, &records).into_iter().collect();
    let mut ranked = rank::rank(permitted);
    completion.truncated = ranked.len() > limit as usize;
    ranked.truncate(limit as usize);
    completion.pointers = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
    // What the limit cuts is not released.
    let sent: HashSet<&str> = ranked.iter().map(|ranked| ranked.entry.document_id.as_str()).collect();
    event.documents.iter_mut().for_each(|d| d.released &= sent.contains(d.document_id.as_str()));
    let pointer = |(place, ranked): (usize, rank::Ranked)| {
        let obligations = obligations.remove(&ranked.entry.document_id).unwrap_or_default();
        convert::pointer(place, ranked, obligations)
    };
    let pointers = ranked.into_iter().enumerate().map(pointer).collect();
    clients.audit.append(context, event).await?;
    // Somebody of whom nothing may be seen looks like somebody of whom there is nothing.
    if completion.pointers == 0 {
        even::out(began, even::LOCATE_STEP).await;
    }
    let source_timeout = Duration::from_millis(source_timeout_ms.into());
    Ok(Located { person: outcome, pointers, permit, ask, source_timeout, completion })
}

/// Finds out who it is, and all records of that person.
async fn find(
    clients: &Clients,
    context: &Context,
    subject: Option<Subject>,
) -> Result<(PersonOutcome, Option<Person>), Status> {
    let (outcome, by) = match subject.ok_or_else(|| status::invalid("subject", "must be set"))? {
        Subject::Demographics(demographics) => {
            let request = MatchPatientRequest { demographics: Some(demographics) };
            let response = clients.mpi.clone().match_patient(context.request(request)).await;
            let outcome = convert::person_outcome(response.map_err(error::of("index"))?.into_inner());
            let by = By::PersonId(outcome.person_id.clone());
            (outcome, by)
        }
        Subject::Record(record) => {
            let by = By::Record(convert::own_record(context, record)?);
            let outcome = PersonOutcome {
                r#match: PersonMatch::Certain.into(),
                probability: 1.0,
                ..PersonOutcome::default()
            };
            (outcome, by)
        }
    };
    if outcome.r#match() != PersonMatch::Certain {
        return Ok((outcome, None));
    }
    let Some(person) = clients.person(context, by).await? else {
        let outcome = PersonOutcome { r#match: PersonMatch::NotFound.into(), ..PersonOutcome::default() };
        return Ok((outcome, None));
    };
    Ok((PersonOutcome { person_id: person.id.clone(), ..outcome }, Some(person)))
}

/// Sends the answer: the person, the pointers, each member's outcome as it comes, and how complete it all is.
pub(crate) async fn send(
    clients: Clients,
    context: Context,
    located: Located,
    answers: mpsc::Sender<Result<LocateResponse, Status>>,
) {
    let Located { person, pointers, mut permit, ask, source_timeout, mut completion } = located;
    let in_time = context.clone().within(source_timeout);
    let asked: FuturesUnordered<_> =
        ask.into_iter().map(|(member, records)| ask_member(&clients, &in_time, member, records)).collect();
    // Members are asked while pointers are sent: a slow reader costs them no time.
    let messages = stream::select(asked.map(Message::Source), stream::iter(pointers).map(Message::Pointer));
    let mut messages = pin!(stream::iter([Message::Person(person)]).chain(messages));
    while let Some(message) = messages.next().await {
        if let Message::Source(outcome) = &message {
            merge::count(&mut completion, outcome);
        }
        let Ok(room) = answers.reserve().await else { return };
        if matches!(message, Message::Pointer(_))
            && let Err(stopped) = permit.holds(&clients, &context).await
        {
            room.send(Err(stopped));
            return;
        }
        room.send(Ok(LocateResponse { message: Some(message) }));
    }
    answers.send(Ok(LocateResponse { message: Some(Message::Completion(completion)) })).await.ok();
}

/// Asks a member whether it answers for the patient at this moment.
async fn ask_member(
    clients: &Clients,
    context: &Context,
    member_id: String,
    patients: Vec<RecordReference>,
) -> SourceOutcome {
    let began = Instant::now();
    let asked = async {
        let Some(endpoint) = clients.endpoint(context, &member_id).await? else {
            return Ok((SourceState::NotAsked, "NO_ENDPOINT"));
        };
        let mut source = clients.sources.client(&endpoint).map_err(|_| Status::internal("endpoint"))?;
        source.check_documents(context.request(CheckDocumentsRequest { patients })).await?;
        Ok::<_, Status>((SourceState::Answered, ""))
    };
    let (state, reason) = match tokio::time::timeout_at(context.deadline, asked).await {
        Ok(Ok(answered)) => answered,
        Err(_) => (SourceState::TimedOut, "TIMED_OUT"),
        Ok(Err(error)) => match error.code() {
            Code::DeadlineExceeded | Code::Cancelled => (SourceState::TimedOut, "TIMED_OUT"),
            Code::PermissionDenied | Code::Unauthenticated => (SourceState::Refused, "REFUSED"),
            Code::Unavailable => (SourceState::Unavailable, "UNREACHABLE"),
            _ => (SourceState::Unavailable, "FAILED"),
        },
    };
    let elapsed_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    SourceOutcome { member_id, state: state.into(), reason: reason.to_owned(), elapsed_ms }
}
