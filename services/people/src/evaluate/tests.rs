//! Tests of the measures by hand-computed examples, of the readers by bad rows, and of both by properties.

use std::{cell::RefCell, fs};

use proptest::prelude::*;

use super::*;

const NO_LINKS: &str = "record_id,person_id\n";
const NO_TRUTH: &str = "record_id,entity_id\n";
const NO_PAIRS: &str = "record_id_l,record_id_r,probability,decision\n";
const NO_RELATIONS: &str = "entity_a,entity_b,relation\n";

/// The files of an evaluation as text.
#[derive(Clone, Copy)]
struct Texts<'a> {
    links: &'a str,
    truth: &'a str,
    pairs: Option<&'a str>,
    relations: Option<&'a str>,
}

const EMPTY: Texts<'static> = Texts { links: NO_LINKS, truth: NO_TRUTH, pairs: None, relations: None };

fn run(texts: Texts<'_>) -> Result<Evaluation, Error> {
    let source = |name: &str, text| Source { name: name.to_owned(), reader: str::as_bytes(text) };
    evaluate_sources(Sources {
        links: source("links.csv", texts.links),
        pairs: texts.pairs.map(|text| source("pairs.csv", text)),
        truth: source("truth.csv", texts.truth),
        relations: texts.relations.map(|text| source("relations.csv", text)),
    })
}

/// Returns the file, line and problem of a bad row.
fn fault(texts: Texts<'_>) -> (String, u64, Problem) {
    match run(texts) {
        Err(Error::Row { file, line, problem }) => (file, line, problem),
        other => panic!("no bad row: {other:?}"),
    }
}

/// Returns a file that puts records 0, 1, ... into the given groups.
fn grouped(header: &str, groups: &[u32]) -> String {
    let rows = groups.iter().enumerate().map(|(record, group)| format!("r{record},g{group}\n"));
    std::iter::once(header.to_owned()).chain(rows).collect()
}

fn links_of(persons: &[u32], entities: &[u32]) -> LinkMeasures {
    let (links, truth) = (grouped(NO_LINKS, persons), grouped(NO_TRUTH, entities));
    run(Texts { links: &links, truth: &truth, ..EMPTY }).unwrap().links
}

