//! The decision: layers in order, and inside a layer the rule that stands first.
//!
//! - Law: any denial, and nobody goes past it.
//! - Patient: at each record the narrower match, then the newer rule, then the denial; then a denial at any record. A match
//!   that names documents is narrower than one that names none; else the one with more kinds of criteria is.
//! - Network: any denial, then any permit.
//! - Whatever nobody spoke of is denied, and so is a request without a role or a purpose, and a document with a label that
//!   the policy does not know.
//!
//! An open emergency session takes away denials that are marked for it and nothing else. The obligations of every rule that
//! speaks of a request accompany its release, whichever rule permits it.

use std::cmp::Reverse;

use signpost_common::id::DocumentId;

use super::{
    criterion::{Criterion, Truth},
    directive::Grantor,
    policy::Policy,
    request::{Emergency, Facts, Request},
    rule::{DocumentFacts, Effect, Exception, Layer, Obligation, Rule},
};

/// Id of the rule that denies what no other rule speaks of.
pub const DEFAULT_RULE: &str = "default:deny";

/// Id of the rule that denies a document with a label that the policy does not know.
pub const UNKNOWN_LABEL_RULE: &str = "default:unknown-label";

/// The decision on one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Document.
    pub document: DocumentId,
    /// Whether it may be seen.
    pub effect: Effect,
    /// Rules that decided.
    pub rule_ids: Vec<String>,
    /// What must accompany its release; nothing with a denial.
    pub obligations: Vec<Obligation>,
    /// True when an emergency session could permit it.
    pub emergency_could_permit: bool,
}

/// Whether documents are named, then how many kinds of criteria were met.
type Narrow = (bool, u32);

/// What a rule says on a document.
#[derive(Clone, Copy)]
pub(super) struct Voice<'a> {
    pub(super) rule: &'a Rule,
    /// A number of the record that a directive hangs on.
    record: usize,
    pub(super) effect: Effect,
    /// How narrow the match is.
    narrow: Narrow,
    /// Where an exception took the rule back or inverted it.
    pub(super) exception: Option<&'a Exception>,
}

impl<'a> Voice<'a> {
    /// Returns what a rule says of a document, `None` when it does not speak of it.
    pub(super) fn of(rule: &'a Rule, request: &Request, facts: &Facts<'_>) -> Option<Self> {
        Heard::new(rule, request)?.speaks(facts)
    }

    /// Orders what a patient's directives say. The id comes last, so that the order of rows never matters.
    fn order(&self) -> impl Ord + '_ {
        (Reverse(self.narrow), Reverse(self.rule.created_us), self.effect, self.rule.id.as_str())
    }

    /// True when emergency access goes past it.
    pub(super) fn yields(&self, request: &Request) -> bool {
        let overridable = self.rule.overridable && self.rule.layer.yields_to_emergency();
        self.effect == Effect::Deny && overridable && request.is_emergency()
    }

    /// True when an exception makes the rule say nothing.
    pub(super) fn is_silent(&self) -> bool {
        self.exception.is_some() && !self.rule.layer.inverts()
    }
}

/// A rule whose criteria about who asks may hold.
struct Heard<'a> {
    rule: &'a Rule,
    /// A number of the record that it hangs on.
    record: usize,
    truth: Truth,
    exceptions: Vec<(&'a Exception, Truth)>,
}

/// True where a truth is enough for an effect: what is not known counts for a denial alone.
fn suffices(truth: Truth, effect: Effect) -> bool {
    match truth {
        Truth::Yes => true,
        Truth::Unknown => effect == Effect::Deny,
        Truth::No => false,
    }
}

impl<'a> Heard<'a> {
    fn new(rule: &'a Rule, request: &Request) -> Option<Self> {
        let truth = rule.matcher.of_request(request);
        if truth == Truth::No || !rule.validity.holds(request.now_us) {
            return None;
        }
        let exceptions =
            rule.exceptions.iter().map(|exception| (exception, exception.matcher.of_request(request)));
        let exceptions = exceptions.filter(|(_, truth)| *truth != Truth::No).collect();
        Some(Self { rule, record: 0, truth, exceptions })
    }

