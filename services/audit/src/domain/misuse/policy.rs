//! What counts as usual.

use std::collections::{HashMap, HashSet};

use signpost_proto::{common::v1::PurposeOfUse, directory::v1::MemberKind};

use super::{By, Reason};

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// How many are usual within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// At most so many.
    pub most: u32,
    /// Within so many microseconds.
    pub within_us: i64,
}

/// Someone who works at a member, and is somebody's patient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Staff {
    /// Keyed hash of their own record.
    pub record: Option<i64>,
    /// Keyed hashes of the records of those who live with them.
    pub household: Vec<i64>,
}

/// What counts as usual, and to whom attention is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Looks of one user.
    pub velocity: Count,
    /// Patients of one user.
    pub breadth: Count,
    /// Attempts of one user that found nobody.
    pub enumeration: Count,
    /// Looks of all users of an organisation.
    pub member_velocity: Count,
    /// Patients of all users of an organisation.
    pub member_breadth: Count,
    /// Attempts of all users of an organisation that found nobody.
    pub member_enumeration: Count,
    /// Answers with documents of others, of an organisation that has given none in that time.
    pub takes_only: Count,
    /// How long a sign on the same user and patient is not repeated, microseconds.
    pub quiet_us: i64,
    /// Purposes of use that fit a kind of organisation. A kind that is not listed may have any.
    pub fitting: HashMap<MemberKind, Vec<PurposeOfUse>>,
    /// Signs that are not raised.
    pub off: HashSet<Reason>,
    /// Keyed hashes of records to which attention is paid.
    pub watched: HashSet<i64>,
    /// Who works where.
    pub staff: Workforce,
}

impl Default for Policy {
    fn default() -> Self {
        use PurposeOfUse::{Btg, Etreat, Hoperat, Hpaymt, Hresch, Patrqt, Pubhlth, Treat};
        Self {
            velocity: Count { most: 120, within_us: 60 * SECOND_US },
            breadth: Count { most: 300, within_us: DAY_US },
            enumeration: Count { most: 10, within_us: 600 * SECOND_US },
            member_velocity: Count { most: 6_000, within_us: 60 * SECOND_US },
            member_breadth: Count { most: 20_000, within_us: DAY_US },
            member_enumeration: Count { most: 1_000, within_us: 600 * SECOND_US },
            takes_only: Count { most: 500, within_us: 30 * DAY_US },
            quiet_us: 3600 * SECOND_US,
            fitting: HashMap::from([
                (MemberKind::Provider, vec![Treat, Etreat, Btg, Hpaymt, Hoperat, Patrqt]),
                (MemberKind::Payer, vec![Hpaymt, Hoperat, Patrqt]),
                (MemberKind::PublicHealth, vec![Pubhlth, Hresch]),
                (MemberKind::Operator, vec![Hoperat]),
            ]),
            off: HashSet::new(),
            watched: HashSet::new(),
            staff: Workforce::default(),
        }
    }
}

impl Policy {
    /// Returns how many are usual for a sign that is counted; for others one event is enough.
    pub(super) fn usual(&self, reason: Reason, by: By) -> Count {
        match (reason, by) {
            (Reason::Velocity, By::User) => self.velocity,
            (Reason::Velocity, By::Member) => self.member_velocity,
            (Reason::Breadth, By::User) => self.breadth,
            (Reason::Breadth, By::Member) => self.member_breadth,
            (Reason::Enumeration, By::User) => self.enumeration,
            (Reason::Enumeration, By::Member) => self.member_enumeration,
            (Reason::TakesOnly, _) => self.takes_only,
            _ => Count { most: 0, within_us: i64::MAX },
        }
    }

    pub(super) fn fits(&self, kind: MemberKind, purpose: PurposeOfUse) -> bool {
        self.fitting.get(&kind).is_none_or(|fitting| fitting.contains(&purpose))
    }
}

/// Those who work at members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workforce {
    /// By member and user.
    staff: HashMap<String, HashMap<String, Staff>>,
    /// Member and user whose a record is, by its keyed hash.
    records: HashMap<i64, Vec<(String, String)>>,
}

impl Workforce {
    /// Adds someone who works at a member.
    pub fn employ(&mut self, member_id: &str, user: &str, staff: Staff) {
        if let Some(record) = staff.record {
            self.records.entry(record).or_default().push((member_id.to_owned(), user.to_owned()));
        }
        self.staff.entry(member_id.to_owned()).or_default().insert(user.to_owned(), staff);
    }

    pub(super) fn of(&self, member_id: &str, user: &str) -> Option<&Staff> {
        self.staff.get(member_id)?.get(user)
    }

    /// True when a record is that of somebody else who works at the member.
    pub(super) fn is_colleague(&self, record: i64, member_id: &str, user: &str) -> bool {
        let whose = self.records.get(&record).map(Vec::as_slice).unwrap_or_default();
        whose.iter().any(|(member, name)| member == member_id && name != user)
    }
}
