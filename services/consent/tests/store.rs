//! One conformance suite for the store, on every database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use signpost_common::{
    db::{self, Attempt, Location},
    id::{DecisionId, DirectiveId, DocumentId, PersonId, RecordRef, SessionId},
};
use signpost_consent::{
    domain::{
        Criterion, Decision, Directive, DocumentFacts, Effect, Emergency, Grantor, Matcher, Obligation,
        Relationship, Request, Requester, Session, Signature, Validity,
        notice::{Notice, Party},
        session::Review,
    },
    store::{
        self, Error, STANDING_MAX, Store,
        policy::{Actor, Draft, Kept},
    },
};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::{EmergencyReason, NoticeKind, OpenEmergencyAccessRequest as Body, ReviewOutcome},
};

fn record(member_id: &str, local_id: &str) -> RecordRef {
    RecordRef::new(member_id.parse().unwrap(), local_id).unwrap()
}

fn directive(patient: RecordRef, created_us: i64) -> Directive {
    Directive {
        id: DirectiveId::generate(),
        patient,
        effect: Effect::Deny,
        matcher: Matcher::default(),
        exceptions: vec![],
        overridable: true,
        validity: Validity::default(),
        created_us,
        grantor: Grantor::Patient,
        signature: None,
        created_by: "north/clerk".into(),
    }
}

fn session(member_id: &str, opened_us: i64) -> Session {
    Session {
        id: SessionId::generate(),
        person_id: PersonId::generate(),
        member_id: member_id.parse().unwrap(),
        user: "dr-lee".into(),
        reason: EmergencyReason::LifeThreatening,
        reason_text: "bleeding heavily".into(),
        scope: Matcher::new([Criterion::Labels(vec!["HIV".into()])]),
        opened_us,
        expires_us: opened_us + 1000,
        closed_us: None,
        review_due_us: opened_us + 5000,
        review: None,
    }
}

fn attempt(request_id: &str, text: &str) -> Attempt {
    let body = Body { reason_text: text.into(), ..Body::default() };
    Attempt::new("north/clerk", "Test", request_id, &body).unwrap()
}

async fn conforms(store: &dyn Store) {
    directives_are_kept_whole(store).await;
    directives_come_newest_first_in_pages(store).await;
    revocation_is_final(store).await;
    what_stands_is_that_of_all_records(store).await;
    the_epoch_tells_of_every_change(store).await;
    directives_of_a_record_are_bounded(store).await;
    an_attempt_is_carried_out_once(store).await;
    sessions_end_once(store).await;
    reviews_are_listed_oldest_first(store).await;
    a_review_is_final_and_closes(store).await;
    policies_come_into_force_one_after_another(store).await;
    decisions_are_kept_whole(store).await;
    who_is_told_takes_note(store).await;
    emergency_access_has_a_quota(store).await;
    an_overdue_review_is_told_once(store).await;
    a_signature_counts_once(store).await;
    a_shipped_policy_is_kept(store).await;
    what_is_old_is_forgotten(store).await;
}

async fn who_is_told_takes_note(store: &dyn Store) {
    let at = record("told", "p1");
    let opened = session("told", 100);
    let notices = Notice::opened(&opened, std::slice::from_ref(&at));
    store.open_session(&opened, &notices, 0, None).await.unwrap();
    let (patient, officers) = (Party::Patient(at), Party::Member("told".parse().unwrap()));
    for party in [&patient, &officers] {
        let told = store.notices(party, false, None, 9).await.unwrap();
        assert_eq!(told.len(), 1);
        assert!(told[0].party == *party && told[0].session == Some(opened.id));
        assert!(notices.contains(&told[0]), "every field comes back");
        let noted = store.acknowledge(party, told[0].id, 200).await.unwrap();
        assert_eq!(store.acknowledge(party, told[0].id, 300).await.unwrap(), noted, "the first time counts");
        assert_eq!(store.notices(party, false, None, 9).await.unwrap(), []);
        assert_eq!(store.notices(party, true, None, 9).await.unwrap(), [noted]);
        assert_eq!(store.notices(party, true, Some(told[0].id), 9).await.unwrap(), []);
    }
    let others = store.acknowledge(&Party::Operator, notices[0].id, 1).await;
    assert!(matches!(others, Err(Error::NoticeUnknown)));
}

