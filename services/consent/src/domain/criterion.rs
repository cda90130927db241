//! One thing that a rule may look at, and whether it holds.

use signpost_common::id::{DocumentId, MemberId};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::EmergencyReason,
};

use super::request::{Emergency, Facts, Relationship, Request};

/// Whether something holds. Of several the least counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Truth {
    No,
    Unknown,
    Yes,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// One thing that a rule looks at. Of what is listed, one must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criterion {
    /// Organisations that ask.
    Requesters(Vec<MemberId>),
    /// Roles that ask.
    Roles(Vec<Role>),
    /// Purposes of use.
    Purposes(Vec<PurposeOfUse>),
    /// What who asks is to the patient.
    Relationships(Vec<Relationship>),
    /// Emergency access is open for one of these reasons.
    Emergency(Vec<EmergencyReason>),
    /// The patient's own directives permit it.
    Consent,
    /// Members that hold the document.
    Custodians(Vec<MemberId>),
    /// Institutions of the document's author.
    Authors(Vec<String>),
    /// Type codes of the document.
    TypeCodes(Vec<String>),
    /// Class codes of the document.
    ClassCodes(Vec<String>),
    /// Labels that the document bears, in upper case.
    Labels(Vec<String>),
    /// Documents.
    Documents(Vec<DocumentId>),
    /// When the service began, microseconds since 1970.
    Period {
        /// At or after.
        from_us: Option<i64>,
        /// Before.
        to_us: Option<i64>,
    },
}

/// `None` in `fact` is a fact that is not known.
fn any_of<T: PartialEq>(wanted: &[T], fact: Option<&T>) -> Truth {
    fact.map_or(Truth::Unknown, |fact| wanted.contains(fact).into())
}

impl Criterion {
    /// The bit of the kind that names documents.
    pub(super) const DOCUMENTS_KIND: u16 = 1 << 11;

    /// True when it looks at who asks, false when it looks at the document.
    pub(crate) fn is_about_request(&self) -> bool {
        match self {
            Self::Requesters(_)
            | Self::Roles(_)
            | Self::Purposes(_)
            | Self::Relationships(_)
            | Self::Emergency(_) => true,
            Self::Consent
            | Self::Custodians(_)
            | Self::Authors(_)
            | Self::TypeCodes(_)
            | Self::ClassCodes(_)
            | Self::Labels(_)
            | Self::Documents(_)
            | Self::Period { .. } => false,
        }
    }

    /// Returns whether it holds of who asks; what looks at the document is not known.
    pub(super) fn of_request(&self, request: &Request) -> Truth {
        let requester = &request.requester;
        match self {
            Self::Requesters(members) => any_of(members, Some(&requester.member_id)),
            Self::Roles(roles) => {
                any_of(roles, Some(&requester.role).filter(|role| **role != Role::Unspecified))
            }
            Self::Purposes(purposes) => {
                let purpose = Some(&requester.purpose).filter(|p| **p != PurposeOfUse::Unspecified);
                any_of(purposes, purpose)
            }
            Self::Relationships(wanted) => {
                let claimed = requester.unproven().is_some_and(|claimed| wanted.contains(&claimed));
                match wanted.iter().any(|r| requester.relationships.contains(r)) {
                    false if claimed => Truth::Unknown,
                    holds => holds.into(),
                }
            }
            Self::Emergency(reasons) => match request.emergency {
                Emergency::None => Truth::No,
                Emergency::Open(_, reason) => (request.may_override() && reasons.contains(&reason)).into(),
                Emergency::Supposed => request.may_override().into(),
            },
            _ => Truth::Unknown,
        }
    }

    /// Returns whether it holds of a document; what looks at who asks is not known.
    pub(super) fn of_document(&self, facts: &Facts<'_>) -> Truth {
        let document = facts.document;
        match self {
            Self::Consent => facts.consented.into(),
            Self::Custodians(members) => any_of(members, Some(&document.custodian)),
            Self::Authors(authors) => any_of(authors, document.author.as_ref()),
            Self::TypeCodes(codes) => any_of(codes, document.type_code.as_ref()),
            Self::ClassCodes(codes) => any_of(codes, document.class_code.as_ref()),
            Self::Labels(labels) => document.labels.iter().any(|label| labels.contains(label)).into(),
            Self::Documents(documents) => {
                let named = |id: &DocumentId| documents.contains(id);
                (named(&document.id) || document.replaced.iter().any(named)).into()
            }
            Self::Period { from_us, to_us } => document.service_start_us.map_or(Truth::Unknown, |start| {
                (from_us.is_none_or(|from| from <= start) && to_us.is_none_or(|to| start < to)).into()
            }),
            _ => Truth::Unknown,
        }
    }

    /// True when it lists nothing.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Requesters(list) | Self::Custodians(list) => list.is_empty(),
            Self::Roles(list) => list.is_empty(),
            Self::Purposes(list) => list.is_empty(),
            Self::Relationships(list) => list.is_empty(),
            Self::Emergency(list) => list.is_empty(),
            Self::Consent => false,
            Self::Authors(list) | Self::TypeCodes(list) | Self::ClassCodes(list) | Self::Labels(list) => {
                list.is_empty()
            }
            Self::Documents(list) => list.is_empty(),
            Self::Period { from_us, to_us } => from_us.is_none() && to_us.is_none(),
        }
    }

    /// Returns a number of its kind: the order in which criteria stand.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Requesters(_) => 0,
            Self::Roles(_) => 1,
            Self::Purposes(_) => 2,
            Self::Relationships(_) => 3,
            Self::Emergency(_) => 4,
            Self::Consent => 5,
            Self::Custodians(_) => 6,
            Self::Authors(_) => 7,
            Self::TypeCodes(_) => 8,
            Self::ClassCodes(_) => 9,
            Self::Labels(_) => 10,
            Self::Documents(_) => 11,
            Self::Period { .. } => 12,
        }
    }

    /// Returns what it is about, in the plural.
    pub(crate) fn subject(&self) -> &'static str {
        match self {
            Self::Requesters(_) => "organisations",
            Self::Roles(_) => "roles",
            Self::Purposes(_) => "purposes of use",
            Self::Relationships(_) => "relationships to the patient",
            Self::Emergency(_) => "emergencies",
            Self::Consent => "what the patient permits",
            Self::Custodians(_) => "custodians",
            Self::Authors(_) => "authors",
            Self::TypeCodes(_) => "types of documents",
            Self::ClassCodes(_) => "categories of documents",
            Self::Labels(_) => "labels",
            Self::Documents(_) => "documents",
            Self::Period { .. } => "service periods",
        }
    }

    /// Says that it does not hold, or cannot be told to hold, to end a sentence about its rule.
    pub(super) fn unmet(&self, truth: Truth) -> String {
        match (self, truth) {
            (_, Truth::Unknown) => {
                format!("speaks of certain {}, and which applies here is not known", self.subject())
            }
            (Self::Emergency(_), _) => "asks for emergency access for a reason that it accepts".to_owned(),
            (Self::Consent, _) => "asks for the patient's consent, which is not there".to_owned(),
            _ => format!("speaks of other {}", self.subject()),
        }
    }
}
