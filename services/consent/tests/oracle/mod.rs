//! Cedar as a second opinion: the same rules in another language, decided by an engine that is not ours.
//!
//! A criterion becomes a Cedar condition, a rule a Cedar policy, and what the evaluator reads of rules is not asked. Law and
//! the network are decided by Cedar's own order, in which a denial stands before a permit and silence denies. Of the
//! patient's directives Cedar says which speak, and the published order among them is written down here.
//!
//! What is not known is an attribute that is absent: a denial holds unless a criterion is known to fail, a permit where
//! each is known to hold.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    mem::discriminant,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicyId, PolicySet, Request as Question,
    RestrictedExpression as Value,
};
use signpost_common::id::RecordRef;
use signpost_consent::domain::{
    Criterion, DocumentFacts, Effect, Emergency, Exception, Grantor, Layer, Policy, Relationship, Request,
    Rule, vocabulary::LABELS,
};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::EmergencyReason,
};

/// Emergency access is open, and the purpose is one of care.
const EMERGENCY: &str = r#"context has emergency && context has purpose
    && ["Treat", "Etreat", "Btg"].contains(context.purpose)"#;

/// What Cedar decided.
pub(crate) struct Verdict {
    pub(crate) effect: Effect,
    pub(crate) layer: Layer,
    /// Rules that say so in that layer; one of them decides.
    pub(crate) rules: Vec<String>,
}

/// What one directive says where it speaks, with one of its exceptions or with none.
struct Said {
    rule: String,
    record: Option<RecordRef>,
    effect: Effect,
    grantor: Grantor,
    narrow: (bool, usize),
    created_us: i64,
}

impl Said {
    fn order(&self) -> impl Ord {
        (Reverse(self.narrow), Reverse(self.created_us), self.effect)
    }
}

/// All rules of a decision, as Cedar policies.
pub(crate) struct Oracle {
    gate: PolicySet,
    law: PolicySet,
    patient: PolicySet,
    network: PolicySet,
    /// By id of the Cedar policy.
    said: HashMap<PolicyId, Said>,
    authorizer: Authorizer,
    action: EntityUid,
}

/// A question, as Cedar reads it.
pub(crate) struct Asked {
    member: EntityUid,
    is_representative: bool,
    /// Documents that emergency access is for; `None` where it is not open.
    scope: Option<PolicySet>,
    /// What is asked where emergency access has no part.
    calm: Contexts,
    in_emergency: Contexts,
}

/// Where the patient did not consent, and where they did.
type Contexts = [Context; 2];

impl Oracle {
    pub(crate) fn new(policy: &Policy, directives: &[Rule]) -> Self {
        let of = |layer| policy.rules.iter().filter(move |rule| rule.layer == layer).map(with_exceptions);
        let spoken: Vec<_> = directives.iter().flat_map(directive).collect();
        let gate = [
            ("complete".to_owned(), permit("context has role && context has purpose")),
            ("known".to_owned(), permit("Network::\"this\".labels.containsAll(resource.labels)")),
        ];
        Self {
            gate: policies(gate),
            law: policies(of(Layer::Statutory).chain([("lawful".to_owned(), permit("true"))])),
            patient: policies(spoken.iter().map(|(id, text, _)| (id.clone(), text.clone()))),
            network: policies(of(Layer::Network)),
            said: spoken.into_iter().map(|(id, _, said)| (PolicyId::new(id), said)).collect(),
            authorizer: Authorizer::new(),
            action: uid("Action", "see"),
        }
    }

    /// Decides whether a document may be seen.
    pub(crate) fn decide(&self, asked: &Asked, document: &EntityUid, documents: &Entities) -> Verdict {
        let is_in_scope =
            |scope| self.ask(scope, asked, &asked.calm[0], document, documents).0 == Decision::Allow;
        let contexts =
            if asked.scope.as_ref().is_some_and(is_in_scope) { &asked.in_emergency } else { &asked.calm };
        let ask = |set, consented: bool| {
            self.ask(set, asked, &contexts[usize::from(consented)], document, documents)
        };
        let (_, gates) = ask(&self.gate, false);
        if gates.len() < 2 {
            let complete = gates.iter().any(|id| id.to_string() == "complete");
            return last_resort(if complete { "default:unknown-label" } else { "default:deny" });
        }
        let speaking = ask(&self.patient, false).1;
        let patient = self.of_patient(&speaking, |_| true);
        // Nobody who acts for the patient consents for themselves.
        let counts = |said: &Said| !asked.is_representative || said.grantor == Grantor::Patient;
        let consented =
            self.of_patient(&speaking, counts).is_some_and(|verdict| verdict.effect == Effect::Permit);
        let (lawful, forbidding) = ask(&self.law, consented);
        if lawful == Decision::Deny {
            return Verdict { effect: Effect::Deny, layer: Layer::Statutory, rules: texts(&forbidding) };
        }
        if let Some(verdict) = patient {
            return verdict;
        }
        match ask(&self.network, consented) {
            (_, by) if by.is_empty() => last_resort("default:deny"),
            (Decision::Deny, by) => {
                Verdict { effect: Effect::Deny, layer: Layer::Network, rules: texts(&by) }
            }
            (Decision::Allow, by) => {
                Verdict { effect: Effect::Permit, layer: Layer::Network, rules: texts(&by) }
            }
        }
    }

