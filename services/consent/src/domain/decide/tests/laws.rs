//! What holds of every decision, whatever the rules.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let members = || vec(select(vec!["north", "south"]).prop_map(member), 0..2);
    let texts = |all: &[&'static str]| vec(select(all.to_vec()).prop_map(str::to_owned), 0..2);
    let purposes = vec(select(vec![PurposeOfUse::Treat, PurposeOfUse::Hresch]), 0..2);
    let roles = vec(select(vec![Role::Physician, Role::Nurse]), 0..2);
    let period = (option::of(400..600_i64), option::of(400..600_i64));
    (members(), members(), roles, purposes, texts(&["a", "b"]), texts(&["N", "PSY"]), period).prop_map(
        |(requesters, custodians, roles, purposes, type_codes, labels, (from_us, to_us))| {
            Matcher::new([
                Criterion::Requesters(requesters),
                Criterion::Custodians(custodians),
                Criterion::Roles(roles),
                Criterion::Purposes(purposes),
                Criterion::TypeCodes(type_codes),
                Criterion::Labels(labels),
                Criterion::Period { from_us, to_us },
            ])
        },
    )
}

/// Rules of a policy: law and the network's, which may look at consent and emergencies.
fn any_policy() -> impl Strategy<Value = Policy> {
    let special = select(vec![
        None,
        Some(Criterion::Consent),
        Some(Criterion::Emergency(vec![EmergencyReason::Unconscious])),
    ]);
    let matcher = (any_matcher(), special)
        .prop_map(|(matcher, special)| Matcher::new(matcher.criteria().iter().cloned().chain(special)))
        .boxed();
    let rule = (any::<bool>(), any::<bool>(), matcher.clone(), vec(matcher, 0..2), any::<bool>());
    let rules = vec(rule, 0..6).prop_map(|rows| {
        let read = |(at, (is_law, permits, matcher, exceptions, overridable)): (
            usize,
            (bool, bool, _, Vec<Matcher>, _),
        )| {
            let (layer, effect) = match (is_law, permits) {
                (true, _) => (Layer::Statutory, Effect::Deny),
                (false, true) => (Layer::Network, Effect::Permit),
                (false, false) => (Layer::Network, Effect::Deny),
            };
            let exceptions =
                exceptions.into_iter().filter(|e| !e.is_everything()).map(Exception::from).collect();
            Rule {
                matcher,
                exceptions,
                overridable,
                ..Rule::new(&format!("{}:{at}", layer.name()), layer, effect)
            }
        };
        Policy::new("any".into(), rows.into_iter().enumerate().map(read).collect(), vec![])
    });
    let shipped =
        select(vec![NetworkDefault::OptIn, NetworkDefault::OptOut]).prop_map(NetworkDefault::policy);
    prop_oneof![rules, shipped]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let effect = select(vec![Effect::Permit, Effect::Deny]);
    (0..1000_u32, effect, any_matcher(), vec(any_matcher(), 0..2), any::<bool>(), 0..4_i64).prop_map(
        |(id, effect, matcher, exceptions, overridable, created_us)| Rule {
            exceptions: exceptions.into_iter().map(Exception::from).collect(),
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
        policy in any_policy(),
        rules in vec(any_rule(), 0..8),
        emergency in any::<bool>(),
        role in select(vec![Role::Physician, Role::Nurse, Role::Unspecified]),
        purpose in select(vec![PurposeOfUse::Treat, PurposeOfUse::Btg, PurposeOfUse::Hresch]),
        documents in vec(any_document(), 1..8),
    ) -> Case {
        let request = asked(Requester { role, ..asks("north", purpose) }, emergency);
        Case { policy, rules, request, documents }
    }
}

#[derive(Debug, Clone)]
struct Case {
    policy: Policy,
    rules: Vec<Rule>,
    request: Request,
    documents: Vec<DocumentFacts>,
}

impl Case {
    fn decide(&self) -> Vec<Decision> {
        decide(&self.policy, &self.rules, &self.request, &self.documents)
    }

    fn in_emergency(&self, emergency: bool) -> Self {
        Self { request: asked(self.request.requester.clone(), emergency), ..self.clone() }
    }
}

fn permitted(decisions: &[Decision]) -> Vec<DocumentId> {
    decisions.iter().filter(|d| d.effect == Effect::Permit).map(|d| d.document).collect()
}

proptest! {
    #[test]
    fn a_denial_more_never_permits_more(case in any_case(), more in any_rule(), layer in 0..3_usize) {
        let before = permitted(&case.decide());
        let more = Rule { effect: Effect::Deny, exceptions: vec![], ..more };
        let mut with = case;
        match layer {
            0 => with.rules.push(more),
            1 => with.policy.rules.push(Rule { layer: Layer::Network, record: None, ..more }),
            _ => with.policy.rules.push(Rule { layer: Layer::Statutory, record: None, ..more }),
        }
        let after = permitted(&with.decide());
        prop_assert!(after.iter().all(|id| before.contains(id)));
    }

    #[test]
    fn the_order_of_rules_does_not_matter(case in any_case(), turn in 0..8_usize) {
        let mut turned = case.clone();
        for rules in [&mut turned.rules, &mut turned.policy.rules] {
            rules.reverse();
            let turn = turn % rules.len().max(1);
            rules.rotate_left(turn);
        }
        prop_assert_eq!(case.decide(), turned.decide());
    }

    #[test]
    fn what_law_denies_nothing_permits(case in any_case(), law in any_matcher(), more in vec(any_rule(), 0..4)) {
        let law = Rule {
            matcher: law,
            overridable: true,
            ..Rule::new("statutory:law", Layer::Statutory, Effect::Deny)
        };
        let mut under_law = case;
        under_law.policy.rules.push(law);
        let denied: Vec<_> = under_law
            .decide()
            .into_iter()
            .filter(|decision| decision.rule_ids == ["statutory:law"])
            .map(|decision| decision.document)
            .collect();
        under_law.rules.extend(more);
        let permitted = permitted(&under_law.in_emergency(true).decide());
        prop_assert!(denied.iter().all(|id| !permitted.contains(id)));
    }

    #[test]
    fn a_rule_that_does_not_hold_has_no_effect(case in any_case(), more in any_rule(), revoked in any::<bool>()) {
        let validity = if revoked {
            Validity { revoked_us: Some(1), ..Validity::default() }
        } else {
            Validity { to_us: Some(NOW_US), ..Validity::default() }
        };
        let mut with = case.clone();
        with.rules.push(Rule { validity, ..more });
        prop_assert_eq!(case.decide(), with.decide());
    }

    #[test]
    fn without_a_mark_an_emergency_changes_nothing(case in any_case(), opt_in in any::<bool>()) {
        let mut calm = case.in_emergency(false);
        calm.policy = if opt_in { NetworkDefault::OptIn.policy() } else { NetworkDefault::OptOut.policy() };
        calm.rules.iter_mut().chain(&mut calm.policy.rules).for_each(|rule| rule.overridable = false);
        let decided = calm.decide();
        prop_assert!(decided.iter().all(|d| !d.emergency_could_permit));
        prop_assert_eq!(decided, calm.in_emergency(true).decide());
    }

    #[test]
    fn an_emergency_permits_just_what_was_foretold(case in any_case()) {
        let before = case.in_emergency(false).decide();
        for (before, after) in before.iter().zip(case.in_emergency(true).decide()) {
            prop_assert_eq!(before.emergency_could_permit, before.effect == Effect::Deny && after.effect == Effect::Permit);
        }
    }

    #[test]
    fn an_explanation_names_the_rule_that_decides(case in any_case()) {
        for document in &case.documents {
            let (decision, explained) = explain(&case.policy, &case.rules, &case.request, document);
            let deciding: Vec<_> = explained.iter().filter(|e| e.decided).map(|e| e.rule_id.clone()).collect();
            prop_assert_eq!(&deciding, &decision.rule_ids);
        }
    }
}
