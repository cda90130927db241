//! Signs of misuse: what the log tells of those who look, event by event.
//!
//! A sign is no proof. It names the event that raised it, the events that it rests on, and the reason, for a privacy officer
//! to look at. The same events under the same policy raise the same signs, so that the past can be watched again.
//!
//! What is remembered is bounded: a count forgets its events once it has raised a sign, and begins anew.

use std::collections::{HashMap, HashSet, VecDeque};

use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::{Caller, PurposeOfUse, Role},
    directory::v1::MemberKind,
};

use super::DISCLOSING;

mod policy;
mod sentence;

pub use policy::{Count, Policy, Staff, Workforce};

/// Most users that are watched at once; the older half of them is forgotten.
const USERS_MAX: usize = 100_000;

/// Most signs that one user's quiet times are kept of.
const QUIET_MAX: usize = 1_000;

/// Most events that a sign names: the last of them.
const EVIDENCE_MAX: usize = 1_000;

/// Why something looks like misuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// For treatment, without an encounter, and the organisation holds no record of the patient.
    NoRelationship,
    /// The patient works where the user does.
    Colleague,
    /// The patient lives with the user.
    Household,
    /// The user looked at their own record.
    OwnRecord,
    /// The patient is one to whom attention is paid.
    Watched,
    /// Many looks in a short time.
    Velocity,
    /// Many patients.
    Breadth,
    /// Many guesses that did not find a person.
    Enumeration,
    /// Emergency access without an encounter.
    EmergencyWithoutEncounter,
    /// The organisation receives and gives nothing.
    TakesOnly,
    /// The purpose does not fit the kind of the organisation.
    UnfitPurpose,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::NoRelationship,
        Self::Colleague,
        Self::Household,
        Self::OwnRecord,
        Self::Watched,
        Self::Velocity,
        Self::Breadth,
        Self::Enumeration,
        Self::EmergencyWithoutEncounter,
        Self::TakesOnly,
        Self::UnfitPurpose,
    ];

    /// Returns the stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRelationship => "NO_RELATIONSHIP",
            Self::Colleague => "COLLEAGUE",
            Self::Household => "HOUSEHOLD",
            Self::OwnRecord => "OWN_RECORD",
            Self::Watched => "WATCHED",
            Self::Velocity => "VELOCITY",
            Self::Breadth => "BREADTH",
            Self::Enumeration => "ENUMERATION",
            Self::EmergencyWithoutEncounter => "EMERGENCY_WITHOUT_ENCOUNTER",
            Self::TakesOnly => "TAKES_ONLY",
            Self::UnfitPurpose => "UNFIT_PURPOSE",
        }
    }

    /// Reads a stable name.
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// An event of the log, as it is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Position in the log.
    pub sequence: u64,
    /// The event.
    pub event: Event,
    /// Keyed hashes of the patient's records.
    pub subjects: Vec<i64>,
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// What the organisation that called is; not stated when it is not known.
    pub kind: MemberKind,
}

impl Seen {
    /// Returns the person. Whom a refused call was about is not told to who called, and neither is it by a sign.
    fn person(&self) -> &str {
        if self.event.outcome() == EventOutcome::Refused { "" } else { &self.event.person_id }
    }

    /// Returns the keyed hashes of the patient's records, as far as who called may know of the patient.
    fn subjects(&self) -> &[i64] {
        if self.event.outcome() == EventOutcome::Refused { &[] } else { &self.subjects }
    }
}

/// A sign of misuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Why.
    pub reason: Reason,
    /// Event that raised it.
    pub sequence: u64,
    /// When that was, microseconds since 1970.
    pub at_us: i64,
    /// Events that it rests on, ascending; of very many the last.
    pub evidence: Vec<u64>,
    /// Organisation that called.
    pub member_id: String,
    /// User, empty where it is about the organisation.
    pub user: String,
    /// A sentence for people.
    pub sentence: String,
}

/// Events that are counted within a time.
#[derive(Debug, Default)]
struct Counted(VecDeque<(i64, u64)>);

impl Counted {
    /// Counts an event. Returns all that are counted when they are more than usual, and begins anew.
    fn add(&mut self, count: Count, at_us: i64, sequence: u64) -> Option<Vec<u64>> {
        self.0.push_back((at_us, sequence));
        let since = at_us.saturating_sub(count.within_us);
        while self.0.front().is_some_and(|(at_us, _)| *at_us <= since) {
            self.0.pop_front();
        }
        let many = self.0.len() > count.most as usize;
        many.then(|| std::mem::take(&mut self.0).into_iter().map(|(_, sequence)| sequence).collect())
    }
}

/// Whom a sign is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A user.
    User,
    /// All users of an organisation: one that changes their names is seen all the same.
    Member,
}

