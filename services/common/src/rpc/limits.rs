//! How much one caller may ask for, so that it slows nobody else.
//!
//! A member and each of its users have a rate; a member has so many calls under way, and a few more that wait for them; all
//! together have so many. What is beyond is refused at once or after a while, and nothing of it is kept. The counts are a
//! process's own: of several processes each has its own.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::{
    connection::{Counted, Counts},
    status,
};

/// Calls after which callers are forgotten that have not asked for long.
const FORGET_EVERY: u32 = 10_000;

/// How long a refusal for asking too often is held back at most, and how much less some are: who asks again at once is slowed down
/// by it, and those who were refused together do not ask together again.
const HELD_MAX: Duration = Duration::from_secs(2);
const HELD_SPREAD: Duration = Duration::from_secs(1);

/// Most refusals that are held back at once.
const HELD_AT_ONCE_MAX: usize = 8192;

/// Longest time that a call waits for another of its member's to end.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Most calls that wait for each that may be under way.
const WAITING_PER_CALL: usize = 4;

/// Most answers that are made or being sent for each call that may be under way.
const ANSWERS_PER_CALL: usize = 4;

/// What one caller may ask for. 0 is any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls of one user in a second, on average over two.
    pub user_per_second: u32,
    /// Calls of all users of a member in a second.
    pub member_per_second: u32,
    /// Calls of one member that are under way at once, until their answers begin. Four times as many wait for a second, and
    /// four times as many answers are made or being sent.
    pub member_calls: u32,
    /// Calls of everybody that are under way at once.
    pub calls: u32,
}

impl Default for Limits {
    /// Returns what a large member's busiest hour does not reach.
    fn default() -> Self {
        Self { user_per_second: 1_000, member_per_second: 30_000, member_calls: 512, calls: 4_096 }
    }
}

/// Whose limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// That of one user.
    User,
    /// That of all users of a member.
    Member,
}

impl Whose {
    /// Returns who it is, for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::User => "this user",
            Self::Member => "this member's users",
        }
    }
}

/// A rate that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub whose: Whose,
    /// After how long there is room again.
    pub wait: Duration,
}

/// Counts by user and by member, at rates of their own. Who has not asked for long is forgotten.
#[derive(Debug)]
pub struct Rates {
    users: Option<DefaultKeyedRateLimiter<(String, String)>>,
    members: Option<DefaultKeyedRateLimiter<String>>,
    asked: AtomicU32,
}

impl Rates {
    /// Counts at these rates; `None` is any number.
    pub fn new(user: Option<Quota>, member: Option<Quota>) -> Self {
        let (users, members) = (user.map(RateLimiter::keyed), member.map(RateLimiter::keyed));
        Self { users, members, asked: AtomicU32::new(0) }
    }

    /// Counts something that a user of a member asks for, for the user.
    pub fn user(&self, member: &str, user: &str) -> Result<(), Exceeded> {
        self.forget();
        let Some(users) = &self.users else { return Ok(()) };
        let checked = users.check_key(&(member.to_owned(), user.to_owned()));
        checked.map_err(|until| exceeded(Whose::User, until.wait_time_from(DefaultClock::default().now())))
    }

    /// Counts something that a user of a member asks for, for the member.
    pub fn member(&self, member: &str) -> Result<(), Exceeded> {
        self.forget();
        let Some(members) = &self.members else { return Ok(()) };
        let checked = members.check_key(&member.to_owned());
        checked.map_err(|until| exceeded(Whose::Member, until.wait_time_from(DefaultClock::default().now())))
    }

    fn forget(&self) {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY != FORGET_EVERY - 1 {
            return;
        }
        if let Some(users) = &self.users {
            users.retain_recent();
            users.shrink_to_fit();
        }
        if let Some(members) = &self.members {
            members.retain_recent();
        }
    }
}

fn exceeded(whose: Whose, wait: Duration) -> Exceeded {
    Exceeded { whose, wait }
}

/// Lets calls through, or refuses them.
#[derive(Debug)]
pub(super) struct Gate {
    rates: Rates,
    /// Refusals that are worth a line and an event each.
    told: Rates,
    untold: AtomicUsize,
    held: Semaphore,
    holding: AtomicU32,
    calls: Arc<Semaphore>,
    member_calls: usize,
    members: Mutex<HashMap<String, Arc<Lane>>>,
    answers: Counts<String>,
}

