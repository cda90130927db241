//! Calibration: what was stated and what was true.
//!
//! Fields are not independent inside a class, so a sum of weights is too sure of itself. The correction is a line with
//! bends over the log odds (Platt scaling in pieces); it never turns the order of two weights.

use serde::{Deserialize, Serialize};

/// A correction of weights: points of a rising line with bends, in bits before and after.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(f64, f64)>", into = "Vec<(f64, f64)>")]
pub struct Calibration(Vec<(f64, f64)>);

impl TryFrom<Vec<(f64, f64)>> for Calibration {
    type Error = &'static str;

    fn try_from(points: Vec<(f64, f64)>) -> Result<Self, Self::Error> {
        Self::new(points).ok_or("the points of a calibration must rise")
    }
}

impl From<Calibration> for Vec<(f64, f64)> {
    fn from(calibration: Calibration) -> Self {
        calibration.0
    }
}

impl Calibration {
    /// Makes a correction of points; returns none when they do not rise.
    pub fn new(points: Vec<(f64, f64)>) -> Option<Self> {
        let rising = points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        rising.then_some(Self(points))
    }

    /// Returns the corrected weight. Beyond the first and the last point the correction stays what it is there.
    pub fn apply(&self, bits: f64) -> f64 {
        let points = &self.0;
        let next = points.partition_point(|(from, _)| *from < bits);
        match (next.checked_sub(1).and_then(|i| points.get(i)), points.get(next)) {
            (None, None) => bits,
            (None, Some((from, to))) | (Some((from, to)), None) => bits - from + to,
            (Some((x0, y0)), Some((x1, y1))) => y0 + (bits - x0) / (x1 - x0) * (y1 - y0),
        }
    }
}

/// Fewest labelled pairs of each kind that teach a correction.
const LABELS_MIN: usize = 10;

/// How far the slope and the shift of a correction are believed to be from 1 and 0 before any label is seen.
const SPREAD: [f64; 2] = [0.3, 2.0];

/// Weights between which a learnt correction is a line, in bits.
const ENDS: f64 = 20.0;

/// Rounds of Newton's method; it settles in far fewer.
const ROUNDS: u32 = 100;

/// Most that one round moves slope or shift: a full step may overshoot.
const STEP_MAX: f64 = 0.2;

impl Calibration {
    /// Learns a correction from pairs that people have judged: the weight that was stated, in bits, and whether the two were
    /// one person's. Nothing is learnt from fewer than ten pairs of either kind.
    ///
    /// A straight line over the log odds (Platt 1999), held close to no correction, since reviews are of doubtful pairs.
    pub fn learn(labels: &[(f64, bool)]) -> Option<Self> {
        let same = labels.iter().filter(|(_, same)| *same).count();
        if same.min(labels.len() - same) < LABELS_MIN {
            return None;
        }
        let (mut slope, mut shift) = (1.0f64, 0.0f64);
        for _ in 0..ROUNDS {
            let mut gradient = [(1.0 - slope) / SPREAD[0].powi(2), -shift / SPREAD[1].powi(2)];
            let mut curvature = [1.0 / SPREAD[0].powi(2), 0.0, 1.0 / SPREAD[1].powi(2)];
            for (bits, same) in labels {
                let odds = bits * std::f64::consts::LN_2;
                let expected = 1.0 / (1.0 + (-(slope * odds + shift)).exp());
                let (error, weight) = (f64::from(u8::from(*same)) - expected, expected * (1.0 - expected));
                gradient = [gradient[0] + error * odds, gradient[1] + error];
                curvature = [
                    curvature[0] + weight * odds * odds,
                    curvature[1] + weight * odds,
                    curvature[2] + weight,
                ];
            }
            let determinant = curvature[0] * curvature[2] - curvature[1] * curvature[1];
            let step = |up: f64| (up / determinant).clamp(-STEP_MAX, STEP_MAX);
            slope += step(curvature[2] * gradient[0] - curvature[1] * gradient[1]);
            shift += step(curvature[0] * gradient[1] - curvature[1] * gradient[0]);
        }
        let line = |bits: f64| (bits, slope * bits + shift / std::f64::consts::LN_2);
        (slope > 0.0).then(|| Self(vec![line(-ENDS), line(ENDS)]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_correction_moves_what_was_too_sure() {
        // Of pairs stated at 6 bits (0.985) only half are one person's; those at -2 bits are right.
        let labels: Vec<_> = (0..200).flat_map(|i| [(6.0, i % 2 == 0), (-2.0, i % 5 == 0)]).collect();
        let calibration = Calibration::learn(&labels).unwrap();
        let corrected = calibration.apply(6.0);
        assert!(corrected < 2.5, "{corrected}");
        assert!((calibration.apply(-2.0) + 2.0).abs() < 1.5);
        assert_eq!(Calibration::learn(&labels[..12]), None, "too few labels teach nothing");
        assert_eq!(Calibration::default().apply(3.25), 3.25);
    }

    proptest! {
        #[test]
        fn a_correction_keeps_the_order(
            labels in proptest::collection::vec((-20.0f64..20.0, any::<bool>()), 20..100),
            a in -60.0f64..60.0, b in -60.0f64..60.0,
        ) {
            if let Some(calibration) = Calibration::learn(&labels) {
                prop_assert_eq!(calibration.apply(a) < calibration.apply(b), a < b);
            }
        }
    }
}
