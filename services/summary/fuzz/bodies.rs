//! What the fuzz target does with its bytes; tests run it, too.

use signpost_summary::{Document, Request, Summary};

/// Reads bytes as two documents, parted at a NUL byte.
fn summary(bytes: &[u8], turned: bool) -> Summary {
    let mut parts: Vec<_> = bytes.splitn(2, |byte| *byte == 0).zip(["doc-1", "doc-2"]).collect();
    if turned {
        parts.reverse();
    }
    let documents: Vec<_> = parts
        .into_iter()
        .map(|(bytes, id)| Document {
            id,
            custodian: "north",
            type_code: "34133-9",
            title: "",
            created: None,
            mime_type: "",
            sha256: None,
            bytes,
        })
        .collect();
    let assembled_at = "2026-03-01T12:00:00Z".parse().expect("a time");
    let request = Request { subject: None, assembled_at, exchange: "x".into() };
    signpost_summary::summarise(&request, &documents)
}

/// Summarises any bytes: whatever they are, all documents are in the report, entries are named once, and the order of
/// the documents changes nothing.
pub(crate) fn summarise(bytes: &[u8]) {
    let first = summary(bytes, false);
    assert_eq!(first, summary(bytes, true));
    let entries = first.bundle["entry"].as_array().expect("a bundle has entries");
    let mut names: Vec<_> = entries.iter().map(|entry| entry["fullUrl"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), entries.len());
}
