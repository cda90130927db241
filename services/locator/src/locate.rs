//! Locate: who is it, what may be seen, and who could not be asked.

use std::{
    collections::{BTreeMap, HashMap},
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
    common::v1::Role,
    consent::v1::Obligation,
    locator::v1::{
        Completion, LocateRequest, LocateResponse, PersonMatch, PersonOutcome, Pointer, SourceOutcome,
        SourceState, locate_request::Subject, locate_response::Message,
    },
    mpi::v1::{MatchPatientRequest, list_person_records_request::By},
};
use tokio::{sync::mpsc, time::Instant};
use tonic::Status;

use crate::{
    clients::{Clients, Decided, Person},
    convert,
    domain::{
        merge,
        plan::{self, Ask},
        rank,
    },
    error::{self, Error},
    even,
    permit::Permit,
    sources::Failure,
};

/// How the locator names its method in the audit log.
pub(crate) const ACTION: &str = "/signpost.locator.v1.RecordLocatorService/Locate";

const POINTERS_MAX: u32 = 500;
const SOURCE_TIMEOUT_MS_DEFAULT: u32 = 2_000;
const SOURCE_TIMEOUT_MS_MAX: u32 = 30_000;

/// Time to complete an answer, or to record that there is none, before the caller's deadline.
const TO_COMPLETE: Duration = Duration::from_millis(100);

/// An answer that is ready to be released: its audit event is durable.
pub(crate) struct Located {
    person: PersonOutcome,
    pointers: Vec<Pointer>,
    permit: Permit,
    ask: BTreeMap<String, Ask>,
    registry_only: bool,
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
    // Whoever comes too late is dropped by the deadline: what became of it is recorded before.
    let left = context.deadline.saturating_duration_since(Instant::now());
    let in_time = left - TO_COMPLETE.min(left / 10);
    let prepared = tokio::time::timeout(in_time, prepare_answer(clients, context, request)).await;
    let prepared = prepared.unwrap_or_else(|_| Err(Error::TooLate.into()));
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
    let LocateRequest {
        subject,
        filter,
        pointer_limit,
        emergency_session_id,
        request_id,
        source_timeout_ms,
        registry_only,
    } = request;
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
        (decided, completion.truncated) =
            clients.decided(context, person, filter, &emergency_session_id).await?;
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
    let told = |decided: &Decided| {
        person.as_ref().and_then(|person| decided.notice(person, &event.emergency_session_id))
    };
    let notices: Vec<_> = permitted.iter().filter_map(told).collect();
    let obligations: HashMap<String, Vec<Obligation>> =
        permitted.iter().map(|d| (d.entry.document_id.clone(), d.decision.obligations.clone())).collect();
    let permitted: Vec<_> = permitted.into_iter().map(|decided| decided.entry).collect();
    let found = person.is_some();
    let records = person.map(|person| person.records).unwrap_or_default();
    let mut ask = plan::members_to_ask(&permitted, &records);
    let mut ranked = rank::rank(permitted, clients.clock.now().as_second());
    completion.truncated |= ranked.len() > limit as usize;
    ranked.truncate(limit as usize);
    completion.pointers = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
    // What the limit cuts is not released.
    let sent = rank::ids(&ranked);
    ask.values_mut().for_each(|ask| ask.show(&sent));
    event.documents.iter_mut().for_each(|d| d.released &= sent.contains(&d.document_id));
    let notices: Vec<_> = notices.into_iter().filter(|notice| sent.contains(&notice.document_id)).collect();
    let pointer = |(place, ranked): (usize, rank::Ranked)| {
        let copies = ranked.copies.iter().map(|(copy, _)| &copy.document_id);
        let ids = [&ranked.entry.document_id].into_iter().chain(copies);
        let duties = convert::each_once(ids.filter_map(|id| obligations.get(id)).flatten());
        convert::pointer(place, ranked, duties)
    };
    let pointers = ranked.into_iter().enumerate().map(pointer).collect();
    clients.audit.append(context, event).await?;
    for notice in notices {
        clients.notify(context, notice).await?;
    }
    // Somebody of whom nothing may be seen looks like somebody of whom there is nothing.
    if found && completion.pointers == 0 {
        even::out(began).await;
    }
    let source_timeout = Duration::from_millis(source_timeout_ms.into());
    Ok(Located { person: outcome, pointers, permit, ask, registry_only, source_timeout, completion })
}

