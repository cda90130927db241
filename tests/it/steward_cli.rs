//! The stewards' commands, as people use them: see what waits, decide it, take it back, follow it; and models.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;
use signpost::config::Service;
use signpost_tests::{Cluster, Topology};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use crate::command::{self, Ran, run};

/// An id that nobody gave.
const UNKNOWN: &str = "01a2035c-2b37-7179-9aa7-7dd86f89df2f";

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command with the address of the cluster.
async fn call(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Ran> {
    let endpoint = cluster.endpoint(Service::Locator);
    run(cluster.dir(), &[arguments, &["--pki", "pki", "--endpoint", &endpoint]].concat()).await
}

/// Runs a command that does well.
async fn well(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    call(cluster, arguments).await?.well()
}

/// Runs a command that fails, and returns what it complains of.
async fn badly(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    Ok(call(cluster, arguments).await?.badly()?.1)
}

/// Runs a command that is not one, and returns what it complains of.
async fn misused(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let ran = call(cluster, arguments).await?;
    ensure!(ran.code == Some(2) && ran.out.is_empty(), "{arguments:?}: {ran:?}");
    Ok(ran.err)
}

/// Returns the line that holds a text.
fn line<'a>(out: &'a str, text: &str) -> anyhow::Result<&'a str> {
    let found = out.lines().find(|line| line.contains(text));
    found.with_context(|| format!("no line holds {text:?}: {out}"))
}

/// Returns a cell of the line that holds a text.
fn cell(out: &str, text: &str, number: usize) -> anyhow::Result<String> {
    let line = line(out, text)?;
    Ok(line.split_whitespace().nth(number).with_context(|| line.to_owned())?.to_owned())
}

async fn import(cluster: &Cluster, member: &str, row: &str) -> anyhow::Result<()> {
    let header = "mrn,given,family,suffix,birth_date,sex,phone";
    fs::write(cluster.dir().join("people.csv"), format!("{header}\n{row}\n"))?;
    well(cluster, &["import", "people", "people.csv", "--as", member]).await?;
    Ok(())
}

/// Starts an exchange that knows a father, a son who looks like him, and somebody else.
async fn exchange() -> anyhow::Result<Cluster> {
    let cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    import(&cluster, "north", "N1,Jerome,Holdsworth,Sr,1950-02-03,male,617-555-0101").await?;
    import(&cluster, "south", "S1,Jerome,Holdsworth,Jr,1950-02-03,male,617-555-0101").await?;
    import(&cluster, "south", "S2,Rosa,Delgado,,1990-09-09,female,212-555-0187").await?;
    Ok(cluster)
}

