use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};
use signpost_common::id::{DirectiveId, RecordRef};
use signpost_proto::common::v1::{PurposeOfUse, Role};

use super::*;
use crate::domain::{
    Criterion, Relationship,
    vocabulary::{LABELS, PURPOSES},
};

const DAY_US: i64 = 86_400_000_000;
const DOCUMENT: &str = "0190aaaa-0000-7000-8000-000000000001";

fn r4(provision: Value) -> Value {
    json!({
        "resourceType": "Consent",
        "status": "active",
        "scope": { "coding": [{ "system": system::SCOPE, "code": "patient-privacy" }] },
        "category": [{ "coding": [{ "system": system::LOINC, "code": "59284-0" }] }],
        "patient": { "reference": "Patient/ada" },
        "dateTime": "2022-06-13",
        "performer": [{ "reference": "Patient/ada" }],
        "organization": [{ "reference": "Organization/north" }],
        "sourceReference": { "reference": "DocumentReference/paper" },
        "policy": [{ "uri": "https://north.example/consent.txt" }],
        "provision": provision,
    })
}

fn r5(decision: &str, provision: Value) -> Value {
    let mut consent = json!({
        "resourceType": "Consent",
        "status": "active",
        "subject": { "reference": "Patient/ada" },
        "date": "2022-06-13",
        "grantor": [{ "reference": "Patient/ada" }],
        "decision": decision,
    });
    if !provision.is_null() {
        consent["provision"] = provision;
    }
    consent
}

fn with(mut consent: Value, name: &str, value: Value) -> Value {
    consent[name] = value;
    consent
}

fn without(mut consent: Value, name: &str) -> Value {
    consent.as_object_mut().unwrap().remove(name);
    consent
}

