//! What became of each document and each statement. Nothing here holds patient data.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::section::Section;

/// What became of the input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One for each document that was given, by id.
    pub documents: Vec<DocumentReport>,
    /// One for each entry that states something, in the order of the summary.
    pub entries: Vec<Entry>,
    /// What contradicts itself.
    pub conflicts: Vec<Conflict>,
    /// What is not in the summary.
    pub skipped: Vec<Skipped>,
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Format {
    /// HL7 CDA R2 in XML, read by the rules of C-CDA R2.1.
    Ccda,
    /// FHIR R4 in JSON.
    FhirJson,
}

/// What was found in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentReport {
    /// The document's id.
    pub id: String,
    /// How it was read; `None` when it could not be read.
    pub format: Option<Format>,
    /// Statements that went into the summary, by section.
    pub statements: BTreeMap<Section, usize>,
}

/// An entry of the summary and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The entry's full URL in the bundle (`urn:uuid:...`).
    pub id: String,
    /// Its section.
    pub section: Section,
    /// How many statements it stands for: those after the first were merged into it.
    pub statements: usize,
    /// Ids of the documents that state it, sorted.
    pub documents: Vec<String>,
}

/// In what statements contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConflictKind {
    /// One says that it holds, another that it ended, was refuted or was not done.
    StatusDiffers,
    /// The same item, with other facts: dose, onset, severity, lot.
    DetailDiffers,
    /// The same observation at the same time, with another value.
    ValueDiffers,
    /// One says that there is none, another lists one.
    NoneKnownButListed,
    /// Documents, or a document and the caller, state other birth dates or genders.
    SubjectDiffers,
}

impl ConflictKind {
    /// Returns it in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::StatusDiffers => "sources differ on whether this holds",
            Self::DetailDiffers => "sources differ on details",
            Self::ValueDiffers => "sources differ on the value",
            Self::NoneKnownButListed => "one source states that there is none, another lists one",
            Self::SubjectDiffers => "sources differ on the birth date or gender of the person",
        }
    }
}

/// Entries that contradict each other. All of them are in the summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// In what.
    pub kind: ConflictKind,
    /// The section; `None` for [`ConflictKind::SubjectDiffers`].
    pub section: Option<Section>,
    /// Full URLs of the entries.
    pub entries: Vec<String>,
    /// Ids of the documents that state them, sorted.
    pub documents: Vec<String>,
}

/// Why something is not in the summary, or not wholly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Whole document: there are more documents than one summary takes.
    TooManyDocuments,
    /// Whole document: another one has the same id.
    DocumentRepeated,
    /// Whole document: it has more bytes than are read.
    TooLarge,
    /// Whole document: its elements are nested deeper than is read.
    TooDeep,
    /// Whole document: it is not UTF-8.
    NotUtf8,
    /// Whole document: it is XML that is not well formed, or that declares entities.
    BrokenXml,
    /// Whole document: it is not JSON, or states a field twice.
    BrokenJson,
    /// Whole document: it is neither a C-CDA document nor FHIR JSON.
    FormatUnknown,
    /// Whole document: it is a FHIR Bundle of a type that lists no facts.
    BundleType,
    /// Whole document: it is about more than one person.
    SeveralPatients,
    /// There are more statements than are read.
    TooManyStatements,
    /// Its source marks it as entered in error or nullified.
    EnteredInError,
    /// It has no code and no text to say what it is.
    NoCode,
    /// Its source says that the information is missing (a null flavor, a statement of no information).
    NoInformation,
    /// Its status is missing where one is required, or is not one that the format has.
    StatusUnknown,
    /// It is planned, ordered or wanted; it has not happened.
    Planned,
    /// It was cancelled before it happened.
    Cancelled,
    /// It is a result that its source negates as a whole.
    Negated,
    /// It is about somebody or something else than the patient.
    NotAboutPatient,
    /// It has an extension that changes its meaning in a way that is not known here.
    ModifierUnknown,
    /// It is an entry of a kind that its section should not have.
    EntryUnknown,
    /// It is of a section or kind that a summary leaves out.
    LeftOut,
    /// It is in the summary, but there are too many entries of its code to find what contradicts it, or to merge it.
    NotCompared,
    /// An element of a statement could not be read; the statement is there without it.
    ElementUnreadable,
}

impl Reason {
    /// Returns it in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::TooManyDocuments => "there are more documents than one summary takes",
            Self::DocumentRepeated => "another document has the same id",
            Self::TooLarge => "the document is larger than is read",
            Self::TooDeep => "the document is nested deeper than is read",
            Self::NotUtf8 => "the document is not UTF-8",
            Self::BrokenXml => "the document is not well-formed XML without entities",
            Self::BrokenJson => "the document is not JSON that states each field once",
            Self::FormatUnknown => "the document is neither C-CDA nor FHIR JSON",
            Self::BundleType => "the bundle is not of a type that lists facts",
            Self::SeveralPatients => "the document is about more than one person",
            Self::TooManyStatements => "there are more statements than are read",
            Self::EnteredInError => "its source marks it as entered in error",
            Self::NoCode => "it does not say what it is about",
            Self::NoInformation => "its source states that there is no information",
            Self::StatusUnknown => "its status is missing or not known",
            Self::Planned => "it is planned and has not happened",
            Self::Cancelled => "it was cancelled",
            Self::Negated => "its source negates it",
            Self::NotAboutPatient => "it is not about the patient",
            Self::ModifierUnknown => "an extension changes its meaning in a way that is not known here",
            Self::EntryUnknown => "its kind is not known in its section",
            Self::LeftOut => "a summary leaves out its section or kind",
            Self::NotCompared => "it is shown, but there are too many like it to compare them all",
            Self::ElementUnreadable => "an element of it could not be read and was left out",
        }
    }
}

/// Something that is not in the summary, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// The document's id.
    pub document: String,
    /// The section that it would be in; `None` for a whole document and for what is left out.
    pub section: Option<Section>,
    /// Where it is in the document, by position and code; empty for the whole document.
    pub place: String,
    /// Why.
    pub reason: Reason,
    /// How many statements or elements.
    pub count: usize,
}
