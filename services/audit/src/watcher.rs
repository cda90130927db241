//! The watcher: reads the log as it grows and keeps what it raises.
//!
//! It looks four times a second. What counts are made of is in memory: a process that starts reads the end of the log again, and
//! keeps no sign of what was watched before. Several processes may watch; of two that raise the same sign one is kept.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use signpost_common::{
    lifecycle::Lifecycle,
    rpc::{Context, Transport},
};
use signpost_proto::directory::v1::{
    GetMemberRequest, MemberKind, directory_service_client::DirectoryServiceClient,
};
use tokio::{sync::Notify, time::Instant};
use tonic::{Code, Status};

use crate::{
    convert,
    domain::misuse::{Policy, Watch},
    error::Error,
    store::Flags,
};

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// Most events that are read at once.
pub(crate) const READ_MAX: i64 = 1_000;

/// Most events before those to watch that are read again at the start, for what counts are made of.
const REMEMBER_MAX: u64 = 200_000;

/// How often it is kept how far the log was watched, when nothing was raised.
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// How long it is remembered what a member is.
const KIND_FOR: Duration = Duration::from_secs(60);

/// How long the directory may take to answer.
const ASK_FOR: Duration = Duration::from_secs(1);

/// How often the directory is asked while it does not answer.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long events wait for a directory that does not answer. Then they are looked at without what members are.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// How often the same failure is logged, in rounds.
const TELL_EVERY: u32 = 240;

/// What members are, as the directory says, once it can be reached.
pub(crate) struct Kinds {
    directory: Arc<OnceLock<Transport>>,
    known: HashMap<String, (MemberKind, Instant)>,
    silence: Option<Silence>,
}

/// The directory does not answer.
#[derive(Clone, Copy)]
struct Silence {
    since: Instant,
    asked: Instant,
}

impl Kinds {
    pub(crate) fn new(directory: Arc<OnceLock<Transport>>) -> Self {
        Self { directory, known: HashMap::new(), silence: None }
    }

    /// Returns what a member is: not stated when the directory does not know it or has been silent for long; `None` when it is
    /// to be asked again in a moment.
    pub(crate) async fn of(&mut self, member_id: &str) -> Option<MemberKind> {
        if let Some((kind, until)) = self.known.get(member_id)
            && *until > Instant::now()
        {
            return Some(*kind);
        }
        let Some(directory) = self.directory.get() else { return Some(MemberKind::Unspecified) };
        if self.silence.is_none_or(|silence| silence.asked.elapsed() >= ASK_EVERY) {
            match ask(directory, member_id).await {
                Some(kind) => {
                    self.silence = None;
                    self.known.insert(member_id.to_owned(), (kind, Instant::now() + KIND_FOR));
                    return Some(kind);
                }
                None => {
                    let asked = Instant::now();
                    let since = self.silence.map_or(asked, |silence| silence.since);
                    self.silence = Some(Silence { since, asked });
                }
            }
        }
        let silent_for = self.silence.map(|silence| silence.since.elapsed());
        silent_for.is_some_and(|time| time >= SILENT_MAX).then_some(MemberKind::Unspecified)
    }

    /// Returns what a member is, as soon as the directory answers or has been silent for long.
    pub(crate) async fn of_at_last(&mut self, member_id: &str) -> MemberKind {
        loop {
            match self.of(member_id).await {
                Some(kind) => return kind,
                None => tokio::time::sleep(EVERY).await,
            }
        }
    }
}

