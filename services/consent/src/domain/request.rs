//! What is asked: who, why, about whom, at which moment.

use signpost_common::id::{MemberId, SessionId};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::EmergencyReason,
};

use super::{
    criterion::Truth,
    rule::{DocumentFacts, Matcher},
};

/// Purposes for which care is given in an emergency.
const EMERGENCY_PURPOSES: [PurposeOfUse; 3] = [PurposeOfUse::Treat, PurposeOfUse::Etreat, PurposeOfUse::Btg];

/// Who asks, as the exchange verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Organisation.
    pub member_id: MemberId,
    /// The user's role.
    pub role: Role,
    /// Why they ask.
    pub purpose: PurposeOfUse,
    /// What they are to the patient.
    pub relationships: Vec<Relationship>,
}

impl Requester {
    /// True for who acts for the patient, proven or not.
    pub(super) fn is_representative(&self) -> bool {
        self.role == Role::Representative || self.relationships.contains(&Relationship::Representative)
    }

    /// Returns what the role says that they are to the patient, where nobody knows it to be so.
    pub(super) fn unproven(&self) -> Option<Relationship> {
        let claimed = match self.role {
            Role::Patient => Relationship::Myself,
            Role::Representative => Relationship::Representative,
            _ => return None,
        };
        (!self.relationships.contains(&claimed)).then_some(claimed)
    }
}

/// What a requester is to a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relationship {
    /// The patient.
    Myself,
    /// Who acts for the patient: a parent, a guardian, a proxy.
    Representative,
    /// Somebody of an organisation that has a record of the patient.
    Treating,
}

/// A question, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub requester: Requester,
    /// The moment, microseconds since 1970.
    pub now_us: i64,
    /// Emergency access.
    pub emergency: Emergency,
    /// Documents that emergency access is for.
    pub scope: Matcher,
}

/// Whether emergency access is open for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emergency {
    /// It is not.
    None,
    /// A session serves this requester on this person.
    Open(SessionId, EmergencyReason),
    /// As if a session were open, with whatever reason is needed: what could be seen in an emergency?
    Supposed,
}

impl Request {
    /// True when role and purpose are known; nothing is permitted without.
    pub(super) fn is_complete(&self) -> bool {
        self.requester.role != Role::Unspecified && self.requester.purpose != PurposeOfUse::Unspecified
    }

    /// True when emergency access has an effect: it is open, and the purpose is one of care.
    pub(super) fn is_emergency(&self) -> bool {
        self.emergency != Emergency::None && self.may_override()
    }

    /// True when a session would have an effect for this requester.
    pub(super) fn may_override(&self) -> bool {
        EMERGENCY_PURPOSES.contains(&self.requester.purpose)
    }

    /// True when a document is for certain in the scope of emergency access; outside of it there is none.
    pub(super) fn covers(&self, document: &DocumentFacts) -> bool {
        self.scope.of_document(&Facts { document, consented: false }) == Truth::Yes
    }

    /// Returns the same question without emergency access.
    pub(super) fn calm(&self) -> Self {
        Self { emergency: Emergency::None, ..self.clone() }
    }

    /// Returns the same question as if emergency access were open.
    pub(super) fn supposed(&self) -> Self {
        Self { emergency: Emergency::Supposed, scope: Matcher::default(), ..self.clone() }
    }
}

/// What criteria about a document look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) document: &'a DocumentFacts,
    /// True when the patient's own directives permit it.
    pub(super) consented: bool,
}
