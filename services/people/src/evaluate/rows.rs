//! Rows of a CSV file with a header: finds the wanted columns, and names the line of a bad row.
//!
//! Columns may stand in any order and others may stand beside them. Cells are trimmed. Blank lines are skipped.

use std::io::Read;

use csv::ByteRecord;
use signpost_common::rows::Rows;

use super::error::{Error, Problem};

/// An open file and its name for errors.
#[derive(Clone, Debug)]
pub struct Source<R> {
    /// The name an error gives it.
    pub name: String,
    /// Its bytes.
    pub reader: R,
}

/// Calls `row` with the cells of the wanted columns of each row, and adds file and line to its problems.
pub(super) fn for_each<R: Read, const N: usize>(
    source: Source<R>,
    columns: [&'static str; N],
    mut row: impl FnMut([&[u8]; N]) -> Result<(), Problem>,
) -> Result<(), Error> {
    let Source { name, reader } = source;
    let mut rows = Rows::new(reader);
    let mut header: Option<Header<N>> = None;
    loop {
        let (line, record) = match rows.next_bytes() {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(source) => return Err(Error::Read { file: name, source }),
        };
        let outcome = match &header {
            Some(header) => header.cells(record).and_then(&mut row),
            None => Header::find(record, columns).map(|found| header = Some(found)),
        };
        if let Err(problem) = outcome {
            return Err(Error::Row { file: name, line, problem });
        }
    }
    match (header, columns.first()) {
        (None, Some(column)) => {
            Err(Error::Row { file: name, line: 1, problem: Problem::MissingColumn(column) })
        }
        _ => Ok(()),
    }
}

/// Where the wanted columns stand.
struct Header<const N: usize> {
    columns: [&'static str; N],
    positions: [usize; N],
    width: usize,
}

impl<const N: usize> Header<N> {
    /// Finds the wanted columns in the header row.
    fn find(record: &ByteRecord, columns: [&'static str; N]) -> Result<Self, Problem> {
        let mut positions = [0; N];
        for (position, column) in positions.iter_mut().zip(columns) {
            *position = record
                .iter()
                .position(|cell| cell.trim_ascii() == column.as_bytes())
                .ok_or(Problem::MissingColumn(column))?;
        }
        Ok(Self { columns, positions, width: record.len() })
    }

    /// Returns the wanted cells of a row, none of them empty.
    fn cells<'a>(&self, record: &'a ByteRecord) -> Result<[&'a [u8]; N], Problem> {
        if record.len() != self.width {
            return Err(Problem::CellCount { found: record.len(), expected: self.width });
        }
        let cells = self.positions.map(|position| record.get(position).unwrap_or_default().trim_ascii());
        match cells.iter().zip(self.columns).find(|(cell, _)| cell.is_empty()) {
            Some((_, column)) => Err(Problem::EmptyCell(column)),
            None => Ok(cells),
        }
    }
}
