//! Rules are rows: an effect, what it speaks of, where it does not hold, what must accompany a release, and since when.
//!
//! Whether a rule speaks of a request has three answers. What is not known counts for a denial and never for a
//! permit.

use signpost_common::id::{DocumentId, MemberId, RecordRef};

use super::{
    criterion::{Criterion, Truth},
    directive::Grantor,
    request::{Facts, Request},
};

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

/// Where a rule comes from, in the order in which layers are tried: the first layer with a rule that speaks decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Law: it denies, and nobody goes past it.
    Statutory,
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
            Self::Statutory => "statutory",
            Self::Patient => "patient",
            Self::Network => "network",
            Self::Default => "default",
        }
    }

    /// True where emergency access may go past a denial that is marked for it.
    pub fn yields_to_emergency(self) -> bool {
        match self {
            Self::Patient | Self::Network => true,
            Self::Statutory | Self::Default => false,
        }
    }

    /// True where an exception says the opposite of its rule, as a nested provision does in IHE PCF. Elsewhere an exception
    /// takes its rule back, and other rules decide: law that no longer forbids does not yet permit.
    pub fn inverts(self) -> bool {
        self == Self::Patient
    }
}

/// What must accompany a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obligation {
    /// A text that goes with the document, such as that of 42 CFR 2.32.
    RedisclosureNotice(String),
    /// What bears this label is to be masked before the document leaves its custodian.
    Mask(String),
    /// Somebody is to be told of the release.
    Notify(Party),
    /// The document may be used for this purpose of use alone, by its HL7 code.
    PurposeLimit(String),
    /// The document is to be erased so many days after its release.
    EraseAfterDays(u32),
}

/// Who is told of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The patient.
    Patient,
    /// The custodian's privacy officer.
    PrivacyOfficer,
}

impl Obligation {
    /// Returns the name that callers see.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RedisclosureNotice(_) => "REDISCLOSURE_NOTICE",
            Self::Mask(_) => "MASK",
            Self::Notify(_) => "NOTIFY",
            Self::PurposeLimit(_) => "PURPOSE_LIMIT",
            Self::EraseAfterDays(_) => "ERASE_AFTER_DAYS",
        }
    }

    /// Reads a duty from its name and its text or parameter.
    pub fn read(kind: &str, value: &str) -> Option<Self> {
        Some(match (kind, value) {
            ("REDISCLOSURE_NOTICE", text) => Self::RedisclosureNotice(text.to_owned()),
            ("MASK", label) => Self::Mask(label.to_owned()),
            ("NOTIFY", "PATIENT") => Self::Notify(Party::Patient),
            ("NOTIFY", "PRIVACY_OFFICER") => Self::Notify(Party::PrivacyOfficer),
            ("PURPOSE_LIMIT", purpose) => Self::PurposeLimit(purpose.to_owned()),
            ("ERASE_AFTER_DAYS", days) => Self::EraseAfterDays(days.parse().ok()?),
            _ => return None,
        })
    }

    /// Returns its text or parameter.
    pub fn value(&self) -> String {
        match self {
            Self::RedisclosureNotice(text) | Self::Mask(text) | Self::PurposeLimit(text) => text.clone(),
            Self::Notify(Party::Patient) => "PATIENT".to_owned(),
            Self::Notify(Party::PrivacyOfficer) => "PRIVACY_OFFICER".to_owned(),
            Self::EraseAfterDays(days) => days.to_string(),
        }
    }
}

/// A rule, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Stable id: that of the directive, or layer and name such as `network:treatment`.
    pub id: String,
    /// Where it comes from.
    pub layer: Layer,
    /// The record that a directive hangs on; none for a rule of the policy.
    pub record: Option<RecordRef>,
    /// Who gave a directive; the patient where nobody says otherwise.
    pub grantor: Grantor,
    /// What holds where it matches.
    pub effect: Effect,
    /// What it speaks of.
    pub matcher: Matcher,
    /// Where it does not hold; see [`Layer::inverts`].
    pub exceptions: Vec<Exception>,
    /// Whether emergency access goes past its denial.
    pub overridable: bool,
    /// What must accompany the release of anything that the rule speaks of, whichever rule permits it.
    pub obligations: Vec<Obligation>,
    /// When it holds.
    pub validity: Validity,
    /// When it was made, microseconds since 1970.
    pub created_us: i64,
    /// Where a rule of the policy comes from: a law, a contract.
    pub source: String,
}

