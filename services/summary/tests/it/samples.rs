//! Sample documents of HL7: none of their entries is lost.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use roxmltree::Node;
use serde_json::Value;
use signpost_summary::{Document, Reason, Section, Summary, summarise};

use crate::build::{Made, request};

/// Returns the folder of test data; `None`, with a message, when it is not there.
pub(crate) fn test_data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let folder =
        std::env::var_os("SIGNPOST_TEST_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    if !folder.join("ccda").is_dir() || !folder.join("ips").is_dir() {
        eprintln!("skipped: no test data; SIGNPOST_TEST_DATA may name its folder");
        return None;
    }
    Some(folder)
}

/// Returns the sample documents by name.
pub(crate) fn samples() -> Option<Vec<(String, Made)>> {
    let data = test_data()?;
    let mut found = vec![];
    for (folder, extension, mime) in
        [("ccda", "xml", "application/hl7-v3+xml"), ("ips", "json", "application/fhir+json")]
    {
        for entry in std::fs::read_dir(data.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|of| of == extension) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let made = Made::new(&name, mime, std::fs::read(&path).unwrap());
                found.push((name, made));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found.len(), 11);
    Some(found)
}

/// The codes of what a source states, by section: one list for each statement, which may be empty.
type Stated = BTreeMap<Section, Vec<Vec<String>>>;

/// Finds statements in a C-CDA document by their templates alone, wherever they are.
fn stated_in_ccda(text: &str) -> Stated {
    let sections = [
        ("7", Section::Allergies),
        ("16", Section::Medications),
        ("4", Section::Problems),
        ("52", Section::Immunizations),
        ("1", Section::Results),
        ("2", Section::Results),
        ("27", Section::Results),
        ("12", Section::Procedures),
        ("13", Section::Procedures),
        ("14", Section::Procedures),
    ];
    let document = roxmltree::Document::parse(text).unwrap();
    let mut found = Stated::new();
    for node in document.descendants() {
        let ids = node.children().filter(|child| child.tag_name().name() == "templateId");
        let ids: Vec<_> = ids.filter_map(|id| id.attribute("root")).collect();
        let section = sections
            .iter()
            .find(|(id, _)| ids.iter().any(|root| *root == format!("2.16.840.1.113883.10.20.22.4.{id}")));
        if let Some((_, section)) = section {
            found.entry(*section).or_default().push(codes_of(node, *section));
        }
    }
    found
}

/// Returns the codes by which a statement says what it is about.
fn codes_of(node: Node<'_, '_>, section: Section) -> Vec<String> {
    let below = match section {
        Section::Allergies => "playingEntity",
        Section::Medications | Section::Immunizations => "manufacturedMaterial",
        _ => "",
    };
    let at = match below {
        "" => Some(node),
        name => node.descendants().find(|node| node.tag_name().name() == name),
    };
    let name = if section == Section::Problems { "value" } else { "code" };
    let codes = at.into_iter().flat_map(|at| at.children()).filter(|child| child.tag_name().name() == name);
    codes.filter_map(|code| code.attribute("code")).map(str::to_owned).collect()
}

/// Finds statements in a FHIR bundle by the types of its resources.
fn stated_in_fhir(text: &str) -> Stated {
    let bundle: Value = serde_json::from_str(text).unwrap();
    let mut found = Stated::new();
    for resource in bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]) {
        let section = match resource["resourceType"].as_str().unwrap() {
            "AllergyIntolerance" => Section::Allergies,
            "MedicationStatement" | "MedicationRequest" => Section::Medications,
            "Condition" => Section::Problems,
            "Immunization" => Section::Immunizations,
            "Observation" | "DiagnosticReport" => Section::Results,
            "Procedure" => Section::Procedures,
            _ => continue,
        };
        let field = if section == Section::Immunizations { "vaccineCode" } else { "code" };
        let codings = resource[field]["coding"].as_array().into_iter().flatten();
        let codes = codings.filter_map(|coding| coding["code"].as_str()).map(str::to_owned).collect();
        found.entry(section).or_default().push(codes);
    }
    found
}

fn stated_in(document: &Document<'_>) -> Stated {
    let text = std::str::from_utf8(document.bytes).unwrap();
    if text.trim_start_matches('\u{feff}').starts_with('<') {
        stated_in_ccda(text)
    } else {
        stated_in_fhir(text)
    }
}

