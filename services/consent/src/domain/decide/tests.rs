use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::domain::rule::{Matcher, Validity};

const NOW_US: i64 = 1_000;

fn member(id: &str) -> MemberId {
    id.parse().unwrap()
}

fn asks(member_id: &str, purpose: PurposeOfUse) -> Requester {
    Requester { member_id: member(member_id), role: Role::Physician, purpose }
}

fn document() -> DocumentFacts {
    DocumentFacts {
        id: DocumentId::generate(),
        custodian: member("west"),
        type_code: Some("34133-9".into()),
        class_code: Some("11503-0".into()),
        labels: vec!["N".into()],
        service_start_us: Some(500),
    }
}

fn directive(id: &str, effect: Effect, matcher: Matcher) -> Rule {
    Rule {
        id: id.into(),
        layer: Layer::Patient,
        record: Some(record("home")),
        effect,
        matcher,
        exceptions: vec![],
        overridable: false,
        validity: Validity::default(),
        created_us: 0,
    }
}

fn record(member_id: &str) -> signpost_common::id::RecordRef {
    signpost_common::id::RecordRef::new(member(member_id), "1").unwrap()
}

fn permit(id: &str, matcher: Matcher) -> Rule {
    directive(id, Effect::Permit, matcher)
}

fn deny(id: &str, matcher: Matcher) -> Rule {
    directive(id, Effect::Deny, matcher)
}

fn everything() -> Matcher {
    Matcher::default()
}

fn from(member_id: &str) -> Matcher {
    Matcher { requesters: vec![member(member_id)], ..everything() }
}

fn labelled(label: &str) -> Matcher {
    Matcher { labels: vec![label.into()], ..everything() }
}

fn one(snapshot: &Snapshot, requester: &Requester, document: &DocumentFacts) -> Decision {
    decide(snapshot, requester, std::slice::from_ref(document)).remove(0)
}

/// Decides for treatment, asked by `north`, of an ordinary document, unless told otherwise.
struct Situation {
    rules: Vec<Rule>,
    network: NetworkDefault,
    requester: Requester,
    document: DocumentFacts,
    emergency: bool,
}

fn given(rules: &[Rule]) -> Situation {
    Situation {
        rules: rules.to_vec(),
        network: NetworkDefault::OptOut,
        requester: asks("north", PurposeOfUse::Treat),
        document: document(),
        emergency: false,
    }
}

impl Situation {
    fn opt_in(self) -> Self {
        Self { network: NetworkDefault::OptIn, ..self }
    }

    fn asked_by(self, member_id: &str) -> Self {
        Self { requester: Requester { member_id: member(member_id), ..self.requester }, ..self }
    }

    fn purpose(self, purpose: PurposeOfUse) -> Self {
        Self { requester: Requester { purpose, ..self.requester }, ..self }
    }

    fn role(self, role: Role) -> Self {
        Self { requester: Requester { role, ..self.requester }, ..self }
    }

    fn label(mut self, label: &str) -> Self {
        self.document.labels = vec![label.into()];
        self
    }

    fn emergency(self) -> Self {
        Self { emergency: true, ..self }
    }

    fn decision(&self) -> Decision {
        let mut snapshot = Snapshot::new(self.rules.clone(), self.network, NOW_US);
        snapshot.emergency = self.emergency.then(SessionId::generate);
        one(&snapshot, &self.requester, &self.document)
    }

    #[track_caller]
    fn permits(self, rule_id: &str) {
        let decision = self.decision();
        assert_eq!((decision.effect, decision.rule_ids), (Effect::Permit, vec![rule_id.to_owned()]));
        assert!(!decision.emergency_could_permit);
    }

    #[track_caller]
    fn denies(self, rule_id: &str) {
        let decision = self.decision();
        assert_eq!((decision.effect, decision.rule_ids), (Effect::Deny, vec![rule_id.to_owned()]));
    }

    #[track_caller]
    fn could_in_an_emergency(self, could: bool) -> Self {
        assert_eq!(self.decision().emergency_could_permit, could);
        self
    }
}

#[test]
fn opt_out_permits_care_and_the_patient_unless_the_patient_objects() {
    use PurposeOfUse::*;
    for purpose in [Treat, Etreat, Patrqt] {
        given(&[]).purpose(purpose).permits("network:opt-out");
    }
    for purpose in [Hpaymt, Hoperat, Pubhlth, Hresch, Btg] {
        given(&[]).purpose(purpose).denies("default:deny");
    }
    given(&[deny("no", everything())]).denies("no");
}

