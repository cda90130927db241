//! What the fuzz targets do with their bytes; tests run it, too.

use signpost_audit::{
    domain::checkpoint::{Checkpoint, Verifier},
    misuse_policy,
};
use signpost_common::hash::Blinder;

/// Reads any text as a checkpoint and as a verifier key: what nobody signed does not verify.
pub(crate) fn note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let key = Verifier::new("log.example/a", [7; 32]).expect("a key");
    assert!(Checkpoint::verify(text, &[key]).is_err());
    if let Ok(read) = Checkpoint::unverified(text) {
        assert!(!read.origin.is_empty());
    }
    if let Ok(read) = text.parse::<Verifier>() {
        assert_eq!(read.to_string().parse::<Verifier>().ok(), Some(read));
    }
}

/// Reads any text as a policy on misuse.
pub(crate) fn misuse(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let blinder = Blinder::new(&[7; 32]).expect("a key");
    if let Err(problem) = misuse_policy::read(text, &blinder) {
        assert!((1..=text.lines().count() + 1).contains(&problem.line) && !problem.message.is_empty());
    }
}
