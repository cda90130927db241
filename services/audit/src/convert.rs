//! Between the contract's messages and the domain; the only place.

use jiff::Timestamp;
use prost::Message;
use signpost_common::{
    clock, db,
    hash::Blinder,
    id::{EventId, MemberId, RecordRef},
    rpc::{
        Context, micros,
        status::{self, invalid},
    },
};
use signpost_proto::{
    audit::v1::{self as proto, Event, EventKind, EventOutcome},
    common::v1::{RecordReference, Role},
    directory::v1::MemberKind,
};
use tonic::Status;

use crate::{
    domain::{
        Entry, Logged, Query,
        misuse::Seen,
        sentence::{self, Access, Actor, Deed, Reader},
    },
    error::Error,
    store::Kept,
};

const KINDS_MAX: usize = 64;

/// What is hashed and kept.
#[derive(Clone, PartialEq, Message)]
struct Leaf {
    /// The event, without the patient's records.
    #[prost(message, optional, tag = "1")]
    event: Option<Event>,
    /// A keyed hash of each record, ascending.
    #[prost(sfixed64, repeated, tag = "2")]
    subjects: Vec<i64>,
}

/// What columns say of a leaf, and nothing else of it: a million of them are read to verify a log.
#[derive(Clone, PartialEq, Message)]
struct Facts {
    #[prost(message, optional, tag = "1")]
    event: Option<EventFacts>,
    #[prost(sfixed64, repeated, tag = "2")]
    subjects: Vec<i64>,
}

/// Those of an event, by the numbers of the contract.
#[derive(Clone, PartialEq, Message)]
struct EventFacts {
    #[prost(string, tag = "1")]
    event_id: String,
    #[prost(int32, tag = "2")]
    kind: i32,
    #[prost(int32, tag = "4")]
    outcome: i32,
    #[prost(message, optional, tag = "6")]
    caller: Option<CallerFacts>,
    #[prost(string, tag = "11")]
    request_id: String,
    #[prost(message, optional, tag = "13")]
    occurred_at: Option<prost_types::Timestamp>,
}

/// Those of a caller.
#[derive(Clone, PartialEq, Message)]
struct CallerFacts {
    #[prost(string, tag = "1")]
    member_id: String,
}

/// Returns the keyed hash of a record.
pub(crate) fn subject(blinder: &Blinder, record: &RecordRef) -> i64 {
    blinder.token("audit-subject", &[record.member_id.as_str(), record.local_id()])
}

fn member_id(field: &str, text: &str) -> Result<MemberId, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

fn optional_member_id(field: &str, text: &str) -> Result<Option<MemberId>, Status> {
    if text.is_empty() { Ok(None) } else { member_id(field, text).map(Some) }
}

pub(crate) fn time(field: &str, time: &prost_types::Timestamp) -> Result<Timestamp, Status> {
    clock::from_proto(time).ok_or_else(|| invalid(field, "is not a moment"))
}

fn kind(field: &str, value: i32) -> Result<EventKind, Status> {
    match EventKind::try_from(value) {
        Ok(kind) if kind != EventKind::Unspecified => Ok(kind),
        _ => Err(invalid(field, "is not a kind of event")),
    }
}

fn subjects(blinder: &Blinder, records: Vec<RecordReference>) -> Result<Vec<i64>, Status> {
    let mut subjects = vec![];
    for (i, RecordReference { member_id: member, local_id }) in records.into_iter().enumerate() {
        let field = format!("event.patient_records[{i}]");
        let member = member_id(&format!("{field}.member_id"), &member)?;
        let record = RecordRef::new(member, &local_id);
        let record = record.map_err(|error| invalid(&format!("{field}.local_id"), error))?;
        subjects.push(subject(blinder, &record));
    }
    Ok(subjects)
}