fn import(consent: &Value, version: Version) -> Imported {
    read(&consent.to_string(), version).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The paths that are faulty.
fn paths(consent: &Value, version: Version) -> Vec<String> {
    let faults = read(&consent.to_string(), version).map(drop).unwrap_err();
    assert!(faults.iter().all(|fault| !fault.reason.is_empty()));
    faults.into_iter().map(|fault| fault.path).collect()
}

fn reason(code: &str) -> Value {
    json!({ "system": system::PURPOSE, "code": code })
}

fn label(code: &str) -> Value {
    json!({ "system": provision::label_system(code), "code": code })
}

fn recipient(reference: &str) -> Value {
    let role = json!({ "coding": [{ "system": system::PARTICIPATION, "code": "IRCP" }] });
    json!({ "role": role, "reference": { "reference": reference } })
}

fn care() -> Value {
    json!([reason("TREAT"), reason("HPAYMT"), reason("HOPERAT")])
}

fn for_care() -> Criterion {
    Criterion::Purposes(vec![PurposeOfUse::Treat, PurposeOfUse::Hpaymt, PurposeOfUse::Hoperat])
}

fn labels(labels: &[&str]) -> Criterion {
    Criterion::Labels(labels.iter().map(|label| (*label).to_owned()).collect())
}

/// 2022-01-01.
const YEAR_2022_US: i64 = 18_993 * DAY_US;

#[test]
fn a_basic_consent_permits_its_purposes_until_it_ends() {
    let consent = r4(json!({ "type": "permit", "purpose": care(), "period": { "end": "2022-12-31" } }));
    let imported = import(&consent, Version::R4);
    assert_eq!(imported.patient, "Patient/ada");
    assert_eq!((imported.effect, imported.overridable), (Effect::Permit, false));
    assert_eq!(imported.grantor, Grantor::Patient);
    assert_eq!(imported.matcher, Matcher::new([for_care()]));
    assert_eq!(imported.exceptions, []);
    assert_eq!(imported.validity.from_us, None);
    assert_eq!(imported.validity.to_us, Some(YEAR_2022_US + 365 * DAY_US), "the last day belongs to it");
    assert_eq!(imported.given_us, Some(YEAR_2022_US + 163 * DAY_US));
}

#[test]
fn a_basic_consent_may_reject() {
    let imported = import(&r4(json!({ "type": "deny", "purpose": care() })), Version::R4);
    assert_eq!((imported.effect, imported.matcher), (Effect::Deny, Matcher::new([for_care()])));
}

#[test]
fn a_parent_consents_for_a_child() {
    let consent =
        with(r4(json!({ "type": "permit" })), "performer", json!([{ "reference": "RelatedPerson/eve" }]));
    assert_eq!(import(&consent, Version::R4).grantor, Grantor::Representative);
    let other = with(consent, "performer", json!([{ "reference": "Patient/eve" }]));
    assert_eq!(paths(&other, Version::R4), ["Consent.performer[0]"]);
}

#[test]
fn an_intermediate_consent_excepts_a_time_a_document_and_an_author() {
    let exception = |name: &str, value: Value| json!({ "type": "deny", name: value });
    let data = |meaning: &str, reference: &str| json!([{ "meaning": meaning, "reference": { "reference": reference } }]);
    let consent = r4(json!({ "type": "permit", "purpose": care(), "provision": [
        exception("dataPeriod", json!({ "start": "2022-01", "end": "2022-12" })),
        exception("data", data("instance", &format!("DocumentReference/{DOCUMENT}"))),
        exception("data", data("authoredby", "Organization/east")),
    ] }));
    let imported = import(&consent, Version::R4);
    let (from_us, to_us) = (Some(YEAR_2022_US), Some(YEAR_2022_US + 365 * DAY_US));
    let wanted = [
        Criterion::Period { from_us, to_us },
        Criterion::Documents(vec![DOCUMENT.parse().unwrap()]),
        Criterion::Authors(vec!["east".to_owned()]),
    ];
    assert_eq!(imported.exceptions, wanted.map(|criterion| Matcher::new([criterion])));
}

#[test]
fn a_dissent_excepts_break_glass() {
    let exception = json!([{ "type": "permit", "purpose": [reason("BTG")] }]);
    let imported = import(&r4(json!({ "type": "deny", "provision": exception })), Version::R4);
    assert_eq!((imported.effect, imported.matcher), (Effect::Deny, Matcher::default()));
    assert_eq!(imported.exceptions, [Matcher::new([Criterion::Purposes(vec![PurposeOfUse::Btg])])]);
}

#[test]
fn an_advanced_consent_permits_labels_to_an_organisation() {
    let consent = r4(json!({
        "type": "permit",
        "actor": [recipient("Organization/clinic")],
        "securityLabel": [label("N"), label("PSY")],
        "provision": [{ "type": "deny", "securityLabel": [label("R")] }],
    }));
    let imported = import(&consent, Version::R4);
    let to_clinic = Criterion::Requesters(vec!["clinic".parse().unwrap()]);
    assert_eq!(imported.matcher, Matcher::new([to_clinic, labels(&["N", "PSY"])]));
    assert_eq!(imported.exceptions, [Matcher::new([labels(&["R"])])]);
}

#[test]
fn an_r5_decision_has_all_provisions_as_exceptions() {
    let provisions = json!([
        { "purpose": [reason("TREAT")], "resourceType": [{ "code": "DocumentReference" }] },
        { "documentType": [{ "system": system::LOINC, "code": "11503-0" }] },
    ]);
    let consent = with(r5("deny", provisions), "period", json!({ "start": "2022-01-01T00:00:00+01:00" }));
    let imported = import(&consent, Version::R5);
    assert_eq!((imported.effect, imported.matcher), (Effect::Deny, Matcher::default()));
    let wanted =
        [Criterion::Purposes(vec![PurposeOfUse::Treat]), Criterion::ClassCodes(vec!["11503-0".into()])];
    assert_eq!(imported.exceptions, wanted.map(|criterion| Matcher::new([criterion])));
    assert_eq!(imported.validity.from_us, Some(YEAR_2022_US - DAY_US / 24));
}

#[test]
fn a_consent_without_a_decision_is_refused() {
    let provision = json!({ "purpose": care() });
    assert_eq!(paths(&r4(provision), Version::R4), ["Consent.provision.type"]);
    assert_eq!(paths(&without(r4(json!({})), "provision"), Version::R4), ["Consent.provision"]);
    assert_eq!(paths(&without(r5("", Value::Null), "decision"), Version::R5), ["Consent.decision"]);
    let nested = json!([{ "purpose": care() }]);
    assert_eq!(paths(&without(r5("", nested), "decision"), Version::R5), ["Consent.decision"]);
    assert_eq!(paths(&r5("maybe", Value::Null), Version::R5), ["Consent.decision"]);
}

#[test]
fn exceptions_have_one_level_and_say_the_opposite() {
    let deeper = json!({ "purpose": care(), "provision": [{ "purpose": care() }] });
    assert_eq!(paths(&r5("deny", json!([deeper])), Version::R5), ["Consent.provision[0].provision"]);
    let same = json!([{ "type": "permit", "purpose": care(), "provision": [], "period": {} }]);
    let consent = r4(json!({ "type": "permit", "provision": same }));
    let at = |name: &str| format!("Consent.provision.provision[0].{name}");
    assert_eq!(paths(&consent, Version::R4), [at("type"), at("period"), at("provision")]);
    let nothing = r4(json!({ "type": "permit", "provision": [{ "type": "deny" }] }));
    assert_eq!(paths(&nothing, Version::R4), ["Consent.provision.provision[0]"]);
}

/// Each is one element of a root provision of R4, and the path of what is wrong.
#[test]
fn what_cannot_be_said_here_is_refused_with_its_path() {
    let actor = |role: &str, reference: &str| {
        let role = json!({ "coding": [{ "system": system::PARTICIPATION, "code": role }] });
        json!([{ "role": role, "reference": { "reference": reference } }])
    };
    let data = |meaning: &str| json!([{ "meaning": meaning, "reference": { "reference": "Encounter/1" } }]);
    let action = json!([{ "coding": [{ "system": system::ACTION, "code": "correct" }] }]);
    let cases = [
        ("modifierExtension", json!([{ "url": "urn:x" }]), "modifierExtension"),
        ("extension", json!([{ "url": "urn:x" }]), "extension"),
        ("expression", json!({}), "expression"),
        ("_type", json!({}), "_type"),
        ("a b", json!({}), "?"),
        ("action", action, "action[0]"),
        ("purpose", json!([reason("TREAT"), reason("SYSDEV")]), "purpose[1]"),
        ("purpose", json!([{ "code": "TREAT" }]), "purpose[0]"),
        ("purpose", json!([reason("T-TREAT")]), "purpose[0]"),
        ("purpose", json!([]), "purpose"),
        ("purpose", json!({}), "purpose"),
        ("securityLabel", json!([label("NONE")]), "securityLabel[0]"),
        ("securityLabel", json!([{ "system": system::ACT_CODE, "code": "R" }]), "securityLabel[0]"),
        ("actor", actor("IRCP", "Practitioner/eve"), "actor[0].reference.reference"),
        ("actor", actor("IRCP", "http://x.example/Organization/clinic"), "actor[0].reference.reference"),
        ("actor", actor("IRCP", "Organization/Clinic"), "actor[0].reference.reference"),
        ("actor", actor("GRDN", "Organization/clinic"), "actor[0].role"),
        ("actor", json!([{ "reference": {} }]), "actor[0].role"),
        ("data", data("related"), "data[0].meaning"),
        ("data", data("instance"), "data[0].reference.reference"),
        ("data", data("authoredby"), "data[0].reference"),
        ("class", json!([{ "system": "urn:own", "code": "A" }]), "class[0].system"),
        ("code", json!([{ "text": "letters" }]), "code[0].coding"),
        ("dataPeriod", json!({ "start": "2022-13" }), "dataPeriod.start"),
        ("dataPeriod", json!({ "start": "2022", "end": "2021" }), "dataPeriod.end"),
        ("dataPeriod", json!({}), "dataPeriod"),
        ("period", json!({ "end": "2022-01-01T00:00:00" }), "period.end"),
        ("documentType", json!([{ "code": "A" }]), "documentType"),
    ];
    for (name, value, path) in cases {
        let provision = with(json!({ "type": "deny" }), name, value);
        assert_eq!(paths(&r4(provision), Version::R4), [format!("Consent.provision.{path}")], "{name}");
    }
}

#[test]
fn what_surrounds_a_provision_is_refused_with_its_path() {
    let category = json!([{ "coding": [{ "system": system::CATEGORY, "code": "emrgonly" }] }]);
    let cases = [
        ("status", json!("inactive"), "status"),
        ("scope", json!({ "coding": [{ "system": system::SCOPE, "code": "research" }] }), "scope"),
        ("category", category, "category[0]"),
        ("patient", json!({ "reference": "Group/all" }), "patient"),
        ("modifierExtension", json!([]), "modifierExtension"),
        ("implicitRules", json!("urn:x"), "implicitRules"),
        ("verification", json!([{ "verified": true }]), "verification"),
        ("policyRule", json!({ "coding": [{ "code": "OPTIN" }] }), "policyRule"),
        ("performer", json!([{ "reference": "Practitioner/eve" }]), "performer[0]"),
        ("decision", json!("permit"), "decision"),
        (
            "extension",
            json!([{ "url": OVERRIDABLE_URL, "valueBoolean": "yes" }]),
            "extension[0].valueBoolean",
        ),
    ];
    for (name, value, path) in cases {
        let found = paths(&with(r4(json!({ "type": "permit" })), name, value), Version::R4);
        assert!(found.contains(&format!("Consent.{path}")), "{name}: {found:?}");
    }
    let grantee = with(r5("deny", Value::Null), "grantee", json!([{ "reference": "Organization/north" }]));
    assert_eq!(paths(&grantee, Version::R5), ["Consent.grantee"]);
    assert_eq!(read("{", Version::R4).unwrap_err()[0].path, "Consent");
    let twice = read("{\"a\": [{\"b\": 1, \"b\": 1}]}", Version::R4).unwrap_err();
    assert!(twice[0].reason.contains("twice"), "{twice:?}");
    assert_eq!(read("[]", Version::R5).unwrap_err()[0].path, "Consent");
}

#[test]
fn faults_do_not_repeat_what_was_read() {
    let consent =
        with(r4(json!({ "type": "permit", "Ada": 1 })), "performer", json!([{ "reference": "Patient/Bob" }]));
    let faults = read(&consent.to_string(), Version::R4).unwrap_err();
    assert_eq!(faults.len(), 2);
    assert!(faults.iter().all(|fault| !fault.to_string().contains("Bob")), "{faults:?}");
    let imported = import(&r4(json!({ "type": "permit" })), Version::R4);
    assert!(!format!("{imported:?}").contains("ada"));
}

#[test]
fn a_policy_of_pcf_holds_without_a_provision() {
    let address = |name: &str| format!("https://profiles.ihe.net/ITI/PCF/Policy-{name}");
    for name in ["basic-normal", "all-normal", "break-glass-only", "deny"] {
        let says = implicit(name).unwrap();
        assert_eq!(implicit(&address(name)), Some(says.clone()));
        let bare = without(r4(json!({})), "provision");
        let by_uri = with(bare.clone(), "policy", json!([{ "uri": address(name) }]));
        let by_rule = with(bare, "policyRule", json!({ "coding": [{ "code": address(name) }] }));
        let basis = json!({ "url": address(name) });
        let by_basis = with(without(r5("", Value::Null), "decision"), "policyBasis", basis);
        for (consent, version) in [(by_uri, Version::R4), (by_rule, Version::R4), (by_basis, Version::R5)] {
            let imported = import(&consent, version);
            assert_eq!((imported.effect, &imported.matcher), (says.effect, &says.matcher), "{name}");
            assert_eq!(imported.overridable, says.overridable, "{name}");
        }
    }
    assert_eq!(implicit("all"), None);
    assert!(implicit("break-glass-only").unwrap().overridable);
}

#[test]
fn a_bare_permit_has_the_scope_of_the_policy_that_it_agrees_to() {
    let under = |policy: &str, provision| {
        let address = format!("https://profiles.ihe.net/ITI/PCF/Policy-{policy}");
        with(r4(provision), "policy", json!([{ "uri": address }]))
    };
    let basic = implicit("basic-normal").unwrap().matcher;
    assert_eq!(import(&under("basic-normal", json!({ "type": "permit" })), Version::R4).matcher, basic);
    let scoped = under("basic-normal", json!({ "type": "permit", "purpose": care() }));
    assert_eq!(import(&scoped, Version::R4).matcher, Matcher::new([for_care()]));
    let rejected = import(&under("basic-normal", json!({ "type": "deny" })), Version::R4);
    assert_eq!((rejected.effect, rejected.matcher), (Effect::Deny, Matcher::default()));
    let contradicts = under("deny", json!({ "type": "permit" }));
    assert_eq!(paths(&contradicts, Version::R4), ["Consent.policy[0].uri"]);
}

#[test]
fn a_time_is_as_long_as_what_it_leaves_out() {
    let length = |text| time::moment(text).map(|moment| moment.end_us - moment.begin_us);
    assert_eq!(length("2024"), Some(366 * DAY_US));
    assert_eq!(length("2024-02"), Some(29 * DAY_US));
    assert_eq!(length("2024-02-29"), Some(DAY_US));
    assert_eq!(length("2024-02-29T10:00:00Z"), Some(1_000_000));
    assert_eq!(length("2024-02-29T10:00:00.25-05:30"), Some(10_000));
    assert_eq!(length("2024-02-29T10:00:00.123456+14:00"), Some(1));
    for bad in [
        "",
        "24",
        "2024-2",
        "2024-02-30",
        "+024",
        "2024-02-29T10:00Z",
        "2024-02-29T10:00:00",
        "2024-02-29T10:00:60Z",
        "2024-02-29T10:00:00.1234567Z",
        "2024-02-29T10:00:00.Z",
        "2024-02-29T10:00:00+1:00",
        "2024-02-29 10:00:00Z",
        "2024-02-29T10:00:00+-1:0",
        "2024-02-29T10:00:00Zz",
        "2024-02-29T25:00:00Z",
        "2024-0é",
    ] {
        assert_eq!(length(bad), None, "{bad}");
    }
}

fn directive(effect: Effect, matcher: Matcher, exceptions: Vec<Matcher>) -> Directive {
    Directive {
        id: DirectiveId::generate(),
        patient: RecordRef::new("north".parse().unwrap(), "MRN 7").unwrap(),
        effect,
        matcher,
        exceptions,
        overridable: false,
        validity: Validity::default(),
        created_us: 0,
        created_by: "north/eve".to_owned(),
        grantor: Grantor::Patient,
        signature: None,
    }
}

#[test]
fn what_fhir_has_no_element_for_is_not_written() {
    let roles = Matcher::new([
        Criterion::Roles(vec![Role::Nurse]),
        Criterion::Relationships(vec![Relationship::Treating]),
        Criterion::Labels(vec!["OWN".to_owned()]),
    ]);
    let paths = |directive: &Directive, version| -> Vec<String> {
        write(directive, version).unwrap_err().into_iter().map(|fault| fault.path).collect()
    };
    let all = ["match.roles", "match.relationships", "match.labels"];
    assert_eq!(paths(&directive(Effect::Deny, roles.clone(), vec![]), Version::R4), all);
    let excepted = directive(Effect::Deny, Matcher::default(), vec![roles, Matcher::default()]);
    let all = ["roles", "relationships", "labels"].map(|name| format!("exceptions[0].{name}"));
    assert_eq!(paths(&excepted, Version::R5), [&all[..], &["exceptions[1]".to_owned()]].concat());
    let scoped = directive(Effect::Deny, Matcher::new([for_care()]), vec![]);
    assert_eq!(paths(&scoped, Version::R5), ["match"]);
    let mut late = directive(Effect::Deny, Matcher::default(), vec![]);
    late.validity.to_us = Some(i64::MAX);
    assert_eq!(paths(&late, Version::R4), ["valid_from"]);
}

#[test]
fn a_directive_that_agrees_to_a_policy_is_written_as_that() {
    let basic = implicit("basic-normal").unwrap().matcher;
    let directive = directive(Effect::Permit, basic.clone(), vec![Matcher::new([labels(&["PSY"])])]);
    for version in [Version::R4, Version::R5] {
        let imported = import(&write(&directive, version).unwrap(), version);
        assert_eq!((imported.matcher, imported.exceptions), (basic.clone(), directive.exceptions.clone()));
    }
}

#[test]
fn a_revoked_directive_is_written_as_inactive() {
    let mut directive = directive(Effect::Permit, Matcher::default(), vec![]);
    directive.validity.revoked_us = Some(1);
    assert_eq!(write(&directive, Version::R4).unwrap()["status"], "inactive");
}

/// All that FHIR has elements for.
fn criteria() -> impl Strategy<Value = Matcher> {
    let member = "[a-z0-9-]{1,64}";
    let members = || vec(member.prop_map(|id: String| id.parse().unwrap()), 0..4);
    let code = "[0-9]{1,7}-[0-9]|[!-~]{1,64}";
    let author = "[A-Za-z0-9.-]{1,70}|[!-~](é[ -~]{0,80}[!-~])?|[!-~]/[!-~]";
    let documents = vec(any::<u128>(), 0..4).prop_map(|ids| {
        let hex = |id: u128| format!("{id:032x}");
        let dashed =
            |h: String| format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..]);
        ids.into_iter().map(|id| dashed(hex(id)).parse().unwrap()).collect()
    });
    let purposes = PURPOSES.map(|(_, purpose, _)| purpose);
    let labels = LABELS.map(str::to_owned);
    (
        (members(), members(), vec(author, 0..4), vec(code, 0..4), vec(code, 0..4)),
        (vec(select(labels.to_vec()), 0..4), documents, vec(select(purposes.to_vec()), 0..4), period()),
    )
        .prop_map(
            |((requesters, custodians, authors, types, classes), (labels, documents, purposes, period))| {
                Matcher::new([
                    Criterion::Requesters(requesters),
                    Criterion::Purposes(purposes),
                    Criterion::Custodians(custodians),
                    Criterion::Authors(authors),
                    Criterion::TypeCodes(types),
                    Criterion::ClassCodes(classes),
                    Criterion::Labels(labels),
                    Criterion::Documents(documents),
                    Criterion::Period { from_us: period.0, to_us: period.1 },
                ])
            },
        )
}

