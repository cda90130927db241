//! The narrative of sections, as XHTML (FHIR R4, Narrative). The templates escape what is put into them.

use askama::Template;
use serde_json::{Value, json};

/// A line of the table of a section. All texts are on one line or are shown so.
#[derive(Default)]
pub(super) struct Row {
    pub(super) item: String,
    pub(super) status: String,
    pub(super) date: String,
    pub(super) details: String,
    pub(super) sources: String,
    /// What contradicts it, in words; empty when nothing does.
    pub(super) conflict: String,
}

#[derive(Template)]
#[template(path = "section.html")]
struct Table<'a> {
    rows: &'a [Row],
}

/// What a reader is told about the summary.
#[derive(Default, Template)]
#[template(path = "notice.html")]
pub(super) struct Notice {
    /// What the summary is.
    pub(super) lead: String,
    /// A line for each source.
    pub(super) documents: Vec<String>,
    /// A line for each conflict.
    pub(super) conflicts: Vec<String>,
    /// A line for each reason for which something is not in the summary.
    pub(super) skipped: Vec<String>,
}

/// Writes the table of a section.
pub(super) fn table(rows: &[Row]) -> Value {
    written(&Table { rows })
}

/// Writes what a reader is told.
pub(super) fn notice(notice: &Notice) -> Value {
    written(notice)
}

fn written(template: &impl Template) -> Value {
    // Writing into a text cannot fail; if it did, an empty narrative would be wrong, and this one says so.
    let div = template.render().unwrap_or_else(|_| {
        r#"<div xmlns="http://www.w3.org/1999/xhtml"><p>The narrative could not be written.</p></div>"#.into()
    });
    json!({ "status": "generated", "div": div })
}
