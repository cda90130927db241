//! Scored pairs: precision and recall at each threshold, and by decision.
//!
//! Pairs of equal probability are taken together, as no threshold parts them. Recall counts all true pairs of the
//! truth, also those that were never scored.

use serde::Serialize;

use super::{
    Scores,
    calibration::{self, Calibration},
    ratio,
    read::{Pair, PairRows},
};

/// Precisions for which the best recall is told.
const PRECISIONS_MIN: [f64; 2] = [0.99, 0.999];
/// Largest number of points of the curve.
const CURVE_POINTS_MAX: usize = 500;
/// Smallest distance of two points of the curve, as long as they are few; see [`Curve::keep`].
const CURVE_SPACING: f64 = 1e-3;
/// How near to 1 precision and recall must be to lie as dense as the curve gets.
const CURVE_CORNER: f64 = 0.005;

/// How well the scores part true pairs from false ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairMeasures {
    /// Different pairs.
    pub pairs: u64,
    /// Rows that repeat a pair, in either order; the highest probability counts, then the first decision by name.
    pub rows_repeated: u64,
    /// True pairs of the truth.
    pub pairs_true: u64,
    /// True pairs that were scored.
    pub pairs_true_scored: u64,
    /// Share of the true pairs that were scored: the recall no threshold exceeds.
    pub recall_max: f64,
    /// The threshold of the highest F1, the highest such; nothing without pairs.
    pub best_f1: Option<Point>,
    /// The highest recall for precisions worth having.
    pub recall_at_precision: Vec<RecallAtPrecision>,
    /// The pairs by decision, sorted by name.
    pub decisions: Vec<DecisionMeasures>,
    /// Whether the stated probabilities can be believed.
    pub calibration: Calibration,
    /// The precision-recall curve from the highest threshold to the lowest, thinned to at most 500 points.
    pub curve: Vec<Point>,
}

/// Precision and recall of the pairs at a threshold and above.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Lowest probability that counts as a link.
    pub threshold: f64,
    /// The scores there.
    #[serde(flatten)]
    pub scores: Scores,
}

/// The highest recall at a threshold of so high a precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecallAtPrecision {
    /// Smallest precision.
    pub precision_min: f64,
    /// Highest recall, 0 where no threshold has the precision.
    pub recall: f64,
    /// The threshold there.
    pub threshold: Option<f64>,
}

/// The pairs of one decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionMeasures {
    /// The decision.
    pub decision: String,
    /// Pairs.
    pub pairs: u64,
    /// True pairs among them.
    pub pairs_true: u64,
    /// Share of them that is true.
    pub precision: f64,
    /// Share of all true pairs that they are.
    pub recall: f64,
}

/// Different pairs, from the highest probability to the lowest.
#[derive(Debug)]
pub(super) struct Pairs {
    /// The pairs.
    pub(super) sorted: Vec<Pair>,
    decisions: Vec<String>,
    rows_repeated: u64,
}

impl Pairs {
    /// Sorts the pairs and drops repeats.
    pub(super) fn new(rows: PairRows) -> Self {
        let PairRows { pairs: mut sorted, decisions } = rows;
        let rows = sorted.len();
        sorted.sort_unstable_by(|a, b| {
            let by_probability = || b.probability.total_cmp(&a.probability);
            a.records.cmp(&b.records).then_with(by_probability).then_with(|| a.decision.cmp(&b.decision))
        });
        sorted.dedup_by_key(|pair| pair.records);
        let rows_repeated = (rows - sorted.len()) as u64;
        sorted.sort_unstable_by(|a, b| b.probability.total_cmp(&a.probability));
        Self { sorted, decisions, rows_repeated }
    }
}

