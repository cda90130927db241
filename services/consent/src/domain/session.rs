//! Emergency access: one person, one user, a bounded time, and a review.

use std::fmt;

use signpost_common::id::{MemberId, PersonId, SessionId};
use signpost_proto::consent::v1::{EmergencyReason, ReviewOutcome};

use super::rule::Matcher;

/// How long a session lasts when its opener does not say.
pub const TTL_DEFAULT_S: u32 = 3600;

/// Longest time a session may last.
pub const TTL_MAX_S: u32 = 14_400;

/// A review is due this long after the opening.
pub const REVIEW_WITHIN_S: i64 = 72 * 3600;

/// A session of emergency access. `Debug` leaves out what people wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// Id.
    pub id: SessionId,
    /// Person it is for.
    pub person_id: PersonId,
    /// Member whose user opened it.
    pub member_id: MemberId,
    /// User that opened it.
    pub user: String,
    /// Why.
    pub reason: EmergencyReason,
    /// Why, in words.
    pub reason_text: String,
    /// Documents that it is for.
    pub scope: Matcher,
    /// When it was opened, microseconds since 1970.
    pub opened_us: i64,
    /// When it ends by itself.
    pub expires_us: i64,
    /// When it was closed.
    pub closed_us: Option<i64>,
    /// When its review is due.
    pub review_due_us: i64,
    /// What the review found.
    pub review: Option<Review>,
}

/// What a review of emergency access found.
#[derive(Clone, PartialEq, Eq)]
pub struct Review {
    /// Outcome.
    pub outcome: ReviewOutcome,
    /// Note.
    pub note: String,
    /// What follows from it.
    pub follow_up: String,
    /// Who reviewed, as `member/user`.
    pub by: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("member_id", &self.member_id)
            .field("expires_us", &self.expires_us)
            .field("closed_us", &self.closed_us)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// True when this user of this member opened it.
    pub fn opened_by(&self, member_id: &str, user: &str) -> bool {
        self.member_id.as_str() == member_id && self.user == user
    }

    /// True when this user may go past denials on this person at this moment.
    pub fn serves(&self, person_id: PersonId, member_id: &str, user: &str, now_us: i64) -> bool {
        let open = self.closed_us.is_none() && self.opened_us <= now_us && now_us < self.expires_us;
        open && self.person_id == person_id && self.opened_by(member_id, user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_serves_its_opener_and_its_person_while_it_is_open() {
        let person_id = PersonId::generate();
        let session = Session {
            id: SessionId::generate(),
            person_id,
            member_id: "north".parse().unwrap(),
            user: "dr-lee".into(),
            reason: EmergencyReason::Unconscious,
            reason_text: "found unconscious".into(),
            scope: Matcher::default(),
            opened_us: 100,
            expires_us: 200,
            closed_us: None,
            review_due_us: 300,
            review: None,
        };
        assert!(session.serves(person_id, "north", "dr-lee", 100));
        assert!(session.serves(person_id, "north", "dr-lee", 199));
        assert!(!session.serves(person_id, "north", "dr-lee", 200), "expired");
        assert!(!session.serves(person_id, "north", "dr-lee", 99), "not opened yet");
        assert!(!session.serves(person_id, "north", "dr-kim", 150), "another user");
        assert!(!session.serves(person_id, "south", "dr-lee", 150), "another member");
        assert!(!session.serves(PersonId::generate(), "north", "dr-lee", 150), "another person");
        let closed = Session { closed_us: Some(120), ..session };
        assert!(!closed.serves(person_id, "north", "dr-lee", 130), "closed");
    }
}
