//! Between the contract's messages and the domain; the only place.

use std::str::FromStr;

use prost_types::Timestamp;
use signpost_common::{
    clock,
    id::{self, MemberId, NoticeId, PersonId, RecordRef, SessionId},
    rpc::{Context, status, status::invalid},
};
use signpost_proto::{
    common::v1::{PurposeOfUse, RecordReference, Role},
    consent::v1::{self as proto, EmergencyReason, ReviewOutcome},
};
use tonic::Status;

use crate::domain::{
    self, Criterion, DocumentFacts, Effect, Emergency, Explained, Matcher, Obligation, Relationship, Request,
    Requester, Session,
    notice::{Notice, Party},
    session,
};

mod directive;
mod fhir;
mod signature;

pub(crate) use directive::{from_payload, new_directive, payload};
pub(crate) use fhir::{exported, imported};

const LIST_MAX: usize = 64;
const DOCUMENTS_MAX: usize = 1000;
const RECORDS_MAX: usize = 200;
const REASON_CHARS_MIN: usize = 10;
const REASON_CHARS_MAX: usize = 500;
const NOTE_CHARS_MAX: usize = 2000;

pub(crate) fn parsed<T: FromStr<Err = id::Error>>(field: &str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

pub(crate) use signpost_common::rpc::request_id;

/// Checks the request id of a mutation that is not: without one, a repetition would do it twice.
pub(crate) fn required_request_id(text: &str) -> Result<(), Status> {
    if text.is_empty() {
        return Err(invalid("request_id", "must be set, so that the request can be repeated"));
    }
    request_id(text)
}

pub(crate) fn micros(field: &str, time: Option<&Timestamp>) -> Result<Option<i64>, Status> {
    let read = |time| clock::from_proto(time).ok_or_else(|| invalid(field, "is not a time"));
    Ok(time.map(read).transpose()?.map(|time| time.as_microsecond()))
}

fn printable(field: &str, text: &str, chars_max: usize) -> Result<String, Status> {
    let count = text.chars().count();
    if count == 0
        || count > chars_max
        || text.chars().any(signpost_common::text::is_unfit)
        || text.trim() != text
    {
        let wanted = format!("must be 1 to {chars_max} printable characters, without space at its ends");
        return Err(invalid(field, wanted));
    }
    Ok(text.to_owned())
}

fn list<T, U>(
    field: &str,
    items: &[T],
    item: impl Fn(&str, &T) -> Result<U, Status>,
) -> Result<Vec<U>, Status> {
    if items.len() > LIST_MAX {
        return Err(invalid(field, format!("must have at most {LIST_MAX} items")));
    }
    items.iter().enumerate().map(|(i, value)| item(&format!("{field}[{i}]"), value)).collect()
}

fn role(field: &str, value: &i32) -> Result<Role, Status> {
    let known = Role::try_from(*value).ok().filter(|role| *role != Role::Unspecified);
    known.ok_or_else(|| invalid(field, "is not a role"))
}

fn purpose(field: &str, value: &i32) -> Result<PurposeOfUse, Status> {
    let known = PurposeOfUse::try_from(*value).ok().filter(|p| *p != PurposeOfUse::Unspecified);
    known.ok_or_else(|| invalid(field, "is not a purpose of use"))
}

fn relationship(field: &str, value: &i32) -> Result<Relationship, Status> {
    match proto::Relationship::try_from(*value) {
        Ok(proto::Relationship::Self_) => Ok(Relationship::Myself),
        Ok(proto::Relationship::Representative) => Ok(Relationship::Representative),
        Ok(proto::Relationship::Treating) => Ok(Relationship::Treating),
        Ok(proto::Relationship::Unspecified) | Err(_) => Err(invalid(field, "is not a relationship")),
    }
}

pub(crate) fn relationships(field: &str, all: &[i32]) -> Result<Vec<Relationship>, Status> {
    list(field, all, relationship)
}

pub(crate) fn relationship_to_proto(relationship: &Relationship) -> i32 {
    match relationship {
        Relationship::Myself => proto::Relationship::Self_.into(),
        Relationship::Representative => proto::Relationship::Representative.into(),
        Relationship::Treating => proto::Relationship::Treating.into(),
    }
}

/// Reads the patient that a call is about; an empty member stands for the caller's own.
pub(crate) fn patient(context: &Context, from: Option<RecordReference>) -> Result<RecordRef, Status> {
    patient_at("patient", context, from)
}

fn patient_at(field: &str, context: &Context, from: Option<RecordReference>) -> Result<RecordRef, Status> {
    let RecordReference { member_id, local_id } = from.ok_or_else(|| invalid(field, "must be set"))?;
    let member_id = if member_id.is_empty() { &context.caller.member_id } else { &member_id };
    let member_id = parsed(&format!("{field}.member_id"), member_id)?;
    RecordRef::new(member_id, &local_id).map_err(|error| invalid(&format!("{field}.local_id"), error))
}

pub(crate) fn effect_to_proto(effect: Effect) -> i32 {
    match effect {
        Effect::Permit => proto::Effect::Permit.into(),
        Effect::Deny => proto::Effect::Deny.into(),
    }
}

pub(crate) fn record_to_proto(record: &RecordRef) -> RecordReference {
    RecordReference { member_id: record.member_id.to_string(), local_id: record.local_id().to_owned() }
}

/// What a decision is asked about.
pub(crate) struct Question {
    pub(crate) person_id: PersonId,
    /// Each record once.
    pub(crate) records: Vec<RecordRef>,
    pub(crate) documents: Vec<DocumentFacts>,
    pub(crate) session_id: Option<SessionId>,
}

impl TryFrom<proto::DecideRequest> for Question {
    type Error = Status;

    fn try_from(request: proto::DecideRequest) -> Result<Self, Status> {
        let proto::DecideRequest { person_id, patient_records, documents, emergency_session_id, again: _ } =
            request;
        if documents.len() > DOCUMENTS_MAX {
            return Err(invalid("documents", format!("must be at most {DOCUMENTS_MAX}")));
        }
        let read = |(i, facts)| document(&format!("documents[{i}]"), facts);
        Ok(Self {
            person_id: parsed("person_id", &person_id)?,
            records: records(patient_records)?,
            documents: documents.into_iter().enumerate().map(read).collect::<Result<_, _>>()?,
            session_id: session_id(&emergency_session_id)?,
        })
    }
}

impl TryFrom<proto::ExplainDecisionRequest> for Question {
    type Error = Status;

    fn try_from(request: proto::ExplainDecisionRequest) -> Result<Self, Status> {
        let document = request.document.ok_or_else(|| invalid("document", "must be set"))?;
        Ok(Self {
            person_id: parsed("person_id", &request.person_id)?,
            records: records(request.patient_records)?,
            documents: vec![self::document("document", document)?],
            session_id: session_id(&request.emergency_session_id)?,
        })
    }
}

/// Reads who would ask.
pub(crate) fn supposed(from: &proto::SupposedRequester, now_us: i64) -> Result<Request, Status> {
    let requester = Requester {
        member_id: parsed("requester.member_id", &from.member_id)?,
        role: role("requester.role", &from.role)?,
        purpose: purpose("requester.purpose", &from.purpose)?,
        relationships: relationships("requester.relationships", &from.relationships)?,
    };
    let emergency = match EmergencyReason::try_from(from.emergency_reason) {
        Ok(EmergencyReason::Unspecified) => Emergency::None,
        Ok(reason) => Emergency::Open(SessionId::generate(), reason),
        Err(_) => return Err(invalid("requester.emergency_reason", "is not a reason")),
    };
    Ok(Request { requester, now_us, emergency, scope: Matcher::default() })
}

/// Reads the session to apply. One that cannot exist is refused as one that does not.
fn session_id(text: &str) -> Result<Option<SessionId>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| crate::error::Error::SessionInvalid.into()),
    }
}