#[test]
fn opt_in_denies_unless_the_patient_permits() {
    given(&[]).opt_in().could_in_an_emergency(true).denies("network:opt-in");
    given(&[permit("yes", from("north"))]).opt_in().permits("yes");
    given(&[permit("yes", from("north"))]).opt_in().asked_by("south").denies("network:opt-in");
}

#[test]
fn nothing_is_permitted_without_purpose_or_role() {
    let all = [permit("yes", everything())];
    given(&all).purpose(PurposeOfUse::Unspecified).could_in_an_emergency(false).denies("default:deny");
    given(&all).role(Role::Unspecified).could_in_an_emergency(false).denies("default:deny");
    given(&all).role(Role::Unspecified).emergency().denies("default:deny");
}

#[test]
fn a_directive_speaks_of_what_it_matches_only() {
    let not_south = [deny("not-south", from("south"))];
    given(&not_south).asked_by("south").denies("not-south");
    given(&not_south).asked_by("north").permits("network:opt-out");

    let no_psychiatry = [deny("no-psy", labelled("PSY"))];
    given(&no_psychiatry).label("PSY").denies("no-psy");
    given(&no_psychiatry).label("N").permits("network:opt-out");

    let research = Matcher { purposes: vec![PurposeOfUse::Hresch], ..everything() };
    let research = [permit("research", research)];
    given(&research).purpose(PurposeOfUse::Hresch).permits("research");
    given(&research).purpose(PurposeOfUse::Hpaymt).denies("default:deny");

    let no_nurses = [deny("no-nurses", Matcher { roles: vec![Role::Nurse], ..everything() })];
    given(&no_nurses).role(Role::Nurse).denies("no-nurses");
    given(&no_nurses).permits("network:opt-out");
}

#[test]
fn an_exception_inverts_its_parent_where_it_matches() {
    let mut only_north = deny("only-north", labelled("PSY"));
    only_north.exceptions = vec![from("north")];
    given(&[only_north.clone()]).label("PSY").asked_by("north").permits("only-north");
    given(&[only_north.clone()]).label("PSY").asked_by("south").denies("only-north");
    given(&[only_north]).label("N").asked_by("south").permits("network:opt-out");

    let mut not_psychiatry = permit("all-but-psy", everything());
    not_psychiatry.exceptions = vec![labelled("PSY")];
    given(&[not_psychiatry.clone()]).opt_in().permits("all-but-psy");
    given(&[not_psychiatry]).opt_in().label("PSY").denies("all-but-psy");
}

#[test]
fn a_period_includes_its_beginning_and_not_its_end() {
    let period = |from, to| Matcher { service_from_us: Some(from), service_to_us: Some(to), ..everything() };
    given(&[deny("then", period(500, 501))]).denies("then");
    given(&[deny("then", period(400, 500))]).permits("network:opt-out");
    given(&[deny("then", period(501, 900))]).permits("network:opt-out");
}

#[test]
fn what_is_not_known_of_a_document_counts_for_a_denial_and_not_for_a_permit() {
    let matchers = [
        Matcher { service_from_us: Some(0), ..everything() },
        Matcher { type_codes: vec!["a".into()], ..everything() },
        Matcher { class_codes: vec!["a".into()], ..everything() },
    ];
    for matcher in matchers {
        let bare = |rule: Rule| {
            let mut situation = given(&[rule]);
            let facts = &mut situation.document;
            (facts.service_start_us, facts.type_code, facts.class_code) = (None, None, None);
            situation
        };
        bare(deny("no", matcher.clone())).denies("no");
        bare(permit("yes", matcher.clone())).opt_in().denies("network:opt-in");
        let mut but = deny("no", everything());
        but.exceptions = vec![matcher.clone()];
        bare(but).denies("no");
        let mut but = permit("yes", everything());
        but.exceptions = vec![matcher];
        bare(but).opt_in().denies("yes");
    }
}

#[test]
fn a_permit_at_one_member_does_not_undo_a_denial_at_another() {
    let denial = deny("home", everything());
    let narrow = Matcher { labels: vec!["N".into()], ..from("north") };
    let elsewhere = Rule { record: Some(record("north")), created_us: 99, ..permit("elsewhere", narrow) };
    given(&[denial.clone(), elsewhere.clone()]).denies("home");
    given(std::slice::from_ref(&elsewhere)).opt_in().permits("elsewhere");
    let second = Rule { record: Some(record("south")), ..deny("second", labelled("R")) };
    given(&[elsewhere, second]).permits("elsewhere");
}

#[test]
fn labels_are_the_same_in_any_case() {
    given(&[deny("no", labelled("psy"))]).label("PSY").denies("no");
}

