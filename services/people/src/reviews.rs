//! Decisions of stewards on pairs of records, which outlive every model.
//!
//! Of two rows on one pair the later one holds. A pair that is kept apart, and that other rows join over further
//! records, is a contradiction which only people can resolve: the row is left out and reported.

use std::{io::Read, sync::Arc};

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};
use signpost_common::rows::Rows;
use signpost_linkage::bulk::{Constraint, Constraints};

use crate::{
    problems::{Loss, Problem, Problems},
    read::Ids,
};

/// Columns of the file.
const COLUMNS: [&str; 3] = ["record_id_l", "record_id_r", "decision"];

/// Why the file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("reading {0}")]
    Read(Arc<str>, #[source] std::io::Error),
    /// The header is of no use.
    #[error("{0} has no column {1}; its first line must be record_id_l,record_id_r,decision")]
    Header(Arc<str>, &'static str),
    /// A problem could not be written down.
    #[error("writing the rejects")]
    Rejects(#[source] std::io::Error),
}

/// What stewards decided.
#[derive(Debug, Clone, Default)]
pub struct Reviews {
    /// Pairs of records with the decision, in the order of the file; each pair once.
    pub decided: Vec<(u32, u32, Constraint)>,
}

impl Reviews {
    /// Returns what linking has to obey.
    pub fn constraints(&self) -> Constraints {
        let mut constraints = Constraints::default();
        self.decided.iter().for_each(|(a, b, constraint)| constraints.insert(*a, *b, *constraint));
        constraints
    }
}

/// Decisions with their lines, by pair.
type Decided = IndexMap<(u32, u32), (u64, Constraint), FxBuildHasher>;

/// Reads the decisions on records of these ids.
///
/// # Errors
/// When the file cannot be read or its header does not name the columns.
pub fn read(name: &str, file: impl Read, ids: &Ids, problems: &mut Problems) -> Result<Reviews, Error> {
    let name: Arc<str> = name.into();
    let failed = |error| Error::Read(name.clone(), error);
    let mut rows = Rows::new(file);
    let header = rows.next_row().map_err(failed)?.and_then(|row| row.cells.ok()).unwrap_or_default();
    let mut places = [0; 3];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|cell| cell == column);
        *place = found.ok_or_else(|| Error::Header(name.clone(), column))?;
    }
    let mut decided = Decided::default();
    let report = |problems: &mut Problems, line, reason: String, loss| {
        problems.add(Problem { file: name.clone(), line, reason, loss }).map_err(Error::Rejects)
    };
    while let Some(row) = rows.next_row().map_err(failed)? {
        let cells = row.cells.map_err(str::to_owned);
        let cells = cells.and_then(|cells| match cells.len() == header.len() {
            true => decision(places.map(|place| cells.get(place).unwrap_or_default()), ids),
            false => Err(format!("has {} cells where the header has {}", cells.len(), header.len())),
        });
        match cells {
            Err(reason) => report(problems, row.line, reason, Loss::Row)?,
            Ok((pair, constraint)) => {
                // Removed first, so that it moves to the end.
                let before = decided.shift_remove(&pair);
                if let Some((line, _)) = before.filter(|(_, before)| *before != constraint) {
                    let reason = format!("line {} decides otherwise on the pair, and holds", row.line);
                    report(problems, line, reason, Loss::Overruled)?;
                }
                decided.insert(pair, (row.line, constraint));
            }
        }
    }
    for line in contradictions(&mut decided) {
        let reason = "keeps two records apart that other rows link over further records; correct one of them";
        report(problems, line, reason.into(), Loss::Row)?;
    }
    Ok(Reviews { decided: decided.into_iter().map(|((a, b), (_, c))| (a, b, c)).collect() })
}

/// Reads a row: the pair, the smaller record first, and what was decided.
fn decision([l, r, decision]: [&str; 3], ids: &Ids) -> Result<((u32, u32), Constraint), String> {
    let record = |column: &str, id: &str| {
        let number = ids.get_index_of(id).ok_or_else(|| format!("{column} is no record of the input"))?;
        u32::try_from(number).map_err(|_| format!("{column} is beyond what can be numbered"))
    };
    let (a, b) = (record(COLUMNS[0], l)?, record(COLUMNS[1], r)?);
    let constraint = match decision {
        "link" => Constraint::MustLink,
        "apart" => Constraint::CannotLink,
        _ => return Err("decision is not link or apart".into()),
    };
    if a == b {
        return Err("record_id_l and record_id_r are the same".into());
    }
    Ok(((a.min(b), a.max(b)), constraint))
}

