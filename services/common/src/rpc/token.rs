//! Tokens: which user of a member asks, in which role, for which purpose.
//!
//! A token is a JWT (IHE IUA; SMART Backend Services) that the member signs with a key the directory knows, bound
//! to the member's certificate by `cnf` (RFC 8705): stolen, it is of no use. The library checks form and signature;
//! times are checked here, against the service's clock.

use std::{fmt, path::Path};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use signpost_proto::common::v1::{Caller, PurposeOfUse, Role};

use super::identity::Party;
use crate::id::MemberId;

/// The audience that every token must name.
pub const AUDIENCE: &str = "signpost";

/// Longest life of a token, in seconds.
pub const LIFETIME_MAX_S: i64 = 300;

/// How far clocks may differ, in seconds.
pub const LEEWAY_S: i64 = 10;

/// Longest user name and encounter, in characters.
const TEXT_CHARS_MAX: usize = 128;

/// What a token says. Every claim is required but the encounter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Member that signs.
    pub iss: String,
    /// User.
    pub sub: String,
    /// Audience.
    pub aud: String,
    /// Ends, seconds since 1970.
    pub exp: i64,
    /// Holds from.
    pub nbf: i64,
    /// Issued.
    pub iat: i64,
    /// Token id.
    pub jti: String,
    /// Role, for instance `physician`.
    pub role: String,
    /// Purpose of use, for instance `TREAT`.
    pub purpose: String,
    /// Encounter.
    #[serde(default)]
    pub encounter: String,
    /// Certificate the token is bound to.
    pub cnf: Confirmation,
}

/// The certificate that a token is bound to (RFC 8705, 3.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Confirmation {
    /// SHA-256 of the certificate, base64url.
    #[serde(rename = "x5t#S256")]
    pub x5t_s256: String,
}

/// Which check a token failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("the call carries no token: send `authorization: Bearer JWT`")]
    Missing,
    /// It is not a JWT with the required claims.
    #[error("the token is not a JWT with the required claims")]
    Malformed,
    /// Its algorithm is not that of its key.
    #[error("the token's algorithm is not that of its key")]
    Algorithm,
    /// Its key is not registered for the member.
    #[error("the token's key is not registered for the member, or revoked")]
    Key,
    /// Its signature is wrong.
    #[error("the token's signature does not verify")]
    Signature,
    /// It is for someone else.
    #[error("the token is for another audience")]
    Audience,
    /// It was issued by someone else.
    #[error("the token was issued by another member")]
    Issuer,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It does not hold yet.
    #[error("the token does not hold yet")]
    NotYetValid,
    /// It lives too long.
    #[error("the token lives longer than {LIFETIME_MAX_S} s")]
    Lifetime,
    /// It is bound to another certificate.
    #[error("the token is bound to another certificate")]
    Binding,
    /// Its role is not one of ours.
    #[error("the token's role is unknown")]
    Role,
    /// Its purpose is not one of ours.
    #[error("the token's purpose of use is unknown")]
    Purpose,
    /// Its purpose is not granted to the member.
    #[error("the token's purpose of use is not granted to the member")]
    PurposeNotGranted,
}

impl Refusal {
    /// Returns the stable reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "TOKEN_MISSING",
            Self::Malformed => "TOKEN_MALFORMED",
            Self::Algorithm => "TOKEN_ALGORITHM",
            Self::Key => "TOKEN_KEY_UNKNOWN",
            Self::Signature => "TOKEN_SIGNATURE",
            Self::Audience => "TOKEN_AUDIENCE",
            Self::Issuer => "TOKEN_ISSUER",
            Self::Expired => "TOKEN_EXPIRED",
            Self::NotYetValid => "TOKEN_NOT_YET_VALID",
            Self::Lifetime => "TOKEN_LIFETIME",
            Self::Binding => "TOKEN_BINDING",
            Self::Role => "TOKEN_ROLE",
            Self::Purpose => "TOKEN_PURPOSE",
            Self::PurposeNotGranted => "PURPOSE_NOT_GRANTED",
        }
    }
}

/// Verifies a token that came over a connection with this certificate.
pub fn verify(
    token: Option<&str>,
    party: &Party,
    fingerprint: &[u8; 32],
    now: Timestamp,
) -> Result<Caller, Refusal> {
    let token = token.ok_or(Refusal::Missing)?;
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    let kid = header.kid.ok_or(Refusal::Malformed)?;
    let key = party.token_keys.iter().find(|key| key.kid == kid).ok_or(Refusal::Key)?;
    let mut validation = Validation::new(key.algorithm);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[party.member_id.as_str()]);
    validation.set_required_spec_claims(&["aud", "exp", "iss", "nbf", "sub"]);
    validation.validate_exp = false;
    let claims =
        jsonwebtoken::decode::<Claims>(token, &key.key, &validation).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => Refusal::Signature,
            ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
            ErrorKind::InvalidAudience => Refusal::Audience,
            ErrorKind::InvalidIssuer => Refusal::Issuer,
            _ => Refusal::Malformed,
        })?;
    caller(claims.claims, party, fingerprint, now)
}

