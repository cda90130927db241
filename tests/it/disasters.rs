//! What happens to machines: a full disk, keys that are gone, values that somebody moved, work that is killed half way.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use signpost::{client::Client, config::Service};
use signpost_common::rpc::status;
use signpost_proto::{
    common::v1::{Demographics, HumanName, RecordReference},
    locator::v1::{LocateRequest, locate_request::Subject},
    mpi::v1::{
        FeedPatientsRequest, GetPersonRequest, RegisterPatientRequest, feed_patients_response,
        get_person_request::By,
    },
};
use signpost_tests::{
    Cluster, Process, Topology, binary,
    find::{locate, locate_with, logged},
    physician,
    scenario::{person, record},
    system,
};
use sqlx::{Connection, SqliteConnection};
use tokio::process::Command;
use tokio_stream::iter;
use tonic::{Code, Status};

use crate::command::run;

/// Starts the exchange of a cluster again, with a limit on how large its files may grow: beyond it every write fails, as on a
/// full disk.
async fn on_a_small_disk(cluster: &Cluster, kib: u64) -> anyhow::Result<Process> {
    let mut command = Command::new("bash");
    // Whoever exceeds the limit is sent a signal, too, which a full disk does not send.
    command.args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\"", &kib.to_string()]);
    command.arg(binary()?).args(["--config", "all.toml", "serve"]).current_dir(cluster.dir());
    Ok(Process::serve_by(command, Stdio::null()).await?.0)
}

fn named(request_id: &str) -> LocateRequest {
    let subject = Some(Subject::Demographics(person(1)));
    LocateRequest { subject, request_id: request_id.into(), ..LocateRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_releases_nothing_and_loses_nothing() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Locator)?;
    client.mpi().register_patient(client.request(&system(), record(1))?).await?;
    cluster.take_process(Service::Locator)?.kill().await?;
    let mut largest = 0;
    for file in std::fs::read_dir(&cluster.config().data_dir)? {
        largest = largest.max(file?.metadata()?.len());
    }
    let small = on_a_small_disk(&cluster, largest / 1024 + 256).await?;
    let mut answered = vec![];
    let refused = loop {
        ensure!(answered.len() < 5_000, "the disk does not fill up");
        let request_id = format!("run {}", answered.len());
        match locate_with(&client, &physician(), named(&request_id)).await {
            Ok(_) => answered.push(request_id),
            Err(error) => break error.downcast::<Status>()?,
        }
    };
    ensure!(!answered.is_empty(), "nothing fits at all");
    assert_eq!((refused.code(), status::reason(&refused).as_str()), (Code::Unavailable, "AUDIT_UNAVAILABLE"));
    for _ in 0..3 {
        ensure!(locate(&client, &physician(), &person(1)).await.is_err(), "released without a record");
    }
    small.kill().await?;
    cluster.restart(Service::Locator).await?;
    let client = cluster.client("north", Service::Locator)?;
    for request_id in [&answered[0], &answered[answered.len() - 1]] {
        let events = logged(&cluster, "north", request_id).await?;
        ensure!(events.len() == 1, "{request_id} was answered and has {} events", events.len());
    }
    locate(&client, &physician(), &person(1)).await?;
    let verified = run(cluster.dir(), &["--config", "all.toml", "audit", "verify"]).await?.well()?;
    println!("{} locates were answered before the disk was full\n{verified}", answered.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_of_its_keys_nothing_starts() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    cluster.take_process(Service::Locator)?.kill().await?;
    let config = cluster.config();
    for key in [&config.sealing_key, &config.blinding_key, &config.audit_signing_key] {
        let aside = key.with_extension("aside");
        std::fs::rename(key, &aside)?;
        let (_, missing) = run(cluster.dir(), &["--config", "all.toml", "serve"]).await?.badly()?;
        let name = key.file_name().and_then(|name| name.to_str()).context("a name")?;
        ensure!(missing.contains(name) && missing.contains("signpost pki"), "{missing}");
        std::fs::write(key, "not a key")?;
        std::fs::set_permissions(key, Permissions::from_mode(0o600))?;
        let (_, broken) = run(cluster.dir(), &["--config", "all.toml", "serve"]).await?.badly()?;
        ensure!(broken.contains(name) && !broken.contains("not a key"), "{broken}");
        std::fs::rename(&aside, key)?;
        std::fs::set_permissions(key, Permissions::from_mode(0o644))?;
        let (_, open) = run(cluster.dir(), &["--config", "all.toml", "serve"]).await?.badly()?;
        ensure!(open.contains("open to everybody"), "{open}");
        let (shown, _) = run(cluster.dir(), &["--config", "all.toml", "keys", "status"]).await?.badly()?;
        ensure!(shown.contains("cannot be used") && shown.contains("644"), "{shown}");
        std::fs::set_permissions(key, Permissions::from_mode(0o600))?;
    }
    let shown = run(cluster.dir(), &["--config", "all.toml", "keys", "status"]).await?.well()?;
    for expected in ["wraps data keys", "blinds tokens", "signs the audit log", "seals"] {
        ensure!(shown.contains(expected), "{shown}");
    }
    for key in [&config.sealing_key, &config.blinding_key] {
        let secret = std::fs::read_to_string(key)?;
        ensure!(!shown.contains(&secret.trim()[..8]), "a part of a key is shown: {shown}");
    }
    cluster.restart(Service::Locator).await?;
    let pid = cluster.pid(Service::Locator).context("no process")?;
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).context("no limit")?;
    ensure!(core.split_whitespace().nth(4) == Some("0"), "a core dump would hold the keys: {core}");
    Ok(())
}

