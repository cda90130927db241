//! Certificates and keys for development: a certificate authority, one certificate for the exchange, and for each
//! member a certificate, a key that signs tokens, and an entry in `members.toml`.
//!
//! ```text
//! DIR/ca.pem ca.key blinding.key sealing.key audit.key audit.pub members.toml
//! DIR/exchange/{cert,key}.pem
//! DIR/MEMBER/{cert,key,token,token.pub}.pem
//! ```
//!
//! What is there is kept, so that members can be added later. For production, certificates come from the network's
//! own authority; `members.toml` has the same form.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use jiff::{Timestamp, ToSpan};
use pem::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde::{Deserialize, Serialize};
use signpost_audit::signing;
use signpost_common::{
    clock::{Clock, SystemClock},
    id::MemberId,
    rpc::{
        pem::{self as certificates, MEMBER_URN},
        token::{self, Signer},
    },
    seal,
};
use signpost_directory::domain;
use signpost_proto::directory::v1::{EndpointProtocol, MemberKind, MemberState};

/// Name of an audit log that was given no other.
pub const LOG: &str = "signpost/audit";

/// Key id of the one token key that a member gets.
pub const KID: &str = "dev-1";

/// A member in `members.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// State or region.
    #[serde(default)]
    pub region: String,
    /// What it is.
    pub kind: Kind,
    /// Purposes of use that it may claim, as HL7 codes.
    #[serde(default)]
    pub purposes: Vec<String>,
    /// Certificate files, relative to `members.toml`.
    pub certificates: Vec<PathBuf>,
    /// Token key files by key id, relative to `members.toml`.
    #[serde(default)]
    pub token_keys: std::collections::BTreeMap<String, PathBuf>,
    /// Where it serves documents, `https://host:port`, or a base URL; empty when it serves none.
    #[serde(default)]
    pub endpoint: String,
    /// What it speaks there.
    #[serde(default)]
    pub protocol: Protocol,
}

/// What a member's source speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Signpost's own.
    #[default]
    Grpc,
    /// FHIR R4.
    Fhir,
    /// IHE MHD.
    Mhd,
}

impl From<Protocol> for EndpointProtocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Grpc => Self::Grpc,
            Protocol::Fhir => Self::Fhir,
            Protocol::Mhd => Self::Mhd,
        }
    }
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A provider of care.
    Provider,
    /// A payer.
    Payer,
    /// A public health authority.
    PublicHealth,
    /// The operator of the exchange.
    Operator,
    /// A service of the exchange.
    Exchange,
}

impl From<Kind> for MemberKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Provider => Self::Provider,
            Kind::Payer => Self::Payer,
            Kind::PublicHealth => Self::PublicHealth,
            Kind::Operator => Self::Operator,
            Kind::Exchange => Self::Exchange,
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    #[serde(default, rename = "member")]
    members: Vec<Entry>,
}

/// Reads `members.toml` with the certificates and keys that it names.
pub fn read_members(path: &Path) -> anyhow::Result<Vec<domain::Member>> {
    let reading = || format!("reading {}", path.display());
    let text = fs::read_to_string(path).with_context(reading)?;
    let members: Members = toml::from_str(&text).with_context(reading)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let member = |entry| read_member(folder, entry);
    members.members.into_iter().map(member).collect::<anyhow::Result<_>>().with_context(reading)
}

fn read_member(folder: &Path, entry: Entry) -> anyhow::Result<domain::Member> {
    let id: MemberId = entry.id.parse().with_context(|| format!("member {:?}", entry.id))?;
    let mut member = domain::Member {
        display_name: entry.name,
        region: entry.region,
        kind: entry.kind.into(),
        state: MemberState::Active,
        purposes: vec![],
        certificates: vec![],
        token_keys: vec![],
        endpoint: None,
        created_us: 0,
        id,
    };
    for code in &entry.purposes {
        let purpose = token::purpose(code).with_context(|| format!("{code:?} is not a purpose of use"))?;
        member.purposes.push(purpose);
    }
    for file in &entry.certificates {
        let path = folder.join(file);
        let chain = certificates::certificates(&path)?;
        let facts = certificates::facts(&chain[0]).with_context(|| format!("reading {}", path.display()))?;
        if facts.member_id != member.id {
            bail!("the certificate {} is that of {}, not of {}", path.display(), facts.member_id, member.id);
        }
        let not_after_us = facts.not_after.as_microsecond();
        member.certificates.push(domain::Certificate {
            fingerprint: facts.fingerprint,
            not_after_us,
            revoked_us: None,
        });
    }
    for (kid, file) in entry.token_keys {
        let path = folder.join(file);
        let public_key_pem =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        member.token_keys.push(domain::TokenKey { kid, public_key_pem, revoked_us: None });
    }
    if !entry.endpoint.is_empty() {
        let tls_server_name = member.id.to_string();
        let (uri, protocol) = (entry.endpoint, entry.protocol.into());
        member.endpoint = Some(domain::Endpoint { uri, tls_server_name, protocol });
    }
    Ok(member)
}