/// Evaluates pairs `left,right,probability,decision` of records r0, r1 | r2, r3 | r4 | r5: two true pairs.
fn pairs_of(rows: &str) -> PairMeasures {
    let truth = grouped(NO_TRUTH, &[0, 0, 1, 1, 2, 3]);
    let pairs = format!("{NO_PAIRS}{rows}");
    run(Texts { truth: &truth, pairs: Some(&pairs), ..EMPTY }).unwrap().pairs.unwrap()
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

/// The truth of Bagga and Baldwin 1998: {1, ..., 5}, {6, 7}, {8, ..., 12}.
const BAGGA_TRUTH: [u32; 12] = [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2];

#[test]
fn b_cubed_of_the_small_wrong_join_is_that_of_the_paper() {
    let links = links_of(&[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1], &BAGGA_TRUTH);
    assert_near(links.b_cubed.precision, 16.0 / 21.0);
    assert_near(links.b_cubed.recall, 1.0);
    assert_near(links.b_cubed.f1, 32.0 / 37.0);
    assert_eq!((links.pairs_linked_true, links.pairs_linked, links.pairs_true), (21, 31, 21));
    assert_near(links.pairwise.precision, 21.0 / 31.0);
    assert_near(links.pairwise.recall, 1.0);
    assert_near(links.pairwise.f1, 42.0 / 52.0);
    assert_eq!((links.persons, links.entities, links.persons_exact, links.persons_mixed), (2, 3, 1, 1));
    assert_near(links.exact.precision, 0.5);
    assert_near(links.exact.recall, 1.0 / 3.0);
}

#[test]
fn b_cubed_of_the_large_wrong_join_is_that_of_the_paper() {
    let links = links_of(&[0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], &BAGGA_TRUTH);
    assert_near(links.b_cubed.precision, 7.0 / 12.0);
    assert_near(links.b_cubed.recall, 1.0);
}

#[test]
fn a_record_without_a_link_is_a_person_of_its_own() {
    let truth = "record_id,entity_id\na,1\nb,1\nc,2\n";
    let links = run(Texts { truth, links: "record_id,person_id\na,p\n", ..EMPTY }).unwrap().links;
    assert_eq!((links.records, links.records_unlinked, links.persons), (3, 2, 3));
    assert_eq!(links.pairwise, Scores { precision: 1.0, recall: 0.0, f1: 0.0 });
    assert_near(links.b_cubed.recall, 2.0 / 3.0);
    assert_near(links.exact.precision, 1.0 / 3.0);
}

#[test]
fn nothing_to_find_and_nothing_claimed_is_perfect() {
    let found = run(Texts { pairs: Some(NO_PAIRS), relations: Some(NO_RELATIONS), ..EMPTY }).unwrap();
    let perfect = Scores { precision: 1.0, recall: 1.0, f1: 1.0 };
    assert_eq!((found.links.pairwise, found.links.b_cubed, found.links.exact), (perfect, perfect, perfect));
    let pairs = found.pairs.as_ref().unwrap();
    assert_eq!((pairs.pairs, pairs.best_f1, pairs.calibration.expected_error), (0, None, None));
    assert_eq!(pairs.curve, []);
    assert!(pairs.recall_at_precision.iter().all(|at| at.recall == 1.0));
    assert_eq!(found.relations.as_ref().unwrap().kinds, []);
    assert!(found.svg().unwrap().starts_with("<svg"));
}

#[test]
fn without_pairs_there_is_nothing_to_draw() {
    let found = run(EMPTY).unwrap();
    assert!(matches!(found.svg(), Err(Error::NothingToDraw)));
    assert!(found.pairs.is_none() && found.relations.is_none());
}

#[test]
fn the_best_f1_counts_true_pairs_that_were_never_scored() {
    let found = pairs_of("r0,r1,.9,link\nr0,r4,.8,review\nr4,r5,.1,none\n");
    assert_eq!((found.pairs, found.pairs_true, found.pairs_true_scored), (3, 2, 1));
    let best = found.best_f1.unwrap();
    assert_eq!((best.threshold, best.scores.precision, best.scores.recall), (0.9, 1.0, 0.5));
    assert_near(best.scores.f1, 2.0 / 3.0);
    assert_near(found.recall_max, 0.5);
    assert_eq!(found.curve.len(), 3);
}

#[test]
fn equal_probabilities_are_taken_together() {
    let found = pairs_of("r0,r1,.9,link\nr0,r4,.9,link\nr2,r3,.5,link\n");
    assert_eq!(found.curve.len(), 2);
    assert_eq!((found.curve[0].scores.precision, found.curve[0].scores.recall), (0.5, 0.5));
    assert_eq!(found.best_f1.unwrap().threshold, 0.5);
    assert!(found.recall_at_precision.iter().all(|at| at.recall == 0.0 && at.threshold.is_none()));
}

#[test]
fn recall_at_precision_is_the_highest_of_any_threshold() {
    let found = pairs_of("r0,r1,.95,link\nr0,r4,.9,link\nr2,r3,.5,link\n");
    assert!(found.recall_at_precision.iter().all(|at| at.recall == 0.5 && at.threshold == Some(0.95)));
    assert_eq!(
        found.recall_at_precision.iter().map(|at| at.precision_min).collect::<Vec<_>>(),
        [0.99, 0.999]
    );
}

#[test]
fn precision_falls_and_recovers_above_the_least() {
    // 1 false among 200 true ones comes first: precision is .99 again once 99 true ones follow.
    let (mut truth, mut pairs) = (String::from(NO_TRUTH), String::from(NO_PAIRS));
    for number in 0..200 {
        truth += &format!("a{number},{number}\nb{number},{number}\n");
        pairs += &format!("a{number},b{number},{},link\n", 0.9 - f64::from(number) / 1000.0);
    }
    pairs += "a0,a1,1,link\n";
    let found = run(Texts { truth: &truth, pairs: Some(&pairs), ..EMPTY }).unwrap().pairs.unwrap();
    assert_eq!(found.recall_at_precision[0].recall, 1.0);
    assert_eq!(found.recall_at_precision[1].recall, 0.0);
}

#[test]
fn a_repeated_pair_counts_once_with_its_highest_probability() {
    let found = pairs_of("r0,r1,.2,none\nr1,r0,.9,link\nr0,r1,.9,review\nr2,r3,.5,link\n");
    assert_eq!((found.pairs, found.rows_repeated), (2, 2));
    assert_eq!(found.curve[0].threshold, 0.9);
    assert_eq!(found.decisions.len(), 1);
    assert_eq!((found.decisions[0].decision.as_str(), found.decisions[0].pairs), ("link", 2));
}

#[test]
fn decisions_are_measured_by_name() {
    let found = pairs_of("r2,r3,.5,review\nr0,r1,.9,link\nr0,r4,.9,link\nr4,r5,.1,apart\n");
    let told: Vec<_> = found
        .decisions
        .iter()
        .map(|by| (by.decision.as_str(), by.pairs, by.pairs_true, by.precision, by.recall))
        .collect();
    let expected = [("apart", 1, 0, 0.0, 0.0), ("link", 2, 1, 0.5, 0.5), ("review", 1, 1, 1.0, 0.5)];
    assert_eq!(told, expected);
}

#[test]
fn bins_begin_with_their_lower_end_and_the_last_holds_one() {
    let found = pairs_of("r0,r1,1,link\nr2,r3,.9999,link\nr0,r4,.999,link\nr0,r5,0,link\nr4,r5,.01,link\n");
    let told: Vec<_> = found.calibration.bins.iter().map(|bin| (bin.from, bin.to, bin.pairs)).collect();
    assert_eq!(told, [(0.0, 0.01, 1), (0.01, 0.05, 1), (0.999, 0.9999, 1), (0.9999, 1.0, 2)]);
    let last = found.calibration.bins[3];
    assert_near(last.stated, 0.99995);
    assert_eq!((last.observed, last.observed_high), (1.0, 1.0));
    let high = found.calibration.stated_high;
    assert_eq!((high.pairs, high.pairs_true, high.precision), (3, 2, Some(2.0 / 3.0)));
    // |0 - 0|, |.01 - 0|, |.999 - 0|, twice |.99995 - 1|, over 5 pairs.
    assert_near(found.calibration.expected_error.unwrap(), (0.01 + 0.999 + 2.0 * 0.00005) / 5.0);
}

#[test]
fn the_interval_is_that_of_wilson() {
    let (low, high) = calibration::wilson(8, 10);
    assert!((low - 0.490_162).abs() < 1e-6 && (high - 0.943_318).abs() < 1e-6, "{low} {high}");
    let (low, high) = calibration::wilson(0, 10);
    assert!(low == 0.0 && (high - 0.277_533).abs() < 1e-6, "{high}");
}

/// Persons: p holds twins 1 and 2, q holds 2 and the unrelated 3, s holds the unrelated 4 and 5.
const RELATED: Texts<'static> = Texts {
    truth: "record_id,entity_id\na1,1\na2,2\nb2,2\nb3,3\nc4,4\nc5,5\nd6,6\n",
    links: "record_id,person_id\na1,p\na2,p\nb2,q\nb3,q\nc4,s\nc5,s\nd6,t\n",
    pairs: Some(
        "record_id_l,record_id_r,probability,decision\na2,a1,.995,link\nd6,c4,.99,link\nc5,a1,.98,none\n",
    ),
    relations: Some(
        "entity_a,entity_b,relation\n1,2,twin\n2,1,twin\n5,1,twin\n6,9,twin\n4,6,parent\n9,8,uncle\n",
    ),
};

