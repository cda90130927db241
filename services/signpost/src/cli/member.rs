//! Members: who takes part, how they prove who they are, what they may ask for, where their documents are.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use signpost_common::rpc::token;
use signpost_proto::{
    common::v1::PurposeOfUse,
    directory::v1::{
        AddCertificateRequest, AddTokenKeyRequest, Certificate, CreateMemberRequest, DeleteEndpointRequest,
        Endpoint, EndpointProtocol, GetMemberRequest, ListMembersRequest, Member as Listed, MemberKind,
        MemberState, RevokeCertificateRequest, RevokeTokenKeyRequest, SetEndpointRequest,
        SetPurposeGrantsRequest, TokenKey, UpdateMemberRequest,
    },
};

use super::{
    explain, request_id,
    steward::{Desk, Staff, code, shown_time},
    table,
};

#[derive(Debug, Subcommand)]
pub(super) enum Member {
    /// List members
    List(List),
    /// Show a member with its certificates, keys, purposes and endpoint
    Show(Show),
    /// Add a member; certificates and keys come next
    Add(Add),
    /// Keep a member out, for now: its open connections are refused within a second
    Suspend(Named),
    /// Let a suspended member take part again
    Resume(Named),
    /// Certificates of a member; several may be active, so that renewal overlaps
    #[command(subcommand)]
    Certificate(CertificateOf),
    /// Keys with which a member signs tokens
    #[command(subcommand)]
    Key(KeyOf),
    /// Set the purposes of use that a member may claim; those that are not named it may not
    Grant(Grant),
    /// Where a member serves its documents
    #[command(subcommand)]
    Endpoint(EndpointOf),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    staff: Staff,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    staff: Staff,
    /// Id of the member
    id: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Provider,
    Payer,
    PublicHealth,
    Operator,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    staff: Staff,
    /// Id: lower case letters, digits and hyphens
    id: String,
    /// Name for people
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// What it is
    #[arg(long, default_value = "provider")]
    kind: Kind,
    /// State or region it works in
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    region: String,
    /// Purpose of use that it may claim, an HL7 code; may be given several times
    #[arg(long = "grant", value_name = "CODE", value_parser = purpose)]
    grants: Vec<PurposeOfUse>,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    staff: Staff,
    /// Id of the member
    id: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum CertificateOf {
    /// Register a certificate
    Add {
        #[command(flatten)]
        staff: Staff,
        /// Id of the member
        id: String,
        /// File with the certificate, PEM
        file: PathBuf,
    },
    /// Revoke a certificate, for good
    Revoke {
        #[command(flatten)]
        staff: Staff,
        /// SHA-256 of the certificate, hexadecimal, as `show` prints it
        fingerprint: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyOf {
    /// Register a key
    Add {
        #[command(flatten)]
        staff: Staff,
        /// Id of the member
        id: String,
        /// Id of the key, as the header of tokens names it
        kid: String,
        /// File with the public key: PEM, Ed25519 or P-256
        file: PathBuf,
    },
    /// Revoke a key, for good
    Revoke {
        #[command(flatten)]
        staff: Staff,
        /// Id of the member
        id: String,
        /// Id of the key
        kid: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Grant {
    #[command(flatten)]
    staff: Staff,
    /// Id of the member
    id: String,
    /// Purposes of use, HL7 codes such as TREAT
    #[arg(required = true, value_name = "CODE", value_parser = purpose)]
    purposes: Vec<PurposeOfUse>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Protocol {
    Grpc,
    Fhir,
    Mhd,
}

#[derive(Debug, Subcommand)]
pub(super) enum EndpointOf {
    /// Set it
    Set {
        #[command(flatten)]
        staff: Staff,
        /// Id of the member
        id: String,
        /// `https://host:port`, for FHIR and MHD with a path
        uri: String,
        /// Name that the member's server certificate carries [default: the member's id]
        #[arg(long, value_name = "NAME")]
        tls_name: Option<String>,
        /// What it speaks
        #[arg(long, default_value = "grpc")]
        protocol: Protocol,
    },
    /// Remove it
    Remove(Named),
}

fn purpose(text: &str) -> Result<PurposeOfUse, String> {
    token::purpose(text).ok_or_else(|| "is no purpose of use; for instance TREAT".to_owned())
}

impl Member {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(List { staff }) => list(&staff.operator()?).await,
            Self::Show(Show { staff, id }) => show(&staff.operator()?, &id).await,
            Self::Add(add) => add.run().await,
            Self::Suspend(Named { staff, id }) => set(&staff.operator()?, id, MemberState::Suspended).await,
            Self::Resume(Named { staff, id }) => set(&staff.operator()?, id, MemberState::Active).await,
            Self::Certificate(certificate) => certificate.run().await,
            Self::Key(key) => key.run().await,
            Self::Grant(grant) => grant.run().await,
            Self::Endpoint(endpoint) => endpoint.run().await,
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(desk: &Desk) -> anyhow::Result<()> {
    let mut rows = table(&["member", "name", "kind", "state", "purposes", "documents at"]);
    let mut page_token = String::new();
    loop {
        let request = desk.request(ListMembersRequest { page_size: 500, page_token })?;
        let page = desk.directory().list_members(request).await.map_err(|e| explain(&e))?.into_inner();
        for member in page.members {
            let (kind, state, granted) = (kind(&member), state(&member), purposes(&member.purposes));
            let uri = member.endpoint.map(|endpoint| endpoint.uri).unwrap_or_default();
            rows.add_row([member.member_id, member.display_name, kind, state, granted, uri]);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            println!("{rows}");
            return Ok(());
        }
    }
}

async fn show(desk: &Desk, id: &str) -> anyhow::Result<()> {
    let request = desk.request(GetMemberRequest { member_id: id.to_owned() })?;
    let answer = desk.directory().get_member(request).await.map_err(|e| explain(&e))?.into_inner();
    let member = answer.member.context("the answer holds no member")?;
    println!("{}, {}, {}, {}", member.member_id, member.display_name, kind(&member), state(&member));
    println!("may claim: {}", purposes(&member.purposes));
    if let Some(Endpoint { uri, tls_server_name, protocol }) = &member.endpoint {
        let protocol = EndpointProtocol::try_from(*protocol).unwrap_or_default();
        let protocol = code(protocol.as_str_name(), "ENDPOINT_PROTOCOL_");
        println!("documents at: {uri}, {protocol}, certificate of {tls_server_name}");
    }
    let mut rows = table(&["certificate (SHA-256)", "ends", "revoked"]);
    for Certificate { fingerprint, not_after, revoked_at, .. } in &member.certificates {
        let (ends, revoked) = (shown_time(not_after.as_ref()), shown_time(revoked_at.as_ref()));
        rows.add_row([hex::encode(fingerprint), ends, revoked]);
    }
    println!("\n{rows}");
    let mut rows = table(&["key", "revoked"]);
    for TokenKey { kid, revoked_at, .. } in &member.token_keys {
        rows.add_row([kid.clone(), shown_time(revoked_at.as_ref())]);
    }
    println!("\n{rows}");
    Ok(())
}

fn kind(member: &Listed) -> String {
    code(member.kind().as_str_name(), "MEMBER_KIND_")
}

fn state(member: &Listed) -> String {
    code(member.state().as_str_name(), "MEMBER_STATE_")
}

fn purposes(granted: &[i32]) -> String {
    let known = granted.iter().filter_map(|purpose| PurposeOfUse::try_from(*purpose).ok());
    known.map(token::purpose_code).collect::<Vec<_>>().join(" ")
}

async fn set(desk: &Desk, member_id: String, state: MemberState) -> anyhow::Result<()> {
    let request = UpdateMemberRequest {
        member_id,
        display_name: String::new(),
        state: state.into(),
        request_id: request_id(),
    };
    let request = desk.request(request)?;
    let changed = desk.directory().update_member(request).await.map_err(|e| explain(&e))?.into_inner();
    let member = changed.member.unwrap_or_default();
    println!("{} is {}", member.member_id, code(member.state().as_str_name(), "MEMBER_STATE_"));
    Ok(())
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        let Self { staff, id, name, kind, region, grants } = self;
        let kind = match kind {
            Kind::Provider => MemberKind::Provider,
            Kind::Payer => MemberKind::Payer,
            Kind::PublicHealth => MemberKind::PublicHealth,
            Kind::Operator => MemberKind::Operator,
        };
        let member = Listed {
            member_id: id,
            display_name: name,
            region,
            kind: kind.into(),
            purposes: grants.into_iter().map(Into::into).collect(),
            ..Listed::default()
        };
        let desk = staff.operator()?;
        let request = CreateMemberRequest { member: Some(member), request_id: request_id() };
        let added = desk.directory().create_member(desk.request(request)?).await.map_err(|e| explain(&e))?;
        let id = added.into_inner().member.unwrap_or_default().member_id;
        println!(
            "{id} is a member; next: signpost member certificate add {id} FILE, and key add {id} KID FILE"
        );
        Ok(())
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    // A private key is nobody else's.
    ensure!(
        !text.contains("PRIVATE KEY"),
        "{} holds a private key: name the file with the certificate or the public key",
        file.display()
    );
    Ok(text)
}

impl CertificateOf {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add { staff, id, file } => {
                let (desk, certificate_pem) = (staff.operator()?, read(&file)?);
                let request =
                    AddCertificateRequest { member_id: id, certificate_pem, request_id: request_id() };
                let added = desk.directory().add_certificate(desk.request(request)?).await;
                let added = added.map_err(|e| explain(&e))?.into_inner().certificate.unwrap_or_default();
                let ends = shown_time(added.not_after.as_ref());
                println!("{} is registered and ends {ends}", hex::encode(added.fingerprint));
            }
            Self::Revoke { staff, fingerprint } => {
                let fingerprint = hex::decode(fingerprint.replace(':', ""));
                let fingerprint = fingerprint.context("the fingerprint must be hexadecimal")?;
                let desk = staff.operator()?;
                let request = RevokeCertificateRequest { fingerprint, request_id: request_id() };
                let revoked = desk.directory().revoke_certificate(desk.request(request)?).await;
                let revoked = revoked.map_err(|e| explain(&e))?.into_inner().certificate.unwrap_or_default();
                println!("{} is revoked", hex::encode(revoked.fingerprint));
            }
        }
        Ok(())
    }
}

impl KeyOf {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add { staff, id, kid, file } => {
                let (desk, public_key_pem) = (staff.operator()?, read(&file)?);
                let token_key = Some(TokenKey { kid, public_key_pem, revoked_at: None });
                let request = AddTokenKeyRequest { member_id: id, token_key, request_id: request_id() };
                let added = desk.directory().add_token_key(desk.request(request)?).await;
                let added = added.map_err(|e| explain(&e))?.into_inner().token_key.unwrap_or_default();
                println!("{} is registered", added.kid);
            }
            Self::Revoke { staff, id, kid } => {
                let desk = staff.operator()?;
                let request = RevokeTokenKeyRequest { member_id: id, kid, request_id: request_id() };
                let revoked = desk.directory().revoke_token_key(desk.request(request)?).await;
                let revoked = revoked.map_err(|e| explain(&e))?.into_inner().token_key.unwrap_or_default();
                println!("{} is revoked", revoked.kid);
            }
        }
        Ok(())
    }
}

impl Grant {
    async fn run(self) -> anyhow::Result<()> {
        let Self { staff, id, purposes: granted } = self;
        let desk = staff.operator()?;
        let granted = granted.into_iter().map(Into::into).collect();
        let request = SetPurposeGrantsRequest { member_id: id, purposes: granted, request_id: request_id() };
        let set =
            desk.directory().set_purpose_grants(desk.request(request)?).await.map_err(|e| explain(&e))?;
        println!("may claim: {}", purposes(&set.into_inner().purposes));
        Ok(())
    }
}

impl EndpointOf {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Set { staff, id, uri, tls_name, protocol } => {
                let protocol = match protocol {
                    Protocol::Grpc => EndpointProtocol::Grpc,
                    Protocol::Fhir => EndpointProtocol::Fhir,
                    Protocol::Mhd => EndpointProtocol::Mhd,
                };
                let tls_server_name = tls_name.unwrap_or_else(|| id.clone());
                let endpoint = Some(Endpoint { uri, tls_server_name, protocol: protocol.into() });
                let desk = staff.operator()?;
                let request = SetEndpointRequest { member_id: id, endpoint, request_id: request_id() };
                let set = desk.directory().set_endpoint(desk.request(request)?).await;
                let set = set.map_err(|e| explain(&e))?.into_inner().endpoint.unwrap_or_default();
                println!("documents at: {}", set.uri);
            }
            Self::Remove(Named { staff, id }) => {
                let desk = staff.operator()?;
                let request = DeleteEndpointRequest { member_id: id, request_id: request_id() };
                desk.directory().delete_endpoint(desk.request(request)?).await.map_err(|e| explain(&e))?;
                println!("the endpoint is gone");
            }
        }
        Ok(())
    }
}