/// Takes out the pairs that are kept apart and linked over further records, and returns their lines.
fn contradictions(decided: &mut Decided) -> Vec<u64> {
    let mut parents: FxHashMap<u32, u32> = FxHashMap::default();
    for ((a, b), _) in decided.iter().filter(|(_, (_, constraint))| *constraint == Constraint::MustLink) {
        let (a, b) = (root(&mut parents, *a), root(&mut parents, *b));
        parents.insert(a, b);
    }
    let mut lines = vec![];
    decided.retain(|(a, b), (line, constraint)| {
        let torn = *constraint == Constraint::CannotLink && root(&mut parents, *a) == root(&mut parents, *b);
        lines.extend(torn.then_some(*line));
        !torn
    });
    lines
}

/// Returns the record that stands for all that are linked with this one.
fn root(parents: &mut FxHashMap<u32, u32>, record: u32) -> u32 {
    let mut at = record;
    while let Some(parent) = parents.get(&at).copied().filter(|parent| *parent != at) {
        at = parent;
    }
    // The way is shorter the next time.
    parents.insert(record, at);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told = Vec<(u64, Loss, String)>;

    fn read_text(text: &str) -> (Vec<(u32, u32, Constraint)>, Told) {
        let ids: Ids = ["a", "b", "c", "d"].map(Box::from).into_iter().collect();
        let mut problems = Problems::default();
        let reviews = read("reviews.csv", text.as_bytes(), &ids, &mut problems).unwrap();
        let problems = problems.first.into_iter().map(|p| (p.line, p.loss, p.reason)).collect();
        (reviews.decided, problems)
    }

    #[test]
    fn decisions_are_read_in_any_order_of_columns() {
        let (decided, problems) =
            read_text("decision,record_id_r,note,record_id_l\nlink,a,x,b\napart,d,,c\n");
        assert_eq!(decided, [(0, 1, Constraint::MustLink), (2, 3, Constraint::CannotLink)]);
        assert_eq!(problems, []);
    }

    #[test]
    fn what_cannot_be_used_is_reported_with_its_line() {
        let text = "record_id_l,record_id_r,decision\na,b\na,x,link\n\na,b,perhaps\na,a,link\nb,a,link\n";
        let (decided, problems) = read_text(text);
        assert_eq!(decided, [(0, 1, Constraint::MustLink)]);
        let reasons: Vec<_> = problems.iter().map(|(line, _, reason)| (*line, reason.as_str())).collect();
        let expected = [
            (2, "has 2 cells where the header has 3"),
            (3, "record_id_r is no record of the input"),
            (5, "decision is not link or apart"),
            (6, "record_id_l and record_id_r are the same"),
        ];
        assert_eq!(reasons, expected);
        assert!(problems.iter().all(|(_, loss, _)| *loss == Loss::Row));
    }

    #[test]
    fn the_later_of_two_decisions_holds() {
        let (decided, problems) =
            read_text("record_id_l,record_id_r,decision\na,b,link\nb,a,apart\na,b,apart\n");
        assert_eq!(decided, [(0, 1, Constraint::CannotLink)]);
        let reason = "line 3 decides otherwise on the pair, and holds".to_owned();
        assert_eq!(problems, [(2, Loss::Overruled, reason)]);
    }

    #[test]
    fn a_pair_that_is_linked_over_others_cannot_be_kept_apart() {
        let text = "record_id_l,record_id_r,decision\na,c,apart\na,b,link\nc,b,link\na,d,apart\n";
        let (decided, problems) = read_text(text);
        let expected =
            [(0, 1, Constraint::MustLink), (1, 2, Constraint::MustLink), (0, 3, Constraint::CannotLink)];
        assert_eq!(decided, expected);
        assert_eq!((problems.len(), problems[0].0, problems[0].1), (1, 2, Loss::Row));
    }

    #[test]
    fn a_header_must_name_the_columns() {
        let error = |text: &str| {
            read("r.csv", text.as_bytes(), &Ids::default(), &mut Problems::default()).unwrap_err().to_string()
        };
        assert!(error("a,b,c\n").starts_with("r.csv has no column record_id_l; its first line must be"));
        assert!(error("").starts_with("r.csv has no column record_id_l"));
    }
}
