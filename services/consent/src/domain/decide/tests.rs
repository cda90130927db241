use signpost_common::id::{MemberId, RecordRef, SessionId};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::EmergencyReason,
};

use super::*;
use crate::{
    document::NetworkDefault,
    domain::{Criterion, Matcher, Relationship, Requester, Validity, explain},
};

mod laws;

const NOW_US: i64 = 1_000;

fn member(id: &str) -> MemberId {
    id.parse().unwrap()
}

fn asks(member_id: &str, purpose: PurposeOfUse) -> Requester {
    Requester { member_id: member(member_id), role: Role::Physician, purpose, relationships: vec![] }
}

fn document() -> DocumentFacts {
    DocumentFacts {
        id: DocumentId::generate(),
        replaced: vec![],
        custodian: member("west"),
        author: Some("West Hospital".into()),
        type_code: Some("34133-9".into()),
        class_code: Some("11503-0".into()),
        labels: vec!["N".into()],
        service_start_us: Some(500),
    }
}

fn directive(id: &str, effect: Effect, matcher: Matcher) -> Rule {
    Rule { record: Some(record("home")), matcher, ..Rule::new(id, Layer::Patient, effect) }
}

fn record(member_id: &str) -> RecordRef {
    RecordRef::new(member(member_id), "1").unwrap()
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
    Matcher::new([Criterion::Requesters(vec![member(member_id)])])
}

fn labelled(label: &str) -> Matcher {
    Matcher::new([Criterion::Labels(vec![label.into()])])
}

fn from_labelled(member_id: &str, label: &str) -> Matcher {
    Matcher::new([Criterion::Requesters(vec![member(member_id)]), Criterion::Labels(vec![label.into()])])
}

fn asked(requester: Requester, emergency: bool) -> Request {
    let reason = EmergencyReason::Unconscious;
    let emergency = if emergency { Emergency::Open(SessionId::generate(), reason) } else { Emergency::None };
    Request { requester, now_us: NOW_US, emergency, scope: Matcher::default() }
}

/// Decides for treatment, asked by `north`, of an ordinary document, unless told otherwise.
struct Situation {
    rules: Vec<Rule>,
    network: NetworkDefault,
    /// Instead of that of the network.
    policy: Option<Policy>,
    requester: Requester,
    document: DocumentFacts,
    emergency: bool,
}

fn given(rules: &[Rule]) -> Situation {
    Situation {
        rules: rules.to_vec(),
        network: NetworkDefault::OptOut,
        policy: None,
        requester: asks("north", PurposeOfUse::Treat),
        document: document(),
        emergency: false,
    }
}

impl Situation {
    fn opt_in(self) -> Self {
        Self { network: NetworkDefault::OptIn, ..self }
    }

    fn under(self, rules: &[Rule]) -> Self {
        Self { policy: Some(Policy::new("test".into(), rules.to_vec(), vec!["OWN".into()])), ..self }
    }

    fn asked_by(self, member_id: &str) -> Self {
        Self { requester: Requester { member_id: member(member_id), ..self.requester }, ..self }
    }

    fn purpose(self, purpose: PurposeOfUse) -> Self {
        Self { requester: Requester { purpose, ..self.requester }, ..self }
    }