/// What became of the statements of a section.
struct Line {
    stated: usize,
    entries: usize,
    merged: usize,
    skipped: usize,
}

fn line(summary: &Summary, section: Section, stated: usize) -> Line {
    let entries: Vec<_> = summary.report.entries.iter().filter(|entry| entry.section == section).collect();
    let statements: usize = entries.iter().map(|entry| entry.statements).sum();
    let lost =
        summary.report.skipped.iter().filter(|skipped| {
            skipped.section == Some(section) && skipped.reason != Reason::ElementUnreadable
        });
    let skipped = lost.map(|skipped| skipped.count).sum();
    Line { stated, entries: entries.len(), merged: statements - entries.len(), skipped }
}

/// Returns all codes in the entries of a summary.
fn codes(summary: &Summary) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    let mut open = vec![&summary.bundle["entry"]];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                found.extend(fields.get("code").and_then(Value::as_str).map(str::to_owned));
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    found
}

/// Counts the entries of a section that state that there is none.
fn absences(summary: &Summary, section: Section) -> usize {
    let ids: Vec<_> = summary
        .report
        .entries
        .iter()
        .filter(|entry| entry.section == section)
        .map(|entry| &entry.id)
        .collect();
    let entries = summary.bundle["entry"].as_array().unwrap().iter();
    let of_section = entries.filter(|entry| ids.iter().any(|id| entry["fullUrl"] == id.as_str()));
    of_section.filter(|entry| entry.to_string().contains("absent-unknown-uv-ips")).count()
}

#[test]
fn no_entry_of_a_sample_is_lost() {
    let Some(samples) = samples() else { return };
    println!(
        "{:<46} {:<14} {:>6} {:>10} {:>6} {:>7}",
        "file", "section", "source", "in summary", "merged", "skipped"
    );
    for (name, made) in &samples {
        let document = made.document();
        let summary = summarise(&request(), &[document]);
        let stated = stated_in(&document);
        let known = codes(&summary);
        for section in Section::ALL {
            let statements = stated.get(&section).map_or(&[][..], Vec::as_slice);
            let line = line(&summary, section, statements.len());
            println!(
                "{name:<46} {:<14} {:>6} {:>10} {:>6} {:>7}",
                format!("{section:?}"),
                line.stated,
                line.entries,
                line.merged,
                line.skipped
            );
            assert_eq!(line.stated, line.entries + line.merged + line.skipped, "{name} {section:?}");
            let missing = statements
                .iter()
                .filter(|codes| !codes.is_empty() && !codes.iter().any(|code| known.contains(code)));
            // What was skipped need not be there, and "none known" has a code of its own; nothing else may be missing.
            let absences = absences(&summary, section);
            assert!(missing.count() <= line.skipped + absences, "{name} {section:?}: codes are missing");
        }
        for skipped in &summary.report.skipped {
            println!("    skipped: {} {} x{}", skipped.place, skipped.reason.text(), skipped.count);
        }
        for conflict in &summary.report.conflicts {
            println!("    conflict: {:?} {:?} x{}", conflict.section, conflict.kind, conflict.entries.len());
        }
    }
}

#[test]
fn all_samples_together_give_the_same_bytes_in_any_order() {
    let Some(samples) = samples() else { return };
    let mut documents: Vec<_> = samples.iter().map(|(_, made)| made.document()).collect();
    let first = summarise(&request(), &documents);
    documents.reverse();
    documents.rotate_left(4);
    let second = summarise(&request(), &documents);
    assert_eq!(first.bundle.to_string(), second.bundle.to_string());
    assert_eq!(first.report, second.report);
    let stated: usize = documents.iter().flat_map(|d| stated_in(d).into_values()).map(|of| of.len()).sum();
    let lines: Vec<_> = Section::ALL.into_iter().map(|section| line(&first, section, 0)).collect();
    let entries: usize = lines.iter().map(|line| line.entries).sum();
    let merged: usize = lines.iter().map(|line| line.merged).sum();
    let skipped: usize = lines.iter().map(|line| line.skipped).sum();
    println!("all eleven: {stated} stated, {entries} entries, {merged} merged, {skipped} skipped");
    assert_eq!(stated, entries + merged + skipped);
    assert!(merged > 20, "the samples repeat each other");
}