#[test]
fn false_joins_are_told_by_relation() {
    let found = run(RELATED).unwrap().relations.unwrap();
    let told: Vec<_> = found
        .kinds
        .iter()
        .map(|kind| (kind.relation.as_str(), kind.entity_pairs, kind.joined, kind.scored_high))
        .collect();
    assert_eq!(told, [("parent", 1, 0, Some(1)), ("twin", 2, 1, Some(1)), ("uncle", 0, 0, Some(0))]);
    assert_eq!((found.kinds[1].joined_share, found.kinds[2].joined_share), (Some(0.5), None));
    assert_eq!((found.rows_left_out, found.persons_mixed_unrelated), (2, 2));
    let unscored = run(Texts { pairs: None, ..RELATED }).unwrap().relations.unwrap();
    assert!(unscored.kinds.iter().all(|kind| kind.scored_high.is_none() && kind.scored_high_share.is_none()));
}

#[test]
fn columns_may_stand_in_any_order_beside_others() {
    let expected = links_of(&[0, 0], &[0, 1]);
    let truth = "\u{feff}note,entity_id,record_id\nx,g0,r0\n,g1,r1\n";
    let links = "person_id, record_id \r\ng0,\"r0\"\r\n\r\ng0,r1";
    assert_eq!(run(Texts { links, truth, ..EMPTY }).unwrap().links, expected);
}