pub(crate) fn records(all: Vec<RecordReference>) -> Result<Vec<RecordRef>, Status> {
    if all.is_empty() || all.len() > RECORDS_MAX {
        return Err(invalid("patient_records", format!("must be 1 to {RECORDS_MAX}")));
    }
    let read = |(i, from): (usize, RecordReference)| {
        let RecordReference { member_id, local_id } = from;
        let field = format!("patient_records[{i}]");
        let member_id = parsed(&format!("{field}.member_id"), &member_id)?;
        RecordRef::new(member_id, &local_id).map_err(|error| invalid(&format!("{field}.local_id"), error))
    };
    let mut records = all.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    records.sort_unstable();
    records.dedup();
    Ok(records)
}

pub(crate) fn document(field: &str, from: proto::DocumentFacts) -> Result<DocumentFacts, Status> {
    let proto::DocumentFacts {
        document_id,
        custodian,
        type_code,
        class_code,
        labels,
        service_start_time,
        author_institution,
        replaced_document_ids,
    } = from;
    let service_start = service_start_time.as_ref();
    let replaced = replaced_document_ids
        .iter()
        .enumerate()
        .map(|(i, id)| parsed(&format!("{field}.replaced_document_ids[{i}]"), id));
    Ok(DocumentFacts {
        id: parsed(&format!("{field}.document_id"), &document_id)?,
        replaced: replaced.collect::<Result<_, _>>()?,
        custodian: parsed(&format!("{field}.custodian"), &custodian)?,
        type_code: Some(type_code).filter(|code| !code.is_empty()),
        class_code: Some(class_code).filter(|code| !code.is_empty()),
        author: Some(author_institution).filter(|author| !author.is_empty()),
        labels: labels.iter().map(|label| label.to_uppercase()).collect(),
        service_start_us: micros(&format!("{field}.service_start_time"), service_start)?,
    })
}

