//! Between the contract's messages and the domain; the only place.

use prost::Message;
use signpost_common::{
    clock, db,
    id::{DocumentId, MemberId, RecordRef},
    rpc::{
        Context, micros,
        status::{self, invalid},
    },
};
use signpost_proto::{
    common::v1::{Coding, RecordReference},
    registry::v1::{
        self as proto, DocumentRelation, DocumentStatus, RelationKind, RetrievalMethod, Stability,
    },
};
use tonic::Status;

use crate::{
    domain::{
        Change, Document, FoundBy, Pointer, Position, Query, Registration, Report,
        relation::Relation,
        score::{self, Score},
    },
    error::Error,
};

const TEXT_CHARS_MAX: usize = 256;
const LABELS_MAX: usize = 32;
const LABEL_CHARS_MAX: usize = 64;
const PATIENTS_MAX: usize = 200;
const FILTER_MAX: usize = 64;
const RELATIONS_MAX: usize = 16;

/// Returns the member that calls.
pub(crate) fn member(context: &Context) -> Result<MemberId, Status> {
    let id = context.caller.member_id.parse();
    id.map_err(|_| status::denied("NOT_YOUR_OWN", "only members have documents"))
}

pub(crate) fn document_id(field: &str, text: &str) -> Result<DocumentId, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

fn member_id(field: &str, text: &str) -> Result<MemberId, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

fn text(field: &str, text: &str) -> Result<(), Status> {
    if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(signpost_common::text::is_unfit) {
        return Err(invalid(
            field,
            "must be at most 256 characters, none of them a control or invisible one",
        ));
    }
    Ok(())
}

fn coding(field: &str, coding: Option<&Coding>) -> Result<(), Status> {
    let Some(Coding { system, code, display }) = coding else { return Ok(()) };
    text(&format!("{field}.system"), system)?;
    text(&format!("{field}.code"), code)?;
    text(&format!("{field}.display"), display)
}

fn labels(name: &str, labels: &[String]) -> Result<(), Status> {
    for (i, label) in labels.iter().enumerate() {
        let plain = label.bytes().all(|b| b.is_ascii_graphic());
        if label.is_empty() || label.len() > LABEL_CHARS_MAX || !plain {
            let field = format!("{name}[{i}]");
            return Err(invalid(&field, "must be 1 to 64 printable ASCII characters without space"));
        }
    }
    Ok(())
}

/// Checks a media type without parameters (RFC 6838, 4.2).
fn mime_type(text: &str) -> Result<(), Status> {
    let name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match text.split_once('/') {
        Some((kind, subtype)) if name(kind) && name(subtype) => Ok(()),
        _ => Err(invalid("entry.mime_type", "must be of the form type/subtype")),
    }
}

/// Reads a moment, in microseconds since 1970.
pub(crate) fn time(field: &str, time: Option<&prost_types::Timestamp>) -> Result<Option<i64>, Status> {
    let read = |time| clock::from_proto(time).ok_or_else(|| invalid(field, "is not a moment"));
    Ok(time.map(read).transpose()?.map(micros))
}

fn service_times(
    start: Option<&prost_types::Timestamp>,
    stop: Option<&prost_types::Timestamp>,
) -> Result<(), Status> {
    let start = time("entry.service_start_time", start)?;
    let stop = time("entry.service_stop_time", stop)?;
    if start.zip(stop).is_some_and(|(start, stop)| stop < start) {
        return Err(invalid("entry.service_stop_time", "must not be before the start"));
    }
    Ok(())
}