#[test]
fn a_bad_row_is_told_with_its_line() {
    let truth = "record_id,entity_id\na,1\nb,1\n";
    let base = Texts { truth, ..EMPTY };
    let links = |links| fault(Texts { links, ..base });
    let expect = |line, problem| ("links.csv".to_owned(), line, problem);
    let (id, narrow) = ("record_id", Problem::CellCount { found: 1, expected: 2 });
    assert_eq!(links(""), expect(1, Problem::MissingColumn(id)));
    assert_eq!(links("\n\nperson_id\n"), expect(3, Problem::MissingColumn(id)));
    assert_eq!(links("record_id,person_id\na,p\nb\n"), expect(3, narrow.clone()));
    assert_eq!(links("record_id,person_id\na,p\n\n\nb\n"), expect(5, narrow.clone()));
    assert_eq!(links("record_id,person_id\r\na,p\r\n\r\nb"), expect(4, narrow.clone()));
    assert_eq!(links("record_id,person_id\na,\"p\nq\"\nc,\"p\nq\"\n"), expect(4, Problem::UnknownRecord(id)));
    assert_eq!(links("record_id,person_id\na,p\n\"b,p\n"), expect(3, narrow));
    assert_eq!(links("record_id,person_id\na,p\nb,p\na,p\n"), expect(4, Problem::RepeatedRecord));
    assert_eq!(links("record_id,person_id\na, \n"), expect(2, Problem::EmptyCell("person_id")));
    let repeated = fault(Texts { truth: "record_id,entity_id\na,1\na,1\n", ..EMPTY });
    assert_eq!(repeated, ("truth.csv".to_owned(), 3, Problem::RepeatedRecord));
}

#[test]
fn a_bad_pair_is_told_with_its_line() {
    let truth = "record_id,entity_id\na,1\nb,1\n";
    let problem = |row: &str| {
        let pairs = format!("{NO_PAIRS}a,b,.5,link\n{row}\n");
        let (file, line, problem) = fault(Texts { truth, pairs: Some(&pairs), ..EMPTY });
        assert_eq!((file.as_str(), line), ("pairs.csv", 3));
        problem
    };
    for wrong in ["x", "1.01", "-0.1", "NaN", "inf"] {
        assert_eq!(problem(&format!("a,b,{wrong},link")), Problem::NotProbability);
    }
    assert_eq!(problem("a,z,.5,link"), Problem::UnknownRecord("record_id_r"));
    assert_eq!(problem("a,a,.5,link"), Problem::SameOnBothSides("record_id_l", "record_id_r"));
    assert_eq!(problem("a,b,.5,"), Problem::EmptyCell("decision"));
    let many: String = (0..65).map(|number| format!("a,b,.5,d{number}\n")).collect();
    let pairs = format!("{NO_PAIRS}{many}");
    let (_, line, problem) = fault(Texts { truth, pairs: Some(&pairs), ..EMPTY });
    assert_eq!((line, problem), (66, Problem::TooManyKinds { column: "decision", kinds_max: 64 }));
}

#[test]
fn a_bad_relation_is_told_with_its_line() {
    let relations = format!("{NO_RELATIONS}1,2,twin\n3,3,twin\n");
    let (file, line, problem) = fault(Texts { relations: Some(&relations), ..EMPTY });
    let same = Problem::SameOnBothSides("entity_a", "entity_b");
    assert_eq!((file.as_str(), line, problem), ("relations.csv", 3, same));
}

#[test]
fn an_error_names_no_record() {
    let links = "record_id,person_id\nsecret,p\n";
    let error = run(Texts { links, ..EMPTY }).unwrap_err();
    assert_eq!(error.to_string(), "links.csv, line 2: record_id is not in the truth");
}

