//! Signs of misuse, as callers see them: watched, listed, acknowledged, and raised again from the past.

use std::sync::{Arc, OnceLock};

use prost::Message;
use signpost_common::{
    clock::{self, SharedClock},
    hash::Blinder,
    id::MemberId,
    lifecycle::Lifecycle,
    rpc::{
        Context, Transport, micros, page,
        status::{self, invalid},
        watch::{self, Log, Position, Watch, Watchers},
    },
    text::is_unfit,
};
use signpost_proto::{audit::v1 as proto, directory::v1::MemberKind};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    convert,
    domain::misuse::{self, Policy},
    misuse_policy,
    store::{FlagQuery, Flags, Look, Raised},
    watcher::{Kinds, READ_MAX},
};

/// Longest note, in characters.
const NOTE_CHARS_MAX: usize = 2_000;

/// Messages of a replay that may wait for a slow reader.
const AHEAD_MAX: usize = 64;

/// Whoever sees the signs of everybody watches under this name: no member's id has a star.
const EVERYBODY: &str = "*";

pub(crate) struct Misuse {
    pub(crate) store: Arc<dyn Flags>,
    pub(crate) policy: Policy,
    pub(crate) directory: Arc<OnceLock<Transport>>,
    pub(crate) blinder: Blinder,
    pub(crate) clock: SharedClock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) raised: Arc<Notify>,
    /// Their own: who watches checkpoints does not take the places of privacy officers.
    pub(crate) watchers: Watchers,
}

/// Returns whose signs the caller sees: all (`None`) for the operator's staff, those on its own users for a member.
fn sees(context: &Context) -> Result<Option<MemberId>, Status> {
    if context.operator { Ok(None) } else { convert::member(context).map(Some) }
}

impl Misuse {
    pub(crate) async fn watch(
        &self,
        context: &Context,
        request: proto::WatchFlagsRequest,
    ) -> Result<ReceiverStream<Result<proto::WatchFlagsResponse, Status>>, Status> {
        let own = sees(context)?;
        let query = format!("flags of {}", own.as_ref().map_or(EVERYBODY, MemberId::as_str));
        let last = convert::number(self.store.flag_head().await?.number);
        let after = match request.resume_token.as_str() {
            "" => Position { transaction: 0, sequence: last },
            token => watch::position(&query, token, last)?,
        };
        let place = self.watchers.place_of(&context.caller.member_id)?;
        let log = Signs { store: self.store.clone(), own };
        let watch = Watch { log, query, after, changed: self.raised.clone(), place };
        Ok(watch.run(&self.lifecycle))
    }

    pub(crate) async fn list(
        &self,
        context: &Context,
        mut request: proto::ListFlagsRequest,
    ) -> Result<proto::ListFlagsResponse, Status> {
        let limit = page::size(std::mem::take(&mut request.page_size))?;
        let page_token = std::mem::take(&mut request.page_token);
        let own = sees(context)?;
        let bound =
            [request.encode_to_vec(), own.iter().flat_map(|own| own.as_str().bytes()).collect()].concat();
        let before = page::number(&bound, &page_token)?;
        let query = FlagQuery {
            member_id: convert::own_or_asked(own, &request.member_id)?,
            open_only: request.open_only,
        };
        let mut flags = self.store.flags(&query, before, limit + 1).await?;
        let next_page_token = page::cut(&bound, &mut flags, limit, |raised| raised.number.to_string());
        Ok(proto::ListFlagsResponse { flags: flags.into_iter().map(Into::into).collect(), next_page_token })
    }

    /// Returns a sign that the caller may acknowledge, and what is noted of it. One that the caller does not see does not exist.
    pub(crate) async fn looked_at(
        &self,
        context: &Context,
        request: &proto::AcknowledgeFlagRequest,
    ) -> Result<Raised, Status> {
        signpost_common::rpc::request_id(&request.request_id)?;
        let chars = request.note.trim().chars().count();
        if chars == 0 || chars > NOTE_CHARS_MAX {
            return Err(invalid("note", format!("must be 1 to {NOTE_CHARS_MAX} characters")));
        }
        if request.note.chars().any(|char| is_unfit(char) && char != '\n') {
            return Err(invalid(
                "note",
                "must have no control or invisible characters but the end of a line",
            ));
        }
        let own = sees(context)?;
        let raised = self.store.flag(request.number).await?;
        let raised = raised.filter(|raised| own.is_none_or(|own| own.as_str() == raised.flag.member_id));
        let unknown = || status::not_found("FLAG_UNKNOWN", "there is no sign with this number");
        let mut raised = raised.ok_or_else(unknown)?;
        let (member_id, user) = (context.caller.member_id.clone(), context.caller.user.clone());
        let note = request.note.trim().to_owned();
        raised.look = Some(Look { member_id, user, note, at_us: micros(self.clock.now()) });
        Ok(raised)
    }

    pub(crate) async fn acknowledge(&self, raised: Raised) -> Result<proto::Flag, Status> {
        if let Some(look) = &raised.look {
            self.store.acknowledge(raised.number, look).await?;
        }
        Ok(raised.into())
    }