/// Returns the person that a record belongs to.
async fn person_of(cluster: &Cluster, record: &str) -> anyhow::Result<String> {
    cell(&well(cluster, &["steward", "person", record]).await?, "person ", 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_found_explained_and_decided() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let out = well(&cluster, &["steward", "tasks"]).await?;
    let task = cell(&out, "south/S1", 0)?;
    let father = person_of(&cluster, "north/N1").await?;
    assert!(line(&out, &task)?.contains(&father) && line(&out, &task)?.contains("SUFFIX_CONFLICT"), "{out}");
    let counted = out.lines().skip_while(|line| !line.trim_start().starts_with("reason ")).nth(1);
    let counted: Vec<_> = counted.context("no counts")?.split_whitespace().collect();
    assert_eq!(counted, ["SUFFIX_CONFLICT", "1"]);

    for more in [
        ["--member", "south"],
        ["--reason", "SUFFIX_CONFLICT"],
        ["--probability-min", "0.01"],
        ["--opened-before", "2999-01-01"],
        ["--limit", "1"],
    ] {
        let out = well(&cluster, &[["steward", "tasks"], more].concat()).await?;
        line(&out, &task).with_context(|| format!("{more:?}"))?;
    }
    for more in [
        ["--member", "north"],
        ["--reason", "TWIN_PATTERN"],
        ["--probability-min", "1"],
        ["--opened-before", "2020-01-01T08:00:00Z"],
        ["--state", "kept-apart"],
    ] {
        let out = well(&cluster, &[["steward", "tasks"], more].concat()).await?;
        assert!(!out.contains(&task), "{more:?}: {out}");
        line(&out, "no task")?;
    }
    let json: Value = serde_json::from_str(&well(&cluster, &["steward", "tasks", "--json", "-"]).await?)?;
    assert_eq!(
        (&json["tasks"][0]["task_id"], &json["tasks"][0]["record"]),
        (&task.into(), &"south/S1".into())
    );
    assert_eq!(json["counts"][0]["reason"], "SUFFIX_CONFLICT");
    let task = json["tasks"][0]["task_id"].as_str().context("no task")?;

    let out = well(&cluster, &["steward", "explain", "south/S1", "north/N1"]).await?;
    for text in ["prior", "birth_date", "total", "SUFFIX_CONFLICT", "model "] {
        line(&out, text)?;
    }
    assert!(!out.contains("1950-02-03"), "a value is shown: {out}");

    let put_off = well(&cluster, &["steward", "resolve", task, "defer"]).await?;
    assert!(line(&put_off, task)?.contains("deferred"), "{put_off}");
    let out = well(&cluster, &["steward", "tasks", "--state", "deferred"]).await?;
    line(&out, task)?;
    let apart = well(&cluster, &["steward", "resolve", task, "keep-apart"]).await?;
    assert!(line(&apart, task)?.contains("kept-apart"), "{apart}");
    line(&well(&cluster, &["steward", "tasks"]).await?, "no task")?;
    let err = badly(&cluster, &["steward", "resolve", task, "link"]).await?;
    assert!(err.contains("TASK_RESOLVED") && err.contains("signpost steward history"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_merge_is_taken_back_and_who_was_told_is_named() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let (rosa, father) = (person_of(&cluster, "south/S2").await?, person_of(&cluster, "north/N1").await?);
    let merge = ["steward", "merge", &rosa, &father, "--reason", "they look alike"];
    let merged = well(&cluster, &merge).await?;
    let sequence = cell(&merged, "merge", 0)?;
    for text in ["south/S2", &rosa, &father, "operator/cli", "they look alike"] {
        assert!(line(&merged, "merge")?.contains(text), "{text}: {merged}");
    }
    // An emergency department asks for Rosa and is told of the father's record, too.
    let asked = ["--given=Rosa", "--family=Delgado", "--birth-date=1990-09-09", "--phone=212-555-0187"];
    let located =
        well(&cluster, &[["locate", "--as=west", "--user=dr.lee"].as_slice(), &asked].concat()).await?;
    assert_eq!(cell(&located, "person ", 1)?, father);

    let out = well(&cluster, &["steward", "person", &rosa]).await?;
    assert_eq!(cell(&out, "person ", 1)?, father, "whom she was merged into");
    assert!(line(&out, "1990-09-09")?.contains("south/S2"), "{out}");
    let undone = well(&cluster, &["steward", "undo", &sequence, "--reason", "two people"]).await?;
    assert!(line(&undone, &format!("undo of {sequence}"))?.contains(&rosa), "{undone}");
    let told = line(&undone, "dr.lee")?;
    for text in ["west", "physician", "TREAT", "looked up"] {
        assert!(told.contains(text), "{text}: {undone}");
    }
    line(&undone, "somebody should be told")?;

    let out = well(&cluster, &["steward", "history", "--record", "south/S2"]).await?;
    let kinds: Vec<_> = out.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert_eq!(kinds, ["undo", "merge", "create"], "the latest first: {out}");
    let out = well(&cluster, &["steward", "history", "--record", "south/S2", "--limit", "1"]).await?;
    assert!(out.contains("undo") && !out.contains("merge  ") && out.contains("--limit"), "{out}");
    let out = well(&cluster, &["steward", "history", "--person", &father]).await?;
    assert!(out.contains("north/N1") && out.contains("south/S2"), "{out}");
    let err = badly(&cluster, &["steward", "undo", "1", "--reason", "why"]).await?;
    assert!(err.contains("NOTHING_BEFORE"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_linked_taken_out_and_split_by_hand() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let father = person_of(&cluster, "north/N1").await?;
    let linked = ["steward", "link", "south/S1", &father, "--reason", "the suffix was a slip"];
    let out = well(&cluster, &linked).await?;
    assert!(line(&out, "link")?.contains(&father), "{out}");
    let out = well(&cluster, &["steward", "person", "south/S1"]).await?;
    assert_eq!(cell(&out, "person ", 1)?, father);
    assert!(line(&out, "2 records")?.contains(&father), "{out}");
    assert!(out.contains("Jerome Holdsworth Jr") && out.contains("Jerome Holdsworth Sr"), "{out}");
    let out = well(&cluster, &["steward", "person", "south/S1", "--as-of", "2020-01-01T00:00:00Z"]).await;
    assert!(out.is_err(), "nobody was known then");

    let unlink = ["steward", "unlink", "south/S1", "--reason", "he has a son", "--request-id", "first"];
    let unlinked = well(&cluster, &unlink).await?;
    assert_eq!(well(&cluster, &unlink).await?, unlinked, "the same attempt decides nothing twice");
    assert!(line(&unlinked, "unlink")?.contains(&father), "{unlinked}");
    line(&unlinked, "nothing was disclosed through the wrong link")?;
    let sequence = cell(&unlinked, "unlink", 0)?;
    well(&cluster, &["steward", "undo", &sequence, "--reason", "he has none"]).await?;
    let out = well(&cluster, &["steward", "explain", "--decision", &sequence]).await?;
    assert!(out.contains("total") && out.contains("south/S1"), "{out}");
    let split =
        well(&cluster, &["steward", "split", &father, "south/S1", "--reason", "he has a son"]).await?;
    let son = cell(&split, "new person", 2)?;
    assert_eq!(person_of(&cluster, "south/S1").await?, son);
    line(&split, "nothing was disclosed through the wrong link")?;
    let err = badly(&cluster, &["steward", "unlink", "south/S1", "--reason", "again"]).await?;
    assert!(err.contains("ALREADY_ALONE"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_the_next_step_is_named() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let refused: [(&[&str], &str, &str); 15] = [
        (&["steward", "resolve", UNKNOWN, "link"], "TASK_UNKNOWN", "signpost steward tasks"),
        (&["steward", "resolve", "seven", "link"], "task_id", "signpost steward tasks"),
        (&["steward", "link", "seven", UNKNOWN, "--reason", "x"], "record_id", "MEMBER/LOCAL"),
        (
            &["steward", "link", "south/S1", UNKNOWN, "--reason", "x"],
            "PERSON_UNKNOWN",
            "signpost steward person",
        ),
        (&["steward", "link", "south/S7", UNKNOWN, "--reason", "x"], "south/S7", "MEMBER/LOCAL"),
        (&["steward", "unlink", UNKNOWN, "--reason", "x"], "RECORD_UNKNOWN", "signpost steward person"),
        (&["steward", "unlink", "south/S1", "--reason", " "], "reason", "500 characters"),
        (
            &["steward", "merge", UNKNOWN, UNKNOWN, "--reason", "x"],
            "PERSON_UNKNOWN",
            "signpost steward person",
        ),
        (&["steward", "undo", "4711", "--reason", "x"], "EVENT_UNKNOWN", "signpost steward history"),
        (&["steward", "explain", "--decision", "1"], "NOTHING_COMPARED", "signpost steward explain"),
        (&["steward", "person", "north/"], "local_id", "MEMBER/LOCAL"),
        (&["steward", "tasks", "--probability-min", "2"], "probability_min", "between 0 and 1"),
        (&["steward", "watch", "--from", "nonsense"], "resume_token", "earlier change"),
        (&["steward", "watch", "--from", "-onsense"], "resume_token", "earlier change"),
        (&["steward", "tasks", "--as", "north"], "ROLE_NOT_PERMITTED", "--as"),
    ];
    for (arguments, what, next) in refused {
        let err = badly(&cluster, arguments).await.with_context(|| format!("{arguments:?}"))?;
        assert!(
            err.starts_with("error: ") && err.contains(what) && err.contains(next),
            "{arguments:?}: {err}"
        );
    }
    let misused_commands: [(&[&str], &str); 8] = [
        (&["steward", "unlink", "south/S1"], "--reason"),
        (&["steward", "split", UNKNOWN, "--reason", "x"], "RECORD"),
        (&["steward", "resolve", UNKNOWN, "maybe"], "keep-apart"),
        (&["steward", "undo", "seven", "--reason", "x"], "seven"),
        (&["steward", "explain", "south/S1"], "RECORD"),
        (&["steward", "history"], "--person"),
        (&["steward", "tasks", "--state", "lost"], "kept-apart"),
        (&["steward", "tasks", "--opened-before", "yesterday"], "2026-01-31"),
    ];
    for (arguments, what) in misused_commands {
        let err = misused(&cluster, arguments).await?;
        assert!(err.contains(what), "{arguments:?}: {err}");
    }
    Ok(())
}

/// A command that watches, and what it has printed.
struct Watching {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Watching {
    fn start(cluster: &Cluster, more: &[&str]) -> anyhow::Result<Self> {
        let endpoint = cluster.endpoint(Service::Locator);
        let watch = ["steward", "watch", "--pki", "pki", "--endpoint", &endpoint];
        let mut command = command::command(cluster.dir(), &[], &[watch.as_slice(), more].concat())?;
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = piped.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("standard output")?).lines();
        Ok(Self { child, lines })
    }

    async fn next(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.context("nothing comes")?;
        line?.context("it ended")
    }

    /// Returns how it ended and what it complained of.
    async fn end(mut self) -> anyhow::Result<(Option<i32>, String)> {
        let mut err = String::new();
        self.child.stderr.take().context("standard error")?.read_to_string(&mut err).await?;
        Ok((tokio::time::timeout(PATIENCE, self.child.wait()).await??.code(), err))
    }

    /// Presses Ctrl-C.
    async fn interrupt(self) -> anyhow::Result<(Option<i32>, String)> {
        let pid = self.child.id().context("it has ended already")?;
        ensure!(Command::new("kill").args(["-INT", &pid.to_string()]).status().await?.success());
        self.end().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_followed_and_the_stream_goes_on_where_it_ended() -> anyhow::Result<()> {
    let mut cluster = exchange().await?;
    let mut watching = Watching::start(&cluster, &[])?;
    for record in ["north/N1", "south/S1", "south/S2"] {
        let line = watching.next().await?;
        assert!(line.contains("create") && line.contains(record), "{line}");
    }
    import(&cluster, "north", "N2,Rosa,Delgado,,1990-09-09,female,212-555-0187").await?;
    let last = watching.next().await?;
    assert!(last.contains("link") && last.contains("north/N2"), "it comes when it is decided: {last}");
    let token = last.rsplit(' ').next().context("no token")?.to_owned();
    let (code, err) = watching.interrupt().await?;
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains(&format!("--from {token}")), "{err}");

    let mut watching = Watching::start(&cluster, &["--from", &token])?;
    import(&cluster, "north", "N3,Olga,Quill,,1971-01-01,female,212-555-0100").await?;
    let line = watching.next().await?;
    assert!(line.contains("north/N3"), "only what is later: {line}");
    ensure!(cluster.take_process(Service::Locator)?.terminate().await?, "nothing holds the process up");
    let (code, err) = watching.end().await?;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("STOPPING") && err.contains("--from "), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_shown_and_what_is_not_one_is_refused() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let shown = well(&cluster, &["model", "show"]).await?;
    let version = cell(&shown, "in-force", 0)?;
    let listed = well(&cluster, &["model", "list"]).await?;
    assert!(line(&listed, &version)?.contains("in-force"), "{listed}");
    assert_eq!(well(&cluster, &["model", "show", &version]).await?, shown);

    let refused: [(&[&str], &str, &str); 6] = [
        (&["model", "train", "spring 2026"], "INVALID_FIELD", "version: must be 1 to 64 letters"),
        (&["model", "promote", "nonsense", "--reason", "x"], "MODEL_UNKNOWN", "signpost model list"),
        (&["model", "discard", "nonsense", "--reason", "x"], "MODEL_UNKNOWN", "signpost model list"),
        (&["model", "show", "nonsense"], "MODEL_UNKNOWN", "signpost model list"),
        (&["model", "changes", "nonsense"], "MODEL_UNKNOWN", "signpost model list"),
        (&["model", "discard", &version, "--reason", "x"], "MODEL_NOT_READY", "signpost model list"),
    ];
    for (arguments, what, next) in refused {
        let err = badly(&cluster, arguments).await.with_context(|| format!("{arguments:?}"))?;
        assert!(
            err.starts_with("error: ") && err.contains(what) && err.contains(next),
            "{arguments:?}: {err}"
        );
    }
    let err = misused(&cluster, &["model", "promote", &version]).await?;
    assert!(err.contains("--reason"), "{err}");
    let out = well(&cluster, &["model", "changes", &version, "--report", "changes.html"]).await?;
    line(&out, "changes nothing")?;
    let page = fs::read_to_string(cluster.dir().join("changes.html"))?;
    assert!(page.starts_with("<!doctype html>") && page.contains(&version), "{page}");
    let nowhere = ["model", "changes", &version, "--report", "nowhere/changes.html"];
    let err = badly(&cluster, &nowhere).await?;
    assert!(err.contains("the folder nowhere is not there"), "{err}");
    Ok(())
}