/// A member to make certificates for.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// State or region.
    pub region: String,
    /// What it is.
    pub kind: Kind,
    /// Where it serves documents; empty when it serves none.
    pub endpoint: String,
}

/// Makes the key that signs checkpoints of an audit log, and what verifies them, unless there is one in the folder.
pub fn create_log_key(dir: &Path, log: &str) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))?;
    let (secret, public) = (dir.join("audit.key"), dir.join("audit.pub"));
    if !secret.exists() {
        let line = signing::Signer::line(log, &seal::random_key());
        write_secret(
            &secret,
            &line.context("the name of a log must not be empty nor hold spaces or a plus")?,
        )?;
    }
    write(&public, &format!("{}\n", signing::Signer::read(&secret)?.verifier()))
}

/// Makes what is missing in a folder: authority, blinding key, sealing key, the log's key, the exchange, the operator, and the members given.
/// Returns the ids that are new.
pub fn create(dir: &Path, members: &[NewMember]) -> anyhow::Result<Vec<String>> {
    fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))?;
    let authority = authority(dir)?;
    for name in ["blinding.key", "sealing.key"] {
        if !dir.join(name).exists() {
            let mut key = [0; 32];
            aws_lc_rs::rand::fill(&mut key)?;
            write_secret(&dir.join(name), &hex::encode(key))?;
        }
    }
    create_log_key(dir, LOG)?;
    let own = |id: &str, name: &str, kind| NewMember {
        id: id.into(),
        name: name.into(),
        region: String::new(),
        kind,
        endpoint: String::new(),
    };
    let file = dir.join("members.toml");
    let mut known: Members = match fs::read_to_string(&file) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("reading {}", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Members::default(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let mut made = vec![];
    let base = [
        own("exchange", "Services of the exchange", Kind::Exchange),
        own("operator", "Operator of the exchange", Kind::Operator),
    ];
    for member in base.iter().chain(members) {
        if known.members.iter().any(|entry| entry.id == member.id) {
            continue;
        }
        known.members.push(create_member(dir, &authority, member)?);
        made.push(member.id.clone());
    }
    write(&file, &toml::to_string_pretty(&known)?)?;
    Ok(made)
}

fn authority(dir: &Path) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let (cert, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    if cert.exists() {
        let pem = fs::read_to_string(&key).with_context(|| format!("reading {}", key.display()))?;
        let text = fs::read_to_string(&cert).with_context(|| format!("reading {}", cert.display()))?;
        return Ok(Issuer::from_ca_cert_pem(&text, KeyPair::from_pem(&pem)?)?);
    }
    let pair = KeyPair::generate()?;
    let mut params = validity(CertificateParams::default(), 3650)?;
    params.distinguished_name.push(DnType::CommonName, "Signpost development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    write_secret(&key, &pair.serialize_pem())?;
    write(&cert, &params.self_signed(&pair)?.pem())?;
    Ok(Issuer::new(params, pair))
}

fn create_member(dir: &Path, authority: &Issuer<'_, KeyPair>, member: &NewMember) -> anyhow::Result<Entry> {
    let id: MemberId = member.id.parse().with_context(|| format!("member {:?}", member.id))?;
    let folder = dir.join(id.as_str());
    fs::create_dir_all(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
    issue(&folder, authority, &id, 365)?;
    let (purposes, token_keys) = match member.kind {
        Kind::Exchange => (vec![], vec![]),
        _ => {
            // PKCS #8 version 1, which every library reads; version 2 carries the public key too and few do.
            let pair = Ed25519KeyPair::generate()?;
            let private = Pem::new("PRIVATE KEY", pair.to_pkcs8v1()?.as_ref());
            write_secret(&folder.join("token.pem"), &pem::encode(&private))?;
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key())?;
            write(&folder.join("token.pub.pem"), &pem::encode(&Pem::new("PUBLIC KEY", public.as_ref())))?;
            let purposes = match member.kind {
                Kind::Payer => ["HPAYMT", "HOPERAT"].as_slice(),
                Kind::PublicHealth => &["PUBHLTH"],
                Kind::Operator => &["HOPERAT"],
                _ => &["TREAT", "ETREAT", "BTG", "HOPERAT", "PATRQT"],
            };
            (purposes.to_vec(), vec![(KID.to_owned(), Path::new(id.as_str()).join("token.pub.pem"))])
        }
    };
    Ok(Entry {
        certificates: vec![Path::new(id.as_str()).join("cert.pem")],
        id: member.id.clone(),
        name: member.name.clone(),
        region: member.region.clone(),
        kind: member.kind,
        purposes: purposes.into_iter().map(str::to_owned).collect(),
        token_keys: token_keys.into_iter().collect(),
        endpoint: member.endpoint.clone(),
        protocol: Protocol::default(),
    })
}

/// Writes `cert.pem` and `key.pem` for a member; `days` may be negative, for a certificate that has ended.
pub fn issue(folder: &Path, authority: &Issuer<'_, KeyPair>, id: &MemberId, days: i64) -> anyhow::Result<()> {
    let pair = KeyPair::generate()?;
    let mut params = validity(CertificateParams::default(), days)?;
    params.distinguished_name.push(DnType::CommonName, id.as_str());
    params.subject_alt_names = vec![
        SanType::URI(format!("{MEMBER_URN}{id}").try_into()?),
        SanType::DnsName(id.as_str().try_into()?),
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()),
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    write(&folder.join("cert.pem"), &params.signed_by(&pair, authority)?.pem())?;
    write_secret(&folder.join("key.pem"), &pair.serialize_pem())
}

/// Opens the authority of a folder, to issue a certificate that [`create`] does not make.
pub fn open_authority(dir: &Path) -> anyhow::Result<Issuer<'static, KeyPair>> {
    authority(dir)
}

fn validity(mut params: CertificateParams, days: i64) -> anyhow::Result<CertificateParams> {
    let date = |time: Timestamp| {
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let now = SystemClock.now();
    // A day back: clocks differ.
    params.not_before = date(now.checked_sub((24 * days.abs().min(1)).hours())?);
    params.not_after = date(now.checked_add((24 * days).hours())?);
    if days < 0 {
        params.not_before = date(now.checked_add((24 * (days - 1)).hours())?);
    }
    Ok(params)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(path).with_context(writing)?;
    file.write_all(text.as_bytes()).with_context(writing)
}

/// Opens the token key of a member in a folder that [`create`] made.
pub fn signer(dir: &Path, id: &MemberId) -> anyhow::Result<Signer> {
    let folder = dir.join(id.as_str());
    let chain = certificates::certificates(&folder.join("cert.pem"))?;
    let facts = certificates::facts(&chain[0])?;
    Ok(Signer::from_file(id.clone(), KID, &folder.join("token.pem"), &facts.fingerprint)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_added_and_what_is_there_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let member = |id: &str| NewMember {
            id: id.into(),
            name: "Hospital".into(),
            region: "MA".into(),
            kind: Kind::Provider,
            endpoint: "https://127.0.0.1:1".into(),
        };
        assert_eq!(create(dir.path(), &[member("north")]).unwrap(), ["exchange", "operator", "north"]);
        let before = fs::read(dir.path().join("north/cert.pem")).unwrap();
        assert_eq!(create(dir.path(), &[member("north"), member("south")]).unwrap(), ["south"]);
        assert_eq!(fs::read(dir.path().join("north/cert.pem")).unwrap(), before);
        let members = read_members(&dir.path().join("members.toml")).unwrap();
        assert_eq!(members.len(), 4);
        assert_eq!(members[2].certificates.len(), 1);
        assert!(signer(dir.path(), &"south".parse().unwrap()).is_ok());
        assert!(create(dir.path(), &[member("No Slug")]).is_err());
        // The file of an earlier release names no protocol.
        let file = dir.path().join("members.toml");
        let text = fs::read_to_string(&file).unwrap();
        let of = |text: String, member: usize| {
            fs::write(&file, text).unwrap();
            read_members(&file).unwrap()[member].endpoint.clone().unwrap().protocol
        };
        assert_eq!(of(text.replace("protocol = \"grpc\"\n", ""), 2), EndpointProtocol::Grpc);
        assert_eq!(of(text.replace("\"grpc\"", "\"fhir\""), 3), EndpointProtocol::Fhir);
    }
}
