//! Why a decision came out as it did, rule by rule, in plain sentences.

use signpost_common::id::RecordRef;

use super::{
    decide::{DEFAULT_RULE, Decided, Decision, Hearing, UNKNOWN_LABEL_RULE, Voice, Voices, decide},
    policy::Policy,
    request::{Facts, Request},
    rule::{DocumentFacts, Effect, Layer, Rule},
};

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

/// Decides one document and says what each rule contributed, in the order in which layers are tried. Inside a layer the rule
/// that decides comes first, then those that speak, then the others.
pub fn explain(
    policy: &Policy,
    patient: &[Rule],
    request: &Request,
    document: &DocumentFacts,
) -> (Decision, Vec<Explained>) {
    let decision = decide(policy, patient, request, std::slice::from_ref(document)).swap_remove(0);
    let calm = request.calm();
    let request = if request.covers(document) { request } else { &calm };
    let hearing = Hearing::new(policy, patient, request);
    let facts = Facts { document, consented: hearing.consented(document) };
    let decided = hearing.decide(document, &mut Voices::default());
    let deciding = match &decided {
        Decided::By(voice, _) => Some(*voice),
        Decided::Denied(_) => None,
    };
    let last_resort = deciding.is_none().then(|| decided.rule_id());
    let mut told: Vec<_> = policy
        .rules
        .iter()
        .chain(patient)
        .map(|rule| {
            let voice = Voice::of(rule, request, &facts);
            let decides = deciding.is_some_and(|voice| std::ptr::eq(voice.rule, rule));
            Explained {
                rule_id: rule.id.clone(),
                layer: rule.layer,
                matched: voice.is_some_and(|voice| !voice.is_silent()),
                decided: decides,
                sentence: match last_resort {
                    Some(resort) if resort != DEFAULT_RULE || !request.is_complete() => not_asked(rule),
                    _ => sentence(rule, voice, deciding, request, &facts),
                },
            }
        })
        .collect();
    told.extend([DEFAULT_RULE, UNKNOWN_LABEL_RULE].map(|id| resort(id, last_resort, request)));
    told.sort_by(|a, b| {
        (a.layer, !a.decided, !a.matched, &a.rule_id).cmp(&(b.layer, !b.decided, !b.matched, &b.rule_id))
    });
    (decision, told)
}

fn whose(rule: &Rule) -> &'static str {
    match rule.layer {
        Layer::Statutory => "The law's rule",
        Layer::Patient => "The patient's directive",
        Layer::Network | Layer::Default => "The network's rule",
    }
}

fn not_asked(rule: &Rule) -> String {
    format!("{} is not asked.", whose(rule))
}

fn resort(id: &'static str, last_resort: Option<&str>, request: &Request) -> Explained {
    let decided = last_resort == Some(id);
    let sentence = match (id, decided) {
        (UNKNOWN_LABEL_RULE, true) => {
            "The document bears a label that the policy does not know: it is denied."
        }
        (UNKNOWN_LABEL_RULE, false) => "The policy knows every label of the document.",
        (_, true) if !request.is_complete() => {
            "The request states no role or no purpose of use: it is denied."
        }
        (_, true) => "No rule speaks of the request: it is denied.",
        (_, false) => "A rule before the last resort decides.",
    };
    Explained {
        rule_id: id.to_owned(),
        layer: Layer::Default,
        matched: decided,
        decided,
        sentence: sentence.to_owned(),
    }
}

fn sentence(
    rule: &Rule,
    voice: Option<Voice<'_>>,
    deciding: Option<Voice<'_>>,
    request: &Request,
    facts: &Facts<'_>,
) -> String {
    let whose = whose(rule);
    if !rule.validity.holds(request.now_us) {
        return format!("{whose} is not in force.");
    }
    let Some(voice) = voice else {
        return match rule.matcher.unmet(request, facts) {
            Some((criterion, truth)) => format!("{whose} {}.", criterion.unmet(truth)),
            None => format!("{whose} does not speak of this request."),
        };
    };
    if voice.is_silent() {
        return format!("{whose} has an exception for this, and other rules decide.");
    }
    let verb = match (voice.effect, voice.exception.is_some()) {
        (Effect::Deny, false) => "denies it",
        (Effect::Permit, false) => "permits it",
        (Effect::Deny, true) => "denies it by an exception",
        (Effect::Permit, true) => "permits it by an exception",
    };
    match deciding {
        Some(first) if std::ptr::eq(first.rule, rule) => format!("{whose} {verb}, and decides."),
        _ if voice.yields(request) => format!("{whose} {verb}, and emergency access goes past it."),
        Some(first) => format!("{whose} {verb}; {}", why_not(&voice, &first)),
        None => format!("{whose} {verb}."),
    }
}

/// Says why another rule stood before this one.
fn why_not(voice: &Voice<'_>, first: &Voice<'_>) -> String {
    let record = |voice: &Voice<'_>| -> Option<RecordRef> { voice.rule.record.clone() };
    match (first.rule.layer, first.rule.layer == voice.rule.layer) {
        (Layer::Statutory, false) => "law stands before it.".to_owned(),
        (Layer::Patient, false) => "what the patient said stands before it.".to_owned(),
        (Layer::Patient, true) if record(voice) == record(first) => {
            "another directive is narrower, or newer, or a denial.".to_owned()
        }
        (Layer::Patient, true) if first.effect == Effect::Deny && voice.effect == Effect::Permit => {
            "the patient denied it at another member.".to_owned()
        }
        (_, true) if first.effect == Effect::Deny && voice.effect == Effect::Permit => {
            "a denial of the same layer stands before it.".to_owned()
        }
        _ => "another rule says the same.".to_owned(),
    }
}