/// Some bounds are whole seconds, as most are.
fn period() -> impl Strategy<Value = (Option<i64>, Option<i64>)> {
    let second = (-2_000_000_000_i64..4_000_000_000).prop_map(|s| s * 1_000_000);
    let at = prop_oneof![second, -2_000_000_000_000_000_i64..4_000_000_000_000_000];
    let length = prop_oneof![Just(1_000_000_i64), 1..100_000_000_000_i64];
    (option::of(at), option::of(length))
        .prop_map(|(from, length)| (from, length.map(|length| from.unwrap_or_default() + length)))
}

prop_compose! {
    fn directives()(
        matcher in criteria(),
        exceptions in vec(criteria().prop_filter("states something", |m| !m.is_everything()), 0..4),
        permit in any::<bool>(),
        overridable in any::<bool>(),
        patient in any::<bool>(),
        (from_us, to_us) in period(),
        created_us in 0..4_000_000_000_000_000_i64,
    ) -> Directive {
        let effect = if permit { Effect::Permit } else { Effect::Deny };
        let grantor = if patient { Grantor::Patient } else { Grantor::Representative };
        let validity = Validity { from_us, to_us, revoked_us: None };
        let directive = directive(effect, matcher, exceptions);
        Directive { overridable, validity, grantor, created_us, ..directive }
    }
}

