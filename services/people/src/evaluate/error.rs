//! What can go wrong in an evaluation: files that cannot be read, and rows that make no sense.
//!
//! An error names the file and the line, never the text in it.

use std::{error::Error as StdError, io};

/// Why an evaluation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened.
    #[error("cannot open {file}")]
    Open {
        /// The file.
        file: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file could not be read to its end.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: String,
        /// What the reader says.
        source: io::Error,
    },
    /// A row makes no sense.
    #[error("{file}, line {line}: {problem}")]
    Row {
        /// The file.
        file: String,
        /// The line at which the row begins, counted from 1 as an editor does.
        line: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// There are no pairs to draw.
    #[error("no pairs were given to draw")]
    NothingToDraw,
    /// The drawing failed.
    #[error("cannot draw the chart")]
    Draw(#[source] Box<dyn StdError + Send + Sync>),
}

/// What is wrong with a row.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The header lacks a column.
    #[error("the header has no column {0}")]
    MissingColumn(&'static str),
    /// The row is not as wide as the header.
    #[error("{found} cells where the header has {expected}")]
    CellCount {
        /// Cells in the row.
        found: usize,
        /// Cells in the header.
        expected: usize,
    },
    /// A cell that must hold something is empty.
    #[error("{0} is empty")]
    EmptyCell(&'static str),
    /// A cell is not text.
    #[error("{0} is not UTF-8")]
    NotText(&'static str),
    /// A probability is not one.
    #[error("probability is not a number from 0 to 1")]
    NotProbability,
    /// A record is not in the truth.
    #[error("{0} is not in the truth")]
    UnknownRecord(&'static str),
    /// A record has a row already.
    #[error("record_id has a row already")]
    RepeatedRecord,
    /// A pair or relation has one thing on both sides.
    #[error("{0} and {1} are the same")]
    SameOnBothSides(&'static str, &'static str),
    /// A column that names a few kinds holds too many.
    #[error("{column} holds more than {kinds_max} different values")]
    TooManyKinds {
        /// The column.
        column: &'static str,
        /// Largest number of different values.
        kinds_max: usize,
    },
    /// There are more different identifiers than can be numbered.
    #[error("more different identifiers than {}", u32::MAX)]
    TooManyIds,
}
