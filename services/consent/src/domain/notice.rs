//! What patients and privacy officers are told without asking.

use std::fmt;

use signpost_common::id::{DocumentId, MemberId, NoticeId, RecordRef, SessionId};
use signpost_proto::consent::v1::NoticeKind;

use super::Session;

/// Who is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Party {
    /// A patient, at a member.
    Patient(RecordRef),
    /// The privacy officers of a member.
    Member(MemberId),
    /// The privacy officers of the operator.
    Operator,
}

/// A notice. `Debug` leaves out whom it is about.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// Id, in the order of time.
    pub id: NoticeId,
    /// Who is told.
    pub party: Party,
    /// What it is about.
    pub kind: NoticeKind,
    /// Organisation that acted.
    pub member_id: MemberId,
    /// User that acted.
    pub user: String,
    /// Emergency session.
    pub session: Option<SessionId>,
    /// Document.
    pub document: Option<DocumentId>,
    /// When it was made, microseconds since 1970.
    pub created_us: i64,
    /// When it was taken note of.
    pub acknowledged_us: Option<i64>,
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Notice {
    /// Makes a notice about what a session's opener did.
    fn of_session(party: Party, kind: NoticeKind, session: &Session, now_us: i64) -> Self {
        Self {
            id: NoticeId::generate(),
            party,
            kind,
            member_id: session.member_id.clone(),
            user: session.user.clone(),
            session: Some(session.id),
            document: None,
            created_us: now_us,
            acknowledged_us: None,
        }
    }

    /// Returns what is told when emergency access is opened: to the patient wherever there is a record, to the privacy officers
    /// of the opener's organisation and to those of the operator.
    pub fn opened(session: &Session, records: &[RecordRef]) -> Vec<Self> {
        let patients = records.iter().cloned().map(Party::Patient);
        let parties = patients.chain([Party::Member(session.member_id.clone()), Party::Operator]);
        let kind = NoticeKind::EmergencyOpened;
        parties.map(|party| Self::of_session(party, kind, session, session.opened_us)).collect()
    }

    /// Returns what is told when the review of a session is overdue.
    pub fn overdue(session: &Session, now_us: i64) -> Vec<Self> {
        let parties = [Party::Member(session.member_id.clone()), Party::Operator];
        let kind = NoticeKind::ReviewOverdue;
        parties.into_iter().map(|party| Self::of_session(party, kind, session, now_us)).collect()
    }

    /// Says what happened. Patients are told which organisation acted, and not which of its staff.
    pub fn sentence(&self) -> String {
        let who = match &self.party {
            Party::Patient(_) => format!("Somebody at {}", self.member_id),
            Party::Member(_) | Party::Operator => format!("{} at {}", self.user, self.member_id),
        };
        match self.kind {
            NoticeKind::EmergencyOpened => format!("{who} opened emergency access."),
            NoticeKind::ReviewOverdue => format!("{who} opened emergency access, and its review is overdue."),
            NoticeKind::Released => format!("{who} was given a document of which this party is to be told."),
            NoticeKind::Unspecified => format!("{who} did something of which this party is to be told."),
        }
    }
}
