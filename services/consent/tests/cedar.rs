//! The evaluator and Cedar decide the same, on rules, requests and documents drawn at random.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;

use std::{collections::BTreeMap, time::Instant};

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use signpost_common::id::{DocumentId, MemberId, RecordRef, SessionId};
use signpost_consent::domain::{
    Criterion, Decision, DocumentFacts, Effect, Emergency, Grantor, Layer, Matcher, Policy, Relationship,
    Request, Requester, Rule, Validity, decide,
};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::EmergencyReason,
};

use oracle::{Oracle, Verdict};

const SEED: u64 = 20_261_123;
const WORLDS: usize = 320;
const REQUESTS: usize = 8;
const DOCUMENTS: usize = 20;
const NOW_US: i64 = 1_000;

const MEMBERS: [&str; 4] = ["north", "south", "east", "west"];
const ROLES: [Role; 4] = [Role::Physician, Role::Nurse, Role::Patient, Role::Representative];
const PURPOSES: [PurposeOfUse; 5] = [
    PurposeOfUse::Treat,
    PurposeOfUse::Etreat,
    PurposeOfUse::Btg,
    PurposeOfUse::Hpaymt,
    PurposeOfUse::Hresch,
];
const RELATIONSHIPS: [Relationship; 3] =
    [Relationship::Myself, Relationship::Representative, Relationship::Treating];
const REASONS: [EmergencyReason; 3] =
    [EmergencyReason::Unconscious, EmergencyReason::LifeThreatening, EmergencyReason::DangerToOthers];
/// The last is the operator's own.
const LABELS: [&str; 5] = ["N", "R", "PSY", "ETH", "OWN"];
const CODES: [&str; 3] = ["a", "b", "c"];

/// Rules of one network and one patient, and what is asked.
struct World {
    policy: Policy,
    patient: Vec<Rule>,
    documents: Vec<DocumentFacts>,
    requests: Vec<Request>,
}

/// Draws what a world is made of.
struct Draw(ChaCha8Rng);

