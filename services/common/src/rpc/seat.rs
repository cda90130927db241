//! The places of connections: a member has so many, and nobody takes one of them by its name alone.
//!
//! Whoever shows a certificate that names a member may hold one that was revoked or was never registered. Until a call on it is
//! admitted, a connection is counted by its certificate, of which each has a few places; then by its member.

use std::sync::{Arc, Mutex, PoisonError};

use super::connection::{Counted, Counts, Peer};
use crate::id::MemberId;

/// Most connections at once of one member, on which a call was admitted; more are turned away.
const PER_MEMBER_MAX: usize = 256;

/// Most connections at once of one certificate, and of all who showed none, on which no call was admitted; more are turned away.
const PER_CERTIFICATE_MAX: usize = 128;

/// All places.
#[derive(Debug)]
pub(super) struct Seats {
    unproven: Counts<Option<[u8; 32]>>,
    members: Counts<MemberId>,
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    /// The certificate, and the member that it names.
    shown: Option<([u8; 32], MemberId)>,
    held: Mutex<Held>,
}

#[derive(Debug)]
enum Held {
    Unproven { _place: Counted<Option<[u8; 32]>> },
    Member { _place: Counted<MemberId> },
    Nothing,
}

impl Seats {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { unproven: Counts::new(PER_CERTIFICATE_MAX), members: Counts::new(PER_MEMBER_MAX) })
    }

    /// Returns a place for a new connection; `None` when there are as many like it as there may be.
    pub(super) fn take(self: &Arc<Self>, peer: &Peer) -> Option<Seat> {
        let shown = match peer {
            Peer::Certificate(shown) => Some((shown.facts.fingerprint, shown.facts.member_id.clone())),
            Peer::NoMember | Peer::NoCertificate => None,
        };
        self.seat(shown)
    }

    fn seat(self: &Arc<Self>, shown: Option<([u8; 32], MemberId)>) -> Option<Seat> {
        let place = self.unproven.take(shown.as_ref().map(|(fingerprint, _)| *fingerprint))?;
        Some(Seat { seats: self.clone(), shown, held: Mutex::new(Held::Unproven { _place: place }) })
    }
}

impl Seat {
    /// Takes a place of the member, once the certificate has turned out to be the member's; false when there is none.
    pub(super) fn prove(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, member)) = &self.shown else { return true };
        if let Held::Member { .. } = *held {
            return true;
        }
        let Some(place) = self.seats.members.take(member.clone()) else { return false };
        *held = Held::Member { _place: place };
        true
    }

    /// Gives the place back to the member, whose certificate it is no longer; false when there is no other.
    pub(super) fn disprove(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Held::Member { .. } = *held {
            let fingerprint = self.shown.as_ref().map(|(fingerprint, _)| *fingerprint);
            let place = self.seats.unproven.take(fingerprint);
            *held = place.map_or(Held::Nothing, |place| Held::Unproven { _place: place });
        }
        !matches!(*held, Held::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_takes_no_place_of_the_member_that_it_names_until_it_is_the_members() {
        let seats = Seats::new();
        let north: MemberId = "north".parse().unwrap();
        let stranger = || seats.seat(Some(([1; 32], north.clone())));
        let strangers: Vec<_> = std::iter::from_fn(stranger).collect();
        assert_eq!(strangers.len(), PER_CERTIFICATE_MAX);
        let own = || seats.seat(Some(([2; 32], north.clone()))).filter(Seat::prove);
        let mut proven: Vec<_> = std::iter::from_fn(own).take(PER_MEMBER_MAX + 1).collect();
        assert_eq!(proven.len(), PER_MEMBER_MAX, "who is the member has all of its places");
        assert!(proven.iter().all(Seat::prove), "a place is taken once");
        // A certificate that was revoked gives the places back.
        assert!(proven.iter().take(PER_CERTIFICATE_MAX).all(Seat::disprove));
        assert!(!proven[PER_CERTIFICATE_MAX].disprove(), "as many as a certificate may have");
        proven.truncate(PER_CERTIFICATE_MAX);
        assert!(seats.seat(Some(([3; 32], north.clone()))).is_some_and(|seat| seat.prove()));
        drop(strangers);
        assert!(stranger().is_some());
    }
}