impl Rule {
    /// Returns a rule that speaks of everything, to be narrowed.
    pub fn new(id: &str, layer: Layer, effect: Effect) -> Self {
        Self {
            id: id.to_owned(),
            layer,
            record: None,
            grantor: Grantor::Patient,
            effect,
            matcher: Matcher::default(),
            exceptions: vec![],
            overridable: false,
            obligations: vec![],
            validity: Validity::default(),
            created_us: 0,
            source: String::new(),
        }
    }
}

/// Where a rule does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exception {
    /// Where.
    pub matcher: Matcher,
    /// What must accompany a release there, next to what the rule itself asks for.
    pub obligations: Vec<Obligation>,
}

impl From<Matcher> for Exception {
    fn from(matcher: Matcher) -> Self {
        Self { matcher, obligations: vec![] }
    }
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

/// What a decision needs to know of a document. A code, an author or a time that is absent is not known; an empty list of
/// labels says that the document bears none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFacts {
    /// Id of the pointer.
    pub id: DocumentId,
    /// Pointers that it replaced: whoever names one of them names this one.
    pub replaced: Vec<DocumentId>,
    /// Member that holds it.
    pub custodian: MemberId,
    /// Institution of the author.
    pub author: Option<String>,
    /// Type code.
    pub type_code: Option<String>,
    /// Class code.
    pub class_code: Option<String>,
    /// Labels, in upper case.
    pub labels: Vec<String>,
    /// When the service began, microseconds since 1970.
    pub service_start_us: Option<i64>,
}

/// What a rule speaks of: all criteria must hold, and none says everything.
///
/// Criteria stand in order, each kind once; those about who asks come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    criteria: Vec<Criterion>,
    /// How many of them are about who asks.
    of_request: usize,
    /// The kinds that are set, one bit each.
    kinds: u16,
}

impl Matcher {
    /// Makes a matcher. A criterion that lists nothing is left out.
    pub fn new(criteria: impl IntoIterator<Item = Criterion>) -> Self {
        let mut criteria: Vec<_> = criteria.into_iter().filter(|criterion| !criterion.is_empty()).collect();
        criteria.sort_by_key(Criterion::kind);
        criteria.dedup_by_key(|criterion| criterion.kind());
        let of_request = criteria.iter().filter(|criterion| criterion.is_about_request()).count();
        let kinds = criteria.iter().fold(0, |bits, criterion| bits | 1 << criterion.kind());
        Self { criteria, of_request, kinds }
    }

    /// Returns the criteria.
    pub fn criteria(&self) -> &[Criterion] {
        &self.criteria
    }

    /// Returns the labels that it asks for.
    pub fn labels(&self) -> &[String] {
        let labels = self.criteria.iter().find_map(|criterion| match criterion {
            Criterion::Labels(labels) => Some(labels.as_slice()),
            _ => None,
        });
        labels.unwrap_or_default()
    }

    /// True when it speaks of everything.
    pub fn is_everything(&self) -> bool {
        self.criteria.is_empty()
    }

    /// Returns whether the criteria about who asks hold.
    pub(super) fn of_request(&self, request: &Request) -> Truth {
        least(self.criteria[..self.of_request].iter().map(|criterion| criterion.of_request(request)))
    }

    /// Returns whether the criteria about the document hold.
    pub(super) fn of_document(&self, facts: &Facts<'_>) -> Truth {
        least(self.criteria[self.of_request..].iter().map(|criterion| criterion.of_document(facts)))
    }

    /// Returns the criterion that is met least, unless all are met.
    pub(super) fn unmet(&self, request: &Request, facts: &Facts<'_>) -> Option<(&Criterion, Truth)> {
        let (of_request, of_document) = self.criteria.split_at(self.of_request);
        let of_request = of_request.iter().map(|criterion| (criterion, criterion.of_request(request)));
        let of_document = of_document.iter().map(|criterion| (criterion, criterion.of_document(facts)));
        let unmet = of_request.chain(of_document).filter(|(_, truth)| *truth != Truth::Yes);
        unmet.min_by_key(|(_, truth)| *truth)
    }

    /// Returns the kinds of criteria that are set, one bit each.
    pub(super) fn kinds(&self) -> u16 {
        self.kinds
    }
}

/// Of several truths the least counts.
fn least(truths: impl Iterator<Item = Truth>) -> Truth {
    let mut least = Truth::Yes;
    for truth in truths {
        least = least.min(truth);
        if least == Truth::No {
            break;
        }
    }
    least
}
