//! Checkpoints: what the log was at some size, in words that its key signs.
//!
//! The form is that of C2SP: a tlog-checkpoint in a signed-note, so that other programs read it, too. A note is a text, an
//! empty line and signatures; each names its key and says which of that name it is. Absent on purpose: cosignatures of
//! witnesses are passed over.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use signpost_common::{hash::Sha256, signature::is_ed25519};

use super::merkle::Hash;

/// Longest note that is read.
pub const NOTE_BYTES_MAX: usize = 16 << 10;

/// Algorithm of a key: Ed25519.
const ED25519: u8 = 1;

/// What a line of a signature begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// Why a note or a key is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no signed note.
    #[error("is not a signed note")]
    NotANote,
    /// The note is no checkpoint.
    #[error("is not a checkpoint")]
    NotACheckpoint,
    /// No key that is known has signed it.
    #[error("is signed by no key that is known")]
    UnknownKey,
    /// It claims to be signed by a key that is known, and is not.
    #[error("has a signature that its key did not make")]
    Forged,
    /// The text is no verifier key of Ed25519.
    #[error("is not a verifier key, NAME+HASH+KEY, of Ed25519")]
    NotAKey,
}

/// What a log was at some size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log, which is that of its key.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root hash.
    pub root: Hash,
}

/// A key that verifies notes: its name and its public key.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: [u8; 32],
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({self})")
    }
}

impl fmt::Display for Verifier {
    /// Writes it as others read it: `NAME+HASH+KEY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_STANDARD.encode([&[ED25519][..], &self.key].concat());
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.hash()))
    }
}

impl std::str::FromStr for Verifier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // Base64 may hold a plus as well.
        let mut parts = text.trim().splitn(3, '+');
        let mut next = || parts.next().ok_or(Error::NotAKey);
        let (name, hash, key) = (next()?, next()?, next()?);
        let key = BASE64_STANDARD.decode(key).map_err(|_| Error::NotAKey)?;
        let [ED25519, key @ ..] = &key[..] else { return Err(Error::NotAKey) };
        let verifier = Self::new(name, key.try_into().map_err(|_| Error::NotAKey)?).ok_or(Error::NotAKey)?;
        if hex::encode(verifier.hash()) == hash { Ok(verifier) } else { Err(Error::NotAKey) }
    }
}

