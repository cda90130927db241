//! A fact: what one source states, in the elements of a FHIR R4 resource, cleaned and without references.

use serde_json::{Map, Value, json};

use crate::{
    report::{Format, Reason, Skipped},
    section::Section,
    value::system,
};

/// The kinds of resources that state facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Medication,
    Allergy,
    Condition,
    Immunization,
    Observation,
    Report,
    Procedure,
}

impl Kind {
    pub(crate) fn section(self) -> Section {
        match self {
            Self::Medication => Section::Medications,
            Self::Allergy => Section::Allergies,
            Self::Condition => Section::Problems,
            Self::Immunization => Section::Immunizations,
            Self::Observation | Self::Report => Section::Results,
            Self::Procedure => Section::Procedures,
        }
    }

    pub(crate) fn resource_type(self) -> &'static str {
        match self {
            Self::Medication => "MedicationStatement",
            Self::Allergy => "AllergyIntolerance",
            Self::Condition => "Condition",
            Self::Immunization => "Immunization",
            Self::Observation => "Observation",
            Self::Report => "DiagnosticReport",
            Self::Procedure => "Procedure",
        }
    }

    /// The element that says what the fact is about.
    pub(crate) fn code_field(self) -> &'static str {
        match self {
            Self::Medication => "medicationCodeableConcept",
            Self::Immunization => "vaccineCode",
            _ => "code",
        }
    }

    /// The element that says whom the fact is about.
    pub(crate) fn subject_field(self) -> &'static str {
        match self {
            Self::Allergy | Self::Immunization => "patient",
            _ => "subject",
        }
    }

    /// The elements that refer to facts that belong to this one.
    pub(crate) fn member_field(self) -> Option<&'static str> {
        match self {
            Self::Observation => Some("hasMember"),
            Self::Report => Some("result"),
            _ => None,
        }
    }

    /// The kind that states the absence of anything in a section.
    pub(crate) fn of(section: Section) -> Self {
        match section {
            Section::Medications => Self::Medication,
            Section::Allergies => Self::Allergy,
            Section::Problems => Self::Condition,
            Section::Immunizations => Self::Immunization,
            Section::Results => Self::Observation,
            Section::Procedures => Self::Procedure,
        }
    }
}

/// What one source states once.
#[derive(Clone)]
pub(crate) struct Fact {
    pub(crate) kind: Kind,
    /// Elements of the resource, without type, id, subject and references. A status that is not known is missing.
    pub(crate) body: Map<String, Value>,
    /// Its number in its document, by which others refer to it.
    pub(crate) number: usize,
    /// Numbers of the facts that belong to it.
    pub(crate) members: Vec<usize>,
}

impl Fact {
    pub(crate) fn code(&self) -> Option<&Value> {
        self.body.get(self.kind.code_field())
    }
}

/// A document that was read.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) facts: Vec<Fact>,
    /// A clean Patient resource, without id.
    pub(crate) patient: Option<Map<String, Value>>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) format: Option<Format>,
    /// Numbers that were given to facts.
    next: usize,
}

impl Read {
    pub(crate) fn of(format: Format) -> Self {
        Self { format: Some(format), ..Self::default() }
    }

    pub(crate) fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// Notes what is not in the summary. The document's id is set by who reads all documents.
    pub(crate) fn skip(&mut self, section: Option<Section>, place: &str, reason: Reason, count: usize) {
        let place = if self.skipped.len() < crate::SKIPPED_MAX { place } else { "more" };
        let alike = |skipped: &&mut Skipped| {
            skipped.place == place && skipped.section == section && skipped.reason == reason
        };
        match self.skipped.iter_mut().skip(crate::SKIPPED_MAX).find(alike) {
            Some(more) => more.count += count,
            None => {
                let (document, place) = (String::new(), place.to_owned());
                self.skipped.push(Skipped { document, section, place, reason, count });
            }
        }
    }

