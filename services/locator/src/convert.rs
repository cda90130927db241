//! Between the messages of different services; the only place.

use signpost_common::rpc::{Context, status::invalid};
use signpost_proto::{
    audit::v1::DocumentDisclosure,
    common::v1::RecordReference,
    consent::v1::{DocumentFacts, Obligation},
    locator::v1::{DocumentHeader, PersonMatch, PersonOutcome, Pointer, PointerCopy},
    mpi::v1::{MatchOutcome, MatchPatientResponse},
    registry::v1::DocumentEntry,
};
use tonic::Status;

use crate::{clients::Decided, domain::rank::Ranked};

pub(crate) fn custodian(entry: &DocumentEntry) -> String {
    entry.patient.as_ref().map(|patient| patient.member_id.clone()).unwrap_or_default()
}

pub(crate) fn facts(entry: &DocumentEntry) -> DocumentFacts {
    let code = |coding: &Option<signpost_proto::common::v1::Coding>| {
        coding.as_ref().map(|coding| coding.code.clone()).unwrap_or_default()
    };
    DocumentFacts {
        document_id: entry.document_id.clone(),
        custodian: custodian(entry),
        type_code: code(&entry.type_code),
        class_code: code(&entry.class_code),
        labels: entry.labels.clone(),
        service_start_time: entry.service_start_time,
        author_institution: entry.author_institution.clone(),
        replaced_document_ids: entry.replaced_document_ids.clone(),
    }
}

pub(crate) fn disclosure(decided: &Decided) -> DocumentDisclosure {
    let released = decided.permitted();
    let duties = decided.decision.obligations.iter().filter(|_| released);
    let kinds = duties.map(|obligation| obligation.kind.clone()).collect();
    DocumentDisclosure {
        document_id: decided.entry.document_id.clone(),
        custodian: custodian(&decided.entry),
        released,
        rule_ids: decided.decision.rule_ids.clone(),
        obligations: kinds,
        decision_id: decided.decision_id.clone(),
    }
}

/// Returns obligations of several documents, each once.
pub(crate) fn each_once<'a>(all: impl IntoIterator<Item = &'a Obligation>) -> Vec<Obligation> {
    let mut obligations: Vec<Obligation> = vec![];
    for obligation in all {
        if !obligations.contains(obligation) {
            obligations.push(obligation.clone());
        }
    }
    obligations
}

pub(crate) fn pointer(rank: usize, ranked: Ranked, obligations: Vec<Obligation>) -> Pointer {
    let Ranked { entry, reasons, copies } = ranked;
    let copies = copies.into_iter().map(|(copy, reason)| PointerCopy {
        custodian: custodian(&copy),
        document_id: copy.document_id,
        reason: reason.to_owned(),
    });
    Pointer {
        custodian: custodian(&entry),
        document_id: entry.document_id,
        class_code: entry.class_code,
        type_code: entry.type_code,
        creation_time: entry.creation_time,
        service_start_time: entry.service_start_time,
        author_institution: entry.author_institution,
        mime_type: entry.mime_type,
        size_bytes: entry.size_bytes,
        sha256: entry.sha256.into(),
        rank: u32::try_from(rank + 1).unwrap_or(u32::MAX),
        rank_reasons: reasons,
        obligations,
        copies: copies.collect(),
    }
}

pub(crate) fn header(decided: &Decided) -> DocumentHeader {
    DocumentHeader {
        document_id: decided.entry.document_id.clone(),
        custodian: custodian(&decided.entry),
        mime_type: decided.entry.mime_type.clone(),
        size_bytes: decided.entry.size_bytes,
        notices: decided.duties().notices,
        obligations: decided.decision.obligations.clone(),
        masked_labels: decided.duties().mask,
        offset_bytes: 0,
    }
}

/// Returns what was found, and the records of the person who was.
pub(crate) fn person_outcome(response: MatchPatientResponse) -> (PersonOutcome, Vec<RecordReference>) {
    let outcome = match response.outcome() {
        MatchOutcome::Certain => PersonMatch::Certain,
        MatchOutcome::MoreAttributesNeeded | MatchOutcome::TooManyMatches => {
            PersonMatch::MoreAttributesNeeded
        }
        MatchOutcome::NotFound | MatchOutcome::Unspecified => PersonMatch::NotFound,
    };
    let MatchPatientResponse {
        outcome: _,
        person_id,
        probability,
        attributes_needed,
        candidates: _,
        patient_records,
    } = response;
    (PersonOutcome { r#match: outcome.into(), person_id, probability, attributes_needed }, patient_records)
}

/// The caller may name its own records only.
pub(crate) fn own_record(context: &Context, record: RecordReference) -> Result<RecordReference, Status> {
    if record.local_id.is_empty() {
        return Err(invalid("record.local_id", "must not be empty"));
    }
    if record.member_id.is_empty() {
        return Ok(RecordReference { member_id: context.caller.member_id.clone(), ..record });
    }
    if record.member_id != context.caller.member_id {
        return Err(invalid("record.member_id", "must be the calling member's own"));
    }
    Ok(record)
}