    /// Watches a period again.
    pub(crate) async fn replay(
        &self,
        context: &Context,
        request: proto::ReplayFlagsRequest,
        size: u64,
    ) -> Result<ReceiverStream<Result<proto::ReplayFlagsResponse, Status>>, Status> {
        let from = request.from.as_ref().ok_or_else(|| invalid("from", "must be set"))?;
        let from_us = micros(convert::time("from", from)?);
        let to_us = request.to.as_ref().map(|to| convert::time("to", to)).transpose()?;
        let to_us = to_us.map_or(i64::MAX, micros);
        if to_us <= from_us {
            return Err(invalid("to", "must be later than `from`"));
        }
        let policy = match request.policy.as_str() {
            "" => self.policy.clone(),
            text => misuse_policy::read(text, &self.blinder).map_err(|problem| invalid("policy", problem))?,
        };
        let place = self.watchers.place_of(&context.caller.member_id)?;
        let first = self.store.first_since(from_us).await?.unwrap_or(size);
        let replay = Replay {
            store: self.store.clone(),
            kinds: Kinds::new(self.directory.clone()),
            watch: misuse::Watch::new(policy),
            period: from_us..to_us,
            next: first,
            events: 0,
            events_total: size.saturating_sub(first),
        };
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let stopping = self.lifecycle.stopping();
        self.lifecycle.spawn(async move {
            let _place = place;
            tokio::select! {
                () = replay.run(&sender) => {}
                () = sender.closed() => {}
                () = stopping => {
                    let stopping = status::unavailable("STOPPING", "the service stops; ask again");
                    sender.try_send(Err(stopping)).ok();
                }
            }
        });
        Ok(ReceiverStream::new(receiver))
    }
}

/// The signs, as one caller sees them.
struct Signs {
    store: Arc<dyn Flags>,
    own: Option<MemberId>,
}

#[tonic::async_trait]
impl Log for Signs {
    type Response = proto::WatchFlagsResponse;

    // Signs are rare: most who watch are told none before the stream must be begun anew.
    const BEGINS_WITH_TOKEN: bool = true;

    async fn read(
        &self,
        after: Position,
        limit: i64,
    ) -> Result<Vec<(Position, Option<Self::Response>)>, Status> {
        let flags = self.store.flags_after(after.sequence, limit).await?;
        let seen = |raised: Raised| {
            let position = Position { transaction: 0, sequence: convert::number(raised.number) };
            let visible = self.own.as_ref().is_none_or(|own| own.as_str() == raised.flag.member_id);
            let response = || proto::WatchFlagsResponse {
                flag: Some(raised.into()),
                ..proto::WatchFlagsResponse::default()
            };
            (position, visible.then(response))
        };
        Ok(flags.into_iter().map(seen).collect())
    }

    fn mark(response: &mut Self::Response, resume_token: String) {
        response.resume_token = resume_token;
    }
}

/// A period that is watched again.
struct Replay {
    store: Arc<dyn Flags>,
    kinds: Kinds,
    watch: misuse::Watch,
    period: std::ops::Range<i64>,
    next: u64,
    events: u64,
    events_total: u64,
}

type Answer = Result<proto::ReplayFlagsResponse, Status>;

impl Replay {
    async fn run(mut self, sender: &mpsc::Sender<Answer>) {
        let end = self.next + self.events_total;
        while self.next < end {
            let answers = match self.read().await {
                Ok(answers) => answers,
                Err(error) => vec![Err(error)],
            };
            let failed = answers.iter().any(Result::is_err);
            for answer in answers {
                if sender.send(answer).await.is_err() {
                    return;
                }
            }
            if failed {
                return;
            }
        }
    }

    /// Looks at the next events and returns what they raise, and how far it is.
    async fn read(&mut self) -> Result<Vec<Answer>, Status> {
        let left = i64::try_from(self.events_total - self.events).unwrap_or(READ_MAX);
        let events = self.store.events_from(self.next, READ_MAX.min(left)).await?;
        let mut answers = vec![];
        for event in &events {
            self.events += 1;
            let Ok(mut event) = convert::seen(event) else { continue };
            if !self.period.contains(&event.at_us) {
                continue;
            }
            event.kind = match event.event.caller.as_ref().map(|caller| caller.member_id.as_str()) {
                None | Some("") => MemberKind::Unspecified,
                Some(member) => self.kinds.of_at_last(member).await,
            };
            answers.extend(self.watch.see(&event).into_iter().map(|flag| {
                let flag = Raised { number: 0, flag, look: None };
                Ok(self.told(Some(flag.into())))
            }));
        }
        match events.last() {
            Some(last) => self.next = last.sequence + 1,
            None => self.next += self.events_total - self.events,
        }
        answers.push(Ok(self.told(None)));
        Ok(answers)
    }

    fn told(&self, flag: Option<proto::Flag>) -> proto::ReplayFlagsResponse {
        proto::ReplayFlagsResponse { flag, events: self.events, events_total: self.events_total }
    }
}

impl From<Raised> for proto::Flag {
    fn from(raised: Raised) -> Self {
        let Raised { number, flag, look } = raised;
        let misuse::Flag { reason, sequence, at_us, evidence, member_id, user, sentence } = flag;
        let acknowledgement = look.map(|look| proto::FlagAcknowledgement {
            member_id: look.member_id,
            user: look.user,
            note: look.note,
            acknowledged_at: Some(clock::micros_to_proto(look.at_us)),
        });
        Self {
            number,
            reason: reason.name().to_owned(),
            sentence,
            sequence,
            evidence,
            member_id,
            user,
            occurred_at: Some(clock::micros_to_proto(at_us)),
            acknowledgement,
        }
    }
}