/// Checks what is stated of a document and others, as far as that can be told without the others.
fn relations_stated(relations: &[DocumentRelation]) -> Result<(), Status> {
    if relations.len() > RELATIONS_MAX {
        return Err(invalid("entry.relations", "must be at most 16"));
    }
    for (i, DocumentRelation { kind, document_id: target }) in relations.iter().enumerate() {
        if !matches!(RelationKind::try_from(*kind), Ok(RelationKind::Appends | RelationKind::Transforms)) {
            return Err(invalid(&format!("entry.relations[{i}].kind"), "must be a kind of relation"));
        }
        let field = format!("entry.relations[{i}].document_id");
        document_id(&field, target)?;
        if relations[..i].iter().any(|earlier| earlier.document_id == *target) {
            return Err(invalid(&field, "must not be named twice"));
        }
    }
    Ok(())
}

/// Checks what is stated of a document's bytes; those of a dynamic one may be unknown.
fn bytes(stability: i32, size_bytes: u64, sha256: &[u8]) -> Result<(), Status> {
    let dynamic = match Stability::try_from(stability) {
        Ok(stability) => stability == Stability::Dynamic,
        Err(_) => return Err(invalid("entry.stability", "is not a stability")),
    };
    if sha256.len() != 32 && !(dynamic && sha256.is_empty()) {
        return Err(invalid("entry.sha256", "must be 32 bytes"));
    }
    if size_bytes == 0 && !dynamic {
        return Err(invalid("entry.size_bytes", "must be set"));
    }
    Ok(())
}

/// Reads a record. Its member may be left out where the caller's is meant.
fn record(field: &str, record: RecordReference, own: Option<&MemberId>) -> Result<RecordRef, Status> {
    let RecordReference { member_id: custodian, local_id } = record;
    let custodian = match (custodian.as_str(), own) {
        ("", Some(own)) => own.clone(),
        _ => member_id(&format!("{field}.member_id"), &custodian)?,
    };
    RecordRef::new(custodian, &local_id).map_err(|error| invalid(&format!("{field}.local_id"), error))
}

/// Reads a pointer that a member registers.
pub(crate) fn registration(
    entry: Option<proto::DocumentEntry>,
    own: &MemberId,
) -> Result<Registration, Status> {
    let entry = entry.ok_or_else(|| invalid("entry", "must be set"))?;
    if !entry.document_id.is_empty() {
        return Err(invalid("entry.document_id", "must be left to the exchange"));
    }
    let patient = record("entry.patient", entry.patient.clone().unwrap_or_default(), Some(own))?;
    if patient.member_id != *own {
        return Err(status::denied("NOT_YOUR_OWN", "members may register their own documents only"));
    }
    let stated = stated(entry)?;
    let code = |coding: &Option<Coding>| coding.as_ref().map(|c| c.code.clone()).unwrap_or_default();
    let found_by = found_by(&stated);
    let relations = stated.relations.iter().map(|DocumentRelation { kind, document_id: target }| {
        let kind = RelationKind::try_from(*kind).unwrap_or_default();
        Ok(Relation { kind, target: document_id("entry.relations", target)? })
    });
    let relations = relations.collect::<Result<_, Status>>()?;
    let pointer = Pointer {
        patient,
        type_code: code(&stated.type_code),
        class_code: code(&stated.class_code),
        created_us: time("entry.creation_time", stated.creation_time.as_ref())?.unwrap_or(0),
        sha256: stated.sha256.clone(),
        facts: proto::DocumentEntry { unique_id: String::new(), ..stated.clone() }.encode_to_vec(),
        unique_id: stated.unique_id,
    };
    Ok(Registration { pointer, found_by, relations })
}

/// Returns what of a document's facts it is found by.
fn found_by(stated: &proto::DocumentEntry) -> FoundBy {
    let moment =
        |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(clock::from_proto).map(micros);
    let (start, stop) = (moment(&stated.service_start_time), moment(&stated.service_stop_time));
    FoundBy { labels: stated.labels.clone(), service_us: start.or(stop).zip(stop.or(start)) }
}

/// Reads what a document is found by from its stored facts.
pub(crate) fn found_by_facts(facts: &[u8]) -> Result<FoundBy, db::Error> {
    let stated = proto::DocumentEntry::decode(facts).map_err(|_| db::Error::Corrupt("document"))?;
    Ok(found_by(&stated))
}

