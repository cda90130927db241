//! What a pointer is, when two are the same, and when one leads nowhere.

use signpost_common::id::{DocumentId, MemberId, RecordRef};
use signpost_proto::registry::v1::{DocumentStatus, Liveness};

use crate::error::Error;

/// Failed retrievals in a row that make a pointer dead.
pub const FAILURES_DEAD: i64 = 3;

/// What a custodian states of a document. It never changes: other facts need another unique id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The patient, as the custodian knows it.
    pub patient: RecordRef,
    /// Id that the custodian gave the document.
    pub unique_id: String,
    /// Precise type.
    pub type_code: String,
    /// Broad class, empty when not stated.
    pub class_code: String,
    /// When the document was made, microseconds since 1970; 0 when not stated.
    pub created_us: i64,
    /// SHA-256 of the document, empty when its bytes may change.
    pub sha256: Vec<u8>,
    /// Everything stated but patient and unique id, encoded; equal facts have equal bytes.
    pub facts: Vec<u8>,
}

/// A registered pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Id that the exchange gave it.
    pub id: DocumentId,
    /// What the custodian stated.
    pub pointer: Pointer,
    /// Whether it is to be relied on.
    pub status: DocumentStatus,
    /// Whether it was found to lead anywhere.
    pub liveness: Liveness,
    /// Failed retrievals in a row.
    pub failures: i64,
    /// Pointer that it replaced.
    pub replaces: Option<DocumentId>,
    /// Pointer that replaced it.
    pub replaced_by: Option<DocumentId>,
    /// When it was registered, microseconds since 1970.
    pub registered_us: i64,
}

/// What a registration led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// The pointer.
    pub id: DocumentId,
    /// True when it was there already.
    pub replayed: bool,
}

/// Bounds of a search. A list that is empty puts no bound, but without patients nothing is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Records, any of them.
    pub patients: Vec<RecordRef>,
    /// Custodians, any of them.
    pub custodians: Vec<MemberId>,
    /// Type codes, any of them.
    pub type_codes: Vec<String>,
    /// Class codes, any of them.
    pub class_codes: Vec<String>,
    /// States, any of them.
    pub statuses: Vec<DocumentStatus>,
    /// Created at or after.
    pub from_us: Option<i64>,
    /// Created before.
    pub to_us: Option<i64>,
}

/// Place of a pointer in a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When its document was made.
    pub created_us: i64,
    /// Its id.
    pub id: DocumentId,
}

impl Document {
    /// Returns its place in a list.
    pub fn position(&self) -> Position {
        Position { created_us: self.pointer.created_us, id: self.id }
    }
}

/// Checks that a pointer states what is stored under its unique id.
pub fn same_facts(stored: &Pointer, new: &Pointer) -> Result<(), Error> {
    if stored.sha256 != new.sha256 {
        Err(Error::NonIdenticalHash)
    } else if stored != new {
        Err(Error::NonIdenticalEntry)
    } else {
        Ok(())
    }
}

/// Checks that a pointer may replace a document.
pub fn replaceable(old: &Document, new: &Pointer) -> Result<(), Error> {
    if old.pointer.patient.member_id != new.patient.member_id {
        Err(Error::DocumentUnknown)
    } else if old.pointer.patient != new.patient {
        Err(Error::PatientDiffers)
    } else if old.status != DocumentStatus::Current {
        Err(Error::NotCurrent)
    } else {
        Ok(())
    }
}

/// Returns what to believe of a pointer after a retrieval, and the failures in a row.
pub fn after_retrieval(failures: i64, succeeded: bool) -> (Liveness, i64) {
    let failures = if succeeded { 0 } else { failures.saturating_add(1) };
    let liveness = match failures {
        0 => Liveness::Alive,
        1..FAILURES_DEAD => Liveness::Suspect,
        _ => Liveness::Dead,
    };
    (liveness, failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let pointer = Pointer {
            patient: RecordRef::new("north".parse().unwrap(), "1").unwrap(),
            unique_id: "u".into(),
            type_code: "34133-9".into(),
            class_code: String::new(),
            created_us: 7,
            sha256: vec![1; 32],
            facts: vec![1],
        };
        Document {
            id: DocumentId::generate(),
            pointer,
            status: DocumentStatus::Current,
            liveness: Liveness::Unspecified,
            failures: 0,
            replaces: None,
            replaced_by: None,
            registered_us: 9,
        }
    }

    #[test]
    fn another_hash_is_told_from_other_facts() {
        let stored = document().pointer;
        assert!(same_facts(&stored, &stored.clone()).is_ok());
        let other = Pointer { sha256: vec![2; 32], facts: vec![2], ..stored.clone() };
        assert!(matches!(same_facts(&stored, &other), Err(Error::NonIdenticalHash)));
        let other = Pointer { facts: vec![2], ..stored.clone() };
        assert!(matches!(same_facts(&stored, &other), Err(Error::NonIdenticalEntry)));
        let patient = RecordRef::new("north".parse().unwrap(), "2").unwrap();
        let other = Pointer { patient, ..stored.clone() };
        assert!(matches!(same_facts(&stored, &other), Err(Error::NonIdenticalEntry)));
    }

    #[test]
    fn only_a_current_document_of_the_same_record_is_replaced() {
        let old = document();
        assert!(replaceable(&old, &old.pointer).is_ok());
        let foreign = RecordRef::new("south".parse().unwrap(), "1").unwrap();
        let foreign = Pointer { patient: foreign, ..old.pointer.clone() };
        assert!(matches!(replaceable(&old, &foreign), Err(Error::DocumentUnknown)));
        let another = RecordRef::new("north".parse().unwrap(), "2").unwrap();
        let another = Pointer { patient: another, ..old.pointer.clone() };
        assert!(matches!(replaceable(&old, &another), Err(Error::PatientDiffers)));
        for status in [DocumentStatus::Superseded, DocumentStatus::Deprecated] {
            let old = Document { status, ..old.clone() };
            assert!(matches!(replaceable(&old, &old.pointer), Err(Error::NotCurrent)));
        }
    }

    #[test]
    fn three_failures_in_a_row_are_death_and_one_success_revives() {
        assert_eq!(after_retrieval(0, false), (Liveness::Suspect, 1));
        assert_eq!(after_retrieval(1, false), (Liveness::Suspect, 2));
        assert_eq!(after_retrieval(2, false), (Liveness::Dead, 3));
        assert_eq!(after_retrieval(3, false), (Liveness::Dead, 4));
        assert_eq!(after_retrieval(4, true), (Liveness::Alive, 0));
    }
}