    /// Adds a fact, if its code says what it is about and there is room. Returns whether it did.
    pub(crate) fn add(&mut self, place: &str, mut fact: Fact) -> bool {
        let section = Some(fact.kind.section());
        if self.facts.len() >= crate::DOCUMENT_STATEMENTS_MAX {
            self.skip(section, place, Reason::TooManyStatements, 1);
            return false;
        }
        let Some(code) = fact.code() else {
            self.skip(section, place, Reason::NoCode, 1);
            return false;
        };
        if let Some(absence) = absence_stated(fact.kind.section(), code) {
            fact = absence_of(fact.kind.section(), absence, fact.number);
        }
        self.facts.push(fact);
        true
    }
}

/// Codes of SNOMED CT that state an absence, with the code of IPS for the same (IPS 1.1, AbsentOrUnknownSNOMEDUvIps).
const SNOMED_ABSENCES: &[(&str, &str)] = &[
    ("716186003", "no-known-allergies"),
    ("160244002", "no-known-allergies"),
    ("409137002", "no-known-medication-allergies"),
    ("428607008", "no-known-environmental-allergies"),
    ("429625007", "no-known-food-allergies"),
    ("787481004", "no-known-medications"),
    ("160245001", "no-known-problems"),
    ("787482006", "no-known-immunizations"),
    ("787480003", "no-known-procedures"),
];

/// The codes of IPS for an absence, with their sections and names (IPS 1.1, absent-unknown-uv-ips).
const ABSENCES: &[(Section, &str, &str)] = &[
    (Section::Allergies, "no-allergy-info", "No information about allergies"),
    (Section::Allergies, "no-known-allergies", "No known allergies"),
    (Section::Allergies, "no-known-medication-allergies", "No known medication allergies"),
    (Section::Allergies, "no-known-environmental-allergies", "No known environmental allergies"),
    (Section::Allergies, "no-known-food-allergies", "No known food allergies"),
    (Section::Medications, "no-medication-info", "No information about medications"),
    (Section::Medications, "no-known-medications", "No known medications"),
    (Section::Problems, "no-problem-info", "No information about problems"),
    (Section::Problems, "no-known-problems", "No known problems"),
    (Section::Immunizations, "no-immunization-info", "No information about immunizations"),
    (Section::Immunizations, "no-known-immunizations", "No known immunizations"),
    (Section::Procedures, "no-procedure-info", "No information about past history of procedures"),
    (Section::Procedures, "no-known-procedures", "No known procedures"),
];

/// Returns the code of IPS for the absence that a code states.
pub(crate) fn absence_stated(section: Section, code: &Value) -> Option<&'static str> {
    let codings = code.get("coding")?.as_array()?;
    codings.iter().find_map(|coding| {
        let code = coding.get("code")?.as_str()?;
        let found = match coding.get("system")?.as_str()? {
            system::ABSENT_OR_UNKNOWN => code,
            system::SNOMED => SNOMED_ABSENCES.iter().find(|(snomed, _)| *snomed == code)?.1,
            _ => return None,
        };
        ABSENCES.iter().find(|(of, absence, _)| *of == section && *absence == found).map(|(_, code, _)| *code)
    })
}

/// True for a code that states that nothing is known, rather than that there is none.
pub(crate) fn is_no_information(absence: &str) -> bool {
    absence.ends_with("-info")
}

/// Makes the fact that there is none, or that nothing is known.
pub(crate) fn absence_of(section: Section, code: &str, number: usize) -> Fact {
    let kind = Kind::of(section);
    let display = ABSENCES.iter().find(|(_, absence, _)| *absence == code).map_or(code, |(_, _, name)| name);
    let coding = json!([{ "system": system::ABSENT_OR_UNKNOWN, "code": code, "display": display }]);
    let mut body = Map::new();
    body.insert(kind.code_field().into(), json!({ "coding": coding, "text": display }));
    if section == Section::Immunizations {
        body.insert("status".into(), "not-done".into());
    }
    Fact { kind, body, number, members: vec![] }
}
