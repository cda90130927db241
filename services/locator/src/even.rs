//! What is withheld takes as long as what is not there.

use std::time::Duration;

use tokio::time::Instant;

/// Answers that show nothing come at multiples of this time after the call began. It is longer than what they take, so that
/// all of them come at the first.
const STEP: Duration = Duration::from_millis(50);

/// Waits until the next step of an answer that shows nothing.
pub(crate) async fn out(began: Instant) {
    tokio::time::sleep_until(began + next_step(began.elapsed())).await;
}

/// Returns when the answer comes to a call that took so long.
fn next_step(took: Duration) -> Duration {
    let steps = took.as_millis() / STEP.as_millis() + 1;
    STEP * u32::try_from(steps).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_steps() {
        for (took, comes) in [(0, 50), (1, 50), (49, 50), (50, 100), (120, 150)] {
            assert_eq!(next_step(Duration::from_millis(took)), Duration::from_millis(comes), "{took}");
        }
    }
}
