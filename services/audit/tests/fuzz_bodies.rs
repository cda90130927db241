//! Runs what the fuzz targets run, on texts that are made here.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use proptest::{collection::vec, prelude::*};

const NOTE: &str = "log.example/a\n12\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} log.example/a \
                    AAAAAXpfKdxGZ8RXcRTCSzqwqfCYmXr5aAYdvCDvRLgwHCvlzFpUwbH+6a8VS0zzZVBqb31ASUtFYMVEZQ1ZFAAAAAAAAAAA\n";

const POLICY: &str = include_str!("../../../deploy/policies/misuse.toml");

/// Leaves out some pieces of a text and writes something else into it.
fn garbled(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let cut = (0..text.len(), 0..20_usize, "[\\[\\]{}=\",#+\n a-z0-9\u{2014}]{0,6}");
    vec(cut, 1..4).prop_map(move |cuts| {
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
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_nobody_signed_does_not_verify(bytes in prop_oneof![8 => garbled(NOTE), 1 => vec(any::<u8>(), 0..200)]) {
        bodies::note(&bytes);
    }

    #[test]
    fn any_text_is_a_policy_or_is_refused_at_its_line(bytes in garbled(POLICY)) {
        bodies::misuse(&bytes);
    }
}