    fn ask(
        &self,
        policies: &PolicySet,
        asked: &Asked,
        context: &Context,
        document: &EntityUid,
        documents: &Entities,
    ) -> (Decision, Vec<PolicyId>) {
        let (member, action) = (asked.member.clone(), self.action.clone());
        let question = Question::new(member, action, document.clone(), context.clone(), None).unwrap();
        let answer = self.authorizer.is_authorized(&question, policies, documents);
        let errors: Vec<_> = answer.diagnostics().errors().collect();
        assert!(errors.is_empty(), "a condition is wrong: {errors:?}");
        (answer.decision(), answer.diagnostics().reason().cloned().collect())
    }

    /// At each record the narrower match, then the newer directive, then the denial; then a denial at any record.
    fn of_patient(&self, speaking: &[PolicyId], counts: impl Fn(&Said) -> bool) -> Option<Verdict> {
        let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for said in speaking.iter().map(|id| &self.said[id]).filter(|said| counts(said)) {
            records.entry(&said.record).or_default().push(said);
        }
        // Of those that are as narrow, as new and of one effect, any may be named.
        let firsts: Vec<_> = records
            .values()
            .flat_map(|all| {
                let best = all.iter().map(|said| said.order()).min();
                all.iter().filter(move |said| Some(said.order()) == best)
            })
            .collect();
        let effect = firsts.iter().map(|said| said.effect).min()?;
        let deciding = firsts.into_iter().filter(|said| said.effect == effect);
        let rules = deciding.map(|said| said.rule.clone()).collect();
        Some(Verdict { effect, layer: Layer::Patient, rules })
    }
}

fn last_resort(rule: &str) -> Verdict {
    Verdict { effect: Effect::Deny, layer: Layer::Default, rules: vec![rule.to_owned()] }
}