/// Checks an entry and returns what the custodian may state of it, without the patient.
fn stated(entry: proto::DocumentEntry) -> Result<proto::DocumentEntry, Status> {
    let proto::DocumentEntry {
        document_id: _,
        unique_id,
        patient: _,
        class_code,
        type_code,
        format_code,
        facility_type_code,
        practice_setting_code,
        creation_time,
        service_start_time,
        service_stop_time,
        author_institution,
        labels: all_labels,
        language,
        mime_type: media,
        size_bytes,
        sha256,
        stability,
        repository_unique_id,
        home_community_id,
        status: _,
        liveness: _,
        replaces_document_id: _,
        replaced_by_document_id: _,
        registered_at: _,
        retrieval_method,
        liveness_at: _,
        liveness_reason: _,
        relations,
        replaced_document_ids: _,
    } = entry;
    if unique_id.is_empty() {
        return Err(invalid("entry.unique_id", "must not be empty"));
    }
    text("entry.unique_id", &unique_id)?;
    if type_code.as_ref().is_none_or(|coding| coding.code.is_empty()) {
        return Err(invalid("entry.type_code.code", "must not be empty"));
    }
    coding("entry.class_code", class_code.as_ref())?;
    coding("entry.type_code", type_code.as_ref())?;
    coding("entry.format_code", format_code.as_ref())?;
    coding("entry.facility_type_code", facility_type_code.as_ref())?;
    coding("entry.practice_setting_code", practice_setting_code.as_ref())?;
    time("entry.creation_time", creation_time.as_ref())?;
    service_times(service_start_time.as_ref(), service_stop_time.as_ref())?;
    text("entry.author_institution", &author_institution)?;
    if all_labels.len() > LABELS_MAX {
        return Err(invalid("entry.labels", "must be at most 32"));
    }
    labels("entry.labels", &all_labels)?;
    text("entry.language", &language)?;
    mime_type(&media)?;
    bytes(stability, size_bytes, &sha256)?;
    text("entry.repository_unique_id", &repository_unique_id)?;
    text("entry.home_community_id", &home_community_id)?;
    relations_stated(&relations)?;
    if RetrievalMethod::try_from(retrieval_method).is_err() {
        return Err(invalid("entry.retrieval_method", "is not a method of retrieval"));
    }
    Ok(proto::DocumentEntry {
        unique_id,
        class_code,
        type_code,
        format_code,
        facility_type_code,
        practice_setting_code,
        creation_time,
        service_start_time,
        service_stop_time,
        author_institution,
        labels: all_labels,
        language,
        mime_type: media,
        size_bytes,
        sha256,
        stability,
        repository_unique_id,
        home_community_id,
        retrieval_method,
        relations,
        ..proto::DocumentEntry::default()
    })
}

/// Writes a pointer with all that is known of it.
pub(crate) fn entry(document: Document) -> Result<proto::DocumentEntry, Error> {
    let Document {
        id,
        pointer,
        status,
        liveness,
        liveness_us,
        liveness_reason,
        failures: _,
        replaced,
        replaced_by,
        registered_us,
    } = document;
    let Pointer { patient, unique_id, facts, type_code: _, class_code: _, created_us: _, sha256: _ } =
        pointer;
    let stated = proto::DocumentEntry::decode(&facts[..]).map_err(|_| db::Error::Corrupt("document"))?;
    Ok(proto::DocumentEntry {
        document_id: id.to_string(),
        unique_id,
        patient: Some(RecordReference {
            member_id: patient.member_id.to_string(),
            local_id: patient.local_id().to_owned(),
        }),
        status: status.into(),
        liveness: liveness.into(),
        liveness_at: (liveness_us != 0).then(|| clock::micros_to_proto(liveness_us)),
        liveness_reason,
        replaces_document_id: replaced.first().map(ToString::to_string).unwrap_or_default(),
        replaced_document_ids: replaced.iter().map(ToString::to_string).collect(),
        replaced_by_document_id: replaced_by.map(|id| id.to_string()).unwrap_or_default(),
        registered_at: Some(clock::micros_to_proto(registered_us)),
        ..stated
    })
}

