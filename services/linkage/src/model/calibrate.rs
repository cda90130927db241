//! Calibration: what was stated and what was true.
//!
//! Fields are not independent inside a class, so a sum of weights is too sure of itself. The correction is a line with
//! bends over the log odds (Platt scaling in pieces); it never turns the order of two weights.

use serde::{Deserialize, Serialize};

/// A correction of weights: points of a rising line with bends, in bits before and after.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calibration(Vec<(f64, f64)>);

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
