//! False joins of related entities: twins, parents and children, and whoever else looks alike for a reason.

use serde::Serialize;

use super::{
    contingency::Contingency,
    pairs::Pairs,
    read::{Relations, unordered},
    share,
};

/// Probability from which on a pair of records of two entities is a false match worth counting.
pub(super) const SCORED_HIGH_MIN: f64 = 0.99;

/// What became of related entities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RelationMeasures {
    /// By relation, sorted by name.
    pub kinds: Vec<KindMeasures>,
    /// Rows left out as one of the entities has no record.
    pub rows_left_out: u64,
    /// Persons that hold more than one entity, no two of them known to be related.
    pub persons_mixed_unrelated: u64,
}

/// What became of the entities of one relation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindMeasures {
    /// The relation.
    pub relation: String,
    /// Related pairs of entities, both with records.
    pub entity_pairs: u64,
    /// Of them, those of which some person holds records of both.
    pub joined: u64,
    /// Their share; nothing without related entities.
    pub joined_share: Option<f64>,
    /// Of them, those with a pair of records scored 0.99 or more; nothing without pairs.
    pub scored_high: Option<u64>,
    /// Their share.
    pub scored_high_share: Option<f64>,
}

/// Returns the pairs of different entities that have a pair of records scored high, sorted.
pub(super) fn scored_high(pairs: &Pairs, entity_of: &[u32]) -> Vec<(u32, u32)> {
    let high = pairs.sorted.iter().take_while(|pair| pair.probability >= SCORED_HIGH_MIN);
    let entity = |record: u32| entity_of[record as usize];
    let mut entities: Vec<(u32, u32)> =
        high.filter_map(|pair| unordered(entity(pair.records.0), entity(pair.records.1))).collect();
    entities.sort_unstable();
    entities.dedup();
    entities
}

/// Returns the measures of the relations, given the entities that were scored high.
pub(super) fn measure(
    relations: &Relations,
    counts: &Contingency,
    scored_high: Option<&[(u32, u32)]>,
) -> RelationMeasures {
    let mut holders: Vec<(u32, u32)> = counts.cells.iter().map(|cell| (cell.entity, cell.person)).collect();
    holders.sort_unstable();
    let mut holds_related = vec![false; counts.person_sizes.len()];
    let mut kinds = Vec::with_capacity(relations.kinds.len());
    for (relation, related) in &relations.kinds {
        let mut joined = 0;
        for &(a, b) in related {
            let mut is_joined = false;
            for_each_common(persons_of(&holders, a), persons_of(&holders, b), |person| {
                is_joined = true;
                holds_related[person as usize] = true;
            });
            joined += u64::from(is_joined);
        }
        let entity_pairs = related.len() as u64;
        let is_high =
            |high: &[(u32, u32)]| related.iter().filter(|pair| high.binary_search(pair).is_ok()).count();
        let high = scored_high.map(|high| is_high(high) as u64);
        kinds.push(KindMeasures {
            relation: relation.clone(),
            entity_pairs,
            joined,
            joined_share: share(joined, entity_pairs),
            scored_high: high,
            scored_high_share: high.and_then(|high| share(high, entity_pairs)),
        });
    }
    let is_unrelated = |(held, related): &(&u32, &bool)| **held > 1 && !**related;
    let persons_mixed_unrelated =
        counts.person_entities.iter().zip(&holds_related).filter(is_unrelated).count() as u64;
    RelationMeasures { kinds, rows_left_out: relations.rows_left_out, persons_mixed_unrelated }
}

/// Returns the rows of an entity among the sorted `(entity, person)`.
fn persons_of(holders: &[(u32, u32)], entity: u32) -> &[(u32, u32)] {
    let begin = holders.partition_point(|&(other, _)| other < entity);
    let length = holders[begin..].partition_point(|&(other, _)| other == entity);
    &holders[begin..begin + length]
}

/// Calls `found` with each person that both sorted lists hold.
fn for_each_common(mut a: &[(u32, u32)], mut b: &[(u32, u32)], mut found: impl FnMut(u32)) {
    while let ([(_, first), a_rest @ ..], [(_, second), b_rest @ ..]) = (a, b) {
        if first == second {
            found(*first);
        }
        if first <= second {
            a = a_rest;
        }
        if second <= first {
            b = b_rest;
        }
    }
}