fn texts(ids: &[PolicyId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn policies(texts: impl IntoIterator<Item = (String, String)>) -> PolicySet {
    let parse =
        |(id, text): (String, String)| cedar_policy::Policy::parse(Some(PolicyId::new(id)), text).unwrap();
    PolicySet::from_policies(texts.into_iter().map(parse)).unwrap()
}

fn permit(condition: &str) -> String {
    format!("permit(principal, action, resource) when {{ {condition} }};")
}

/// A rule of law or of the network: where an exception holds, or an emergency goes past it, it says nothing.
fn with_exceptions(rule: &Rule) -> (String, String) {
    let verb = if rule.effect == Effect::Permit { "permit" } else { "forbid" };
    let mut but: Vec<_> = rule.exceptions.iter().map(|exception| excepts(rule, exception)).collect();
    if rule.overridable && rule.effect == Effect::Deny && rule.layer == Layer::Network {
        but.push(EMERGENCY.to_owned());
    }
    let (when, unless) = (speaks(rule), any(&but));
    let text = format!("{verb}(principal, action, resource) when {{ {when} }} unless {{ {unless} }};");
    (rule.id.clone(), text)
}

/// A directive says what it says where no exception holds, and the opposite where one does.
fn directive(rule: &Rule) -> Vec<(String, String, Said)> {
    let said = |effect, narrow| Said {
        rule: rule.id.clone(),
        record: rule.record.clone(),
        grantor: rule.grantor,
        effect,
        narrow,
        created_us: rule.created_us,
    };
    let past = |effect| if rule.overridable && effect == Effect::Deny { EMERGENCY } else { "false" };
    let policy = |when: String, unless: String| {
        format!("permit(principal, action, resource) when {{ {when} }} unless {{ {unless} }};")
    };
    let excepts: Vec<_> = rule.exceptions.iter().map(|exception| excepts(rule, exception)).collect();
    let unless = any(&excepts.iter().map(String::as_str).chain([past(rule.effect)]).collect::<Vec<_>>());
    let itself =
        (format!("{}/", rule.id), policy(speaks(rule), unless), said(rule.effect, narrow(rule, None)));
    let opposite = match rule.effect {
        Effect::Permit => Effect::Deny,
        Effect::Deny => Effect::Permit,
    };
    let excepted = rule.exceptions.iter().zip(excepts).enumerate().map(|(at, (exception, holds))| {
        let text = policy(format!("({}) && ({holds})", speaks(rule)), past(opposite).to_owned());
        (format!("{}/{at}", rule.id), text, said(opposite, narrow(rule, Some(exception))))
    });
    [itself].into_iter().chain(excepted).collect()
}

/// Says whether a match names documents, and counts the kinds of criteria that it is made of.
fn narrow(rule: &Rule, exception: Option<&Exception>) -> (bool, usize) {
    let criteria = rule.matcher.criteria().iter();
    let criteria = criteria.chain(exception.into_iter().flat_map(|exception| exception.matcher.criteria()));
    let names_documents = criteria.clone().any(|criterion| matches!(criterion, Criterion::Documents(_)));
    (names_documents, criteria.map(discriminant).collect::<HashSet<_>>().len())
}

/// The rule is in force, and its criteria hold.
fn speaks(rule: &Rule) -> String {
    let validity = &rule.validity;
    let from = validity.from_us.map(|from| format!("{from} <= context.now"));
    let to = validity.to_us.map(|to| format!("context.now < {to}"));
    let revoked = validity.revoked_us.map(|_| "false".to_owned());
    let sure = rule.effect == Effect::Permit;
    let criteria = rule.matcher.criteria().iter().map(|criterion| condition(criterion, sure));
    all(&from.into_iter().chain(to).chain(revoked).chain(criteria).collect::<Vec<_>>())
}

/// The criteria of an exception hold. An exception from a denial permits, and must be sure.
fn excepts(rule: &Rule, exception: &Exception) -> String {
    let sure = rule.effect == Effect::Deny;
    all(&exception.matcher.criteria().iter().map(|criterion| condition(criterion, sure)).collect::<Vec<_>>())
}

fn all(conditions: &[String]) -> String {
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" && ") }
}

fn any(conditions: &[impl AsRef<str>]) -> String {
    let each: Vec<_> = conditions.iter().map(|condition| format!("({})", condition.as_ref())).collect();
    if each.is_empty() { "false".to_owned() } else { each.join(" || ") }
}