fn comes_back(directive: Directive, version: Version) {
    let consent = write(&directive, version).unwrap_or_else(|faults| panic!("{faults:?}"));
    let imported = import(&consent, version);
    assert_eq!(imported.patient, "urn:signpost:member:north|MRN 7");
    if version == Version::R4 {
        assert_eq!(imported.given_us, Some(directive.created_us));
    }
    let Directive { id, patient, created_us, created_by, .. } = directive.clone();
    // R5 says the day alone.
    let directive = Directive { created_us: imported.given_us.unwrap_or(created_us), ..directive };
    assert!((0..DAY_US).contains(&(created_us - directive.created_us)));
    let back = imported.directive(id, patient, created_us, created_by);
    assert_eq!((&back.matcher, &back.exceptions), (&directive.matcher, &directive.exceptions), "{consent}");
    assert!(back == directive, "{consent}");
}

proptest! {
    #[test]
    fn a_directive_comes_back_from_r4(directive in directives()) {
        comes_back(directive, Version::R4);
    }

    #[test]
    fn a_directive_without_scope_comes_back_from_r5(directive in directives()) {
        comes_back(Directive { matcher: Matcher::default(), ..directive }, Version::R5);
    }
}

/// Adds the JSON pointers of a value and of all that is in it.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, v)| pointers(v, &format!("{at}/{name}"), all))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| pointers(v, &format!("{at}/{i}"), all));
        }
        _ => {}
    }
}