/// A sign, and the events that it rests on.
#[derive(Debug)]
struct Raised {
    reason: Reason,
    by: By,
    evidence: Vec<u64>,
}

/// What is counted of a user, or of all users of an organisation.
#[derive(Debug, Default)]
struct Tally {
    looks: Counted,
    misses: Counted,
    /// When each patient was first looked at within the time, and by which event.
    patients: HashMap<String, (i64, u64)>,
}

/// What is remembered of a user.
#[derive(Debug, Default)]
struct User {
    seen_us: i64,
    tally: Tally,
    quiet: Quiet,
}

/// Until when signs on patients are not repeated.
#[derive(Debug, Default)]
struct Quiet {
    until_us: HashMap<(Reason, String), i64>,
    /// In the order in which they were raised; one that was raised again stands at its last place as well.
    raised: VecDeque<((Reason, String), i64)>,
}

impl Quiet {
    /// True when a sign is to be raised, and not again for a while. Of too many the oldest is forgotten.
    fn breaks(&mut self, reason: Reason, seen: &Seen, quiet_us: i64) -> bool {
        let key = (reason, seen.person().to_owned());
        if self.until_us.get(&key).is_some_and(|until_us| *until_us > seen.at_us) {
            return false;
        }
        let until_us = seen.at_us.saturating_add(quiet_us);
        self.until_us.insert(key.clone(), until_us);
        self.raised.push_back((key, until_us));
        if self.raised.len() > QUIET_MAX
            && let Some((oldest, until_us)) = self.raised.pop_front()
            && self.until_us.get(&oldest) == Some(&until_us)
        {
            self.until_us.remove(&oldest);
        }
        true
    }
}

impl Tally {
    /// Counts an event. A sign that this event has raised already waits for the next one: each raises a sign once.
    fn count(&mut self, policy: &Policy, by: By, seen: &Seen, already: &mut Vec<Raised>) {
        let usual = |reason| match already.iter().any(|raised| raised.reason == reason) {
            true => Count { most: u32::MAX, ..policy.usual(reason, by) },
            false => policy.usual(reason, by),
        };
        let missed = seen.event.kind() == EventKind::Locate && seen.person().is_empty();
        let (looks, misses, patients) =
            (usual(Reason::Velocity), usual(Reason::Enumeration), usual(Reason::Breadth));
        let looks = self.looks.add(looks, seen.at_us, seen.sequence);
        let misses = missed.then(|| self.misses.add(misses, seen.at_us, seen.sequence)).flatten();
        let patients = (!seen.person().is_empty()).then(|| self.patient(patients, seen)).flatten();
        let raised = [(Reason::Velocity, looks), (Reason::Enumeration, misses), (Reason::Breadth, patients)];
        already.extend(
            raised
                .into_iter()
                .filter_map(|(reason, evidence)| Some(Raised { reason, by, evidence: evidence? })),
        );
    }

    /// Counts a patient, as [`Counted::add`] counts events.
    fn patient(&mut self, count: Count, seen: &Seen) -> Option<Vec<u64>> {
        self.patients.entry(seen.person().to_owned()).or_insert((seen.at_us, seen.sequence));
        if self.patients.len() <= count.most as usize {
            return None;
        }
        let since = seen.at_us.saturating_sub(count.within_us);
        self.patients.retain(|_, (at_us, _)| *at_us > since);
        let many = self.patients.len() > count.most as usize;
        many.then(|| std::mem::take(&mut self.patients).into_values().map(|(_, sequence)| sequence).collect())
    }
}

/// What is remembered of an organisation.
#[derive(Debug, Default)]
struct Member {
    tally: Tally,
    taken: Counted,
    gave_us: Option<i64>,
}

/// Watches events in the order of the log.
#[derive(Debug)]
pub struct Watch {
    policy: Policy,
    users: HashMap<(String, String), User>,
    members: HashMap<String, Member>,
}

impl Watch {
    /// Starts to watch, under a policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, users: HashMap::new(), members: HashMap::new() }
    }

    /// Looks at the next event and returns what it raises.
    pub fn see(&mut self, seen: &Seen) -> Vec<Flag> {
        let (policy, event) = (&self.policy, &seen.event);
        let Some(caller) = event.caller.as_ref().filter(|caller| is_watched(event, caller)) else {
            return vec![];
        };
        let takes_only = given_and_taken(&mut self.members, policy, seen, caller);
        forget(&mut self.users, seen.at_us);
        let user = self.users.entry((caller.member_id.clone(), caller.user.clone())).or_default();
        user.seen_us = user.seen_us.max(seen.at_us);
        let mut raised = vec![];
        user.tally.count(policy, By::User, seen, &mut raised);
        let member = self.members.entry(caller.member_id.clone()).or_default();
        member.tally.count(policy, By::Member, seen, &mut raised);
        for reason in at_once(policy, seen, caller) {
            if user.quiet.breaks(reason, seen, policy.quiet_us) {
                raised.push(Raised { reason, by: By::User, evidence: vec![seen.sequence] });
            }
        }
        raised.extend(takes_only);
        let raised = raised.into_iter().filter(|raised| !policy.off.contains(&raised.reason));
        raised.map(|raised| flag(policy, raised, seen, caller)).collect()
    }
}