/// Reads an event to append, and hides the patient's records. A patient who calls is hidden as well: their user name is
/// a local id, and what is in the log stays there.
pub(crate) fn entry(event: Option<Event>, blinder: &Blinder) -> Result<Entry, Status> {
    let mut event = event.ok_or_else(|| invalid("event", "must be set"))?;
    let id: EventId = event.event_id.parse().map_err(|error| invalid("event.event_id", error))?;
    let kind = kind("event.kind", event.kind)?;
    let outcome = match EventOutcome::try_from(event.outcome) {
        Ok(outcome) if outcome != EventOutcome::Unspecified => outcome,
        _ => return Err(invalid("event.outcome", "is not an outcome")),
    };
    let occurred = event.occurred_at.as_ref().ok_or_else(|| invalid("event.occurred_at", "must be set"))?;
    let occurred_us = micros(time("event.occurred_at", occurred)?);
    let records = std::mem::take(&mut event.patient_records);
    let caller_id = event.caller.as_ref().map(|caller| caller.member_id.as_str()).unwrap_or_default();
    let own_patient = records.iter().any(|record| record.member_id == caller_id);
    event.own_patient = (!records.is_empty()).then_some(own_patient);
    let mut subjects = subjects(blinder, records)?;
    let caller = event.caller.as_mut().ok_or_else(|| invalid("event.caller", "must be set"))?;
    // A call may be refused before it is known who calls.
    let member_id = optional_member_id("event.caller.member_id", &caller.member_id)?;
    if matches!(caller.role(), Role::Patient | Role::Representative) {
        let user = std::mem::take(&mut caller.user);
        let record = member_id.clone().and_then(|member_id| RecordRef::new(member_id, &user).ok());
        if let Some(own) = record.map(|record| subject(blinder, &record)) {
            caller.user = format!("{own:016x}");
            subjects.push(own);
        }
    }
    subjects.sort_unstable();
    subjects.dedup();
    let request_id = event.request_id.clone();
    let leaf = Leaf { event: Some(event), subjects: subjects.clone() }.encode_to_vec();
    Ok(Entry { id, kind, outcome, member_id, occurred_us, subjects, leaf, request_id })
}

/// Reads a leaf as the entry that it was; `None` when it is none that this service has made.
pub(crate) fn entry_of(leaf: Vec<u8>) -> Option<Entry> {
    let Facts { event, subjects } = Facts::decode(&leaf[..]).ok()?;
    let EventFacts { event_id, kind, outcome, caller, request_id, occurred_at } = event?;
    let (kind, outcome) = (EventKind::try_from(kind).ok()?, EventOutcome::try_from(outcome).ok()?);
    let member = caller.as_ref().map_or("", |caller| caller.member_id.as_str());
    let member_id = if member.is_empty() { None } else { Some(member.parse().ok()?) };
    let occurred_us = micros(occurred_at.as_ref().and_then(clock::from_proto)?);
    let id = event_id.parse().ok()?;
    Some(Entry { id, kind, outcome, member_id, occurred_us, subjects, leaf, request_id })
}

/// Reads the event of a leaf.
pub(crate) fn event(leaf: &[u8]) -> Result<Event, Error> {
    let leaf = Leaf::decode(leaf).ok().and_then(|leaf| leaf.event);
    Ok(leaf.ok_or(db::Error::Corrupt("event"))?)
}

/// Reads an event to be watched. What the organisation that called is, is not in it.
pub(crate) fn seen(logged: &Logged) -> Result<Seen, Error> {
    let corrupt = || db::Error::Corrupt("event");
    let Leaf { event, subjects } = Leaf::decode(&logged.leaf[..]).map_err(|_| corrupt())?;
    let event = event.ok_or_else(corrupt)?;
    let at = event.occurred_at.as_ref().and_then(clock::from_proto).ok_or_else(corrupt)?;
    Ok(Seen { sequence: logged.sequence, at_us: micros(at), event, subjects, kind: MemberKind::Unspecified })
}

/// Returns a number as positions of streams have it.
pub(crate) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads whose matters are asked for: a member (`own`) sees its own alone.
pub(crate) fn own_or_asked(own: Option<MemberId>, asked: &str) -> Result<Option<MemberId>, Status> {
    match (own, optional_member_id("member_id", asked)?) {
        (None, asked) => Ok(asked),
        (Some(own), None) => Ok(Some(own)),
        (Some(own), Some(asked)) if own == asked => Ok(Some(own)),
        (Some(_), Some(_)) => {
            Err(status::denied("NOT_YOUR_OWN", "members see what is of their own calls only"))
        }
    }
}

/// Returns an event for a reader; what was withheld from a member stays withheld from its officers too.
pub(crate) fn logged(logged: &Logged, withheld_too: bool) -> Result<proto::LoggedEvent, Error> {
    let mut event = event(&logged.leaf)?;
    if !withheld_too {
        event.documents.retain(|document| document.released);
        // Whose a document is that was refused would tell that it exists, and so would that it is somebody's.
        if event.outcome() == EventOutcome::Refused {
            event.person_id.clear();
            event.own_patient = None;
        }
    }
    Ok(proto::LoggedEvent { sequence: logged.sequence, event: Some(event) })
}

