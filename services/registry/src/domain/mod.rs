//! What a pointer is, when two are the same, and when one leads nowhere.

use signpost_common::id::{DocumentId, MemberId, RecordRef};
use signpost_proto::registry::v1::{ChangeKind, DocumentStatus, Liveness};

use self::relation::Relation;
use crate::error::Error;

pub mod relation;
pub mod score;

/// Failed retrievals in a row that make a pointer dead.
pub const FAILURES_DEAD: i64 = 3;

/// How long a success is fresh: another one is not written. A pointer that is followed all the time would be written all the time.
pub const FRESH_US: i64 = 60_000_000;

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

/// A pointer to register, with what of its facts it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What is stated.
    pub pointer: Pointer,
    /// What it is found by.
    pub found_by: FoundBy,
    /// What the document is to others.
    pub relations: Vec<Relation>,
}

/// Facts that a search bounds, beside those of the pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundBy {
    /// Confidentiality and sensitivity labels.
    pub labels: Vec<String>,
    /// When the service began and ended, microseconds since 1970; both or neither.
    pub service_us: Option<(i64, i64)>,
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
    /// When that was last learnt, microseconds since 1970; 0 when never.
    pub liveness_us: i64,
    /// Why the last retrieval failed, empty when it succeeded.
    pub liveness_reason: String,
    /// Failed retrievals in a row.
    pub failures: i64,
    /// Every pointer that it replaced, nearest first.
    pub replaced: Vec<DocumentId>,
    /// Pointer that replaced it.
    pub replaced_by: Option<DocumentId>,
    /// When it was registered, microseconds since 1970.
    pub registered_us: i64,
}

/// What changes of a pointer, as it was left at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether it was to be relied on.
    pub status: DocumentStatus,
    /// Whether it was found to lead anywhere.
    pub liveness: Liveness,
    /// When that was learnt, microseconds since 1970; 0 when never.
    pub liveness_us: i64,
    /// Why the last retrieval had failed.
    pub liveness_reason: String,
    /// Pointer that had replaced it.
    pub replaced_by: Option<DocumentId>,
}

/// One change of a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The pointer after it.
    pub document: Document,
    /// What changed.
    pub kind: ChangeKind,
    /// When, microseconds since 1970.
    pub changed_us: i64,
}

/// What a retrieval or a probe showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether the document came.
    pub succeeded: bool,
    /// Why it did not.
    pub reason: String,
    /// Milliseconds to the first byte; 0 when not measured.
    pub elapsed_ms: u32,
    /// Whether nobody had asked for it.
    pub probe: bool,
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
    /// Labels, any of them.
    pub labels: Vec<String>,
    /// Service ended at or after.
    pub service_from_us: Option<i64>,
    /// Service began before.
    pub service_to_us: Option<i64>,
    /// As the registry stood then.
    pub as_of_us: Option<i64>,
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

    /// Returns it as a change left it.
    #[must_use]
    pub fn left_as(self, standing: Standing) -> Self {
        let Standing { status, liveness, liveness_us, liveness_reason, replaced_by } = standing;
        Self { status, liveness, liveness_us, liveness_reason, replaced_by, ..self }
    }

    /// Returns it as it stood at a moment, given what the last change until then had left.
    #[must_use]
    pub fn as_of(self, then: Standing, as_of_us: i64) -> Self {
        // A success that confirms another is no change, but it was known by then.
        if self.liveness == then.liveness && self.liveness_us <= as_of_us {
            let Standing { status, replaced_by, .. } = then;
            return Self { status, replaced_by, ..self };
        }
        self.left_as(then)
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

/// Returns what to believe of a pointer after a report, `None` when that need not be written.
pub fn learn(document: &Document, report: &Report, now_us: i64) -> Option<Document> {
    let (liveness, failures) = after_retrieval(document.failures, report.succeeded);
    let fresh = (0..FRESH_US).contains(&now_us.saturating_sub(document.liveness_us));
    if report.succeeded && liveness == document.liveness && fresh {
        return None;
    }
    let liveness_reason = if report.succeeded { String::new() } else { report.reason.clone() };
    Some(Document { liveness, failures, liveness_us: now_us, liveness_reason, ..document.clone() })
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
            liveness_us: 0,
            liveness_reason: String::new(),
            failures: 0,
            replaced: vec![],
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

    #[test]
    fn a_success_is_written_again_when_it_is_no_longer_fresh() {
        let ok = Report { succeeded: true, ..Report::default() };
        let alive = learn(&document(), &ok, 5).unwrap();
        assert_eq!((alive.liveness, alive.liveness_us), (Liveness::Alive, 5));
        assert_eq!(learn(&alive, &ok, 5), None);
        assert_eq!(learn(&alive, &ok, 4 + FRESH_US), None);
        assert_eq!(learn(&alive, &ok, 5 + FRESH_US).unwrap().liveness_us, 5 + FRESH_US);
        assert!(learn(&alive, &ok, 4).is_some(), "a moment that has not come yet is not fresh");

        let failed = Report { reason: "GONE".into(), ..Report::default() };
        let suspect = learn(&alive, &failed, 6).unwrap();
        assert_eq!((suspect.liveness, suspect.liveness_reason.as_str()), (Liveness::Suspect, "GONE"));
        assert_eq!(learn(&suspect, &failed, 6).unwrap().failures, 2, "every failure counts");
        let revived = learn(&suspect, &Report { reason: "x".into(), ..ok }, 7).unwrap();
        assert_eq!((revived.failures, revived.liveness_reason.as_str()), (0, ""));
    }

    #[test]
    fn what_was_learnt_later_is_not_told_of_earlier() {
        let now = Document { liveness: Liveness::Alive, liveness_us: 50, ..document() };
        let then = Standing {
            status: DocumentStatus::Superseded,
            liveness: Liveness::Alive,
            liveness_us: 10,
            liveness_reason: String::new(),
            replaced_by: Some(DocumentId::generate()),
        };
        let at = |as_of_us| now.clone().as_of(then.clone(), as_of_us);
        assert_eq!((at(49).liveness_us, at(50).liveness_us), (10, 50));
        assert_eq!((at(50).status, at(50).replaced_by), (then.status, then.replaced_by));
        let dead = Document { liveness: Liveness::Dead, ..now.clone() };
        assert_eq!(dead.as_of(then.clone(), 60).liveness, Liveness::Alive);
    }
}
