//! Rules are rows: an effect, what it speaks of, where the opposite holds, and since when.
//!
//! Whether a rule speaks of a request has three answers. What is not known counts for a denial and never for a
//! permit.

use signpost_common::id::{DocumentId, MemberId, RecordRef};
use signpost_proto::common::v1::{PurposeOfUse, Role};

use super::Requester;

/// Whether something may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It may not.
    Deny,
    /// It may.
    Permit,
}

impl Effect {
    /// Returns the opposite.
    #[must_use]
    pub fn inverted(self) -> Self {
        match self {
            Self::Deny => Self::Permit,
            Self::Permit => Self::Deny,
        }
    }
}

/// Where a rule comes from, in the order in which layers are tried: the first layer with a rule that matches decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The patient.
    Patient,
    /// The network.
    Network,
    /// What holds when nobody said anything.
    Default,
}

impl Layer {
    /// Returns the name that callers see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Network => "network",
            Self::Default => "default",
        }
    }

    /// True where emergency access may go past a denial that is marked for it.
    pub fn yields_to_emergency(self) -> bool {
        match self {
            Self::Patient | Self::Network => true,
            Self::Default => false,
        }
    }
}

/// A rule, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Stable id: that of the directive, or a name such as `network:opt-out`.
    pub id: String,
    /// Where it comes from.
    pub layer: Layer,
    /// The record that a directive hangs on; none for a rule of the network.
    pub record: Option<RecordRef>,
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
}

/// When a rule holds, microseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Validity {
    /// From this moment.
    pub from_us: Option<i64>,
    /// Until before this moment.
    pub to_us: Option<i64>,
    /// When it was revoked. A revoked rule does not hold at any time.
    pub revoked_us: Option<i64>,
}

impl Validity {
    /// True when the rule holds at a moment.
    pub fn holds(&self, now_us: i64) -> bool {
        let begun = self.from_us.is_none_or(|from| from <= now_us);
        let ended = self.to_us.is_some_and(|to| to <= now_us);
        begun && !ended && self.revoked_us.is_none()
    }
}

/// What a decision needs to know of a document. A code or a time that is absent is not known; an empty list of labels
/// says that the document bears none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFacts {
    /// Id of the pointer.
    pub id: DocumentId,
    /// Member that holds it.
    pub custodian: MemberId,
    /// Type code.
    pub type_code: Option<String>,
    /// Class code.
    pub class_code: Option<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// When the service began, microseconds since 1970.
    pub service_start_us: Option<i64>,
}

/// What a rule speaks of. A list that is empty speaks of everything; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Organisations that ask.
    pub requesters: Vec<MemberId>,
    /// Roles that ask.
    pub roles: Vec<Role>,
    /// Purposes of use.
    pub purposes: Vec<PurposeOfUse>,
    /// Members that hold the document.
    pub custodians: Vec<MemberId>,
    /// Type codes of the document.
    pub type_codes: Vec<String>,
    /// Class codes of the document.
    pub class_codes: Vec<String>,
    /// Labels, any of which the document bears.
    pub labels: Vec<String>,
    /// Documents.
    pub documents: Vec<DocumentId>,
    /// Service began at or after, microseconds since 1970.
    pub service_from_us: Option<i64>,
    /// Service began before, microseconds since 1970.
    pub service_to_us: Option<i64>,
}

/// Whether a rule speaks of a request: the least of its criteria decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Truth {
    No,
    Unknown,
    Yes,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// The criteria that are set, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Criteria(u16);

impl Criteria {
    fn count(self) -> u32 {
        self.0.count_ones()
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `None` in `fact` is a fact that is not known.
fn any_of<T: PartialEq>(wanted: &[T], fact: Option<&T>) -> Truth {
    match fact {
        _ if wanted.is_empty() => Truth::Yes,
        None => Truth::Unknown,
        Some(fact) => wanted.contains(fact).into(),
    }
}

impl Matcher {
    fn holds(&self, requester: &Requester, document: &DocumentFacts) -> Truth {
        let role = (requester.role != Role::Unspecified).then_some(&requester.role);
        let purpose = (requester.purpose != PurposeOfUse::Unspecified).then_some(&requester.purpose);
        let labelled = self.labels.is_empty()
            || document.labels.iter().any(|l| self.labels.iter().any(|m| m.eq_ignore_ascii_case(l)));
        [
            any_of(&self.requesters, Some(&requester.member_id)),
            any_of(&self.roles, role),
            any_of(&self.purposes, purpose),
            any_of(&self.custodians, Some(&document.custodian)),
            any_of(&self.type_codes, document.type_code.as_ref()),
            any_of(&self.class_codes, document.class_code.as_ref()),
            labelled.into(),
            any_of(&self.documents, Some(&document.id)),
            self.in_period(document.service_start_us),
        ]
        .into_iter()
        .min()
        .unwrap_or(Truth::Yes)
    }

    fn in_period(&self, service_start_us: Option<i64>) -> Truth {
        if self.service_from_us.is_none() && self.service_to_us.is_none() {
            return Truth::Yes;
        }
        let Some(start) = service_start_us else { return Truth::Unknown };
        let begun = self.service_from_us.is_none_or(|from| from <= start);
        let ended = self.service_to_us.is_some_and(|to| to <= start);
        (begun && !ended).into()
    }

    fn criteria(&self) -> Criteria {
        let set = [
            !self.requesters.is_empty(),
            !self.roles.is_empty(),
            !self.purposes.is_empty(),
            !self.custodians.is_empty(),
            !self.type_codes.is_empty(),
            !self.class_codes.is_empty(),
            !self.labels.is_empty(),
            !self.documents.is_empty(),
            self.service_from_us.is_some(),
            self.service_to_us.is_some(),
        ];
        Criteria(set.iter().rev().fold(0, |bits, set| bits << 1 | u16::from(*set)))
    }
}

/// What a rule says on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) effect: Effect,
    /// Criteria that were met: how narrow the match is.
    pub(super) narrow: u32,
    /// True when an exception made it the opposite of the rule's effect.
    pub(super) excepted: bool,
}

impl Rule {
    /// Returns what the rule says on a request, `None` when it does not speak of it.
    pub(super) fn verdict(&self, requester: &Requester, document: &DocumentFacts) -> Option<Verdict> {
        let speaks = |matcher: &Matcher, effect| match matcher.holds(requester, document) {
            Truth::Yes => true,
            Truth::Unknown => effect == Effect::Deny,
            Truth::No => false,
        };
        if !speaks(&self.matcher, self.effect) {
            return None;
        }
        let own = self.matcher.criteria();
        let excepted = self.effect.inverted();
        let met = self.exceptions.iter().filter(|exception| speaks(exception, excepted));
        match met.map(|exception| own.and(exception.criteria()).count()).max() {
            Some(narrow) => Some(Verdict { effect: excepted, narrow, excepted: true }),
            None => Some(Verdict { effect: self.effect, narrow: own.count(), excepted: false }),
        }
    }

    /// Returns how narrow the rule is where none of its exceptions matches.
    pub(super) fn narrow(&self) -> u32 {
        self.matcher.criteria().count()
    }
}
