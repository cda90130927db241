//! The handlers, called by callers that were admitted, with an audit log that remembers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod policy;
mod signature;
mod support;

use std::sync::atomic::Ordering;

use signpost_common::{
    clock,
    id::{PersonId, SessionId},
};
use signpost_consent::document::NetworkDefault;
use signpost_proto::{
    audit::v1::{EventKind, EventOutcome},
    common::v1::Role,
    consent::v1::{self as proto, Directive, DocumentFacts, Effect, Match, ReviewOutcome},
};
use support::{Consent, denial, document, open_request, patient, refused, wrong};
use tonic::Code;

#[tokio::test]
async fn a_patient_says_no_and_takes_it_back() {
    let service = Consent::start().await;
    let mut patient = service.caller("north", "p1", Role::Patient);
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let person = PersonId::generate().to_string();

    let before = doctor.decide(&person, "").await.unwrap();
    assert_eq!(before.decisions[0].effect(), Effect::Permit);
    assert_eq!(before.policy_version, NetworkDefault::OptOut.version());
    let made = patient.create(denial(), "1").await.unwrap();
    assert_eq!(made.patient.as_ref().unwrap().member_id, "north");
    let denied = doctor.decide(&person, "").await.unwrap();
    assert_eq!(denied.decisions[0].effect(), Effect::Deny);
    assert_eq!(denied.decisions[0].rule_ids.concat(), made.directive_id);
    assert!(denied.decisions[0].emergency_could_permit);
    assert_ne!(denied.epoch, before.epoch);

    let id = made.directive_id.clone();
    let revoke = proto::RevokeDirectiveRequest { directive_id: id.clone(), request_id: "2".into() };
    let revoked = patient.consent.revoke_directive(revoke.clone()).await.unwrap().into_inner().directive;
    let again = patient.consent.revoke_directive(revoke).await.unwrap().into_inner().directive;
    assert!(revoked.as_ref().unwrap().revoked_at.is_some());
    assert_eq!(revoked, again);
    let after = doctor.decide(&person, "").await.unwrap();
    assert_eq!(after.decisions[0].effect(), Effect::Permit);
    assert_ne!(after.epoch, denied.epoch);

    let list = proto::ListDirectivesRequest { patient: denial().patient, ..Default::default() };
    let listed = patient.consent.list_directives(list).await.unwrap().into_inner();
    assert_eq!((listed.directives.len(), listed.next_page_token.as_str()), (1, ""));
    let events = service.events();
    assert!(events.iter().all(|e| e.kind() == EventKind::Consent && e.object_id == id));
    assert_eq!(events[0].patient_records.len(), 1);
}

#[tokio::test]
async fn nothing_changes_that_was_not_audited() {
    let service = Consent::start().await;
    let mut patient = service.caller("north", "p1", Role::Patient);
    let made = patient.create(denial(), "1").await.unwrap();
    service.log.fails.store(true, Ordering::Relaxed);
    refused(patient.create(denial(), "2").await, Code::Unavailable, "AUDIT_UNAVAILABLE");
    let revoke = proto::RevokeDirectiveRequest { directive_id: made.directive_id, request_id: "3".into() };
    refused(patient.consent.revoke_directive(revoke).await, Code::Unavailable, "AUDIT_UNAVAILABLE");
    let list = proto::ListDirectivesRequest { patient: denial().patient, ..Default::default() };
    let listed = patient.consent.list_directives(list).await.unwrap().into_inner().directives;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].revoked_at, None);
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let opened = doctor.open(&PersonId::generate().to_string()).await;
    refused(opened, Code::Unavailable, "AUDIT_UNAVAILABLE");
}

#[tokio::test]
async fn a_directive_is_created_once_however_often_it_is_sent() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let first = clerk.create(denial(), "1").await.unwrap();
    assert_eq!(clerk.create(denial(), "1").await.unwrap(), first);
    assert_eq!(service.events().len(), 1, "a replay is no change");
    let other = Directive { overridable: false, ..denial() };
    refused(clerk.create(other, "1").await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    wrong(clerk.create(denial(), "").await, "request_id");
}

