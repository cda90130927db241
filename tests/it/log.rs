//! The audit log under attack and in trouble: a database that is locked, a journal that is gone, a log that somebody changed.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use signpost::{
    client::Client,
    config::{Config, Service},
    wiring,
};
use signpost_common::{
    clock::{Clock, SystemClock},
    rpc::status,
};
use signpost_tests::{
    Cluster, Topology,
    find::locate,
    physician,
    scenario::{person, record},
    system,
};
use sqlx::{Connection, SqliteConnection};
use tonic::Status;

use crate::command::{Ran, command, run, run_with};

/// Length of a journal in which nothing waits: its first line.
const EMPTY: u64 = 25;

/// Keeps the journal of the log in a folder of its own, as on another disk.
fn with_journal(config: &mut Config) {
    let folder = config.data_dir.with_file_name("other-disk");
    config.audit.journal = folder.join("journal");
    std::fs::create_dir_all(folder).unwrap_or_default();
}

fn database(config: &Config) -> PathBuf {
    config.data_dir.join("audit.sqlite")
}

async fn open(config: &Config) -> anyhow::Result<SqliteConnection> {
    Ok(SqliteConnection::connect(&database(config).display().to_string()).await?)
}

/// Keeps everybody else from writing to the database of the log until it is closed.
async fn lock(config: &Config) -> anyhow::Result<SqliteConnection> {
    let mut locked = open(config).await?;
    sqlx::raw_sql("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE").execute(&mut locked).await?;
    Ok(locked)
}

/// Runs statements on the database of the log with nothing in their way.
async fn tamper(config: &Config, statements: &[String]) -> anyhow::Result<()> {
    let mut c = open(config).await?;
    let named = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name <> 'log_append'";
    let triggers: Vec<(String,)> = sqlx::query_as(named).fetch_all(&mut c).await?;
    let drops = triggers.into_iter().map(|(name,)| format!("DROP TRIGGER {name}"));
    for sql in drops.chain(statements.iter().cloned()) {
        // The names are those of the schema, the statements those of the tests.
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut c).await?;
    }
    Ok(c.close().await?)
}

/// Returns the first entry of a locate.
async fn first_locate(config: &Config) -> anyhow::Result<i64> {
    let mut c = open(config).await?;
    let first =
        sqlx::query_scalar("SELECT MIN(sequence) FROM event WHERE kind = 1").fetch_one(&mut c).await?;
    c.close().await?;
    Ok(first)
}

/// Starts an exchange that has located person 1 so many times, and returns it with who located.
async fn located(times: usize, configure: fn(&mut Config)) -> anyhow::Result<(Cluster, Client)> {
    let builder = Cluster::builder(Topology::OneProcess).without_sources().configure(configure);
    let cluster = builder.start().await?;
    let client = cluster.client("north", Service::Locator)?;
    client.mpi().register_patient(client.request(&system(), record(1))?).await?;
    for _ in 0..times {
        locate(&client, &physician(), &person(1)).await?;
    }
    Ok((cluster, client))
}

/// Runs `signpost audit` with the configuration of a cluster.
async fn audit(cluster: &Cluster, config: &Config, arguments: &[&str]) -> anyhow::Result<Ran> {
    std::fs::write(cluster.dir().join("audit.toml"), config.shown()?)?;
    run(cluster.dir(), &[&["--config", "audit.toml", "audit"], arguments].concat()).await
}

async fn verify(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Ran> {
    audit(cluster, cluster.config(), &[&["verify"], arguments].concat()).await
}

/// Returns how a member fetches the log's checkpoint into the folder `kept`.
fn checkpoint<'a>(cluster: &Cluster, endpoint: &'a mut String) -> Vec<&'a str> {
    *endpoint = cluster.endpoint(Service::Audit);
    vec!["audit", "checkpoint", "--as", "south", "--pki", "pki", "--out", "kept", "--endpoint", endpoint]
}

/// Has a member keep a checkpoint of the log as it is now, with all that was located.
async fn keep(cluster: &Cluster) -> anyhow::Result<()> {
    // What has been appended is signed within a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut endpoint = String::new();
    run(cluster.dir(), &checkpoint(cluster, &mut endpoint)).await?.well()?;
    Ok(())
}

/// Returns the reason of an error of a locate.
fn reason(error: &anyhow::Error) -> String {
    error.downcast_ref::<Status>().map(status::reason).unwrap_or_default()
}

