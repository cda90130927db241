//! SHA-256 and keyed hashes.

use std::fmt;

use aws_lc_rs::{digest, hmac};

/// Returns the SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Makes a SHA-256 from bytes that come in pieces.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Sha256 {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the hash of all bytes added.
    pub fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

/// Turns identifiers into tokens that mean nothing without the key (HMAC-SHA-256, truncated).
#[derive(Clone)]
pub struct Blinder(hmac::Key);

impl Blinder {
    /// Takes a key of at least 32 bytes.
    pub fn new(key: &[u8]) -> Option<Self> {
        (key.len() >= 32).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// Returns the 64-bit token of some parts under a domain. Parts are framed, so that
    /// `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn token(&self, domain: &str, parts: &[impl AsRef<[u8]>]) -> i64 {
        let mut context = hmac::Context::with_key(&self.0);
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().map(AsRef::as_ref)) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&context.sign().as_ref()[..8]);
        i64::from_be_bytes(first)
    }
}

impl fmt::Debug for Blinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinder(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hash_as_the_whole() {
        let mut hasher = Sha256::default();
        hasher.update(b"sign");
        hasher.update(b"post");
        assert_eq!(hasher.finish(), sha256(b"signpost"));
    }

    #[test]
    fn tokens_depend_on_key_domain_and_framing() {
        let one = Blinder::new(&[1; 32]).unwrap();
        let two = Blinder::new(&[2; 32]).unwrap();
        assert_eq!(one.token("d", &["ab", "c"]), one.token("d", &["ab", "c"]));
        assert_ne!(one.token("d", &["ab", "c"]), one.token("d", &["a", "bc"]));
        assert_ne!(one.token("d", &["x"]), one.token("e", &["x"]));
        assert_ne!(one.token("d", &["x"]), two.token("d", &["x"]));
        assert!(Blinder::new(&[0; 31]).is_none());
    }
}
