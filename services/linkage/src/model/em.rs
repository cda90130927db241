//! Learning a model without labels: expectation and maximisation over distinct agreement patterns.
//!
//! How strangers agree (u) comes from random pairs and stays fixed, but for what the other classes explain. How records
//! of one person (m) and of one household agree is estimated from the pairs that blocking found. Priors are over all
//! pairs of the file, so that posteriors are, too.

use rustc_hash::FxHashMap;

use super::{COMPONENTS, Component, FAMILIES_MIN, Levels};
use crate::pattern::{
    EXACT, FIELDS, Field, LEVELS_MAX, Level, MISSING, Pattern, UNNAMED_OF_SEVERAL, address, birth_date,
    family, given,
};

/// Most rounds.
const ROUNDS_MAX: u32 = 100;

/// A round that moves no probability by more than this is the last.
const CHANGE_MIN: f64 = 1e-4;

/// Pairs that a component is taken to have seen at each level before any is counted.
const SMOOTHING: f64 = 0.5;

/// The same for random pairs, of which there are more and fewer agree.
const SMOOTHING_RANDOM: f64 = 0.1;

/// Least prior of a component, in pairs of the file.
const PAIRS_MIN: f64 = 1.0;

/// Pairs of a component that is left out.
const PAIRS_NONE: f64 = 0.01;

/// Most pairs of twins, and of namesakes, for each pair of one person and for each of another member of the household:
/// three births in a hundred are of twins. In a file without families these components would explain errors of writing.
const RARE_MAX: f64 = 0.05;

/// How often patterns occur.
pub type Counts = FxHashMap<Pattern, u64>;

/// What training has learnt.
#[derive(Debug, Clone)]
pub struct Learnt {
    /// Expected pairs of each component for a record.
    pub rates: [f64; COMPONENTS - 1],
    /// Probability of each level.
    pub levels: Levels,
    /// Rounds that were needed.
    pub rounds: u32,
    /// True when the last round changed next to nothing.
    pub converged: bool,
}

/// Learns from the patterns of pairs that blocking found and of random pairs, of a file with so many records. `scale` is how
/// many pairs each counted one of blocking stands for.
pub fn train(blocked: &Counts, random: &Counts, records: u64, scale: f64) -> Learnt {
    let patterns = sorted(blocked);
    let pairs = (records.max(2) as f64) * (records.max(2) - 1) as f64 / 2.0;
    let drawn = sorted(random);
    let mut shares: Vec<[f64; COMPONENTS]> = patterns.iter().map(|(pattern, _)| start(*pattern)).collect();
    let mut strange: Vec<[f64; COMPONENTS]> = drawn.iter().map(|(pattern, _)| start(*pattern)).collect();
    let mut last: Levels = [[[0.0; COMPONENTS]; LEVELS_MAX]; FIELDS];
    let (mut rounds, mut converged) = (0, false);
    loop {
        let totals = without_families(totals(&patterns, &shares, scale));
        let mut priors = totals.map(|total| total / pairs);
        priors[COMPONENTS - 1] = 1.0 - priors[..COMPONENTS - 1].iter().sum::<f64>();
        let mut levels = maximise(&patterns, &shares);
        strangers(&mut levels, &drawn, &strange);
        if priors[Component::Household as usize] * pairs > PAIRS_NONE {
            bound(&mut levels);
        }
        let change = change(&last, &levels);
        last = levels;
        rounds += 1;
        converged = converged || change < CHANGE_MIN;
        if converged || rounds == ROUNDS_MAX {
            let rates = std::array::from_fn(|i| totals[i] / records.max(2) as f64);
            return Learnt { rates, levels: last, rounds, converged };
        }
        expect(&patterns, &last, &priors, &mut shares);
        expect(&drawn, &last, &priors, &mut strange);
    }
}

/// Patterns in order, so that sums are the same every time.
fn sorted(counts: &Counts) -> Vec<(Pattern, f64)> {
    let mut patterns: Vec<_> = counts.iter().map(|(pattern, count)| (*pattern, *count as f64)).collect();
    patterns.sort_unstable_by_key(|(pattern, _)| *pattern);
    patterns
}

