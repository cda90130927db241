//! The load: locates one after another, at a steady rate, many at once; a member that hangs; a large document.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use rand::{Rng, SeedableRng, rngs::StdRng};
use signpost_proto::{
    common::v1::{Demographics, PurposeOfUse, Role},
    locator::v1::{
        FetchDocumentRequest, LocateRequest, PersonMatch, SourceState, fetch_document_response,
        locate_request::Subject, locate_response::Message,
    },
};
use tokio::task::JoinSet;

use super::super::{
    load::{Stretch, failed, histogram, user},
    sample::Sample,
};
use crate::{cli::Bars, client::Client};

/// How locates went.
pub(super) struct Located {
    /// From the call to the first pointer, where there was one.
    pub(super) first_us: Histogram<u64>,
    /// From the call to the statement of completeness.
    pub(super) complete_us: Histogram<u64>,
    /// Pointers that came.
    pub(super) pointers: u64,
    /// Locates of people who were not certain, or of whom nothing came.
    pub(super) empty: u64,
    /// From the first call to the last answer.
    pub(super) took: Duration,
}

impl Located {
    fn new() -> anyhow::Result<Self> {
        let (first_us, complete_us) = (histogram()?, histogram()?);
        Ok(Self { first_us, complete_us, pointers: 0, empty: 0, took: Duration::ZERO })
    }

    /// Returns how many there were.
    pub(super) fn count(&self) -> u64 {
        self.complete_us.len()
    }

    /// Counts a locate. One that shows nothing comes late on purpose and is counted apart.
    fn add(&mut self, one: &One) {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match one.first {
            Some(first) => {
                self.first_us.saturating_record(us(first));
                self.complete_us.saturating_record(us(one.complete));
            }
            None => self.empty += 1,
        }
        self.pointers += one.pointers;
    }
}

/// One locate.
struct One {
    first: Option<Duration>,
    complete: Duration,
    pointers: u64,
    /// A member that hangs is named.
    silent: bool,
}

/// Who locates, and whom.
pub(super) struct Asker<'a> {
    pub(super) client: Client,
    pub(super) sample: &'a Sample,
    /// How long members are waited for, in milliseconds; `None` asks the registry alone.
    pub(super) members_ms: Option<u32>,
}

impl Asker<'_> {
    async fn locate(&self, at: usize) -> anyhow::Result<One> {
        locate(&self.client, self.sample.known(at), self.members_ms, Instant::now()).await
    }
}

async fn locate(
    client: &Client,
    demographics: &Demographics,
    members_ms: Option<u32>,
    began: Instant,
) -> anyhow::Result<One> {
    let request = LocateRequest {
        subject: Some(Subject::Demographics(demographics.clone())),
        registry_only: members_ms.is_none(),
        source_timeout_ms: members_ms.unwrap_or_default(),
        ..LocateRequest::default()
    };
    let physician = user("dr.lee", Role::Physician, PurposeOfUse::Treat);
    let request = client.request(&physician, request)?;
    let mut answer = client.locator().locate(request).await.map_err(failed)?.into_inner();
    let (mut first, mut pointers, mut silent) = (None, 0, false);
    while let Some(message) = answer.message().await.map_err(failed)? {
        match message.message {
            Some(Message::Pointer(_)) => {
                first = first.or_else(|| Some(began.elapsed()));
                pointers += 1;
            }
            // One that did not answer the last times is left alone, and named as well.
            Some(Message::Source(source)) => {
                silent |= source.state() == SourceState::TimedOut || source.reason == "CIRCUIT_OPEN";
            }
            Some(Message::Completion(_)) => {
                return Ok(One { first, complete: began.elapsed(), pointers, silent });
            }
            Some(Message::Person(person)) if person.r#match() == PersonMatch::Unspecified => {
                bail!("the answer does not say who it is")
            }
            Some(Message::Person(_)) | None => {}
        }
    }
    bail!("a locate broke off")
}

/// Locates one person after another.
pub(super) async fn one_by_one(
    asker: &Asker<'_>,
    name: &'static str,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Located> {
    let stretch = Stretch::begin(name, time, bars);
    let mut located = Located::new()?;
    for at in 0.. {
        if !stretch.goes_on() {
            break;
        }
        located.add(&asker.locate(at).await?);
    }
    located.took = stretch.took();
    Ok(located)
}

