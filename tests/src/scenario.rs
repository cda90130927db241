//! Situations that several tests begin with.

use anyhow::Context;
use signpost::config::Service;
use signpost_common::{clock, hash::sha256};
use signpost_proto::{
    common::v1::{Coding, Demographics, HumanName, RecordReference, Role},
    consent::v1::{
        ActivatePolicyRequest, CreateDirectiveRequest, Directive, DraftPolicyRequest, Effect, Match,
        policy_service_client::PolicyServiceClient,
    },
    mpi::v1::RegisterPatientRequest,
    registry::v1::{DocumentEntry, RegisterDocumentRequest},
};

use crate::{Cluster, DocumentFile, operator, patient, system, write_index};

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

/// A document of person 1 that a member serves.
#[derive(Debug, Clone)]
pub struct Paper {
    /// File in the member's folder; also its unique id.
    pub file: String,
    /// LOINC type code.
    pub type_code: String,
    /// Labels, with `|` between them.
    pub labels: String,
    /// When it was made, in seconds; 0 states nothing.
    pub created_s: i64,
    /// What it says.
    pub bytes: Vec<u8>,
}

impl Paper {
    /// Returns a list of medication that says what it is called.
    pub fn new(file: &str, created_s: i64) -> Self {
        let (type_code, labels) = ("10160-0".into(), "N".into());
        Self { file: file.into(), type_code, labels, created_s, bytes: file.into() }
    }

    /// Returns what its member registers.
    pub fn entry(&self, member: &str) -> DocumentEntry {
        let created = jiff::Timestamp::from_second(self.created_s).ok().filter(|_| self.created_s > 0);
        DocumentEntry {
            unique_id: self.file.clone(),
            patient: Some(RecordReference { member_id: member.into(), local_id: "P1".into() }),
            type_code: Some(Coding { code: self.type_code.clone(), ..Coding::default() }),
            mime_type: "text/plain".into(),
            size_bytes: self.bytes.len() as u64,
            sha256: sha256(&self.bytes).to_vec(),
            labels: self.labels.split('|').map(str::to_owned).collect(),
            creation_time: created.map(clock::to_proto),
            ..DocumentEntry::default()
        }
    }
}

/// Registers a document in the name of its member; returns its id.
pub async fn register(cluster: &Cluster, member: &str, entry: DocumentEntry) -> anyhow::Result<String> {
    let client = cluster.client(member, Service::Registry)?;
    let request = RegisterDocumentRequest { entry: Some(entry), request_id: String::new() };
    let registered = client.registry().register_document(client.request(&system(), request)?).await?;
    Ok(registered.into_inner().document_id)
}

/// Lays documents of person 1, these and no others, into a member's folder.
pub fn fill(cluster: &Cluster, member: &str, papers: &[Paper]) -> anyhow::Result<()> {
    let folder = cluster.documents(member);
    for paper in papers {
        std::fs::write(folder.join(&paper.file), &paper.bytes)?;
    }
    let file = |paper: &Paper| DocumentFile {
        local_id: "P1".into(),
        file: paper.file.clone(),
        mime_type: "text/plain".into(),
        type_code: paper.type_code.clone(),
        labels: paper.labels.clone(),
    };
    write_index(&folder, &papers.iter().map(file).collect::<Vec<_>>())
}

/// Has a member know person 1, serve these documents and register them; returns their ids.
pub async fn publish(cluster: &mut Cluster, member: &str, papers: &[Paper]) -> anyhow::Result<Vec<String>> {
    let client = cluster.client(member, Service::Mpi)?;
    client.mpi().register_patient(client.request(&system(), record(1))?).await?;
    fill(cluster, member, papers)?;
    cluster.serve_documents(member).await?;
    let mut documents = vec![];
    for paper in papers {
        documents.push(register(cluster, member, paper.entry(member)).await?);
    }
    Ok(documents)
}

/// Has person 1 direct something at a member; returns the directive's id.
pub async fn direct(
    cluster: &Cluster,
    member: &str,
    effect: Effect,
    matched: Match,
) -> anyhow::Result<String> {
    let client = cluster.client(member, Service::Consent)?;
    let directive = Directive {
        patient: Some(RecordReference { member_id: member.into(), local_id: "P1".into() }),
        effect: effect.into(),
        r#match: Some(matched),
        ..Directive::default()
    };
    let request_id = uuid::Uuid::now_v7().to_string();
    let request = CreateDirectiveRequest { directive: Some(directive), request_id };
    let made = client.consent().create_directive(client.request(&patient("P1"), request)?).await?;
    Ok(made.into_inner().directive.context("no directive")?.directive_id)
}

/// Has person 1 deny documents by their ids, at a member; returns the directive's id.
pub async fn deny(cluster: &Cluster, member: &str, documents: &[&str]) -> anyhow::Result<String> {
    let document_ids = documents.iter().map(|id| (*id).to_owned()).collect();
    direct(cluster, member, Effect::Deny, Match { document_ids, ..Match::default() }).await
}

/// A cluster in which north and south hold a document each for one person.
pub async fn two_documents() -> anyhow::Result<(Cluster, Vec<String>)> {
    let mut cluster = Cluster::start().await?;
    let mut documents = vec![];
    for member in ["north", "south"] {
        let bytes = format!("document of {member} ").repeat(20_000).into();
        let paper = Paper { bytes, ..Paper::new(&format!("{member}.txt"), 0) };
        documents.extend(publish(&mut cluster, member, &[paper]).await?);
    }
    Ok((cluster, documents))
}

/// Drafts a policy and puts it in force.
pub async fn activate(cluster: &Cluster, source: &str) -> anyhow::Result<()> {
    let client = cluster.client("operator", Service::Consent)?;
    let (mut policies, user) = (PolicyServiceClient::new(client.transport()), operator(Role::Operator));
    let draft = DraftPolicyRequest { source: source.into(), request_id: String::new() };
    let drafted = policies.draft_policy(client.request(&user, draft)?).await?.into_inner();
    let version = drafted.version.context("no version")?.version;
    let activate = ActivatePolicyRequest { version, request_id: String::new() };
    policies.activate_policy(client.request(&user, activate)?).await?;
    Ok(())
}
