use prost_types::Timestamp;
use signpost_proto::common::v1::Coding;

use super::*;

/// 2026-06-01.
const NOW_S: i64 = 1_780_272_000;
const DAY: i64 = 86_400;

fn document(id: &str, code: &str, days_ago: i64) -> DocumentEntry {
    let time = Some(Timestamp { seconds: NOW_S - days_ago * DAY - 9 * 3600, nanos: 0 });
    DocumentEntry {
        document_id: id.into(),
        unique_id: format!("urn:{id}"),
        type_code: Some(Coding { code: code.into(), ..Default::default() }),
        creation_time: time,
        service_start_time: time,
        sha256: id.as_bytes().to_vec(),
        ..Default::default()
    }
}

fn ids_in_order(ranked: &[Ranked]) -> Vec<&str> {
    ranked.iter().map(|ranked| ranked.entry.document_id.as_str()).collect()
}

#[test]
fn allergies_come_before_notes_and_new_before_old() {
    let ranked = rank(
        vec![
            document("note", "11506-3", 10),
            document("old-allergies", "48765-2", 900),
            document("new-allergies", "48765-2", 800),
            document("discharge", "18842-5", 300),
        ],
        NOW_S,
    );
    assert_eq!(ids_in_order(&ranked), ["new-allergies", "discharge", "old-allergies", "note"]);
    assert_eq!(ranked[0].reasons, ["ALLERGIES", "NEWEST_OF_KIND"]);
    assert_eq!(ranked[2].reasons, ["ALLERGIES"]);
    assert_eq!(ranked[3].reasons, ["NEWEST_OF_KIND", "RECENT"]);
}

#[test]
fn the_order_does_not_depend_on_arrival() {
    let documents: Vec<_> = (0..20).map(|i| document(&format!("{i:02}"), "48765-2", i / 4)).collect();
    let backwards = documents.iter().rev().cloned().collect();
    assert_eq!(rank(documents, NOW_S), rank(backwards, NOW_S));
}

#[test]
fn copies_stand_with_the_document_that_they_are_copies_of() {
    let first = document("first", "48765-2", 5);
    let bytes = DocumentEntry { sha256: first.sha256.clone(), ..document("bytes", "48765-2", 9) };
    let unique = DocumentEntry { unique_id: first.unique_id.clone(), ..document("unique", "48765-2", 8) };
    let by = |id: &str| DocumentEntry { author_institution: "North".into(), ..document(id, "18842-5", 40) };
    let midnight = |id: &str| {
        let time = Some(Timestamp { seconds: NOW_S / DAY * DAY, nanos: 0 });
        DocumentEntry { service_start_time: time, ..by(id) }
    };
    let all = vec![bytes, by("re-exported"), unique, midnight("a"), by("made"), first, midnight("b")];
    let ranked = rank(all, NOW_S);
    let found: Vec<_> = ranked
        .iter()
        .map(|one| {
            let copies = one.copies.iter().map(|(entry, why)| (entry.document_id.as_str(), *why));
            (one.entry.document_id.as_str(), copies.collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(found[0], ("first", vec![("unique", "SAME_UNIQUE_ID"), ("bytes", "SAME_BYTES")]));
    assert!(found.contains(&("made", vec![("re-exported", "SAME_SERVICE")])), "{found:?}");
    assert!(found.contains(&("a", vec![])) && found.contains(&("b", vec![])), "{found:?}");
    assert_eq!(ids(&ranked).len(), 7, "nothing is lost");
}

#[test]
fn a_pointer_that_led_nowhere_stands_behind_one_that_works() {
    let dead = DocumentEntry { liveness: Liveness::Dead.into(), ..document("dead", "48765-2", 1) };
    let copy = DocumentEntry { sha256: dead.sha256.clone(), ..document("copy", "48765-2", 9) };
    let ranked = rank(vec![dead.clone(), copy, document("list", "10160-0", 50)], NOW_S);
    assert_eq!(ids_in_order(&ranked), ["copy", "list"]);
    let ranked = rank(vec![dead, document("list", "10160-0", 50)], NOW_S);
    assert_eq!(ids_in_order(&ranked), ["list", "dead"]);
    assert!(ranked[1].reasons.contains(&"LED_NOWHERE".to_owned()));
}

/// A patient: what an emergency physician must see at once, and what else of note there is, as type and age in days. Both come
/// among a hundred documents of routine.
struct Case {
    who: &'static str,
    critical: &'static [(&'static str, i64)],
    others: &'static [(&'static str, i64)],
}

