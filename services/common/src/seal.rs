//! Sealing what is stored: AES-256-GCM-SIV (RFC 8452) under a data key.
//!
//! Every sealed value names its data key and is bound to its place, so that none can stand in another's. Data keys are
//! kept in the database, wrapped by a key-encryption key that is kept elsewhere: whoever has the database alone can
//! open nothing.

use std::{collections::BTreeMap, fmt, path::Path};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey},
    rand,
};
use zeroize::Zeroizing;

use crate::{hash, secret_file};

/// First byte of a sealed value: its form.
const FORM: u8 = 0xa1;

const NONCE_LEN: usize = 12;

/// Form, data key, nonce.
const HEAD_LEN: usize = 1 + 4 + NONCE_LEN;

/// Place of a data key among associated data.
const DATA_KEY: &str = "data_key";

/// A data key, 256 bits. Wiped when it is dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// Why something could not be sealed or opened. It names no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value was sealed under a data key that is not known here, or not any more.
    #[error("data key {0} is not known")]
    UnknownKey(u32),
    /// The value is not sealed, or not for this place, or was changed.
    #[error("a stored value is not what was sealed there")]
    Forged,
    /// A data key was wrapped under a key-encryption key that is not at hand.
    #[error(
        "a data key is wrapped by the key {0}, which is not at hand; name its file in `sealing_keys_before`"
    )]
    UnknownWrapping(String),
    /// A key file could not be read.
    #[error("reading the key file {0}")]
    File(std::path::PathBuf, #[source] std::io::Error),
    /// A key file holds something else.
    #[error("the key file {0} must hold 64 hexadecimal digits")]
    NotAKey(std::path::PathBuf),
    /// The service that keeps the key-encryption key did not answer.
    #[error("the key-encryption key is out of reach")]
    OutOfReach(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Wraps data keys. A key file does by default; a key management service may.
#[tonic::async_trait]
pub trait KeyEncryption: fmt::Debug + Send + Sync {
    /// Returns the name of the key that wraps now. It is stored with what it wrapped and tells nothing of the key.
    fn name(&self) -> &str;

    /// Wraps a data key.
    async fn wrap(&self, data_key: &Secret) -> Result<Vec<u8>, Error>;

    /// Unwraps what the key of some name has wrapped.
    async fn unwrap(&self, name: &str, wrapped: &[u8]) -> Result<Secret, Error>;
}

/// Key-encryption keys from files: the one in force, and those before it, which still unwrap.
pub struct FileKeys {
    name: String,
    keys: BTreeMap<String, KeyRing>,
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKeys({})", self.name)
    }
}

impl FileKeys {
    /// Reads keys, the one in force first. A file holds 64 hexadecimal digits.
    pub fn read<'a>(now: &Path, before: impl IntoIterator<Item = &'a Path>) -> Result<Self, Error> {
        let (name, ring) = read_key(now)?;
        let mut keys = BTreeMap::from([(name.clone(), ring)]);
        for path in before {
            let (name, ring) = read_key(path)?;
            keys.insert(name, ring);
        }
        Ok(Self { name, keys })
    }

    /// Keeps a key in memory alone, for tests and databases in memory.
    pub fn random() -> Self {
        let secret = random_key();
        let name = name_of(&secret);
        Self { keys: BTreeMap::from([(name.clone(), KeyRing::new([(0, secret)]))]), name }
    }
}

#[tonic::async_trait]
impl KeyEncryption for FileKeys {
    fn name(&self) -> &str {
        &self.name
    }

    async fn wrap(&self, data_key: &Secret) -> Result<Vec<u8>, Error> {
        let ring = self.keys.get(&self.name).ok_or_else(|| Error::UnknownWrapping(self.name.clone()))?;
        Ok(ring.seal(DATA_KEY, b"", &data_key[..]))
    }

    async fn unwrap(&self, name: &str, wrapped: &[u8]) -> Result<Secret, Error> {
        let ring = self.keys.get(name).ok_or_else(|| Error::UnknownWrapping(name.to_owned()))?;
        let clear = Zeroizing::new(ring.open(DATA_KEY, b"", wrapped)?);
        clear[..].try_into().map(Zeroizing::new).map_err(|_| Error::Forged)
    }
}

fn read_key(path: &Path) -> Result<(String, KeyRing), Error> {
    let digits = secret_file::read(path).map_err(|error| Error::File(path.to_owned(), error))?;
    let mut secret = random_key();
    hex::decode_to_slice(digits.trim(), &mut secret[..]).map_err(|_| Error::NotAKey(path.to_owned()))?;
    Ok((name_of(&secret), KeyRing::new([(0, secret)])))
}

/// Names a key by its hash: 64 bits of it tell nothing of 256 random ones.
fn name_of(secret: &Secret) -> String {
    let hash = hash::sha256(&[b"signpost key-encryption key ", &secret[..]].concat());
    hex::encode(&hash[..8])
}

/// Makes a data key.
///
/// # Panics
/// When the operating system has no randomness, without which nothing here is safe.
pub fn random_key() -> Secret {
    let mut secret = Zeroizing::new([0; 32]);
    rand::fill(&mut secret[..]).expect("invariant: the operating system has randomness");
    secret
}

/// The data keys of one database, by number. The one with the highest number seals.
pub struct KeyRing(ArcSwap<BTreeMap<u32, RandomizedNonceKey>>);

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.0.load().keys()).finish()
    }
}

impl KeyRing {
    /// Holds keys.
    pub fn new(keys: impl IntoIterator<Item = (u32, Secret)>) -> Self {
        Self(ArcSwap::from_pointee(ring(keys)))
    }

