//! What documents are to one another: addenda and other forms of one, and a newer one to those it replaced.

use signpost_common::id::{DocumentId, RecordRef};
use signpost_proto::registry::v1::{DocumentStatus, RelationKind};

use super::Document;
use crate::error::Error;

/// Most pointers that one may stand for: each new version of a document carries the ids of all before it.
pub const REPLACED_MAX: usize = 200;

/// Most documents that may append or transform one: all of them are taken down with it.
pub const RELATED_MAX: i64 = 1_000;

/// What a document is to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    /// What it is.
    pub kind: RelationKind,
    /// The other.
    pub target: DocumentId,
}

/// What must be known of a pointer that others relate to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose it is.
    pub patient: RecordRef,
    /// Whether it is to be relied on.
    pub status: DocumentStatus,
    /// How many relate to it.
    pub related: i64,
}

/// Checks that a document of a patient may relate to each of these.
pub fn related<'t>(
    patient: &RecordRef,
    relations: &[Relation],
    target: impl Fn(&DocumentId) -> Option<&'t Target>,
) -> Result<(), Error> {
    for (at, relation) in relations.iter().enumerate() {
        let own = target(&relation.target).filter(|target| target.patient.member_id == patient.member_id);
        let Some(Target { patient: of, status, related }) = own else {
            return Err(Error::RelatedUnknown(at));
        };
        if of != patient {
            return Err(Error::RelatedPatientDiffers(at));
        }
        if *status != DocumentStatus::Current {
            return Err(Error::RelatedNotCurrent(at));
        }
        if *related >= RELATED_MAX {
            return Err(Error::RelatedTooMany(at));
        }
    }
    Ok(())
}

/// Returns the pointers that a replacement of this one stands for, nearest first.
pub fn replaced_with(old: &Document) -> Result<Vec<DocumentId>, Error> {
    if old.replaced.len() >= REPLACED_MAX {
        return Err(Error::ReplacedTooOften);
    }
    Ok(std::iter::once(old.id).chain(old.replaced.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(member: &str, local: &str) -> RecordRef {
        RecordRef::new(member.parse().unwrap(), local).unwrap()
    }

    #[test]
    fn only_current_pointers_of_the_same_patient_are_related_to() {
        let patient = record("north", "1");
        let relation = Relation { kind: RelationKind::Appends, target: DocumentId::generate() };
        let good = Target { patient: patient.clone(), status: DocumentStatus::Current, related: 0 };
        let judge = |target: Option<Target>| related(&patient, &[relation], |_| target.as_ref());
        assert!(judge(Some(good.clone())).is_ok());
        assert!(matches!(judge(None), Err(Error::RelatedUnknown(0))));
        let foreign = Target { patient: record("south", "1"), ..good.clone() };
        assert!(matches!(judge(Some(foreign)), Err(Error::RelatedUnknown(0))));
        let another = Target { patient: record("north", "2"), ..good.clone() };
        assert!(matches!(judge(Some(another)), Err(Error::RelatedPatientDiffers(0))));
        for status in [DocumentStatus::Superseded, DocumentStatus::Deprecated] {
            let gone = Target { status, ..good.clone() };
            assert!(matches!(judge(Some(gone)), Err(Error::RelatedNotCurrent(0))));
        }
        let full = Target { related: RELATED_MAX, ..good.clone() };
        assert!(matches!(judge(Some(full)), Err(Error::RelatedTooMany(0))));

        let second = Relation { kind: RelationKind::Transforms, target: DocumentId::generate() };
        let judged = related(&patient, &[relation, second], |id| (*id == relation.target).then_some(&good));
        assert!(matches!(judged, Err(Error::RelatedUnknown(1))), "the one at fault is named");
    }
}
