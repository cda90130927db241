//! How good a custodian's pointers are: counts, and a histogram of retrievals.

use std::collections::BTreeMap;

use signpost_common::id::MemberId;
use signpost_proto::registry::v1::{DocumentStatus, Liveness};

/// Longest time that a scoreboard looks back, and retrievals are counted for.
pub const DAYS_MAX: u32 = 90;

/// Microseconds of an hour, which retrievals are counted by.
pub const HOUR_US: i64 = 3_600_000_000;

/// What was done with a pointer, and how it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Somebody asked for the document and got it.
    Retrieved,
    /// Somebody asked for the document and did not get it.
    Failed,
    /// The document was found to be there.
    Probed,
    /// The document was looked for and not found.
    ProbeFailed,
}

impl Outcome {
    /// Returns what a report tells of.
    pub fn of(probe: bool, succeeded: bool) -> Self {
        match (probe, succeeded) {
            (false, true) => Self::Retrieved,
            (false, false) => Self::Failed,
            (true, true) => Self::Probed,
            (true, false) => Self::ProbeFailed,
        }
    }

    /// Returns the number it is stored as.
    pub fn number(self) -> i64 {
        match self {
            Self::Retrieved => 1,
            Self::Failed => 2,
            Self::Probed => 3,
            Self::ProbeFailed => 4,
        }
    }

    /// Reads the number it is stored as.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Retrieved, Self::Failed, Self::Probed, Self::ProbeFailed]
            .into_iter()
            .find(|outcome| outcome.number() == number)
    }
}

/// Milliseconds below which each has a bucket of its own; 0 means not measured.
const EXACT: u32 = 16;

/// Returns the bucket of a time: eight of equal width between each power of two and the next.
pub fn bucket(elapsed_ms: u32) -> i64 {
    if elapsed_ms < EXACT {
        return elapsed_ms.into();
    }
    let power = elapsed_ms.ilog2();
    i64::from(EXACT + (power - 4) * 8 + ((elapsed_ms >> (power - 3)) & 7))
}

/// Returns the longest time of a bucket.
fn longest_ms(bucket: i64) -> u32 {
    let above = bucket - i64::from(EXACT);
    if above < 0 {
        return u32::try_from(bucket).unwrap_or(0);
    }
    let end = (9 + above % 8) << (above / 8 + 1).min(32);
    u32::try_from(end - 1).unwrap_or(u32::MAX)
}

/// Returns the time within which so many in a hundred were, of those that were measured; 0 when none was.
pub fn percentile_ms(histogram: &BTreeMap<i64, i64>, percent: i64) -> u32 {
    let measured = || histogram.iter().filter(|(bucket, _)| **bucket > 0);
    let total: i64 = measured().map(|(_, count)| count).sum();
    let wanted = (total.saturating_mul(percent) + 99) / 100;
    let mut seen = 0;
    for (bucket, count) in measured() {
        seen += count;
        if seen >= wanted {
            return longest_ms(*bucket);
        }
    }
    0
}

/// How good one custodian's pointers are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// Pointers to be relied on.
    pub current: i64,
    /// Pointers that were replaced.
    pub superseded: i64,
    /// Pointers that were withdrawn.
    pub deprecated: i64,
    /// Current pointers that lead to their document.
    pub alive: i64,
    /// Current pointers that may not.
    pub suspect: i64,
    /// Current pointers that do not.
    pub dead: i64,
    /// Current pointers to bytes that another of the same patient leads to as well.
    pub duplicates: i64,
    /// When the last pointer was registered, microseconds since 1970.
    pub last_registered_us: i64,
    /// Median microseconds from creation to registration of what was registered in the time looked at.
    pub feed_lag_us: Option<i64>,
    /// Retrievals that succeeded, by bucket.
    pub retrieved: BTreeMap<i64, i64>,
    /// Retrievals that failed.
    pub failures: i64,
    /// Probes.
    pub probes: i64,
    /// Probes that failed.
    pub failed_probes: i64,
}

/// Scores by custodian.
pub type Scores = BTreeMap<MemberId, Score>;

impl Score {
    /// Adds pointers that are in one state.
    pub fn add_pointers(&mut self, status: DocumentStatus, liveness: Liveness, count: i64, last_us: i64) {
        self.last_registered_us = self.last_registered_us.max(last_us);
        match status {
            DocumentStatus::Superseded => self.superseded += count,
            DocumentStatus::Deprecated => self.deprecated += count,
            DocumentStatus::Current | DocumentStatus::Unspecified => {
                self.current += count;
                match liveness {
                    Liveness::Alive => self.alive += count,
                    Liveness::Suspect => self.suspect += count,
                    Liveness::Dead => self.dead += count,
                    Liveness::Unspecified => {}
                }
            }
        }
    }

    /// Adds reports that went one way.
    pub fn add_reports(&mut self, outcome: Outcome, bucket: i64, count: i64) {
        match outcome {
            Outcome::Retrieved => *self.retrieved.entry(bucket).or_default() += count,
            Outcome::Failed => self.failures += count,
            Outcome::Probed => self.probes += count,
            Outcome::ProbeFailed => {
                self.probes += count;
                self.failed_probes += count;
            }
        }
    }

    /// Returns how many retrievals there were.
    pub fn retrievals(&self) -> i64 {
        self.failures + self.retrieved.values().sum::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_an_eighth_wide() {
        let mut last = (0, 0);
        for power in 0..32 {
            for part in 0..8 {
                let ms = (1_u32 << power) + ((1_u64 << power) * part / 8) as u32;
                let bucket = bucket(ms);
                assert!(bucket >= last.0 && ms >= last.1, "{ms}");
                let longest = longest_ms(bucket);
                assert!(longest >= ms && u64::from(longest - ms) <= u64::from(ms) / 8, "{ms} {longest}");
                assert_eq!(super::bucket(longest), bucket, "{ms}");
                last = (bucket, ms);
            }
        }
        assert_eq!(longest_ms(bucket(u32::MAX)), u32::MAX);
    }

    #[test]
    fn percentiles_leave_out_what_was_not_measured() {
        let mut histogram = BTreeMap::from([(bucket(0), 1_000)]);
        assert_eq!(percentile_ms(&histogram, 50), 0);
        for ms in 1..=10 {
            histogram.insert(bucket(ms), 10);
        }
        assert_eq!((percentile_ms(&histogram, 50), percentile_ms(&histogram, 99)), (5, 10));
        histogram.insert(bucket(900), 1);
        assert_eq!((percentile_ms(&histogram, 99), percentile_ms(&histogram, 100)), (10, 959));
    }

    #[test]
    fn only_current_pointers_count_as_dead_or_alive() {
        let mut score = Score::default();
        score.add_pointers(DocumentStatus::Current, Liveness::Dead, 2, 5);
        score.add_pointers(DocumentStatus::Superseded, Liveness::Dead, 3, 4);
        assert_eq!((score.current, score.superseded, score.dead, score.last_registered_us), (2, 3, 2, 5));
        for outcome in [Outcome::Retrieved, Outcome::Failed, Outcome::Probed, Outcome::ProbeFailed] {
            assert_eq!(Outcome::from_number(outcome.number()), Some(outcome));
            score.add_reports(outcome, 1, 1);
        }
        assert_eq!((score.retrievals(), score.failures, score.probes, score.failed_probes), (2, 1, 2, 1));
    }
}
