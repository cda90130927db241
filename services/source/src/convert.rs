//! Between the contract's messages and the index; the only place.

use prost::Message;
use signpost_common::{
    clock,
    hash::sha256,
    id::{MemberId, RecordRef},
    rpc::status::invalid,
};
use signpost_proto::{
    common::v1::{Coding, RecordReference},
    registry::v1::{DocumentEntry, DocumentStatus, RetrievalMethod, Stability},
    source::v1::CheckDocumentsRequest,
};
use tonic::Status;

use crate::{
    domain::{Digest, Hash, Record, State, version},
    index::Entry,
};

const LOINC: &str = "http://loinc.org";
const PATIENTS_MAX: usize = 200;

/// Reads a patient of this member; `None` when it is another member's.
pub(crate) fn own_patient(
    member_id: &MemberId,
    field: &str,
    from: RecordReference,
) -> Result<Option<String>, Status> {
    let RecordReference { member_id: of, local_id } = from;
    let of = of.parse().map_err(|error| invalid(&format!("{field}.member_id"), error))?;
    let record =
        RecordRef::new(of, &local_id).map_err(|error| invalid(&format!("{field}.local_id"), error))?;
    Ok((record.member_id == *member_id).then_some(local_id))
}

/// Reads the patients of this member that a check is about.
pub(crate) fn own_patients(
    member_id: &MemberId,
    request: CheckDocumentsRequest,
) -> Result<Vec<String>, Status> {
    let CheckDocumentsRequest { patients } = request;
    if patients.is_empty() || patients.len() > PATIENTS_MAX {
        return Err(invalid("patients", format!("must be 1 to {PATIENTS_MAX}")));
    }
    let mut own = vec![];
    for (i, patient) in patients.into_iter().enumerate() {
        own.extend(own_patient(member_id, &format!("patients[{i}]"), patient)?);
    }
    own.sort_unstable();
    own.dedup();
    Ok(own)
}

fn loinc(code: &str, display: &str) -> Option<Coding> {
    let coding = || Coding { system: LOINC.to_owned(), code: code.to_owned(), display: display.to_owned() };
    (!code.is_empty()).then(coding)
}

impl Entry {
    /// Returns the pointer to register. Its patient has no member: that is who registers it.
    pub fn to_document_entry(&self, size_bytes: u64, sha256: [u8; 32]) -> DocumentEntry {
        DocumentEntry {
            unique_id: self.unique_id.clone(),
            patient: Some(RecordReference { member_id: String::new(), local_id: self.local_id.clone() }),
            class_code: loinc(&self.class_code, ""),
            type_code: loinc(&self.type_code, &self.type_display),
            creation_time: self.creation_time.map(clock::to_proto),
            service_start_time: self.service_start_time.map(clock::to_proto),
            author_institution: self.author_institution.clone(),
            labels: self.labels.clone(),
            mime_type: self.mime_type.clone(),
            size_bytes,
            sha256: sha256.to_vec(),
            stability: Stability::Static.into(),
            retrieval_method: RetrievalMethod::Grpc.into(),
            ..DocumentEntry::default()
        }
    }
}

fn digest(domain: &str, bytes: &[u8]) -> Digest {
    let hash = sha256(&[domain.as_bytes(), b"/", bytes].concat());
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash[..size_of::<Digest>()]);
    digest
}

/// Returns what stands for an entry's patient.
pub(crate) fn patient(local_id: &str) -> Digest {
    digest("patient", local_id.as_bytes())
}

/// Returns what stands for an entry's facts: all that it states but patient, unique id and bytes.
pub(crate) fn facts(entry: &Entry) -> Digest {
    stated(entry.to_document_entry(0, Hash::default()))
}

/// Names what counts, so that what the exchange adds to an entry does not.
fn stated(entry: DocumentEntry) -> Digest {
    let stated = DocumentEntry {
        class_code: entry.class_code,
        type_code: entry.type_code,
        format_code: entry.format_code,
        facility_type_code: entry.facility_type_code,
        practice_setting_code: entry.practice_setting_code,
        creation_time: entry.creation_time,
        service_start_time: entry.service_start_time,
        service_stop_time: entry.service_stop_time,
        author_institution: entry.author_institution,
        labels: entry.labels,
        language: entry.language,
        mime_type: entry.mime_type,
        stability: entry.stability,
        repository_unique_id: entry.repository_unique_id,
        home_community_id: entry.home_community_id,
        relations: entry.relations,
        retrieval_method: entry.retrieval_method,
        ..DocumentEntry::default()
    };
    digest("facts", &stated.encode_to_vec())
}

/// Reads what the exchange knows of a document: the unique id of its row, and what was registered; `None` when it is no
/// pointer to a document whose bytes are fixed.
pub(crate) fn record(entry: DocumentEntry) -> Option<(String, Record)> {
    let (unique_id, version) = version::parse(&entry.unique_id);
    let unique_id = unique_id.to_owned();
    let record = Record {
        document_id: entry.document_id.parse().ok()?,
        version,
        state: match entry.status() {
            DocumentStatus::Current => State::Current,
            _ => State::Past,
        },
        patient: patient(&entry.patient.as_ref()?.local_id),
        sha256: entry.sha256[..].try_into().ok()?,
        facts: stated(entry),
        seen: None,
    };
    Some((unique_id, record))
}