fn flag(policy: &Policy, raised: Raised, seen: &Seen, caller: &Caller) -> Flag {
    let sentence = sentence::sentence(policy, &raised, caller, seen.kind);
    let Raised { reason, by, mut evidence } = raised;
    evidence.sort_unstable();
    evidence.drain(..evidence.len().saturating_sub(EVIDENCE_MAX));
    let user = if by == By::Member { String::new() } else { caller.user.clone() };
    let (sequence, at_us, member_id) = (seen.sequence, seen.at_us, caller.member_id.clone());
    Flag { reason, sequence, at_us, evidence, member_id, user, sentence }
}

/// True for what a member's user looked at or tried to.
fn is_watched(event: &Event, caller: &Caller) -> bool {
    !caller.exchange && !caller.member_id.is_empty() && DISCLOSING.contains(&event.kind())
}

/// Returns what one event raises by itself.
fn at_once(policy: &Policy, seen: &Seen, caller: &Caller) -> Vec<Reason> {
    let event = &seen.event;
    let mut raised = vec![];
    if !policy.fits(seen.kind, caller.purpose()) {
        raised.push(Reason::UnfitPurpose);
    }
    if event.kind() == EventKind::Emergency && opens(event) && caller.encounter.is_empty() {
        raised.push(Reason::EmergencyWithoutEncounter);
    }
    // Patients, and who acts for them, look at what is theirs.
    if matches!(caller.role(), Role::Patient | Role::Representative) || seen.subjects().is_empty() {
        return raised;
    }
    let treats = matches!(caller.purpose(), PurposeOfUse::Treat | PurposeOfUse::Etreat);
    // Events that do not say whether the organisation holds a record are older than the question.
    if treats && caller.encounter.is_empty() && event.own_patient == Some(false) {
        raised.push(Reason::NoRelationship);
    }
    let subjects: HashSet<i64> = seen.subjects().iter().copied().collect();
    if let Some(staff) = policy.staff.of(&caller.member_id, &caller.user) {
        if staff.record.is_some_and(|record| subjects.contains(&record)) {
            raised.push(Reason::OwnRecord);
        }
        if staff.household.iter().any(|record| subjects.contains(record)) {
            raised.push(Reason::Household);
        }
    }
    if seen
        .subjects()
        .iter()
        .any(|record| policy.staff.is_colleague(*record, &caller.member_id, &caller.user))
    {
        raised.push(Reason::Colleague);
    }
    if seen.subjects().iter().any(|record| policy.watched.contains(record)) {
        raised.push(Reason::Watched);
    }
    raised
}

fn opens(event: &Event) -> bool {
    event.action.ends_with("/OpenEmergencyAccess") && event.outcome() == EventOutcome::Success
}

/// Notes who gave documents, or has some to give, and what was taken.
fn given_and_taken(
    members: &mut HashMap<String, Member>,
    policy: &Policy,
    seen: &Seen,
    caller: &Caller,
) -> Option<Raised> {
    let mut took = false;
    for document in &seen.event.documents {
        if document.custodian != caller.member_id {
            took |= document.released;
        }
        let member = members.entry(document.custodian.clone()).or_default();
        member.gave_us = member.gave_us.max(Some(seen.at_us));
    }
    if !took {
        return None;
    }
    let member = members.entry(caller.member_id.clone()).or_default();
    let taken = member.taken.add(policy.takes_only, seen.at_us, seen.sequence)?;
    let since = seen.at_us.saturating_sub(policy.takes_only.within_us);
    member.gave_us.is_none_or(|gave_us| gave_us <= since).then_some(Raised {
        reason: Reason::TakesOnly,
        by: By::Member,
        evidence: taken,
    })
}

/// Forgets the older half of users when there are too many.
fn forget(users: &mut HashMap<(String, String), User>, now_us: i64) {
    if users.len() < USERS_MAX {
        return;
    }
    let mut seen: Vec<_> = users.values().map(|user| user.seen_us).collect();
    let middle = seen.len() / 2;
    let median = *seen.select_nth_unstable(middle).1;
    users.retain(|_, user| user.seen_us > median.min(now_us));
}

#[cfg(test)]
mod tests;
