//! How long a decision takes: 100 documents of one patient under a network of 50 rules, with 20 directives on 3 records.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[expect(dead_code, reason = "a test asks for more")]
#[path = "../tests/oracle/mod.rs"]
mod oracle;

use std::{fmt::Write, hint::black_box};

use criterion::Criterion;
use signpost_common::id::{DirectiveId, DocumentId, RecordRef, SessionId};
use signpost_consent::{
    document::Document,
    domain::{
        Criterion as On, Directive, DocumentFacts, Effect, Emergency, Grantor, Matcher, Policy, Relationship,
        Request, Requester, Rule, Validity, decide,
    },
};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::EmergencyReason,
};

use oracle::Oracle;

/// What the exchange itself runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DOCUMENTS: usize = 100;
const LAWS: usize = 12;
const RULES: usize = 50;
const DIRECTIVES: usize = 20;
const DAY_US: i64 = 86_400_000_000;
const NOW_US: i64 = 20_000 * DAY_US;

const MEMBERS: [&str; 8] = ["north", "south", "east", "west", "lakeside", "harbour", "county", "university"];
const TYPES: [&str; 6] = ["34133-9", "18842-5", "11502-2", "57133-1", "11488-4", "18748-4"];
const CATEGORIES: [&str; 3] = ["11503-0", "26436-6", "47045-0"];
const AUTHORS: [&str; 4] = ["North Hospital", "Lakeside Practice", "County Laboratory", "Harbour Clinic"];
const SENSITIVE: [&str; 6] = ["PSY", "ETH", "HIV", "SDV", "PSYTHPN", "SEX"];

fn of<T: Copy>(list: &[T], at: usize) -> T {
    list[at % list.len()]
}

/// Writes a policy as an operator would: laws on sensitive labels, then the network's permits, and denials among them.
fn source() -> String {
    let mut text = "name = \"bench\"\nlabels = [\"OWN\"]\n".to_owned();
    for at in 0..LAWS {
        let (label, next) = (of(&SENSITIVE, at), of(&SENSITIVE, at + 1));
        write!(
            text,
            "\n[[statutory]]\nname = \"law-{at}\"\nsource = \"law, section {at}\"\neffect = \"deny\"\n\
             match = {{ labels = [\"{label}\", \"{next}\"], categories = [\"{}\"] }}\n\
             except = [\n  {{ match = {{ consent = true, purposes = [\"TREAT\", \"ETREAT\"] }} }},\n  \
             {{ match = {{ emergency = [\"unconscious\", \"life-threatening\"], roles = [\"physician\"] }}, \
             obligations = [{{ notify = \"privacy-officer\" }}] }},\n]\n\
             obligations = [{{ notice = \"Not to be passed on under section {at}.\" }}]\n",
            of(&CATEGORIES, at),
        )
        .unwrap();
    }
    for at in LAWS..RULES {
        let (member, other) = (of(&MEMBERS, at), of(&MEMBERS, at + 3));
        let (effect, matcher) = match at % 8 {
            0 => (
                "permit",
                "purposes = [\"TREAT\", \"ETREAT\"], roles = [\"physician\", \"nurse\"]".to_owned(),
            ),
            1 => (
                "permit",
                format!("purposes = [\"HPAYMT\", \"HOPERAT\"], requesters = [\"{member}\", \"{other}\"]"),
            ),
            2 => ("deny", format!("requesters = [\"{member}\"], labels = [\"{}\"]", of(&SENSITIVE, at / 8))),
            3 => (
                "permit",
                format!(
                    "purposes = [\"TREAT\"], types = [\"{}\", \"{}\"]",
                    of(&TYPES, at),
                    of(&TYPES, at + 1)
                ),
            ),
            4 => (
                "permit",
                "purposes = [\"PATRQT\"], relationships = [\"self\", \"representative\"]".to_owned(),
            ),
            5 => (
                "deny",
                format!("purposes = [\"HRESCH\"], custodians = [\"{member}\"], service-to = 2000-01-01"),
            ),
            6 => ("permit", format!("purposes = [\"PUBHLTH\"], authors = [\"{}\"]", of(&AUTHORS, at))),
            _ => ("deny", "labels = [\"VIP\"], roles = [\"clerk\", \"system\"]".to_owned()),
        };
        write!(text, "\n[[network]]\nname = \"rule-{at}\"\nsource = \"agreement, {at}\"\neffect = \"{effect}\"\nmatch = {{ {matcher} }}\n").unwrap();
        if at % 3 == 0 {
            writeln!(text, "except = [{{ match = {{ labels = [\"{}\"] }} }}]", of(&SENSITIVE, at / 3))
                .unwrap();
        }
        if at % 5 == 0 {
            writeln!(text, "from = 2020-01-01\nto = 2030-01-01").unwrap();
        }
    }
    text
}