pub(crate) fn entries(documents: Vec<Document>) -> Result<Vec<proto::DocumentEntry>, Error> {
    documents.into_iter().map(entry).collect()
}

fn few<T>(field: &str, list: &[T]) -> Result<(), Status> {
    if list.len() > FILTER_MAX { Err(invalid(field, "must be at most 64")) } else { Ok(()) }
}

fn codes(field: &str, codes: Vec<String>) -> Result<Vec<String>, Status> {
    few(field, &codes)?;
    for (i, code) in codes.iter().enumerate() {
        text(&format!("{field}[{i}]"), code)?;
    }
    Ok(codes)
}

fn statuses(values: &[i32]) -> Result<Vec<DocumentStatus>, Status> {
    few("filter.statuses", values)?;
    let mut statuses = vec![];
    for (i, value) in values.iter().enumerate() {
        match DocumentStatus::try_from(*value) {
            Ok(status) if status != DocumentStatus::Unspecified => statuses.push(status),
            _ => return Err(invalid(&format!("filter.statuses[{i}]"), "is not a state of a document")),
        }
    }
    Ok(if statuses.is_empty() { vec![DocumentStatus::Current] } else { statuses })
}

/// Reads a query. A member (`own`) sees its own pointers only: records of others find nothing.
pub(crate) fn query(
    patients: Vec<RecordReference>,
    filter: Option<proto::DocumentFilter>,
    as_of: Option<prost_types::Timestamp>,
    own: Option<&MemberId>,
) -> Result<Query, Status> {
    if patients.is_empty() || patients.len() > PATIENTS_MAX {
        return Err(invalid("patients", "must be 1 to 200"));
    }
    let patients = patients.into_iter().enumerate().map(|(i, p)| record(&format!("patients[{i}]"), p, own));
    let mut patients = patients.collect::<Result<Vec<_>, _>>()?;
    patients.retain(|patient| own.is_none_or(|own| patient.member_id == *own));
    let proto::DocumentFilter {
        type_codes,
        class_codes,
        member_ids,
        statuses: states,
        created_from,
        created_to,
        labels: sensitivities,
        service_from,
        service_to,
    } = filter.unwrap_or_default();
    few("filter.labels", &sensitivities)?;
    labels("filter.labels", &sensitivities)?;
    few("filter.member_ids", &member_ids)?;
    let custodians =
        member_ids.iter().enumerate().map(|(i, id)| member_id(&format!("filter.member_ids[{i}]"), id));
    Ok(Query {
        patients,
        custodians: custodians.collect::<Result<_, _>>()?,
        type_codes: codes("filter.type_codes", type_codes)?,
        class_codes: codes("filter.class_codes", class_codes)?,
        statuses: statuses(&states)?,
        from_us: time("filter.created_from", created_from.as_ref())?,
        to_us: time("filter.created_to", created_to.as_ref())?,
        labels: sensitivities,
        service_from_us: time("filter.service_from", service_from.as_ref())?,
        service_to_us: time("filter.service_to", service_to.as_ref())?,
        as_of_us: time("as_of", as_of.as_ref())?,
    })
}

/// Reads what a retrieval or a probe showed.
pub(crate) fn report(request: proto::ReportRetrievalRequest) -> Result<(DocumentId, Report), Status> {
    let proto::ReportRetrievalRequest {
        document_id: id,
        succeeded,
        reason,
        request_id: _,
        elapsed_ms,
        probe,
    } = request;
    text("reason", &reason)?;
    Ok((document_id("document_id", &id)?, Report { succeeded, reason, elapsed_ms, probe }))
}

