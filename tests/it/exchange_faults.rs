//! Services and databases of the exchange that stop: nothing is released without them, and nobody waits for long.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use signpost::{
    client::Client,
    config::{Matching, Service},
};
use signpost_proto::{
    audit::v1::{EventKind, EventOutcome, SearchEventsRequest},
    locator::v1::{
        FetchDocumentRequest, GetLocateRunRequest, LocateRequest, LocateRunState, locate_request::Subject,
    },
};
use signpost_tests::{
    Builder, Cluster, Topology,
    find::{attempt, fetch, locate, locate_with, officer},
    physician, postgres,
    postgres::Postgres,
    scenario::{Paper, person, publish},
};
use tonic::{Code, Status};

/// Nobody who locates waits longer than this.
const BOUND: Duration = Duration::from_secs(10);

/// Somebody locates as often as they can.
fn unlimited(topology: Topology) -> Builder {
    let matching = Matching { user_per_minute: 0, member_per_minute: 0, ..Matching::default() };
    Cluster::builder(topology).matching(matching)
}

/// Has north and south hold a document each of person 1.
async fn publish_two(cluster: &mut Cluster) -> anyhow::Result<Vec<String>> {
    let north = publish(cluster, "north", &[Paper::new("n.txt", 0)]).await?;
    Ok([north, publish(cluster, "south", &[Paper::new("s.txt", 0)]).await?].concat())
}