/// The places of one member.
#[derive(Debug)]
struct Lane {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Places that a call takes until its answer begins.
#[derive(Debug)]
pub(super) struct Places {
    /// The place of its answer, until all of that was sent.
    pub(super) answer: Option<Counted<String>>,
    _own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

/// Counts one who waits, also one who gives up.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn number(limit: u32) -> usize {
    match limit {
        0 => Semaphore::MAX_PERMITS,
        limit => limit as usize,
    }
}

fn per_second(limit: u32, burst_s: u32) -> Option<Quota> {
    let burst = NonZeroU32::new(limit.saturating_mul(burst_s))?;
    Some(Quota::per_second(NonZeroU32::new(limit)?).allow_burst(burst))
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            rates: Rates::new(per_second(limits.user_per_second, 2), per_second(limits.member_per_second, 1)),
            told: Rates::new(None, per_second(20, 20)),
            untold: AtomicUsize::new(0),
            held: Semaphore::new(HELD_AT_ONCE_MAX),
            holding: AtomicU32::new(0),
            calls: Arc::new(Semaphore::new(number(limits.calls))),
            member_calls: number(limits.member_calls),
            members: Mutex::default(),
            answers: Counts::new(number(limits.member_calls).saturating_mul(ANSWERS_PER_CALL)),
        }
    }

    /// Counts a call of a member, or of a certificate of which nobody knows whose it is.
    pub(super) fn member(&self, member: &str) -> Result<(), Status> {
        self.rates.member(member).map_err(|exceeded| too_often(exceeded, member))
    }

    /// Counts a call of a user.
    pub(super) fn user(&self, member: &str, user: &str) -> Result<(), Status> {
        self.rates.user(member, user).map_err(|exceeded| too_often(exceeded, member))
    }

    /// Says whether a refusal of a member's, or of a certificate's, is to be told; when it is, also how many were not since the last one.
    pub(super) fn tells(&self, member: &str) -> Option<usize> {
        if self.told.member(member).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }

    /// Holds back a refusal of who asks too often.
    pub(super) async fn hold(&self, wait: Duration) {
        // Beyond that many, memory is worth more.
        if let Ok(_held) = self.held.try_acquire() {
            let less = HELD_SPREAD * (self.holding.fetch_add(1, Ordering::Relaxed) % 64) / 64;
            tokio::time::sleep(wait.min(HELD_MAX - less)).await;
        }
    }

    /// Returns places for a call of a member, or of a service of the exchange, once there are some.
    pub(super) async fn places(&self, member: Option<&str>) -> Result<Places, Status> {
        let own = match member {
            Some(member) => Some(self.lane(member, self.lane_of(member)).await?),
            None => None,
        };
        let all = self.calls.clone().try_acquire_owned().map_err(|_| {
            let text = "the service has more calls under way than it can take: try again later";
            status::exhausted("OVERLOADED", text, Duration::from_millis(500))
        })?;
        // Last: whoever waits for a place has no answer yet.
        let answer = member.map(|member| {
            let text = "this member does not read its answers: read those, or try again later";
            let subject = format!("member:{member}");
            let taken = self.answers.take(member.to_owned());
            taken.ok_or_else(|| status::quota("ANSWERS_NOT_READ", &subject, text, Duration::from_millis(500)))
        });
        Ok(Places { answer: answer.transpose()?, _own: own, _all: all })
    }

    fn lane_of(&self, member: &str) -> Arc<Lane> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = members.get(member) {
            return lane.clone();
        }
        // Only members and certificates of the authorities come here; those that left are forgotten with the next new one.
        members.retain(|_, lane| Arc::strong_count(&lane.places) > 1 || Arc::strong_count(lane) > 1);
        let places = Arc::new(Semaphore::new(self.member_calls));
        let lane = Arc::new(Lane { places, waiting: AtomicUsize::new(0) });
        members.insert(member.to_owned(), lane.clone());
        lane
    }

    async fn lane(&self, member: &str, lane: Arc<Lane>) -> Result<OwnedSemaphorePermit, Status> {
        if let Ok(place) = lane.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let busy = || {
            let text = "this member has more calls under way than it may: try again later";
            let subject = format!("member:{member}");
            status::quota("MEMBER_BUSY", &subject, text, Duration::from_millis(500))
        };
        let waiting = lane.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiter = Waiter(&lane.waiting);
        if waiting >= self.member_calls.saturating_mul(WAITING_PER_CALL) {
            return Err(busy());
        }
        let place = tokio::time::timeout(WAIT_MAX, lane.places.clone().acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(busy)
    }
}

