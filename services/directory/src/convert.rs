//! Between the contract's messages and the domain; the only place.

use signpost_common::{
    clock,
    id::MemberId,
    rpc::{client, identity, pem, status::invalid},
};
use signpost_proto::{
    common::v1::PurposeOfUse,
    directory::v1::{self as proto, MemberKind, MemberState},
};
use tonic::Status;

use crate::domain::{Certificate, Endpoint, Member, TokenKey};

const NAME_CHARS_MAX: usize = 200;
const KID_CHARS_MAX: usize = 128;

pub(crate) fn member_id(field: &str, text: &str) -> Result<MemberId, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

pub(crate) fn name(field: &str, text: &str) -> Result<String, Status> {
    if text.trim().is_empty() {
        return Err(invalid(field, "must not be empty"));
    }
    if text.chars().count() > NAME_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(invalid(field, "must be at most 200 characters, none of them a control character"));
    }
    Ok(text.trim().to_owned())
}

pub(crate) fn purposes(field: &str, values: &[i32]) -> Result<Vec<PurposeOfUse>, Status> {
    let mut purposes = vec![];
    for (i, value) in values.iter().enumerate() {
        match PurposeOfUse::try_from(*value) {
            Ok(purpose) if purpose != PurposeOfUse::Unspecified => purposes.push(purpose),
            _ => return Err(invalid(&format!("{field}[{i}]"), "is not a purpose of use")),
        }
    }
    purposes.sort_unstable_by_key(|purpose| *purpose as i32);
    purposes.dedup();
    Ok(purposes)
}

pub(crate) fn state(field: &str, value: i32) -> Result<Option<MemberState>, Status> {
    match MemberState::try_from(value) {
        Ok(MemberState::Unspecified) => Ok(None),
        Ok(state) => Ok(Some(state)),
        Err(_) => Err(invalid(field, "is not a state of a member")),
    }
}

/// Reads a member to create. Certificates, keys and endpoint have calls of their own.
pub(crate) fn new_member(member: proto::Member, now_us: i64) -> Result<Member, Status> {
    let proto::Member {
        member_id: id,
        display_name,
        region,
        kind,
        state: member_state,
        purposes: granted,
        certificates,
        token_keys,
        endpoint,
        created_at: _,
    } = member;
    if !certificates.is_empty() {
        return Err(invalid("member.certificates", "must be added by AddCertificate"));
    }
    if !token_keys.is_empty() {
        return Err(invalid("member.token_keys", "must be added by AddTokenKey"));
    }
    if endpoint.is_some() {
        return Err(invalid("member.endpoint", "must be set by SetEndpoint"));
    }
    let kind = match MemberKind::try_from(kind) {
        Ok(kind) if kind != MemberKind::Unspecified => kind,
        _ => return Err(invalid("member.kind", "is not a kind of member")),
    };
    Ok(Member {
        id: member_id("member.member_id", &id)?,
        display_name: name("member.display_name", &display_name)?,
        region: if region.is_empty() { region } else { name("member.region", &region)? },
        kind,
        state: state("member.state", member_state)?.unwrap_or(MemberState::Active),
        purposes: purposes("member.purposes", &granted)?,
        certificates: vec![],
        token_keys: vec![],
        endpoint: None,
        created_us: now_us,
    })
}

pub(crate) fn certificate(member_id: &MemberId, text: &str) -> Result<Certificate, Status> {
    let facts = pem::facts_of_pem(text).map_err(|error| invalid("certificate_pem", error))?;
    if facts.member_id != *member_id {
        return Err(invalid("certificate_pem", "names another member in its subject alternative name"));
    }
    Ok(Certificate {
        fingerprint: facts.fingerprint,
        not_after_us: facts.not_after.as_microsecond(),
        revoked_us: None,
    })
}

pub(crate) fn fingerprint(field: &str, bytes: &[u8]) -> Result<[u8; 32], Status> {
    bytes.try_into().map_err(|_| invalid(field, "must be 32 bytes"))
}

pub(crate) fn kid(field: &str, kid: &str) -> Result<(), Status> {
    if kid.is_empty() || kid.chars().count() > KID_CHARS_MAX || kid.chars().any(char::is_control) {
        return Err(invalid(field, "must be 1 to 128 characters, none of them a control character"));
    }
    Ok(())
}

pub(crate) fn token_key(key: Option<proto::TokenKey>) -> Result<TokenKey, Status> {
    let key = key.ok_or_else(|| invalid("token_key", "must be set"))?;
    let proto::TokenKey { kid, public_key_pem, revoked_at: _ } = key;
    self::kid("token_key.kid", &kid)?;
    if identity::TokenKey::from_pem(&kid, &public_key_pem).is_none() {
        return Err(invalid("token_key.public_key_pem", "must be a PEM public key, Ed25519 or P-256"));
    }
    Ok(TokenKey { kid, public_key_pem, revoked_us: None })
}

pub(crate) fn endpoint(endpoint: Option<proto::Endpoint>) -> Result<Endpoint, Status> {
    let endpoint = endpoint.ok_or_else(|| invalid("endpoint", "must be set"))?;
    let proto::Endpoint { uri, tls_server_name } = endpoint;
    client::address(&uri).map_err(|error| invalid("endpoint.uri", error))?;
    let name = tls_server_name.as_str();
    if name.is_empty() || name.len() > 253 || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid("endpoint.tls_server_name", "must be a server name"));
    }
    Ok(Endpoint { uri, tls_server_name })
}

impl From<Member> for proto::Member {
    fn from(member: Member) -> Self {
        let Member {
            id,
            display_name,
            region,
            kind,
            state,
            purposes,
            certificates,
            token_keys,
            endpoint,
            created_us,
        } = member;
        Self {
            display_name,
            region,
            kind: kind.into(),
            state: state.into(),
            purposes: purposes.into_iter().map(Into::into).collect(),
            certificates: certificates.iter().map(|c| certificate_to_proto(&id, c)).collect(),
            token_keys: token_keys.into_iter().map(Into::into).collect(),
            endpoint: endpoint.map(Into::into),
            created_at: Some(clock::micros_to_proto(created_us)),
            member_id: id.to_string(),
        }
    }
}

pub(crate) fn certificate_to_proto(member_id: &MemberId, certificate: &Certificate) -> proto::Certificate {
    proto::Certificate {
        fingerprint: certificate.fingerprint.to_vec(),
        san: format!("{}{member_id}", pem::MEMBER_URN),
        not_after: Some(clock::micros_to_proto(certificate.not_after_us)),
        revoked_at: certificate.revoked_us.map(clock::micros_to_proto),
    }
}

impl From<TokenKey> for proto::TokenKey {
    fn from(key: TokenKey) -> Self {
        Self {
            kid: key.kid,
            public_key_pem: key.public_key_pem,
            revoked_at: key.revoked_us.map(clock::micros_to_proto),
        }
    }
}

impl From<Endpoint> for proto::Endpoint {
    fn from(endpoint: Endpoint) -> Self {
        Self { uri: endpoint.uri, tls_server_name: endpoint.tls_server_name }
    }
}