impl From<Kept> for proto::WatchCheckpointsResponse {
    fn from(kept: Kept) -> Self {
        let Kept { size, note, signed_us } = kept;
        let signed_at = Some(clock::micros_to_proto(signed_us));
        Self { checkpoint: note, size, signed_at, resume_token: String::new() }
    }
}

/// Reads a query. A member (`own`) sees the events of its own calls only.
pub(crate) fn query(request: proto::SearchEventsRequest, own: Option<MemberId>) -> Result<Query, Status> {
    let proto::SearchEventsRequest { kinds, member_id, from, to, page_size: _, page_token: _, request_id } =
        request;
    if kinds.len() > KINDS_MAX {
        return Err(invalid("kinds", "must be at most 64"));
    }
    let kinds = kinds.into_iter().enumerate().map(|(i, value)| kind(&format!("kinds[{i}]"), value));
    let member_id = own_or_asked(own, &member_id)?;
    if !request_id.is_empty() && member_id.is_none() {
        return Err(invalid("member_id", "must be set, since each member names requests as it likes"));
    }
    let bound = |field, moment: Option<prost_types::Timestamp>| {
        moment.map(|moment| time(field, &moment).map(micros)).transpose()
    };
    Ok(Query {
        kinds: kinds.collect::<Result<_, _>>()?,
        member_id,
        from_us: bound("from", from)?,
        to_us: bound("to", to)?,
        request_id: (!request_id.is_empty()).then_some(request_id),
    })
}

/// Returns the member that calls.
pub(crate) fn member(context: &Context) -> Result<MemberId, Status> {
    let id = context.caller.member_id.parse();
    id.map_err(|_| status::denied("NOT_YOUR_OWN", "only members have a part of the log"))
}

/// Reads whose disclosures to list: a patient of the calling member; when a patient calls, the patient. The index asks for
/// anybody, in the name of a steward who corrects a link.
pub(crate) fn patient(context: &Context, patient: Option<RecordReference>) -> Result<RecordRef, Status> {
    let RecordReference { member_id: asked, local_id } = patient.unwrap_or_default();
    let own = if context.inside {
        if !context.is(&[Role::Steward]) {
            return Err(status::denied("NOT_YOUR_OWN", "the exchange asks in the name of a steward only"));
        }
        asked.parse().map_err(|error| invalid("patient.member_id", error))?
    } else {
        member(context)?
    };
    if !asked.is_empty() && asked != own.as_str() {
        return Err(status::denied("NOT_YOUR_OWN", "members may ask for their own patients only"));
    }
    let record = RecordRef::new(own, &local_id).map_err(|error| invalid("patient.local_id", error))?;
    if context.is(&[Role::Patient, Role::Representative]) && record.local_id() != context.caller.user {
        return Err(status::denied("NOT_YOUR_OWN", "patients may ask for themselves only"));
    }
    Ok(record)
}

/// Returns who reads a list of disclosures.
pub(crate) fn reader(context: &Context) -> Reader {
    if context.is(&[Role::Patient, Role::Representative]) { Reader::Patient } else { Reader::Officer }
}

/// Writes a disclosure. Documents that were withheld are not named.
pub(crate) fn disclosure(stored: &Logged, reader: Reader) -> Result<proto::Disclosure, Error> {
    let mut logged = logged(stored, true)?;
    let event = logged.event.get_or_insert_default();
    let sentence = sentence::sentence(&access(event)?, reader);
    event.documents.retain(|document| document.released);
    Ok(proto::Disclosure { logged: Some(logged), sentence })
}

fn access(event: &Event) -> Result<Access, Error> {
    let caller = event.caller.clone().unwrap_or_default();
    let at = event.occurred_at.as_ref().and_then(clock::from_proto).ok_or(db::Error::Corrupt("event"))?;
    let released = event.documents.iter().filter(|document| document.released).count();
    let (role, purpose) = (caller.role(), caller.purpose());
    let actor = match caller.exchange {
        true => Actor::Exchange,
        false => Actor::User { name: caller.user, role, member_id: caller.member_id },
    };
    let deed = match (event.kind(), event.action.rsplit('/').next()) {
        (EventKind::Locate, Some("FetchHistory" | "BuildSummary")) => Deed::AskForAll,
        (EventKind::Fetch, _) => Deed::Fetch,
        (EventKind::Emergency, Some("OpenEmergencyAccess")) => Deed::OpenEmergency,
        (EventKind::Emergency, Some("CloseEmergencyAccess")) => Deed::CloseEmergency,
        (EventKind::Emergency, Some("CompleteEmergencyReview")) => Deed::ReviewEmergency,
        (EventKind::Emergency, _) => Deed::UseEmergency,
        _ => Deed::LookUp,
    };
    let withheld = event.documents.len() - released;
    Ok(Access { actor, deed, purpose, outcome: event.outcome(), released, withheld, at })
}

