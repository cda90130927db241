//! How a member's source has been doing: whether to ask it at all, how long to wait for it, when to ask a second time.

use std::time::{Duration, Instant};

/// Failures in a row after which a source is left alone.
const FAILURES_MAX: u32 = 5;

/// How long it is left alone at first; each further failure doubles it.
const REST: Duration = Duration::from_secs(2);
const REST_MAX: Duration = Duration::from_secs(60);

/// Decides whether a source is asked, from how the last calls ended.
///
/// After a rest one call tries whether the source is back; the others go on as if it rested. Every call that was admitted tells how
/// it ended, if only that it ended.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    rest: Option<Rest>,
    /// A call tries.
    trying: bool,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    began: Instant,
    until: Instant,
}

impl Breaker {
    /// Says whether a call may be made.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.rest {
            None => true,
            Some(rest) if now < rest.until || self.trying => false,
            Some(_) => {
                self.trying = true;
                true
            }
        }
    }

    /// Notes that a call ended in a way that says nothing of the source; another one may try.
    pub(crate) fn ended(&mut self) {
        self.trying = false;
    }

    /// Notes that the source answered.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes that a call failed that began at this moment. What was under way when the rest began says nothing new.
    pub(crate) fn failed(&mut self, began: Instant, now: Instant) {
        if self.rest.is_some_and(|rest| began < rest.began) {
            return;
        }
        self.trying = false;
        self.failures = self.failures.saturating_add(1);
        if let Some(times) = self.failures.checked_sub(FAILURES_MAX) {
            let rest = REST.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(REST_MAX);
            self.rest = Some(Rest { began: now, until: now + rest });
        }
    }
}

/// Answers that are remembered.
const REMEMBERED: usize = 64;

/// Fewest answers that say something.
const TELLING: usize = 16;

/// When to ask a second time while nothing is known, and the bounds of what is learnt.
const AGAIN: Duration = Duration::from_millis(150);
const AGAIN_BOUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// A source is waited for so many times longer than nearly all its answers take, but never less than so long.
const PATIENCE: u32 = 20;
const PATIENCE_MIN: Duration = Duration::from_millis(500);

/// How long the last answers of a source took, or were waited for.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    last: Vec<Duration>,
    next: usize,
}

impl Latencies {
    /// Notes an answer.
    pub(crate) fn note(&mut self, took: Duration) {
        match self.last.get_mut(self.next) {
            Some(old) => *old = took,
            None => self.last.push(took),
        }
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// Returns the time within which 95 of 100 answers came, once there are enough of them.
    fn p95(&self) -> Option<Duration> {
        let mut sorted = self.last.clone();
        sorted.sort_unstable();
        (sorted.len() >= TELLING).then(|| sorted.get(sorted.len() * 95 / 100).copied()).flatten()
    }

    /// Returns when a question that may be asked twice is asked again: one in twenty is.
    pub(crate) fn again_after(&self) -> Duration {
        let (least, most) = AGAIN_BOUNDS;
        self.p95().map_or(AGAIN, |p95| p95.clamp(least, most))
    }

    /// Returns how long to wait, at most: who usually answers at once is not waited for as long as others.
    pub(crate) fn patience(&self, most: Duration) -> Duration {
        self.p95().map_or(most, |p95| (p95 * PATIENCE).max(PATIENCE_MIN).min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_source_that_fails_rests_and_is_tried_again() {
        let (mut breaker, began) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert!(breaker.admits(began));
            breaker.failed(began, began + MS);
        }
        assert!(!breaker.admits(began + REST));
        // Calls that were under way do not make the rest longer.
        breaker.failed(began, began + 2 * MS);
        let back = began + MS + REST;
        assert!(breaker.admits(back), "one call tries");
        assert!(!breaker.admits(back), "the others do not");
        breaker.ended();
        assert!(breaker.admits(back), "one that came to nothing leaves it to another");
        breaker.failed(back, back + MS);
        assert!(!breaker.admits(back + REST), "the next rest is longer");
        assert!(breaker.admits(back + MS + 2 * REST));
        breaker.succeeded();
        assert!(breaker.admits(back));
        breaker.failed(back, back);
        assert!(breaker.admits(back), "one failure is none");
    }

    #[test]
    fn a_rest_has_an_end_however_often_a_source_failed() {
        let (mut breaker, began) = (Breaker::default(), Instant::now());
        let mut now = began;
        for _ in 0..100 {
            breaker.failed(now, now);
            now += REST_MAX;
            assert!(breaker.admits(now));
        }
    }

    #[test]
    fn waiting_follows_what_was_measured() {
        let mut latencies = Latencies::default();
        let second = Duration::from_secs(1);
        assert_eq!((latencies.again_after(), latencies.patience(second)), (AGAIN, second));
        (0..TELLING).for_each(|_| latencies.note(40 * MS));
        assert_eq!((latencies.again_after(), latencies.patience(second)), (40 * MS, 800 * MS));
        assert_eq!(latencies.patience(300 * MS), 300 * MS, "never longer than the caller waits");
        (0..REMEMBERED).for_each(|_| latencies.note(MS));
        assert_eq!((latencies.again_after(), latencies.patience(second)), (10 * MS, PATIENCE_MIN));
        (0..REMEMBERED).for_each(|_| latencies.note(second));
        assert_eq!(latencies.again_after(), 500 * MS);
    }
}
