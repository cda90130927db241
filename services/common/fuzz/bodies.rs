//! What the fuzz targets do with their bytes; tests run it, too.

use jiff::Timestamp;
use signpost_common::rpc::{
    identity::{Party, TokenKey},
    pem, token,
};
use signpost_proto::directory::v1::MemberKind;

/// The public half of a key that nobody has the other half of.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

/// Verifies any bytes as a token: nobody could sign it.
pub(crate) fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let party = Party {
        member_id: "north".parse().expect("an id"),
        kind: MemberKind::Provider,
        purposes: vec![],
        token_keys: vec![TokenKey::from_pem("k", KEY).expect("a key")],
    };
    let refusal =
        token::verify(Some(text), &party, &[0; 32], Timestamp::UNIX_EPOCH).expect_err("nobody signed it");
    assert!(!refusal.reason().is_empty() && !refusal.to_string().is_empty());
}

/// Reads any bytes as a certificate, and any text as one in PEM form.
pub(crate) fn certificate(bytes: &[u8]) {
    pem::facts(&bytes.into()).ok();
    if let Ok(text) = std::str::from_utf8(bytes) {
        pem::facts_of_pem(text).ok();
    }
}
