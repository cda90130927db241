//! The decision: layers in order, and inside a layer the rule that stands first.
//!
//! Patient: at each record the narrower match, then the newer rule, then the denial; then a denial at any record. Other layers: the denial. An open emergency
//! session takes away denials that are marked for it and nothing else. A request without a role or a purpose is
//! denied whatever the rules say.

use std::cmp::Reverse;

use signpost_common::id::{DocumentId, MemberId, SessionId};
use signpost_proto::common::v1::{PurposeOfUse, Role};

use super::{
    network::{DEFAULT_RULE, EMERGENCY_PURPOSES, NetworkDefault},
    rule::{DocumentFacts, Effect, Layer, Rule, Verdict},
};

/// Who asks, as the exchange verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Organisation.
    pub member_id: MemberId,
    /// The user's role.
    pub role: Role,
    /// Why they ask.
    pub purpose: PurposeOfUse,
}

impl Requester {
    fn is_complete(&self) -> bool {
        self.role != Role::Unspecified && self.purpose != PurposeOfUse::Unspecified
    }
}

/// All that a decision rests on, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Rules of every layer, in any order.
    pub rules: Vec<Rule>,
    /// The moment, microseconds since 1970.
    pub now_us: i64,
    /// A session that serves this requester on this person, found open.
    pub emergency: Option<SessionId>,
    /// Version of the network's policy.
    pub policy_version: &'static str,
}

impl Snapshot {
    /// Puts the network's rules under those of the patient.
    pub fn new(patient: impl IntoIterator<Item = Rule>, network: NetworkDefault, now_us: i64) -> Self {
        let rules = patient.into_iter().chain(network.rules()).collect();
        Self { rules, now_us, emergency: None, policy_version: network.version() }
    }
}

/// The decision on one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Document.
    pub document: DocumentId,
    /// Whether it may be seen.
    pub effect: Effect,
    /// Rules that decided.
    pub rule_ids: Vec<String>,
    /// True when an emergency session could permit it.
    pub emergency_could_permit: bool,
}

/// What one rule contributed to a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Rule.
    pub rule_id: String,
    /// Where it comes from.
    pub layer: Layer,
    /// Whether it spoke of the request.
    pub matched: bool,
    /// Whether it decided.
    pub decided: bool,
    /// A sentence for people.
    pub sentence: String,
}

/// A rule that speaks of a request, with what it says.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    rule: &'a Rule,
    verdict: Verdict,
}

impl<'a> Candidate<'a> {
    /// Orders rules as they are tried. The id comes last, so that the order of rows never matters.
    fn order(&self) -> impl Ord + use<'a> {
        let (narrow, created_us) = match self.rule.layer {
            Layer::Patient => (self.verdict.narrow, self.rule.created_us),
            Layer::Network | Layer::Default => (0, 0),
        };
        (self.rule.layer, Reverse(narrow), Reverse(created_us), self.verdict.effect, self.rule.id.as_str())
    }

    /// True for a denial that emergency access goes past.
    fn yields(&self) -> bool {
        let denies = self.verdict.effect == Effect::Deny;
        denies && self.rule.overridable && self.rule.layer.yields_to_emergency()
    }
}

/// Decides, document by document.
pub fn decide(snapshot: &Snapshot, requester: &Requester, documents: &[DocumentFacts]) -> Vec<Decision> {
    let standing: Vec<_> = snapshot.rules.iter().filter(|r| r.validity.holds(snapshot.now_us)).collect();
    documents.iter().map(|document| decide_one(snapshot, &standing, requester, document)).collect()
}

/// True when a session has an effect for this requester: the purpose is one of care.
fn may_override(requester: &Requester) -> bool {
    EMERGENCY_PURPOSES.contains(&requester.purpose)
}

fn decide_one(
    snapshot: &Snapshot,
    standing: &[&Rule],
    requester: &Requester,
    document: &DocumentFacts,
) -> Decision {
    let denied = |rule_id: &str| Decision {
        document: document.id,
        effect: Effect::Deny,
        rule_ids: vec![rule_id.to_owned()],
        emergency_could_permit: false,
    };
    if !requester.is_complete() {
        return denied(DEFAULT_RULE);
    }
    let emergency = snapshot.emergency.is_some() && may_override(requester);
    let Some(first) = first(standing, requester, document, emergency) else { return denied(DEFAULT_RULE) };
    if first.verdict.effect == Effect::Permit {
        return Decision { effect: Effect::Permit, ..denied(&first.rule.id) };
    }
    let in_emergency = || self::first(standing, requester, document, true);
    let could = !emergency
        && may_override(requester)
        && in_emergency().is_some_and(|other| other.verdict.effect == Effect::Permit);
    Decision { emergency_could_permit: could, ..denied(&first.rule.id) }
}