    /// Returns what the rule says of a document, `None` when it does not speak of it.
    fn speaks(&self, facts: &Facts<'_>) -> Option<Voice<'a>> {
        let rule = self.rule;
        if !suffices(self.truth.min(rule.matcher.of_document(facts)), rule.effect) {
            return None;
        }
        let (record, own) = (self.record, rule.matcher.kinds());
        let narrow = |kinds: u16| (kinds & Criterion::DOCUMENTS_KIND != 0, kinds.count_ones());
        let with = |exception: &Exception| narrow(own | exception.matcher.kinds());
        let inverted = rule.effect.inverted();
        let met = self.exceptions.iter().filter(|(exception, truth)| {
            suffices((*truth).min(exception.matcher.of_document(facts)), inverted)
        });
        let met = met.map(|(exception, _)| *exception).max_by_key(|exception| with(exception));
        Some(match met {
            Some(exception) => {
                Voice { rule, record, effect: inverted, narrow: with(exception), exception: Some(exception) }
            }
            None => Voice { rule, record, effect: rule.effect, narrow: narrow(own), exception: None },
        })
    }
}

/// Rules that a request has to do with.
pub(super) struct Hearing<'a> {
    policy: &'a Policy,
    request: &'a Request,
    statutory: Vec<Heard<'a>>,
    /// By record.
    patient: Vec<Heard<'a>>,
    network: Vec<Heard<'a>>,
}

/// What the rules of each layer say on one document. One is used for all documents, so that its lists are made once.
#[derive(Default)]
pub(super) struct Voices<'a> {
    statutory: Vec<Voice<'a>>,
    patient: Vec<Voice<'a>>,
    network: Vec<Voice<'a>>,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(policy: &'a Policy, patient: &'a [Rule], request: &'a Request) -> Self {
        let of = |layer| {
            let rules = policy.rules.iter().filter(move |rule| rule.layer == layer);
            rules.filter_map(|rule| Heard::new(rule, request)).collect()
        };
        let mut directives: Vec<_> = patient.iter().filter_map(|rule| Heard::new(rule, request)).collect();
        directives.sort_by(|a, b| a.rule.record.cmp(&b.rule.record));
        let records = directives.chunk_by_mut(|a, b| a.rule.record == b.rule.record);
        for (number, of_record) in records.enumerate() {
            of_record.iter_mut().for_each(|heard| heard.record = number);
        }
        Self {
            policy,
            request,
            statutory: of(Layer::Statutory),
            patient: directives,
            network: of(Layer::Network),
        }
    }

    /// Returns the directive that decides: among those of one record the first, and then a denial at any record, so that
    /// nobody undoes at one member what the patient said at another.
    fn of_patient(&self, voices: &[Voice<'a>], counts: impl Fn(&Rule) -> bool) -> Option<Voice<'a>> {
        let firsts = voices.chunk_by(|a, b| a.record == b.record);
        let firsts = firsts.filter_map(|voices| {
            let counted = voices.iter().filter(|voice| counts(voice.rule) && !voice.yields(self.request));
            counted.min_by(|a, b| a.order().cmp(&b.order()))
        });
        firsts.min_by(|a, b| (a.effect, a.order()).cmp(&(b.effect, b.order()))).copied()
    }

    /// Returns whether the patient's directives permit a document.
    pub(super) fn consented(&self, document: &DocumentFacts) -> bool {
        let mut voices = vec![];
        speak(&self.patient, &Facts { document, consented: false }, &mut voices);
        self.consents(&voices, self.of_patient(&voices, |_| true))
    }

    /// Returns whether these directives, of which one decides, are the consent that a law asks for. Who acts for the patient
    /// cannot give it to themselves.
    fn consents(&self, voices: &[Voice<'a>], deciding: Option<Voice<'a>>) -> bool {
        let given = match self.request.requester.is_representative() {
            true => self.of_patient(voices, |rule| rule.grantor == Grantor::Patient),
            false => deciding,
        };
        given.is_some_and(|voice| voice.effect == Effect::Permit)
    }

    /// Decides one document.
    pub(super) fn decide(&self, document: &DocumentFacts, voices: &mut Voices<'a>) -> Decided<'a> {
        if !self.request.is_complete() {
            return Decided::Denied(DEFAULT_RULE);
        }
        if !document.labels.iter().all(|label| self.policy.knows(label)) {
            return Decided::Denied(UNKNOWN_LABEL_RULE);
        }
        // No directive looks at whether the patient consented.
        speak(&self.patient, &Facts { document, consented: false }, &mut voices.patient);
        let patient = self.of_patient(&voices.patient, |_| true);
        let facts = Facts { document, consented: self.consents(&voices.patient, patient) };
        speak(&self.statutory, &facts, &mut voices.statutory);
        let first = |voices: &[Voice<'a>], effect| {
            let counted = voices.iter().filter(|voice| voice.effect == effect);
            let counted = counted.filter(|voice| !voice.is_silent() && !voice.yields(self.request));
            counted.min_by(|a, b| a.rule.id.cmp(&b.rule.id)).copied()
        };
        if let Some(law) = first(&voices.statutory, Effect::Deny) {
            return Decided::By(law, vec![]);
        }
        if let Some(denial) = patient.filter(|voice| voice.effect == Effect::Deny) {
            return Decided::By(denial, vec![]);
        }
        speak(&self.network, &facts, &mut voices.network);
        let network = |effect| first(&voices.network, effect);
        match patient.or_else(|| network(Effect::Deny)).or_else(|| network(Effect::Permit)) {
            None => Decided::Denied(DEFAULT_RULE),
            Some(voice) if voice.effect == Effect::Deny => Decided::By(voice, vec![]),
            Some(voice) => Decided::By(voice, obligations(voices)),
        }
    }
}

/// Puts what rules say on a document into `voices`.
fn speak<'a>(heard: &[Heard<'a>], facts: &Facts<'_>, voices: &mut Vec<Voice<'a>>) {
    voices.clear();
    voices.extend(heard.iter().filter_map(|heard| heard.speaks(facts)));
}

/// Returns what all rules that speak ask for, each duty once.
fn obligations(spoken: &Voices<'_>) -> Vec<Obligation> {
    let all = spoken.statutory.iter().chain(&spoken.patient).chain(&spoken.network).flat_map(|voice| {
        voice
            .rule
            .obligations
            .iter()
            .chain(voice.exception.iter().flat_map(|exception| &exception.obligations))
    });
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().cloned().collect()
}

/// What decided.
pub(super) enum Decided<'a> {
    /// A rule, and what must accompany a release under it.
    By(Voice<'a>, Vec<Obligation>),
    /// One of the last resorts.
    Denied(&'static str),
}

impl Decided<'_> {
    pub(super) fn rule_id(&self) -> &str {
        match self {
            Self::By(voice, _) => &voice.rule.id,
            Self::Denied(rule_id) => rule_id,
        }
    }

    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::By(voice, _) => voice.effect,
            Self::Denied(_) => Effect::Deny,
        }
    }
}

