//! Links as a clustering: pairwise, B-cubed and exact agreement of persons with entities.

use serde::Serialize;

use super::{
    Scores,
    contingency::{Cell, Contingency},
};

/// How well persons agree with entities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkMeasures {
    /// Records of the truth.
    pub records: u64,
    /// Records of the truth without a link, each taken as a person of its own.
    pub records_unlinked: u64,
    /// Persons.
    pub persons: u64,
    /// Entities.
    pub entities: u64,
    /// Persons that hold records of more than one entity.
    pub persons_mixed: u64,
    /// Persons that hold all records of one entity and no other.
    pub persons_exact: u64,
    /// Pairs of records within an entity.
    pub pairs_true: u64,
    /// Pairs of records within a person.
    pub pairs_linked: u64,
    /// Pairs of records within both.
    pub pairs_linked_true: u64,
    /// Agreement on pairs of records.
    pub pairwise: Scores,
    /// B-cubed: agreement seen from a record, averaged over the records (Bagga and Baldwin 1998).
    pub b_cubed: Scores,
    /// Exact agreement: share of the persons, and of the entities, that are the same set of records.
    pub exact: Scores,
}

/// Returns the measures of the counts.
pub(super) fn measure(counts: &Contingency, records_unlinked: u64) -> LinkMeasures {
    let pairs_true = counts.pairs_true();
    let pairs_linked = counts.pairs_linked();
    let pairs_linked_true = counts.pairs_linked_true();
    let persons = counts.person_sizes.len() as u64;
    let entities = counts.entity_sizes.len() as u64;
    let is_exact = |cell: &&Cell| cell.records == person_size(counts, cell).max(entity_size(counts, cell));
    let persons_exact = counts.cells.iter().filter(is_exact).count() as u64;
    LinkMeasures {
        records: counts.entity_sizes.iter().sum(),
        records_unlinked,
        persons,
        entities,
        persons_mixed: counts.person_entities.iter().filter(|&&held| held > 1).count() as u64,
        persons_exact,
        pairs_true,
        pairs_linked,
        pairs_linked_true,
        pairwise: Scores::from_counts(pairs_linked_true, pairs_linked, pairs_true),
        b_cubed: Scores::new(b_cubed(counts, person_size), b_cubed(counts, entity_size)),
        exact: Scores::from_counts(persons_exact, persons, entities),
    }
}

/// Returns the mean over the records of the share of a record's group (person: precision, entity: recall) that has
/// both its person and its entity (Bagga and Baldwin 1998).
fn b_cubed(counts: &Contingency, group_size: impl Fn(&Contingency, &Cell) -> u64) -> f64 {
    let term = |cell: &Cell| {
        let records = cell.records as f64;
        records * records / group_size(counts, cell) as f64
    };
    let mut terms: Vec<f64> = counts.cells.iter().map(term).collect();
    // A sum of floats depends on their order, which must not depend on the order of rows.
    terms.sort_unstable_by(f64::total_cmp);
    let records: u64 = counts.entity_sizes.iter().sum();
    if records == 0 { 1.0 } else { (terms.iter().sum::<f64>() / records as f64).min(1.0) }
}

/// Returns the number of records of the person of a cell.
fn person_size(counts: &Contingency, cell: &Cell) -> u64 {
    counts.person_sizes[cell.person as usize]
}

/// Returns the number of records of the entity of a cell.
fn entity_size(counts: &Contingency, cell: &Cell) -> u64 {
    counts.entity_sizes[cell.entity as usize]
}