/// What a patient decided at three members: some of it broad, most of it narrow, two of it ended.
fn directives(documents: &[DocumentFacts]) -> Vec<Directive> {
    let directive = |at: usize| {
        let texts = |list: &[&str]| vec![of(list, at).to_owned()];
        let (effect, criteria) = match at % 7 {
            0 => (Effect::Permit, vec![On::Purposes(vec![PurposeOfUse::Treat, PurposeOfUse::Etreat])]),
            1 => (Effect::Deny, vec![On::Labels(texts(&SENSITIVE))]),
            2 => (
                Effect::Permit,
                vec![On::Requesters(vec!["lakeside".parse().unwrap()]), On::Labels(texts(&SENSITIVE))],
            ),
            3 => {
                (Effect::Permit, vec![On::TypeCodes(texts(&TYPES)), On::Purposes(vec![PurposeOfUse::Treat])])
            }
            4 => (
                Effect::Deny,
                vec![On::Documents(documents.iter().skip(at).step_by(9).map(|d| d.id).collect())],
            ),
            5 => {
                let period =
                    On::Period { from_us: Some(NOW_US - 3000 * DAY_US), to_us: Some(NOW_US - 2500 * DAY_US) };
                (Effect::Deny, vec![period, On::Custodians(vec![of(&MEMBERS, at).parse().unwrap()])])
            }
            _ => (Effect::Deny, vec![On::Authors(texts(&AUTHORS)), On::Roles(vec![Role::Nurse])]),
        };
        let except = Matcher::new([On::Requesters(vec![of(&MEMBERS, at + 1).parse().unwrap()])]);
        Directive {
            id: DirectiveId::generate(),
            patient: RecordRef::new(of(&MEMBERS[..3], at).parse().unwrap(), "4711").unwrap(),
            effect,
            matcher: Matcher::new(criteria),
            exceptions: if at.is_multiple_of(4) { vec![except] } else { vec![] },
            overridable: at.is_multiple_of(2),
            validity: Validity {
                from_us: Some(NOW_US - 900 * DAY_US),
                to_us: (at % 10 == 9).then_some(NOW_US - DAY_US),
                revoked_us: None,
            },
            created_us: NOW_US - 900 * DAY_US + at as i64,
            created_by: "north/clerk".to_owned(),
            grantor: Grantor::Patient,
            signature: None,
        }
    };
    (0..DIRECTIVES).map(directive).collect()
}

fn documents() -> Vec<DocumentFacts> {
    let document = |at: usize| {
        let mut labels = vec![if at.is_multiple_of(4) { "R" } else { "N" }.to_owned()];
        if at.is_multiple_of(4) {
            labels.push(of(&SENSITIVE, at / 4).to_owned());
        }
        DocumentFacts {
            id: DocumentId::generate(),
            replaced: vec![],
            custodian: of(&MEMBERS, at).parse().unwrap(),
            author: (!at.is_multiple_of(5)).then(|| of(&AUTHORS, at).to_owned()),
            type_code: Some(of(&TYPES, at).to_owned()),
            class_code: Some(of(&CATEGORIES, at).to_owned()),
            labels,
            service_start_us: Some(NOW_US - 40 * at as i64 * DAY_US),
        }
    };
    (0..DOCUMENTS).map(document).collect()
}

fn request(purpose: PurposeOfUse, emergency: Emergency) -> Request {
    let requester = Requester {
        member_id: "lakeside".parse().unwrap(),
        role: Role::Physician,
        purpose,
        relationships: vec![Relationship::Treating],
    };
    Request { requester, now_us: NOW_US, emergency, scope: Matcher::default() }
}

fn policy() -> Policy {
    Document::parse(&source()).unwrap().policy("bench@1")
}

fn deciding(c: &mut Criterion) {
    let (policy, documents) = (policy(), documents());
    assert_eq!(policy.rules.len(), RULES);
    let patient: Vec<Rule> = directives(&documents).into_iter().map(Into::into).collect();
    let emergency = Emergency::Open(SessionId::generate(), EmergencyReason::Unconscious);
    let mut group = c.benchmark_group("100 documents");
    for (name, request) in [
        ("treatment", request(PurposeOfUse::Treat, Emergency::None)),
        ("emergency", request(PurposeOfUse::Etreat, emergency)),
        ("research", request(PurposeOfUse::Hresch, Emergency::None)),
    ] {
        let decided = decide(&policy, &patient, &request, &documents);
        let permits = decided.iter().filter(|decision| decision.effect == Effect::Permit).count();
        println!("{name}: {permits} of {} permitted", decided.len());
        group.bench_function(name, |bench| {
            bench.iter(|| decide(black_box(&policy), black_box(&patient), black_box(&request), &documents));
        });
    }
    let request = request(PurposeOfUse::Treat, Emergency::None);
    let oracle = Oracle::new(&policy, &patient);
    let (asked, entities) = (oracle::asked(&request), oracle::documents(&policy, &documents));
    let ids: Vec<_> = documents.iter().map(oracle::document).collect();
    group.sample_size(20);
    group.bench_function("treatment, by Cedar", |bench| {
        bench.iter(|| {
            let permits = |id: &&_| oracle.decide(&asked, id, &entities).effect == Effect::Permit;
            ids.iter().filter(permits).count()
        });
    });
    group.finish();
}

fn building(c: &mut Criterion) {
    let source = source();
    let directives = directives(&documents());
    let mut group = c.benchmark_group("rules");
    group.bench_function("policy of 50 read", |bench| {
        bench.iter(|| Document::parse(black_box(&source)).map(|document| document.policy("bench@1")));
    });
    group.bench_function("20 directives turned", |bench| {
        bench.iter_batched(
            || directives.clone(),
            |directives| directives.into_iter().map(Into::into).collect::<Vec<Rule>>(),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    deciding(&mut criterion);
    building(&mut criterion);
    criterion.final_summary();
}
