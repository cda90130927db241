//! The operator's commands for the network's policy, as people use them: from a template to a policy in force and back, and
//! what is said of policies that are wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use signpost::config::{NetworkDefault, Service};
use signpost_tests::{Cluster, DocumentFile, Topology, write_index};

use crate::command::{Ran, run};

/// An id that nobody gave.
const UNKNOWN: &str = "01a2035c-2b37-7179-9aa7-7dd86f89df2f";

const PATIENCE: Duration = Duration::from_secs(20);

/// A rule that nobody of west may see anything.
const NOT_WEST: &str =
    "\n[[network]]\nname = \"not-west\"\neffect = \"deny\"\nmatch = { requesters = [\"west\"] }\n";

/// Returns what a file says of itself: the line of each problem and words of its message, in the order of lines.
fn expected(text: &str) -> anyhow::Result<Vec<(u32, String)>> {
    let told = text.lines().map_while(|line| line.strip_prefix("# line "));
    let read = |told: &str| {
        let (line, words) = told.split_once(": ").context("no `: `")?;
        Ok((line.parse()?, words.to_owned()))
    };
    told.map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_policy_is_refused_at_its_line() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/bad");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    files.sort();
    ensure!(files.len() > 35, "only {} files were found", files.len());
    for path in files {
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
        let expected = expected(&fs::read_to_string(&path)?)?;
        ensure!(!expected.is_empty(), "{name} does not begin with `# line N: words of the message`");
        let (out, err) = run(&folder, &["policy", "check", name]).await?.badly()?;
        let told: Vec<&str> = err.lines().collect();
        assert!(out.is_empty() && told.len() == expected.len(), "{name}: {out}{err}");
        for (told, (line, words)) in told.into_iter().zip(&expected) {
            assert!(told.starts_with(&format!("{name}:{line}: ")) && told.contains(words), "{words}: {told}");
        }
        // Whoever goes on with a bad policy is told the same.
        for command in ["explain", "activate", "simulate"] {
            assert_eq!(run(&folder, &["policy", command, name]).await?.badly()?.1, err, "{command} {name}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_policy_is_refused_with_the_next_step() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path();
    fs::write(folder.join("latin.toml"), b"name = \"p\"\nsummary = \"J\xF6rg\"\n")?;
    fs::write(folder.join("long.toml"), "#".repeat(300 << 10))?;
    fs::write(folder.join("cases.toml"), "[[case]]\nname = \"one\"\nrequester = \"mesa\"\n")?;
    fs::write(folder.join("none.toml"), "# Nothing.\n")?;
    let refused: [(&[&str], &str); 13] = [
        (&["check", "absent.toml"], "error: reading absent.toml: No such file"),
        (&["check", "."], "error: reading .: it is a folder"),
        (&["check", "latin.toml"], "latin.toml:2: this is no UTF-8 text"),
        (&["check", "long.toml"], "long.toml:1: a policy has at most"),
        (&["explain", "absent.toml"], "error: reading absent.toml"),
        (&["explain", "opt-out@3"], "`signpost policy show opt-out@3`"),
        (&["template", "opt"], "error: \"opt\" is no template; there are opt-out, opt-in,"),
        (&["test", "opt-out", "--cases", "absent.toml"], "error: reading absent.toml"),
        (&["test", "opt-out", "--cases", "."], "it is a folder"),
        (&["test", "opt-out", "--cases", "cases.toml"], "cases.toml:1: missing field `role`"),
        (&["test", "opt-out", "--cases", "none.toml"], "none.toml:1: missing field `case`"),
        (&["activate", "absent.toml"], "error: reading absent.toml"),
        (&["simulate", "."], "it is a folder"),
    ];
    for (arguments, words) in refused {
        let ran = run(folder, &[&["policy"], arguments].concat()).await?;
        let (out, err) = ran.badly().with_context(|| format!("{arguments:?}"))?;
        assert!(out.is_empty() && err.contains(words), "{arguments:?}: {err}");
    }
    let misused: [(&[&str], &str); 7] = [
        (&["simulate", "opt-out", "--last", "tomorrow"], "12h, 30d or 2w"),
        (&["simulate", "opt-out", "--last", "30d ago"], "12h, 30d or 2w"),
        (&["simulate"], "<POLICY>"),
        (&["test", "opt-out"], "--cases"),
        (&["template", "opt-out", "--cases"], "--cases"),
        (&["diff", "opt-out"], "<AFTER>"),
        (&["decision"], "<DECISION>"),
    ];
    for (arguments, words) in misused {
        let Ran { code, out, err } = run(folder, &[&["policy"], arguments].concat()).await?;
        assert!(code == Some(2) && out.is_empty() && err.contains(words), "{arguments:?}: {err}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_compared_as_diff_does() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path();
    let template = run(folder, &["policy", "template", "opt-out"]).await?.well()?;
    fs::write(folder.join("same.toml"), format!("# A comment.\n{template}"))?;
    fs::write(folder.join("other.toml"), format!("{template}{NOT_WEST}"))?;
    fs::write(folder.join("bad.toml"), "name = \"p\"\nnetwork = 1\n")?;
    let diff = async |before: &str, after: &str| run(folder, &["policy", "diff", before, after]).await;
    let same = diff("opt-out", "same.toml").await?;
    assert!(same.code == Some(0) && same.out.is_empty() && same.err.is_empty(), "{same:?}");
    let (out, _) = diff("same.toml", "other.toml").await?.badly()?;
    assert!(
        out.starts_with("+ network:not-west\n") && out.contains("the organisation that asks is west"),
        "{out}"
    );
    let (out, _) = diff("other.toml", "opt-out").await?.badly()?;
    assert!(out.starts_with("- network:not-west\n"), "{out}");
    fs::write(folder.join("changed.toml"), template.replace("\"T-TREAT\"", "\"TREAT\", \"HPAYMT\""))?;
    let (out, _) = diff("opt-out", "changed.toml").await?.badly()?;
    assert!(
        out.contains("~ network:opt-out\n    purposes of use: now also payment (HPAYMT); no longer"),
        "{out}"
    );
    for (before, after, words) in [
        ("absent.toml", "opt-out", "error: reading absent.toml"),
        ("opt-out", "bad.toml", "bad.toml:2: "),
        ("opt-out", ".", "it is a folder"),
        ("opt-out", "opt-out@1", "error: reading the keys of operator"),
    ] {
        let trouble = diff(before, after).await?;
        assert!(trouble.code == Some(2) && trouble.out.is_empty(), "{trouble:?}");
        assert!(trouble.err.contains(words), "{trouble:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_tried_on_cases() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path();
    let cases = run(folder, &["policy", "template", "--cases"]).await?.well()?;
    fs::write(folder.join("cases.toml"), &cases)?;
    let test = async |policy: &str, more: &[&str]| {
        run(folder, &[&["policy", "test", policy, "--cases", "cases.toml"], more].concat()).await
    };
    let out = test("opt-out", &[]).await?.well()?;
    assert!(out.contains("8 cases, as expected") && out.contains("patient:no-psychiatry"), "{out}");
    let (out, _) = test("opt-in", &["--why"]).await?.badly()?;
    for words in
        ["5 of 8 cases", "expected to permit, it denies", "The network's rule denies it, and decides."]
    {
        assert!(out.contains(words), "{words}: {out}");
    }
    let all = run(folder, &["policy", "template"]).await?.well()?;
    for name in all.lines().skip(1).map_while(|line| line.split_whitespace().next()) {
        let text = run(folder, &["policy", "template", name]).await?.well()?;
        fs::write(folder.join("template.toml"), text)?;
        let out = run(folder, &["policy", "check", "template.toml"]).await?.well()?;
        assert!(out.contains(&format!("the policy {name} is good")), "{out}");
        let told = run(folder, &["policy", "explain", "template.toml"]).await?.well()?;
        assert_eq!(told, run(folder, &["policy", "explain", name]).await?.well()?);
        assert!(told.contains("First comes law") && told.contains("  network:"), "{told}");
    }
    Ok(())
}

/// Runs a command with the address of the cluster.
pub(crate) async fn call(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Ran> {
    let endpoint = cluster.endpoint(Service::Locator);
    run(cluster.dir(), &[arguments, &["--pki", "pki", "--endpoint", &endpoint]].concat()).await
}

/// Runs a command on policies that does well.
async fn policy(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    call(cluster, &[&["policy"], arguments].concat()).await?.well()
}

/// Starts an exchange on which north has a document of Rosa.
pub(crate) async fn exchange() -> anyhow::Result<Cluster> {
    let cluster = Cluster::builder(Topology::OneProcess).start().await?;
    let people = "mrn,given,family,birth_date,sex,phone\nN1,Rosa,Delgado,1990-09-09,female,212-555-0187\n";
    fs::write(cluster.dir().join("people.csv"), people)?;
    call(&cluster, &["import", "people", "people.csv", "--as", "north"]).await?.well()?;
    let folder = cluster.documents("north");
    fs::write(folder.join("a.txt"), "insulin")?;
    let document = DocumentFile {
        local_id: "N1".into(),
        file: "a.txt".into(),
        mime_type: "text/plain".into(),
        type_code: "10160-0".into(),
        labels: "N".into(),
    };
    write_index(&folder, &[document])?;
    let folder = folder.to_str().context("path")?;
    call(&cluster, &["import", "documents", folder, "--as", "north"]).await?.well()?;
    Ok(cluster)
}

/// Returns how many documents west may see of Rosa.
pub(crate) async fn seen(cluster: &Cluster) -> anyhow::Result<usize> {
    let rosa = ["--given=Rosa", "--family=Delgado", "--birth-date=1990-09-09", "--phone=212-555-0187"];
    let out = call(cluster, &[["locate", "--as=west", "--user=dr.lee"].as_slice(), &rosa].concat())
        .await?
        .well()?;
    ensure!(out.contains("person "), "{out}");
    Ok(out.lines().filter(|line| line.contains(" north ")).count())
}

/// Simulates a policy until what was decided is kept, which happens behind the answers.
async fn simulated(cluster: &Cluster, file: &str) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        let out = policy(cluster, &["simulate", file, "--last", "1h", "--json", "-"]).await?;
        let simulated: Value = serde_json::from_str(&out)?;
        if simulated["replayed"] != 0 {
            return Ok(simulated);
        }
        if began.elapsed() > PATIENCE {
            bail!("nothing is replayed after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_comes_from_a_template_to_a_policy_in_force_and_back() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let template = policy(&cluster, &["show"]).await?;
    let shipped = NetworkDefault::OptOut.version();
    assert!(template.starts_with(&format!("# {shipped}, in force, shipped\n")), "{template}");
    let same = policy(&cluster, &["show", &shipped]).await?;
    assert_eq!(same, template);
    assert!(policy(&cluster, &["list"]).await?.contains("no version was activated"));

    let template = run(cluster.dir(), &["policy", "template", "opt-out"]).await?.well()?;
    fs::write(cluster.dir().join("policy.toml"), &template)?;
    assert!(
        run(cluster.dir(), &["policy", "check", "policy.toml"]).await?.well()?.contains("opt-out is good")
    );
    let out = policy(&cluster, &["activate", "policy.toml", "--user", "kim"]).await?;
    assert_eq!(out, format!("opt-out@1 is in force; before it was {shipped} of `consent.network_default`\n"));
    let out = policy(&cluster, &["activate", "policy.toml"]).await?;
    assert_eq!(
        out, "opt-out@1 was in force already; nothing changes\n",
        "the same document is the same version"
    );
    assert_eq!(seen(&cluster).await?, 1);

    fs::write(cluster.dir().join("policy.toml"), format!("{template}{NOT_WEST}"))?;
    let simulation = simulated(&cluster, "policy.toml").await?;
    assert_eq!((&simulation["replayed"], &simulation["differing"]), (&1.into(), &1.into()));
    let flip = &simulation["flips"][0];
    let [decision, document] =
        ["decision_id", "document_id"].map(|key| flip[key].as_str().unwrap_or_default());
    for (key, value) in [
        ("member_id", "west"),
        ("purpose", "TREAT"),
        ("before", "permit"),
        ("after", "deny"),
        ("rule_before", "network:opt-out"),
        ("rule_after", "network:not-west"),
    ] {
        assert_eq!(flip[key], value, "{flip}");
    }
    let out = policy(&cluster, &["simulate", "policy.toml"]).await?;
    assert!(out.starts_with("1 decision replayed, 1 would differ\n"), "{out}");
    for words in [decision, document, "permit -> deny", "network:opt-out -> network:not-west"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let out = policy(&cluster, &["simulate", "opt-out@1"]).await?;
    assert_eq!(out, "1 decision replayed, 0 would differ\n");
    assert_eq!(seen(&cluster).await?, 1, "what is simulated changes nothing");
    explained(&cluster, decision, document).await?;

    let out = policy(&cluster, &["activate", "policy.toml"]).await?;
    assert_eq!(out, "opt-out@2 is in force; before it was opt-out@1\n");
    assert_eq!(seen(&cluster).await?, 0);
    let differ = call(&cluster, &["policy", "diff", "opt-out@1", "opt-out@2"]).await?.badly()?.0;
    assert!(differ.starts_with("+ network:not-west\n"), "{differ}");

    let out = policy(&cluster, &["rollback", "--request-id", "back"]).await?;
    assert_eq!(out, "opt-out@1 is in force; before it was opt-out@2\n");
    let out = policy(&cluster, &["rollback", "--request-id", "back"]).await?;
    assert_eq!(out, "opt-out@1 was in force already; nothing changes\n", "the same attempt goes back once");
    assert_eq!(seen(&cluster).await?, 1);
    let shown = policy(&cluster, &["show"]).await?;
    let (heading, document) = shown.split_once('\n').context("one line")?;
    assert_eq!(document, template);
    assert!(
        heading.starts_with("# opt-out@1, in force, drafted ") && heading.ends_with(" by operator/cli"),
        "{shown}"
    );
    assert!(heading.contains(" by operator/kim, activated "), "{shown}");
    let shown = policy(&cluster, &["show", "opt-out@2"]).await?;
    assert!(shown.starts_with("# opt-out@2, not in force, ") && shown.contains("not-west"), "{shown}");
    let listed = policy(&cluster, &["list"]).await?;
    let versions: Vec<_> = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(versions, ["opt-out@2", "opt-out@1"], "{listed}");
    Ok(())
}

/// A decision of the past is explained by the version of its day, and by another.
async fn explained(cluster: &Cluster, decision: &str, document: &str) -> anyhow::Result<()> {
    let out = policy(cluster, &["decision", decision]).await?;
    let first = out.lines().next().context("nothing")?;
    assert!(first.ends_with("permit by network:opt-out, policy opt-out@1"), "{out}");
    let rule = out.lines().find(|line| line.trim_start().starts_with('*')).context("no rule decided")?;
    assert!(rule.contains("network:opt-out") && rule.contains("permits it, and decides."), "{out}");
    assert_eq!(out, policy(cluster, &["decision", decision, "--document", document]).await?);
    let refused = call(cluster, &["policy", "decision", decision, "--document", UNKNOWN]).await?.badly()?.1;
    assert!(refused.contains("DECISION_UNKNOWN"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_by_the_exchange_and_the_next_step_is_named() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let refused: [(&[&str], &str, &str); 10] = [
        (&["show", "opt-out@7"], "POLICY_UNKNOWN", "signpost policy list"),
        (&["activate", "opt-out@7"], "POLICY_UNKNOWN", "signpost policy list"),
        (&["simulate", "opt-out@7"], "POLICY_UNKNOWN", "signpost policy list"),
        (&["rollback", "opt-out@7"], "POLICY_UNKNOWN", "signpost policy list"),
        (&["rollback"], "POLICY_FIRST", "signpost policy list"),
        (&["decision", UNKNOWN], "DECISION_UNKNOWN", "signpost policy simulate"),
        (&["decision", "seven"], "decision_id", "signpost policy simulate"),
        (&["list", "--as", "north"], "ROLE_NOT_PERMITTED", "--as"),
        (&["activate", "opt-in", "--role", "privacy-officer"], "ROLE_NOT_PERMITTED", "--role"),
        (&["list", "--role", "king"], "\"king\" is not a role", ""),
    ];
    for (arguments, what, next) in refused {
        let ran = call(&cluster, &[&["policy"], arguments].concat()).await?;
        let (_, err) = ran.badly().with_context(|| format!("{arguments:?}"))?;
        assert!(
            err.starts_with("error: ") && err.contains(what) && err.contains(next),
            "{arguments:?}: {err}"
        );
    }
    let trouble = call(&cluster, &["policy", "diff", "opt-out", "opt-out@7"]).await?;
    assert!(trouble.code == Some(2) && trouble.err.contains("POLICY_UNKNOWN"), "{trouble:?}");
    let out = policy(&cluster, &["list", "--role", "privacy-officer"]).await?;
    let shipped = NetworkDefault::OptOut.version();
    assert_eq!(out, format!("no version was activated; {shipped} of `consent.network_default` holds\n"));
    let out = policy(&cluster, &["simulate", "opt-in", "--last", "1 year"]).await?;
    assert_eq!(out, "0 decisions replayed, 0 would differ\n");
    Ok(())
}