/// Writes a criterion in Cedar; `sure` where it must be known to hold, else it must not be known to fail.
fn condition(criterion: &Criterion, sure: bool) -> String {
    let of = |entity: &str, fact: &str, test: String| {
        if sure {
            format!("({entity} has {fact} && {test})")
        } else {
            format!("(!({entity} has {fact}) || {test})")
        }
    };
    let contains = |list: String, entity: &str, fact: &str| {
        of(entity, fact, format!("{list}.contains({entity}.{fact})"))
    };
    match criterion {
        Criterion::Requesters(members) => format!("principal in {}", entities("Member", members)),
        Criterion::Roles(roles) => contains(words(roles), "context", "role"),
        Criterion::Purposes(purposes) => contains(words(purposes), "context", "purpose"),
        Criterion::Relationships(wanted) => {
            let fact = if sure { "relationships" } else { "claimed" };
            format!("context.{fact}.containsAny({})", words(wanted))
        }
        Criterion::Emergency(reasons) => {
            format!("({EMERGENCY} && context.emergency.containsAny({}))", words(reasons))
        }
        Criterion::Consent => "context.consented".to_owned(),
        Criterion::Custodians(members) => format!("resource.custodian in {}", entities("Member", members)),
        Criterion::Authors(authors) => contains(texts_of(authors), "resource", "author"),
        Criterion::TypeCodes(codes) => contains(texts_of(codes), "resource", "type"),
        Criterion::ClassCodes(codes) => contains(texts_of(codes), "resource", "category"),
        Criterion::Labels(labels) => format!("resource.labels.containsAny({})", texts_of(labels)),
        Criterion::Documents(documents) => format!("resource in {}", entities("Document", documents)),
        Criterion::Period { from_us, to_us } => {
            let from = from_us.map(|from| format!("resource.start >= {from}"));
            let to = to_us.map(|to| format!("resource.start < {to}"));
            let within = all(&from.into_iter().chain(to).collect::<Vec<_>>());
            of("resource", "start", format!("({within})"))
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn words<T: std::fmt::Debug>(words: &[T]) -> String {
    list(words.iter().map(|word| format!("\"{word:?}\"")))
}

fn texts_of(texts: &[String]) -> String {
    list(texts.iter().map(|text| format!("\"{}\"", text.escape_default())))
}

fn entities<T: ToString>(kind: &str, ids: &[T]) -> String {
    list(ids.iter().map(|id| format!("{kind}::\"{}\"", id.to_string())))
}

fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.parse().unwrap(), cedar_policy::EntityId::new(id))
}

fn text(value: impl ToString) -> Value {
    Value::new_string(value.to_string())
}

fn texts_value<T: std::fmt::Debug>(values: &[T]) -> Value {
    Value::new_set(values.iter().map(|value| text(format!("{value:?}"))))
}

/// Puts a question.
pub(crate) fn asked(request: &Request) -> Asked {
    let requester = &request.requester;
    let known = |name: &str, word: String, is_known: bool| is_known.then(|| (name.to_owned(), text(word)));
    let role = known("role", format!("{:?}", requester.role), requester.role != Role::Unspecified);
    let is_stated = requester.purpose != PurposeOfUse::Unspecified;
    let purpose = known("purpose", format!("{:?}", requester.purpose), is_stated);
    let reasons = match request.emergency {
        Emergency::None => vec![],
        Emergency::Open(_, reason) => vec![reason],
        Emergency::Supposed => vec![
            EmergencyReason::Unconscious,
            EmergencyReason::LifeThreatening,
            EmergencyReason::DangerToOthers,
        ],
    };
    // What a role says of a relationship is not known to be so, nor known not to be.
    let mut claimed = requester.relationships.clone();
    match requester.role {
        Role::Patient => claimed.push(Relationship::Myself),
        Role::Representative => claimed.push(Relationship::Representative),
        _ => {}
    }
    let emergency = (!reasons.is_empty()).then(|| ("emergency".to_owned(), texts_value(&reasons)));
    let context = |emergency: Option<&(String, Value)>, consented| {
        let pairs = [
            ("now".to_owned(), Value::new_long(request.now_us)),
            ("relationships".to_owned(), texts_value(&requester.relationships)),
            ("claimed".to_owned(), texts_value(&claimed)),
            ("consented".to_owned(), Value::new_bool(consented)),
        ];
        let known = [role.as_ref(), purpose.as_ref(), emergency].into_iter().flatten().cloned();
        Context::from_pairs(pairs.into_iter().chain(known)).unwrap()
    };
    let contexts = |emergency| [context(emergency, false), context(emergency, true)];
    let covers: Vec<_> =
        request.scope.criteria().iter().map(|criterion| condition(criterion, true)).collect();
    Asked {
        is_representative: claimed.contains(&Relationship::Representative),
        member: uid("Member", requester.member_id.as_str()),
        scope: emergency.as_ref().map(|_| policies([("scope".to_owned(), permit(&all(&covers)))])),
        calm: contexts(None),
        in_emergency: contexts(emergency.as_ref()),
    }
}

/// Returns how Cedar names a document.
pub(crate) fn document(facts: &DocumentFacts) -> EntityUid {
    uid("Document", &facts.id.to_string())
}

/// Describes documents, what is not known of one left out, and the labels that the network knows.
pub(crate) fn documents(policy: &Policy, all: &[DocumentFacts]) -> Entities {
    let known = LABELS.into_iter().chain(policy.own_labels().iter().map(String::as_str));
    let known = HashMap::from([("labels".to_owned(), Value::new_set(known.map(text)))]);
    let network = Entity::new(uid("Network", "this"), known, HashSet::new()).unwrap();
    let entity = |facts: &DocumentFacts| {
        let known =
            |name: &str, code: &Option<String>| code.as_ref().map(|code| (name.to_owned(), text(code)));
        let labels = Value::new_set(facts.labels.iter().map(text));
        let custodian = Value::new_entity_uid(uid("Member", facts.custodian.as_str()));
        let start = facts.service_start_us.map(|start| ("start".to_owned(), Value::new_long(start)));
        let attributes = [("labels".to_owned(), labels), ("custodian".to_owned(), custodian)];
        let optional = [
            known("author", &facts.author),
            known("type", &facts.type_code),
            known("category", &facts.class_code),
            start,
        ];
        let attributes = attributes.into_iter().chain(optional.into_iter().flatten()).collect();
        // Whatever is in a document that it replaced is in it.
        let replaced = facts.replaced.iter().map(|id| uid("Document", &id.to_string())).collect();
        Entity::new(document(facts), attributes, replaced).unwrap()
    };
    Entities::from_entities(all.iter().map(entity).chain([network]), None).unwrap()
}