/// One of each element that is read, as R4 and as R5, with all places in it.
fn samples() -> [(Value, Version, Vec<String>); 2] {
    let all = Matcher::new([
        Criterion::Requesters(vec!["clinic".parse().unwrap()]),
        for_care(),
        Criterion::Authors(vec!["East End".to_owned()]),
        Criterion::TypeCodes(vec!["34133-9".to_owned()]),
        Criterion::ClassCodes(vec!["own".to_owned()]),
        labels(&["R", "PSY"]),
        Criterion::Documents(vec![DOCUMENT.parse().unwrap()]),
        Criterion::Period { from_us: Some(0), to_us: Some(DAY_US) },
    ]);
    [Version::R4, Version::R5].map(|version| {
        let scope = if version == Version::R4 { all.clone() } else { Matcher::default() };
        let mut directive = directive(Effect::Deny, scope, vec![all.clone()]);
        directive.validity.to_us = Some(DAY_US);
        directive.overridable = true;
        let consent = write(&directive, version).unwrap();
        let mut places = vec![];
        pointers(&consent, "", &mut places);
        (consent, version, places)
    })
}

#[test]
fn whatever_stands_in_a_place_is_read_or_refused_with_a_path() {
    let others = [
        json!(null),
        json!(""),
        json!("x"),
        json!("é-/é"),
        json!(7),
        json!(true),
        json!([]),
        json!([[]]),
        json!({}),
    ];
    for (consent, version, places) in samples() {
        for (place, other) in places.iter().flat_map(|place| others.iter().map(move |other| (place, other))) {
            let mut consent = consent.clone();
            *consent.pointer_mut(place).unwrap() = other.clone();
            if let Err(faults) = read(&consent.to_string(), version) {
                let pathed = faults.iter().all(|fault| fault.path.starts_with("Consent"));
                assert!(!faults.is_empty() && pathed, "{place} {other}: {faults:?}");
            }
        }
    }
}

#[test]
fn a_modifier_is_refused_wherever_it_stands() {
    let described = ["/identifier", "/category"];
    for (consent, version, places) in samples() {
        let mut tried = 0;
        for place in places.iter().filter(|place| !described.iter().any(|d| place.starts_with(d))) {
            let mut consent = consent.clone();
            let Some(Value::Object(fields)) = consent.pointer_mut(place) else { continue };
            fields.insert("modifierExtension".to_owned(), json!([{ "url": "urn:not" }]));
            let paths = paths(&consent, version);
            assert!(paths.iter().all(|path| path.ends_with(".modifierExtension")), "{place}: {paths:?}");
            tried += 1;
        }
        assert!(tried > 20, "{tried}");
    }
}
