//! Summaries are base FHIR R4, as an outside validator sees it: fhir.resources for Python, whose R4B models are those of
//! R4 for all resources that a summary has.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use signpost_summary::{Summary, summarise};

use crate::{
    build::{allergy, fhir, medication, request, summary},
    samples::samples,
};

/// Returns a Python that has the validator; `None`, with a message, when there is none.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("SIGNPOST_TEST_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| "python3".into());
    let needed = ["-c", "import fhir.resources.R4B.bundle"];
    let tried = Command::new(&python).args(needed).stderr(Stdio::null()).status();
    if tried.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!("skipped: no Python with fhir.resources; SIGNPOST_TEST_PYTHON may name one");
    None
}

/// Validates bundles, which are named in what is printed.
fn validate(python: &Path, bundles: &[(String, Summary)]) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validate.py"));
    for (at, (name, summary)) in bundles.iter().enumerate() {
        references_lead_somewhere(name, &summary.bundle);
        let path = folder.path().join(format!("{at}-{name}.json"));
        std::fs::write(&path, summary.bundle.to_string()).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Requires that each reference has a target in the bundle, and that each resource is reached from the Composition.
fn references_lead_somewhere(name: &str, bundle: &Value) {
    let entries = bundle["entry"].as_array().unwrap();
    let mut reached = vec![entries[0]["fullUrl"].as_str().unwrap()];
    let mut open = vec![&entries[0]["resource"]];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.values()),
            Value::String(text) if text.starts_with("urn:uuid:") => {
                let Some(target) = entries.iter().find(|entry| entry["fullUrl"] == *text) else { continue };
                if !reached.contains(&text.as_str()) {
                    reached.push(text);
                    open.push(&target["resource"]);
                }
            }
            _ => {}
        }
    }
    assert_eq!(reached.len(), entries.len(), "{name}: a resource is not reached");
    let mut open = vec![bundle];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                if let Some(reference) = fields.get("reference").and_then(Value::as_str) {
                    assert!(reached.contains(&reference), "{name}: {reference} leads nowhere");
                }
                open.extend(fields.values());
            }
            _ => {}
        }
    }
}

#[test]
fn summaries_of_small_documents_are_valid() {
    let Some(python) = python() else { return };
    let bare = |kind: &str, status: &str| {
        let field = if kind == "Immunization" { "vaccineCode" } else { "code" };
        let mut resource = json!({ "resourceType": kind, "status": status });
        resource[field] = json!({ "text": "X" });
        resource
    };
    let made = fhir(
        "doc-1",
        &[
            allergy(
                "1",
                "active",
                json!({ "note": [{ "text": "N" }], "recordedDate": "2020-01-01T00:00:00Z" }),
            ),
            allergy("1", "inactive", json!({})),
            medication("A", "unknown", json!({})),
            bare("Condition", ""),
            bare("Immunization", "completed"),
            bare("Observation", "final"),
            bare("DiagnosticReport", "final"),
            bare("Procedure", "unknown"),
        ],
    );
    let summaries =
        [("nothing".to_owned(), summarise(&request(), &[])), ("bare".to_owned(), summary(&[&made]))];
    validate(&python, &summaries);
}

#[test]
fn summaries_of_the_samples_are_valid() {
    let (Some(python), Some(samples)) = (python(), samples()) else { return };
    let mut summaries: Vec<_> = samples.iter().map(|(name, made)| (name.clone(), summary(&[made]))).collect();
    let all: Vec<_> = samples.iter().map(|(_, made)| made).collect();
    summaries.push(("all".into(), summary(&all)));
    validate(&python, &summaries);
}