    fn who_is(mut self, relationship: Relationship) -> Self {
        self.requester.relationships = vec![relationship];
        self
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
        let request = asked(self.requester.clone(), self.emergency);
        let policy = self.policy.clone().unwrap_or_else(|| self.network.policy());
        decide(&policy, &self.rules, &request, std::slice::from_ref(&self.document)).remove(0)
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
    for purpose in [Treat, Etreat, Btg] {
        given(&[]).purpose(purpose).permits("network:opt-out");
    }
    for relationship in [Relationship::Myself, Relationship::Representative] {
        given(&[]).purpose(Patrqt).who_is(relationship).permits("network:own-information");
    }
    given(&[]).purpose(Patrqt).who_is(Relationship::Treating).denies("default:deny");
    for purpose in [Patrqt, Hpaymt, Hoperat, Pubhlth, Hresch] {
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

    let research = Matcher::new([Criterion::Purposes(vec![PurposeOfUse::Hresch])]);
    let research = [permit("research", research)];
    given(&research).purpose(PurposeOfUse::Hresch).permits("research");
    given(&research).purpose(PurposeOfUse::Hpaymt).denies("default:deny");

    let no_nurses = [deny("no-nurses", Matcher::new([Criterion::Roles(vec![Role::Nurse])]))];
    given(&no_nurses).role(Role::Nurse).denies("no-nurses");
    given(&no_nurses).permits("network:opt-out");
}

#[test]
fn an_exception_inverts_its_parent_where_it_matches() {
    let mut only_north = deny("only-north", labelled("PSY"));
    only_north.exceptions = vec![from("north").into()];
    given(&[only_north.clone()]).label("PSY").asked_by("north").permits("only-north");
    given(&[only_north.clone()]).label("PSY").asked_by("south").denies("only-north");
    given(&[only_north]).label("N").asked_by("south").permits("network:opt-out");

    let mut not_psychiatry = permit("all-but-psy", everything());
    not_psychiatry.exceptions = vec![labelled("PSY").into()];
    given(&[not_psychiatry.clone()]).opt_in().permits("all-but-psy");
    given(&[not_psychiatry]).opt_in().label("PSY").denies("all-but-psy");
}

#[test]
fn a_period_includes_its_beginning_and_not_its_end() {
    let period = |from, to| Matcher::new([Criterion::Period { from_us: Some(from), to_us: Some(to) }]);
    given(&[deny("then", period(500, 501))]).denies("then");
    given(&[deny("then", period(400, 500))]).permits("network:opt-out");
    given(&[deny("then", period(501, 900))]).permits("network:opt-out");
}

#[test]
fn what_is_not_known_of_a_document_counts_for_a_denial_and_not_for_a_permit() {
    let matchers = [
        Matcher::new([Criterion::Period { from_us: Some(0), to_us: None }]),
        Matcher::new([Criterion::TypeCodes(vec!["a".into()])]),
        Matcher::new([Criterion::ClassCodes(vec!["a".into()])]),
        Matcher::new([Criterion::Authors(vec!["a".into()])]),
    ];
    for matcher in matchers {
        let bare = |rule: Rule| {
            let mut situation = given(&[rule]);
            let facts = &mut situation.document;
            (facts.service_start_us, facts.type_code) = (None, None);
            (facts.class_code, facts.author) = (None, None);
            situation
        };
        bare(deny("no", matcher.clone())).denies("no");
        bare(permit("yes", matcher.clone())).opt_in().denies("network:opt-in");
        let mut but = deny("no", everything());
        but.exceptions = vec![matcher.clone().into()];
        bare(but).denies("no");
        let mut but = permit("yes", everything());
        but.exceptions = vec![matcher.into()];
        bare(but).opt_in().denies("yes");
    }
}

#[test]
fn a_permit_at_one_member_does_not_undo_a_denial_at_another() {
    let denial = deny("home", everything());
    let narrow = from_labelled("north", "N");
    let elsewhere = Rule { record: Some(record("north")), created_us: 99, ..permit("elsewhere", narrow) };
    given(&[denial.clone(), elsewhere.clone()]).denies("home");
    given(std::slice::from_ref(&elsewhere)).opt_in().permits("elsewhere");
    let second = Rule { record: Some(record("south")), ..deny("second", labelled("R")) };
    given(&[elsewhere, second]).permits("elsewhere");
}

#[test]
fn the_narrower_directive_wins_then_the_newer_then_the_denial() {
    let broad = Rule { created_us: 9, ..deny("broad", from("north")) };
    let narrow = permit("narrow", from_labelled("north", "N"));
    given(&[broad.clone(), narrow.clone()]).permits("narrow");
    given(&[broad.clone(), narrow]).label("R").denies("broad");

    let newer = Rule { created_us: 10, ..permit("newer", labelled("N")) };
    given(&[broad.clone(), newer]).permits("newer");
    let as_old = Rule { created_us: 9, ..permit("as-old", labelled("N")) };
    given(&[broad, as_old]).denies("broad");
}

#[test]
fn a_directive_that_names_a_document_is_narrower_than_any_that_does_not() {
    let broad = Matcher::new([
        Criterion::Requesters(vec![member("north")]),
        Criterion::Purposes(vec![PurposeOfUse::Treat]),
    ]);
    let document = document();
    let named = Matcher::new([Criterion::Documents(vec![document.id])]);
    let given = |rules: &[Rule]| Situation { document: document.clone(), ..given(rules) };
    given(&[permit("broad", broad.clone()), deny("named", named.clone())]).denies("named");
    given(&[deny("broad", broad), permit("named", named)]).permits("named");
}

#[test]
fn what_is_said_of_a_document_is_said_of_what_replaced_it() {
    let (first, second) = (document(), document());
    let newest = DocumentFacts { replaced: vec![second.id, first.id], ..document() };
    let of = |document: DocumentFacts| {
        let named = Matcher::new([Criterion::Documents(vec![first.id])]);
        Situation { document, ..given(&[permit("all", everything()), deny("named", named)]) }
    };
    of(newest).denies("named");
    of(first.clone()).denies("named");
    of(second).permits("all");
}

#[test]
fn who_acts_for_a_patient_does_not_consent_for_themselves() {
    let law = Rule {
        matcher: labelled("SEX"),
        exceptions: vec![Matcher::new([Criterion::Consent]).into()],
        ..Rule::new("statutory:care", Layer::Statutory, Effect::Deny)
    };
    let everybody = Rule::new("network:everybody", Layer::Network, Effect::Permit);
    let asked = |by| {
        let yes = Rule { grantor: by, ..permit("yes", everything()) };
        given(&[yes]).under(&[law.clone(), everybody.clone()]).label("SEX")
    };
    asked(Grantor::Patient).role(Role::Representative).permits("yes");
    asked(Grantor::Representative).role(Role::Representative).denies("statutory:care");
    asked(Grantor::Representative).who_is(Relationship::Representative).denies("statutory:care");
    asked(Grantor::Representative).permits("yes");
}

#[test]
fn an_emergency_goes_past_denials_that_are_marked_and_no_others() {
    let soft = [Rule { overridable: true, ..deny("soft", everything()) }];
    let hard = deny("hard", labelled("PSY"));
    given(&soft).could_in_an_emergency(true).denies("soft");
    given(&soft).emergency().permits("network:opt-out");
    given(&soft).opt_in().emergency().permits("network:emergency");
    given(&[soft[0].clone(), hard.clone()]).label("PSY").could_in_an_emergency(false).denies("hard");
    given(&[soft[0].clone(), hard]).label("PSY").emergency().denies("hard");

    let research = given(&soft).purpose(PurposeOfUse::Hresch);
    research.could_in_an_emergency(false).denies("soft");
    given(&soft).purpose(PurposeOfUse::Hresch).emergency().denies("soft");
    given(&[]).opt_in().purpose(PurposeOfUse::Hresch).emergency().denies("network:opt-in");
}

#[test]
fn emergency_access_is_for_its_scope() {
    let soft = [Rule { overridable: true, ..deny("soft", everything()) }];
    let policy = NetworkDefault::OptOut.policy();
    let within = |scope: Matcher| {
        let request = Request { scope, ..asked(asks("north", PurposeOfUse::Treat), true) };
        decide(&policy, &soft, &request, &[document()]).remove(0)
    };
    assert_eq!(within(everything()).effect, Effect::Permit);
    assert_eq!(within(labelled("N")).effect, Effect::Permit);
    let outside = within(labelled("PSY"));
    assert_eq!((outside.effect, outside.emergency_could_permit), (Effect::Deny, false));
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
fn a_label_that_the_policy_does_not_know_denies() {
    given(&[permit("yes", everything())]).label("XYZZY").denies("default:unknown-label");
    given(&[permit("yes", everything())]).label("XYZZY").emergency().denies("default:unknown-label");
    let rules = [Rule::new("network:all", Layer::Network, Effect::Permit)];
    given(&[]).under(&rules).label("OWN").permits("network:all");
}

fn part_2() -> Vec<Rule> {
    let notice = Obligation::RedisclosureNotice("not to be passed on".into());
    let consent = Matcher::new([Criterion::Consent]);
    let reasons = vec![EmergencyReason::Unconscious];
    let emergency = Exception {
        matcher: Matcher::new([Criterion::Emergency(reasons)]),
        obligations: vec![Obligation::Notify(crate::domain::Party::Patient)],
    };
    vec![
        Rule {
            matcher: labelled("ETH"),
            exceptions: vec![consent.into(), emergency],
            obligations: vec![notice],
            ..Rule::new("statutory:part-2", Layer::Statutory, Effect::Deny)
        },
        Rule::new("network:all", Layer::Network, Effect::Permit),
    ]
}

#[test]
fn law_denies_before_the_patient_and_the_network_are_asked() {
    let rules = part_2();
    given(&[]).under(&rules).permits("network:all");
    given(&[]).under(&rules).label("ETH").could_in_an_emergency(true).denies("statutory:part-2");
    let research = given(&[]).under(&rules).label("ETH").purpose(PurposeOfUse::Hresch);
    research.could_in_an_emergency(false).denies("statutory:part-2");
    given(&[permit("yes", labelled("ETH"))]).under(&rules).label("ETH").permits("yes");
    given(&[permit("yes", labelled("N"))]).under(&rules).label("ETH").denies("statutory:part-2");
    given(&[]).under(&rules).label("ETH").emergency().permits("network:all");
    // What law no longer forbids, the patient may.
    given(&[deny("no", everything())]).under(&rules).label("ETH").emergency().denies("no");
}

#[test]
fn no_mark_makes_law_yield() {
    let law = Rule { overridable: true, ..Rule::new("statutory:no", Layer::Statutory, Effect::Deny) };
    let rules = [law, Rule::new("network:all", Layer::Network, Effect::Permit)];
    given(&[permit("yes", everything())]).under(&rules).emergency().denies("statutory:no");
}

#[test]
fn what_every_rule_that_speaks_asks_for_accompanies_the_release() {
    let duties = |situation: Situation| -> Vec<&str> {
        situation.decision().obligations.iter().map(Obligation::kind).collect()
    };
    let rules = part_2();
    assert_eq!(duties(given(&[]).under(&rules)), [""; 0]);
    assert_eq!(duties(given(&[]).under(&rules).label("ETH")), [""; 0], "denied");
    let consented = given(&[permit("yes", labelled("ETH"))]).under(&rules).label("ETH");
    assert_eq!(duties(consented), ["REDISCLOSURE_NOTICE"]);
    let emergency = given(&[]).under(&rules).label("ETH").emergency();
    assert_eq!(duties(emergency), ["REDISCLOSURE_NOTICE", "NOTIFY"]);
}

#[test]
fn an_exception_of_the_network_takes_its_rule_back() {
    let but_nurses = |effect| Rule {
        exceptions: vec![Matcher::new([Criterion::Roles(vec![Role::Nurse])]).into()],
        ..Rule::new("network:but-nurses", Layer::Network, effect)
    };
    let denial = [but_nurses(Effect::Deny)];
    given(&[]).under(&denial).denies("network:but-nurses");
    given(&[]).under(&denial).role(Role::Nurse).denies("default:deny");
    let permit = [but_nurses(Effect::Permit)];
    given(&[]).under(&permit).permits("network:but-nurses");
    given(&[]).under(&permit).role(Role::Nurse).denies("default:deny");
}

#[test]
fn a_relationship_is_what_the_requester_has() {
    let own = Criterion::Relationships(vec![Relationship::Treating]);
    let rules =
        [Rule { matcher: Matcher::new([own]), ..Rule::new("network:own", Layer::Network, Effect::Permit) }];
    given(&[]).under(&rules).who_is(Relationship::Treating).permits("network:own");
    given(&[]).under(&rules).denies("default:deny");
}

#[test]
fn a_role_that_claims_a_relationship_counts_for_a_denial_and_not_for_a_permit() {
    let of = |effect, relationship| {
        let matcher = Matcher::new([Criterion::Relationships(vec![relationship])]);
        Rule { matcher, ..Rule::new("network:claimed", Layer::Network, effect) }
    };
    let everybody = Rule::new("network:everybody", Layer::Network, Effect::Permit);
    for (role, claimed) in
        [(Role::Patient, Relationship::Myself), (Role::Representative, Relationship::Representative)]
    {
        given(&[]).under(&[of(Effect::Permit, claimed)]).role(role).denies("default:deny");
        let denied = [of(Effect::Deny, claimed), everybody.clone()];
        given(&[]).under(&denied).role(role).denies("network:claimed");
        given(&[]).under(&denied).role(Role::Physician).permits("network:everybody");
        let treating = [of(Effect::Deny, Relationship::Treating), everybody.clone()];
        given(&[]).under(&treating).role(role).permits("network:everybody");
    }
}

#[test]
fn an_explanation_names_every_rule_in_the_order_of_trial() {
    let soft = Rule { overridable: true, ..deny("soft", from("north")) };
    let validity = Validity { revoked_us: Some(1), ..Validity::default() };
    let gone = Rule { validity, ..deny("gone", everything()) };
    let other = deny("other", from("south"));
    let request = asked(asks("north", PurposeOfUse::Treat), true);
    let policy = Policy::new("test".into(), part_2(), vec![]);
    let (decision, explained) = explain(&policy, &[gone, other, soft], &request, &document());
    assert_eq!(decision.effect, Effect::Permit);
    let told: Vec<_> =
        explained.iter().map(|e| (e.rule_id.as_str(), e.decided, e.sentence.as_str())).collect();
    assert_eq!(
        told,
        [
            ("statutory:part-2", false, "The law's rule speaks of other labels."),
            ("soft", false, "The patient's directive denies it, and emergency access goes past it."),
            ("gone", false, "The patient's directive is not in force."),
            ("other", false, "The patient's directive speaks of other organisations."),
            ("network:all", true, "The network's rule permits it, and decides."),
            ("default:deny", false, "A rule before the last resort decides."),
            ("default:unknown-label", false, "The policy knows every label of the document."),
        ]
    );
}
