//! Power cuts, stopped members, sources that send something else, and stopping in an orderly way.

use std::{
    collections::{BTreeMap, HashSet},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use signpost::{client::Client, config::Service};
use signpost_common::rpc::status;
use signpost_proto::{
    common::v1::RecordReference,
    locator::v1::SourceState,
    mpi::v1::{
        FeedPatientsRequest, GetPersonRequest, WatchIdentityChangesRequest, feed_patients_response,
        get_person_request::By,
    },
};
use signpost_tests::{
    Cluster, Topology,
    find::{fetch, locate},
    physician, postgres,
    scenario::{person, record, two_documents},
    soak, system,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::command::run;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_on_sqlite() -> anyhow::Result<()> {
    survives_kill(Cluster::builder(Topology::OneProcess).without_sources().start().await?, "all.toml").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_on_postgres() -> anyhow::Result<()> {
    let Some(_) = postgres() else { return Ok(()) };
    let cluster = Cluster::builder(Topology::SixProcesses).without_sources().start().await?;
    survives_kill(cluster, "audit.toml").await
}

/// `config` is the configuration of the audit log.
async fn survives_kill(mut cluster: Cluster, config: &str) -> anyhow::Result<()> {
    let mut acknowledged = HashSet::new();
    let mut next = 0;
    let cuts = if soak() { 50 } else { 3 };
    for round in 0..cuts {
        let client = cluster.client("north", Service::Mpi)?;
        let (sender, items) = mpsc::channel(64);
        let first = next;
        let feeding = tokio::spawn(async move {
            let mut sent = first;
            while sender.send(FeedPatientsRequest { item: sent, record: Some(record(sent)) }).await.is_ok() {
                sent += 1;
            }
            sent
        });
        let request = client.request(&system(), ReceiverStream::new(items))?;
        let mut answers = client.mpi().feed_patients(request).await?.into_inner();
        let enough = 300 + 150 * (round % 3);
        let mut seen = 0;
        while let Some(answer) = answers.message().await? {
            ensure!(matches!(answer.result, Some(feed_patients_response::Result::Registered(_))), "refused");
            acknowledged.insert(answer.item);
            seen += 1;
            if seen == enough {
                break;
            }
        }
        // In mid feed: items are under way that nobody has acknowledged.
        cluster.take_process(Service::Mpi)?.kill().await?;
        while let Ok(Some(answer)) = answers.message().await {
            acknowledged.insert(answer.item);
        }
        drop(answers);
        next = feeding.await?;
        cluster.restart(Service::Mpi).await?;
    }
    let client = cluster.client("north", Service::Mpi)?;
    let mut persons = BTreeMap::new();
    for item in &acknowledged {
        let record = RecordReference { member_id: "north".into(), local_id: format!("P{item}") };
        let request =
            client.request(&physician(), GetPersonRequest { by: Some(By::Record(record)), as_of: None })?;
        let answer = client.mpi().get_person(request).await;
        let answer = answer.with_context(|| format!("item {item} was acknowledged and is gone"))?;
        let person = answer.into_inner().person.context("an empty answer")?.person_id;
        persons.insert(format!("P{item}"), person);
    }
    println!("{} acknowledged records are there after {cuts} power cuts", acknowledged.len());
    log_tells(&client, persons).await?;
    run(cluster.dir(), &["--config", config, "audit", "verify"]).await?.well().map(drop)
}

/// Reads the log of decisions until it has told the person of each record.
async fn log_tells(client: &Client, mut persons: BTreeMap<String, String>) -> anyhow::Result<()> {
    let request = client.request(&system(), WatchIdentityChangesRequest::default())?;
    let mut changes = client.mpi().watch_identity_changes(request).await?.into_inner();
    while !persons.is_empty() {
        let change = tokio::time::timeout(Duration::from_secs(30), changes.message()).await;
        let change = change.with_context(|| format!("the log lacks {} records", persons.len()))??;
        let Some(event) = change.and_then(|change| change.event) else { continue };
        let local_id = event.record.context("no record")?.local_id;
        // Each was decided on once: nobody sent it again, and all are unlike.
        if let Some(person) = persons.remove(&local_id) {
            ensure!(event.to_person_id == person, "{local_id} is with another person than the log says");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_member_is_named_and_spoils_nothing() -> anyhow::Result<()> {
    let (mut cluster, documents) = two_documents().await?;
    let client = cluster.client("west", Service::Locator)?;
    let healthy = locate(&client, &physician(), &person(1)).await?;
    assert_eq!((healthy.completion.asked, healthy.completion.answered), (2, 2));
    cluster.stop_source("north").await?;
    let answer = locate(&client, &physician(), &person(1)).await?;
    assert_eq!(answer.pointers.len(), 2, "pointers come from the registry");
    let completion = &answer.completion;
    assert_eq!((completion.asked, completion.answered, completion.unavailable), (2, 1, 1));
    let north =
        answer.sources.iter().find(|source| source.member_id == "north").context("north is not named")?;
    assert_eq!(north.state(), SourceState::Unavailable);
    let failed = fetch(&client, &physician(), &documents[0], "").await.map(drop).err().context("it came")?;
    let failed = failed.downcast::<Status>()?;
    assert_eq!((failed.code(), status::reason(&failed).as_str()), (Code::Unavailable, "SOURCE_UNAVAILABLE"));
    assert!(failed.message().contains("north"));
    fetch(&client, &physician(), &documents[1], "").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_member_is_named_by_the_deadline() -> anyhow::Result<()> {
    use signpost_proto::locator::v1::{LocateRequest, locate_request::Subject};
    let (mut cluster, _) = two_documents().await?;
    cluster.stop_source("north").await?;
    // It accepts connections and says nothing.
    let hung = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    cluster.set_endpoint("north", &format!("https://{}", hung.local_addr()?)).await?;
    let client = cluster.client("west", Service::Locator)?;
    let request = LocateRequest {
        subject: Some(Subject::Demographics(person(1))),
        source_timeout_ms: 300,
        ..LocateRequest::default()
    };
    let lee = physician();
    let answer = signpost_tests::find::locate_with(&client, &lee, request);
    let answer =
        tokio::time::timeout(Duration::from_secs(5), answer).await.context("the stream is stuck")??;
    assert_eq!((answer.pointers.len(), answer.completion.timed_out, answer.completion.answered), (2, 1, 1));
    let north =
        answer.sources.iter().find(|source| source.member_id == "north").context("north is not named")?;
    assert_eq!(north.state(), SourceState::TimedOut);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_not_as_registered_ends_in_data_loss() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let client = cluster.client("west", Service::Locator)?;
    let file = cluster.documents("north").join("north.txt");
    let good = std::fs::read(&file)?;
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (bytes, reason) in [(flipped, "WRONG_HASH"), (good[1..].to_vec(), "WRONG_SIZE")] {
        std::fs::write(&file, bytes)?;
        let failed =
            fetch(&client, &physician(), &documents[0], "").await.map(drop).err().context("it came")?;
        let failed = failed.downcast::<Status>()?;
        assert_eq!((failed.code(), status::reason(&failed).as_str()), (Code::DataLoss, reason));
    }
    std::fs::remove_file(&file)?;
    let failed = fetch(&client, &physician(), &documents[0], "").await.map(drop).err().context("it came")?;
    assert_eq!(status::reason(&failed.downcast::<Status>()?), "SOURCE_HAS_NOT");
    std::fs::write(&file, &good)?;
    assert_eq!(fetch(&client, &physician(), &documents[0], "").await?.bytes, good);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_member_cannot_stand_in_for_a_source() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    // South's source at north's address: its certificate is not north's.
    let admin = cluster.client("operator", Service::Directory)?;
    let south = signpost_proto::directory::v1::GetMemberRequest { member_id: "south".into() };
    let request =
        admin.request(&signpost_tests::operator(signpost_proto::common::v1::Role::Operator), south)?;
    let south = admin.directory().get_member(request).await?.into_inner().member.context("south")?;
    cluster.set_endpoint("north", &south.endpoint.context("no endpoint")?.uri).await?;
    let client = cluster.client("west", Service::Locator)?;
    let failed = fetch(&client, &physician(), &documents[0], "").await.map(drop).err().context("it came")?;
    assert_eq!(status::reason(&failed.downcast::<Status>()?), "SOURCE_UNAVAILABLE");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_audit_log_nothing_is_released() -> anyhow::Result<()> {
    let Some(_) = postgres() else { return Ok(()) };
    let mut cluster = Cluster::builder(Topology::SixProcesses).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    client.mpi().register_patient(client.request(&system(), record(1))?).await?;
    let locator = cluster.client("west", Service::Locator)?;
    locate(&locator, &physician(), &person(1)).await?;
    cluster.take_process(Service::Audit)?.kill().await?;
    let failed =
        locate(&locator, &physician(), &person(1)).await.map(drop).err().context("it was released")?;
    let failed = failed.downcast::<Status>()?;
    assert_eq!((failed.code(), status::reason(&failed).as_str()), (Code::Unavailable, "AUDIT_UNAVAILABLE"));
    cluster.restart(Service::Audit).await?;
    let mut back = locate(&locator, &physician(), &person(1)).await;
    for _ in 0..20 {
        if back.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        back = locate(&locator, &physician(), &person(1)).await;
    }
    back.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_calls_under_way_finish() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    let (sender, items) = mpsc::channel(8);
    let request = client.request(&system(), ReceiverStream::new(items))?;
    sender.send(FeedPatientsRequest { item: 1, record: Some(record(1)) }).await?;
    let mut answers = client.mpi().feed_patients(request).await?.into_inner();
    assert_eq!(answers.message().await?.context("no answer")?.item, 1);
    let stopping = tokio::spawn(cluster.take_process(Service::Mpi)?.terminate());
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The feed is still open: what it sends is taken in while the process drains.
    sender.send(FeedPatientsRequest { item: 2, record: Some(record(2)) }).await?;
    assert_eq!(answers.message().await?.context("the feed was cut off")?.item, 2);
    drop(sender);
    assert!(answers.message().await?.is_none());
    assert!(stopping.await??, "it ends well");
    Ok(())
}

/// How long before the signal a call may have begun that the process did not see yet: the machine may be busy.
const ON_THE_WAY: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_nothing_that_was_acknowledged() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let mut acknowledged = vec![];
    let rounds = if soak() { 20 } else { 2 };
    for round in 0..rounds {
        let client = cluster.client("north", Service::Mpi)?;
        let signalled = OnceLock::new();
        let registering = (0..16).map(async |worker| {
            let mut done = vec![];
            for item in 0..u64::MAX {
                let number = round * 1_000_000 + worker * 10_000 + item;
                let request = client.request(&system(), record(number))?;
                let began = Instant::now();
                match client.mpi().register_patient(request).await {
                    Ok(_) => done.push(number),
                    // Who comes too late is turned away, also who was on the way; who was being served is not.
                    Err(error) => {
                        ensure!(error.code() == Code::Unavailable, "{error:?}");
                        let at = signalled.get().with_context(|| format!("refused before: {error:?}"))?;
                        ensure!(began + ON_THE_WAY >= *at, "a call under way was cut off: {error:?}");
                        return Ok(done);
                    }
                }
            }
            anyhow::Ok(done)
        });
        let process = cluster.take_process(Service::Mpi)?;
        let stop = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            signalled.set(Instant::now()).ok();
            process.terminate().await
        };
        let (done, stopped) = tokio::join!(try_join_all(registering), stop);
        ensure!(stopped?, "it does not end well");
        acknowledged.extend(done?.into_iter().flatten());
        cluster.restart(Service::Mpi).await?;
    }
    ensure!(acknowledged.len() > 50, "{} calls are no load", acknowledged.len());
    let client = cluster.client("north", Service::Mpi)?;
    for number in &acknowledged {
        let by = RecordReference { member_id: "north".into(), local_id: format!("P{number}") };
        let request =
            client.request(&physician(), GetPersonRequest { by: Some(By::Record(by)), as_of: None })?;
        let answer = client.mpi().get_person(request).await;
        answer.with_context(|| format!("P{number} was acknowledged and is gone"))?;
    }
    println!("{} acknowledged calls, all there", acknowledged.len());
    Ok(())
}
