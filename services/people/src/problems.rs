//! What in the files could not be used: the first of it is kept to be shown, all of it is counted and may be written.

use std::{io, sync::Arc};

use crate::output::Output;

/// Most problems that are kept.
pub const KEPT_MAX: usize = 10;

/// What a problem costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The row was left out.
    Row,
    /// A cell counts as missing.
    Cell,
    /// A later row overrules this one.
    Overruled,
}

/// Something in a file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, as it was named.
    pub file: Arc<str>,
    /// Line on which the row begins, from 1.
    pub line: u64,
    /// What is wrong; never the value.
    pub reason: String,
    /// What it costs.
    pub loss: Loss,
}

/// Problems as they come.
#[derive(Debug, Default)]
pub struct Problems {
    /// The first of those that cost a row, then the first others.
    pub first: Vec<Problem>,
    /// Rows that were left out.
    pub rows_lost: u64,
    /// Cells that count as missing.
    pub cells_lost: u64,
    /// Rows that a later one overrules.
    pub rows_overruled: u64,
    writer: Option<csv::Writer<Output>>,
}

impl Problems {
    /// Writes each problem to a file, too.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn written_to(file: Output) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(["file", "line", "reason"])?;
        Ok(Self { writer: Some(writer), ..Self::default() })
    }

    /// Adds a problem.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, problem: Problem) -> io::Result<()> {
        *match problem.loss {
            Loss::Row => &mut self.rows_lost,
            Loss::Cell => &mut self.cells_lost,
            Loss::Overruled => &mut self.rows_overruled,
        } += 1;
        if let Some(writer) = &mut self.writer {
            writer.write_record([&*problem.file, &problem.line.to_string(), &problem.reason])?;
        }
        // A lost row is worth more attention than a lost cell.
        let lost = self.first.iter().take_while(|first| first.loss == Loss::Row).count();
        let place = if problem.loss == Loss::Row { lost } else { self.first.len() };
        if place < KEPT_MAX {
            self.first.insert(place, problem);
            self.first.truncate(KEPT_MAX);
        }
        Ok(())
    }

    /// Returns how many there are.
    pub fn len(&self) -> u64 {
        self.rows_lost + self.cells_lost + self.rows_overruled
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the file and returns it, when there is one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take_file(&mut self) -> io::Result<Option<Output>> {
        let ended = self.writer.take().map(csv::Writer::into_inner);
        ended.transpose().map_err(|error| io::Error::other(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_rows_are_shown_before_lost_cells() {
        let mut problems = Problems::default();
        for line in 0..20 {
            let loss = if line % 4 == 3 { Loss::Row } else { Loss::Cell };
            problems.add(Problem { file: "a".into(), line, reason: String::new(), loss }).unwrap();
        }
        let lines: Vec<u64> = problems.first.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [3, 7, 11, 15, 19, 0, 1, 2, 4, 5]);
        assert_eq!((problems.rows_lost, problems.cells_lost, problems.len()), (5, 15, 20));
    }
}
