//! How many matches a user and a member may ask for: whoever tries names out is slowed down to where it shows.
//!
//! The limits are a process's own: of several processes each has its own count.

use std::num::NonZeroU32;

use governor::Quota;
use signpost_common::rpc::{Context, limits::Rates, status};
use tonic::Status;

/// Minutes of which the matches may be asked for at once.
const BURST_MINUTES: u32 = 5;

/// Matches that may be asked for in a minute, on average over five; 0 for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// By one user.
    pub user: u32,
    /// By all users of a member.
    pub member: u32,
}

impl Default for Limits {
    /// Returns what a large emergency department does not reach.
    fn default() -> Self {
        Self { user: 120, member: 1_200 }
    }
}

/// Counts matches.
#[derive(Debug)]
pub(crate) struct Probing(Rates);

fn quota(per_minute: u32) -> Option<Quota> {
    let burst = NonZeroU32::new(per_minute.saturating_mul(BURST_MINUTES))?;
    Some(Quota::per_minute(NonZeroU32::new(per_minute)?).allow_burst(burst))
}

impl Probing {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Rates::new(quota(limits.user), quota(limits.member)))
    }

    /// Counts a match of a caller, or refuses it.
    pub(crate) fn check(&self, context: &Context) -> Result<(), Status> {
        let (member, user) = (context.caller.member_id.as_str(), context.caller.user.as_str());
        let counted = self.0.user(member, user).and_then(|()| self.0.member(member));
        counted.map_err(|exceeded| {
            let whose = exceeded.whose.text();
            tracing::warn!(member, whose, "more matches are asked for than allowed");
            let message = format!("{whose} asked for more matches than allowed: try again later");
            status::quota("PROBING_LIMIT", &format!("member:{member}"), message, exceeded.wait)
        })
    }
}

#[cfg(test)]
mod tests {
    use signpost_proto::common::v1::Caller;

    use super::*;

    fn context(member: &str, user: &str) -> Context {
        let caller = Caller { member_id: member.into(), user: user.into(), ..Caller::default() };
        Context { caller, ..Context::exchange("test") }
    }

    #[test]
    fn a_user_and_a_member_are_counted_each_for_themselves() {
        let probing = Probing::new(Limits { user: 1, member: 2 });
        let asks =
            |member, user| probing.check(&context(member, user)).map_err(|error| status::reason(&error));
        for _ in 0..5 {
            assert_eq!(asks("north", "ann"), Ok(()));
        }
        assert_eq!(asks("north", "ann"), Err("PROBING_LIMIT".into()));
        for _ in 0..4 {
            assert_eq!(asks("north", "bob"), Ok(()));
        }
        // Five of ann's and four of bob's leave one of the member's ten; what was refused to ann did not count.
        assert_eq!(asks("north", "cyd"), Ok(()));
        assert_eq!(asks("north", "dan"), Err("PROBING_LIMIT".into()));
        assert_eq!(asks("south", "ann"), Ok(()), "another member's");
    }

    #[test]
    fn nothing_is_limited_by_zero() {
        let probing = Probing::new(Limits { user: 0, member: 0 });
        assert!((0..10_000).all(|_| probing.check(&context("north", "ann")).is_ok()));
    }
}
