//! From what the folder says and what is registered to what is to be done.
//!
//! The order of rows does not matter, and once everything is done there is nothing left to do: so a round that broke
//! off is simply repeated.

use std::collections::{HashMap, HashSet};

use super::{File, Journal, Record, Refused, Row};

/// One thing to do. Rows are named by their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Find out the bytes of a file.
    Hash { row: usize },
    /// Note that a file with the same bytes looks otherwise.
    Note { row: usize },
    /// Register a pointer. Those it replaces are not known here; the exchange may know them.
    Register { row: usize, version: u32, unknown: Vec<String> },
    /// Supersede the pointer of `old` by a newer one.
    Replace { row: usize, version: u32, old: String },
    /// Withdraw a pointer.
    Withdraw { unique_id: String },
}

struct View<'a> {
    rows: &'a [Row],
    by_id: HashMap<&'a str, &'a Row>,
    journal: &'a Journal,
    refused: &'a Refused,
}

/// Decides what is to be done now. Of documents in `unread`, whose rows cannot be read, nothing is withdrawn.
pub(crate) fn plan(
    rows: &[Row],
    unread: &HashSet<String>,
    journal: &Journal,
    refused: &Refused,
) -> Vec<Action> {
    let by_id = rows.iter().map(|row| (row.unique_id.as_str(), row)).collect();
    let view = View { rows, by_id, journal, refused };
    let (superseded, awaited) = view.chains();
    let mut order: Vec<_> = (0..rows.len()).collect();
    order.sort_unstable_by_key(|place| &rows[*place].unique_id);
    let mut claimed = HashSet::new();
    let mut actions = vec![];
    for place in order {
        let row = &rows[place];
        if !superseded.contains(row.unique_id.as_str()) && !refused.contains(row) {
            actions.extend(view.of_row(place, &mut claimed));
        }
    }
    let left_over = journal.iter().filter(|(id, record)| {
        let id = id.as_str();
        let wanted = view.by_id.contains_key(id) && !superseded.contains(id);
        let kept = awaited.contains(id) || unread.contains(id) || refused.withdrawals.contains(id);
        record.is_current() && !wanted && !kept && !claimed.contains(id)
    });
    actions.extend(left_over.map(|(unique_id, _)| Action::Withdraw { unique_id: unique_id.clone() }));
    actions
}

impl<'a> View<'a> {
    fn current(&self, unique_id: &str) -> Option<&'a Record> {
        self.journal.get(unique_id).filter(|record| record.is_current())
    }

    /// Returns what a row replaces: the nearest first.
    fn older(&self, row: &'a Row) -> impl Iterator<Item = &'a str> {
        let next = |id: &&'a str| self.by_id.get(id).and_then(|row| row.replaces.as_deref());
        // The index has no circles; the bound is for whoever makes rows otherwise.
        std::iter::successors(row.replaces.as_deref(), next).take(self.rows.len())
    }

    /// Returns what is superseded by a row that stands, and what waits to be by one that does not yet.
    fn chains(&self) -> (HashSet<&'a str>, HashSet<&'a str>) {
        let (mut superseded, mut awaited) = (HashSet::new(), HashSet::<&str>::new());
        for row in self.rows.iter().filter(|row| row.replaces.is_some()) {
            let refused = self.refused.contains(row);
            let ready = row.hash(self.journal).is_some() && !refused;
            let into = if ready || self.current(&row.unique_id).is_some() {
                &mut superseded
            } else if !refused {
                &mut awaited
            } else {
                continue;
            };
            // What is there already brought all that it replaces.
            let _ = self.older(row).find(|id| !into.insert(*id));
        }
        awaited.retain(|id| !superseded.contains(id));
        (superseded, awaited)
    }

    fn of_row(&self, place: usize, claimed: &mut HashSet<&'a str>) -> Option<Action> {
        let row = &self.rows[place];
        let Some(hash) = row.hash(self.journal) else {
            return matches!(row.file, File::There(_)).then_some(Action::Hash { row: place });
        };
        let record = self.journal.get(&row.unique_id);
        let version = record.map_or(1, |record| record.version.saturating_add(1));
        if let Some(record) = record.filter(|record| record.is_current()) {
            if record.patient != row.patient {
                // A pointer cannot be superseded by another patient's.
                return Some(Action::Withdraw { unique_id: row.unique_id.clone() });
            }
            if record.facts != row.facts || record.sha256 != hash {
                return Some(Action::Replace { row: place, version, old: row.unique_id.clone() });
            }
            return (record.seen != row.seen()).then_some(Action::Note { row: place });
        }
        let replaceable = |id: &&str| self.current(id).is_some_and(|old| old.patient == row.patient);
        if let Some(old) = self.older(row).filter(replaceable).find(|id| !claimed.contains(id)) {
            claimed.insert(old);
            return Some(Action::Replace { row: place, version, old: old.to_owned() });
        }
        let unknown = self.older(row).filter(|id| !self.journal.contains_key(*id)).map(str::to_owned);
        Some(Action::Register { row: place, version, unknown: unknown.collect() })
    }
}

#[cfg(test)]
mod tests;