#[tokio::test]
async fn directives_of_others_do_not_exist() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let made = clerk.create(denial(), "1").await.unwrap();
    let foreign = Directive { patient: Some(patient("south", "p1")), ..denial() };
    refused(clerk.create(foreign, "2").await, Code::PermissionDenied, "NOT_YOUR_OWN");
    let mut other = service.caller("north", "p2", Role::Patient);
    refused(other.create(denial(), "3").await, Code::PermissionDenied, "NOT_YOUR_OWN");
    for mut stranger in [other, service.caller("south", "clerk", Role::Clerk)] {
        let directive_id = made.directive_id.clone();
        let get = proto::GetDirectiveRequest { directive_id: directive_id.clone() };
        refused(stranger.consent.get_directive(get).await, Code::NotFound, "DIRECTIVE_UNKNOWN");
        let list =
            proto::ListDirectivesRequest { patient: Some(patient("north", "p1")), ..Default::default() };
        refused(stranger.consent.list_directives(list).await, Code::PermissionDenied, "NOT_YOUR_OWN");
        let revoke = proto::RevokeDirectiveRequest { directive_id, request_id: String::new() };
        refused(stranger.consent.revoke_directive(revoke).await, Code::NotFound, "DIRECTIVE_UNKNOWN");
    }
}

#[tokio::test]
async fn a_patient_whom_the_index_does_not_know_directs_nothing() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let of = |id| Directive { patient: Some(patient("north", id)), ..denial() };
    refused(clerk.create(of("nobody"), "1").await, Code::NotFound, "RECORD_UNKNOWN");
    clerk.create(of("silence"), "2").await.expect("an index that does not answer keeps nobody from it");
}

#[tokio::test]
async fn who_acts_for_a_patient_takes_back_their_own_word_alone() {
    let service = Consent::start().await;
    let mut own = service.caller("north", "p1", Role::Patient);
    let mut parent = service.caller("north", "p1", Role::Representative);
    let revoke = |made: Directive| proto::RevokeDirectiveRequest {
        directive_id: made.directive_id,
        request_id: String::new(),
    };
    let by_patient = own.create(denial(), "1").await.unwrap();
    let taken_back = parent.consent.revoke_directive(revoke(by_patient)).await;
    refused(taken_back, Code::PermissionDenied, "NOT_YOUR_OWN");
    let by_parent = parent.create(denial(), "2").await.unwrap();
    parent.consent.revoke_directive(revoke(by_parent)).await.unwrap();
}

#[tokio::test]
async fn a_bad_directive_is_refused_with_the_path_of_its_fault() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let time = |seconds: i64| Some(clock::micros_to_proto(seconds * 1_000_000));
    let speaks_of = |of: Match| Directive { r#match: Some(of), ..denial() };
    let many = |n: usize| vec!["x".to_owned(); n];
    let mut codes = many(4);
    codes[3] = "x".repeat(65);
    let narrow = Match { labels: many(1), ..Match::default() };
    let cases = [
        ("directive.directive_id", Directive { directive_id: "x".into(), ..denial() }),
        ("directive.patient", Directive { patient: None, ..denial() }),
        ("directive.patient.local_id", Directive { patient: Some(patient("", "")), ..denial() }),
        ("directive.effect", Directive { effect: 0, ..denial() }),
        ("directive.effect", Directive { effect: 9, ..denial() }),
        ("directive.valid_to", Directive { valid_from: time(5), valid_to: time(5), ..denial() }),
        ("directive.valid_to", Directive { valid_to: time(5), ..denial() }),
        ("directive.valid_to", Directive { valid_from: time(5), valid_to: time(9), ..denial() }),
        ("directive.overridable", Directive { effect: Effect::Permit.into(), ..denial() }),
        ("directive.exceptions", Directive { exceptions: vec![narrow; 17], ..denial() }),
        ("directive.exceptions[0]", Directive { exceptions: vec![Match::default()], ..denial() }),
        ("directive.match.type_codes[3]", speaks_of(Match { type_codes: codes, ..Match::default() })),
        ("directive.match.labels", speaks_of(Match { labels: many(65), ..Match::default() })),
        ("directive.match.labels[0]", speaks_of(Match { labels: vec!["PSY ".into()], ..Match::default() })),
        ("directive.match.roles[1]", speaks_of(Match { roles: vec![1, 99], ..Match::default() })),
        ("directive.match.purposes[0]", speaks_of(Match { purposes: vec![0], ..Match::default() })),
        (
            "directive.match.requesters[0]",
            speaks_of(Match { requesters: vec!["A".into()], ..Match::default() }),
        ),
        (
            "directive.match.custodians[0]",
            speaks_of(Match { custodians: vec!["".into()], ..Match::default() }),
        ),
        ("directive.match.document_ids[0]", speaks_of(Match { document_ids: many(1), ..Match::default() })),
        (
            "directive.match.service_to",
            speaks_of(Match { service_from: time(5), service_to: time(4), ..Match::default() }),
        ),
    ];
    for (field, directive) in cases {
        wrong(clerk.create(directive, "1").await, field);
    }
    assert!(service.events().is_empty());
}

