//! Counts of records by person and entity, from which every measure of links follows.

/// Records of one entity that one person holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cell {
    /// The person.
    pub(super) person: u32,
    /// The entity.
    pub(super) entity: u32,
    /// Records, at least 1.
    pub(super) records: u64,
}

/// The contingency table of persons and entities.
#[derive(Debug)]
pub(super) struct Contingency {
    /// Cells that are not empty, sorted by person and entity.
    pub(super) cells: Vec<Cell>,
    /// Records by person.
    pub(super) person_sizes: Vec<u64>,
    /// Records by entity.
    pub(super) entity_sizes: Vec<u64>,
    /// Entities by person.
    pub(super) person_entities: Vec<u32>,
}

impl Contingency {
    /// Returns the table of records, given person and entity of each, both numbered without gaps.
    pub(super) fn new(person_of: &[u32], entity_of: &[u32]) -> Self {
        let mut places: Vec<(u32, u32)> = person_of.iter().copied().zip(entity_of.iter().copied()).collect();
        places.sort_unstable();
        let cells: Vec<Cell> = places
            .chunk_by(|a, b| a == b)
            .map(|same| Cell { person: same[0].0, entity: same[0].1, records: same.len() as u64 })
            .collect();
        let count = |ids: &[u32]| ids.iter().max().map_or(0, |&largest| largest as usize + 1);
        let mut person_sizes = vec![0; count(person_of)];
        let mut entity_sizes = vec![0; count(entity_of)];
        let mut person_entities = vec![0; person_sizes.len()];
        for cell in &cells {
            person_sizes[cell.person as usize] += cell.records;
            entity_sizes[cell.entity as usize] += cell.records;
            person_entities[cell.person as usize] += 1;
        }
        Self { cells, person_sizes, entity_sizes, person_entities }
    }

    /// Returns the number of pairs of records within an entity.
    pub(super) fn pairs_true(&self) -> u64 {
        self.entity_sizes.iter().copied().map(pairs_within).sum()
    }

    /// Returns the number of pairs of records within a person.
    pub(super) fn pairs_linked(&self) -> u64 {
        self.person_sizes.iter().copied().map(pairs_within).sum()
    }

    /// Returns the number of pairs of records within both a person and an entity.
    pub(super) fn pairs_linked_true(&self) -> u64 {
        self.cells.iter().map(|cell| pairs_within(cell.records)).sum()
    }
}

/// Returns the number of pairs among so many records.
fn pairs_within(records: u64) -> u64 {
    records * records.saturating_sub(1) / 2
}
