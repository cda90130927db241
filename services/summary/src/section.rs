//! The sections of a summary and their codes (IPS 1.1, Composition-uv-ips).

use serde::Serialize;

/// A section that a summary can have, in the order in which it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// What the person takes or took.
    Medications,
    /// Allergies and intolerances.
    Allergies,
    /// Problems and diagnoses.
    Problems,
    /// Vaccinations given or refused.
    Immunizations,
    /// Laboratory results, vital signs and other findings, and reports on them.
    Results,
    /// Procedures done.
    Procedures,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Medications,
        Self::Allergies,
        Self::Problems,
        Self::Immunizations,
        Self::Results,
        Self::Procedures,
    ];

    /// Returns its LOINC code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Medications => "10160-0",
            Self::Allergies => "48765-2",
            Self::Problems => "11450-4",
            Self::Immunizations => "11369-6",
            Self::Results => "30954-2",
            Self::Procedures => "47519-4",
        }
    }

    /// Returns the name of its LOINC code.
    pub fn display(self) -> &'static str {
        match self {
            Self::Medications => "History of Medication use Narrative",
            Self::Allergies => "Allergies and adverse reactions Document",
            Self::Problems => "Problem list - Reported",
            Self::Immunizations => "History of Immunization Narrative",
            Self::Results => "Relevant diagnostic tests/laboratory data Narrative",
            Self::Procedures => "History of Procedures Document",
        }
    }

    /// Returns its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Medications => "Medication Summary",
            Self::Allergies => "Allergies and Intolerances",
            Self::Problems => "Problem List",
            Self::Immunizations => "Immunizations",
            Self::Results => "Results",
            Self::Procedures => "Procedures",
        }
    }

    /// Returns the code for "nothing is known" and its name, for a section that a summary must have.
    pub(crate) fn no_information(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Medications => Some(("no-medication-info", "No information about medications")),
            Self::Allergies => Some(("no-allergy-info", "No information about allergies")),
            Self::Problems => Some(("no-problem-info", "No information about problems")),
            Self::Immunizations | Self::Results | Self::Procedures => None,
        }
    }

    /// Returns the code for "it is known that there is none" and its name.
    pub(crate) fn none_known(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Medications => Some(("no-known-medications", "No known medications")),
            Self::Allergies => Some(("no-known-allergies", "No known allergies")),
            Self::Problems => Some(("no-known-problems", "No known problems")),
            Self::Immunizations => Some(("no-known-immunizations", "No known immunizations")),
            Self::Procedures => Some(("no-known-procedures", "No known procedures")),
            Self::Results => None,
        }
    }
}