async fn emergency_access_has_a_quota(store: &dyn Store) {
    const DAY_US: i64 = 86_400_000_000;
    for opened_us in [DAY_US, DAY_US + 1] {
        store.open_session(&session("busy", opened_us), &[], 2, None).await.unwrap();
    }
    let third = store.open_session(&session("busy", DAY_US + 2), &[], 2, None).await;
    assert!(matches!(third, Err(Error::EmergencyQuota(2))));
    let later = session("busy", 2 * DAY_US);
    assert!(store.may_open(&later, 2).await.unwrap());
    store.open_session(&later, &[], 2, None).await.unwrap();
    assert!(!store.may_open(&later, 2).await.unwrap() && store.may_open(&later, 0).await.unwrap());
    let at_once: Vec<_> = (0..8).map(|_| session("busier", 5)).collect();
    let opened = at_once.iter().map(|session| store.open_session(session, &[], 3, None));
    let opened = futures_util::future::join_all(opened).await;
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 3, "those at once count, too");
}

async fn a_signature_counts_once(store: &dyn Store) {
    let signature = Signature { statement: vec![1], public_key: vec![2], signature: vec![4] };
    let signed = |created_us| Directive {
        signature: Some(signature.clone()),
        ..directive(record("north", "signed"), created_us)
    };
    let first = store.create_directive(&signed(1), None).await.unwrap();
    store.revoke_directive(first.id, 2).await.unwrap();
    let epoch = store.epoch(std::slice::from_ref(&first.patient)).await.unwrap();
    assert!(matches!(store.create_directive(&signed(3), None).await, Err(Error::SignatureUsed)));
    assert_eq!(store.epoch(&[first.patient]).await.unwrap(), epoch, "nothing changed");
}

async fn a_shipped_policy_is_kept(store: &dyn Store) {
    store.keep_shipped("x@shipped-1", "one").await.unwrap();
    store.keep_shipped("x@shipped-1", "two").await.unwrap();
    assert_eq!(store.shipped("x@shipped-1").await.unwrap().as_deref(), Some("one"));
    assert_eq!(store.shipped("x@shipped-2").await.unwrap(), None);
}

async fn what_is_old_is_forgotten(store: &dyn Store) {
    let officers = Party::Member("told".parse().unwrap());
    let told = store.notices(&officers, true, None, 9).await.unwrap();
    assert_eq!(told[0].acknowledged_us, Some(200));
    store
        .open_session(&session("untold", 1), &Notice::opened(&session("untold", 1), &[]), 0, None)
        .await
        .unwrap();
    while store.forget(200).await.unwrap() > 0 {}
    assert_eq!(store.notices(&officers, true, None, 9).await.unwrap(), told);
    while store.forget(201).await.unwrap() > 0 {}
    let untold = Party::Member("untold".parse().unwrap());
    assert_eq!(store.notices(&untold, true, None, 9).await.unwrap().len(), 1, "nobody has seen it yet");
    let kept = store.decisions(i64::MIN, None, 500).await.unwrap();
    assert_eq!((kept.len(), kept.last().unwrap().request.now_us), (100, 201));
    assert_eq!(store.notices(&officers, true, None, 9).await.unwrap(), []);
}

async fn an_overdue_review_is_told_once(store: &dyn Store) {
    let late = Session { review_due_us: 500, ..session("late", 100) };
    store.open_session(&late, &[], 0, None).await.unwrap();
    while store.escalate(499).await.unwrap() > 0 {}
    let officers = Party::Member("late".parse().unwrap());
    assert_eq!(store.notices(&officers, true, None, 9).await.unwrap(), []);
    assert_eq!(store.escalate(500).await.unwrap(), 1);
    assert_eq!(store.escalate(600).await.unwrap(), 0);
    let told = store.notices(&officers, true, None, 9).await.unwrap();
    assert_eq!((told.len(), told[0].kind), (1, NoticeKind::ReviewOverdue));
    assert_eq!(store.notices(&Party::Operator, true, None, 500).await.unwrap()[0].session, Some(late.id));
}

