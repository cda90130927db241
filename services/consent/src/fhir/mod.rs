//! FHIR Consent of R4 and R5, read as a patient's directive and written from one.
//!
//! The mapping is that of IHE PCF (Privacy Consent on FHIR 1.1, section 3:5.8): in R4 the root provision says what is
//! permitted or denied, and each provision inside of it is an exception that says the opposite. R5 says so at its root, by
//! `Consent.decision`, and all its provisions are exceptions. Exceptions have one level.
//!
//! What would change what is permitted, and cannot be said by a directive, is refused with its path and never left out; the
//! same holds on the way out. What only describes is read over: id, narrative, identifiers, category, sources, custodians of
//! the consent.
//!
//! - A label speaks of what bears it, as in IHE PCF 3:5.8.4. FHIR R4 also lets `R` stand for all that is less confidential,
//!   which PCF's own examples contradict.
//! - A time of day that is not stated is taken in UTC, and an end includes what it names, as FHIR's Period does.
//! - An R5 root has no scope. A directive that speaks of certain things alone can therefore be written as R4 only, save the
//!   one that agrees to a policy of PCF.
//! - Roles and relationships have no element of FHIR and are not written.
//!
//! Nothing here opens a database or a connection.

use std::fmt;

use signpost_common::id::{DirectiveId, RecordRef};

use crate::domain::{Directive, Effect, Grantor, Matcher, Validity};

mod json;
mod policy;
mod provision;
mod read;
mod time;
mod write;

pub use policy::{Implicit, implicit};
pub use read::read;
pub use write::write;

#[cfg(test)]
mod tests;

/// Release of FHIR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 4.0 and 4.3, in which Consent is the same.
    R4,
    /// 5.0.
    R5,
}

/// Why a consent cannot be read, or a directive cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: an element such as `Consent.provision.purpose[0].code`, or a field of the directive such as `match.roles`.
    pub path: String,
    /// Why, without any value that was read.
    pub reason: String,
}

impl Fault {
    fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.reason)
    }
}

impl std::error::Error for Fault {}

/// What a consent says. `Debug` tells nothing of the patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Imported {
    /// The patient as the consent refers to them: a reference, or an identifier as `system|value`.
    pub patient: String,
    /// What holds where it matches.
    pub effect: Effect,
    /// What it speaks of.
    pub matcher: Matcher,
    /// Where the opposite holds.
    pub exceptions: Vec<Matcher>,
    /// Whether emergency access goes past its denial.
    pub overridable: bool,
    /// When it holds.
    pub validity: Validity,
    /// Who grants or denies.
    pub grantor: Grantor,
    /// When the consent was given, microseconds since 1970, as precisely as it says.
    pub given_us: Option<i64>,
}

impl fmt::Debug for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imported({:?}, redacted)", self.effect)
    }
}

impl Imported {
    /// Returns the directive that it is for a patient who was looked up. It is as old as the consent says.
    pub fn directive(
        self,
        id: DirectiveId,
        patient: RecordRef,
        now_us: i64,
        created_by: String,
    ) -> Directive {
        let Self { patient: _, effect, matcher, exceptions, overridable, validity, grantor, given_us } = self;
        let created_us = given_us.map_or(now_us, |given_us| given_us.min(now_us));
        Directive {
            id,
            patient,
            effect,
            matcher,
            exceptions,
            overridable,
            validity,
            created_us,
            created_by,
            grantor,
            signature: None,
        }
    }
}

/// Extension that says whether emergency access goes past a denial; FHIR has no element for it.
pub const OVERRIDABLE_URL: &str = "urn:signpost:consent:overridable";

/// Policy that a directive is written under, as R4 Consent asks for one (its rule ppc-1).
const DIRECTIVE_POLICY: &str = "urn:signpost:consent:directive";

/// Begin of the system of a patient's identifier at a member; the member's id follows.
const MEMBER_SYSTEM: &str = "urn:signpost:member:";

/// Returns the member and the local id that an imported patient names; `None` for any other reference.
pub fn patient_of(patient: &str) -> Option<(&str, &str)> {
    patient.strip_prefix(MEMBER_SYSTEM)?.split_once('|')
}

/// Largest resource.
const JSON_BYTES_MAX: usize = 1 << 20;

/// Most things that one list has.
const LIST_MAX: usize = 64;

/// Most exceptions.
const EXCEPTIONS_MAX: usize = 16;

/// Longest code.
const CODE_CHARS_MAX: usize = 64;

/// Longest name of an author's institution.
const AUTHOR_CHARS_MAX: usize = 256;

mod system {
    //! Code systems.

    pub(super) const ACTION: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
    pub(super) const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    pub(super) const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/consentcategorycodes";
    pub(super) const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
    pub(super) const LOINC: &str = "http://loinc.org";
    pub(super) const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
    pub(super) const PURPOSE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
    pub(super) const SCOPE: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
}

/// Codes of v3 Confidentiality; all other labels are of v3 ActCode.
const CONFIDENTIALITY: [&str; 6] = ["L", "M", "N", "R", "U", "V"];