#[tokio::test]
async fn pages_of_directives_follow_each_other() {
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "clerk", Role::Clerk);
    let mut made = vec![];
    for i in 0..3 {
        made.insert(0, clerk.create(denial(), &i.to_string()).await.unwrap().directive_id);
    }
    let mut list =
        proto::ListDirectivesRequest { patient: denial().patient, page_size: 2, page_token: String::new() };
    let first = clerk.consent.list_directives(list.clone()).await.unwrap().into_inner();
    list.page_token = first.next_page_token;
    let second = clerk.consent.list_directives(list.clone()).await.unwrap().into_inner();
    assert_eq!(second.next_page_token, "");
    let listed: Vec<_> =
        first.directives.into_iter().chain(second.directives).map(|d| d.directive_id).collect();
    assert_eq!(listed, made);
    list.patient = Some(patient("", "p2"));
    wrong(clerk.consent.list_directives(list).await, "page_token");
}

#[tokio::test]
async fn emergency_access_serves_who_opened_it_until_it_is_closed() {
    let service = Consent::start().await;
    let person = PersonId::generate().to_string();
    let made = service.caller("north", "p1", Role::Patient).create(denial(), "1").await.unwrap();
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let session = doctor.open(&person).await.unwrap();
    assert_eq!(doctor.open(&person).await.unwrap(), session, "the same attempt");
    let lasts = session.expires_at.unwrap().seconds - session.opened_at.unwrap().seconds;
    let due = session.review_due_at.unwrap().seconds - session.opened_at.unwrap().seconds;
    assert_eq!((lasts, due), (3600, 72 * 3600));
    let id = session.session_id;
    let opened = service.events().pop().unwrap();
    assert_eq!(opened.kind(), EventKind::Emergency);
    assert_eq!((&opened.person_id, &opened.emergency_session_id), (&person, &id));

    let decided = doctor.decide(&person, &id).await.unwrap();
    assert_eq!(decided.decisions[0].rule_ids, ["network:opt-out"]);
    let mut colleague = service.caller("south", "dr-kim", Role::Physician);
    let other_person = PersonId::generate().to_string();
    let invalid = "EMERGENCY_SESSION_INVALID";
    refused(colleague.decide(&person, &id).await, Code::FailedPrecondition, invalid);
    refused(doctor.decide(&other_person, &id).await, Code::FailedPrecondition, invalid);
    let unknown = SessionId::generate().to_string();
    refused(doctor.decide(&person, &unknown).await, Code::FailedPrecondition, invalid);
    refused(doctor.decide(&person, "no uuid").await, Code::FailedPrecondition, invalid);

    let explain = proto::ExplainDecisionRequest {
        person_id: person.clone(),
        patient_records: vec![patient("north", "p1")],
        document: Some(document()),
        emergency_session_id: id.clone(),
        ..proto::ExplainDecisionRequest::default()
    };
    let explained = doctor.consent.explain_decision(explain).await.unwrap().into_inner();
    let rules: Vec<_> =
        explained.rules.iter().map(|r| (&*r.rule_id, &*r.layer, r.matched, r.decided)).collect();
    assert_eq!(
        rules,
        [
            (&*made.directive_id, "patient", true, false),
            ("network:opt-out", "network", true, true),
            ("network:own-information", "network", false, false),
            ("default:deny", "default", false, false),
            ("default:unknown-label", "default", false, false),
        ]
    );

    refused(colleague.close(&id).await, Code::NotFound, "SESSION_UNKNOWN");
    assert!(doctor.close(&id).await.unwrap().closed_at.is_some());
    refused(doctor.decide(&person, &id).await, Code::FailedPrecondition, invalid);
}

