//! Reads C-CDA R2.1 (HL7 CDA R2, XML): the entries of all sections whose templates, or else whose section, say what
//! they state. The mapping follows HL7's "C-CDA on FHIR", in the parts that a summary keeps.
//!
//! Narrative text is read only where an entry refers to it. Entities cannot be declared: a document type is refused.

mod allergy;
mod data;
mod medication;
mod patient;
mod problem;
mod procedure;
mod result;
mod xml;

use std::collections::{HashMap, HashSet};

use roxmltree::{Document, Node, ParsingOptions};

use crate::{
    DEPTH_MAX, NODES_MAX,
    fact::{Fact, Kind, Read},
    report::{Format, Reason},
    section::Section,
};

use xml::{attribute, child, children, has_template};

/// A document while it is read.
struct Reader<'a> {
    read: Read,
    /// Narrative texts by their `ID`, to which entries refer.
    texts: HashMap<&'a str, Node<'a, 'a>>,
}

/// What a clinical statement of an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    AllergyConcern,
    Allergy,
    ProblemConcern,
    Problem,
    MedicationAct,
    Medication,
    Immunization,
    Results,
    Result,
    Vitals,
    Vital,
    Procedure,
}

impl Shape {
    fn section(self) -> Section {
        match self {
            Self::AllergyConcern | Self::Allergy => Section::Allergies,
            Self::ProblemConcern | Self::Problem => Section::Problems,
            Self::MedicationAct | Self::Medication => Section::Medications,
            Self::Immunization => Section::Immunizations,
            Self::Results | Self::Result | Self::Vitals | Self::Vital => Section::Results,
            Self::Procedure => Section::Procedures,
        }
    }
}

/// Templates of entries (C-CDA R2.1, volume 2, section 3), without their common root.
const TEMPLATES: &[(&str, Shape)] = &[
    ("30", Shape::AllergyConcern),
    ("7", Shape::Allergy),
    ("3", Shape::ProblemConcern),
    // Diagnoses: discharge, admission, preoperative, postprocedure.
    ("33", Shape::ProblemConcern),
    ("34", Shape::ProblemConcern),
    ("65", Shape::ProblemConcern),
    ("51", Shape::ProblemConcern),
    ("4", Shape::Problem),
    // Medications at discharge and at admission.
    ("35", Shape::MedicationAct),
    ("36", Shape::MedicationAct),
    ("16", Shape::Medication),
    ("52", Shape::Immunization),
    ("1", Shape::Results),
    ("2", Shape::Result),
    ("26", Shape::Vitals),
    ("27", Shape::Vital),
    ("12", Shape::Procedure),
    ("13", Shape::Procedure),
    ("14", Shape::Procedure),
];

/// Returns what an entry of a section is by the section alone, for documents without templates.
fn by_section(code: &str, element: &str) -> Option<Shape> {
    Some(match (code, element) {
        ("48765-2", "act") => Shape::AllergyConcern,
        ("48765-2", "observation") => Shape::Allergy,
        ("11450-4" | "11348-0" | "46241-6" | "42347-5" | "11535-2" | "10219-4" | "10218-6", "act") => {
            Shape::ProblemConcern
        }
        ("11450-4" | "11348-0" | "46241-6" | "42347-5" | "11535-2" | "55109-3", "observation") => {
            Shape::Problem
        }
        ("10160-0" | "10183-2" | "75311-1" | "42346-7" | "29549-3", "act") => Shape::MedicationAct,
        ("10160-0" | "10183-2" | "75311-1" | "42346-7" | "29549-3", "substanceAdministration") => {
            Shape::Medication
        }
        ("11369-6", "substanceAdministration") => Shape::Immunization,
        ("30954-2", "organizer") => Shape::Results,
        ("30954-2", "observation") => Shape::Result,
        ("8716-3", "organizer") => Shape::Vitals,
        ("8716-3", "observation") => Shape::Vital,
        ("47519-4", "procedure" | "observation" | "act") => Shape::Procedure,
        _ => return None,
    })
}

/// Returns the section of a summary to which a section of a document belongs by its code.
fn section_of(code: &str) -> Option<Section> {
    ["act", "observation", "organizer", "substanceAdministration", "procedure"]
        .into_iter()
        .find_map(|element| by_section(code, element))
        .map(Shape::section)
}

/// Reads a document; an error says why none of it can be used.
pub(crate) fn read(text: &str) -> Result<Read, Reason> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => Reason::TooLarge,
        _ => Reason::BrokenXml,
    })?;
    let root = document.root_element();
    if root.tag_name().name() != "ClinicalDocument" {
        return Err(Reason::FormatUnknown);
    }
    if depth(&document) > DEPTH_MAX {
        return Err(Reason::TooDeep);
    }
    if children(root, "recordTarget").count() > 1 {
        return Err(Reason::SeveralPatients);
    }
    let mut reader = Reader { read: Read::of(Format::Ccda), texts: texts(root) };
    reader.read.patient = patient::read(root);
    for section in root.descendants().filter(|node| node.has_tag_name((xml::HL7, "section"))) {
        reader.section(section);
    }
    Ok(reader.read)
}

/// Finds narrative texts by their `ID`. One that two elements have leads to neither.
fn texts<'a>(root: Node<'a, 'a>) -> HashMap<&'a str, Node<'a, 'a>> {
    let mut found = HashMap::new();
    let mut repeated = HashSet::new();
    for node in root.descendants() {
        let Some(id) = attribute(node, "ID") else { continue };
        if found.insert(id, node).is_some() {
            repeated.insert(id);
        }
    }
    found.retain(|id, _| !repeated.contains(id));
    found
}