async fn policies_come_into_force_one_after_another(store: &dyn Store) {
    let epoch = async || store.epoch(&[record("north", "any")]).await.unwrap().policy;
    let actor = |now_us| Actor { by: "exchange/op".into(), now_us };
    let draft =
        |name: &str| Draft { name: name.into(), summary: "a test".into(), source: format!("# {name}") };
    assert_eq!((epoch().await, store.activated(None).await.unwrap()), (0, None));
    assert_eq!(store.previous().await.unwrap(), None);

    let one = store.draft_policy(&draft("one"), &actor(1), None).await.unwrap();
    assert_eq!(
        (one.version.as_str(), one.number, one.activated.clone(), one.active),
        ("one@1", 1, None, false)
    );
    assert_eq!(store.draft_policy(&draft("one"), &actor(2), None).await.unwrap(), one, "the same document");
    let two = store.draft_policy(&draft("two"), &actor(3), None).await.unwrap();
    assert_eq!(two.version, "two@2");

    let in_force = store.activate("one@1", &actor(4), None).await.unwrap();
    assert!(in_force.active && in_force.activated.is_some_and(|a| (a.sequence, a.at_us) == (1, 4)));
    store.activate("one@1", &actor(5), None).await.unwrap();
    assert_eq!(epoch().await, 1, "it is in force already");
    let attempt = Attempt::new("op", "ActivatePolicy", "r1", &Body::default());
    store.activate("two@2", &actor(6), attempt.as_ref()).await.unwrap();
    assert_eq!((epoch().await, store.previous().await.unwrap().as_deref()), (2, Some("one@1")));
    store.activate("one@1", &actor(7), None).await.unwrap();
    let again = store.activate("two@2", &actor(8), attempt.as_ref()).await.unwrap();
    assert!(!again.active, "a repetition does not undo what came after");
    assert_eq!(store.activated(None).await.unwrap().unwrap().version, "one@1");
    assert_eq!(store.activated(Some(2)).await.unwrap().unwrap().version, "two@2");
    let unknown = store.activate("three@3", &actor(9), None).await;
    assert!(matches!(unknown, Err(Error::PolicyUnknown)));

    let listed = store.policies(i64::MAX, 9).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|p| (p.version.as_str(), p.active)).collect();
    assert_eq!(listed, [("two@2", false), ("one@1", true)]);
    assert_eq!(store.policies(2, 9).await.unwrap().len(), 1);
}

async fn decisions_are_kept_whole(store: &dyn Store) {
    let made = store.create_directive(&directive(record("north", "decided"), 1), None).await.unwrap();
    let document = DocumentFacts {
        id: DocumentId::generate(),
        replaced: vec![DocumentId::generate()],
        custodian: "west".parse().unwrap(),
        author: Some("West".into()),
        type_code: None,
        class_code: Some("11503-0".into()),
        labels: vec!["R".into()],
        service_start_us: Some(5),
    };
    let decision = Decision {
        document: document.id,
        effect: Effect::Permit,
        rule_ids: vec!["network:x".into()],
        obligations: vec![Obligation::RedisclosureNotice("no".into()), Obligation::EraseAfterDays(3)],
        emergency_could_permit: false,
    };
    let kept = |now_us| Kept {
        id: DecisionId::generate(),
        person_id: PersonId::generate().to_string(),
        request: Request {
            requester: Requester {
                member_id: "south".parse().unwrap(),
                role: Role::Nurse,
                purpose: PurposeOfUse::Btg,
                relationships: vec![Relationship::Treating],
            },
            now_us,
            emergency: Emergency::Open(SessionId::generate(), EmergencyReason::Unconscious),
            scope: Matcher::new([Criterion::TypeCodes(vec!["34133-9".into()])]),
        },
        policy_version: "one@1".into(),
        directives: vec![made.id],
        documents: vec![(document.clone(), decision.clone())],
    };
    let all: Vec<_> = (1..=300).map(kept).collect();
    store.keep_decisions(&all).await.unwrap();
    assert_eq!(store.decision(all[7].id).await.unwrap().as_ref(), Some(&all[7]));
    assert_eq!(store.decision(DecisionId::generate()).await.unwrap(), None);
    let newest = store.decisions(200, None, 50).await.unwrap();
    assert_eq!(newest, all[250..].iter().rev().cloned().collect::<Vec<_>>());
    let position = (newest[49].request.now_us, newest[49].id.to_string());
    let rest = store.decisions(200, Some(&position), 500).await.unwrap();
    assert_eq!(rest.len(), 51);
    assert_eq!(store.directives_of(&[made.id, DirectiveId::generate()]).await.unwrap(), [made]);
}

