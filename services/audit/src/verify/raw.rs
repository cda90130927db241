//! Verifying a file that was exported in raw form.

use std::{collections::HashMap, hash::RandomState, io::BufRead};

use super::{Error, Note, Progress, Verdict, promises};
use crate::{
    convert,
    domain::{
        checkpoint::Verifier,
        merkle::{Hash, Peaks},
        verify::{
            Fault, Finding, PART,
            part::{self, Part, Row},
            walk::Walk,
        },
    },
    raw::{Head, Line, hash},
};

/// Verifies a file against the checkpoints in it and those that others kept. Where others kept some, the last entry must be
/// covered by one: a file says itself where it ends.
pub fn verify(
    file: impl BufRead,
    keys: &[Verifier],
    elsewhere: &[Note],
    progress: Progress<'_>,
) -> Result<Verdict, Error> {
    let mut lines = (1..).zip(file.lines());
    let head = match lines.next() {
        Some((_, line)) => serde_json::from_str(&line?).map_err(|_| Error::NotRaw(1))?,
        None => return Err(Error::NotRaw(1)),
    };
    let Line::Head(Head { first, end, before }) = head else { return Err(Error::NotRaw(1)) };
    let before: Option<Vec<Hash>> = before.iter().map(|text| hash(text)).collect();
    let peaks = before.and_then(|before| Peaks::of(first, &before)).ok_or(Error::NotRaw(1))?;
    let mut notes = elsewhere.to_vec();
    let mut reader = Reader { part: Part { first, end: first, ..Part::default() }, end, walk: None };
    let mut pending = Some(peaks);
    let state = RandomState::new();
    let mut finding = None;
    for (number, line) in lines {
        match serde_json::from_str(&line?).map_err(|_| Error::NotRaw(number))? {
            Line::Checkpoint(signed) if pending.is_some() => {
                let name = format!("the checkpoint in line {number}");
                notes.push(Note { name, note: signed.checkpoint });
            }
            Line::Entry(entry) => {
                if let Some(peaks) = pending.take() {
                    reader.walk = Some(Walk::new(peaks, promises(&notes, keys).0, HashMap::new()));
                }
                let (leaf, stored) = entry.read().ok_or(Error::NotRaw(number))?;
                let row = Row { sequence: entry.sequence, said: None, leaf };
                finding = reader.take(row, stored, &state, progress);
                if finding.is_some() {
                    break;
                }
            }
            Line::Checkpoint(_) | Line::Head(_) => return Err(Error::NotRaw(number)),
        }
    }
    if let Some(peaks) = pending.take() {
        reader.walk = Some(Walk::new(peaks, promises(&notes, keys).0, HashMap::new()));
    }
    let finding = finding.or_else(|| reader.finish(&state));
    let finding = finding.or_else(|| promises(&notes, keys).1);
    let (size, root, proved, vouched) = match &reader.walk {
        Some(walk) => (walk.size(), walk.root(), walk.proved(), walk.vouched()),
        None => (first, Hash::default(), 0, first),
    };
    let unsigned = !elsewhere.is_empty() && vouched < size;
    let unsigned = unsigned.then(|| Finding { first: vouched, last: size - 1, fault: Fault::Unsigned });
    let finding = finding.or(unsigned);
    Ok(Verdict { first, size, root, checkpoints: notes.len(), proved, vouched, finding })
}

/// Puts lines together into parts, and walks them.
struct Reader {
    part: Part,
    end: u64,
    walk: Option<Walk>,
}

impl Reader {
    /// Takes the next entry.
    fn take(
        &mut self,
        row: Row,
        stored: Hash,
        state: &RandomState,
        progress: Progress<'_>,
    ) -> Option<Finding> {
        let expected = self.part.end;
        if row.sequence != expected {
            let fault = match row.sequence > expected {
                true => Fault::Dropped,
                false => Fault::Reordered { was: row.sequence },
            };
            return self.look(state).or(Some(Finding::at(expected, fault)));
        }
        self.part.rows.push(row);
        self.part.nodes.resize(1, vec![]);
        self.part.nodes[0].push(Some(stored));
        self.part.end += 1;
        if !self.part.end.is_multiple_of(PART) {
            return None;
        }
        let found = self.look(state);
        progress(self.part.end, self.end);
        found
    }

    /// Walks the part that was put together.
    fn look(&mut self, state: &RandomState) -> Option<Finding> {
        let end = self.part.end;
        let next = Part { first: end, end, ..Part::default() };
        let part = Part { there: end, ..std::mem::replace(&mut self.part, next) };
        let checked = part::check(part, state, convert::entry_of);
        self.walk.as_mut()?.take(&checked)
    }

    /// Ends after the last line.
    fn finish(&mut self, state: &RandomState) -> Option<Finding> {
        if let Some(found) = self.look(state) {
            return Some(found);
        }
        let (there, size) = (self.part.end, self.end);
        if there < size {
            let by = "the first line of the file".to_owned();
            return Some(Finding::at(there, Fault::Truncated { size, by }));
        }
        self.walk.as_ref().and_then(Walk::end)
    }
}
