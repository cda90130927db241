//! Whom to ask.

use std::collections::BTreeMap;

use signpost_proto::{common::v1::RecordReference, registry::v1::DocumentEntry};

/// Returns the members to ask, with the patient's records at each.
///
/// Only members whose documents the caller may see are asked: to name any other would tell that the patient was
/// there, which may be the very thing that is withheld.
pub(crate) fn members_to_ask<'a>(
    permitted: impl IntoIterator<Item = &'a DocumentEntry>,
    records: &[RecordReference],
) -> BTreeMap<String, Vec<RecordReference>> {
    let mut plan = BTreeMap::new();
    for member in
        permitted.into_iter().filter_map(|entry| entry.patient.as_ref()).map(|patient| &patient.member_id)
    {
        plan.entry(member.clone()).or_insert_with(|| {
            records.iter().filter(|record| record.member_id == *member).cloned().collect()
        });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(member: &str, local: &str) -> RecordReference {
        RecordReference { member_id: member.into(), local_id: local.into() }
    }

    #[test]
    fn a_member_without_visible_documents_is_not_named() {
        let records = [record("north", "1"), record("clinic", "2"), record("north", "3")];
        let visible = DocumentEntry { patient: Some(record("north", "1")), ..Default::default() };
        let plan = members_to_ask([&visible], &records);
        assert_eq!(
            plan.into_iter().collect::<Vec<_>>(),
            [("north".to_owned(), vec![record("north", "1"), record("north", "3")])]
        );
    }
}
