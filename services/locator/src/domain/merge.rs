//! How complete an answer is.

use signpost_proto::locator::v1::{Completion, SourceOutcome, SourceState};

/// Adds one member's outcome to the statement of completeness.
pub(crate) fn count(completion: &mut Completion, outcome: &SourceOutcome) {
    // A member that serves no documents, or that the caller does not want, takes nothing from the answer.
    let as_wished = match outcome.state() {
        SourceState::Answered => true,
        SourceState::NotAsked => matches!(outcome.reason.as_str(), "NO_ENDPOINT" | "NOT_WANTED"),
        _ => false,
    };
    completion.degraded |= !as_wished;
    completion.from_cache += u32::from(outcome.age_ms > 0);
    let asked = match outcome.state() {
        SourceState::Answered => &mut completion.answered,
        SourceState::TimedOut => &mut completion.timed_out,
        SourceState::Refused => &mut completion.refused,
        SourceState::Unavailable | SourceState::Unspecified => &mut completion.unavailable,
        SourceState::NotAsked => {
            completion.not_asked += 1;
            return;
        }
    };
    *asked += 1;
    completion.asked += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_counted_once() {
        let mut completion = Completion::default();
        use SourceState::{Answered, NotAsked, Refused, TimedOut};
        for (state, age_ms) in [(Answered, 0), (TimedOut, 9), (NotAsked, 0), (Refused, 0)] {
            count(&mut completion, &SourceOutcome { state: state.into(), age_ms, ..Default::default() });
        }
        let c = completion;
        assert_eq!((c.asked, c.answered, c.timed_out, c.refused, c.not_asked), (3, 1, 1, 1, 1));
        assert_eq!(c.from_cache, 1);
    }

    #[test]
    fn an_answer_is_degraded_when_a_member_did_not_answer_as_wished() {
        let degraded = |state: SourceState, reason: &str| {
            let mut completion = Completion::default();
            let reason = reason.to_owned();
            count(&mut completion, &SourceOutcome { state: state.into(), reason, ..Default::default() });
            completion.degraded
        };
        assert!(!degraded(SourceState::Answered, ""));
        assert!(!degraded(SourceState::NotAsked, "NO_ENDPOINT"));
        assert!(!degraded(SourceState::NotAsked, "NOT_WANTED"));
        assert!(degraded(SourceState::NotAsked, "CIRCUIT_OPEN"));
        assert!(degraded(SourceState::TimedOut, "TIMED_OUT"));
        assert!(degraded(SourceState::Unavailable, "UNREACHABLE"));
    }
}
