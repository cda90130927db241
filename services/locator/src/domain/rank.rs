//! The order of usefulness in an emergency.
//!
//! What changes treatment in the first minutes comes first: allergies, medication, problems, and the summaries that
//! hold all of them; then what the last hospital found. Within a kind, the newest comes first.

use signpost_proto::registry::v1::DocumentEntry;

/// Kinds of documents by LOINC type code, the most useful first.
const KINDS: &[(&str, &[&str])] = &[
    ("PATIENT_SUMMARY", &["60591-5", "34133-9"]),
    ("ALLERGIES", &["48765-2"]),
    ("MEDICATIONS", &["10160-0", "56445-0", "29549-3"]),
    ("PROBLEMS", &["11450-4"]),
    ("ADVANCE_DIRECTIVE", &["42348-3", "81334-5"]),
    ("DISCHARGE_SUMMARY", &["18842-5"]),
    ("ECG", &["11524-6", "28010-7"]),
    ("IMAGING_REPORT", &["18748-4", "18782-3", "18747-6"]),
    ("OPERATIVE_NOTE", &["11504-8"]),
    ("CONSULTATION", &["11488-4", "34117-2"]),
];

/// A document with its place in the order.
#[derive(Debug, PartialEq)]
pub(crate) struct Ranked {
    /// The document.
    pub(crate) entry: DocumentEntry,
    /// Why it stands where it stands.
    pub(crate) reasons: Vec<String>,
}

/// Puts documents in order.
pub(crate) fn rank(mut entries: Vec<DocumentEntry>) -> Vec<Ranked> {
    // Documents of one kind and one moment keep a stable order by id.
    entries.sort_by_cached_key(|entry| {
        (kind(entry), std::cmp::Reverse(moment(entry)), entry.document_id.clone())
    });
    let mut ranked: Vec<Ranked> = vec![];
    for entry in entries {
        let mut reasons = vec![];
        if let Some((name, _)) = KINDS.get(kind(&entry)) {
            reasons.push((*name).to_owned());
        }
        if ranked.last().is_none_or(|previous| kind(&previous.entry) != kind(&entry)) {
            reasons.push("NEWEST_OF_KIND".to_owned());
        }
        ranked.push(Ranked { entry, reasons });
    }
    ranked
}

fn kind(entry: &DocumentEntry) -> usize {
    let code = entry.type_code.as_ref().map_or("", |coding| coding.code.as_str());
    KINDS.iter().position(|(_, codes)| codes.contains(&code)).unwrap_or(KINDS.len())
}

/// When the service began, or else when the document was made: seconds since 1970.
fn moment(entry: &DocumentEntry) -> i64 {
    let time = entry.service_start_time.as_ref().or(entry.creation_time.as_ref());
    time.map_or(i64::MIN, |time| time.seconds)
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use signpost_proto::common::v1::Coding;

    use super::*;

    fn document(id: &str, code: &str, seconds: i64) -> DocumentEntry {
        DocumentEntry {
            document_id: id.into(),
            type_code: Some(Coding { code: code.into(), ..Default::default() }),
            creation_time: Some(Timestamp { seconds, nanos: 0 }),
            ..Default::default()
        }
    }

    #[test]
    fn allergies_come_before_notes_and_new_before_old() {
        let ranked = rank(vec![
            document("note", "11506-3", 900),
            document("old-allergies", "48765-2", 100),
            document("new-allergies", "48765-2", 200),
            document("discharge", "18842-5", 300),
        ]);
        let order: Vec<_> = ranked.iter().map(|r| r.entry.document_id.as_str()).collect();
        assert_eq!(order, ["new-allergies", "old-allergies", "discharge", "note"]);
        assert_eq!(ranked[0].reasons, ["ALLERGIES", "NEWEST_OF_KIND"]);
        assert_eq!(ranked[1].reasons, ["ALLERGIES"]);
        assert_eq!(ranked[3].reasons, ["NEWEST_OF_KIND"]);
    }

    #[test]
    fn the_order_does_not_depend_on_arrival() {
        let documents: Vec<_> = (0..20).map(|i| document(&format!("{i:02}"), "48765-2", i / 4)).collect();
        let backwards = documents.iter().rev().cloned().collect();
        assert_eq!(rank(documents), rank(backwards));
    }
}
