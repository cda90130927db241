//! The load: feeds, matches and registrations, and how long each call took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use futures_util::{future::try_join_all, stream};
use hdrhistogram::Histogram;
use signpost_common::rpc::{Context, Transport, client as channel, status, tls, token::User};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    mpi::v1::{
        FeedPatientsRequest, LinkOutcome, MatchOutcome, MatchPatientRequest, MatchPatientResponse,
        RegisterPatientRequest, feed_patients_response::Result as ItemResult,
        master_patient_index_service_client::MasterPatientIndexServiceClient,
    },
};
use tonic::{Request, Status};

use super::{
    sample::{About, ByMember, Sample},
    server::Server,
};
use crate::{
    cli::{Bars, request_id},
    client::{self, Client, Party},
    pki,
};

/// Longest call that a histogram can hold, in microseconds.
const LATENCY_MAX_US: u64 = 600_000_000;

/// Digits that a histogram keeps of a latency.
const DIGITS: u8 = 3;

/// Connections that calls at once share.
const CHANNELS: usize = 4;

type Index = MasterPatientIndexServiceClient<Transport>;

/// Everybody who calls.
pub(super) struct Parties {
    /// Connections of the exchange itself, as the locator has one.
    inside: Vec<Index>,
    members: BTreeMap<String, Client>,
}

impl Parties {
    /// Prepares the connections.
    pub(super) fn new(server: &Server, members: &[pki::NewMember]) -> anyhow::Result<Self> {
        let keys = server.pki();
        let tls = tls::client(&client::files(&keys, "exchange"))?;
        let connect = |_| Ok(Index::new(channel::remote(&server.endpoint, "exchange", tls.clone())?));
        let member = |id: &str| {
            let (endpoint, member_id) = (server.endpoint.clone(), id.parse()?);
            let party = Party { endpoint, server_name: "exchange".into(), pki: keys.clone(), member_id };
            anyhow::Ok((id.to_owned(), Client::new(&party)?))
        };
        Ok(Self {
            inside: (0..CHANNELS).map(connect).collect::<anyhow::Result<_>>()?,
            members: members.iter().map(|new| member(&new.id)).collect::<anyhow::Result<_>>()?,
        })
    }

    /// Returns how many members there are.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    fn member(&self, id: &str) -> anyhow::Result<&Client> {
        self.members.get(id).with_context(|| format!("{id} is no member"))
    }
}

pub(super) fn user(name: &str, role: Role, purpose: PurposeOfUse) -> User {
    User { name: name.into(), role, purpose, encounter: String::new() }
}

/// A member's unattended feed.
fn system() -> User {
    user("ehr-feed", Role::System, PurposeOfUse::Hoperat)
}

/// Makes an empty histogram of latencies in microseconds.
pub(super) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS)?)
}

/// Says which refusal ended the bench: none is expected of a server that was started for it.
pub(super) fn failed(error: Status) -> anyhow::Error {
    anyhow!("the server answered {:?} {}: {}", error.code(), status::reason(&error), error.message())
}

/// What came of a feed.
#[derive(Default)]
pub(super) struct Fed {
    pub(super) attached: u64,
    pub(super) new_person: u64,
    pub(super) review: u64,
    /// From the first record to the last answer.
    pub(super) took: Duration,
}

impl Fed {
    /// Returns how many records are stored.
    pub(super) fn records(&self) -> u64 {
        self.attached + self.new_person + self.review
    }
}

/// Feeds every member's records, all members at once.
pub(super) async fn feed(parties: &Parties, records: ByMember, bars: &Bars) -> anyhow::Result<Fed> {
    let total = records.values().map(Vec::len).sum::<usize>() as u64;
    let done = std::cell::Cell::new(0);
    let progress = || {
        done.set(done.get() + 1);
        bars.show("feeding records", done.get(), total);
    };
    let began = Instant::now();
    let feeds = records.into_iter().map(|(id, records)| feed_of(parties, id, records, &progress));
    let fed = try_join_all(feeds).await?;
    let took = began.elapsed();
    let sum = |pick: fn(&Fed) -> u64| fed.iter().map(pick).sum();
    Ok(Fed {
        attached: sum(|fed| fed.attached),
        new_person: sum(|fed| fed.new_person),
        review: sum(|fed| fed.review),
        took,
    })
}

async fn feed_of(
    parties: &Parties,
    id: &str,
    records: Vec<RegisterPatientRequest>,
    progress: &impl Fn(),
) -> anyhow::Result<Fed> {
    let client = parties.member(id)?;
    let items =
        records.into_iter().zip(1..).map(|(record, item)| FeedPatientsRequest { item, record: Some(record) });
    let request = client.request(&system(), stream::iter(items))?;
    let mut answers = client.mpi().feed_patients(request).await.map_err(failed)?.into_inner();
    let mut fed = Fed::default();
    while let Some(answer) = answers.message().await.map_err(failed)? {
        match answer.result {
            Some(ItemResult::Registered(done)) => match done.outcome() {
                LinkOutcome::Attached => fed.attached += 1,
                LinkOutcome::NewPerson => fed.new_person += 1,
                LinkOutcome::Review => fed.review += 1,
                outcome => bail!("a new record came to {}", outcome.as_str_name()),
            },
            Some(ItemResult::Error(error)) => {
                bail!(
                    "a record of the sample was refused ({}): {} {}",
                    error.reason,
                    error.field,
                    error.message
                )
            }
            None => bail!("an answer of the feed is empty"),
        }
        progress();
    }
    Ok(fed)
}

/// How often each answer was given to one kind of question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) certain: u64,
    pub(super) more_needed: u64,
    pub(super) not_found: u64,
}