    /// Takes other keys.
    pub fn replace(&self, keys: impl IntoIterator<Item = (u32, Secret)>) {
        self.0.store(ring(keys).into());
    }

    /// Returns the number of the key that seals.
    pub fn newest(&self) -> Option<u32> {
        self.0.load().keys().next_back().copied()
    }

    /// Seals a value for a place: what kind of value it is, and in which row it stands.
    ///
    /// # Panics
    /// When the ring is empty: nothing is ever stored open instead.
    pub fn seal(&self, kind: &str, row: &[u8], clear: &[u8]) -> Vec<u8> {
        let keys = self.0.load();
        let (number, key) = keys.last_key_value().expect("invariant: a ring that seals has a key");
        let mut text = Vec::with_capacity(clear.len() + 16);
        text.extend_from_slice(clear);
        let nonce = key.seal_in_place_append_tag(Aad::from(place(kind, row)), &mut text);
        let nonce = nonce.expect("invariant: a value that fits in memory can be sealed");
        let mut sealed = Vec::with_capacity(HEAD_LEN + text.len());
        sealed.push(FORM);
        sealed.extend(number.to_be_bytes());
        sealed.extend(nonce.as_ref());
        sealed.append(&mut text);
        sealed
    }

    /// Opens what was sealed for a place.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] when a newer key may have to be loaded, [`Error::Forged`] for everything else.
    pub fn open(&self, kind: &str, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let number = sealed_under(sealed).ok_or(Error::Forged)?;
        let keys = self.0.load();
        let key = keys.get(&number).ok_or(Error::UnknownKey(number))?;
        let (head, text) = sealed.split_at(HEAD_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&head[5..]).map_err(|_| Error::Forged)?;
        let mut text = text.to_vec();
        let aad = Aad::from(place(kind, row));
        let length = key.open_in_place(nonce, aad, &mut text).map_err(|_| Error::Forged)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// Returns the number of the data key under which a value is sealed; none when it is not sealed.
pub fn sealed_under(sealed: &[u8]) -> Option<u32> {
    let head: &[u8; HEAD_LEN] = sealed.first_chunk()?;
    (head[0] == FORM).then(|| u32::from_be_bytes([head[1], head[2], head[3], head[4]]))
}

fn ring(keys: impl IntoIterator<Item = (u32, Secret)>) -> BTreeMap<u32, RandomizedNonceKey> {
    let key = |secret: Secret| RandomizedNonceKey::new(&AES_256_GCM_SIV, &secret[..]);
    let keys = keys.into_iter().map(|(number, secret)| (number, key(secret)));
    keys.map(|(number, key)| (number, key.expect("invariant: a secret has the length of a key"))).collect()
}

fn place(kind: &str, row: &[u8]) -> Vec<u8> {
    [kind.as_bytes(), b"\0", row].concat()
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;

    fn keys() -> KeyRing {
        KeyRing::new([(1, random_key()), (2, random_key())])
    }

    #[test]
    fn a_value_opens_in_its_place_alone() {
        let keys = keys();
        let sealed = keys.seal("record", b"7", b"Jane");
        assert_eq!(keys.open("record", b"7", &sealed).unwrap(), b"Jane");
        assert_eq!(sealed_under(&sealed), Some(2), "the newest key seals");
        for (kind, row) in [("record", &b"8"[..]), ("comparison", b"7"), ("record7", b"")] {
            assert!(matches!(keys.open(kind, row, &sealed), Err(Error::Forged)));
        }
        assert_ne!(sealed, keys.seal("record", b"7", b"Jane"), "equal values do not look equal");
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let keys = keys();
        let sealed = keys.seal("record", b"7", b"Jane");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open("record", b"7", &changed).is_err(), "byte {at}");
            assert!(keys.open("record", b"7", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(matches!(keys.open("record", b"7", b"Jane"), Err(Error::Forged)), "it was never sealed");
    }

    #[test]
    fn older_keys_open_until_they_are_gone() {
        let (first, second) = (random_key(), random_key());
        let keys = KeyRing::new([(1, first.clone())]);
        let sealed = keys.seal("record", b"7", b"Jane");
        keys.replace([(1, first), (2, second.clone())]);
        assert_eq!(keys.open("record", b"7", &sealed).unwrap(), b"Jane");
        assert_eq!(keys.newest(), Some(2));
        keys.replace([(2, second)]);
        assert!(matches!(keys.open("record", b"7", &sealed), Err(Error::UnknownKey(1))));
    }

    #[tokio::test]
    async fn data_keys_are_wrapped_by_the_key_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, digit: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{}\n", digit.repeat(64))).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            path
        };
        let (old, new) = (file("old", "a"), file("new", "b"));
        let data_key = random_key();
        let before = FileKeys::read(&old, []).unwrap();
        let wrapped = before.wrap(&data_key).await.unwrap();
        let both = FileKeys::read(&new, [old.as_ref()]).unwrap();
        assert_eq!(both.unwrap(before.name(), &wrapped).await.unwrap(), data_key);
        assert_ne!(both.name(), before.name());
        let alone = FileKeys::read(&new, []).unwrap();
        let error = alone.unwrap(before.name(), &wrapped).await.unwrap_err();
        assert!(matches!(error, Error::UnknownWrapping(name) if name == before.name()));
        assert!(alone.unwrap(alone.name(), &wrapped).await.is_err());
        assert!(matches!(FileKeys::read(&file("short", "abc"), []), Err(Error::NotAKey(_))));
        assert!(!format!("{both:?} {:?}", keys()).contains("bbbb"));
    }
}