/// Writes a change; its token comes later.
pub(crate) fn change(change: Change) -> Result<proto::WatchDocumentsResponse, Error> {
    let Change { document, kind, changed_us } = change;
    Ok(proto::WatchDocumentsResponse {
        entry: Some(entry(document)?),
        resume_token: String::new(),
        changed_at: Some(clock::micros_to_proto(changed_us)),
        kind: kind.into(),
    })
}

/// Writes how good a custodian's pointers are.
pub(crate) fn score(member_id: &MemberId, score: &Score) -> proto::MemberScore {
    let seconds = |us: i64| us.max(0).unsigned_abs() / 1_000_000;
    proto::MemberScore {
        member_id: member_id.to_string(),
        current: score.current.unsigned_abs(),
        superseded: score.superseded.unsigned_abs(),
        deprecated: score.deprecated.unsigned_abs(),
        alive: score.alive.unsigned_abs(),
        suspect: score.suspect.unsigned_abs(),
        dead: score.dead.unsigned_abs(),
        duplicates: score.duplicates.unsigned_abs(),
        retrievals: score.retrievals().unsigned_abs(),
        failures: score.failures.unsigned_abs(),
        probes: score.probes.unsigned_abs(),
        failed_probes: score.failed_probes.unsigned_abs(),
        p50_ms: score::percentile_ms(&score.retrieved, 50),
        p99_ms: score::percentile_ms(&score.retrieved, 99),
        last_registered_at: (score.last_registered_us != 0)
            .then(|| clock::micros_to_proto(score.last_registered_us)),
        feed_lag_seconds_p50: score.feed_lag_us.map(seconds),
    }
}

/// Writes a place in a list, for a page token.
pub(crate) fn position_to_text(position: &Position) -> String {
    format!("{}/{}", position.created_us, position.id)
}