/// Finds out who it is, and all records of that person.
async fn find(
    clients: &Clients,
    context: &Context,
    subject: Option<Subject>,
) -> Result<(PersonOutcome, Option<Person>), Status> {
    let not_found = || PersonOutcome { r#match: PersonMatch::NotFound.into(), ..PersonOutcome::default() };
    match subject.ok_or_else(|| status::invalid("subject", "must be set"))? {
        Subject::Demographics(_) if context.is(&[Role::Patient, Role::Representative]) => {
            let text = "patients, and who acts for them, locate by their own record";
            Err(status::denied("NOT_YOUR_OWN", text))
        }
        Subject::Demographics(demographics) => {
            let request = MatchPatientRequest { demographics: Some(demographics) };
            let response = clients.mpi.clone().match_patient(context.request(request)).await;
            let response = response.map_err(error::of("index"))?.into_inner();
            let (outcome, records) = convert::person_outcome(response);
            if outcome.r#match() != PersonMatch::Certain {
                return Ok((outcome, None));
            }
            let person = match records.is_empty() {
                // It was joined with another meanwhile, or the index is of an earlier release, which does not name them.
                true => clients.person(context, By::PersonId(outcome.person_id.clone())).await?,
                false => Some(Person::new(outcome.person_id.clone(), records)?),
            };
            let Some(person) = person else { return Ok((not_found(), None)) };
            Ok((PersonOutcome { person_id: person.id.clone(), ..outcome }, Some(person)))
        }
        Subject::Record(record) => {
            let by = By::Record(convert::own_record(context, record)?);
            let Some(person) = clients.person(context, by).await? else { return Ok((not_found(), None)) };
            let outcome = PersonOutcome {
                r#match: PersonMatch::Certain.into(),
                person_id: person.id.clone(),
                probability: 1.0,
                ..PersonOutcome::default()
            };
            Ok((outcome, Some(person)))
        }
    }
}

/// Sends the answer: the person, the pointers, each member's outcome as it comes, and how complete it all is.
pub(crate) async fn send(
    clients: Clients,
    context: Context,
    located: Located,
    answers: mpsc::Sender<Result<LocateResponse, Status>>,
) {
    let Located { person, pointers, mut permit, ask, registry_only, source_timeout, mut completion } =
        located;
    // Members leave time to say how complete the answer is.
    let in_time =
        Context { deadline: context.deadline - TO_COMPLETE, ..context.clone() }.within(source_timeout);
    let asked = ask.into_iter().map(async |(member, ask)| match registry_only {
        true => not_asked(member),
        false => ask_member(&clients, &in_time, member, ask).await,
    });
    let asked: FuturesUnordered<_> = asked.collect();
    // Members are asked while pointers are sent: a slow reader costs them no time.
    let messages = stream::select(asked.map(Message::Source), stream::iter(pointers).map(Message::Pointer));
    let mut messages = pin!(stream::iter([Message::Person(person)]).chain(messages));
    while let Some(message) = messages.next().await {
        if let Message::Source(outcome) = &message {
            merge::count(&mut completion, outcome);
        }
        let Ok(room) = answers.reserve().await else { return };
        if matches!(message, Message::Pointer(_) | Message::Source(_))
            && let Err(stopped) = permit.holds(&clients, &context).await
        {
            room.send(Err(stopped));
            return;
        }
        room.send(Ok(LocateResponse { message: Some(message) }));
    }
    answers.send(Ok(LocateResponse { message: Some(Message::Completion(completion)) })).await.ok();
}

/// Says that a member was not asked, as the caller wished.
fn not_asked(member_id: String) -> SourceOutcome {
    let (state, reason) = (SourceState::NotAsked.into(), "NOT_WANTED".to_owned());
    SourceOutcome { member_id, state, reason, ..SourceOutcome::default() }
}

/// Asks a member which of the patient's documents it holds at this moment. What the caller may see and the member no longer has
/// is named; what else the member holds is not. One that does not answer is named, with what it said lately.
async fn ask_member(clients: &Clients, context: &Context, member_id: String, ask: Ask) -> SourceOutcome {
    let began = Instant::now();
    let source = clients.source(context, &member_id).await;
    let (outcome, held, age) = match &source {
        Err(_) => (Failure::Failed.outcome(), None, Duration::ZERO),
        Ok(None) => ((SourceState::NotAsked, "NO_ENDPOINT"), None, Duration::ZERO),
        Ok(Some(source)) => match source.check(context, &ask.records).await {
            Ok(held) => ((SourceState::Answered, ""), Some(held), Duration::ZERO),
            Err(failure) => {
                let (held, age) = source.said(&ask.records).unzip();
                (failure.outcome(), held, age.unwrap_or_default())
            }
        },
    };
    let in_ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let (state, reason) = outcome;
    SourceOutcome {
        member_id,
        state: state.into(),
        reason: reason.to_owned(),
        elapsed_ms: in_ms(began.elapsed()),
        missing_document_ids: held.iter().flat_map(|held| ask.missing(held)).collect(),
        // 0 stands for none.
        age_ms: in_ms(age).max(u32::from(!age.is_zero())),
    }
}