/// Returns the measures of the pairs, where the truth holds `pairs_true` true ones.
pub(super) fn measure(pairs: &Pairs, pairs_true: u64) -> PairMeasures {
    let mut best_f1: Option<Point> = None;
    // Above every threshold nothing is linked: no recall, unless there is nothing to find.
    let nothing =
        |precision_min| RecallAtPrecision { precision_min, recall: ratio(0, pairs_true), threshold: None };
    let mut recall_at_precision: Vec<RecallAtPrecision> = PRECISIONS_MIN.map(nothing).into();
    let mut curve = Curve::new();
    let (mut linked, mut hits) = (0, 0);
    for tied in pairs.sorted.chunk_by(|a, b| a.probability == b.probability) {
        linked += tied.len() as u64;
        hits += tied.iter().filter(|pair| pair.is_true).count() as u64;
        let threshold = tied[0].probability;
        let point = Point { threshold, scores: Scores::from_counts(hits, linked, pairs_true) };
        if best_f1.is_none_or(|best| point.scores.f1 > best.scores.f1) {
            best_f1 = Some(point);
        }
        for at in &mut recall_at_precision {
            if point.scores.precision >= at.precision_min && point.scores.recall > at.recall {
                (at.recall, at.threshold) = (point.scores.recall, Some(threshold));
            }
        }
        curve.push(point);
    }
    PairMeasures {
        pairs: linked,
        rows_repeated: pairs.rows_repeated,
        pairs_true,
        pairs_true_scored: hits,
        recall_max: ratio(hits, pairs_true),
        best_f1,
        recall_at_precision,
        decisions: by_decision(pairs, pairs_true),
        calibration: calibration::measure(&pairs.sorted),
        curve: curve.finish(),
    }
}

/// Returns the measures of each decision that some pair has.
fn by_decision(pairs: &Pairs, pairs_true: u64) -> Vec<DecisionMeasures> {
    let mut counts = vec![(0_u64, 0_u64); pairs.decisions.len()];
    for pair in &pairs.sorted {
        let (all, hits) = &mut counts[usize::from(pair.decision)];
        *all += 1;
        *hits += u64::from(pair.is_true);
    }
    let named = pairs.decisions.iter().zip(counts).filter(|(_, (all, _))| *all > 0);
    named
        .map(|(decision, (all, hits))| DecisionMeasures {
            decision: decision.clone(),
            pairs: all,
            pairs_true: hits,
            precision: ratio(hits, all),
            recall: ratio(hits, pairs_true),
        })
        .collect()
}

/// A curve that drops points near to others, the more the longer it grows.
struct Curve {
    kept: Vec<Point>,
    last: Option<Point>,
    spacing: f64,
}

impl Curve {
    /// Returns a curve without points.
    fn new() -> Self {
        Self { kept: Vec::new(), last: None, spacing: CURVE_SPACING }
    }

    /// Adds a point, and thins the curve where it is full.
    fn push(&mut self, point: Point) {
        self.last = Some(point);
        self.keep(point);
        // One place is left for the last point.
        while self.kept.len() >= CURVE_POINTS_MAX {
            self.spacing *= 2.0;
            for point in std::mem::take(&mut self.kept) {
                self.keep(point);
            }
        }
    }

    /// Keeps a point that is far enough from the one before it, where far means less the nearer both precision and
    /// recall are to 1: there good scores differ.
    fn keep(&mut self, point: Point) {
        let is_far = |before: &Point| {
            let precision = (point.scores.precision - before.scores.precision).abs();
            let recall = (point.scores.recall - before.scores.recall).abs();
            let short_of_1 = 1.0 - point.scores.precision.min(point.scores.recall);
            precision.max(recall) >= self.spacing * (short_of_1 + CURVE_CORNER)
        };
        if self.kept.last().is_none_or(is_far) {
            self.kept.push(point);
        }
    }

    /// Returns the points, the last of them in any case.
    fn finish(mut self) -> Vec<Point> {
        if let Some(last) = self.last
            && self.kept.last() != Some(&last)
        {
            self.kept.push(last);
        }
        self.kept
    }
}