/// Reads who asks from the verified caller. A role or a purpose that is not known stays unspecified: nothing is
/// permitted to it.
pub(crate) fn requester(context: &Context, records: &[RecordRef]) -> Result<Requester, Status> {
    let caller = &context.caller;
    let member_id = member_id(context)?;
    let is_patient = records.iter().any(|r| r.member_id == member_id && r.local_id() == caller.user);
    let relationships = match caller.role() {
        Role::Patient if is_patient => vec![Relationship::Myself],
        Role::Representative if is_patient => vec![Relationship::Representative],
        Role::Patient | Role::Representative => vec![],
        _ if records.iter().any(|record| record.member_id == member_id) => vec![Relationship::Treating],
        _ => vec![],
    };
    Ok(Requester { member_id, role: caller.role(), purpose: caller.purpose(), relationships })
}

/// Returns the caller's organisation.
pub(crate) fn member_id(context: &Context) -> Result<MemberId, Status> {
    let read = context.caller.member_id.parse();
    read.map_err(|_| status::unauthenticated("CALLER_MALFORMED", "the caller is not a member"))
}

impl From<&DocumentFacts> for proto::DocumentFacts {
    fn from(facts: &DocumentFacts) -> Self {
        let DocumentFacts {
            id,
            replaced,
            custodian,
            author,
            type_code,
            class_code,
            labels,
            service_start_us,
        } = facts;
        Self {
            document_id: id.to_string(),
            replaced_document_ids: replaced.iter().map(ToString::to_string).collect(),
            custodian: custodian.to_string(),
            type_code: type_code.clone().unwrap_or_default(),
            class_code: class_code.clone().unwrap_or_default(),
            labels: labels.clone(),
            service_start_time: service_start_us.map(clock::micros_to_proto),
            author_institution: author.clone().unwrap_or_default(),
        }
    }
}

/// Reads a decision that was stored; `None` when it is none.
pub(crate) fn decision(from: proto::Decision) -> Option<domain::Decision> {
    let effect = match from.effect() {
        proto::Effect::Permit => Effect::Permit,
        proto::Effect::Deny => Effect::Deny,
        proto::Effect::Unspecified => return None,
    };
    let proto::Decision { document_id, effect: _, rule_ids, obligations, emergency_could_permit } = from;
    let obligations = obligations.into_iter().map(|duty| Obligation::read(&duty.kind, &duty.value));
    Some(domain::Decision {
        document: document_id.parse().ok()?,
        effect,
        rule_ids,
        obligations: obligations.collect::<Option<_>>()?,
        emergency_could_permit,
    })
}

impl From<domain::Decision> for proto::Decision {
    fn from(decision: domain::Decision) -> Self {
        let domain::Decision { document, effect, rule_ids, obligations, emergency_could_permit } = decision;
        let obligation =
            |duty: Obligation| proto::Obligation { kind: duty.kind().to_owned(), value: duty.value() };
        Self {
            document_id: document.to_string(),
            effect: effect_to_proto(effect),
            rule_ids,
            obligations: obligations.into_iter().map(obligation).collect(),
            emergency_could_permit,
        }
    }
}

impl From<Explained> for proto::ExplainedRule {
    fn from(explained: Explained) -> Self {
        let Explained { rule_id, layer, matched, decided, sentence } = explained;
        Self { rule_id, layer: layer.name().to_owned(), matched, decided, explanation: sentence }
    }
}

/// Reads what a notice about a release says, apart from whom it is for: here the caller's organisation.
pub(crate) fn release(
    context: &Context,
    from: &proto::RecordReleaseNoticesRequest,
    now_us: i64,
) -> Result<Notice, Status> {
    let member_id = member_id(context)?;
    Ok(Notice {
        id: NoticeId::generate(),
        party: Party::Member(member_id.clone()),
        kind: proto::NoticeKind::Released,
        member_id,
        user: context.caller.user.clone(),
        session: session_id(&from.emergency_session_id)?,
        document: Some(parsed("document_id", &from.document_id)?),
        created_us: now_us,
        acknowledged_us: None,
    })
}

/// Reads the documents that emergency access is for; all when nothing is stated.
pub(crate) fn scope(field: &str, from: Option<&proto::Match>) -> Result<Matcher, Status> {
    let scope = from.map_or_else(|| Ok(Matcher::default()), |from| directive::matcher(field, from))?;
    if scope.criteria().iter().any(Criterion::is_about_request) {
        return Err(invalid(field, "may look at documents only: who opens it, and why, is known"));
    }
    Ok(scope)
}

