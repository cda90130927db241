//! The report of what a model would change, before it is promoted.
//!
//! No patient data is on it: the exchange's ids of records and persons, codes, probabilities and counts.

use askama::Template;

use super::{Error, Reason, filters};

/// Pixels of one bar with the space around it.
const BAR_HEIGHT: usize = 30;

/// Pixels of the longest bar.
const BAR_WIDTH: f64 = 380.0;

/// What a report tells of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The model.
    pub version: &'a str,
    /// The model that its decisions are compared with.
    pub compared_with: &'a str,
    /// Records that it was learnt from.
    pub records: u64,
    /// How many decisions come out otherwise, by how.
    pub counts: &'a [Count],
    /// Decisions that come out otherwise; all of them, or the first.
    pub changes: &'a [Change],
}

/// How many decisions change in one way.
#[derive(Debug, Clone)]
pub struct Count {
    /// What was decided: `STAY`, `MOVE`, or the reason of a review.
    pub before: String,
    /// What would be decided.
    pub after: String,
    /// Number of records.
    pub records: u64,
}

/// A decision that comes out otherwise.
#[derive(Debug, Clone)]
pub struct Change {
    /// Record, by the exchange's id.
    pub record_id: String,
    /// Person it is with.
    pub person_id: String,
    /// What was decided: `STAY`, `MOVE`, or the reason of a review.
    pub before: String,
    /// What would be decided.
    pub after: String,
    /// Person that it would go to, or that would be asked about; empty when it stays.
    pub candidate_person_id: String,
    /// Probability that the record is the candidate's.
    pub probability: f64,
}

/// The page.
#[derive(Template)]
#[template(path = "changes.html")]
struct Page<'a> {
    facts: Facts<'a>,
    version: &'static str,
    total: u64,
    bars: Vec<Bar<'a>>,
    height: usize,
    codes: Vec<(&'a str, &'static str)>,
}

/// A bar of the chart.
struct Bar<'a> {
    before: &'a str,
    after: &'a str,
    records: u64,
    top: usize,
    width: String,
}

/// Returns the report as HTML.
///
/// # Errors
/// When the page cannot be written.
pub fn html(facts: Facts<'_>) -> Result<String, Error> {
    let page = Page {
        facts,
        version: env!("CARGO_PKG_VERSION"),
        total: facts.counts.iter().map(|count| count.records).sum(),
        bars: bars(facts.counts),
        height: facts.counts.len() * BAR_HEIGHT,
        codes: codes(facts.counts),
    };
    Ok(page.render()?)
}

fn bars(counts: &[Count]) -> Vec<Bar<'_>> {
    let most = counts.iter().map(|count| count.records).max().unwrap_or(0).max(1) as f64;
    let bar =
        |(place, count): (usize, &'_ Count)| (place * BAR_HEIGHT, BAR_WIDTH * count.records as f64 / most);
    let placed = counts.iter().enumerate().map(bar);
    let drawn = counts.iter().zip(placed).map(|(count, (top, width))| Bar {
        before: &count.before,
        after: &count.after,
        records: count.records,
        top,
        // What is there can be seen.
        width: format!("{:.1}", width.max(1.0)),
    });
    drawn.collect()
}

/// The codes that occur, with what they mean.
fn codes(counts: &[Count]) -> Vec<(&str, &'static str)> {
    let mut codes: Vec<_> = counts.iter().flat_map(|count| [&*count.before, &*count.after]).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.into_iter().map(|code| (code, meaning(code))).collect()
}

fn meaning(code: &str) -> &'static str {
    match code {
        "STAY" => "The record stays with its person.",
        "MOVE" => "The record goes to another person.",
        code => Reason::of_code(code).map_or("A steward is asked.", Reason::meaning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(before: &str, after: &str, records: u64) -> Count {
        Count { before: before.into(), after: after.into(), records }
    }

    #[test]
    fn a_page_shows_every_way_and_how_many() {
        let counts = [count("STAY", "MOVE", 1_234), count("TWIN_PATTERN", "STAY", 1)];
        let change = Change {
            record_id: "<record&".into(),
            person_id: "person".into(),
            before: "STAY".into(),
            after: "MOVE".into(),
            candidate_person_id: "candidate".into(),
            probability: 0.998_765_4,
        };
        let facts = Facts {
            version: "spring",
            compared_with: "winter",
            records: 20_000,
            counts: &counts,
            changes: &[change],
        };
        let page = html(facts).unwrap();
        assert!(page.starts_with("<!doctype html>"), "{page}");
        for text in ["spring", "winter", "20\u{202f}000", "1\u{202f}235", "width=\"380.0\"", "width=\"1.0\""]
        {
            assert!(page.contains(text), "{text} is not on {page}");
        }
        for text in ["twins are", "0.998765", "The first 1 of 1\u{202f}235", "candidate"] {
            assert!(page.contains(text), "{text} is not on {page}");
        }
        assert!(page.contains("&#60;record&#38;") && !page.contains("<record"), "{page}");
        assert!(!page.contains("<script") && !page.contains("http"), "something from elsewhere: {page}");
    }

    #[test]
    fn a_model_that_changes_nothing_has_a_page() {
        let facts = Facts { version: "spring", compared_with: "", records: 0, counts: &[], changes: &[] };
        let page = html(facts).unwrap();
        assert!(page.contains("changes nothing") && !page.contains("<svg"), "{page}");
    }
}
