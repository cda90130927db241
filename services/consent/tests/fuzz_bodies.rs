//! Runs what the fuzz targets run, on texts that are made here.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use proptest::{collection::vec, prelude::*};

const POLICIES: [&str; 3] = [
    include_str!("../../../deploy/policies/opt-out.toml"),
    include_str!("../../../deploy/policies/part-2.toml"),
    include_str!("../../../deploy/policies/cases.toml"),
];

const CONSENT: &str = r#"{"resourceType":"Consent","status":"active","patient":{"reference":"Patient/1"},
    "dateTime":"2026-01-01","policy":[{"uri":"urn:x"}],"scope":{"coding":[{"code":"patient-privacy"}]},
    "category":[{"coding":[{"code":"IDSCL"}]}],"provision":{"type":"deny","period":{"start":"2026-01-01"},
    "provision":[{"type":"permit","securityLabel":[{"code":"R"}],"data":[{"meaning":"instance"}]}]}}"#;

/// Puts some pieces of a text elsewhere, leaves some out, and writes something else into it.
fn garbled(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let cut = (0..text.len(), 0..60_usize, "[\\[\\]{}=\",#\n a-z0-9é\u{202e}]{0,6}");
    vec(cut, 1..5).prop_map(move |cuts| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, length, put) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, put.into_bytes());
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_a_policy_or_is_refused_at_its_lines(
        bytes in prop_oneof![garbled(POLICIES[0]), garbled(POLICIES[1]), garbled(POLICIES[2])],
    ) {
        bodies::policy(&bytes);
    }

    #[test]
    fn any_text_is_a_consent_or_is_refused(bytes in prop_oneof![8 => garbled(CONSENT), 1 => vec(any::<u8>(), 0..200)]) {
        bodies::fhir(&bytes);
    }
}
