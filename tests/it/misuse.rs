//! Signs of misuse in a whole exchange: who raises them, who is told, and what a policy file changes.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use signpost::{client::Client, config::Service};
use signpost_common::rpc::{status, token::User};
use signpost_proto::{
    audit::v1::{EventKind, Flag, SearchEventsRequest, WatchFlagsRequest},
    common::v1::{HumanName, PurposeOfUse, Role},
};
use signpost_tests::{
    Cluster, Topology,
    find::{locate, officer},
    operator, physician,
    scenario::{person, record, two_documents},
    system, user,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_stream::StreamExt;
use tonic::Streaming;

use crate::command::{Ran, command, run};

type Flags = Streaming<signpost_proto::audit::v1::WatchFlagsResponse>;

async fn watch(client: &Client, user: &User) -> anyhow::Result<Flags> {
    let request = client.request(user, WatchFlagsRequest::default())?;
    Ok(client.audit().watch_flags(request).await?.into_inner())
}

/// Returns the next sign, which must come soon. A second is meant; a machine that is busy with other tests may take longer.
async fn next(flags: &mut Flags) -> anyhow::Result<Flag> {
    let next = async {
        loop {
            if let Some(flag) = flags.next().await.context("the stream ended")??.flag {
                return anyhow::Ok(flag);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), next).await.context("within five seconds")?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_without_relationship_is_told_to_officers_soon() -> anyhow::Result<()> {
    let (cluster, _) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let mut all =
        watch(&cluster.client("operator", Service::Audit)?, &operator(Role::PrivacyOfficer)).await?;
    let mut own = watch(&west, &officer()).await?;
    let mut others = watch(&cluster.client("north", Service::Audit)?, &officer()).await?;
    locate(&west, &physician(), &person(1)).await?;
    for flags in [&mut all, &mut own] {
        let flag = next(flags).await?;
        assert_eq!((&*flag.reason, &*flag.member_id, &*flag.user), ("NO_RELATIONSHIP", "west", "dr.lee"));
        ensure!(flag.evidence == [flag.sequence] && flag.sentence.contains("encounter"), "{flag:?}");
    }
    // With an encounter, and at a member that has a record of the patient, a look is as it should be.
    let treating = User { encounter: "E-1".into(), ..physician() };
    locate(&west, &treating, &person(1)).await?;
    locate(&cluster.client("north", Service::Locator)?, &physician(), &person(1)).await?;
    let silent = tokio::time::timeout(Duration::from_secs(1), next(&mut others)).await;
    ensure!(silent.is_err(), "another member's signs are not north's");
    let silent = tokio::time::timeout(Duration::from_millis(10), next(&mut all)).await;
    ensure!(silent.is_err(), "nothing else was raised");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_varies_demographics_to_find_somebody_is_seen() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let north = cluster.client("north", Service::Mpi)?;
    north.mpi().register_patient(north.request(&system(), record(1))?).await?;
    let mut flags =
        watch(&cluster.client("operator", Service::Audit)?, &operator(Role::PrivacyOfficer)).await?;
    let west = cluster.client("west", Service::Locator)?;
    let eve = user("eve", Role::Physician, PurposeOfUse::Treat);
    for attempt in 0..11 {
        let mut guess = person(1);
        guess.names = vec![HumanName {
            family: format!("Guess{attempt}"),
            given: vec![format!("Name{attempt}")],
            ..HumanName::default()
        }];
        guess.birth_date = format!("19{}-01-02", 50 + attempt);
        locate(&west, &eve, &guess).await?;
    }
    let flag = next(&mut flags).await?;
    assert_eq!((&*flag.reason, &*flag.user, flag.evidence.len()), ("ENUMERATION", "eve", 11));
    Ok(())
}

/// Waits until somebody watches signs.
async fn watched(cluster: &Cluster) -> anyhow::Result<()> {
    let client = cluster.client("operator", Service::Audit)?;
    let (officer, began) = (operator(Role::PrivacyOfficer), Instant::now());
    loop {
        let kinds = vec![EventKind::AuditRead.into()];
        let request = SearchEventsRequest { kinds, ..SearchEventsRequest::default() };
        let found = client.audit().search_events(client.request(&officer, request)?).await?.into_inner();
        let mut events = found.events.into_iter().filter_map(|logged| logged.event);
        if events.any(|event| event.action.ends_with("/WatchFlags")) {
            return Ok(());
        }
        ensure!(began.elapsed() < Duration::from_secs(20), "nobody watches");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_signs_and_was_told_none_goes_on_when_the_exchange_starts_again() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let north = cluster.client("north", Service::Mpi)?;
    north.mpi().register_patient(north.request(&system(), record(1))?).await?;
    let endpoint = cluster.endpoint(Service::Audit);
    let arguments =
        ["audit", "flags", "--follow", "--as", "operator", "--pki", "pki", "--endpoint", &endpoint];
    let mut following = command(cluster.dir(), &[], &arguments)?;
    let mut following = following.kill_on_drop(true).stdout(Stdio::piped()).spawn()?;
    let mut told = BufReader::new(following.stdout.take().context("no output")?).lines();
    watched(&cluster).await?;
    // The token comes right after.
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(cluster.take_process(Service::Audit)?.terminate().await?);
    cluster.restart(Service::Audit).await?;
    locate(&cluster.client("west", Service::Locator)?, &physician(), &person(1)).await?;
    let line = tokio::time::timeout(Duration::from_secs(20), told.next_line()).await;
    let line = line.context("nothing was told")??.context("it ended")?;
    ensure!(line.contains("west/dr.lee NO_RELATIONSHIP"), "{line}");
    following.kill().await?;
    Ok(())
}

async fn audit(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Ran> {
    let endpoint = cluster.endpoint(Service::Audit);
    run(cluster.dir(), &[&["audit"], arguments, &["--pki", "pki", "--endpoint", &endpoint]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_lists_acknowledges_and_tries_a_policy_on_the_past() -> anyhow::Result<()> {
    let (cluster, _) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let mut flags = watch(&west, &officer()).await?;
    locate(&west, &physician(), &person(1)).await?;
    next(&mut flags).await?;
    let listed = audit(&cluster, &["flags", "--as", "west"]).await?.well()?;
    ensure!(listed.contains("NO_RELATIONSHIP") && listed.contains("west/dr.lee"), "{listed}");
    let note = ["acknowledge", "1", "--note", "a transfer, seen with the ward", "--as", "west"];
    ensure!(audit(&cluster, &note).await?.well()?.contains("is acknowledged"));
    let open = audit(&cluster, &["flags", "--as", "west", "--open"]).await?.well()?;
    ensure!(open.contains("no signs of misuse"), "{open}");
    let all = audit(&cluster, &["flags", "--as", "operator", "--json", "-"]).await?.well()?;
    let all: serde_json::Value = serde_json::from_str(&all)?;
    assert_eq!(all[0]["note"], "a transfer, seen with the ward");

    // What members are comes from the directory; who works there and is watched, from the file.
    let policy = "[purposes]\nprovider = [\"HPAYMT\"]\n\
                  [[watched]]\nmember = \"north\"\nrecord = \"P1\"\n\
                  [[staff]]\nmember = \"west\"\nuser = \"dr.lee\"\nhousehold = []\n";
    std::fs::write(cluster.dir().join("misuse.toml"), policy)?;
    let replay = ["flags", "--as", "operator", "--last", "1h", "--policy", "misuse.toml"];
    let raised = audit(&cluster, &replay).await?.well()?;
    for expected in ["UNFIT_PURPOSE", "WATCHED", "NO_RELATIONSHIP"] {
        ensure!(raised.contains(expected), "{expected}: {raised}");
    }
    ensure!(!raised.contains("P1"), "patients are not named: {raised}");
    std::fs::write(cluster.dir().join("misuse.toml"), "\nvelocty = 1\n")?;
    let (_, wrong) = audit(&cluster, &replay).await?.badly()?;
    ensure!(wrong.contains("line 2") && wrong.contains("velocty"), "{wrong}");
    let (_, denied) = audit(&cluster, &["flags", "--as", "west", "--last", "1h"]).await?.badly()?;
    ensure!(denied.contains("ROLE_NOT_PERMITTED"), "only the operator's officers watch the past: {denied}");
    let north = cluster.client("north", Service::Audit)?;
    let refused = north.audit().watch_flags(north.request(&physician(), WatchFlagsRequest::default())?).await;
    assert_eq!(refused.err().map(|error| status::reason(&error)), Some("ROLE_NOT_PERMITTED".into()));
    Ok(())
}