/// Reads a session to open.
pub(crate) fn new_session(
    context: &Context,
    request: proto::OpenEmergencyAccessRequest,
    now_us: i64,
) -> Result<Session, Status> {
    let proto::OpenEmergencyAccessRequest {
        person_id,
        reason,
        reason_text,
        ttl_seconds,
        request_id: _,
        scope,
    } = request;
    let reason = match EmergencyReason::try_from(reason) {
        Ok(reason) if reason != EmergencyReason::Unspecified => reason,
        _ => return Err(invalid("reason", "must be stated")),
    };
    if !matches!(context.caller.purpose(), PurposeOfUse::Etreat | PurposeOfUse::Btg) {
        let text =
            "emergency access is opened for emergency treatment: the token's purpose must be ETREAT or BTG";
        return Err(status::denied("PURPOSE_NOT_EMERGENCY", text));
    }
    let reason_text = reason_text.trim();
    let chars = reason_text.chars().count();
    if !(REASON_CHARS_MIN..=REASON_CHARS_MAX).contains(&chars)
        || reason_text.chars().any(signpost_common::text::is_unfit)
    {
        return Err(invalid(
            "reason_text",
            "must be 10 to 500 characters, none of them a control or invisible one",
        ));
    }
    let ttl_s = match ttl_seconds {
        0 => session::TTL_DEFAULT_S,
        1..=session::TTL_MAX_S => ttl_seconds,
        _ => return Err(invalid("ttl_seconds", format!("must be at most {}", session::TTL_MAX_S))),
    };
    Ok(Session {
        id: SessionId::generate(),
        person_id: parsed("person_id", &person_id)?,
        member_id: member_id(context)?,
        user: context.caller.user.clone(),
        reason,
        reason_text: reason_text.to_owned(),
        scope: self::scope("scope", scope.as_ref())?,
        opened_us: now_us,
        expires_us: now_us.saturating_add(i64::from(ttl_s) * 1_000_000),
        closed_us: None,
        review_due_us: now_us.saturating_add(session::REVIEW_WITHIN_S * 1_000_000),
        review: None,
    })
}

/// Reads the result of a review.
pub(crate) fn review(
    context: &Context,
    request: &proto::CompleteEmergencyReviewRequest,
) -> Result<session::Review, Status> {
    let proto::CompleteEmergencyReviewRequest { session_id: _, outcome, note, request_id: _, follow_up } =
        request;
    let outcome = match ReviewOutcome::try_from(*outcome) {
        Ok(outcome) if outcome != ReviewOutcome::Unspecified => outcome,
        _ => return Err(invalid("outcome", "must be stated")),
    };
    let unfit = |c: char| signpost_common::text::is_unfit(c) && !matches!(c, '\n' | '\r' | '\t');
    for (field, text) in [("note", note), ("follow_up", follow_up)] {
        if text.chars().count() > NOTE_CHARS_MAX || text.chars().any(unfit) {
            return Err(invalid(
                field,
                "must be at most 2000 characters, none of them a control or invisible one",
            ));
        }
    }
    if outcome == ReviewOutcome::NotJustified && follow_up.trim().is_empty() {
        return Err(invalid("follow_up", "must say what follows where access was not justified"));
    }
    Ok(session::Review { outcome, note: note.clone(), follow_up: follow_up.clone(), by: context.actor() })
}

/// Returns a session with what its review says, for reviewers.
pub(crate) fn reviewed(session: Session) -> proto::EmergencySession {
    let review = session.review.clone();
    let session = proto::EmergencySession::from(session);
    match review {
        None => session,
        Some(session::Review { outcome: _, note, follow_up, by }) => {
            proto::EmergencySession { review_note: note, follow_up, reviewed_by: by, ..session }
        }
    }
}

impl From<Session> for proto::EmergencySession {
    fn from(session: Session) -> Self {
        let Session {
            id,
            person_id,
            member_id,
            user,
            reason,
            reason_text,
            scope,
            opened_us,
            expires_us,
            closed_us,
            review_due_us,
            review,
        } = session;
        Self {
            session_id: id.to_string(),
            person_id: person_id.to_string(),
            member_id: member_id.to_string(),
            user,
            reason: reason.into(),
            reason_text,
            opened_at: Some(clock::micros_to_proto(opened_us)),
            expires_at: Some(clock::micros_to_proto(expires_us)),
            closed_at: closed_us.map(clock::micros_to_proto),
            review_due_at: Some(clock::micros_to_proto(review_due_us)),
            review_outcome: review.map_or(ReviewOutcome::Unspecified, |r| r.outcome).into(),
            scope: (!scope.is_everything()).then(|| (&scope).into()),
            ..Self::default()
        }
    }
}
