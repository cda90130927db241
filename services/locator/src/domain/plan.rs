//! Whom to ask.

use std::collections::{BTreeMap, HashSet};

use signpost_proto::{common::v1::RecordReference, registry::v1::DocumentEntry};

/// What to ask a member about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The patient's records at the member.
    pub(crate) records: Vec<RecordReference>,
    /// Its documents that the caller is shown: unique id and id.
    shown: Vec<(String, String)>,
}

impl Ask {
    /// Leaves out what is not shown.
    pub(crate) fn show(&mut self, shown: &HashSet<String>) {
        self.shown.retain(|(_, document_id)| shown.contains(document_id));
    }

    /// Returns the documents that the caller is shown and that are not among those which the member holds.
    pub(crate) fn missing(&self, held: &[String]) -> Vec<String> {
        let held: HashSet<&String> = held.iter().collect();
        let missing = self.shown.iter().filter(|(unique_id, _)| !held.contains(unique_id));
        missing.map(|(_, document_id)| document_id.clone()).collect()
    }
}

/// Returns the members to ask, with what to ask each about.
///
/// Only members whose documents the caller may see are asked: to name any other would tell that the patient was
/// there, which may be the very thing that is withheld.
pub(crate) fn members_to_ask<'a>(
    permitted: impl IntoIterator<Item = &'a DocumentEntry>,
    records: &[RecordReference],
) -> BTreeMap<String, Ask> {
    let mut plan: BTreeMap<String, Ask> = BTreeMap::new();
    for entry in permitted {
        let Some(member) = entry.patient.as_ref().map(|patient| &patient.member_id) else { continue };
        let ask = plan.entry(member.clone()).or_insert_with(|| {
            let records = records.iter().filter(|record| record.member_id == *member).cloned();
            Ask { records: records.collect(), shown: vec![] }
        });
        ask.shown.push((entry.unique_id.clone(), entry.document_id.clone()));
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
        let visible = |id: &str| DocumentEntry {
            patient: Some(record("north", "1")),
            document_id: id.into(),
            unique_id: format!("urn:{id}"),
            ..Default::default()
        };
        let plan = members_to_ask([&visible("a"), &visible("b")], &records);
        let (member, ask) = plan.into_iter().next().unwrap();
        assert_eq!((&*member, &*ask.records), ("north", &[record("north", "1"), record("north", "3")][..]));
        assert_eq!(ask.missing(&["urn:b".into(), "urn:c".into()]), ["a"]);
        assert!(ask.missing(&["urn:a".into(), "urn:b".into()]).is_empty());
        let mut cut = ask;
        cut.show(&HashSet::from(["b".to_owned()]));
        assert_eq!(cut.missing(&[]), ["b"], "what a limit cut is not named");
    }
}