impl Draw {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.0).unwrap()
    }

    fn in_100(&mut self, share: u32) -> bool {
        self.0.random_ratio(share, 100)
    }

    /// Some of those that there are; seldom none.
    fn some<T: Copy>(&mut self, of: &[T]) -> Vec<T> {
        let first = self.one(of);
        let mut some = vec![first];
        some.extend(of.iter().filter(|_| self.0.random_ratio(1, 4)));
        if self.in_100(3) { vec![] } else { some }
    }

    fn texts(&mut self, of: &[&str]) -> Vec<String> {
        self.some(of).into_iter().map(str::to_owned).collect()
    }

    fn members(&mut self) -> Vec<MemberId> {
        self.some(&MEMBERS).into_iter().map(|id| id.parse().unwrap()).collect()
    }

    fn known<T>(&mut self, value: T) -> Option<T> {
        (!self.in_100(20)).then_some(value)
    }

    fn moment(&mut self, share: u32) -> Option<i64> {
        let at = self.0.random_range(0..10) * 100;
        self.in_100(share).then_some(at)
    }

    fn criterion(&mut self, documents: &[DocumentFacts], layer: Layer) -> Criterion {
        let kinds = if layer == Layer::Patient { 11 } else { 13 };
        match self.0.random_range(0..kinds) {
            0 => Criterion::Requesters(self.members()),
            1 => Criterion::Roles(self.some(&ROLES)),
            2 => Criterion::Purposes(self.some(&PURPOSES)),
            3 => Criterion::Relationships(self.some(&RELATIONSHIPS)),
            4 => Criterion::Custodians(self.members()),
            5 => Criterion::Authors(self.texts(&CODES)),
            6 => Criterion::TypeCodes(self.texts(&CODES)),
            7 => Criterion::ClassCodes(self.texts(&CODES)),
            8 => Criterion::Labels(self.texts(&LABELS)),
            9 => {
                let ids: Vec<_> = documents.iter().map(|document| document.id).collect();
                Criterion::Documents(self.some(&ids))
            }
            10 => Criterion::Period { from_us: self.moment(60), to_us: self.moment(60) },
            11 => Criterion::Emergency(self.some(&REASONS)),
            _ => Criterion::Consent,
        }
    }

    fn matcher(&mut self, documents: &[DocumentFacts], layer: Layer, most: usize) -> Matcher {
        let criteria = self.0.random_range(0..=most);
        Matcher::new((0..criteria).map(|_| self.criterion(documents, layer)).collect::<Vec<_>>())
    }

    fn validity(&mut self) -> Validity {
        let begun = self.moment(30);
        let ended = self.moment(10).map(|to| to + 500);
        Validity { from_us: begun, to_us: ended, revoked_us: self.moment(4) }
    }

    fn rule(&mut self, id: String, layer: Layer, effect: Effect, documents: &[DocumentFacts]) -> Rule {
        let exceptions = self.0.random_range(0..3);
        let exceptions = (0..exceptions).map(|_| self.matcher(documents, layer, 2));
        let exceptions: Vec<_> = exceptions.filter(|e| !e.is_everything()).map(Into::into).collect();
        Rule {
            matcher: self.matcher(documents, layer, if layer == Layer::Statutory { 4 } else { 3 }),
            exceptions,
            overridable: self.in_100(40),
            validity: self.validity(),
            created_us: self.0.random_range(0..3),
            ..Rule::new(&id, layer, effect)
        }
    }

    fn effect(&mut self) -> Effect {
        if self.in_100(65) { Effect::Permit } else { Effect::Deny }
    }

    fn rules(&mut self, layer: Layer, most: usize, documents: &[DocumentFacts]) -> Vec<Rule> {
        let count = self.0.random_range(0..=most);
        let rules = (0..count).map(|at| {
            let effect = if layer == Layer::Statutory { Effect::Deny } else { self.effect() };
            self.rule(format!("{}:{at}", layer.name()), layer, effect, documents)
        });
        rules.collect()
    }

    /// Directives at up to three records of the patient.
    fn directives(&mut self, documents: &[DocumentFacts]) -> Vec<Rule> {
        let mut directives = self.rules(Layer::Patient, 7, documents);
        for directive in &mut directives {
            let at = self.one(&MEMBERS[..3]).parse().unwrap();
            directive.record = Some(RecordRef::new(at, "1").unwrap());
            directive.grantor = if self.in_100(30) { Grantor::Representative } else { Grantor::Patient };
        }
        directives
    }

    fn document(&mut self, at: usize) -> DocumentFacts {
        let numbered = |at: usize| format!("00000000-0000-7000-8000-{at:012}").parse::<DocumentId>().unwrap();
        let id = numbered(at);
        let mut labels = if self.in_100(10) { vec![] } else { self.texts(&LABELS) };
        if self.in_100(3) {
            labels.push("XYZZY".to_owned());
        }
        let mut code = || {
            let code = self.one(&CODES).to_owned();
            self.known(code)
        };
        let (author, type_code, class_code) = (code(), code(), code());
        let start = self.0.random_range(0..10) * 100;
        // Some document replaced one before it, and with it whatever that one had replaced.
        let replaced = match at {
            0 => vec![],
            _ if self.in_100(70) => vec![],
            _ => (0..self.0.random_range(1..=at)).map(numbered).collect(),
        };
        DocumentFacts {
            id,
            replaced,
            custodian: self.one(&MEMBERS).parse().unwrap(),
            author,
            type_code,
            class_code,
            labels,
            service_start_us: self.known(start),
        }
    }

    /// What emergency access is for: everything, or some documents.
    fn scope(&mut self, documents: &[DocumentFacts]) -> Matcher {
        let everything = self.in_100(50);
        // A directive's criteria, without those about who asks.
        let drawn = self.matcher(documents, Layer::Patient, 4);
        let of_document = drawn.criteria().iter().filter(|criterion| {
            use Criterion::{Purposes, Relationships, Requesters, Roles};
            !matches!(criterion, Requesters(_) | Roles(_) | Purposes(_) | Relationships(_))
        });
        if everything { Matcher::default() } else { Matcher::new(of_document.cloned()) }
    }

    fn request(&mut self, documents: &[DocumentFacts]) -> Request {
        let (role, purpose) = (self.one(&ROLES), self.one(&PURPOSES));
        let requester = Requester {
            member_id: self.one(&MEMBERS).parse().unwrap(),
            role: if self.in_100(2) { Role::Unspecified } else { role },
            purpose: if self.in_100(2) { PurposeOfUse::Unspecified } else { purpose },
            relationships: if self.in_100(40) { vec![] } else { self.some(&RELATIONSHIPS) },
        };
        let reason = self.one(&REASONS);
        let emergency =
            if self.in_100(40) { Emergency::Open(SessionId::generate(), reason) } else { Emergency::None };
        Request { requester, now_us: NOW_US, emergency, scope: self.scope(documents) }
    }

    fn world(&mut self) -> World {
        let documents: Vec<_> = (0..DOCUMENTS).map(|at| self.document(at)).collect();
        let law = self.rules(Layer::Statutory, 3, &documents);
        let network = self.rules(Layer::Network, 6, &documents);
        let rules = law.into_iter().chain(network).collect();
        World {
            policy: Policy::new("drawn".into(), rules, vec!["OWN".into()]),
            patient: self.directives(&documents),
            requests: (0..REQUESTS).map(|_| self.request(&documents)).collect(),
            documents,
        }
    }
}

