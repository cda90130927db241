use signpost_proto::audit::v1::DocumentDisclosure;

use super::*;

const SECOND_US: i64 = 1_000_000;

fn caller() -> Caller {
    Caller {
        member_id: "north".into(),
        user: "dr.lee".into(),
        role: Role::Physician.into(),
        purpose: PurposeOfUse::Treat.into(),
        encounter: "E-1".into(),
        exchange: false,
    }
}

/// A look at a patient that raises nothing.
fn look(sequence: u64, at_s: i64) -> Seen {
    let mut event = Event { person_id: "p1".into(), own_patient: Some(false), ..Event::default() };
    event.caller = Some(caller());
    event.set_kind(EventKind::Locate);
    event.set_outcome(EventOutcome::Success);
    event.action = "/signpost.locator.v1.RecordLocatorService/Locate".into();
    Seen { sequence, event, subjects: vec![1], at_us: at_s * SECOND_US, kind: MemberKind::Provider }
}

fn by(change: impl FnOnce(&mut Caller)) -> Seen {
    let mut seen = look(7, 1);
    change(seen.event.caller.get_or_insert_default());
    seen
}

/// Returns the reasons for what one event raises under a policy.
fn raised(policy: &Policy, seen: &Seen) -> Vec<Reason> {
    Watch::new(policy.clone()).see(seen).into_iter().map(|flag| flag.reason).collect()
}

#[test]
fn every_reason_has_a_name_of_its_own_that_is_read_again() {
    let names: HashSet<_> = Reason::ALL.map(Reason::name).into();
    assert_eq!(names.len(), Reason::ALL.len());
    assert!(Reason::ALL.into_iter().all(|reason| Reason::read(reason.name()) == Some(reason)));
    assert_eq!(Reason::read("velocity"), None);
}

#[test]
fn an_ordinary_look_raises_nothing() {
    assert_eq!(raised(&Policy::default(), &look(7, 1)), []);
}

#[test]
fn treatment_without_encounter_and_record_has_no_relationship() {
    let policy = Policy::default();
    let alone = by(|caller| caller.encounter.clear());
    assert_eq!(raised(&policy, &alone), [Reason::NoRelationship]);
    let mut own = alone.clone();
    own.event.own_patient = Some(true);
    assert_eq!(raised(&policy, &own), [], "the organisation's own patient");
    let mut older = alone.clone();
    older.event.own_patient = None;
    assert_eq!(raised(&policy, &older), [], "an event from before the question");
    let mut nobody = alone.clone();
    nobody.subjects.clear();
    assert_eq!(raised(&policy, &nobody), [], "nobody was found");
    let flag = Watch::new(policy).see(&alone).remove(0);
    assert_eq!(
        (flag.sequence, flag.evidence, &*flag.member_id, &*flag.user),
        (7, vec![7], "north", "dr.lee")
    );
    assert!(flag.sentence.contains("without an encounter"), "{}", flag.sentence);
}

#[test]
fn staff_are_seen_looking_at_one_another_at_home_and_at_themselves() {
    let mut policy = Policy::default();
    policy.staff.employ("north", "dr.lee", Staff { record: Some(10), household: vec![11] });
    policy.staff.employ("north", "nurse.kim", Staff { record: Some(20), household: vec![] });
    policy.staff.employ("south", "dr.ray", Staff { record: Some(30), household: vec![] });
    policy.watched.insert(40);
    let on = |record| Seen { subjects: vec![5, record], ..look(7, 1) };
    assert_eq!(raised(&policy, &on(10)), [Reason::OwnRecord]);
    assert_eq!(raised(&policy, &on(11)), [Reason::Household]);
    assert_eq!(raised(&policy, &on(20)), [Reason::Colleague]);
    assert_eq!(raised(&policy, &on(30)), [], "works elsewhere");
    assert_eq!(raised(&policy, &on(40)), [Reason::Watched]);
    let patient = Seen { subjects: vec![20], ..by(|caller| caller.set_role(Role::Patient)) };
    assert_eq!(raised(&policy, &patient), [], "a patient sees what is theirs");
}