async fn directives_are_kept_whole(store: &dyn Store) {
    let member = |id: &str| vec![id.parse().unwrap()];
    let full = Directive {
        effect: Effect::Permit,
        matcher: Matcher::new([
            Criterion::Requesters(member("south")),
            Criterion::Roles(vec![Role::Nurse]),
            Criterion::Purposes(vec![PurposeOfUse::Hresch]),
            Criterion::Relationships(vec![Relationship::Treating]),
            Criterion::Custodians(member("west")),
            Criterion::Authors(vec!["West Hospital".into()]),
            Criterion::TypeCodes(vec!["34133-9".into()]),
            Criterion::ClassCodes(vec!["11503-0".into()]),
            Criterion::Labels(vec!["PSY".into()]),
            Criterion::Documents(vec![DocumentId::generate()]),
            Criterion::Period { from_us: Some(-1), to_us: Some(1) },
        ]),
        exceptions: vec![Matcher::new([Criterion::Labels(vec!["R".into()])])],
        overridable: false,
        grantor: Grantor::Representative,
        signature: Some(Signature { statement: vec![1], public_key: vec![2], signature: vec![3] }),
        validity: Validity { from_us: Some(5), to_us: Some(6), revoked_us: None },
        ..directive(record("north", "whole"), 5)
    };
    store.create_directive(&full, None).await.unwrap();
    let kept = store.directive(full.id).await.unwrap().unwrap();
    assert!(kept == full, "every field comes back");
    assert_eq!(store.directive(DirectiveId::generate()).await.unwrap(), None);
}

async fn directives_come_newest_first_in_pages(store: &dyn Store) {
    let patient = record("north", "pages");
    let mut made = vec![];
    for created_us in [1, 2, 2, 3] {
        made.push(store.create_directive(&directive(patient.clone(), created_us), None).await.unwrap());
    }
    store.create_directive(&directive(record("south", "pages"), 9), None).await.unwrap();
    made.sort_by_key(|d| std::cmp::Reverse((d.created_us, d.id.to_string())));
    let first = store.directives(&patient, None, 2).await.unwrap();
    assert_eq!(first, made[..2]);
    let before = (first[1].created_us, first[1].id.to_string());
    assert_eq!(store.directives(&patient, Some(&before), 9).await.unwrap(), made[2..]);
}

async fn revocation_is_final(store: &dyn Store) {
    let made = store.create_directive(&directive(record("north", "revoked"), 1), None).await.unwrap();
    assert_eq!(store.revoke_directive(made.id, 50).await.unwrap().validity.revoked_us, Some(50));
    assert_eq!(store.revoke_directive(made.id, 60).await.unwrap().validity.revoked_us, Some(50));
    let listed = store.directives(&made.patient, None, 9).await.unwrap();
    assert_eq!(listed[0].validity.revoked_us, Some(50), "a list shows revoked ones");
    let unknown = store.revoke_directive(DirectiveId::generate(), 50).await;
    assert!(matches!(unknown, Err(Error::DirectiveUnknown)));
}

