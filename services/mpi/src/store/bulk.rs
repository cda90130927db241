//! What an import of many records asks of the store. Every method says how much of it is one transaction.

use async_trait::async_trait;
use signpost_common::id::{PersonId, RecordId};
use signpost_linkage::{Packed, View};

use super::{Decider, Error};
use crate::domain::Review;

/// A record that an import brings, with what was decided.
#[derive(Clone, Copy)]
pub struct NewRecord<'a> {
    /// Its id.
    pub id: RecordId,
    /// Its person.
    pub person: PersonId,
    /// True when the person begins with it.
    pub founds: bool,
    /// Weight of the decision in bits.
    pub bits: f64,
    /// Member whose record it is.
    pub member: &'a str,
    /// The member's own id of it.
    pub local: &'a str,
    /// What the member said, encoded.
    pub demographics: &'a [u8],
    /// The form that is compared.
    pub prepared: View<'a>,
    /// Blocking keys.
    pub keys: &'a [i64],
}

/// A record that is stored.
pub struct StoredRecord {
    /// Its id.
    pub id: RecordId,
    /// Its person.
    pub person: PersonId,
    /// Member whose record it is.
    pub member: String,
    /// The member's own id of it.
    pub local: String,
    /// What the member said, encoded.
    pub demographics: Vec<u8>,
    /// The form that is compared.
    pub prepared: Packed,
    /// Blocking keys.
    pub keys: Vec<i64>,
}

/// Is given stored records, one after another.
pub type Each<'a> = dyn FnMut(StoredRecord) + Send + 'a;

/// Is told how many blocking keys of how many are written.
pub type KeysDone<'a> = dyn Fn(u64, u64) + Send + Sync + 'a;

/// Writes many records at once, while nobody else writes the same ones.
#[async_trait]
pub trait Import {
    /// Gives every stored record to a function.
    async fn each_record(&self, each: &mut Each<'_>) -> Result<(), Error>;

    /// Returns every two persons of which a steward was asked, or said something.
    async fn asked(&self) -> Result<Vec<(PersonId, PersonId)>, Error>;

    /// Writes records with their persons and events in one transaction. They cannot be found before their keys are
    /// written, too.
    async fn insert_records(&self, records: &[NewRecord<'_>], by: &Decider<'_>) -> Result<(), Error>;

    /// Writes the blocking keys of all records that were inserted, in order, some of them in each transaction; what was cut
    /// short goes on where it was. Returns how many were written.
    async fn insert_pending_keys(&self, at_once: usize, done: &KeysDone<'_>) -> Result<u64, Error>;

    /// Opens questions in one transaction, unless they are open or were decided.
    async fn insert_reviews(&self, reviews: &[(RecordId, Review)], now_us: i64) -> Result<(), Error>;

    /// Makes the database look over what was written, so that who asks next is answered as fast as later on.
    async fn look_over(&self) -> Result<(), Error>;
}
