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

use super::{identity::Party, reload::Live, replay::Use};
use crate::{hash::sha256, id::MemberId, secret_file};

/// The audience that every token must name.
pub const AUDIENCE: &str = "signpost";

/// Longest life of a token, in seconds.
pub const LIFETIME_MAX_S: i64 = 300;

/// How far clocks may differ, in seconds.
pub const LEEWAY_S: i64 = 10;

/// Longest token, in bytes: what is longer is not looked into.
const TOKEN_BYTES_MAX: usize = 4096;

/// Longest user name, encounter, token id and key id, in characters.
const TEXT_CHARS_MAX: usize = 128;

/// How long a token is remembered after nobody's clock accepts it: clocks differ, and it must not be forgotten too early.
const REMEMBERED_S: i64 = 60;

/// What a token says. Every claim is required.
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
    /// Token id: each is accepted once.
    pub jti: String,
    /// Role, for instance `physician`.
    pub role: String,
    /// Purpose of use, for instance `TREAT`.
    pub purpose: String,
    /// Encounter, empty when there is none.
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
    /// It is too long.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    Size,
    /// It is not a JWT with the required claims.
    #[error("the token is not a JWT with the required claims")]
    Malformed,
    /// One of its headers is missing, is of the wrong form or not heeded here.
    #[error("the header `{0}` of the token is missing, of the wrong form, or not heeded here")]
    Header(&'static str),
    /// One of its claims is missing or of the wrong form.
    #[error("the claim `{0}` of the token is missing or of the wrong form")]
    Claim(&'static str),
    /// It was used before.
    #[error("the token was used before: sign one for every call")]
    Replayed,
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
            Self::Size => "TOKEN_SIZE",
            Self::Malformed | Self::Header(_) | Self::Claim(_) => "TOKEN_MALFORMED",
            Self::Replayed => "TOKEN_REPLAYED",
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

/// Who calls, and the token that says so: it counts once.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Who calls.
    pub caller: Caller,
    /// The token, to be used.
    pub used: Use,
}

/// Verifies a token that came over a connection with this certificate. Whether it was used before is not known here.
pub fn verify(
    token: Option<&str>,
    party: &Party,
    fingerprint: &[u8; 32],
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let token = token.ok_or(Refusal::Missing)?;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::Size);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    let kid = key_id(header)?;
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
            _ => wrong_claim(token).map_or(Refusal::Malformed, Refusal::Claim),
        })?;
    verified(claims.claims, party, fingerprint, now)
}

/// Returns the key id of a token that asks for nothing which is not heeded here: neither extensions (RFC 7515, 4.1.11) nor keys
/// of its own choice.
fn key_id(header: Header) -> Result<String, Refusal> {
    let unheeded = [
        ("crit", header.crit.is_some()),
        ("jku", header.jku.is_some()),
        ("jwk", header.jwk.is_some()),
        ("x5u", header.x5u.is_some()),
        ("x5c", header.x5c.is_some()),
        ("cty", header.cty.is_some()),
        ("typ", header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT"))),
    ];
    if let Some((name, _)) = unheeded.into_iter().find(|(_, there)| *there) {
        return Err(Refusal::Header(name));
    }
    header.kid.filter(|kid| is_plain(kid)).ok_or(Refusal::Header("kid"))
}

/// True for a text that is not empty, not long, and without control characters.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
}

/// Returns the first claim of a signed token that is missing or not of its type. What it says instead is told to nobody.
fn wrong_claim(token: &str) -> Option<&'static str> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let texts = ["iss", "sub", "aud", "jti", "role", "purpose", "encounter"];
    let numbers = ["exp", "nbf", "iat"];
    let text = texts.into_iter().find(|name| !claims[*name].is_string());
    let number = || numbers.into_iter().find(|name| !claims[*name].is_i64());
    text.or_else(number).or_else(|| (!claims["cnf"]["x5t#S256"].is_string()).then_some("cnf"))
}

fn verified(
    claims: Claims,
    party: &Party,
    fingerprint: &[u8; 32],
    now: Timestamp,
) -> Result<Verified, Refusal> {
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
    let plain = [
        ("sub", is_plain(&claims.sub)),
        ("jti", is_plain(&claims.jti)),
        ("encounter", claims.encounter.is_empty() || is_plain(&claims.encounter)),
    ];
    if let Some((name, _)) = plain.into_iter().find(|(_, plain)| !plain) {
        return Err(Refusal::Claim(name));
    }
    let role = role(&claims.role).ok_or(Refusal::Role)?;
    let purpose = purpose(&claims.purpose).ok_or(Refusal::Purpose)?;
    if !party.purposes.contains(&purpose) {
        return Err(Refusal::PurposeNotGranted);
    }
    let member_id = party.member_id.to_string();
    let token = sha256(&[member_id.as_bytes(), b"\0", claims.jti.as_bytes()].concat());
    let forget_at = Timestamp::from_second(claims.exp.saturating_add(LEEWAY_S + REMEMBERED_S));
    let used = Use { token, forget_at: forget_at.map_err(|_| Refusal::Claim("exp"))? };
    let caller = Caller {
        member_id,
        user: claims.sub,
        role: role.into(),
        purpose: purpose.into(),
        encounter: claims.encounter,
        exchange: false,
    };
    Ok(Verified { caller, used })
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
    binding: Binding,
}

/// The certificate that tokens are bound to.
#[derive(Clone)]
enum Binding {
    Fixed([u8; 32]),
    Live(Live),
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
    /// Reads an Ed25519 key (PEM, PKCS #8) that signs for a certificate, from a file that is not open to everybody.
    pub fn from_file(
        member_id: MemberId,
        kid: &str,
        key: &Path,
        fingerprint: &[u8; 32],
    ) -> Result<Self, Error> {
        let pem = secret_file::read(key).map_err(|error| Error::Read(key.to_owned(), error))?;
        Ok(Self {
            member_id,
            kid: kid.to_owned(),
            key: EncodingKey::from_ed_pem(pem.as_bytes())?,
            binding: Binding::Fixed(*fingerprint),
        })
    }

    /// Binds tokens to whatever certificate is in force.
    #[must_use]
    pub fn bound_to(self, tls: &Live) -> Self {
        Self { binding: Binding::Live(tls.clone()), ..self }
    }

    fn x5t_s256(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(match &self.binding {
            Binding::Fixed(fingerprint) => *fingerprint,
            Binding::Live(tls) => tls.current().credentials.fingerprint,
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
            cnf: Confirmation { x5t_s256: self.x5t_s256() },
        }
    }

    /// Signs claims.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }
}
