//! What the fuzz targets do with their bytes; tests run it, too.

use signpost_consent::{
    document::{Cases, Document, Problem},
    fhir::{self, Version},
};

/// Reads any text as a policy and as cases: what is wrong is told with a line that there is.
pub(crate) fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Document::parse(text) {
        Ok(document) => assert_eq!(document.policy("fuzz@1").rules.len(), document.rules().len()),
        Err(problems) => are_told(text, &problems),
    }
    if let Err(problems) = Cases::parse(text, 0) {
        are_told(text, &problems);
    }
}

fn are_told(text: &str, problems: &[Problem]) {
    let lines = text.lines().count() as u32 + 1;
    assert!(!problems.is_empty());
    assert!(problems.iter().all(|told| (1..=lines).contains(&told.line) && !told.message.is_empty()));
}

/// Reads any text as a FHIR Consent.
pub(crate) fn fhir(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for version in [Version::R4, Version::R5] {
        if let Err(faults) = fhir::read(text, version) {
            assert!(!faults.is_empty());
        }
    }
}
