//! How complete an answer is.

use signpost_proto::locator::v1::{Completion, SourceOutcome, SourceState};

/// Adds one member's outcome to the statement of completeness.
pub(crate) fn count(completion: &mut Completion, outcome: &SourceOutcome) {
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
        for state in
            [SourceState::Answered, SourceState::TimedOut, SourceState::NotAsked, SourceState::Refused]
        {
            count(&mut completion, &SourceOutcome { state: state.into(), ..Default::default() });
        }
        let c = completion;
        assert_eq!((c.asked, c.answered, c.timed_out, c.refused, c.not_asked), (3, 1, 1, 1, 1));
    }
}