/// Returns how deep elements are nested.
fn depth(document: &Document<'_>) -> usize {
    let mut depths: HashMap<_, usize> = HashMap::new();
    let mut deepest = 0;
    for node in document.root().descendants().filter(Node::is_element) {
        let above = node.parent().and_then(|parent| depths.get(&parent.id())).copied().unwrap_or(0);
        depths.insert(node.id(), above + 1);
        deepest = deepest.max(above + 1);
    }
    deepest
}

/// Shows a code of a section in a report only when it is one: somebody else wrote it.
fn shown(code: &str) -> &str {
    let plain = !code.is_empty() && code.len() <= 16;
    if plain && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') { code } else { "?" }
}

impl<'a> Reader<'a> {
    /// Reads the entries of a section.
    fn section(&mut self, section: Node<'a, 'a>) {
        let code = child(section, "code").and_then(|code| attribute(code, "code")).unwrap_or_default();
        let mut left_out = 0;
        for (at, entry) in children(section, "entry").enumerate() {
            let place = format!("section {} entry {}", shown(code), at + 1);
            let Some(statement) = entry.children().find(Node::is_element) else {
                self.read.skip(section_of(code), &place, Reason::NoInformation, 1);
                continue;
            };
            let by_template =
                || TEMPLATES.iter().find(|(id, _)| has_template(statement, id)).map(|(_, shape)| *shape);
            let element = statement.tag_name().name();
            let shape = by_template().or_else(|| by_section(code, element));
            match (shape, section_of(code)) {
                (Some(shape), _) => self.statement(&place, shape, statement),
                (None, Some(section)) => self.read.skip(Some(section), &place, Reason::EntryUnknown, 1),
                (None, None) => left_out += 1,
            }
        }
        if left_out > 0 {
            self.read.skip(None, &format!("section {}", shown(code)), Reason::LeftOut, left_out);
        }
    }

    /// Reads a statement, and those in it.
    fn statement(&mut self, place: &str, shape: Shape, node: Node<'a, 'a>) {
        if let Err(reason) = happened(shape, node) {
            return self.read.skip(Some(shape.section()), place, reason, 1);
        }
        match shape {
            Shape::AllergyConcern => self.inner(place, Shape::Allergy, node, "observation"),
            Shape::ProblemConcern => self.inner(place, Shape::Problem, node, "observation"),
            Shape::MedicationAct => self.inner(place, Shape::Medication, node, "substanceAdministration"),
            Shape::Results | Shape::Vitals => result::organizer(self, place, shape, node),
            _ => {
                self.add(place, shape, node);
            }
        }
    }

    /// Reads the statements that a concern or an act is about. Others in it, such as its severity, have other types.
    fn inner(&mut self, place: &str, shape: Shape, act: Node<'a, 'a>, element: &str) {
        let mut count = 0;
        for relation in children(act, "entryRelationship") {
            let Some(node) = child(relation, element) else { continue };
            // What says something about the act rather than being its subject is turned around.
            if attribute(relation, "typeCode") != Some("SUBJ")
                || attribute(relation, "inversionInd") == Some("true")
            {
                continue;
            }
            count += 1;
            self.statement(&format!("{place} statement {count}"), shape, node);
        }
        if count == 0 {
            self.read.skip(Some(shape.section()), place, Reason::NoInformation, 1);
        }
    }

    /// Adds what a statement is read to, or the reason why not. Returns its number.
    fn add(&mut self, place: &str, shape: Shape, node: Node<'a, 'a>) -> Option<usize> {
        let read = match shape {
            Shape::AllergyConcern | Shape::Allergy => allergy::read(self, node),
            Shape::ProblemConcern | Shape::Problem => problem::read(self, node),
            Shape::MedicationAct | Shape::Medication => medication::read(self, node),
            Shape::Immunization => medication::immunization(self, node),
            Shape::Procedure => procedure::read(self, node),
            Shape::Results | Shape::Result => result::read(self, node, "laboratory"),
            Shape::Vitals | Shape::Vital => result::read(self, node, "vital-signs"),
        };
        let (kind, mut body) = match read {
            Ok(body) => body,
            Err(reason) => {
                self.read.skip(Some(shape.section()), place, reason, 1);
                return None;
            }
        };
        if let Some(identifiers) = data::identifiers(node) {
            body.insert("identifier".into(), identifiers);
        }
        let number = self.read.number();
        self.read.add(place, Fact { kind, body, number, members: vec![] });
        Some(number)
    }
}

/// The kind and the elements of a fact.
type Body = (Kind, serde_json::Map<String, serde_json::Value>);

/// Refuses what has not happened: wishes, orders, plans, and what its source nullified.
fn happened(shape: Shape, node: Node<'_, '_>) -> Result<(), Reason> {
    if attribute(node, "nullFlavor").is_some() {
        return Err(Reason::NoInformation);
    }
    let mood = attribute(node, "moodCode").unwrap_or("EVN");
    // What a patient is to take is stated as an intent (C-CDA R2.1, Medication Activity).
    let is_event = mood == "EVN" || (mood == "INT" && shape == Shape::Medication);
    if !is_event {
        return Err(Reason::Planned);
    }
    match child(node, "statusCode").and_then(|status| attribute(status, "code")) {
        Some("nullified") => Err(Reason::EnteredInError),
        _ if child(node, "subject").is_some() => Err(Reason::NotAboutPatient),
        _ => Ok(()),
    }
}