#[test]
fn files_are_read_with_progress() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (links, truth) = (write("links.csv", RELATED.links), write("truth.csv", RELATED.truth));
    let (pairs, relations) =
        (write("pairs.csv", RELATED.pairs.unwrap()), write("relations.csv", RELATED.relations.unwrap()));
    let told = RefCell::new(Vec::new());
    let inputs = Inputs { links: &links, pairs: Some(&pairs), truth: &truth, relations: Some(&relations) };
    let found = evaluate(inputs, &|done, total| told.borrow_mut().push((done, total))).unwrap();
    assert_eq!(found, run(RELATED).unwrap());
    let told = told.into_inner();
    assert!(told.is_sorted() && told.last().is_some_and(|(done, total)| done == total), "{told:?}");

    let absent = folder.path().join("absent.csv");
    let error = evaluate(Inputs { links: &absent, ..inputs }, &|_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Open { file, .. } if file.ends_with("absent.csv")));
}

#[test]
fn the_table_and_the_json_tell_the_same_measures() {
    let found = run(RELATED).unwrap();
    let table = found.table();
    for part in ["Links", "Pairs", "Calibration", "False joins"] {
        assert!(table.lines().any(|line| line == part), "{table}");
    }
    assert!(
        table.lines().any(|line| line == "  relation  entity pairs  joined   share  scored >= 0.99   share")
    );
    assert!(
        table.lines().any(|line| line == "  twin                 2       1  0.5000               1  0.5000")
    );
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["relations"]["kinds"][1]["joined"], 1);
    assert_eq!(json["links"]["pairwise"]["precision"], found.links.pairwise.precision);
    assert_eq!(json["pairs"]["curve"][0]["threshold"], 0.995);
    assert_eq!(json["pairs"]["curve"][0]["recall"], 0.0);
}

#[test]
fn the_drawing_is_a_whole_document_of_bounded_size() {
    let (mut truth, mut pairs) = (String::from(NO_TRUTH), String::from(NO_PAIRS));
    for number in 0..5000 {
        truth += &format!("a{number},{number}\nb{number},{number}\n");
        // Every ninth pair is false.
        let other = if number % 9 == 1 { number - 1 } else { number };
        pairs += &format!("b{number},a{other},{},link\n", 1.0 - f64::from(number) / 5000.0);
    }
    let found = run(Texts { truth: &truth, pairs: Some(&pairs), ..EMPTY }).unwrap();
    let curve = &found.pairs.as_ref().unwrap().curve;
    assert!((100..=500).contains(&curve.len()), "{}", curve.len());
    assert_near(curve.last().unwrap().threshold, 1.0 / 5000.0);
    let svg = found.svg().unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.len() < 200_000);
    assert!(svg.contains("sans-serif") && svg.contains("best F1") && !svg.contains("NaN"));
}

/// Returns pairwise and B-cubed precision by looking at all pairs of records, as their definitions do.
fn precision_by_definition(persons: &[u32], entities: &[u32]) -> (f64, f64) {
    let records = 0..persons.len();
    let (mut linked, mut hits, mut b_cubed) = (0.0, 0.0, 0.0);
    for a in records.clone() {
        let group: Vec<usize> = records.clone().filter(|&b| persons[a] == persons[b]).collect();
        let right = group.iter().filter(|&&b| entities[a] == entities[b]).count() as f64;
        linked += group.len() as f64 - 1.0;
        hits += right - 1.0;
        b_cubed += right / group.len() as f64;
    }
    (if linked == 0.0 { 1.0 } else { hits / linked }, b_cubed / persons.len() as f64)
}

/// Rows of all four files, without headers.
type Rows = [Vec<String>; 4];

/// Strategy for files about up to 30 records.
fn rows() -> impl Strategy<Value = Rows> {
    let records = prop::collection::vec((0..8_u32, 0..8_u32, any::<bool>()), 1..30);
    let pairs = prop::collection::vec((0..30_usize, 1..30_usize, 0..=20_u32, 0..3_u32), 0..60);
    let relations = prop::collection::vec((0..10_u32, 1..10_u32, 0..2_u32), 0..20);
    (records, pairs, relations).prop_map(|(records, pairs, relations)| {
        let count = records.len();
        let numbered = || records.iter().enumerate();
        let links = numbered().filter(|(_, row)| row.2).map(|(r, row)| format!("r{r},p{}", row.0)).collect();
        let truth = numbered().map(|(r, row)| format!("r{r},e{}", row.1)).collect();
        let pairs =
            pairs.iter().map(|&(a, step, score, decision)| (a % count, (a + step) % count, score, decision));
        let pairs = pairs
            .filter(|(a, b, _, _)| a != b)
            .map(|(a, b, score, decision)| format!("r{a},r{b},{},d{decision}", f64::from(score) / 20.0))
            .collect();
        let relations =
            relations.iter().map(|&(a, step, kind)| format!("e{a},e{},k{kind}", (a + step) % 10)).collect();
        [links, truth, pairs, relations]
    })
}

