//! Situations that several tests begin with.

use signpost::config::Service;
use signpost_common::hash::sha256;
use signpost_proto::{
    common::v1::{Coding, Demographics, HumanName, RecordReference},
    mpi::v1::RegisterPatientRequest,
    registry::v1::{DocumentEntry, RegisterDocumentRequest},
};

use crate::{Cluster, DocumentFile, system, write_index};

/// Returns a person; each number is another.
pub fn person(number: u64) -> Demographics {
    let family = format!("Doe{number}");
    Demographics {
        names: vec![HumanName { given: vec!["Jane".into()], family, ..HumanName::default() }],
        birth_date: "1984-07-19".into(),
        ..Demographics::default()
    }
}

/// Returns that person's record, `P` and the number at any member.
pub fn record(number: u64) -> RegisterPatientRequest {
    RegisterPatientRequest {
        local_id: format!("P{number}"),
        demographics: Some(person(number)),
        request_id: String::new(),
    }
}

/// A cluster in which north and south hold a document each for one person.
pub async fn two_documents() -> anyhow::Result<(Cluster, Vec<String>)> {
    let mut cluster = Cluster::start().await?;
    let mut documents = vec![];
    for member in ["north", "south"] {
        let client = cluster.client(member, Service::Mpi)?;
        client.mpi().register_patient(client.request(&system(), record(1))?).await?;
        let folder = cluster.documents(member);
        let bytes = format!("document of {member} ").repeat(20_000);
        std::fs::write(folder.join("a.txt"), &bytes)?;
        write_index(
            &folder,
            &[DocumentFile {
                local_id: "P1".into(),
                file: "a.txt".into(),
                mime_type: "text/plain".into(),
                type_code: "10160-0".into(),
                labels: "N".into(),
            }],
        )?;
        cluster.serve_documents(member).await?;
        let entry = DocumentEntry {
            unique_id: "a.txt".into(),
            patient: Some(RecordReference { member_id: member.into(), local_id: "P1".into() }),
            type_code: Some(Coding { code: "10160-0".into(), ..Coding::default() }),
            mime_type: "text/plain".into(),
            size_bytes: bytes.len() as u64,
            sha256: sha256(bytes.as_bytes()).to_vec(),
            ..DocumentEntry::default()
        };
        let request = RegisterDocumentRequest { entry: Some(entry), request_id: String::new() };
        let registered = client.registry().register_document(client.request(&system(), request)?).await?;
        documents.push(registered.into_inner().document_id);
    }
    Ok((cluster, documents))
}