/// Asks until it is answered.
async fn recovers(client: &Client, document_id: &str) -> anyhow::Result<()> {
    let recovers = async {
        loop {
            let located = locate(client, &physician(), &person(1)).await;
            let fetched = fetch(client, &physician(), document_id, "").await;
            if located.is_ok_and(|located| !located.completion.degraded) && fetched.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recovers).await.context("it does not recover")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_service_nothing_is_released_and_with_it_all_is_again() -> anyhow::Result<()> {
    let Some(_) = postgres() else { return Ok(()) };
    let mut cluster = unlimited(Topology::SixProcesses).start().await?;
    let documents = publish_two(&mut cluster).await?;
    let west = cluster.client("west", Service::Locator)?;
    recovers(&west, &documents[0]).await?;
    for service in [Service::Mpi, Service::Registry, Service::Consent, Service::Directory] {
        let name = service.name();
        cluster.take_process(service)?.kill().await?;
        if service == Service::Directory {
            // What it said lately is good for a second.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        let began = Instant::now();
        let refused = locate(&west, &physician(), &person(1)).await;
        let refused = refused.map(drop).err().with_context(|| format!("located without {name}"))?;
        assert_eq!(refused.downcast::<Status>()?.code(), Code::Unavailable, "locate without {name}");
        ensure!(began.elapsed() < BOUND, "a locate without {name} took {:?}", began.elapsed());
        let document_id = documents[0].clone();
        let request = FetchDocumentRequest { document_id, ..FetchDocumentRequest::default() };
        let fetched = attempt(&west, &physician(), request, BOUND).await?;
        assert_eq!(fetched.failure().map(|(code, _)| code), Some(Code::Unavailable), "fetch without {name}");
        ensure!(fetched.shows_nothing(), "released without {name}");
        cluster.restart(service).await?;
        recovers(&west, &documents[0]).await.context(name)?;
    }
    Ok(())
}

/// Returns what the locator says became of a locate.
async fn state(client: &Client, request_id: &str) -> anyhow::Result<LocateRunState> {
    let request = client.request(&physician(), GetLocateRunRequest { request_id: request_id.into() })?;
    Ok(client.locator().get_locate_run(request).await?.into_inner().state())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locate_that_hangs_is_under_way_until_its_deadline() -> anyhow::Result<()> {
    let Some(_) = postgres() else { return Ok(()) };
    let mut cluster = unlimited(Topology::SixProcesses).start().await?;
    let documents = publish_two(&mut cluster).await?;
    let west = cluster.client("west", Service::Locator)?;
    recovers(&west, &documents[0]).await?;
    let locate = async |request_id: &str, deadline: Duration| {
        let subject = Some(Subject::Demographics(person(1)));
        let request_id = request_id.to_owned();
        let request = LocateRequest { subject, request_id, ..LocateRequest::default() };
        let mut request = west.request(&physician(), request)?;
        request.set_timeout(deadline);
        anyhow::Ok(west.locator().locate(request).await.map(drop))
    };
    cluster.signal(Service::Consent, "STOP").await?;
    let resumed = async {
        while state(&west, "slow").await? != LocateRunState::UnderWay {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster.signal(Service::Consent, "CONT").await
    };
    let resumed = tokio::time::timeout(BOUND, resumed);
    let (located, resumed) = tokio::join!(locate("slow", BOUND), resumed);
    resumed.context("it is not under way")??;
    located??;
    assert_eq!(state(&west, "slow").await?, LocateRunState::Answered);

    cluster.signal(Service::Consent, "STOP").await?;
    let (began, deadline) = (Instant::now(), Duration::from_secs(1));
    let late = locate("late", deadline).await?.err().context("it was answered")?;
    let is_late = late.code() == Code::DeadlineExceeded && began.elapsed() < 2 * deadline;
    ensure!(is_late, "{late:?} after {:?}", began.elapsed());
    assert_eq!(state(&west, "late").await?, LocateRunState::Failed);
    cluster.signal(Service::Consent, "CONT").await?;
    recovers(&west, &documents[0]).await?;
    assert_eq!(state(&west, "late").await?, LocateRunState::Failed, "it stays so");
    Ok(())
}

/// What came of locates.
#[derive(Debug, Default)]
struct Tally {
    answered: Vec<String>,
    failed: usize,
}

/// Locates again and again until it is told to stop. Each answer is whole, or says that it is none, in time.
async fn load(client: &Client, number: usize, stop: &AtomicBool) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for round in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let request_id = format!("{number}-{round}");
        let request = LocateRequest {
            subject: Some(Subject::Demographics(person(1))),
            request_id: request_id.clone(),
            ..LocateRequest::default()
        };
        let began = Instant::now();
        let answer = locate_with(client, &physician(), request).await;
        ensure!(began.elapsed() < BOUND, "{request_id} took {:?}", began.elapsed());
        match answer {
            Ok(located) => {
                ensure!(located.pointers.len() == 2, "{request_id} shows {:?}", located.pointers);
                tally.answered.push(request_id);
            }
            Err(failure) => {
                let failure: Status = failure.downcast()?;
                let clear = matches!(failure.code(), Code::Unavailable | Code::DeadlineExceeded);
                ensure!(clear, "{request_id}: {failure:?}");
                tally.failed += 1;
            }
        }
    }
    Ok(tally)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_under_load_costs_no_answer_its_record() -> anyhow::Result<()> {
    let Some(mut database) = Postgres::start().await? else { return Ok(()) };
    let mut cluster = unlimited(Topology::InProcess).postgres(&database.url()).start().await?;
    let documents = publish_two(&mut cluster).await?;
    let west = cluster.client("west", Service::Locator)?;
    recovers(&west, &documents[0]).await?;
    let stop = AtomicBool::new(false);
    let crash = async {
        let crashed = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            database.restart().await?;
            recovers(&west, &documents[0]).await
        };
        let crashed = crashed.await;
        stop.store(true, Ordering::SeqCst);
        crashed
    };
    let load = |number| load(&west, number, &stop);
    let (crashed, one, two, three, four) = tokio::join!(crash, load(1), load(2), load(3), load(4));
    crashed?;
    let tallies = [one?, two?, three?, four?];
    let failed: usize = tallies.iter().map(|tally| tally.failed).sum();
    let answered: BTreeSet<_> = tallies.into_iter().flat_map(|tally| tally.answered).collect();
    println!("{} answered, {failed} failed", answered.len());
    ensure!(failed > 0 && !answered.is_empty(), "the crash was never felt");

    // What was released is in the log, whatever crashed.
    let mut logged = BTreeSet::new();
    let officers = cluster.client("west", Service::Audit)?;
    let mut request = SearchEventsRequest {
        kinds: vec![EventKind::Locate.into()],
        member_id: "west".into(),
        page_size: 500,
        ..SearchEventsRequest::default()
    };
    loop {
        let page = officers.audit().search_events(officers.request(&officer(), request.clone())?).await?;
        let page = page.into_inner();
        let events = page.events.into_iter().filter_map(|logged| logged.event);
        let released = events.filter(|event| event.outcome() == EventOutcome::Success);
        logged.extend(released.map(|event| event.request_id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let missing: Vec<_> = answered.difference(&logged).collect();
    ensure!(missing.is_empty(), "answered and not in the log: {missing:?}");
    Ok(())
}
