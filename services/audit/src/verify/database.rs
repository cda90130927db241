//! Verifying the database of a log, also while others append to it: what comes later is left out.

use std::{collections::HashMap, hash::RandomState, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Error, Note, Progress, Verdict, promises};
use crate::{
    convert,
    domain::{
        checkpoint::{Checkpoint, Verifier},
        merkle::{Hash, Node, Peaks},
        verify::{
            Fault, Finding, PART, PART_LEVEL,
            part::{self, Checked, Part},
            walk::Walk,
        },
    },
    store::{Counts, Pair, Scan},
};

/// Parts that are read or looked at at once.
const AT_ONCE: usize = 3;

/// Records that are read at once.
const PAIRS: i64 = 20_000;

/// Parts of the records, by their tokens, that are read at the same time.
const RANGES: i64 = 2;

/// Checkpoints that are read at once.
const NOTES: i64 = 1_000;

/// Verifies a log against all that was signed: the checkpoints it keeps, and those that others kept.
pub async fn verify(
    scan: Arc<dyn Scan>,
    keys: &[Verifier],
    elsewhere: &[Note],
    progress: Progress<'_>,
) -> Result<Verdict, Error> {
    // In this order: a checkpoint that is signed meanwhile is neither missed nor of more entries than there are.
    let signed = scan.counts().await?.signed;
    let kept = kept(&*scan).await?;
    let counts = Counts { signed, ..scan.counts().await? };
    let (mut promised, wrong) =
        promises(&kept.iter().map(|(_, note)| note.clone()).collect::<Vec<_>>(), keys);
    let (more, wrong_elsewhere) = promises(elsewhere, keys);
    promised.extend(more);
    let size = counts.head.max(counts.there);
    let state = RandomState::new();
    let upper = upper(&*scan, size).await?;
    let mut walk = Walk::new(Peaks::default(), promised, upper);
    let checkpoints = kept.len() + elsewhere.len();
    let (walked, pairs) =
        tokio::try_join!(follow(&scan, &mut walk, counts, &state, progress), sums(&scan, size, &state))?;
    let finding = match walked {
        Walked::Broken(finding) => Some(finding),
        Walked::Whole(_) if counts.there > counts.head => {
            Some(Finding::at(counts.head, Fault::Head { size: counts.head }))
        }
        Walked::Whole(sums) => {
            let differs = |at: &usize| sums.get(*at) != pairs.get(*at);
            match (0..sums.len().max(pairs.len())).find(differs) {
                Some(at) => subjects(&*scan, at as u64 * PART, size).await?,
                None => None,
            }
        }
    };
    let finding =
        finding.or_else(|| walk.end()).or(wrong).or(wrong_elsewhere).or_else(|| lost(&kept, counts));
    let (proved, vouched) = (walk.proved(), walk.vouched());
    Ok(Verdict { first: 0, size, root: walk.root(), checkpoints, proved, vouched, finding })
}

enum Walked {
    /// All of it is as it should be; sums of records by part.
    Whole(Vec<u64>),
    /// Something is wrong.
    Broken(Finding),
}

/// Returns the checkpoints that the log keeps, with the sizes that it keeps them under.
async fn kept(scan: &dyn Scan) -> Result<Vec<(u64, Note)>, Error> {
    let (mut kept, mut after) = (vec![], 0);
    loop {
        let page = scan.checkpoints(after, NOTES).await?;
        let Some(last) = page.last() else { return Ok(kept) };
        after = last.size;
        kept.extend(page.into_iter().map(|kept| {
            let name = format!("the kept checkpoint of {} entries", kept.size);
            (kept.size, Note { name, note: kept.note })
        }));
    }
}

/// Finds a checkpoint that is kept under another size, or is gone.
fn lost(kept: &[(u64, Note)], counts: Counts) -> Option<Finding> {
    let fault = |size: u64, name: String, why: &str| {
        Finding::at(size.saturating_sub(1), Fault::Checkpoint { name, why: why.into() })
    };
    let size = |note: &Note| Checkpoint::unverified(&note.note).map(|checkpoint| checkpoint.size);
    if let Some((under, note)) = kept.iter().find(|(under, note)| size(note).ok() != Some(*under)) {
        return Some(fault(*under, note.name.clone(), "is of another size"));
    }
    let last = kept.last().map_or(0, |(size, _)| *size);
    (last < counts.signed)
        .then(|| fault(counts.signed, format!("the kept checkpoint of {} entries", counts.signed), "is gone"))
}

/// Reads the stored hashes over more than one part.
async fn upper(scan: &dyn Scan, size: u64) -> Result<HashMap<Node, Hash>, Error> {
    let mut upper = HashMap::new();
    for level in PART_LEVEL + 1..u64::BITS {
        if size >> level == 0 {
            break;
        }
        let hashes = scan.stored(level, 0, size >> level).await?;
        // One that is missing is like none.
        let hashes = hashes.into_iter().map(Option::unwrap_or_default);
        upper.extend((0..).zip(hashes).map(|(position, hash)| (Node { level, position }, hash)));
    }
    Ok(upper)
}

