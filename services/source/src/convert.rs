//! Between the contract's messages and the index; the only place.

use signpost_common::{
    clock,
    id::{MemberId, RecordRef},
    rpc::status::invalid,
};
use signpost_proto::{
    common::v1::{Coding, RecordReference},
    registry::v1::{DocumentEntry, RetrievalMethod, Stability},
    source::v1::CheckDocumentsRequest,
};
use tonic::Status;

use crate::index::Entry;

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