async fn what_stands_is_that_of_all_records(store: &dyn Store) {
    let (one, two) = (record("north", "stands"), record("south", "stands"));
    let a = store.create_directive(&directive(one.clone(), 1), None).await.unwrap();
    let b = store.create_directive(&directive(two.clone(), 2), None).await.unwrap();
    let revoked = store.create_directive(&directive(one.clone(), 3), None).await.unwrap();
    store.revoke_directive(revoked.id, 4).await.unwrap();
    let validity = Validity { to_us: Some(10), ..Validity::default() };
    let ends = Directive { validity, ..directive(one.clone(), 4) };
    let ends = store.create_directive(&ends, None).await.unwrap();
    store.create_directive(&directive(record("south", "other"), 5), None).await.unwrap();

    let mut standing = store.standing(&[one.clone(), two.clone()], 9).await.unwrap();
    standing.sort_by_key(|d| d.created_us);
    assert_eq!(standing, [a.clone(), b.clone(), ends]);
    let mut later = store.standing(&[one, two.clone()], 10).await.unwrap();
    later.sort_by_key(|d| d.created_us);
    assert_eq!(later, [a, b.clone()]);
    assert_eq!(store.standing(&[two], 9).await.unwrap(), [b]);
    let many: Vec<_> = (0..200).map(|i| record("west", &i.to_string())).collect();
    assert_eq!(store.standing(&many, 9).await.unwrap(), []);
    assert_eq!(store.epoch(&many).await.unwrap().directives, 0);
}

async fn the_epoch_tells_of_every_change(store: &dyn Store) {
    let both = [record("north", "epoch"), record("south", "epoch")];
    let mut seen = vec![store.epoch(&both).await.unwrap().directives];
    let a = store.create_directive(&directive(both[0].clone(), 1), None).await.unwrap();
    seen.push(store.epoch(&both).await.unwrap().directives);
    store.create_directive(&directive(both[1].clone(), 1), None).await.unwrap();
    seen.push(store.epoch(&both).await.unwrap().directives);
    store.revoke_directive(a.id, 2).await.unwrap();
    seen.push(store.epoch(&both).await.unwrap().directives);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    store.revoke_directive(a.id, 3).await.unwrap();
    assert_eq!(store.epoch(&both).await.unwrap().directives, seen[3], "nothing changed");
}

async fn directives_of_a_record_are_bounded(store: &dyn Store) {
    let patient = record("north", "many");
    for _ in 4..STANDING_MAX {
        store.create_directive(&directive(patient.clone(), 1), None).await.unwrap();
    }
    let at_once: Vec<_> = (0..8).map(|_| directive(patient.clone(), 1)).collect();
    let made = at_once.iter().map(|directive| store.create_directive(directive, None));
    let made = futures_util::future::join_all(made).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 4, "those at once count, too");
    let more = directive(patient, 1);
    assert!(matches!(store.create_directive(&more, None).await, Err(Error::TooManyDirectives)));
    let last = made.into_iter().find_map(Result::ok).unwrap();
    store.revoke_directive(last.id, 2).await.unwrap();
    store.create_directive(&more, None).await.unwrap();
}

async fn an_attempt_is_carried_out_once(store: &dyn Store) {
    let patient = record("north", "again");
    let again = attempt("d1", "one");
    assert_eq!(store.replayed(&again).await.unwrap(), None);
    let first = store.create_directive(&directive(patient.clone(), 1), Some(&again)).await.unwrap();
    assert_eq!(store.replayed(&again).await.unwrap(), Some(first.id.to_string()));
    let second = store.create_directive(&directive(patient.clone(), 2), Some(&again)).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(store.directives(&patient, None, 9).await.unwrap().len(), 1);
    let other = store.create_directive(&directive(patient, 3), Some(&attempt("d1", "two"))).await;
    assert!(matches!(other, Err(Error::Database(db::Error::RequestIdReused))));

    let again = attempt("s1", "one");
    let first = store.open_session(&session("again", 1), &[], 0, Some(&again)).await.unwrap();
    let second = store.open_session(&session("again", 2), &[], 0, Some(&again)).await.unwrap();
    assert_eq!(first.id, second.id);
}