/// What came of all comparisons.
#[derive(Default)]
struct Tally {
    compared: usize,
    permits: usize,
    foretold: usize,
    disagreements: usize,
    /// By layer: permits and denials that it decided.
    layers: BTreeMap<&'static str, [usize; 2]>,
}

impl Tally {
    /// Counts one decision. `in_emergency` is what Cedar says if emergency access were open.
    fn count(&mut self, decision: &Decision, verdict: &Verdict, in_emergency: Option<Verdict>) -> bool {
        let could = verdict.effect == Effect::Deny
            && in_emergency.is_some_and(|verdict| verdict.effect == Effect::Permit);
        let agree = decision.effect == verdict.effect
            && decision.rule_ids.iter().all(|id| verdict.rules.contains(id))
            && decision.emergency_could_permit == could;
        self.compared += 1;
        self.permits += usize::from(verdict.effect == Effect::Permit);
        self.foretold += usize::from(could);
        self.disagreements += usize::from(!agree);
        self.layers.entry(verdict.layer.name()).or_default()[usize::from(verdict.effect == Effect::Deny)] +=
            1;
        agree
    }
}

fn compare(world: &World, tally: &mut Tally) {
    let oracle = Oracle::new(&world.policy, &world.patient);
    let documents = oracle::documents(&world.policy, &world.documents);
    let ids: Vec<_> = world.documents.iter().map(oracle::document).collect();
    for request in &world.requests {
        let asked = oracle::asked(request);
        let supposed =
            Request { emergency: Emergency::Supposed, scope: Matcher::default(), ..request.clone() };
        let supposed = (request.emergency == Emergency::None).then(|| oracle::asked(&supposed));
        let decisions = decide(&world.policy, &world.patient, request, &world.documents);
        for ((facts, document), decision) in world.documents.iter().zip(&ids).zip(decisions) {
            let verdict = oracle.decide(&asked, document, &documents);
            let denied = supposed.as_ref().filter(|_| verdict.effect == Effect::Deny);
            let in_emergency = denied.map(|asked| oracle.decide(asked, document, &documents));
            if !tally.count(&decision, &verdict, in_emergency) && tally.disagreements <= 3 {
                let (effect, rules) = (verdict.effect, &verdict.rules);
                eprintln!("{decision:?}, and Cedar says {effect:?} by {rules:?}\n{facts:?}\n{request:?}");
                eprintln!("{:#?}\n{:#?}", world.policy.rules, world.patient);
            }
        }
    }
}

#[test]
fn cedar_decides_the_same() {
    let begun = Instant::now();
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(SEED));
    let mut tally = Tally::default();
    for _ in 0..WORLDS {
        compare(&draw.world(), &mut tally);
    }
    let Tally { compared, permits, foretold, disagreements, layers } = tally;
    println!(
        "{compared} decisions compared in {:.1} s, {disagreements} disagreements; {permits} permits, {} denials, \
         {foretold} of them permitted in an emergency; permits and denials by layer: {layers:?}",
        begun.elapsed().as_secs_f64(),
        compared - permits,
    );
    assert_eq!(disagreements, 0);
    assert!(compared >= 50_000);
    let least = compared * 15 / 100;
    assert!(permits >= least && compared - permits >= least, "one effect is too seldom");
    assert!(foretold > 0);
    let decided = |layer: Layer| layers.get(layer.name()).copied().unwrap_or_default();
    assert_eq!(decided(Layer::Statutory)[0], 0, "law permits nothing");
    assert_eq!(decided(Layer::Default)[0], 0, "the last resort permits nothing");
    assert!(decided(Layer::Statutory)[1] > 0 && decided(Layer::Default)[1] > 0);
    for layer in [Layer::Patient, Layer::Network] {
        assert!(decided(layer).iter().all(|count| *count > 0), "{layer:?} decides too little");
    }
}