impl Verifier {
    /// Names a public key; `None` when the name is empty or has a space or a plus.
    pub fn new(name: &str, key: [u8; 32]) -> Option<Self> {
        let good =
            !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
        good.then(|| Self { name: name.to_owned(), key })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hash that tells keys of one name apart (C2SP signed-note).
    pub fn hash(&self) -> [u8; 4] {
        let mut hasher = Sha256::default();
        hasher.update(self.name.as_bytes());
        hasher.update(&[b'\n', ED25519]);
        hasher.update(&self.key);
        let hash = hasher.finish();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// Puts a text and its signature together.
    pub fn note(&self, text: &str, signature: &[u8]) -> String {
        let signature = BASE64_STANDARD.encode([&self.hash()[..], signature].concat());
        format!("{text}\n{DASH}{} {signature}\n", self.name)
    }
}

impl Checkpoint {
    /// Writes what is signed.
    pub fn text(&self) -> String {
        let Self { origin, size, root } = self;
        format!("{origin}\n{size}\n{}\n", BASE64_STANDARD.encode(root))
    }

    /// Reads what is signed. Lines after the third are extensions, which say nothing to us.
    fn read(text: &str) -> Result<Self, Error> {
        let mut lines = text.lines();
        let mut next = || lines.next().ok_or(Error::NotACheckpoint);
        let (origin, digits, root) = (next()?, next()?, next()?);
        let size: u64 = digits.parse().map_err(|_| Error::NotACheckpoint)?;
        let root = BASE64_STANDARD.decode(root).map_err(|_| Error::NotACheckpoint)?;
        let root = root.try_into().map_err(|_| Error::NotACheckpoint)?;
        if origin.is_empty() || size.to_string() != digits {
            return Err(Error::NotACheckpoint);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Reads a note, which one of the keys must have signed, and in the name of its own log.
    pub fn verify(note: &str, keys: &[Verifier]) -> Result<Self, Error> {
        let text = verified(note, keys.iter())?;
        let checkpoint = Self::read(text)?;
        // A key of one log says nothing of another.
        let own = keys.iter().filter(|key| key.name == checkpoint.origin);
        verified(note, own).map(|_| checkpoint)
    }

    /// Reads a note without asking who signed it.
    pub fn unverified(note: &str) -> Result<Self, Error> {
        Self::read(split(note)?.0)
    }
}

/// Splits a note into text and lines of signatures.
fn split(note: &str) -> Result<(&str, &str), Error> {
    let bad = |c: char| c.is_control() && c != '\n';
    if note.len() > NOTE_BYTES_MAX || note.contains(bad) {
        return Err(Error::NotANote);
    }
    let end = note.rfind("\n\n").ok_or(Error::NotANote)?;
    let (text, signatures) = (&note[..=end], &note[end + 2..]);
    if text.len() < 2 || signatures.is_empty() || !signatures.ends_with('\n') {
        return Err(Error::NotANote);
    }
    Ok((text, signatures))
}

/// Returns the text of a note when one of the keys has signed it, and none of them is said to have that has not.
fn verified<'a, 'b>(
    note: &'a str,
    keys: impl Iterator<Item = &'b Verifier> + Clone,
) -> Result<&'a str, Error> {
    let (text, signatures) = split(note)?;
    let mut signed = false;
    for line in signatures.lines() {
        let named = line.strip_prefix(DASH).and_then(|line| line.split_once(' '));
        let (name, signature) = named.ok_or(Error::NotANote)?;
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| Error::NotANote)?;
        let (hash, signature) = signature.split_first_chunk::<4>().ok_or(Error::NotANote)?;
        let mut said = keys.clone().filter(|key| key.name == name && key.hash() == *hash);
        if let Some(key) = said.next() {
            if !is_ed25519(&key.key, &[text.as_bytes()], signature) {
                return Err(Error::Forged);
            }
            signed = true;
        }
    }
    if signed { Ok(text) } else { Err(Error::UnknownKey) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Signer;

    /// The example of golang.org/x/mod/sumdb/note, whose form C2SP's is.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn peter() -> Verifier {
        KEY.parse().unwrap()
    }

    fn signer(name: &str, seed: u8) -> Signer {
        Signer::new(name, &[seed; 32].into()).unwrap()
    }

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { origin: "log.example/a".into(), size, root: [7; 32] }
    }

    #[test]
    fn notes_are_those_of_others() {
        assert_eq!(peter().to_string(), KEY);
        let note = format!("{TEXT}\n{SIGNATURE}");
        assert_eq!(verified(&note, [peter()].iter()).unwrap(), TEXT);
        let signer: Signer = SECRET.parse().unwrap();
        assert_eq!(signer.verifier(), &peter());
        assert_eq!(signer.sign(TEXT), note);
        assert_eq!(Checkpoint::verify(&note, &[peter()]), Err(Error::NotACheckpoint));
    }

    #[test]
    fn a_checkpoint_is_signed_by_the_key_of_its_log() {
        let signer = signer("log.example/a", 1);
        let note = signer.sign(&checkpoint(12).text());
        let expected =
            "log.example/a\n12\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n\n\u{2014} log.example/a ";
        assert!(note.starts_with(expected), "{note}");
        let keys = [peter(), signer.verifier().clone()];
        assert_eq!(Checkpoint::verify(&note, &keys), Ok(checkpoint(12)));
        // Signatures of others stand beside it, and count for nothing.
        let cosigned = format!("{note}\u{2014} witness AAAAAAAA\n");
        assert_eq!(Checkpoint::verify(&cosigned, &keys), Ok(checkpoint(12)));
        assert_eq!(Checkpoint::verify(&cosigned, &[peter()]), Err(Error::UnknownKey));
        let other = self::signer("log.example/b", 1);
        let foreign = other.sign(&checkpoint(12).text());
        assert_eq!(Checkpoint::verify(&foreign, &[other.verifier().clone()]), Err(Error::UnknownKey));
        let elder = self::signer("log.example/a", 2);
        assert_eq!(Checkpoint::verify(&note, &[elder.verifier().clone()]), Err(Error::UnknownKey));
    }

    #[test]
    fn what_was_changed_is_refused() {
        let signer = signer("log.example/a", 1);
        let keys = [signer.verifier().clone()];
        let note = signer.sign(&checkpoint(12).text());
        assert_eq!(Checkpoint::verify(&note.replacen("12", "13", 1), &keys), Err(Error::Forged));
        for end in 0..note.len() {
            if let Some(cut) = note.get(..end) {
                assert!(Checkpoint::verify(cut, &keys).is_err(), "cut at {end}");
            }
        }
        for text in ["", "a\n012\n\n", "a\n-1\nBwc=\n", "a\n1\nBwc=\n", "\n1\n\n"] {
            let note = signer.sign(&text.replace("a\n", "log.example/a\n"));
            assert!(Checkpoint::verify(&note, &keys).is_err(), "{text:?}");
        }
        assert_eq!(Checkpoint::verify(&note.replacen('\n', "\r\n", 1), &keys), Err(Error::NotANote));
        for key in ["", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"] {
            assert_eq!(key.parse::<Verifier>(), Err(Error::NotAKey), "{key:?}");
        }
    }
}