fn run_rows(rows: &Rows) -> Evaluation {
    let [links, truth, pairs, relations] = rows;
    let text = |header: &str, rows: &[String]| format!("{header}{}", rows.join("\n"));
    run(Texts {
        links: &text(NO_LINKS, links),
        truth: &text(NO_TRUTH, truth),
        pairs: Some(&text(NO_PAIRS, pairs)),
        relations: Some(&text(NO_RELATIONS, relations)),
    })
    .unwrap()
}

proptest! {
    #[test]
    fn counts_give_what_the_definitions_give(groups in prop::collection::vec((0..6_u32, 0..6_u32), 1..25)) {
        let (persons, entities): (Vec<u32>, Vec<u32>) = groups.into_iter().unzip();
        let found = links_of(&persons, &entities);
        let (precision, b_cubed_precision) = precision_by_definition(&persons, &entities);
        let (recall, b_cubed_recall) = precision_by_definition(&entities, &persons);
        assert_near(found.pairwise.precision, precision);
        assert_near(found.pairwise.recall, recall);
        assert_near(found.b_cubed.precision, b_cubed_precision);
        assert_near(found.b_cubed.recall, b_cubed_recall);
    }

    #[test]
    fn the_order_of_rows_changes_nothing(
        (rows, shuffled) in rows().prop_flat_map(|rows| {
            let shuffled = rows.clone().map(|rows| Just(rows).prop_shuffle());
            (Just(rows), shuffled)
        })
    ) {
        prop_assert_eq!(run_rows(&rows), run_rows(&shuffled));
    }

    #[test]
    fn every_share_is_from_0_to_1(rows in rows()) {
        let found = run_rows(&rows);
        let pairs = found.pairs.as_ref().unwrap();
        let curve = pairs.curve.iter().map(|point| point.scores);
        for scores in [found.links.pairwise, found.links.b_cubed, found.links.exact].into_iter().chain(curve) {
            for value in [scores.precision, scores.recall, scores.f1] {
                prop_assert!((0.0..=1.0).contains(&value));
            }
        }
        for bin in &pairs.calibration.bins {
            prop_assert!(bin.from <= bin.stated && bin.stated <= bin.to);
            prop_assert!(0.0 <= bin.observed_low && bin.observed_low <= bin.observed);
            prop_assert!(bin.observed <= bin.observed_high && bin.observed_high <= 1.0);
        }
        prop_assert!(pairs.curve.is_sorted_by(|a, b| a.threshold > b.threshold));
        prop_assert!(found.svg().is_ok());
    }

    #[test]
    fn perfect_links_and_scores_give_1_everywhere(entities in prop::collection::vec(0..6_u32, 0..25)) {
        let (links, truth) = (grouped(NO_LINKS, &entities), grouped(NO_TRUTH, &entities));
        let mut pairs = NO_PAIRS.to_owned();
        for a in 0..entities.len() {
            for b in 0..a {
                pairs += &format!("r{a},r{b},{},link\n", u8::from(entities[a] == entities[b]));
            }
        }
        let found = run(Texts { links: &links, truth: &truth, pairs: Some(&pairs), relations: None }).unwrap();
        let perfect = Scores { precision: 1.0, recall: 1.0, f1: 1.0 };
        prop_assert_eq!(found.links.pairwise, perfect);
        prop_assert_eq!(found.links.b_cubed, perfect);
        prop_assert_eq!(found.links.exact, perfect);
        let measured = found.pairs.unwrap();
        prop_assert!(measured.recall_at_precision.iter().all(|at| at.recall == 1.0));
        if measured.pairs_true > 0 {
            prop_assert_eq!(measured.best_f1.unwrap().scores, perfect);
        }
        if measured.pairs > 0 {
            prop_assert_eq!(measured.calibration.expected_error, Some(0.0));
        }
    }
}