/// Locates with so many locates under way at any time.
pub(super) async fn at_once(
    asker: &Asker<'_>,
    clients: &[Client],
    in_flight: usize,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Located> {
    let stretch = Stretch::begin("locating, many at once", time, bars);
    let (next, located) = (Cell::new(0), RefCell::new(Located::new()?));
    let workers = clients.iter().cycle().take(in_flight).map(async |client| {
        while stretch.goes_on() {
            let at = next.replace(next.get() + 1);
            let one = locate(client, asker.sample.known(at), asker.members_ms, Instant::now()).await?;
            located.borrow_mut().add(&one);
        }
        anyhow::Ok(())
    });
    try_join_all(workers).await?;
    let mut located = located.into_inner();
    located.took = stretch.took();
    Ok(located)
}

/// Locates at a steady rate, whether or not the answers keep up: each counts from when it was due, so that one that is slow
/// makes those behind it slow as well (no coordinated omission). Times between calls are those of a Poisson process.
pub(super) async fn at_rate(
    asker: &Asker<'_>,
    per_s: f64,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Located> {
    let stretch = Stretch::begin("locating at a steady rate", time, bars);
    let mut random = StdRng::seed_from_u64(1);
    let (mut located, mut under_way, mut due) = (Located::new()?, JoinSet::new(), Instant::now());
    for at in 0.. {
        if !stretch.goes_on() {
            break;
        }
        let drawn: f64 = random.random_range(f64::EPSILON..1.0);
        due += Duration::from_secs_f64(-drawn.ln() / per_s);
        tokio::time::sleep_until(due.into()).await;
        let (client, demographics) = (asker.client.clone(), asker.sample.known(at).clone());
        let members_ms = asker.members_ms;
        under_way.spawn(async move { locate(&client, &demographics, members_ms, due).await });
        while let Some(one) = under_way.try_join_next() {
            located.add(&one??);
        }
    }
    while let Some(one) = under_way.join_next().await {
        located.add(&one??);
    }
    located.took = stretch.took();
    Ok(located)
}

/// What came of locating while a member hangs.
pub(super) struct Hung {
    pub(super) located: Located,
    /// Longest time until an answer was complete that names the member, in milliseconds.
    pub(super) named_ms: u64,
    /// Answers that name it.
    pub(super) named: u64,
}

/// Locates, several at once, while a member hangs. Answers that wait for it end at the deadline, and others go on meanwhile.
pub(super) async fn with_one_hung(
    asker: &Asker<'_>,
    in_flight: usize,
    time: Duration,
    bars: &Bars,
) -> anyhow::Result<Hung> {
    let stretch = Stretch::begin("locating, with members asked", time, bars);
    let next = Cell::new(0);
    let hung = RefCell::new(Hung { located: Located::new()?, named_ms: 0, named: 0 });
    let workers = (0..in_flight).map(async |_| {
        while stretch.goes_on() {
            let one = asker.locate(next.replace(next.get() + 1)).await?;
            let mut hung = hung.borrow_mut();
            hung.located.add(&one);
            if one.silent {
                hung.named += 1;
                hung.named_ms = hung.named_ms.max(one.complete.as_millis() as u64);
            }
        }
        anyhow::Ok(())
    });
    try_join_all(workers).await?;
    let mut hung = hung.into_inner();
    hung.located.took = stretch.took();
    Ok(hung)
}

/// Fetches a document, throws it away and returns how long it took.
pub(super) async fn fetch(client: &Client, document_id: &str, bytes: usize) -> anyhow::Result<Duration> {
    use fetch_document_response::Message;
    let request = FetchDocumentRequest { document_id: document_id.into(), ..FetchDocumentRequest::default() };
    let physician = user("dr.lee", Role::Physician, PurposeOfUse::Treat);
    let began = Instant::now();
    let request = client.request(&physician, request)?;
    let mut answer = client.locator().fetch_document(request).await.map_err(failed)?.into_inner();
    let (mut received, mut complete) = (0, false);
    while let Some(message) = answer.message().await.map_err(failed)? {
        match message.message {
            Some(Message::Chunk(chunk)) => received += chunk.len(),
            Some(Message::Trailer(_)) => complete = true,
            Some(Message::Header(_)) | None => {}
        }
    }
    ensure!(complete && received == bytes, "the large document broke off");
    Ok(began.elapsed())
}

/// Returns the id of the large document, which is registered here.
pub(super) async fn register(
    client: &Client,
    entry: signpost_proto::registry::v1::DocumentEntry,
) -> anyhow::Result<String> {
    let system = user("ehr-feed", Role::System, PurposeOfUse::Hoperat);
    let request = signpost_proto::registry::v1::RegisterDocumentRequest {
        entry: Some(entry),
        request_id: String::new(),
    };
    let registered = client.registry().register_document(client.request(&system, request)?).await;
    let id = registered.map_err(failed)?.into_inner().document_id;
    (!id.is_empty()).then_some(id).context("the registry gave no id")
}
