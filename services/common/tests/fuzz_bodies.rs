//! Runs what the fuzz targets run, on bytes that are made here.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use proptest::{collection::vec, prelude::*};

/// Something that looks like a token: three parts of base64, of JSON that is nearly right.
fn token() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![
        Just(r#"{"alg":"EdDSA","kid":"k"}"#.to_owned()),
        Just(r#"{"alg":"none","kid":"k"}"#.to_owned()),
        Just(r#"{"alg":"HS256","kid":"k","jwk":{"kty":"oct"}}"#.to_owned()),
        "\\{\"alg\":\"[A-Za-z0-9]{0,6}\",\"kid\":\"k\",\"(crit|jku|typ)\":.{0,8}\\}",
    ];
    let claims = prop_oneof![
        Just(r#"{"iss":"north","sub":"x","aud":"signpost","exp":1,"nbf":0,"iat":0,"jti":"j"}"#.to_owned()),
        "\\{(\"(iss|aud|exp)\":[0-9a-z\"\\[\\]]{0,5},?){0,4}\\}",
    ];
    (header, claims, vec(any::<u8>(), 0..70)).prop_map(|(header, claims, signature)| {
        let parts = [header.into_bytes(), claims.into_bytes(), signature];
        parts.map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".").into_bytes()
    })
}

/// A certificate of this run with some of its bytes changed.
fn certificate() -> impl Strategy<Value = Vec<u8>> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec![]).expect("parameters");
    let uri = "urn:signpost:member:north".try_into().expect("a URI");
    params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    let der = params.self_signed(&key).expect("a certificate").der().to_vec();
    vec((0..der.len(), any::<u8>()), 0..6).prop_map(move |changes| {
        let mut der = der.clone();
        for (at, byte) in changes {
            der[at] = byte;
        }
        der
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_nobody_signed_does_not_verify(bytes in prop_oneof![9 => token(), 1 => vec(any::<u8>(), 0..200)]) {
        bodies::token(&bytes);
    }

    #[test]
    fn any_bytes_are_a_certificate_or_are_refused(bytes in prop_oneof![9 => certificate(), 1 => vec(any::<u8>(), 0..200)]) {
        bodies::certificate(&bytes);
    }
}