#[tokio::test]
async fn a_bad_emergency_is_refused() {
    let service = Consent::start().await;
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let good = open_request(&PersonId::generate().to_string());
    let by_role = Match { roles: vec![Role::Nurse.into()], ..Match::default() };
    let cases = [
        ("person_id", proto::OpenEmergencyAccessRequest { person_id: "x".into(), ..good.clone() }),
        ("reason", proto::OpenEmergencyAccessRequest { reason: 0, ..good.clone() }),
        (
            "reason_text",
            proto::OpenEmergencyAccessRequest { reason_text: " too short ".into(), ..good.clone() },
        ),
        ("reason_text", proto::OpenEmergencyAccessRequest { reason_text: "x".repeat(501), ..good.clone() }),
        ("ttl_seconds", proto::OpenEmergencyAccessRequest { ttl_seconds: 14_401, ..good.clone() }),
        ("scope", proto::OpenEmergencyAccessRequest { scope: Some(by_role), ..good.clone() }),
        ("request_id", proto::OpenEmergencyAccessRequest { request_id: String::new(), ..good }),
    ];
    for (field, request) in cases {
        wrong(doctor.emergency.open_emergency_access(request).await, field);
    }
}

#[tokio::test]
async fn privacy_officers_review_the_sessions_of_their_own_member() {
    let service = Consent::start().await;
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let person = PersonId::generate().to_string();
    let id = doctor.open(&person).await.unwrap().session_id;
    let officer = |member_id, user| service.caller(member_id, user, Role::PrivacyOfficer);

    assert_eq!(officer("operator", "po").reviews().await.concat(), id);
    assert!(officer("north", "po").reviews().await.is_empty());
    refused(officer("north", "po").review(&id).await, Code::NotFound, "SESSION_UNKNOWN");
    refused(officer("south", "dr-lee").review(&id).await, Code::PermissionDenied, "OWN_SESSION");
    assert_eq!(officer("south", "po").reviews().await.concat(), id);
    let reviewed = officer("south", "po").review(&id).await.unwrap();
    assert_eq!(reviewed.review_outcome(), ReviewOutcome::Justified);
    assert_eq!(officer("south", "po").review(&id).await.unwrap(), reviewed);
    assert!(officer("south", "po").reviews().await.is_empty());
    let refused_now = doctor.decide(&person, &id).await;
    refused(refused_now, Code::FailedPrecondition, "EMERGENCY_SESSION_INVALID");
}

#[tokio::test]
async fn a_review_says_what_follows_and_only_reviewers_read_it() {
    let service = Consent::start().await;
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let id = doctor.open(&PersonId::generate().to_string()).await.unwrap().session_id;
    let mut officer = service.caller("south", "po", Role::PrivacyOfficer);
    wrong(officer.review_as(&id, ReviewOutcome::NotJustified, " ").await, "follow_up");
    let follow_up = "The department is trained again.";
    let reviewed = officer.review_as(&id, ReviewOutcome::NotJustified, follow_up).await.unwrap();
    assert_eq!((&*reviewed.follow_up, &*reviewed.reviewed_by), (follow_up, "south/po"));
    assert_eq!(officer.sessions(true).await, [reviewed]);
    let closed = doctor.close(&id).await.unwrap();
    assert_eq!((closed.review_outcome(), &*closed.follow_up), (ReviewOutcome::NotJustified, ""));
}

#[tokio::test]
async fn emergency_access_over_the_quota_is_recorded_as_refused() {
    let service = Consent::start().await;
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    for _ in 0..2 {
        doctor.open(&PersonId::generate().to_string()).await.unwrap();
    }
    assert_eq!(service.events().pop().unwrap().outcome(), EventOutcome::Success);
    let third = doctor.open(&PersonId::generate().to_string()).await;
    refused(third, Code::ResourceExhausted, "EMERGENCY_QUOTA");
    assert_eq!(service.events().pop().unwrap().outcome(), EventOutcome::Refused);
}

#[tokio::test]
async fn questions_are_bounded() {
    let service = Consent::start().await;
    let mut doctor = service.caller("south", "dr-lee", Role::Physician);
    let good = proto::DecideRequest {
        person_id: PersonId::generate().to_string(),
        patient_records: vec![patient("north", "p1")],
        documents: vec![document()],
        emergency_session_id: String::new(),
        again: false,
    };
    let nameless = DocumentFacts { custodian: String::new(), ..document() };
    let cases = [
        ("person_id", proto::DecideRequest { person_id: "x".into(), ..good.clone() }),
        ("patient_records", proto::DecideRequest { patient_records: vec![], ..good.clone() }),
        (
            "patient_records",
            proto::DecideRequest { patient_records: vec![patient("north", "p1"); 201], ..good.clone() },
        ),
        ("documents", proto::DecideRequest { documents: vec![document(); 1001], ..good.clone() }),
        ("documents[0].custodian", proto::DecideRequest { documents: vec![nameless], ..good }),
    ];
    for (field, request) in cases {
        wrong(doctor.consent.decide(request).await, field);
    }
}