const ALLERGY: &str = "48765-2";
const DRUGS: &str = "10160-0";
const PROBLEMS: &str = "11450-4";
const SUMMARY: &str = "34133-9";
const WISHES: &str = "42348-3";
const DEVICE: &str = "46264-8";
const DISCHARGE: &str = "18842-5";
const ECG: &str = "11524-6";
const IMAGE: &str = "18748-4";
const OPERATION: &str = "11504-8";
const EMERGENCY: &str = "34111-5";
const LAB: &str = "11502-2";
const CONSULT: &str = "11488-4";

const fn case(
    who: &'static str,
    critical: &'static [(&'static str, i64)],
    others: &'static [(&'static str, i64)],
) -> Case {
    Case { who, critical, others }
}

const CASES: [Case; 30] = [
    case("penicillin, years ago", &[(ALLERGY, 2900)], &[(DRUGS, 60), (DRUGS, 400), (CONSULT, 30)]),
    case("on an anticoagulant", &[(DRUGS, 45), (ALLERGY, 700)], &[(DRUGS, 300), (DRUGS, 600)]),
    case(
        "do not resuscitate",
        &[(WISHES, 1500)],
        &[(DRUGS, 90), (SUMMARY, 90), (ALLERGY, 90), (PROBLEMS, 90)],
    ),
    case("fresh from hospital", &[(DISCHARGE, 6)], &[(ALLERGY, 6), (DRUGS, 6), (PROBLEMS, 6)]),
    case("chest pain, ECG last week", &[(ECG, 7), (DRUGS, 120)], &[(ALLERGY, 1000), (ECG, 900)]),
    case("stroke, operated last week", &[(OPERATION, 9), (DRUGS, 9)], &[(ALLERGY, 30), (IMAGE, 700)]),
    case("head injury, CT yesterday", &[(IMAGE, 1), (DRUGS, 200)], &[(ALLERGY, 900), (IMAGE, 400)]),
    case("pacemaker", &[(DEVICE, 2200)], &[(ALLERGY, 50), (DRUGS, 50), (PROBLEMS, 800)]),
    case("everything in one summary", &[(SUMMARY, 20)], &[(DISCHARGE, 900), (ECG, 900)]),
    case("summary years old, drugs new", &[(DRUGS, 15), (ALLERGY, 15)], &[(SUMMARY, 2500), (SUMMARY, 2900)]),
    case("diabetic child", &[(DRUGS, 80), (PROBLEMS, 80)], &[(LAB, 80), (CONSULT, 80), (LAB, 200)]),
    case("epilepsy", &[(DRUGS, 25), (PROBLEMS, 400)], &[(CONSULT, 25), (IMAGE, 1200)]),
    case(
        "twenty old lists of drugs",
        &[(ALLERGY, 1800), (DISCHARGE, 12)],
        &[
            (DRUGS, 100),
            (DRUGS, 130),
            (DRUGS, 160),
            (DRUGS, 190),
            (DRUGS, 220),
            (DRUGS, 250),
            (DRUGS, 280),
            (DRUGS, 310),
            (DRUGS, 340),
            (DRUGS, 370),
            (DRUGS, 400),
            (DRUGS, 430),
            (DRUGS, 460),
            (DRUGS, 490),
            (DRUGS, 520),
            (DRUGS, 550),
            (DRUGS, 580),
            (DRUGS, 610),
            (DRUGS, 640),
            (DRUGS, 670),
        ],
    ),
    case("dialysis", &[(DRUGS, 10), (LAB, 3)], &[(PROBLEMS, 700), (LAB, 33), (LAB, 63)]),
    case("here last night already", &[(EMERGENCY, 1)], &[(ALLERGY, 600), (DRUGS, 600), (EMERGENCY, 900)]),
    case("transplanted", &[(DRUGS, 5), (PROBLEMS, 365)], &[(OPERATION, 1400), (LAB, 40), (CONSULT, 40)]),
    case("heart failure, home since a month", &[(DISCHARGE, 28), (DRUGS, 28)], &[(ECG, 28), (ECG, 200)]),
    case("latex, and operated on", &[(ALLERGY, 3300), (OPERATION, 20)], &[(DRUGS, 400), (PROBLEMS, 1000)]),
    case("living will and proxy", &[(WISHES, 3000), (DRUGS, 30)], &[(ALLERGY, 30), (DISCHARGE, 700)]),
    case("cancer under treatment", &[(DRUGS, 8), (SUMMARY, 30)], &[(LAB, 8), (IMAGE, 60), (CONSULT, 8)]),
    case("asthma, in the ED in spring", &[(ALLERGY, 500), (DRUGS, 90)], &[(EMERGENCY, 90), (EMERGENCY, 460)]),
    case("psychosis", &[(DRUGS, 35)], &[(CONSULT, 35), (CONSULT, 65), (CONSULT, 95), (DISCHARGE, 300)]),
    case("pregnant", &[(SUMMARY, 14), (ALLERGY, 1100)], &[(LAB, 14), (IMAGE, 40), (IMAGE, 80)]),
    case("haemophilia", &[(PROBLEMS, 2600), (DRUGS, 100)], &[(ALLERGY, 100), (LAB, 100)]),
    case("valve replaced", &[(DEVICE, 1700), (DRUGS, 70)], &[(OPERATION, 1700), (ECG, 300), (ALLERGY, 900)]),
    case("only a discharge summary", &[(DISCHARGE, 800)], &[(LAB, 300), (CONSULT, 300)]),
    case("only an ECG", &[(ECG, 1200)], &[(LAB, 200), (CONSULT, 100), (CONSULT, 50)]),
    case("lung embolism, CT and drugs", &[(IMAGE, 12), (DRUGS, 12)], &[(DISCHARGE, 400), (ALLERGY, 2000)]),
    case("adrenal crisis", &[(PROBLEMS, 1500), (DRUGS, 200)], &[(ALLERGY, 1500), (LAB, 20), (CONSULT, 20)]),
    case(
        "two hospitals in a month",
        &[(DISCHARGE, 4), (ALLERGY, 900)],
        &[(DISCHARGE, 29), (ECG, 29), (IMAGE, 29)],
    ),
];