#[cfg(test)]
mod tests {
    use signpost_proto::common::v1::Caller;

    use super::*;

    fn valid() -> Event {
        Event {
            event_id: EventId::generate().to_string(),
            kind: EventKind::Locate.into(),
            outcome: EventOutcome::Success.into(),
            caller: Some(Caller { member_id: "north".into(), ..Caller::default() }),
            occurred_at: Some(prost_types::Timestamp { seconds: 1, nanos: 5000 }),
            patient_records: vec![RecordReference { member_id: "north".into(), local_id: "MRN-778".into() }],
            ..Event::default()
        }
    }

    fn blinder() -> Blinder {
        Blinder::new(&[7; 32]).unwrap()
    }

    /// Returns the field at fault after a change to a valid event.
    fn fault(change: impl FnOnce(&mut Event)) -> String {
        let mut event = valid();
        change(&mut event);
        entry(Some(event), &blinder()).map(|_| String::new()).unwrap_or_else(|status| status::field(&status))
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(fault(|_| {}), "");
        assert_eq!(fault(|e| e.event_id.clear()), "event.event_id");
        assert_eq!(fault(|e| e.event_id = "x".into()), "event.event_id");
        assert_eq!(fault(|e| e.kind = 0), "event.kind");
        assert_eq!(fault(|e| e.kind = 99), "event.kind");
        assert_eq!(fault(|e| e.outcome = 0), "event.outcome");
        assert_eq!(fault(|e| e.caller = None), "event.caller");
        assert_eq!(
            fault(|e| e.caller.get_or_insert_default().member_id = "A".into()),
            "event.caller.member_id"
        );
        assert_eq!(fault(|e| e.caller = Some(Caller::default())), "", "refused before it was known");
        assert_eq!(fault(|e| e.occurred_at = None), "event.occurred_at");
        assert_eq!(fault(|e| e.occurred_at.get_or_insert_default().nanos = -1), "event.occurred_at");
        assert_eq!(fault(|e| e.patient_records[0].local_id.clear()), "event.patient_records[0].local_id");
        assert_eq!(fault(|e| e.patient_records[0].member_id.clear()), "event.patient_records[0].member_id");
        assert_eq!(status::field(&entry(None, &blinder()).unwrap_err()), "event");
    }

    #[test]
    fn a_leaf_holds_the_event_and_no_record() {
        let made = entry(Some(valid()), &blinder()).unwrap();
        assert_eq!((made.subjects.len(), made.occurred_us), (1, 1_000_005));
        assert!(!made.leaf.windows(7).any(|w| w == b"MRN-778"));
        assert!(made.leaf.ends_with(&made.subjects[0].to_le_bytes()));
        assert_eq!(entry_of(made.leaf.clone()).unwrap(), made);
        assert_eq!(entry_of(b"x".to_vec()), None);
        let (request_id, reason, person_id) = ("attempt 1".to_owned(), "X".to_owned(), "p".to_owned());
        let full = Event { request_id, reason, person_id, kind: EventKind::Fetch.into(), ..valid() };
        let full = entry(Some(Event { outcome: EventOutcome::Failed.into(), ..full }), &blinder()).unwrap();
        assert_eq!(entry_of(full.leaf.clone()).unwrap(), full);
        let back = event(&made.leaf).unwrap();
        let own_patient = Some(true);
        let said = Event { event_id: back.event_id.clone(), patient_records: vec![], own_patient, ..valid() };
        assert_eq!(said, back);
    }

    #[test]
    fn a_patient_who_calls_is_hidden_too() {
        let mut call = valid();
        let caller = call.caller.get_or_insert_default();
        caller.set_role(Role::Patient);
        caller.user = "MRN-778".into();
        let made = entry(Some(call), &blinder()).unwrap();
        assert_eq!(made.subjects, entry(Some(valid()), &blinder()).unwrap().subjects, "the same record");
        assert!(!made.leaf.windows(7).any(|w| w == b"MRN-778"));
        let user = event(&made.leaf).unwrap().caller.unwrap().user;
        assert_eq!(user, format!("{:016x}", made.subjects[0]));
    }
}