async fn sessions_end_once(store: &dyn Store) {
    let opened = store.open_session(&session("ends", 100), &[], 0, None).await.unwrap();
    assert!(store.session(opened.id).await.unwrap().unwrap() == opened, "every field comes back");
    assert_eq!(store.close_session(opened.id, 200).await.unwrap().closed_us, Some(200));
    assert_eq!(store.close_session(opened.id, 300).await.unwrap().closed_us, Some(200));
    let expired = store.open_session(&session("ends", 100), &[], 0, None).await.unwrap();
    assert_eq!(store.close_session(expired.id, 1100).await.unwrap().closed_us, None);
    let unknown = SessionId::generate();
    assert_eq!(store.session(unknown).await.unwrap(), None);
    assert!(matches!(store.close_session(unknown, 1).await, Err(Error::SessionUnknown)));
}

async fn reviews_are_listed_oldest_first(store: &dyn Store) {
    let east = "east".parse().unwrap();
    let mut made = vec![];
    for opened_us in [10, 20, 20, 30] {
        made.push(store.open_session(&session("east", opened_us), &[], 0, None).await.unwrap());
    }
    made.sort_by_key(|s| (s.opened_us, s.id.to_string()));
    let elsewhere = store.open_session(&session("far", 15), &[], 0, None).await.unwrap();
    let first = store.sessions(Some(&east), false, None, 2).await.unwrap();
    assert_eq!(first, made[..2]);
    let after = (first[1].opened_us, first[1].id.to_string());
    assert_eq!(store.sessions(Some(&east), false, Some(&after), 9).await.unwrap(), made[2..]);
    assert!(store.sessions(None, false, None, 500).await.unwrap().contains(&elsewhere));

    let review = Review {
        outcome: ReviewOutcome::Justified,
        note: String::new(),
        follow_up: String::new(),
        by: "east/po".into(),
    };
    let done = store.review_session(made[0].id, &review, 5000).await.unwrap();
    assert_eq!(store.sessions(Some(&east), false, None, 9).await.unwrap(), made[1..]);
    assert!(store.sessions(Some(&east), true, None, 9).await.unwrap().contains(&done));
}

async fn a_review_is_final_and_closes(store: &dyn Store) {
    let opened = store.open_session(&session("reviewed", 100), &[], 0, None).await.unwrap();
    let review = Review {
        outcome: ReviewOutcome::NotJustified,
        note: "no".into(),
        follow_up: "dr-lee is asked why".into(),
        by: "reviewed/po".into(),
    };
    let done = store.review_session(opened.id, &review, 200).await.unwrap();
    assert_eq!(done.closed_us, Some(200));
    assert!(done.review.as_ref() == Some(&review));
    assert!(store.review_session(opened.id, &review, 300).await.unwrap() == done, "nothing changed");
    for other in [
        Review { outcome: ReviewOutcome::Justified, ..review.clone() },
        Review { note: "other words".into(), ..review.clone() },
    ] {
        assert!(matches!(store.review_session(opened.id, &other, 300).await, Err(Error::ReviewCompleted)));
    }
    assert!(store.session(opened.id).await.unwrap().unwrap() == done);
    let unknown = store.review_session(SessionId::generate(), &review, 1).await;
    assert!(matches!(unknown, Err(Error::SessionUnknown)));
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&*store::open(&Location::Memory).await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::File(folder.path().join("consent.sqlite"));
    conforms(&*store::open(&location).await.unwrap()).await;
    store::open(&location).await.unwrap();
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(location) = db::scratch_postgres("consent") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    conforms(&*store::open(&location).await.unwrap()).await;
    store::open(&location).await.unwrap();
}