/// Decides, document by document, from a policy and the directives of a patient.
pub fn decide(
    policy: &Policy,
    patient: &[Rule],
    request: &Request,
    documents: &[DocumentFacts],
) -> Vec<Decision> {
    let hearing = Hearing::new(policy, patient, request);
    let (calm, supposed) = (request.calm(), request.supposed());
    let out_of_scope = (!request.scope.is_everything()).then(|| Hearing::new(policy, patient, &calm));
    // Who has emergency access is not told what more of it could do, and who could not have it neither.
    let may_suppose = request.emergency == Emergency::None && request.may_override();
    let in_emergency = may_suppose.then(|| Hearing::new(policy, patient, &supposed));
    let mut voices = Voices::default();
    let decide = |document: &DocumentFacts| {
        let hearing = match &out_of_scope {
            Some(out_of_scope) if !request.covers(document) => out_of_scope,
            _ => &hearing,
        };
        let decided = hearing.decide(document, &mut voices);
        let effect = decided.effect();
        let could = effect == Effect::Deny
            && in_emergency
                .as_ref()
                .is_some_and(|open| open.decide(document, &mut voices).effect() == Effect::Permit);
        let rule_ids = vec![decided.rule_id().to_owned()];
        let obligations = match decided {
            Decided::By(_, obligations) => obligations,
            Decided::Denied(_) => vec![],
        };
        Decision { document: document.id, effect, rule_ids, obligations, emergency_could_permit: could }
    };
    documents.iter().map(decide).collect()
}

#[cfg(test)]
mod tests;