#[test]
fn the_narrower_directive_wins_then_the_newer_then_the_denial() {
    let broad = Rule { created_us: 9, ..deny("broad", from("north")) };
    let narrow = permit("narrow", Matcher { labels: vec!["N".into()], ..from("north") });
    given(&[broad.clone(), narrow.clone()]).permits("narrow");
    given(&[broad.clone(), narrow]).label("R").denies("broad");

    let newer = Rule { created_us: 10, ..permit("newer", labelled("N")) };
    given(&[broad.clone(), newer]).permits("newer");
    let as_old = Rule { created_us: 9, ..permit("as-old", labelled("N")) };
    given(&[broad, as_old]).denies("broad");
}

#[test]
fn an_emergency_goes_past_denials_that_are_marked_and_no_others() {
    let soft = [Rule { overridable: true, ..deny("soft", everything()) }];
    let hard = deny("hard", labelled("PSY"));
    given(&soft).could_in_an_emergency(true).denies("soft");
    given(&soft).emergency().permits("network:opt-out");
    given(&soft).opt_in().emergency().permits("network:opt-in");
    given(&[soft[0].clone(), hard.clone()]).label("PSY").could_in_an_emergency(false).denies("hard");
    given(&[soft[0].clone(), hard]).label("PSY").emergency().denies("hard");

    let research = given(&soft).purpose(PurposeOfUse::Hresch);
    research.could_in_an_emergency(false).denies("soft");
    given(&soft).purpose(PurposeOfUse::Hresch).emergency().denies("soft");
    given(&[]).opt_in().purpose(PurposeOfUse::Hresch).emergency().denies("network:opt-in");
}

#[test]
fn a_directive_holds_in_its_time() {
    let during = |validity| given(&[Rule { validity, ..deny("no", everything()) }]);
    let times = |from_us, to_us| Validity { from_us, to_us, revoked_us: None };
    during(times(Some(NOW_US), Some(NOW_US + 1))).denies("no");
    during(times(Some(NOW_US + 1), None)).permits("network:opt-out");
    during(times(None, Some(NOW_US))).permits("network:opt-out");
    during(Validity { revoked_us: Some(NOW_US + 1), ..Validity::default() }).permits("network:opt-out");
}

