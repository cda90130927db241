//! Between the contract's messages and the domain; the only place.

use signpost_common::{
    clock,
    id::MemberId,
    rpc::{client, identity, pem, status::invalid},
};
use signpost_proto::{
    common::v1::PurposeOfUse,
    directory::v1::{self as proto, EndpointProtocol, MemberKind, MemberState},
};
use tonic::Status;

use crate::{
    domain::{Certificate, Endpoint, Member, TokenKey},
    tokens::Used,
};

const NAME_CHARS_MAX: usize = 200;
const KID_CHARS_MAX: usize = 128;

/// Most tokens that one call notes.
const TOKENS_MAX: usize = 512;

/// How far ahead the end of a token may lie, in microseconds.
const FORGET_US_MAX: i64 = 3_600_000_000;

pub(crate) fn member_id(field: &str, text: &str) -> Result<MemberId, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

pub(crate) fn name(field: &str, text: &str) -> Result<String, Status> {
    if text.trim().is_empty() {
        return Err(invalid(field, "must not be empty"));
    }
    if text.chars().count() > NAME_CHARS_MAX || text.chars().any(signpost_common::text::is_unfit) {
        return Err(invalid(
            field,
            "must be at most 200 characters, none of them a control or invisible one",
        ));
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
    if kid.is_empty()
        || kid.chars().count() > KID_CHARS_MAX
        || kid.chars().any(signpost_common::text::is_unfit)
    {
        return Err(invalid(field, "must be 1 to 128 characters, none of them a control or invisible one"));
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

/// Reads tokens that were used.
pub(crate) fn used_tokens(request: proto::UseTokensRequest, now_us: i64) -> Result<Vec<Used>, Status> {
    let proto::UseTokensRequest { tokens } = request;
    if tokens.is_empty() || tokens.len() > TOKENS_MAX {
        return Err(invalid("tokens", format!("must be 1 to {TOKENS_MAX}")));
    }
    let read = |(i, used): (usize, proto::UsedToken)| {
        let proto::UsedToken { token, forget_at } = used;
        let field = format!("tokens[{i}]");
        let forget_at = forget_at.as_ref().and_then(clock::from_proto).map(|at| at.as_microsecond());
        let forget_us = forget_at.filter(|at| *at <= now_us + FORGET_US_MAX);
        Ok(Used {
            token: fingerprint(&format!("{field}.token"), &token)?,
            forget_us: forget_us
                .ok_or_else(|| invalid(&format!("{field}.forget_at"), "must be at most an hour ahead"))?,
        })
    };
    tokens.into_iter().enumerate().map(read).collect()
}

pub(crate) fn endpoint(endpoint: Option<proto::Endpoint>) -> Result<Endpoint, Status> {
    let endpoint = endpoint.ok_or_else(|| invalid("endpoint", "must be set"))?;
    let proto::Endpoint { uri, tls_server_name, protocol } = endpoint;
    let (protocol, address) = match EndpointProtocol::try_from(protocol) {
        Ok(EndpointProtocol::Unspecified | EndpointProtocol::Grpc) => {
            (EndpointProtocol::Grpc, client::address(&uri))
        }
        Ok(protocol @ (EndpointProtocol::Fhir | EndpointProtocol::Mhd)) => (protocol, client::base(&uri)),
        Err(_) => return Err(invalid("endpoint.protocol", "is not a protocol of a document source")),
    };
    address.map_err(|error| invalid("endpoint.uri", error))?;
    let name = tls_server_name.as_str();
    if name.is_empty() || name.len() > 253 || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid("endpoint.tls_server_name", "must be a server name"));
    }
    Ok(Endpoint { uri, tls_server_name, protocol })
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
        let Endpoint { uri, tls_server_name, protocol } = endpoint;
        Self { uri, tls_server_name, protocol: protocol.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, protocol: i32) -> Result<Endpoint, Status> {
        endpoint(Some(proto::Endpoint { uri: uri.into(), tls_server_name: "north".into(), protocol }))
    }

    #[test]
    fn an_endpoint_without_a_protocol_speaks_grpc() {
        for protocol in [EndpointProtocol::Unspecified, EndpointProtocol::Grpc] {
            let endpoint = read("https://north:1", protocol.into()).unwrap();
            assert_eq!(endpoint.protocol, EndpointProtocol::Grpc);
            assert!(read("https://north:1/fhir", protocol.into()).is_err(), "gRPC has no base path");
        }
        assert!(read("https://north:1", 9).unwrap_err().message().contains("protocol"));
    }

    #[test]
    fn a_base_url_has_a_path_and_nothing_else() {
        for protocol in [EndpointProtocol::Fhir, EndpointProtocol::Mhd] {
            for good in [
                "https://north:1",
                "https://north:1/",
                "https://n.example:8443/fhir/R4",
                "https://[::1]:1/f/",
            ] {
                assert_eq!(read(good, protocol.into()).unwrap().protocol, protocol, "{good}");
            }
            let bad = [
                "",
                "/fhir",
                "http://north:1/fhir",
                "https://north/fhir",
                "https://north:1/fhir?a=b",
                "https://north:1/fhir#a",
                "https://a@north:1/fhir",
                "https://a:b@north:1/fhir",
                "https://north:1/fhir/../x",
                "https://north:1/./fhir",
                "https://north:1/%2e%2e/x",
                "https://north:1//x",
                "https://north:1/a\\b",
                "https://north:1/a b",
                "https://north:99999/fhir",
            ];
            for bad in bad {
                assert!(read(bad, protocol.into()).is_err(), "{bad}");
            }
        }
    }
}
