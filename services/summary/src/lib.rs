//! One International Patient Summary (FHIR R4, IPS 1.1) out of many source documents: a pure library, without I/O,
//! time or randomness.
//!
//! [`summarise`] takes documents as bytes (C-CDA R2.1 XML, FHIR R4 JSON), reads what they state of allergies,
//! medications, problems, immunizations, results and procedures, puts together what is stated more than once, and
//! writes one Bundle of type document, with a [`Report`] of what became of each statement.
//!
//! Invariants: the same documents in any order give the same bytes; a statement that was found is in the summary, in
//! one entry with others that say the same, or in the report with a reason; what contradicts itself is kept side by
//! side and flagged, never resolved; what was entered in error is in no summary; no bytes make it panic. Reports,
//! errors and `Debug` hold no patient data.
//!
//! Left out on purpose: sections that an emergency does not need first (social history, plans, encounters, family),
//! who performed or stated an entry (the source document says so), images and other attachments, translation between
//! code systems, and any judgement on which of two statements is right.

mod alike;
mod ccda;
mod conflict;
mod fact;
mod fhir;
mod json;
mod merge;
mod read;
mod report;
mod section;
mod source;
mod text;
mod time;
mod value;
mod write;

use std::fmt;

use serde_json::Value;

pub use report::{Conflict, ConflictKind, DocumentReport, Entry, Format, Reason, Report, Skipped};
pub use section::Section;
pub use source::{Document, Request, Subject};

/// Most documents that go into one summary. Those after it, in the order of their ids, are listed in the report.
pub const DOCUMENTS_MAX: usize = 200;
/// Most bytes of one document (10 MiB).
pub const DOCUMENT_BYTES_MAX: usize = 10 << 20;
/// Most levels of elements in XML, or of objects and lists in JSON.
pub const DEPTH_MAX: usize = 100;
/// Most nodes (elements, texts, attributes aside) of one XML document.
pub const NODES_MAX: u32 = 500_000;
/// Most statements that are read from one document.
pub const DOCUMENT_STATEMENTS_MAX: usize = 2_000;
/// Most statements in one summary.
pub const STATEMENTS_MAX: usize = 5_000;
/// Most lines of the report on what was skipped of one document. Those after it are counted by section and reason.
pub const SKIPPED_MAX: usize = 500;
/// Most entries of one code, on one day where it has one, that are compared with each other. What is beyond is shown
/// unmerged, and listed in the report.
pub const ALIKE_MAX: usize = 100;
/// Most characters of a name. What is cut ends in `[...]`.
pub const NAME_CHARS_MAX: usize = 1_000;
/// Most characters of a text in a C-CDA document, where many entries may refer to one. What is cut ends in `[...]`.
pub const TEXT_CHARS_MAX: usize = 4_000;
/// Most codes of one concept.
pub const CODINGS_MAX: usize = 50;

/// A summary, and what became of what it was made of.
#[derive(Clone, PartialEq)]
pub struct Summary {
    /// A FHIR R4 Bundle of type `document`, whose first entry is the Composition.
    pub bundle: Value,
    /// What was read, merged, found to conflict, and skipped.
    pub report: Report,
}

/// Shows no patient data.
impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary").field("report", &self.report).finish_non_exhaustive()
    }
}

/// Makes one summary of documents about one person.
///
/// It never fails: a document or statement that cannot be used is listed in the report, and with no usable document the
/// summary says that nothing is known (IPS 1.1, "absent or unknown"). It does not check that the documents are about
/// the person; birth dates that differ are reported ([`ConflictKind::SubjectDiffers`]).
pub fn summarise(request: &Request, documents: &[Document<'_>]) -> Summary {
    let mut report = Report::default();
    let read = read::all(documents, &mut report);
    let mut entries = merge::merge(&read);
    let conflicts = conflict::find(&mut entries, &read, request.subject.as_ref(), &mut report);
    let bundle = write::bundle(request, &read, &entries, &conflicts, &mut report);
    Summary { bundle, report }
}