/// Asks the directory what a member is; `None` when it does not answer.
async fn ask(directory: &Transport, member_id: &str) -> Option<MemberKind> {
    let context = Context::exchange("audit").within(ASK_FOR);
    let request = context.request(GetMemberRequest { member_id: member_id.to_owned() });
    let mut directory = DirectoryServiceClient::new(directory.clone());
    let status = match tokio::time::timeout(ASK_FOR, directory.get_member(request)).await {
        Ok(Ok(answer)) => {
            return Some(answer.into_inner().member.map_or(MemberKind::Unspecified, |member| member.kind()));
        }
        Ok(Err(status)) => status,
        Err(_) => Status::deadline_exceeded("it took too long"),
    };
    if status.code() == Code::NotFound {
        return Some(MemberKind::Unspecified);
    }
    tracing::warn!(code = ?status.code(), "the directory did not say what a member is");
    None
}

pub(crate) struct Watcher {
    pub(crate) store: Arc<dyn Flags>,
    pub(crate) policy: Policy,
    pub(crate) kinds: Kinds,
    /// Wakes who watches signs.
    pub(crate) raised: Arc<Notify>,
}

/// How far the log was watched.
struct Reached {
    watch: Watch,
    /// Events that were looked at.
    seen: u64,
    /// Events of which signs are kept already.
    kept: u64,
    kept_at: Instant,
}

impl Watcher {
    /// Starts to watch. It ends at the soft stop.
    pub(crate) fn start(mut self, lifecycle: &Lifecycle) {
        let stopping = lifecycle.stopping();
        lifecycle.spawn(async move {
            tokio::pin!(stopping);
            let (mut reached, mut failed) = (None, 0_u32);
            loop {
                let seen_all = match self.look(&mut reached).await {
                    Ok(seen_all) => {
                        failed = 0;
                        seen_all
                    }
                    Err(error) => {
                        if failed.is_multiple_of(TELL_EVERY) {
                            tracing::error!(%error, "the log is not watched for misuse");
                        }
                        failed = failed.saturating_add(1);
                        true
                    }
                };
                let wait = if seen_all { EVERY } else { Duration::ZERO };
                tokio::select! {
                    () = &mut stopping => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        });
    }

    /// Looks at the next events; true when there are no more for now.
    async fn look(&mut self, reached: &mut Option<Reached>) -> Result<bool, Error> {
        let state = match reached {
            Some(state) => state,
            None => {
                let kept = self.store.flag_head().await?.watched;
                let seen = kept.saturating_sub(REMEMBER_MAX);
                let watch = Watch::new(self.policy.clone());
                reached.insert(Reached { watch, seen, kept, kept_at: Instant::now() })
            }
        };
        let events = self.store.events_from(state.seen, READ_MAX).await?;
        let mut seen_all = (events.len() as i64) < READ_MAX;
        let (mut flags, mut seen) = (vec![], state.seen);
        for event in &events {
            // An event that cannot be read is the matter of who verifies the log.
            if let Ok(mut event) = convert::seen(event) {
                let member = event.event.caller.as_ref().map(|caller| caller.member_id.as_str());
                let kind = match member {
                    None | Some("") => Some(MemberKind::Unspecified),
                    Some(member) => self.kinds.of(member).await,
                };
                let Some(kind) = kind else {
                    seen_all = true;
                    break;
                };
                event.kind = kind;
                flags.extend(state.watch.see(&event));
            }
            seen = event.sequence + 1;
        }
        // They were raised before this process started.
        flags.retain(|flag| flag.sequence >= state.kept);
        let due = seen > state.kept && state.kept_at.elapsed() >= KEEP_EVERY;
        if !flags.is_empty() || due {
            for flag in &flags {
                tracing::warn!(
                    reason = flag.reason.name(),
                    member = flag.member_id,
                    sequence = flag.sequence,
                    "sign of misuse"
                );
            }
            let kept = self.store.raise(seen, &flags).await;
            if let Err(error) = kept {
                // What was counted has been forgotten: begin again where the signs were kept.
                *reached = None;
                return Err(error);
            }
            (state.kept, state.kept_at) = (seen.max(state.kept), Instant::now());
            self.raised.notify_waiters();
        }
        state.seen = seen;
        Ok(seen_all)
    }
}

#[cfg(test)]
mod tests;