/// Responsibilities to start from, set by hand: what is plain is named, everything else is a stranger's for the better
/// half.
fn start(pattern: Pattern) -> [f64; COMPONENTS] {
    let level = |field| pattern.level(field);
    let home = (EXACT..=address::LINE_EXACT_LAST).contains(&level(Field::Address))
        || level(Field::Phone) == EXACT
        || level(Field::Email) == EXACT;
    let alike = (EXACT..=given::CLOSE).contains(&level(Field::Given));
    let unlike = level(Field::Given) >= given::SIMILAR;
    let same_day = level(Field::BirthDate) == EXACT;
    let kin = home || (EXACT..=family::CLOSE).contains(&level(Field::Family));
    let mut shares = [0.02, 0.02, 0.005, 0.005, 0.5];
    if alike && same_day {
        shares[Component::Same as usize] = 5.0;
    } else if unlike && same_day && home && kin {
        shares[Component::Twin as usize] = 5.0;
    } else if level(Field::Given) == EXACT && level(Field::BirthDate) == birth_date::GENERATION && kin && home
    {
        shares[Component::Namesake as usize] = 5.0;
    } else if home
        && level(Field::Given) == given::DIFFERENT
        && level(Field::BirthDate) >= birth_date::SAME_YEAR
    {
        shares[Component::Household as usize] = 5.0;
    }
    let total: f64 = shares.iter().sum();
    shares.map(|share| share / total)
}

/// Bounds the pairs of a household by those of one person: where there are next to none, what looks like a relative is an
/// error of writing, and the components that would explain it are left out.
fn without_families(mut totals: [f64; COMPONENTS]) -> [f64; COMPONENTS] {
    let [same, household, twin, namesake, _] = &mut totals;
    *same = same.max(PAIRS_MIN);
    if *household < FAMILIES_MIN * *same {
        [*household, *twin, *namesake] = [PAIRS_NONE; 3];
    }
    let most = RARE_MAX * same.min(*household);
    [*twin, *namesake] = [twin.min(most), namesake.min(most)];
    totals
}

/// Pairs of the file in each component.
fn totals(patterns: &[(Pattern, f64)], shares: &[[f64; COMPONENTS]], scale: f64) -> [f64; COMPONENTS] {
    let mut totals = [0.0; COMPONENTS];
    for ((_, count), shares) in patterns.iter().zip(shares) {
        for (total, share) in totals.iter_mut().zip(shares) {
            *total += count * share * scale;
        }
    }
    totals
}

/// Estimates the levels of all components but the last from their shares of the pairs.
fn maximise(patterns: &[(Pattern, f64)], shares: &[[f64; COMPONENTS]]) -> Levels {
    let mut levels: Levels = [[[0.0; COMPONENTS]; LEVELS_MAX]; FIELDS];
    for ((pattern, count), shares) in patterns.iter().zip(shares) {
        for (field, level) in pattern.levels().into_iter().enumerate() {
            if level != MISSING {
                for (cell, share) in levels[field][usize::from(level)].iter_mut().zip(shares) {
                    *cell += count * share;
                }
            }
        }
    }
    for field in Field::ALL {
        for component in Component::ALL {
            normalise(&mut levels, field, component, SMOOTHING);
        }
    }
    levels
}

/// Turns the counts of one field and component into probabilities.
fn normalise(levels: &mut Levels, field: Field, component: Component, smoothing: f64) {
    let rows = &mut levels[field as usize][1..field.levels().len()];
    let prior = expected(field, component);
    let total: f64 = rows.iter().map(|row| row[component as usize].max(0.0)).sum();
    let weight = smoothing * rows.len() as f64;
    for (place, row) in rows.iter_mut().enumerate() {
        let count = row[component as usize].max(0.0);
        row[component as usize] = (count + weight * prior[place]) / (total + weight);
    }
}

/// What is believed of a field before anything is counted, from level 1.
fn expected(field: Field, component: Component) -> [f64; LEVELS_MAX] {
    let levels = field.levels().len() - 1;
    let mut expected = [0.0; LEVELS_MAX];
    let (first, last) = match component {
        Component::Same => (0.85, 0.05),
        Component::Household | Component::Twin | Component::Namesake => (0.3, 0.4),
        Component::Unrelated => (0.002, 0.9),
    };
    let between = (1.0 - first - last) / (levels.max(3) - 2) as f64;
    expected[..levels].fill(between);
    expected[0] = first;
    expected[levels - 1] = if levels == 2 { 1.0 - first } else { last };
    expected
}

/// Estimates the levels of strangers from random pairs, each for the share of it that is of strangers: of the few random
/// pairs with one phone number, most are of one person or household.
fn strangers(levels: &mut Levels, random: &[(Pattern, f64)], shares: &[[f64; COMPONENTS]]) {
    let stranger = Component::Unrelated as usize;
    levels.iter_mut().flatten().for_each(|row| row[stranger] = 0.0);
    for ((pattern, count), shares) in random.iter().zip(shares) {
        for (field, level) in pattern.levels().into_iter().enumerate() {
            if level != MISSING {
                levels[field][usize::from(level)][stranger] += count * shares[stranger];
            }
        }
    }
    for field in Field::ALL {
        normalise(levels, field, Component::Unrelated, SMOOTHING_RANDOM);
    }
}

