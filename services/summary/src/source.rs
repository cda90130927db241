//! What a summary is made of: documents, and who it is about.

use std::fmt;

use jiff::{Timestamp, civil};

/// A document as its custodian released it.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// Its id in the exchange, unique among the documents of one summary.
    pub id: &'a str,
    /// The id of the member who keeps it.
    pub custodian: &'a str,
    /// Its kind, as a LOINC code such as `34133-9`; empty when it is not known.
    pub type_code: &'a str,
    /// Its title; empty when it has none.
    pub title: &'a str,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Its MIME type, as it was stated.
    pub mime_type: &'a str,
    /// The SHA-256 of its bytes.
    pub sha256: Option<[u8; 32]>,
    /// Its content.
    pub bytes: &'a [u8],
}

/// Shows no content and no title.
impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("id", &self.id)
            .field("custodian", &self.custodian)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// What the caller says about a summary.
#[derive(Debug, Clone)]
pub struct Request {
    /// The person. `None`: as the newest document that names a person says.
    pub subject: Option<Subject>,
    /// When the summary is made.
    pub assembled_at: Timestamp,
    /// The name of the exchange, for people to read.
    pub exchange: String,
}

/// The person whom a summary is about, in as few words as serve to tell them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Identifier as system and value, such as the exchange's id of the person.
    pub identifier: Option<(String, String)>,
    /// Family name.
    pub family: String,
    /// Given names.
    pub given: Vec<String>,
    /// Date of birth.
    pub birth_date: Option<civil::Date>,
    /// Administrative gender, in FHIR's codes: `male`, `female`, `other`, `unknown`. Anything else is left out.
    pub gender: String,
}

/// Shows no patient data.
impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject")
    }
}
