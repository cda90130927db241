//! The key that signs checkpoints.
//!
//! Its file holds one line, as others write it: `PRIVATE+KEY+NAME+HASH+SEED`. The name is that of the log.

use std::{fmt, path::Path, str::FromStr};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_STANDARD};
use signpost_common::{seal::Secret, secret_file};
use zeroize::Zeroizing;

use crate::domain::checkpoint::{Checkpoint, Verifier};

const PREFIX: &str = "PRIVATE+KEY+";

/// Algorithm of a key: Ed25519.
const ED25519: u8 = 1;

/// Why there is no key. It names no part of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("reading the key file {0}")]
    File(std::path::PathBuf, #[source] std::io::Error),
    /// The file holds something else.
    #[error("the key file must hold one line, PRIVATE+KEY+NAME+HASH+SEED, of Ed25519")]
    NotAKey,
}

/// Signs checkpoints of one log.
pub struct Signer {
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

impl FromStr for Signer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.trim().strip_prefix(PREFIX).ok_or(Error::NotAKey)?.splitn(3, '+');
        let mut next = || parts.next().ok_or(Error::NotAKey);
        let (name, hash, key) = (next()?, next()?, next()?);
        let key = Zeroizing::new(BASE64_STANDARD.decode(key).map_err(|_| Error::NotAKey)?);
        let [ED25519, seed @ ..] = &key[..] else { return Err(Error::NotAKey) };
        let seed = Zeroizing::new(seed.try_into().map_err(|_| Error::NotAKey)?);
        let signer = Self::new(name, &seed).ok_or(Error::NotAKey)?;
        if hex::encode(signer.verifier.hash()) == hash { Ok(signer) } else { Err(Error::NotAKey) }
    }
}

impl Signer {
    /// Makes the key of a log from a seed; `None` when the name is no name.
    pub fn new(name: &str, seed: &Secret) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { verifier: Verifier::new(name, public)?, pair })
    }

    /// Returns the line that a key file of this name and seed holds.
    pub fn line(name: &str, seed: &Secret) -> Option<Zeroizing<String>> {
        let signer = Self::new(name, seed)?;
        let key = Zeroizing::new([&[ED25519][..], &seed[..]].concat());
        let (hash, key) =
            (hex::encode(signer.verifier.hash()), Zeroizing::new(BASE64_STANDARD.encode(&key[..])));
        Some(Zeroizing::new(format!("{PREFIX}{name}+{hash}+{}\n", *key)))
    }

    /// Reads a key file, which must not be open to everybody.
    pub fn read(path: &Path) -> Result<Self, Error> {
        secret_file::read(path).map_err(|error| Error::File(path.to_owned(), error))?.parse()
    }

    /// Returns the key that verifies what this one signs.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Signs a text, which ends with a line feed, and returns the note.
    pub fn sign(&self, text: &str) -> String {
        self.verifier.note(text, self.pair.sign(text.as_bytes()).as_ref())
    }

    /// Signs what the log is.
    pub fn checkpoint(&self, size: u64, root: [u8; 32]) -> String {
        self.sign(&Checkpoint { origin: self.verifier.name().to_owned(), size, root }.text())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_is_for_its_owner_and_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        let line = Signer::line("log.example/a", &[3; 32].into()).unwrap();
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Signer::read(&path)
        };
        let signer = write(&line, 0o440).unwrap();
        assert_eq!(signer.verifier(), Signer::new("log.example/a", &[3; 32].into()).unwrap().verifier());
        assert!(matches!(write(&line, 0o604), Err(Error::File(..))));
        assert!(matches!(write(&line, 0o602), Err(Error::File(..))));
        assert!(matches!(write(&line.replace("log", "lag"), 0o600), Err(Error::NotAKey)));
        assert!(matches!(write(&line[..20], 0o600), Err(Error::NotAKey)));
        assert!(matches!(Signer::read(folder.path().join("b").as_ref()), Err(Error::File(..))));
        let seed = BASE64_STANDARD.encode([3; 32]);
        assert!(!format!("{signer:?}").contains(&seed[4..20]));
    }
}