fn caller(claims: Claims, party: &Party, fingerprint: &[u8; 32], now: Timestamp) -> Result<Caller, Refusal> {
    let now_s = now.as_second();
    if claims.exp <= now_s.saturating_sub(LEEWAY_S) {
        return Err(Refusal::Expired);
    }
    if claims.nbf.max(claims.iat) > now_s.saturating_add(LEEWAY_S) {
        return Err(Refusal::NotYetValid);
    }
    if claims.exp.saturating_sub(claims.iat.min(claims.nbf)) > LIFETIME_MAX_S {
        return Err(Refusal::Lifetime);
    }
    if claims.cnf.x5t_s256 != BASE64_URL_SAFE_NO_PAD.encode(fingerprint) {
        return Err(Refusal::Binding);
    }
    let plain = |text: &str| text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control);
    if claims.sub.is_empty() || claims.jti.is_empty() || !plain(&claims.sub) || !plain(&claims.encounter) {
        return Err(Refusal::Malformed);
    }
    let role = role(&claims.role).ok_or(Refusal::Role)?;
    let purpose = purpose(&claims.purpose).ok_or(Refusal::Purpose)?;
    if !party.purposes.contains(&purpose) {
        return Err(Refusal::PurposeNotGranted);
    }
    Ok(Caller {
        member_id: party.member_id.to_string(),
        user: claims.sub,
        role: role.into(),
        purpose: purpose.into(),
        encounter: claims.encounter,
        exchange: false,
    })
}

/// Reads a role as tokens write it: lower case, `privacy-officer`.
pub fn role(text: &str) -> Option<Role> {
    let name = format!("ROLE_{}", text.to_ascii_uppercase().replace('-', "_"));
    Role::from_str_name(&name).filter(|role| *role != Role::Unspecified && text == role_name(*role))
}

/// Returns a role as tokens write it.
pub fn role_name(role: Role) -> String {
    role.as_str_name().trim_start_matches("ROLE_").to_ascii_lowercase().replace('_', "-")
}

/// Reads a purpose of use as tokens write it: the HL7 code.
pub fn purpose(code: &str) -> Option<PurposeOfUse> {
    PurposeOfUse::from_str_name(&format!("PURPOSE_OF_USE_{code}"))
        .filter(|purpose| *purpose != PurposeOfUse::Unspecified)
}

/// Returns the HL7 code of a purpose of use.
pub fn purpose_code(purpose: PurposeOfUse) -> &'static str {
    purpose.as_str_name().trim_start_matches("PURPOSE_OF_USE_")
}

/// Signs a member's tokens.
#[derive(Clone)]
pub struct Signer {
    member_id: MemberId,
    kid: String,
    key: EncodingKey,
    x5t_s256: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, {})", self.member_id, self.kid)
    }
}

/// Why tokens cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read.
    #[error("reading the token key {0}")]
    Read(std::path::PathBuf, #[source] std::io::Error),
    /// The key or a claim is of no use.
    #[error("signing a token")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Who asks and why: what a member states of one of its users.
#[derive(Debug, Clone)]
pub struct User {
    /// User name; for a patient, their local id.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Purpose of use.
    pub purpose: PurposeOfUse,
    /// Encounter, empty when there is none.
    pub encounter: String,
}

impl Signer {
    /// Reads an Ed25519 key (PEM, PKCS #8) that signs for a certificate.
    pub fn from_file(
        member_id: MemberId,
        kid: &str,
        key: &Path,
        fingerprint: &[u8; 32],
    ) -> Result<Self, Error> {
        let pem = std::fs::read(key).map_err(|error| Error::Read(key.to_owned(), error))?;
        Ok(Self {
            member_id,
            kid: kid.to_owned(),
            key: EncodingKey::from_ed_pem(&pem)?,
            x5t_s256: BASE64_URL_SAFE_NO_PAD.encode(fingerprint),
        })
    }

    /// Returns what a token for a user says, with one minute to live.
    pub fn claims(&self, user: &User, now: Timestamp) -> Claims {
        let now_s = now.as_second();
        Claims {
            iss: self.member_id.to_string(),
            sub: user.name.clone(),
            aud: AUDIENCE.to_owned(),
            exp: now_s + 60,
            nbf: now_s,
            iat: now_s,
            jti: uuid::Uuid::now_v7().to_string(),
            role: role_name(user.role),
            purpose: purpose_code(user.purpose).to_owned(),
            encounter: user.encounter.clone(),
            cnf: Confirmation { x5t_s256: self.x5t_s256.clone() },
        }
    }

    /// Signs claims.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }
}
