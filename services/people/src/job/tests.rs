//! Tests of jobs on small files.

use std::{collections::BTreeSet, fs};

use signpost_linkage::Region;
use tempfile::TempDir;

use super::*;
use crate::synth;

const PEOPLE: usize = 120;

fn options() -> read::Options {
    read::Options { renamed: vec![], region: Region::US }
}

/// A folder with a file of records and where a job may write.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn synthetic() -> Self {
        let folder = Self::new();
        synth::write(synth::Options { people: PEOPLE, seed: 7 }, folder.0.path(), &|_, _| {}).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Links a file to `links.csv` and `pairs.csv`.
    fn link(&self, input: &str, also: Also) -> Result<Summary, Error> {
        let (options, inputs) = (options(), [self.path(input)]);
        let [out, pairs] = ["links.csv", "pairs.csv"].map(|name| self.path(name));
        let [model, reviews, rejects, report] =
            [also.model, also.reviews, also.rejects, also.report].map(|name| Some(self.path(name?)));
        let job = Link {
            records: Records { inputs: &inputs, options: &options, rejects: rejects.as_deref() },
            model: model.as_deref(),
            seed: 1,
            out: &out,
            pairs: Some(&pairs),
            reviews: reviews.as_deref(),
            report: report.as_deref(),
        };
        link(&job, &|_, _, _| {})
    }

    fn train(&self, input: &str) -> Result<Trained, Error> {
        let (options, inputs, model) = (options(), [self.path(input)], self.path("model.json"));
        let records = Records { inputs: &inputs, options: &options, rejects: None };
        train(&Train { records, model: &model, seed: 1 }, &|_, _, _| {})
    }
}

/// Names of further files of a job.
#[derive(Default)]
struct Also {
    model: Option<&'static str>,
    reviews: Option<&'static str>,
    rejects: Option<&'static str>,
    report: Option<&'static str>,
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let folder = Folder::synthetic();
    folder.link("records.csv", Also::default()).unwrap();
    let (links, pairs) = (folder.text("links.csv"), folder.text("pairs.csv"));
    let text = folder.text("records.csv");
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].reverse();
    let middle = lines.len() / 3;
    lines[1..].rotate_left(middle);
    fs::write(folder.path("shuffled.csv"), lines.join("\n")).unwrap();
    folder.link("shuffled.csv", Also::default()).unwrap();
    assert!(folder.text("links.csv") == links && folder.text("pairs.csv") == pairs);
}

#[test]
fn a_model_that_was_trained_before_gives_the_same_links() {
    let folder = Folder::synthetic();
    let summary = folder.link("records.csv", Also::default()).unwrap();
    let links = folder.text("links.csv");
    assert_eq!(links.lines().count(), summary.found.records + 1);
    let persons: BTreeSet<&str> = links.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(persons.len() as u64, summary.persons);
    folder.train("records.csv").unwrap();
    folder.link("records.csv", Also { model: Some("model.json"), ..Also::default() }).unwrap();
    assert_eq!(folder.text("links.csv"), links);
}

#[test]
fn stewards_are_obeyed() {
    let folder = Folder::synthetic();
    folder.link("records.csv", Also::default()).unwrap();
    let links = folder.text("links.csv");
    let person = |links: &str, id: &str| {
        let line = links.lines().find(|line| line.split(',').next() == Some(id));
        line.unwrap().split(',').nth(1).unwrap().to_owned()
    };
    let linked = links.lines().skip(1).map(|line| line.split_once(',').unwrap());
    let (b, a) = linked.clone().find(|(record, person)| record != person).unwrap();
    let (c, _) = linked.clone().find(|(record, other)| record == other && *other != a).unwrap();
    fs::write(
        folder.path("reviews.csv"),
        format!("record_id_l,record_id_r,decision\n{a},{b},apart\n{a},{c},link\n"),
    )
    .unwrap();
    let summary =
        folder.link("records.csv", Also { reviews: Some("reviews.csv"), ..Also::default() }).unwrap();
    assert_eq!(summary.reviews, 2);
    let after = folder.text("links.csv");
    assert_ne!(person(&after, a), person(&after, b));
    assert_eq!(person(&after, a), person(&after, c));
}

#[test]
fn a_job_that_fails_leaves_every_file_as_it_was() {
    let folder = Folder::new();
    fs::write(folder.path("records.csv"), "record_id,given\n1,Ann\n").unwrap();
    fs::write(folder.path("links.csv"), "before").unwrap();
    fs::write(folder.path("reviews.csv"), "what,is,this\n").unwrap();
    fs::write(folder.path("model.json"), "{}").unwrap();
    let before = folder.names();
    let all = Also {
        model: None,
        reviews: Some("reviews.csv"),
        rejects: Some("rejects.csv"),
        report: Some("report.html"),
    };
    let failed = folder.link("records.csv", all);
    assert!(matches!(failed, Err(Error::Reviews(_))), "{failed:?}");
    let failed = folder.link("records.csv", Also { model: Some("model.json"), ..Also::default() });
    assert!(matches!(failed, Err(Error::Model { .. })), "{failed:?}");
    let failed = folder.link("nothing.csv", Also::default());
    assert!(matches!(failed, Err(Error::Open { .. })), "{failed:?}");
    assert_eq!(folder.names(), before);
    assert_eq!(folder.text("links.csv"), "before");
}

#[test]
fn an_input_is_never_written_to() {
    let folder = Folder::new();
    fs::write(folder.path("links.csv"), "record_id,given\n1,Ann\n").unwrap();
    let failed = folder.link("links.csv", Also::default()).unwrap_err();
    assert!(failed.to_string().contains("is named twice, as --input and as --out"), "{failed}");
    assert_eq!(folder.text("links.csv"), "record_id,given\n1,Ann\n");
}

#[test]
fn everything_that_could_not_be_used_is_written_down() {
    let folder = Folder::new();
    let rows: String = (0..50).map(|row| format!("{row},1900\n")).collect();
    fs::write(folder.path("records.csv"), format!("record_id,birth_date\n{rows}x\n")).unwrap();
    let also = Also { rejects: Some("rejects.csv"), report: Some("report.html"), ..Also::default() };
    let summary = folder.link("records.csv", also).unwrap();
    assert!(folder.text("report.html").contains("Rows were left out."));
    let Found { records, problems, .. } = summary.found;
    assert_eq!((records, problems.rows_lost, problems.cells_lost), (50, 1, 50));
    let text = folder.text("rejects.csv");
    assert_eq!(text.lines().count(), 52);
    let last = text.lines().last().unwrap();
    assert!(last.ends_with("records.csv,52,has 1 cells where the header has 2"), "{last}");
}

#[test]
fn next_to_nothing_is_linked_but_teaches_nothing() {
    let folder = Folder::new();
    for (text, persons) in [("record_id\n", 0), ("record_id,given\n1,Ann\n", 1)] {
        fs::write(folder.path("records.csv"), text).unwrap();
        let summary = folder.link("records.csv", Also::default()).unwrap();
        assert_eq!(
            (summary.persons, folder.text("links.csv").lines().count()),
            (persons, 1 + persons as usize)
        );
        let failed = folder.train("records.csv");
        assert!(matches!(failed, Err(Error::TooFew(_))));
        assert!(!folder.names().contains("model.json"));
    }
}
