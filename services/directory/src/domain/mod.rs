//! What a member is, and whether it may take part.

use signpost_common::id::MemberId;
use signpost_proto::{
    common::v1::PurposeOfUse,
    directory::v1::{CertificateState, EndpointProtocol, MemberKind, MemberState},
};

/// A member with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Id.
    pub id: MemberId,
    /// Name for people.
    pub display_name: String,
    /// State or region.
    pub region: String,
    /// What it is.
    pub kind: MemberKind,
    /// Whether it may take part.
    pub state: MemberState,
    /// Purposes it may claim, in the order of their numbers.
    pub purposes: Vec<PurposeOfUse>,
    /// Certificates, revoked ones included.
    pub certificates: Vec<Certificate>,
    /// Token keys, revoked ones included.
    pub token_keys: Vec<TokenKey>,
    /// Where it serves documents.
    pub endpoint: Option<Endpoint>,
    /// When it joined, microseconds since 1970.
    pub created_us: i64,
}

/// A certificate of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER form.
    pub fingerprint: [u8; 32],
    /// When it ends, microseconds since 1970.
    pub not_after_us: i64,
    /// When it was revoked.
    pub revoked_us: Option<i64>,
}

/// A key that signs a member's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// Key id.
    pub kid: String,
    /// Public key, PEM.
    pub public_key_pem: String,
    /// When it was revoked.
    pub revoked_us: Option<i64>,
}

/// Where a member serves documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host:port`, with a path where the protocol has one.
    pub uri: String,
    /// Name that its server certificate must carry.
    pub tls_server_name: String,
    /// What it speaks there; never unspecified.
    pub protocol: EndpointProtocol,
}

/// Returns the member as admission may see it: active, with the keys that count, and only when the certificate does.
pub fn resolve(
    member: Option<Member>,
    fingerprint: &[u8; 32],
    now_us: i64,
) -> Result<Member, CertificateState> {
    let mut member = member.ok_or(CertificateState::Unregistered)?;
    let mut certificates = member.certificates.iter();
    let certificate = certificates.find(|certificate| certificate.fingerprint == *fingerprint);
    match certificate.ok_or(CertificateState::Unregistered)? {
        Certificate { revoked_us: Some(_), .. } => return Err(CertificateState::Revoked),
        Certificate { not_after_us, .. } if *not_after_us <= now_us => return Err(CertificateState::Expired),
        Certificate { .. } => {}
    }
    if member.state != MemberState::Active {
        return Err(CertificateState::MemberSuspended);
    }
    member.certificates.clear();
    member.token_keys.retain(|key| key.revoked_us.is_none());
    Ok(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        Member {
            id: "north".parse().unwrap(),
            display_name: String::new(),
            region: String::new(),
            kind: MemberKind::Provider,
            state: MemberState::Active,
            purposes: vec![PurposeOfUse::Treat],
            certificates: vec![Certificate { fingerprint: [1; 32], not_after_us: 100, revoked_us: None }],
            token_keys: vec![
                TokenKey { kid: "a".into(), public_key_pem: String::new(), revoked_us: Some(1) },
                TokenKey { kid: "b".into(), public_key_pem: String::new(), revoked_us: None },
            ],
            endpoint: None,
            created_us: 0,
        }
    }

    #[test]
    fn only_what_counts_resolves() {
        use CertificateState::{Expired, MemberSuspended, Revoked, Unregistered};
        let resolve = |member: Member, fingerprint, now_us| super::resolve(Some(member), fingerprint, now_us);
        let resolved = resolve(member(), &[1; 32], 99).unwrap();
        assert_eq!(resolved.token_keys.len(), 1);
        assert_eq!(super::resolve(None, &[1; 32], 99), Err(Unregistered));
        assert_eq!(resolve(member(), &[2; 32], 99), Err(Unregistered), "another certificate");
        assert_eq!(resolve(member(), &[1; 32], 100), Err(Expired));
        let mut suspended = member();
        suspended.state = MemberState::Suspended;
        assert_eq!(resolve(suspended, &[1; 32], 99), Err(MemberSuspended));
        let mut revoked = member();
        revoked.certificates[0].revoked_us = Some(50);
        assert_eq!(resolve(revoked, &[1; 32], 99), Err(Revoked));
    }
}