#[test]
fn a_refused_call_tells_nothing_of_whom_it_was_about() {
    let mut policy = Policy { breadth: Count { most: 0, within_us: SECOND_US }, ..Policy::default() };
    policy.staff.employ("north", "dr.lee", Staff { record: Some(1), household: vec![2] });
    policy.staff.employ("north", "nurse.kim", Staff { record: Some(3), household: vec![] });
    policy.watched.insert(4);
    let mut hidden = by(|caller| caller.encounter.clear());
    hidden.subjects = vec![1, 2, 3, 4];
    hidden.event.set_kind(EventKind::Fetch);
    assert_eq!(raised(&policy, &hidden).len(), 6, "what a look that was not refused raises");
    hidden.event.set_outcome(EventOutcome::Refused);
    assert_eq!(raised(&policy, &hidden), []);
    // What it raises all the same is raised whether or not a sign on the patient is quiet.
    let unfit = |mut seen: Seen| {
        seen.kind = MemberKind::Payer;
        seen
    };
    let mut absent = unfit(hidden.clone());
    absent.event.person_id.clear();
    absent.subjects.clear();
    for refused in [unfit(hidden), absent] {
        let mut watch = Watch::new(policy.clone());
        watch.see(&unfit(look(6, 0)));
        let reasons: Vec<_> = watch.see(&refused).into_iter().map(|flag| flag.reason).collect();
        assert_eq!(reasons, [Reason::UnfitPurpose]);
    }
}

#[test]
fn a_sign_on_one_patient_is_quiet_for_a_while_and_others_are_not() {
    let mut watch = Watch::new(Policy::default());
    let mut see = |sequence, at_s, person: &str| {
        let mut seen = look(sequence, at_s);
        seen.event.caller.get_or_insert_default().encounter.clear();
        seen.event.person_id = person.to_owned();
        watch.see(&seen).len()
    };
    assert_eq!([see(1, 0, "p1"), see(2, 10, "p1"), see(3, 20, "p2"), see(4, 3601, "p1")], [1, 0, 1, 1]);
}

#[test]
fn quiet_times_are_bounded_and_the_oldest_is_forgotten() {
    let mut watch = Watch::new(Policy::default());
    let mut see = |sequence, person: u64| {
        let mut seen = look(sequence, 0);
        seen.event.caller.get_or_insert_default().encounter.clear();
        seen.event.person_id = person.to_string();
        watch.see(&seen).iter().any(|flag| flag.reason == Reason::NoRelationship)
    };
    let most = QUIET_MAX as u64;
    assert!((0..most).all(|person| see(person, person)));
    assert!(!see(most, 0), "all of them are quiet");
    assert!(see(most + 1, most));
    assert!(see(most + 2, 0), "the oldest is not any more");
    assert!(!see(most + 3, most), "the others are");
    let quiet = &watch.users.values().next().unwrap().quiet;
    assert_eq!((quiet.until_us.len(), quiet.raised.len()), (QUIET_MAX, QUIET_MAX));
}

#[test]
fn looks_are_counted_within_their_time_by_user() {
    let mut policy = Policy { velocity: Count { most: 3, within_us: 60 * SECOND_US }, ..Policy::default() };
    let mut watch = Watch::new(policy.clone());
    let flags: Vec<_> = (0..10).flat_map(|at| watch.see(&look(at, at as i64))).collect();
    let evidence: Vec<_> = flags.iter().map(|flag| flag.evidence.clone()).collect();
    assert_eq!(evidence, [vec![0, 1, 2, 3], vec![4, 5, 6, 7]], "it begins anew after each sign");
    assert_eq!(flags[0].sentence, "4 looks within 1 minute; at most 3 are usual");
    let slow: Vec<_> = (0..10).flat_map(|at| watch.see(&look(at, 100 + at as i64 * 20))).collect();
    assert_eq!(slow, [], "three a minute");
    let mut two = Watch::new(policy.clone());
    let others = (0..6).flat_map(|at| {
        let mut seen = look(at, at as i64);
        seen.event.caller.get_or_insert_default().user = format!("user{}", at % 2);
        two.see(&seen)
    });
    assert_eq!(others.count(), 0);
    policy.off.insert(Reason::Velocity);
    let mut off = Watch::new(policy);
    assert_eq!((0..10).flat_map(|at| off.see(&look(at, 0))).count(), 0);
}

