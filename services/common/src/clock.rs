//! Time as a parameter, so that decisions can be replayed and tests need not wait.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> Timestamp;
}

/// A clock that services share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that runs ahead of the machine's by a set amount, for tests and for looking into the future.
#[derive(Debug, Clone, Copy)]
pub struct ShiftedClock(pub SignedDuration);

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(self.0).unwrap_or(Timestamp::MAX)
    }
}

/// Returns the machine's clock, shared.
pub fn system() -> SharedClock {
    Arc::new(SystemClock)
}

/// Converts to the protocol's form.
pub fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// Converts from the protocol's form; `None` when it names no moment that can be represented.
pub fn from_proto(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = (0..1_000_000_000).contains(&time.nanos).then_some(time.nanos)?;
    Timestamp::new(time.seconds, nanos).ok()
}

/// Converts a stored time, microseconds since 1970 UTC, to the protocol's form.
pub fn micros_to_proto(micros: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_fraction() {
        let time = Timestamp::from_microsecond(-1).unwrap();
        let proto = micros_to_proto(-1);
        assert_eq!(from_proto(&proto), Some(time));
        assert_eq!((proto.seconds, proto.nanos), (-1, 999_999_000));
    }

    #[test]
    fn nanoseconds_out_of_range_are_no_time() {
        assert_eq!(from_proto(&prost_types::Timestamp { seconds: 0, nanos: 1_000_000_000 }), None);
        assert_eq!(from_proto(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), None);
    }
}
