//! Tests of the report.

use signpost_linkage::{
    Model, Name, Record, Region,
    bulk::{Blocked, Constraints, block, link},
    decide::Stop,
    prepare,
};

use super::*;
use crate::problems::{Loss, Problem};

/// People of whom a page must not tell.
const GIVEN: [&str; 4] = ["Wilhelmina", "Wilhelmine", "Zebulon", "Zebulona"];
const FAMILY: &str = "Featherstonehaugh";

fn corpus() -> (Corpus, Ids) {
    let mut corpus = Corpus::default();
    let mut ids = Ids::default();
    for (place, given) in GIVEN.iter().cycle().take(12).enumerate() {
        let name = Name { given: vec![(*given).into()], family: FAMILY.into(), ..Name::default() };
        let record = Record {
            names: vec![name],
            phones: vec!["+1 617 555 0119".into()],
            identifiers: vec![signpost_linkage::Identifier { system: "x".into(), value: "70219".into() }],
            ..Record::default()
        };
        corpus.push(prepare(&record, Region::US).view());
        ids.insert(format!("<{place}&").into());
    }
    (corpus, ids)
}

fn page(found: &Found, pairs: Vec<Pair>) -> String {
    let (corpus, ids) = corpus();
    let Blocked { passes, .. } = block(&corpus);
    let model = Model::default();
    let linked = Linked { persons: vec![0, 0, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11], pairs };
    html(Facts {
        files: &["a & b.csv".to_owned()],
        found,
        corpus: &corpus,
        ids: &ids,
        model: &model,
        passes: &passes,
        pairs_compared: 1_234_567,
        linked: &linked,
        reviews: 0,
    })
    .unwrap()
}

fn pair(a: u32, b: u32, bits: f32, stop: Option<Stop>) -> Pair {
    Pair { a, b, bits, stop }
}

#[test]
fn a_report_tells_what_was_found_and_what_to_do() {
    let mut found = Found { records: 12, ..Found::default() };
    let reason = "has 2 cells where the header has 3".to_owned();
    found.problems.add(Problem { file: "a".into(), line: 3, reason, loss: Loss::Row }).unwrap();
    found.columns_ignored.push(("a.csv".into(), "shoe_size".into()));
    let review = (3..8).map(|b| pair(2, b, 1.0 + b as f32, Some(Stop::TwinPattern)));
    let other = [pair(0, 1, 9.0, None), pair(8, 9, 0.5, None), pair(10, 11, -3.0, None)];
    let page = page(&found, review.chain(other).collect());
    for part in [
        "<b>1\u{202f}234\u{202f}567</b>pairs compared",
        "<b>6</b>pairs to review",
        "<b>10</b>persons",
        "Rows were left out.",
        "<code>shoe_size</code> of <code>a.csv</code>",
        "<code>a &#38; b.csv</code>",
        "<td><code>TWIN_PATTERN</code></td><td class=\"n\">5</td><td class=\"n\">83.3 %</td>",
        "<h3>UNCERTAIN</h3>",
        "<span class=\"id\">&#60;0&#38;</span> (3)",
    ] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    // Of five pairs the first, the middle one and the last.
    assert_eq!(page.matches("class=\"pair\"").count(), 3 + 1);
    assert_eq!(page.matches("<svg").count(), 1 + 3 + 1);
}

#[test]
fn a_report_shows_no_value_and_needs_nothing_from_elsewhere() {
    let page = page(&Found::default(), vec![pair(0, 3, 5.0, None), pair(0, 4, 2.0, None)]).to_lowercase();
    let own = GIVEN.iter().copied().chain([FAMILY, "555", "70219", "wilhelm"]);
    for value in own {
        assert!(!page.contains(&value.to_lowercase()), "the page tells {value}");
    }
    for part in ["<script", "<link", "src=", "url(", "@import"] {
        assert!(!page.contains(part), "the page has {part}");
    }
    assert!(!page.replace("http://www.w3.org/2000/svg", "").contains("http"), "the page leads elsewhere");
}

#[test]
fn a_report_of_nothing_is_a_page_too() {
    let (corpus, ids) = (Corpus::default(), Ids::default());
    let model = Model::default();
    let linked = link(&corpus, &block(&corpus), &model, Thresholds::default(), &Constraints::default());
    let found = Found::default();
    let facts = Facts {
        files: &[],
        found: &found,
        corpus: &corpus,
        ids: &ids,
        model: &model,
        passes: &[],
        pairs_compared: 0,
        linked: &linked,
        reviews: 0,
    };
    assert!(html(facts).unwrap().contains("No pair waits for a decision."));
}
