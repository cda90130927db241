//! Reads all documents, each within limits, in an order that does not depend on how they were given.

use std::collections::BTreeMap;

use crate::{
    DEPTH_MAX, DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, STATEMENTS_MAX, ccda,
    fact::Read,
    fhir, json,
    report::{DocumentReport, Reason, Report, Skipped},
    source::Document,
};

/// A document and what was read of it.
pub(crate) struct Source<'a> {
    pub(crate) document: Document<'a>,
    pub(crate) read: Read,
}

/// Reads documents in the order of their ids. Each is in the result, if only with its name.
pub(crate) fn all<'a>(documents: &[Document<'a>], report: &mut Report) -> Vec<Source<'a>> {
    let mut sorted = documents.to_vec();
    sorted.sort_by(|a, b| (a.id, a.custodian, a.bytes).cmp(&(b.id, b.custodian, b.bytes)));
    let mut sources: Vec<Source<'a>> = vec![];
    let mut room = STATEMENTS_MAX;
    for (at, document) in sorted.into_iter().enumerate() {
        let repeated = sources.last().is_some_and(|last| last.document.id == document.id);
        let read = if at >= DOCUMENTS_MAX {
            Err(Reason::TooManyDocuments)
        } else if repeated {
            Err(Reason::DocumentRepeated)
        } else {
            one(&document)
        };
        let mut read = read.unwrap_or_else(|reason| {
            let mut none = Read::default();
            none.skip(None, "", reason, 1);
            none
        });
        limit(&mut read, &mut room);
        note(&document, &mut read, report);
        if !repeated {
            sources.push(Source { document, read });
        }
    }
    report.skipped.sort();
    sources
}

/// Leaves out the statements for which a summary has no room.
fn limit(read: &mut Read, room: &mut usize) {
    let cut = read.facts.split_off(read.facts.len().min(*room));
    *room -= read.facts.len();
    let mut counts = BTreeMap::new();
    for fact in cut {
        *counts.entry(fact.kind.section()).or_insert(0) += 1;
    }
    for (section, count) in counts {
        read.skip(Some(section), "the rest", Reason::TooManyStatements, count);
    }
}

/// Puts into the report what was read of a document, and what was not.
fn note(document: &Document<'_>, read: &mut Read, report: &mut Report) {
    let mut statements = BTreeMap::new();
    for fact in &read.facts {
        *statements.entry(fact.kind.section()).or_insert(0) += 1;
    }
    report.documents.push(DocumentReport { id: document.id.to_owned(), format: read.format, statements });
    for skipped in std::mem::take(&mut read.skipped) {
        report.skipped.push(Skipped { document: document.id.to_owned(), ..skipped });
    }
}

/// Reads a document in the format that its content has. Its MIME type decides only what no content can.
fn one(document: &Document<'_>) -> Result<Read, Reason> {
    if document.bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    let text = std::str::from_utf8(document.bytes).map_err(|_| Reason::NotUtf8)?;
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.as_bytes().first() {
        Some(b'<') => ccda::read(text),
        Some(b'{') => {
            if json_depth(text) > DEPTH_MAX {
                return Err(Reason::TooDeep);
            }
            fhir::read(&json::read(text).ok_or(Reason::BrokenJson)?)
        }
        _ => {
            let kind = document.mime_type.to_ascii_lowercase();
            Err(match kind {
                kind if kind.contains("json") => Reason::BrokenJson,
                kind if kind.contains("xml") => Reason::BrokenXml,
                _ => Reason::FormatUnknown,
            })
        }
    }
}

/// Returns how deep objects and lists are nested, before anything else looks at them.
fn json_depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
