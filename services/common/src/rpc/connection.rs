//! A connection after its handshake: who is at the other end, and how long it may stay.
//!
//! The certificate is judged again at every call, so that one that has ended or was revoked since is of no use on a connection
//! that it opened. A connection on which nothing happens is closed.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::{body::Body, transport::server::Connected};

use super::{
    pem::{self, Facts},
    reload::Live,
    seat::Seat,
    sending::Answers,
    tls::Distrust,
};

/// How long a connection without calls is kept.
pub const IDLE_MAX: Duration = Duration::from_secs(300);

/// How long a connection is kept on which no call was admitted yet.
pub const UNPROVEN_MAX: Duration = Duration::from_secs(30);

/// How often a connection is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub enum Peer {
    /// It showed a certificate that verified and names a member.
    Certificate(Arc<Shown>),
    /// It showed a certificate that verified and names no member.
    NoMember,
    /// It showed no certificate.
    NoCertificate,
}

impl Peer {
    /// Finds out who showed certificates, the own one first, that verified under what was in force as `generation`.
    pub(super) fn of(chain: Option<&[CertificateDer<'_>]>, tls: &Live, generation: u64) -> Self {
        let Some((own, between)) = chain.and_then(<[_]>::split_first) else { return Self::NoCertificate };
        let Ok(mut facts) = pem::facts(own) else { return Self::NoMember };
        for issuer in between {
            facts.not_after = facts.not_after.min(pem::ends(issuer).unwrap_or(Timestamp::MIN));
        }
        let chain = [own].into_iter().chain(between).map(|der| der.clone().into_owned()).collect();
        Self::Certificate(Arc::new(Shown { facts, chain, tls: tls.clone(), generation: generation.into() }))
    }
}

/// Certificates that a client showed, and that verified at the handshake.
pub struct Shown {
    /// What the client's own says; it ends with the first of them.
    pub facts: Facts,
    chain: Vec<CertificateDer<'static>>,
    tls: Live,
    /// What was in force when they last verified.
    generation: AtomicU64,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { fingerprint, member_id, not_after } = &self.facts;
        write!(f, "{member_id}, SHA-256 {}, until {not_after}", hex::encode(fingerprint))
    }
}

impl Shown {
    /// Judges them again, by the authorities and the lists of revoked certificates that are in force now.
    pub fn holds(&self, now: Timestamp) -> Result<(), Distrust> {
        if self.facts.not_after <= now {
            return Err(Distrust::Expired);
        }
        let current = self.tls.current();
        if current.credentials.stale_from.as_ref().is_some_and(|(from, _)| *from <= now) {
            return Err(Distrust::RevocationUnknown);
        }
        if self.generation.load(Ordering::Relaxed) != current.generation {
            current.credentials.verify(&self.chain, now)?;
            self.generation.store(current.generation, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What happens on a connection.
#[derive(Debug)]
pub struct Activity {
    opened: Instant,
    seat: Option<Seat>,
    answers: Answers,
    calls: AtomicUsize,
    admitted: AtomicBool,
    ending: AtomicBool,
    /// When the last call ended, milliseconds since the connection was opened.
    last_ms: AtomicU64,
}

impl Activity {
    /// Begins with a connection.
    pub fn begin() -> Arc<Self> {
        Self::at(None)
    }

    fn at(seat: Option<Seat>) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            seat,
            answers: Answers::default(),
            calls: AtomicUsize::new(0),
            admitted: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            last_ms: AtomicU64::new(0),
        })
    }

    /// Counts a call until the guard is dropped.
    pub fn call(self: &Arc<Self>) -> Call {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Call(self.clone())
    }

    /// Notes that a call was admitted.
    pub fn admitted(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }

    /// Sends an answer, and keeps something as long as it is being sent.
    pub(super) fn answer<T: Send + 'static>(&self, body: Body, kept: T) -> Body {
        self.answers.send(body, kept)
    }

    /// Counts the connection among those of its member; false when that has as many as it may have.
    pub(super) fn prove(&self) -> bool {
        self.seat.as_ref().is_none_or(Seat::prove)
    }

    /// Counts the connection no longer among those of the member that its certificate names.
    pub(super) fn disprove(&self) {
        if !self.seat.as_ref().is_none_or(Seat::disprove) {
            self.end();
        }
    }

    /// Has the connection closed once no call is under way: its certificate will not be admitted again.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// True when the connection is to be closed.
    fn is_over(&self) -> bool {
        if self.calls.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let since = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        let idle = self.opened.elapsed().saturating_sub(since);
        let kept = match (self.ending.load(Ordering::Relaxed), self.admitted.load(Ordering::Relaxed)) {
            (true, _) => LOOK_EVERY,
            (false, true) => IDLE_MAX,
            (false, false) => UNPROVEN_MAX,
        };
        idle >= kept
    }
}

/// A call that is under way.
#[derive(Debug)]
pub struct Call(Arc<Activity>);

impl Drop for Call {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(now, Ordering::Relaxed);
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts by key, each up to a bound.
#[derive(Debug)]
pub(super) struct Counts<K: Eq + Hash> {
    most: usize,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

/// One that is counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted<K: Eq + Hash> {
    key: K,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Counts<K> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// Counts one more; `None` when there are as many as there may be.
    pub(super) fn take(&self, key: K) -> Option<Counted<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Counted { key, counts: self.counts.clone() })
    }
}

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// A connection after its handshake.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    info: Info,
    look: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

/// What every call knows of its connection.
#[derive(Debug, Clone)]
pub struct Info {
    /// Who is at the other end.
    pub peer: Peer,
    /// What happens on it.
    pub activity: Arc<Activity>,
}

impl Connection {
    /// Serves a stream, and keeps its places until it ends.
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        peer: Peer,
        seat: Seat,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let info = Info { peer, activity: Activity::at(Some(seat)) };
        let look = Box::pin(tokio::time::sleep(LOOK_EVERY));
        Self { stream, info, look, _place: place }
    }

    /// Completes when nothing has happened for too long.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            self.info.activity.answers.end_unread(Instant::now());
            if self.info.activity.is_over() {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(Instant::now() + LOOK_EVERY);
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Info;

    fn connect_info(&self) -> Info {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            // What reads as the end of the stream has the server close it.
            Poll::Pending => self.poll_over(cx).map(Ok),
            ready => ready,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_places_of_its_own() {
        let counts = Counts::new(2);
        let (one, two) = (counts.take("a").unwrap(), counts.take("a").unwrap());
        assert!(counts.take("a").is_none());
        assert!(counts.take("b").is_some());
        drop(one);
        assert!(counts.take("a").is_some());
        drop(two);
        assert!(counts.counts.lock().unwrap().is_empty(), "who has none is forgotten");
    }

    #[test]
    fn a_connection_with_a_call_under_way_stays() {
        let activity = Activity::begin();
        activity.end();
        let call = activity.call();
        assert!(!activity.is_over());
        drop(call);
        assert!(!activity.is_over(), "what was answered is still being sent");
    }
}