async fn get(client: &Client, local_id: &str) -> Result<(), Status> {
    let by = Some(By::Record(RecordReference { member_id: "north".into(), local_id: local_id.into() }));
    let request = client.request(&physician(), GetPersonRequest { by, as_of: None });
    let request = request.map_err(|error| Status::unknown(error.to_string()))?;
    client.mpi().get_person(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_for_one_row_opens_in_no_other() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    let names =
        vec![HumanName { given: vec!["Otto".into()], family: "Zweig".into(), ..HumanName::default() }];
    let other = Demographics { names, birth_date: "1931-03-02".into(), ..Demographics::default() };
    for record in [record(1), RegisterPatientRequest { demographics: Some(other), ..record(2) }] {
        client.mpi().register_patient(client.request(&system(), record)?).await?;
    }
    get(&client, "P1").await?;
    let file = cluster.config().data_dir.join("mpi.sqlite");
    let mut c = SqliteConnection::connect(&file.display().to_string()).await?;
    let moved = "UPDATE source_record SET demographics =
        (SELECT other.demographics FROM source_record other WHERE other.local_id = 'P2') WHERE local_id = 'P1'";
    sqlx::raw_sql(moved).execute(&mut c).await?;
    c.close().await?;
    let error = get(&client, "P1").await.err().context("another patient's data was given out")?;
    assert_eq!((error.code(), &*status::reason(&error)), (Code::Unavailable, "SEALING_KEY_UNAVAILABLE"));
    ensure!(!error.message().contains("Zweig"), "{error:?}");
    get(&client, "P2").await?;
    Ok(())
}

/// Starts a command of the cluster and kills it after a moment; true when it had ended before.
async fn killed(cluster: &Cluster, arguments: &[&str], after: Duration) -> anyhow::Result<bool> {
    let mut command = Command::new(binary()?);
    command.args(["--config", "all.toml"]).args(arguments).current_dir(cluster.dir());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let ended = tokio::time::timeout(after, child.wait()).await.is_ok();
    if !ended {
        child.kill().await?;
    }
    Ok(ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_keys_that_is_killed_half_way_goes_on() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    let feed = (1..=1_500).map(|item| FeedPatientsRequest { item, record: Some(record(item)) });
    let feed: Vec<_> = feed.collect();
    let mut answers = client.mpi().feed_patients(client.request(&system(), iter(feed))?).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        ensure!(matches!(answer.result, Some(feed_patients_response::Result::Registered(_))), "refused");
    }
    let mut cut = 0;
    for millis in [60, 90, 120, 160, 200] {
        cut += u32::from(!killed(&cluster, &["keys", "rotate"], Duration::from_millis(millis)).await?);
        for item in [1, 700, 1_500] {
            get(&client, &format!("P{item}")).await?;
        }
    }
    ensure!(cut > 0, "no rotation was cut short");
    run(cluster.dir(), &["--config", "all.toml", "keys", "rotate"]).await?.well()?;
    for item in [1, 2, 700, 1_499, 1_500] {
        get(&client, &format!("P{item}")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_killed_half_way_goes_on() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    cluster.take_process(Service::Locator)?.kill().await?;
    let mut cut = 0;
    for round in 0..12 {
        std::fs::remove_dir_all(&cluster.config().data_dir)?;
        cut += u32::from(!killed(&cluster, &["migrate"], Duration::from_millis(30 + 15 * round)).await?);
        run(cluster.dir(), &["--config", "all.toml", "migrate"]).await?.well()?;
    }
    ensure!(cut > 0, "no migration was cut short");
    cluster.restart(Service::Locator).await?;
    let client = cluster.client("north", Service::Mpi)?;
    client.mpi().register_patient(client.request(&system(), record(1))?).await?;
    get(&client, "P1").await?;
    Ok(())
}