fn too_often(Exceeded { whose, wait }: Exceeded, member: &str) -> Status {
    let (reason, subject) = match whose {
        Whose::User => ("USER_RATE_LIMIT", format!("user:{member}")),
        Whose::Member => ("MEMBER_RATE_LIMIT", format!("member:{member}")),
    };
    let message = format!("{} called more often than allowed: try again later", whose.text());
    status::quota(reason, &subject, message, wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Limits {
        Limits { user_per_second: 0, member_per_second: 0, member_calls: 0, calls: 0 }
    }

    fn reason<T>(result: Result<T, Status>) -> String {
        result.err().map(|refusal| status::reason(&refusal)).unwrap_or_default()
    }

    #[test]
    fn members_and_users_have_rates_of_their_own() {
        let gate = Gate::new(Limits { user_per_second: 2, member_per_second: 6, ..none() });
        for _ in 0..4 {
            gate.user("north", "ann").unwrap();
        }
        assert_eq!(reason(gate.user("north", "ann")), "USER_RATE_LIMIT");
        gate.user("north", "bob").unwrap();
        gate.user("south", "ann").unwrap();
        for _ in 0..6 {
            gate.member("north").unwrap();
        }
        let refusal = gate.member("north").unwrap_err();
        assert_eq!(status::reason(&refusal), "MEMBER_RATE_LIMIT");
        gate.member("south").unwrap();
    }

    #[test]
    fn zero_is_any_number() {
        let gate = Gate::new(none());
        assert!((0..100_000).all(|_| gate.member("north").is_ok() && gate.user("north", "ann").is_ok()));
    }

    #[tokio::test]
    async fn a_member_that_has_all_its_places_leaves_others_theirs() {
        let gate = Gate::new(Limits { member_calls: 2, calls: 3, ..none() });
        let (one, two) =
            (gate.places(Some("north")).await.unwrap(), gate.places(Some("north")).await.unwrap());
        assert_eq!(reason(gate.places(Some("north")).await), "MEMBER_BUSY");
        let south = gate.places(Some("south")).await.unwrap();
        assert_eq!(reason(gate.places(Some("south")).await), "OVERLOADED");
        assert_eq!(reason(gate.places(None).await), "OVERLOADED");
        drop(south);
        gate.places(None).await.unwrap();
        drop((one, two));
        gate.places(Some("north")).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_of_who_ends_and_more_do_not_wait() {
        let gate = Arc::new(Gate::new(Limits { member_calls: 1, ..none() }));
        let first = gate.places(Some("north")).await.unwrap();
        let began = std::time::Instant::now();
        let waiting: Vec<_> = (0..WAITING_PER_CALL)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.places(Some("north")).await.map(drop) })
            })
            .collect();
        while gate.lane_of("north").waiting.load(Ordering::Relaxed) < WAITING_PER_CALL {
            tokio::task::yield_now().await;
        }
        assert_eq!(reason(gate.places(Some("north")).await), "MEMBER_BUSY");
        assert!(began.elapsed() < WAIT_MAX, "it is refused at once");
        drop(first);
        for waiting in waiting {
            waiting.await.unwrap().unwrap();
        }
        assert_eq!(gate.lane_of("north").waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_flood_of_refusals_is_told_once_in_a_while() {
        let gate = Gate::new(none());
        let told: Vec<_> = (0..10_000).filter_map(|_| gate.tells("north")).collect();
        assert!((400..600).contains(&told.len()), "{}", told.len());
        // Those that were not told are told of.
        let last = gate.tells("south").unwrap();
        assert_eq!(told.iter().sum::<usize>() + last + told.len(), 10_000);
    }
}