async fn emptied(journal: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    while std::fs::metadata(journal)?.len() > EMPTY {
        ensure!(began.elapsed() < Duration::from_secs(20), "events still wait in the journal");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_sink_a_locate_goes_on_and_nothing_of_it_is_lost() -> anyhow::Result<()> {
    let (mut cluster, client) = located(2, with_journal).await?;
    let config = cluster.config().clone();
    keep(&cluster).await?;
    let locked = lock(&config).await?;
    let began = Instant::now();
    for _ in 0..5 {
        locate(&client, &physician(), &person(1)).await.context("the database is locked")?;
    }
    ensure!(began.elapsed() < Duration::from_secs(5), "{:?}: each of them waited", began.elapsed());
    ensure!(std::fs::metadata(&config.audit.journal)?.len() > EMPTY, "nothing waits in the journal");
    let healthy = run(cluster.dir(), &["--config", "all.toml", "health"]).await?;
    ensure!(healthy.err.contains("audit-sinks"), "nobody is told: {healthy:?}");
    // A power cut while the log is in the journal alone.
    cluster.take_process(Service::Audit)?.kill().await?;
    locked.close().await?;
    let told = verify(&cluster, &["--checkpoints", "kept"]).await?.well()?;
    ensure!(told.contains("wait in the journal"), "{told}");
    cluster.restart(Service::Audit).await?;
    emptied(&config.audit.journal).await?;
    locate(&cluster.client("north", Service::Locator)?, &physician(), &person(1)).await?;
    let told = verify(&cluster, &["--checkpoints", "kept"]).await?.well()?;
    ensure!(told.contains("is good") && !told.contains("wait in the journal"), "{told}");
    let mut c = open(&config).await?;
    let locates: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM event WHERE kind = 1").fetch_one(&mut c).await?;
    ensure!(locates == 8, "{locates} locates are in the log, and 8 were answered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_neither_sink_nothing_is_released() -> anyhow::Result<()> {
    let (cluster, client) = located(1, with_journal).await?;
    let config = cluster.config();
    let locked = lock(config).await?;
    std::fs::remove_dir_all(config.audit.journal.parent().context("folder")?)?;
    let refused = locate(&client, &physician(), &person(1)).await.err().context("a locate was answered")?;
    ensure!(reason(&refused) == "AUDIT_UNAVAILABLE", "{refused:#}");
    locked.close().await?;
    let began = Instant::now();
    while let Err(error) = locate(&client, &physician(), &person(1)).await {
        ensure!(began.elapsed() < Duration::from_secs(20), "{error:#}");
    }
    verify(&cluster, &[]).await?.well()?;
    Ok(())
}

/// Changes a log of five locates, of which a member has kept a checkpoint, and returns what is said of it.
async fn told_of(change: impl Fn(i64) -> Vec<String>) -> anyhow::Result<(i64, String, Cluster)> {
    let (mut cluster, _client) = located(5, |_| ()).await?;
    keep(&cluster).await?;
    verify(&cluster, &["--checkpoints", "kept"]).await?.well()?;
    cluster.take_process(Service::Audit)?.kill().await?;
    let first = first_locate(cluster.config()).await?;
    tamper(cluster.config(), &change(first)).await?;
    let (told, _) = verify(&cluster, &["--checkpoints", "kept", "--json", "found.json"]).await?.badly()?;
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(cluster.dir().join("found.json"))?)?;
    ensure!(found["good"] == false && found["finding"]["first"].is_u64(), "{found}");
    Ok((first, told, cluster))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_edited_names_the_entry() -> anyhow::Result<()> {
    let edit = "SET leaf = CAST(replace(CAST(leaf AS TEXT), 'dr.lee', 'dr.moe') AS BLOB)";
    let (first, told, _) =
        told_of(|first| vec![format!("UPDATE event {edit} WHERE sequence = {first} + 2")]).await?;
    ensure!(told.contains(&format!("entry {} was edited", first + 2)), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_an_entry_names_it() -> anyhow::Result<()> {
    // The others close the gap, and the head is in order.
    let (first, told, _) = told_of(|first| {
        let gone = first + 2;
        vec![
            format!("DELETE FROM event WHERE sequence = {gone}"),
            format!("DELETE FROM event_subject WHERE sequence = {gone}"),
            format!("UPDATE event SET sequence = -sequence WHERE sequence > {gone}"),
            "UPDATE event SET sequence = -sequence - 1 WHERE sequence < 0".into(),
            "UPDATE log_head SET size = size - 1".into(),
        ]
    })
    .await?;
    ensure!(told.contains(&format!("entry {} was dropped", first + 2)), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_reordered_names_the_entry() -> anyhow::Result<()> {
    let (first, told, _) = told_of(|first| {
        vec![
            format!("UPDATE event SET sequence = -1 WHERE sequence = {first}"),
            format!("UPDATE event SET sequence = {first} WHERE sequence = {first} + 3"),
            format!("UPDATE event SET sequence = {first} + 3 WHERE sequence = -1"),
        ]
    })
    .await?;
    ensure!(told.contains(&format!("entry {first} was written as entry {}", first + 3)), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_off_shows_to_whoever_kept_a_checkpoint() -> anyhow::Result<()> {
    // All that the database holds is in order, and shorter.
    let (first, told, mut cluster) = told_of(|first| {
        let size = first + 3;
        let tables = ["event", "event_subject"].map(|t| format!("DELETE FROM {t} WHERE sequence >= {size}"));
        let rest = [
            format!("DELETE FROM node WHERE ((position + 1) << level) > {size}"),
            "DELETE FROM checkpoint".into(),
            format!("UPDATE log_head SET size = {size}"),
            "UPDATE checkpoint_head SET size = 0".into(),
        ];
        tables.into_iter().chain(rest).collect()
    })
    .await?;
    ensure!(told.contains(&format!("truncated at entry {}", first + 3)), "{told}");
    verify(&cluster, &[]).await?.well().context("nothing in the database tells")?;
    // The exchange may sign it anew; the member that kept a checkpoint does not believe it.
    cluster.restart(Service::Audit).await?;
    let mut endpoint = String::new();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (_, refused) = run(cluster.dir(), &checkpoint(&cluster, &mut endpoint)).await?.badly()?;
    ensure!(refused.contains("truncated") || refused.contains("was changed"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn members_follow_checkpoints_and_keep_what_they_verified() -> anyhow::Result<()> {
    let (cluster, client) = located(1, |_| ()).await?;
    let mut endpoint = String::new();
    let mut arguments = checkpoint(&cluster, &mut endpoint);
    arguments.push("--follow");
    let mut following = command(cluster.dir(), &[], &arguments)?.kill_on_drop(true).spawn()?;
    let kept = cluster.dir().join("kept");
    let count = || std::fs::read_dir(&kept).map_or(0, Iterator::count);
    for enough in [2, 3] {
        let began = Instant::now();
        while count() < enough {
            locate(&client, &physician(), &person(1)).await?;
            ensure!(began.elapsed() < Duration::from_secs(30), "{} checkpoints were kept", count());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    following.kill().await?;
    let told = verify(&cluster, &["--checkpoints", "kept"]).await?.well()?;
    ensure!(told.contains("is good"), "{told}");

    // A key that is not the log's: nothing is believed.
    let (_, refused) =
        run(cluster.dir(), &[&checkpoint(&cluster, &mut endpoint)[..], &["--key", KEY]].concat())
            .await?
            .badly()?;
    ensure!(refused.contains("signed by no key that is known"), "{refused}");
    Ok(())
}

/// The verifier key of somebody else.
const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// A clock that is set by hand, so many seconds from the machine's.
struct Set(Arc<AtomicI64>);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.0.load(Ordering::Relaxed));
        SystemClock.now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_back_does_not_reorder_the_log() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let mut config = cluster.config().clone();
    config.data_dir = cluster.dir().join("stepping");
    let ahead_s = Arc::new(AtomicI64::new(8));
    let running = Box::pin(wiring::start_at(&config, &[], Arc::new(Set(ahead_s.clone())))).await?;
    let client = cluster.client_at("north", format!("https://{}", running.address))?;
    client.mpi().register_patient(client.request(&system(), record(1))?).await?;
    for step_s in [8, 8, -8, -8, 8] {
        ahead_s.store(step_s, Ordering::Relaxed);
        locate(&client, &physician(), &person(1)).await?;
        // Each is signed before the clock steps again.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    running.stop().await?;
    let mut c = open(&config).await?;
    let times: Vec<i64> =
        sqlx::query_scalar("SELECT occurred_at FROM event WHERE kind = 1 ORDER BY sequence")
            .fetch_all(&mut c)
            .await?;
    let back = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    ensure!(times.len() == 5 && back == 1, "the log is in the order of its entries: {times:?}");
    let signed: Vec<(i64, i64)> =
        sqlx::query_as("SELECT size, signed_at FROM checkpoint ORDER BY size").fetch_all(&mut c).await?;
    ensure!(signed.windows(2).any(|pair| pair[1].1 < pair[0].1), "no checkpoint is from before the step");
    let told = audit(&cluster, &config, &["verify"]).await?.well()?;
    ensure!(told.contains("is good"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_whole_goes_on_and_can_be_verified() -> anyhow::Result<()> {
    let (cluster, client) = located(2, |_| ()).await?;
    keep(&cluster).await?;
    let config = cluster.config();
    let export = async |form: &str, out: &str, more: &[&str]| {
        let arguments = [&["export", "--format", form, "--out", out], more].concat();
        audit(&cluster, config, &arguments).await
    };
    let read = |name: &str| std::fs::read_to_string(cluster.dir().join(name));
    let said = export("raw", "log.raw", &[]).await?.well()?;
    let (_, next) = said.trim().rsplit_once("--from ").with_context(|| said.clone())?;
    let entries: usize = next.parse()?;
    verify(&cluster, &["--raw", "log.raw", "--checkpoints", "kept"]).await?.well()?;
    let edited = read("log.raw")?.replacen("\"leaf\":\"C", "\"leaf\":\"D", 1);
    std::fs::write(cluster.dir().join("edited.raw"), edited)?;
    verify(&cluster, &["--raw", "edited.raw"]).await?.badly()?;
    let (cut, _) = read("log.raw")?
        .trim_end()
        .rsplit_once('\n')
        .map(|(a, b)| (a.to_owned(), b.len()))
        .context("lines")?;
    std::fs::write(cluster.dir().join("cut.raw"), cut + "\n")?;
    let (told, _) = verify(&cluster, &["--raw", "cut.raw"]).await?.badly()?;
    ensure!(told.contains(&format!("truncated at entry {}", entries - 1)), "{told}");

    // Whoever forges a file cuts it off where no checkpoint reaches, and says that it ends there.
    let forged =
        read("cut.raw")?.replacen(&format!("\"end\":{entries}"), &format!("\"end\":{}", entries - 1), 1);
    let notes_of = |text: &str, size: usize| text.contains(&format!("\\n{size}\\n"));
    let unsigned = forged
        .lines()
        .filter(|line| !notes_of(line, entries))
        .fold(String::new(), |all, line| all + line + "\n");
    std::fs::write(cluster.dir().join("forged.raw"), unsigned)?;
    let (told, _) = verify(&cluster, &["--raw", "forged.raw", "--checkpoints", "kept"]).await?.badly()?;
    ensure!(told.contains(&format!("truncated at entry {}", entries - 1)), "{told}");
    let told = verify(&cluster, &["--raw", "forged.raw"]).await?.well()?;
    ensure!(told.contains("nothing vouches"), "{told}");

    export("fhir", "log.ndjson", &[]).await?.well()?;
    for line in read("log.ndjson")?.lines() {
        let event: serde_json::Value = serde_json::from_str(line)?;
        ensure!(event["resourceType"] == "AuditEvent" && event["agent"].is_array(), "{event}");
    }
    ensure!(read("log.ndjson")?.lines().count() == entries);
    export("syslog", "log.syslog", &[]).await?.well()?;
    ensure!(
        read("log.syslog")?.lines().all(|line| line.starts_with("<8") && line.ends_with("</AuditMessage>"))
    );

    // What comes later goes on where the first ended, and is verified by itself.
    locate(&client, &physician(), &person(1)).await?;
    keep(&cluster).await?;
    export("raw", "more.raw", &["--from", next]).await?.well()?;
    let told = verify(&cluster, &["--raw", "more.raw", "--checkpoints", "kept"]).await?.well()?;
    ensure!(told.contains("first entry"), "{told}");
    let (_, error) = export("raw", "none/log.raw", &[]).await?.badly()?;
    ensure!(error.contains("none/log.raw"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_read_stops_no_export() -> anyhow::Result<()> {
    let (mut cluster, _client) = located(3, |_| ()).await?;
    cluster.take_process(Service::Audit)?.kill().await?;
    let first = first_locate(cluster.config()).await?;
    let spoilt = format!("UPDATE event SET leaf = x'00' WHERE sequence = {first} + 1");
    tamper(cluster.config(), &[spoilt]).await?;
    for form in ["fhir", "syslog"] {
        let arguments = ["export", "--format", form, "--out", "log.out"];
        let (_, told) = audit(&cluster, cluster.config(), &arguments).await?.badly()?;
        ensure!(told.contains(&format!("entry {} ", first + 1)), "{told}");
        let written = std::fs::read_to_string(cluster.dir().join("log.out"))?;
        let lines: Vec<_> = written.lines().collect();
        let at = usize::try_from(first)? + 1;
        ensure!(lines.len() == at + 2 && lines[at].contains("ENTRY_UNREADABLE"), "{}", lines.len());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_is_measured_and_nothing_is_left() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let private = folder.path().join("private");
    std::fs::create_dir(&private)?;
    let environment = [("TMPDIR", private.to_str().context("path")?)];
    let arguments = ["bench", "audit", "--entries", "30000", "--seconds", "1", "--json", "found.json"];
    let table = run_with(folder.path(), &environment, &arguments).await?.well()?;
    ensure!(table.contains("verifying a million entries"), "{table}");
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("found.json"))?)?;
    for key in ["audited_per_s", "locate_trust_p50_us", "verify_1m_s", "handshake_p50_us"] {
        ensure!(found[key].as_f64().is_some_and(|value| value > 0.0), "{key} is {}", found[key]);
    }
    ensure!(std::fs::read_dir(&private)?.count() == 0, "something is left");
    Ok(())
}
