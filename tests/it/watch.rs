//! Members follow what is decided on their records, and miss nothing.

use std::time::Duration;

use anyhow::Context;
use signpost::{client::Client, config::Service};
use signpost_common::rpc::{status, token::User};
use signpost_proto::{
    common::v1::{Demographics, HumanName, Role},
    mpi::v1::{
        LinkEventKind, RegisterPatientRequest, UnlinkRequest, WatchIdentityChangesRequest,
        WatchIdentityChangesResponse,
    },
};
use signpost_tests::{Cluster, Topology, operator, postgres, system};
use tonic::{Code, Streaming};

const PATIENCE: Duration = Duration::from_secs(20);

async fn register(cluster: &Cluster, member: &str, local_id: &str, family: &str) -> anyhow::Result<String> {
    let name = HumanName { given: vec!["Olivia".into()], family: family.into(), ..HumanName::default() };
    let phones = vec!["617-555-0123".into()];
    let demographics = Demographics {
        names: vec![name],
        birth_date: "1980-03-04".into(),
        phones,
        ..Demographics::default()
    };
    let client = cluster.client(member, Service::Mpi)?;
    let request = RegisterPatientRequest {
        local_id: local_id.into(),
        demographics: Some(demographics),
        request_id: String::new(),
    };
    let registered = client.mpi().register_patient(client.request(&system(), request)?).await?;
    Ok(registered.into_inner().record_id)
}

type Changes = Streaming<WatchIdentityChangesResponse>;

async fn watch(client: &Client, user: &User, resume_token: &str) -> anyhow::Result<Changes> {
    let request = WatchIdentityChangesRequest { resume_token: resume_token.into() };
    Ok(client.mpi().watch_identity_changes(client.request(user, request)?).await?.into_inner())
}

/// Returns the next change: whose record, what was decided, and the token to go on after it.
async fn next(changes: &mut Changes) -> anyhow::Result<(String, LinkEventKind, String)> {
    let change = tokio::time::timeout(PATIENCE, changes.message()).await.context("no change comes")??;
    let change = change.context("the stream ended")?;
    let event = change.event.context("a change without event")?;
    let kind = event.kind();
    let record = event.record.context("an event without record")?;
    Ok((format!("{}/{}", record.member_id, record.local_id), kind, change.resume_token))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_follows_its_own_records_on_sqlite() -> anyhow::Result<()> {
    follow(Cluster::builder(Topology::InProcess).without_sources().start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_follows_its_own_records_on_postgres() -> anyhow::Result<()> {
    if postgres().is_none() {
        return Ok(());
    }
    follow(Cluster::builder(Topology::SixProcesses).without_sources().start().await?).await
}

async fn follow(cluster: Cluster) -> anyhow::Result<()> {
    register(&cluster, "north", "1", "Smith").await?;
    let joined = register(&cluster, "south", "1", "Smith").await?;
    register(&cluster, "north", "2", "Quill").await?;
    let client = cluster.client("north", Service::Mpi)?;
    let mut changes = watch(&client, &system(), "").await?;
    let (record, kind, first) = next(&mut changes).await?;
    assert_eq!((record.as_str(), kind), ("north/1", LinkEventKind::Create));
    let (record, ..) = next(&mut changes).await?;
    assert_eq!(record, "north/2", "nothing is said of what south did");
    register(&cluster, "north", "3", "Quill").await?;
    let (record, kind, last) = next(&mut changes).await?;
    assert_eq!((record.as_str(), kind), ("north/3", LinkEventKind::Link), "it comes when it is decided");
    drop(changes);
    register(&cluster, "north", "4", "Other").await?;
    let mut resumed = watch(&client, &system(), &first).await?;
    for expected in ["north/2", "north/3", "north/4"] {
        assert_eq!(next(&mut resumed).await?.0, expected);
    }
    assert_eq!(next(&mut watch(&client, &system(), &last).await?).await?.0, "north/4");
    stewards_see_all(&cluster, joined).await?;
    let elsewhere = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    register(&elsewhere, "north", "1", "Smith").await?;
    let error = watch(&elsewhere.client("north", Service::Mpi)?, &system(), &first).await.err();
    let error: tonic::Status = error.context("a token of another index")?.downcast()?;
    assert_eq!(status::field(&error), "resume_token");
    let south = cluster.client("south", Service::Mpi)?;
    for token in [first.as_str(), "nonsense", "bm9uc2Vuc2U"] {
        let error = watch(&south, &system(), token).await.err().context("a token of somebody else")?;
        let error: tonic::Status = error.downcast()?;
        assert_eq!((error.code(), status::field(&error).as_str()), (Code::InvalidArgument, "resume_token"));
    }
    Ok(())
}

async fn stewards_see_all(cluster: &Cluster, joined: String) -> anyhow::Result<()> {
    let (client, steward) = (cluster.client("operator", Service::Mpi)?, operator(Role::Steward));
    let request = UnlinkRequest { record_id: joined, reason: "a sister".into(), request_id: String::new() };
    client.mpi().unlink(client.request(&steward, request)?).await?;
    let mut changes = watch(&client, &steward, "").await?;
    let mut seen = vec![];
    while seen.len() < 6 {
        let (record, kind, _) = next(&mut changes).await?;
        seen.push((record, kind));
    }
    let records: Vec<&str> = seen.iter().map(|(record, _)| record.as_str()).collect();
    assert_eq!(records, ["north/1", "south/1", "north/2", "north/3", "north/4", "south/1"]);
    assert_eq!(seen.last().map(|(_, kind)| *kind), Some(LinkEventKind::Unlink));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_process_and_says_so() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    register(&cluster, "north", "1", "Smith").await?;
    let client = cluster.client("north", Service::Mpi)?;
    let mut changes = watch(&client, &system(), "").await?;
    let (.., token) = next(&mut changes).await?;
    let stopping = tokio::spawn(cluster.take_process(Service::Locator)?.terminate());
    let error = tokio::time::timeout(PATIENCE, changes.message()).await?.err().context("it goes on")?;
    assert_eq!((error.code(), status::reason(&error).as_str()), (Code::Unavailable, "STOPPING"));
    assert!(stopping.await??, "nothing holds the process up");
    cluster.restart(Service::Locator).await?;
    let client = cluster.client("north", Service::Mpi)?;
    let mut changes = watch(&client, &system(), &token).await?;
    register(&cluster, "north", "2", "Quill").await?;
    assert_eq!(next(&mut changes).await?.0, "north/2");
    Ok(())
}
