//! What a patient decided.

use std::fmt;

use signpost_common::id::{DirectiveId, RecordRef};

use super::rule::{Effect, Layer, Matcher, Rule, Validity};

/// A directive, as a member took it down. `Debug` names it and tells nothing of the patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Directive {
    /// Id.
    pub id: DirectiveId,
    /// The patient, at the member that took it down.
    pub patient: RecordRef,
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
    /// When it was made, microseconds since 1970.
    pub created_us: i64,
    /// Who took it down, as `member/user`.
    pub created_by: String,
    /// Who grants or denies.
    pub grantor: Grantor,
    /// The grantor's own signature.
    pub signature: Option<Signature>,
}

/// Who grants or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grantor {
    /// The patient.
    Patient,
    /// Who acts for the patient: a parent, a guardian, a proxy.
    Representative,
}

/// What makes a directive the grantor's own, evident to anybody who has the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    /// What was signed.
    pub statement: Vec<u8>,
    /// Ed25519 public key.
    pub public_key: Vec<u8>,
    /// Ed25519 signature.
    pub signature: Vec<u8>,
}

impl fmt::Debug for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directive({}, redacted)", self.id)
    }
}

impl Directive {
    /// True when something that was permitted before may be denied by it.
    pub fn may_deny(&self) -> bool {
        self.effect == Effect::Deny || !self.exceptions.is_empty()
    }

    /// Returns the rule that it was while it was in force, whether or not it was revoked since.
    pub fn as_it_stood(mut self) -> Rule {
        self.validity.revoked_us = None;
        self.into()
    }
}

impl From<Directive> for Rule {
    fn from(directive: Directive) -> Self {
        Self {
            record: Some(directive.patient),
            grantor: directive.grantor,
            matcher: directive.matcher,
            exceptions: directive.exceptions.into_iter().map(Into::into).collect(),
            overridable: directive.overridable,
            validity: directive.validity,
            created_us: directive.created_us,
            ..Self::new(&directive.id.to_string(), Layer::Patient, directive.effect)
        }
    }
}