/// Walks the log until something is wrong. Parts are read and looked at while others are walked.
async fn follow(
    scan: &Arc<dyn Scan>,
    walk: &mut Walk,
    counts: Counts,
    state: &RandomState,
    progress: Progress<'_>,
) -> Result<Walked, Error> {
    let size = counts.head.max(counts.there);
    let looked = |first: u64| {
        let (scan, state) = (scan.clone(), state.clone());
        // Rows are taken over from the database on another thread, and ended with it: each part is short.
        let reading = async move {
            let part = read(&*scan, first, (first + PART).min(size), counts.there).await?;
            let check = move || part::check(part, &state, convert::entry_of);
            Ok::<_, Error>(tokio::task::spawn_blocking(check).await?)
        };
        async move { tokio::spawn(reading).await? }
    };
    let mut parts = stream::iter((0..size).step_by(PART as usize)).map(looked).buffered(AT_ONCE);
    let mut sums = vec![];
    progress(0, size);
    while let Some(checked) = parts.try_next().await? {
        if let Some(finding) = walk.take(&checked) {
            return Ok(Walked::Broken(told_apart(&**scan, &checked, finding).await?));
        }
        sums.push(checked.subjects);
        progress(checked.end, size);
    }
    Ok(Walked::Whole(sums))
}

async fn read(scan: &dyn Scan, first: u64, end: u64, there: u64) -> Result<Part, Error> {
    let rows = scan.rows(first, end).await?;
    let mut nodes = vec![];
    for level in 0..=PART_LEVEL {
        nodes.push(scan.stored(level, first >> level, end >> level).await?);
    }
    Ok(Part { first, end, there, rows, nodes })
}

/// Tells an entry that says something else from one that stood elsewhere.
async fn told_apart(scan: &dyn Scan, checked: &Checked, mut finding: Finding) -> Result<Finding, Error> {
    if finding.fault != Fault::Edited {
        return Ok(finding);
    }
    let at = (finding.first - checked.first) as usize;
    let now = |at: usize| checked.levels.first().and_then(|leaves| leaves.get(at)).copied();
    let (Some(this), next) = (now(at), now(at + 1)) else { return Ok(finding) };
    match scan.position_of(&this).await? {
        Some(was) => {
            let after = scan.stored(0, was + 1, was + 2).await?.into_iter().next().flatten();
            // When the next entry came along as well, everything has moved.
            let moved = was > finding.first && (next.is_none() || next == after);
            finding.fault = if moved { Fault::Dropped } else { Fault::Reordered { was } };
        }
        None if next.is_some() && next == checked.stored.get(at).copied().flatten() => {
            finding.fault = Fault::Inserted;
        }
        None => {}
    }
    Ok(finding)
}

/// Adds up by part whose records events are found by.
async fn sums(scan: &Arc<dyn Scan>, size: u64, state: &RandomState) -> Result<Vec<u64>, Error> {
    let width = i64::MAX / RANGES * 2;
    let ranges = (0..RANGES).map(|range| {
        let from = i64::MIN.saturating_add(width.wrapping_mul(range));
        let to = if range + 1 == RANGES { i64::MAX } else { from.wrapping_add(width) - 1 };
        add_up(scan.clone(), from, to, size, state)
    });
    let all = futures_util::future::try_join_all(ranges).await?;
    let mut sums = vec![0_u64; size.div_ceil(PART) as usize];
    for of_range in all {
        for (sum, more) in sums.iter_mut().zip(of_range) {
            *sum = sum.wrapping_add(more);
        }
    }
    Ok(sums)
}

async fn add_up(
    scan: Arc<dyn Scan>,
    from: i64,
    to: i64,
    size: u64,
    state: &RandomState,
) -> Result<Vec<u64>, Error> {
    let mut sums = vec![0_u64; size.div_ceil(PART) as usize];
    let mut start: Pair = (from, 0);
    loop {
        let page = scan.subjects(start, to, PAIRS).await?;
        let Some((token, sequence)) = page.last() else { return Ok(sums) };
        start = (*token, sequence + 1);
        for (token, sequence) in page {
            // An event that came meanwhile is not among those looked at.
            if let Some(sum) = (sequence < size).then(|| sums.get_mut((sequence / PART) as usize)).flatten() {
                *sum = sum.wrapping_add(part::pair(state, token, sequence));
            }
        }
    }
}

/// Finds the first event of a part whose records are not those that it says.
async fn subjects(scan: &dyn Scan, first: u64, size: u64) -> Result<Option<Finding>, Error> {
    let end = (first + PART).min(size);
    let mut found = scan.subjects_of(first, end).await?;
    let rows = scan.rows(first, end).await?;
    let entries = rows.into_iter().filter_map(|row| Some((row.sequence, convert::entry_of(row.leaf)?)));
    let mut said: Vec<Pair> = entries
        .flat_map(|(sequence, entry)| entry.subjects.into_iter().map(move |token| (token, sequence)))
        .collect();
    let by_event = |pair: &Pair| (pair.1, pair.0);
    found.sort_unstable_by_key(by_event);
    said.sort_unstable_by_key(by_event);
    let longest = found.len().max(said.len());
    let differs = (0..longest).find(|at| found.get(*at) != said.get(*at));
    Ok(differs.map(|at| {
        let event = |list: &[Pair]| list.get(at).map_or(u64::MAX, |pair| pair.1);
        Finding::at(event(&found).min(event(&said)), Fault::Subjects)
    }))
}