/// Documents of routine over seven years, among them old ones of kinds that matter.
fn routine() -> impl Iterator<Item = DocumentEntry> {
    let codes = ["11506-3", LAB, DRUGS, SUMMARY, CONSULT, IMAGE, DRUGS, DISCHARGE, EMERGENCY, OPERATION];
    (0..100).map(move |n| document(&format!("routine-{n:03}"), codes[n % codes.len()], 1000 + n as i64 * 25))
}

#[test]
fn what_is_critical_is_among_the_first_five() {
    let right = CASES.iter().filter(|case| {
        let named = |group: &'static str, all: &'static [(&str, i64)]| {
            all.iter()
                .enumerate()
                .map(move |(n, (code, days))| document(&format!("{group}-{n}"), code, *days))
        };
        let others = named("other", case.others).chain(routine());
        let ranked = rank(named("critical", case.critical).chain(others).collect(), NOW_S);
        assert!(ranked.len() >= 100, "{}", case.who);
        let first = &ids_in_order(&ranked)[..5];
        let shown = first.iter().filter(|id| id.starts_with("critical")).count();
        if shown < case.critical.len() {
            println!("{}: {first:?}", case.who);
        }
        shown == case.critical.len()
    });
    let right = right.count();
    println!("{right} of {} cases", CASES.len());
    assert!(right >= 28);
}