/// What cannot be, whatever the data seem to say: most that a level may have of a component. Without these bounds a
/// component drifts to where another belongs.
const BOUNDS: [(Component, Field, Level, f64); 19] = [
    // Nobody's birth date is wrong by a generation, unless it is somebody else's.
    (Component::Same, Field::BirthDate, birth_date::GENERATION, 0.002),
    // One birth in thirty is of twins: that a child without a name is one of several is as rare among all others as it is
    // usual among twins.
    (Component::Same, Field::BirthOrder, UNNAMED_OF_SEVERAL, 0.03),
    (Component::Household, Field::BirthOrder, UNNAMED_OF_SEVERAL, 0.03),
    (Component::Namesake, Field::BirthOrder, UNNAMED_OF_SEVERAL, 0.03),
    (Component::Unrelated, Field::BirthOrder, UNNAMED_OF_SEVERAL, 0.03),
    // A twin has a name of its own.
    (Component::Twin, Field::Given, EXACT, 1e-4),
    (Component::Twin, Field::Given, given::NICKNAME, 0.003),
    (Component::Twin, Field::Given, given::SWAPPED, 1e-4),
    (Component::Twin, Field::Given, given::MIDDLE_AS_FIRST, 0.01),
    (Component::Twin, Field::Identifier, EXACT, 0.003),
    // A parent was not born with its child.
    (Component::Namesake, Field::BirthDate, EXACT, 1e-4),
    (Component::Namesake, Field::BirthDate, birth_date::ONE_EDIT, 0.01),
    (Component::Namesake, Field::BirthDate, birth_date::SWAPPED, 1e-4),
    (Component::Namesake, Field::Identifier, EXACT, 0.003),
    // Other members of a household differ in both.
    (Component::Household, Field::BirthDate, EXACT, 3e-4),
    (Component::Household, Field::BirthDate, birth_date::SWAPPED, 1e-4),
    (Component::Household, Field::Given, EXACT, 0.004),
    (Component::Household, Field::Given, given::NICKNAME, 0.004),
    (Component::Household, Field::Identifier, EXACT, 0.003),
];

/// Twins are born on one day and the generations of one name are not: what is left for errors of writing.
const FLOORS: [(Component, Field, Level, f64); 5] = [
    (Component::Twin, Field::BirthDate, EXACT, 0.97),
    (Component::Twin, Field::Family, EXACT, 0.8),
    (Component::Namesake, Field::BirthDate, birth_date::GENERATION, 0.9),
    (Component::Namesake, Field::Given, EXACT, 0.95),
    (Component::Namesake, Field::Family, EXACT, 0.95),
];

fn bound(levels: &mut Levels) {
    for (component, field, level, most) in BOUNDS {
        let now = levels[field as usize][usize::from(level)][component as usize];
        set(levels, field, component, level, now.min(most));
    }
    for (component, field, level, least) in FLOORS {
        let now = levels[field as usize][usize::from(level)][component as usize];
        set(levels, field, component, level, now.max(least));
    }
}

/// Sets the probability of a level and scales the others to fit.
fn set(levels: &mut Levels, field: Field, component: Component, level: Level, probability: f64) {
    let rows = &mut levels[field as usize][1..field.levels().len()];
    let now = rows[usize::from(level) - 1][component as usize];
    let scale = (1.0 - probability) / (1.0 - now).max(f64::MIN_POSITIVE);
    rows.iter_mut().for_each(|row| row[component as usize] *= scale);
    rows[usize::from(level) - 1][component as usize] = probability;
}

fn change(a: &Levels, b: &Levels) -> f64 {
    let cells = |levels: &Levels| levels.iter().flatten().flatten().copied().collect::<Vec<_>>();
    cells(a).iter().zip(cells(b)).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

/// Estimates to which component each pattern belongs.
fn expect(
    patterns: &[(Pattern, f64)],
    levels: &Levels,
    priors: &[f64; COMPONENTS],
    shares: &mut [[f64; COMPONENTS]],
) {
    let mut logs = *levels;
    logs.iter_mut().flatten().flatten().for_each(|cell| *cell = cell.max(1e-12).ln());
    for ((pattern, _), shares) in patterns.iter().zip(shares) {
        let mut sums = priors.map(f64::ln);
        for (field, level) in pattern.levels().into_iter().enumerate() {
            if level != MISSING {
                for (sum, log) in sums.iter_mut().zip(logs[field][usize::from(level)]) {
                    *sum += log;
                }
            }
        }
        let top = sums.iter().copied().fold(f64::MIN, f64::max);
        let parts = sums.map(|sum| (sum - top).exp());
        let total: f64 = parts.iter().sum();
        *shares = parts.map(|part| part / total);
    }
}