#[test]
fn a_member_that_varies_its_users_is_seen() {
    let count = Count { most: 3, within_us: 60 * SECOND_US };
    let by_member = Policy {
        member_velocity: count,
        member_breadth: count,
        member_enumeration: count,
        ..Policy::default()
    };
    let raised = |person: fn(u64) -> String| {
        let mut watch = Watch::new(by_member.clone());
        let all = (0..4).flat_map(|at| {
            let mut seen = look(at, at as i64);
            seen.event.caller.get_or_insert_default().user = format!("user{at}");
            seen.event.person_id = person(at);
            watch.see(&seen)
        });
        all.map(|flag| (flag.reason, flag.user, flag.evidence.len())).collect::<Vec<_>>()
    };
    let of_all = |reason| (reason, String::new(), 4);
    assert_eq!(raised(|_| "p1".into()), [of_all(Reason::Velocity)]);
    let patients = raised(|at| format!("p{at}"));
    assert_eq!(patients, [of_all(Reason::Velocity), of_all(Reason::Breadth)]);
    assert_eq!(raised(|_| String::new()), [of_all(Reason::Velocity), of_all(Reason::Enumeration)]);

    // A sign is kept once for an event and a reason: that of the user goes first, that of the member is not lost.
    let both = Policy { velocity: count, ..by_member };
    let mut watch = Watch::new(both);
    let flags: Vec<_> = (0..5).flat_map(|at| watch.see(&look(at, at as i64))).collect();
    let told: Vec<_> = flags.iter().map(|flag| (flag.sequence, &*flag.user, flag.evidence.len())).collect();
    assert_eq!(told, [(3, "dr.lee", 4), (4, "", 5)]);
    assert_eq!(flags[1].sentence, "5 looks of all its users within 1 minute; at most 3 are usual");
}

#[test]
fn a_clock_that_steps_back_counts_on() {
    let policy = Policy { velocity: Count { most: 3, within_us: 60 * SECOND_US }, ..Policy::default() };
    let mut watch = Watch::new(policy);
    let times = [100, 101, 40, 41];
    let flags = times.into_iter().enumerate().flat_map(|(at, time)| watch.see(&look(at as u64, time)));
    assert_eq!(flags.count(), 1);
}

#[test]
fn patients_and_misses_are_counted() {
    let count = Count { most: 3, within_us: 600 * SECOND_US };
    let policy = Policy { breadth: count, enumeration: count, ..Policy::default() };
    let mut watch = Watch::new(policy);
    let mut see = |at: u64, person: &str| {
        let mut seen = look(at, at as i64);
        seen.event.person_id = person.to_owned();
        if person.is_empty() {
            seen.subjects.clear();
        }
        watch.see(&seen).into_iter().map(|flag| (flag.reason, flag.evidence)).collect::<Vec<_>>()
    };
    for at in 0..8 {
        assert_eq!(see(at, "p1"), [], "one patient, however often");
    }
    assert_eq!([see(10, "p2"), see(11, "p3")], [vec![], vec![]]);
    assert_eq!(see(12, "p4"), [(Reason::Breadth, vec![0, 10, 11, 12])]);
    assert_eq!([see(20, ""), see(21, ""), see(22, "")], [vec![], vec![], vec![]]);
    assert_eq!(see(23, ""), [(Reason::Enumeration, vec![20, 21, 22, 23])]);
}

