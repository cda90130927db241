//! Certificates that are read again when their files change, without a restart and without a failed call.
//!
//! What the files say is replaced as a whole or not at all: files that do not fit each other leave in force what was, and raise
//! an alarm. A server takes what is in force for each new connection and verifies the open ones against it again; a client
//! connects anew.

use std::{
    fmt,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use opentelemetry::{KeyValue, global};
use rustls::ClientConfig;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior},
};

use super::tls::{Credentials, Error, Files};
use crate::clock::SharedClock;

/// How often files are looked at. They are read when they have been the same twice: whoever writes them may not be done.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often an alarm that goes on is logged again.
const REPEAT_EVERY: Duration = Duration::from_secs(600);

/// The certificates in force, shared by all who use them.
#[derive(Clone)]
pub struct Live(Arc<Shared>);

struct Shared {
    files: Files,
    /// What the files looked like before they were first read.
    stamp: Vec<Stamp>,
    current: ArcSwap<Numbered>,
    next: AtomicU64,
    now: Notify,
    alarm: watch::Sender<Option<String>>,
}

/// Credentials, and how many were before.
#[derive(Debug)]
pub struct Numbered {
    /// Differs from that of all others in this process.
    pub generation: u64,
    /// The credentials.
    pub credentials: Credentials,
}

/// What tells that a file is another one; `None` when it is not there.
type Stamp = Option<(u64, u64, i64, i64)>;

fn stamp(path: &PathBuf) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

fn stamps(files: &Files) -> Vec<Stamp> {
    files.paths().map(stamp).collect()
}

/// Returns an error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({})", self.generation())
    }
}

impl Live {
    /// Reads the files of a party for the first time. They stay as they are until [`Live::follow`] runs.
    pub fn read(files: &Files) -> Result<Self, Error> {
        let stamp = stamps(files);
        let current = Numbered { generation: 0, credentials: Credentials::read(files)? };
        Ok(Self(Arc::new(Shared {
            files: files.clone(),
            stamp,
            current: ArcSwap::from_pointee(current),
            next: AtomicU64::new(1),
            now: Notify::new(),
            alarm: watch::Sender::new(None),
        })))
    }

    /// Returns what is in force.
    pub fn current(&self) -> Arc<Numbered> {
        self.0.current.load_full()
    }

    /// Returns the number of what is in force.
    pub fn generation(&self) -> u64 {
        self.0.current.load().generation
    }

    /// Tells what is wrong with the certificates; `None` when nothing is.
    pub fn alarm(&self) -> watch::Receiver<Option<String>> {
        self.0.alarm.subscribe()
    }

    /// Has the files read now, whether or not they look changed.
    pub fn look_now(&self) {
        self.0.now.notify_one();
    }

    /// Looks after the files until `stopping` completes.
    pub async fn follow(self, clock: SharedClock, stopping: impl Future<Output = ()> + Send) {
        tokio::pin!(stopping);
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut tried, mut before) = (self.0.stamp.clone(), self.0.stamp.clone());
        let mut refused = None;
        let mut alarm = Alarm::new(&self.0.alarm);
        loop {
            let at_once = tokio::select! {
                () = &mut stopping => return,
                () = self.0.now.notified() => true,
                _ = tick.tick() => false,
            };
            let (this, now) = (self.clone(), clock.now());
            let looked = (tried.clone(), before.clone());
            let look = move || {
                let (tried, before) = looked;
                let seen = stamps(&this.0.files);
                let due = at_once || (seen != tried && seen == before);
                (due.then(|| this.replace(now)), seen)
            };
            let Ok((replaced, seen)) = tokio::task::spawn_blocking(look).await else { continue };
            if let Some(replaced) = replaced {
                refused = replaced.err().map(|error| chain(&error));
                tried.clone_from(&seen);
            }
            before = seen;
            let outdated = || self.current().credentials.outdated(&self.0.files, now).err();
            alarm.set(refused.clone().or_else(|| outdated().map(|error| chain(&error))));
        }
    }

    /// Reads the files, and puts in force what they say when all of it is good.
    fn replace(&self, now: jiff::Timestamp) -> Result<(), Error> {
        let credentials = Credentials::read(&self.0.files)?;
        credentials.replaces(&self.current().credentials, &self.0.files, now)?;
        let generation = self.0.next.fetch_add(1, Ordering::Relaxed);
        tracing::info!(generation, until = %credentials.ends, "certificates were read again");
        self.0.current.store(Arc::new(Numbered { generation, credentials }));
        Ok(())
    }
}

/// What is wrong, told by log, metric and whoever watches.
struct Alarm<'a> {
    sender: &'a watch::Sender<Option<String>>,
    gauge: opentelemetry::metrics::Gauge<u64>,
    logged: Instant,
}

impl<'a> Alarm<'a> {
    fn new(sender: &'a watch::Sender<Option<String>>) -> Self {
        let gauge = global::meter("signpost")
            .u64_gauge("tls.alarm")
            .with_description("1 while certificates are out of date, or new ones could not be put in force")
            .build();
        Self { sender, gauge, logged: Instant::now() }
    }

    fn set(&mut self, wrong: Option<String>) {
        self.gauge.record(u64::from(wrong.is_some()), &[] as &[KeyValue]);
        let changed = self.sender.send_if_modified(|was| {
            let changed = *was != wrong;
            was.clone_from(&wrong);
            changed
        });
        match wrong {
            Some(wrong) if changed || self.logged.elapsed() >= REPEAT_EVERY => {
                tracing::error!(
                    wrong,
                    "certificates need attention: those that were read before stay in force"
                );
                self.logged = Instant::now();
            }
            None if changed => tracing::info!("certificates are in order again"),
            _ => {}
        }
    }
}

/// How a client proves who it is: for good, or by what is in force when it connects.
#[derive(Debug, Clone)]
pub enum ClientTls {
    /// Always the same.
    Fixed(Arc<ClientConfig>),
    /// What is in force.
    Live(Live),
}

impl ClientTls {
    /// Returns what to connect with now.
    pub fn config(&self) -> Arc<ClientConfig> {
        match self {
            Self::Fixed(config) => config.clone(),
            Self::Live(live) => live.current().credentials.client.clone(),
        }
    }

    /// Returns a number that changes with what to connect with.
    pub fn generation(&self) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Live(live) => live.generation(),
        }
    }
}

impl From<Arc<ClientConfig>> for ClientTls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self::Fixed(config)
    }
}

impl From<&Live> for ClientTls {
    fn from(live: &Live) -> Self {
        Self::Live(live.clone())
    }
}
