//! Whether a stated probability is the share of pairs that are true.

use serde::Serialize;

use super::{read::Pair, share};

/// Upper ends of the bins of stated probability; a bin begins where the one before it ends, and the last holds 1.
const BIN_ENDS: [f64; 14] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0];
/// Probability from which on a pair is linked without a second thought.
const STATED_HIGH_MIN: f64 = 0.999;
/// Quantile of the normal distribution for an interval of 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// Stated against observed probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The bins that hold pairs, from low to high.
    pub bins: Vec<Bin>,
    /// Mean distance of stated and observed, weighted by pairs (Naeini, Cooper and Hauskrecht 2015), from 0 to 1.
    pub expected_error: Option<f64>,
    /// The pairs that are all but certain.
    pub stated_high: StatedHigh,
}

/// Pairs of like stated probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Lowest stated probability of the bin.
    pub from: f64,
    /// Where the bin ends; not part of it, unless it is 1.
    pub to: f64,
    /// Pairs.
    pub pairs: u64,
    /// True pairs among them.
    pub pairs_true: u64,
    /// Mean stated probability.
    pub stated: f64,
    /// Share of true pairs.
    pub observed: f64,
    /// Lower end of the 95 % interval of the share (Wilson 1927).
    pub observed_low: f64,
    /// Upper end of the 95 % interval of the share (Wilson 1927).
    pub observed_high: f64,
}

/// Pairs of a stated probability so high that nobody would look again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StatedHigh {
    /// Lowest stated probability.
    pub probability_min: f64,
    /// Pairs.
    pub pairs: u64,
    /// True pairs among them.
    pub pairs_true: u64,
    /// Share of true pairs; nothing without pairs.
    pub precision: Option<f64>,
}

/// Returns the measures of the pairs, which are sorted by probability so that equal sets give equal sums.
pub(super) fn measure(sorted: &[Pair]) -> Calibration {
    let mut tallies = [Tally::default(); BIN_ENDS.len()];
    let mut high = Tally::default();
    for pair in sorted {
        let bin = BIN_ENDS.partition_point(|&end| end <= pair.probability).min(BIN_ENDS.len() - 1);
        tallies[bin].add(pair);
        if pair.probability >= STATED_HIGH_MIN {
            high.add(pair);
        }
    }
    let begins = std::iter::once(0.0).chain(BIN_ENDS);
    let bins: Vec<Bin> = begins
        .zip(BIN_ENDS)
        .zip(tallies)
        .filter(|(_, tally)| tally.pairs > 0)
        .map(|((from, to), tally)| tally.bin(from, to))
        .collect();
    let distance: f64 = bins.iter().map(|bin| bin.pairs as f64 * (bin.stated - bin.observed).abs()).sum();
    Calibration {
        bins,
        expected_error: (!sorted.is_empty()).then(|| distance / sorted.len() as f64),
        stated_high: StatedHigh {
            probability_min: STATED_HIGH_MIN,
            pairs: high.pairs,
            pairs_true: high.pairs_true,
            precision: share(high.pairs_true, high.pairs),
        },
    }
}

/// Running counts of a bin.
#[derive(Clone, Copy, Default)]
struct Tally {
    pairs: u64,
    pairs_true: u64,
    stated_sum: f64,
}

impl Tally {
    /// Counts a pair.
    fn add(&mut self, pair: &Pair) {
        self.pairs += 1;
        self.pairs_true += u64::from(pair.is_true);
        self.stated_sum += pair.probability;
    }

    /// Returns the bin of these counts, which are not empty.
    fn bin(self, from: f64, to: f64) -> Bin {
        let pairs = self.pairs as f64;
        let (observed_low, observed_high) = wilson(self.pairs_true, self.pairs);
        Bin {
            from,
            to,
            pairs: self.pairs,
            pairs_true: self.pairs_true,
            // The rounding of the sum must not move the mean out of the bin.
            stated: (self.stated_sum / pairs).clamp(from, to),
            observed: self.pairs_true as f64 / pairs,
            observed_low,
            observed_high,
        }
    }
}

/// Returns the score interval of 95 % for `hits` among `trials`, at least 1 (Wilson 1927).
pub(super) fn wilson(hits: u64, trials: u64) -> (f64, f64) {
    let trials = trials as f64;
    let observed = hits as f64 / trials;
    let z_squared = Z_95 * Z_95;
    let scale = 1.0 + z_squared / trials;
    let middle = (observed + z_squared / (2.0 * trials)) / scale;
    let variance = observed * (1.0 - observed) / trials + z_squared / (4.0 * trials * trials);
    let half = Z_95 * variance.sqrt() / scale;
    // Rounding must not push the interval off the share, which it touches at 0 and at 1.
    ((middle - half).clamp(0.0, observed), (middle + half).clamp(observed, 1.0))
}