#[test]
fn emergency_access_needs_an_encounter() {
    let open = |encounter: &str, action: &str| {
        let mut seen = by(|caller| caller.encounter = encounter.into());
        seen.event.set_kind(EventKind::Emergency);
        seen.event.action = format!("/signpost.consent.v1.EmergencyAccessService/{action}");
        seen.event.own_patient = Some(true);
        raised(&Policy::default(), &seen)
    };
    assert_eq!(open("", "OpenEmergencyAccess"), [Reason::EmergencyWithoutEncounter]);
    assert_eq!(open("E-1", "OpenEmergencyAccess"), []);
    assert_eq!(open("", "CloseEmergencyAccess"), []);
}

#[test]
fn a_member_that_gives_may_take() {
    let policy = Policy { takes_only: Count { most: 2, within_us: 600 * SECOND_US }, ..Policy::default() };
    let take = |sequence, custodian: &str, released| {
        let mut seen = look(sequence, sequence as i64);
        let custodian = custodian.to_owned();
        seen.event.documents =
            vec![DocumentDisclosure { custodian, released, ..DocumentDisclosure::default() }];
        seen
    };
    let mut watch = Watch::new(policy.clone());
    let flags: Vec<_> = (0..3).flat_map(|at| watch.see(&take(at, "south", true))).collect();
    assert_eq!(flags.len(), 1);
    assert_eq!((flags[0].reason, &*flags[0].user, flags[0].evidence.len()), (Reason::TakesOnly, "", 3));
    let mut fair = Watch::new(policy.clone());
    let mut given = take(0, "north", false);
    given.event.caller.get_or_insert_default().member_id = "south".into();
    assert_eq!(fair.see(&given), [], "it has something to give, seen or not");
    assert_eq!((1..9).flat_map(|at| fair.see(&take(at, "south", true))).count(), 0);
    let mut hidden = Watch::new(policy);
    assert_eq!((0..9).flat_map(|at| hidden.see(&take(at, "south", false))).count(), 0);
}

#[test]
fn purposes_fit_kinds() {
    let asks = |kind, purpose| raised(&Policy::default(), &Seen { kind, ..by(|c| c.set_purpose(purpose)) });
    assert_eq!(asks(MemberKind::Payer, PurposeOfUse::Treat), [Reason::UnfitPurpose]);
    assert_eq!(asks(MemberKind::Payer, PurposeOfUse::Hpaymt), []);
    assert_eq!(asks(MemberKind::Provider, PurposeOfUse::Hresch), [Reason::UnfitPurpose]);
    assert_eq!(asks(MemberKind::Unspecified, PurposeOfUse::Hresch), [], "a kind that is not known");
    let seen = Seen { kind: MemberKind::PublicHealth, ..look(7, 1) };
    let flag = Watch::new(Policy::default()).see(&seen).remove(0);
    assert_eq!(flag.sentence, "asked for TREAT, which does not fit a member of kind public-health");
}

#[test]
fn services_and_other_events_are_not_watched() {
    let mut policy = Policy::default();
    policy.velocity.most = 0;
    assert_eq!(raised(&policy, &look(7, 1)), [Reason::Velocity]);
    assert_eq!(raised(&policy, &by(|caller| caller.exchange = true)), []);
    let mut read = look(7, 1);
    read.event.set_kind(EventKind::AuditRead);
    assert_eq!(raised(&policy, &read), []);
}

#[test]
fn users_are_forgotten_when_there_are_too_many() {
    let mut watch = Watch::new(Policy::default());
    for at in 0..USERS_MAX as u64 + 10 {
        let mut seen = look(at, at as i64);
        seen.event.caller.get_or_insert_default().user = at.to_string();
        watch.see(&seen);
    }
    assert!(watch.users.len() <= USERS_MAX);
    assert!(
        watch.users.contains_key(&("north".to_owned(), (USERS_MAX + 9).to_string())),
        "the last is there"
    );
}