/// Returns the rule that decides.
fn first<'a>(
    standing: &[&'a Rule],
    requester: &Requester,
    document: &DocumentFacts,
    emergency: bool,
) -> Option<Candidate<'a>> {
    let spoken = standing
        .iter()
        .filter_map(|&rule| rule.verdict(requester, document).map(|verdict| Candidate { rule, verdict }));
    let spoken: Vec<_> = spoken.filter(|candidate| !(emergency && candidate.yields())).collect();
    // Among the directives of one record the first decides; then a denial at any record stands, so that nobody undoes
    // at one member what the patient said at another.
    let of_record = |record| spoken.iter().filter(move |c| c.rule.record.as_ref() == Some(record));
    let firsts = spoken.iter().filter(|candidate| {
        let record = candidate.rule.record.as_ref();
        let first = record.and_then(|record| of_record(record).min_by_key(|c| c.order()));
        first.is_some_and(|first| std::ptr::eq(first.rule, candidate.rule))
    });
    let denial = firsts.filter(|c| c.verdict.effect == Effect::Deny).min_by_key(|c| c.order());
    denial.or_else(|| spoken.iter().min_by_key(|c| c.order())).copied()
}

/// Decides one document and says what each rule contributed, in the order in which rules are tried.
pub fn explain(
    snapshot: &Snapshot,
    requester: &Requester,
    document: &DocumentFacts,
) -> (Decision, Vec<Explained>) {
    let standing: Vec<_> = snapshot.rules.iter().filter(|r| r.validity.holds(snapshot.now_us)).collect();
    let decision = decide_one(snapshot, &standing, requester, document);
    let emergency = snapshot.emergency.is_some() && may_override(requester);
    let deciding = first(&standing, requester, document, emergency).filter(|_| requester.is_complete());
    let mut tried: Vec<_> = snapshot
        .rules
        .iter()
        .map(|rule| {
            let spoken = rule.verdict(requester, document).filter(|_| rule.validity.holds(snapshot.now_us));
            let silent = Verdict { effect: rule.effect, narrow: rule.narrow(), excepted: false };
            (Candidate { rule, verdict: spoken.unwrap_or(silent) }, spoken.is_some())
        })
        .collect();
    tried.sort_by(|(a, _), (b, _)| a.order().cmp(&b.order()));
    let explained = tried.into_iter().map(|(candidate, matched)| {
        let decided = match deciding {
            Some(deciding) => std::ptr::eq(candidate.rule, deciding.rule),
            None => candidate.rule.layer == Layer::Default,
        };
        Explained {
            rule_id: candidate.rule.id.clone(),
            layer: candidate.rule.layer,
            matched,
            decided,
            sentence: sentence(snapshot, requester, &candidate, matched, decided),
        }
    });
    (decision, explained.collect())
}

fn sentence(
    snapshot: &Snapshot,
    requester: &Requester,
    candidate: &Candidate<'_>,
    matched: bool,
    decided: bool,
) -> String {
    let whose = match (candidate.rule.layer, matched && candidate.verdict.excepted) {
        (Layer::Patient, false) => "The patient's directive",
        (Layer::Patient, true) => "An exception in the patient's directive",
        (Layer::Network, _) => "The network's policy",
        (Layer::Default, _) => "The last resort",
    };
    let verb = match candidate.verdict.effect {
        Effect::Deny => "denies",
        Effect::Permit => "permits",
    };
    let emergency = snapshot.emergency.is_some() && may_override(requester);
    if !requester.is_complete() {
        let end = if decided { "denies it" } else { "is not asked" };
        return format!("{whose} {end}: the request states no role or no purpose.");
    }
    if !candidate.rule.validity.holds(snapshot.now_us) {
        return format!("{whose} is not in force.");
    }
    match (matched, decided) {
        (false, _) => format!("{whose} does not speak of this request."),
        (true, true) => format!("{whose} {verb} it, and decides."),
        (true, false) if emergency && candidate.yields() => {
            format!("{whose} {verb} it, and emergency access goes past it.")
        }
        (true, false) => format!("{whose} {verb} it, and a rule before it decides."),
    }
}

#[cfg(test)]
mod tests;