impl Answers {
    fn add(&mut self, outcome: MatchOutcome) {
        match outcome {
            MatchOutcome::Certain => self.certain += 1,
            MatchOutcome::MoreAttributesNeeded | MatchOutcome::TooManyMatches => self.more_needed += 1,
            MatchOutcome::NotFound | MatchOutcome::Unspecified => self.not_found += 1,
        }
    }
}

/// Calls that were answered: how long each took, and what matching said.
pub(super) struct Calls {
    pub(super) latencies_us: Histogram<u64>,
    pub(super) known: Answers,
    pub(super) strangers: Answers,
    /// From the first call to the last answer.
    pub(super) took: Duration,
}

impl Calls {
    pub(super) fn new() -> anyhow::Result<Self> {
        let latencies_us = histogram()?;
        Ok(Self {
            latencies_us,
            known: Answers::default(),
            strangers: Answers::default(),
            took: Duration::ZERO,
        })
    }

    /// Returns how many there were.
    pub(super) fn count(&self) -> u64 {
        self.latencies_us.len()
    }

    pub(super) fn add(&mut self, took: Duration) {
        self.latencies_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn add_match(&mut self, took: Duration, about: About, answer: &MatchPatientResponse) {
        self.add(took);
        match about {
            About::Known => self.known.add(answer.outcome()),
            About::Stranger => self.strangers.add(answer.outcome()),
        }
    }
}

/// A stretch of time with a bar that shows how much of it is over.
pub(super) struct Stretch<'a> {
    name: &'static str,
    began: Instant,
    time: Duration,
    bars: &'a Bars,
}

impl<'a> Stretch<'a> {
    pub(super) fn begin(name: &'static str, time: Duration, bars: &'a Bars) -> Self {
        Self { name, began: Instant::now(), time, bars }
    }

    /// True as long as there is time for another call.
    pub(super) fn goes_on(&self) -> bool {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.bars.show(self.name, ms(self.began.elapsed().min(self.time)), ms(self.time));
        self.began.elapsed() < self.time
    }

    /// Returns how long it has lasted.
    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Asks who somebody is, as the locator does, one question after another.
pub(super) async fn matches(
    parties: &Parties,
    sample: &Sample,
    name: &'static str,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin(name, time, bars);
    let mut calls = Calls::new()?;
    let mut index = parties.inside.first().context("no connection")?.clone();
    for at in 0.. {
        if !stretch.goes_on() {
            break;
        }
        ask_inside(&mut index, sample, at, &mut calls).await?;
    }
    calls.took = stretch.began.elapsed();
    Ok(calls)
}

/// Asks as the locator does, with so many questions under way at any time.
pub(super) async fn matches_at_once(
    parties: &Parties,
    sample: &Sample,
    in_flight: usize,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin("matching, many at once", time, bars);
    let next = std::cell::Cell::new(0);
    let workers = parties.inside.iter().cycle().take(in_flight).map(async |index| {
        let (mut index, mut calls) = (index.clone(), Calls::new()?);
        while stretch.goes_on() {
            let at = next.replace(next.get() + 1);
            ask_inside(&mut index, sample, at, &mut calls).await?;
        }
        anyhow::Ok(calls)
    });
    let done = try_join_all(workers).await?;
    let mut all = Calls::new()?;
    for calls in done {
        all.latencies_us.add(&calls.latencies_us)?;
    }
    all.took = stretch.began.elapsed();
    Ok(all)
}

async fn ask_inside(index: &mut Index, sample: &Sample, at: usize, calls: &mut Calls) -> anyhow::Result<()> {
    let (about, question) = sample.question(at);
    let message = MatchPatientRequest { demographics: Some(question.clone()) };
    let request = Context::exchange("bench").request(message);
    ask(index, request, about, calls).await
}

async fn ask(
    index: &mut Index,
    request: Request<MatchPatientRequest>,
    about: About,
    calls: &mut Calls,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let answer = index.match_patient(request).await.map_err(failed)?;
    calls.add_match(began.elapsed(), about, answer.get_ref());
    Ok(())
}

/// Asks as a member's physician does, one question after another: each is in the audit log before it is answered.
pub(super) async fn matches_of_a_member(
    parties: &Parties,
    sample: &Sample,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin("matching, audited", time, bars);
    let mut calls = Calls::new()?;
    let client = parties.members.values().next().context("no member")?;
    let (mut index, physician) = (client.mpi(), user("dr.lee", Role::Physician, PurposeOfUse::Treat));
    for at in 0.. {
        if !stretch.goes_on() {
            break;
        }
        let (about, question) = sample.question(at);
        let message = MatchPatientRequest { demographics: Some(question.clone()) };
        ask(&mut index, client.request(&physician, message)?, about, &mut calls).await?;
    }
    calls.took = stretch.began.elapsed();
    Ok(calls)
}

/// Registers new records one after another, until the time is over or there are no more.
pub(super) async fn registrations(
    parties: &Parties,
    later: Vec<(&'static str, RegisterPatientRequest)>,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Calls> {
    let stretch = Stretch::begin("registering, one at a time", time, bars);
    let mut calls = Calls::new()?;
    for (id, record) in later {
        if !stretch.goes_on() {
            break;
        }
        let client = parties.member(id)?;
        let message = RegisterPatientRequest { request_id: request_id(), ..record };
        let (mut index, request) = (client.mpi(), client.request(&system(), message)?);
        let began = Instant::now();
        index.register_patient(request).await.map_err(failed)?;
        calls.add(began.elapsed());
    }
    calls.took = stretch.began.elapsed();
    Ok(calls)
}