/// Reads a place in a list from a page token.
pub(crate) fn position(text: &str) -> Result<Position, Status> {
    let read = || {
        let (created, id) = text.split_once('/')?;
        Some(Position { created_us: created.parse().ok()?, id: id.parse().ok()? })
    };
    read().ok_or_else(|| invalid("page_token", "is not one of ours"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> proto::DocumentEntry {
        proto::DocumentEntry {
            unique_id: "u".into(),
            patient: Some(RecordReference { member_id: String::new(), local_id: "1".into() }),
            type_code: Some(Coding { code: "34133-9".into(), ..Coding::default() }),
            mime_type: "application/fhir+json".into(),
            size_bytes: 1,
            sha256: vec![1; 32],
            ..proto::DocumentEntry::default()
        }
    }

    /// Returns the field at fault after a change to a valid entry.
    fn fault(change: impl FnOnce(&mut proto::DocumentEntry)) -> String {
        let mut entry = valid();
        change(&mut entry);
        let result = registration(Some(entry), &"north".parse().unwrap());
        result.map(|_| String::new()).unwrap_or_else(|status| status::field(&status))
    }

    #[test]
    fn faults_are_named() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        assert_eq!(fault(|_| {}), "");
        assert_eq!(fault(|e| e.document_id = "x".into()), "entry.document_id");
        assert_eq!(fault(|e| e.unique_id = "x".repeat(257)), "entry.unique_id");
        assert_eq!(fault(|e| e.unique_id.clear()), "entry.unique_id");
        assert_eq!(fault(|e| e.patient = None), "entry.patient.local_id");
        assert_eq!(fault(|e| e.type_code = None), "entry.type_code.code");
        let long = Coding { display: "x".repeat(257), ..Coding::default() };
        assert_eq!(fault(|e| e.format_code = Some(long)), "entry.format_code.display");
        assert_eq!(fault(|e| e.labels = vec!["N".into(), "a b".into()]), "entry.labels[1]");
        assert_eq!(fault(|e| e.labels = vec!["N".into(); 33]), "entry.labels");
        for bad in ["", "text", "text/", "/plain", "text/plain/x", "text/plain; charset=x"] {
            assert_eq!(fault(|e| e.mime_type = bad.into()), "entry.mime_type", "{bad}");
        }
        assert_eq!(fault(|e| e.sha256 = vec![1; 31]), "entry.sha256");
        assert_eq!(fault(|e| e.sha256.clear()), "entry.sha256");
        assert_eq!(fault(|e| e.size_bytes = 0), "entry.size_bytes");
        assert_eq!(fault(|e| e.stability = 9), "entry.stability");
        assert_eq!(fault(|e| e.retrieval_method = 9), "entry.retrieval_method");
        assert_eq!(fault(|e| e.creation_time = at(i64::MAX)), "entry.creation_time");
        let backwards = |e: &mut proto::DocumentEntry| {
            e.service_start_time = at(2);
            e.service_stop_time = at(1);
        };
        assert_eq!(fault(backwards), "entry.service_stop_time");
    }

    #[test]
    fn faults_of_relations_are_named() {
        let related = |kinds: &[i32]| {
            let relation = |kind: &i32| DocumentRelation {
                kind: *kind,
                document_id: DocumentId::generate().to_string(),
            };
            kinds.iter().map(relation).collect::<Vec<_>>()
        };
        assert_eq!(fault(|e| e.relations = related(&[1, 2])), "");
        assert_eq!(fault(|e| e.relations = related(&[1; 17])), "entry.relations");
        assert_eq!(fault(|e| e.relations = related(&[1, 0])), "entry.relations[1].kind");
        assert_eq!(fault(|e| e.relations = related(&[1, 9])), "entry.relations[1].kind");
        let twice = |e: &mut proto::DocumentEntry| {
            e.relations = related(&[1, 1, 2]);
            e.relations[2].document_id = e.relations[0].document_id.clone();
        };
        assert_eq!(fault(twice), "entry.relations[2].document_id");
        let malformed = |e: &mut proto::DocumentEntry| {
            e.relations = related(&[1]);
            e.relations[0].document_id.clear();
        };
        assert_eq!(fault(malformed), "entry.relations[0].document_id");
    }

    #[test]
    fn one_end_of_a_service_stands_for_both() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let found = |start, stop| {
            let entry = proto::DocumentEntry {
                service_start_time: start,
                service_stop_time: stop,
                labels: vec!["N".into()],
                ..valid()
            };
            let read = registration(Some(entry), &"north".parse().unwrap()).unwrap();
            assert_eq!(found_by_facts(&read.pointer.facts).unwrap(), read.found_by);
            assert_eq!(read.found_by.labels, ["N"]);
            read.found_by.service_us
        };
        assert_eq!(found(None, None), None);
        assert_eq!(found(at(1), None), Some((1_000_000, 1_000_000)));
        assert_eq!(found(None, at(2)), Some((2_000_000, 2_000_000)));
        assert_eq!(found(at(1), at(2)), Some((1_000_000, 2_000_000)));
    }

    #[test]
    fn a_dynamic_document_needs_neither_hash_nor_size() {
        let dynamic = |e: &mut proto::DocumentEntry| {
            e.stability = Stability::Dynamic.into();
            e.sha256.clear();
            e.size_bytes = 0;
        };
        assert_eq!(fault(dynamic), "");
    }

    #[test]
    fn only_what_the_custodian_may_state_is_taken() {
        let mut entry = valid();
        entry.status = DocumentStatus::Superseded.into();
        entry.replaced_by_document_id = "x".into();
        let own = "north".parse().unwrap();
        assert_eq!(registration(Some(entry), &own).unwrap(), registration(Some(valid()), &own).unwrap());
        let mut foreign = valid();
        foreign.patient = Some(RecordReference { member_id: "south".into(), local_id: "1".into() });
        assert_eq!(status::reason(&registration(Some(foreign), &own).unwrap_err()), "NOT_YOUR_OWN");
    }
}