#[test]
fn an_explanation_names_every_rule_in_the_order_of_trial() {
    let soft = Rule { overridable: true, ..deny("soft", from("north")) };
    let gone = Rule {
        validity: Validity { revoked_us: Some(1), ..Validity::default() },
        ..deny("gone", everything())
    };
    let other = deny("other", from("south"));
    let mut snapshot = Snapshot::new([gone, other, soft], NetworkDefault::OptOut, NOW_US);
    snapshot.emergency = Some(SessionId::generate());
    let (decision, explained) = explain(&snapshot, &asks("north", PurposeOfUse::Treat), &document());
    assert_eq!(decision.effect, Effect::Permit);
    let told: Vec<_> =
        explained.iter().map(|e| (e.rule_id.as_str(), e.decided, e.sentence.as_str())).collect();
    assert_eq!(
        told,
        [
            ("other", false, "The patient's directive does not speak of this request."),
            ("soft", false, "The patient's directive denies it, and emergency access goes past it."),
            ("gone", false, "The patient's directive is not in force."),
            ("network:opt-out", true, "The network's policy permits it, and decides."),
            ("default:deny", false, "The last resort denies it, and a rule before it decides."),
        ]
    );
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let members = || vec(select(vec!["north", "south"]).prop_map(member), 0..2);
    let texts = |all: &[&'static str]| vec(select(all.to_vec()).prop_map(str::to_owned), 0..2);
    let purposes = vec(select(vec![PurposeOfUse::Treat, PurposeOfUse::Hresch]), 0..2);
    let roles = vec(select(vec![Role::Physician, Role::Nurse]), 0..2);
    let period = (option::of(400..600_i64), option::of(400..600_i64));
    (members(), members(), roles, purposes, texts(&["a", "b"]), texts(&["N", "PSY"]), period).prop_map(
        |(requesters, custodians, roles, purposes, type_codes, labels, (service_from_us, service_to_us))| {
            Matcher {
                requesters,
                custodians,
                roles,
                purposes,
                type_codes,
                labels,
                service_from_us,
                service_to_us,
                ..Matcher::default()
            }
        },
    )
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let effect = select(vec![Effect::Permit, Effect::Deny]);
    (0..1000_u32, effect, any_matcher(), vec(any_matcher(), 0..2), any::<bool>(), 0..4_i64).prop_map(
        |(id, effect, matcher, exceptions, overridable, created_us)| Rule {
            exceptions,
            overridable,
            created_us,
            ..directive(&id.to_string(), effect, matcher)
        },
    )
}

fn any_document() -> impl Strategy<Value = DocumentFacts> {
    let code = || option::of(select(vec!["a", "b"]).prop_map(str::to_owned));
    let labels = vec(select(vec!["N", "PSY"]).prop_map(str::to_owned), 0..2);
    (code(), labels, option::of(400..600_i64), select(vec!["north", "west"])).prop_map(
        |(type_code, labels, service_start_us, custodian)| DocumentFacts {
            type_code,
            labels,
            service_start_us,
            custodian: member(custodian),
            ..document()
        },
    )
}

prop_compose! {
    fn any_case()(
        rules in vec(any_rule(), 0..8),
        network in select(vec![NetworkDefault::OptIn, NetworkDefault::OptOut]),
        emergency in any::<bool>(),
        role in select(vec![Role::Physician, Role::Nurse, Role::Unspecified]),
        purpose in select(vec![PurposeOfUse::Treat, PurposeOfUse::Btg, PurposeOfUse::Hresch]),
        documents in vec(any_document(), 1..8),
    ) -> (Snapshot, Requester, Vec<DocumentFacts>) {
        let mut snapshot = Snapshot::new(rules, network, NOW_US);
        snapshot.emergency = emergency.then(SessionId::generate);
        (snapshot, Requester { role, ..asks("north", purpose) }, documents)
    }
}

fn permitted(decisions: &[Decision]) -> Vec<DocumentId> {
    decisions.iter().filter(|d| d.effect == Effect::Permit).map(|d| d.document).collect()
}

proptest! {
    #[test]
    fn a_denial_more_never_permits_more((snapshot, requester, documents) in any_case(), more in any_rule()) {
        let before = permitted(&decide(&snapshot, &requester, &documents));
        let mut with = snapshot;
        with.rules.push(Rule { effect: Effect::Deny, exceptions: vec![], ..more });
        let after = permitted(&decide(&with, &requester, &documents));
        prop_assert!(after.iter().all(|id| before.contains(id)));
    }

    #[test]
    fn the_order_of_rules_does_not_matter((snapshot, requester, documents) in any_case(), turn in 0..8_usize) {
        let mut turned = snapshot.clone();
        turned.rules.reverse();
        let turn = turn % turned.rules.len();
        turned.rules.rotate_left(turn);
        let decided = decide(&snapshot, &requester, &documents);
        prop_assert_eq!(decided, decide(&turned, &requester, &documents));
    }

    #[test]
    fn a_rule_that_does_not_hold_has_no_effect(
        (snapshot, requester, documents) in any_case(),
        more in any_rule(),
        revoked in any::<bool>(),
    ) {
        let validity = if revoked {
            Validity { revoked_us: Some(1), ..Validity::default() }
        } else {
            Validity { to_us: Some(NOW_US), ..Validity::default() }
        };
        let decided = decide(&snapshot, &requester, &documents);
        let mut with = snapshot;
        with.rules.push(Rule { validity, ..more });
        prop_assert_eq!(decided, decide(&with, &requester, &documents));
    }

    #[test]
    fn without_a_mark_an_emergency_changes_nothing((snapshot, requester, documents) in any_case()) {
        let mut calm = snapshot;
        calm.rules.iter_mut().for_each(|rule| rule.overridable = false);
        calm.emergency = None;
        let mut emergency = calm.clone();
        emergency.emergency = Some(SessionId::generate());
        let decided = decide(&calm, &requester, &documents);
        prop_assert!(decided.iter().all(|d| !d.emergency_could_permit));
        prop_assert_eq!(decided, decide(&emergency, &requester, &documents));
    }

    #[test]
    fn an_emergency_permits_just_what_was_foretold((snapshot, requester, documents) in any_case()) {
        let mut calm = snapshot;
        calm.emergency = None;
        let mut emergency = calm.clone();
        emergency.emergency = Some(SessionId::generate());
        let after = decide(&emergency, &requester, &documents);
        for (before, after) in decide(&calm, &requester, &documents).iter().zip(after) {
            let foretold = before.effect == Effect::Permit || before.emergency_could_permit;
            prop_assert_eq!(foretold, after.effect == Effect::Permit);
        }
    }

    #[test]
    fn an_explanation_names_the_rule_that_decides((snapshot, requester, documents) in any_case()) {
        for document in &documents {
            let (decision, explained) = explain(&snapshot, &requester, document);
            let deciding: Vec<_> = explained.iter().filter(|e| e.decided).map(|e| e.rule_id.clone()).collect();
            prop_assert_eq!(&deciding, &decision.rule_ids);
        }
    }
}
