//! What is logged, and where it goes.

use std::collections::HashMap;

use signpost_common::id::{EventId, MemberId};
use signpost_proto::audit::v1::{EventKind, EventOutcome};

use crate::error::Error;

pub mod checkpoint;
pub mod merkle;
pub mod misuse;
pub mod sentence;
pub mod verify;

/// Kinds of events by which information on a patient is disclosed.
pub const DISCLOSING: [EventKind; 3] = [EventKind::Locate, EventKind::Fetch, EventKind::Emergency];

/// An event to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Id; the same again is the same event.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// How it ended.
    pub outcome: EventOutcome,
    /// Member that called; none when the call was refused before that was known.
    pub member_id: Option<MemberId>,
    /// When, microseconds since 1970.
    pub occurred_us: i64,
    /// Keyed hashes of the patient's records.
    pub subjects: Vec<i64>,
    /// What is hashed and kept.
    pub leaf: Vec<u8>,
    /// What the caller named its request, empty when it did not.
    pub request_id: String,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Position, from 0.
    pub sequence: u64,
    /// What was hashed.
    pub leaf: Vec<u8>,
}

/// Bounds of a search. What is empty puts no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Kinds, any of them.
    pub kinds: Vec<EventKind>,
    /// Member that called.
    pub member_id: Option<MemberId>,
    /// At or after, microseconds since 1970.
    pub from_us: Option<i64>,
    /// Before.
    pub to_us: Option<i64>,
    /// What the caller named its request.
    pub request_id: Option<String>,
}

/// Where the events of a batch go.
#[derive(Debug)]
pub struct Placement<'a> {
    /// Events to append, in order from the size of the log on.
    pub new: Vec<&'a Entry>,
    /// The position of each event of the batch.
    pub results: Vec<Result<u64, Error>>,
}

/// Decides where the events of a batch go, in a log of `size` events. `stored` are the events of the log that share an
/// id with one of the batch.
pub fn place<'a>(size: u64, batch: &'a [Entry], stored: &HashMap<EventId, Logged>) -> Placement<'a> {
    let mut placement = Placement { new: vec![], results: Vec::with_capacity(batch.len()) };
    let mut seen: HashMap<EventId, (u64, &[u8])> =
        stored.iter().map(|(id, logged)| (*id, (logged.sequence, &logged.leaf[..]))).collect();
    for entry in batch {
        let next = (size + placement.new.len() as u64, &entry.leaf[..]);
        let (sequence, leaf) = *seen.entry(entry.id).or_insert_with(|| {
            placement.new.push(entry);
            next
        });
        placement.results.push(if leaf == entry.leaf { Ok(sequence) } else { Err(Error::EventIdReused) });
    }
    placement
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(leaf: u8) -> Entry {
        Entry {
            id: EventId::generate(),
            kind: EventKind::Locate,
            outcome: EventOutcome::Success,
            member_id: None,
            occurred_us: 0,
            subjects: vec![],
            leaf: vec![leaf],
            request_id: String::new(),
        }
    }

    #[test]
    fn an_event_that_is_there_keeps_its_place_and_the_others_get_theirs() {
        let (old, new, last) = (entry(1), entry(2), entry(3));
        let stored = HashMap::from([(old.id, Logged { sequence: 4, leaf: old.leaf.clone() })]);
        let forged = Entry { leaf: vec![9], ..new.clone() };
        let batch = [new.clone(), old, new.clone(), forged, last.clone()];
        let Placement { new: appended, results } = place(10, &batch, &stored);
        assert_eq!(appended, [&new, &last]);
        let places: Vec<_> = results.iter().map(|r| r.as_ref().ok().copied()).collect();
        assert_eq!(places, [Some(10), Some(4), Some(10), None, Some(11)]);
    }
}
