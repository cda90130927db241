//! The bench, as people use it: it measures a server of its own, writes what it found, and leaves nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Map, Value};
use tokio::process::Command;

use crate::command::{Ran, command, run_with};

/// Longest time until the bench has its server, and until it has ended it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder to work in, with one in it for everything that the bench makes for itself.
struct Place {
    folder: tempfile::TempDir,
    private: PathBuf,
}

impl Place {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let private = folder.path().join("private");
        fs::create_dir(&private)?;
        Ok(Self { folder, private })
    }

    fn environment(&self) -> anyhow::Result<[(&str, &str); 1]> {
        Ok([("TMPDIR", self.private.to_str().context("path")?)])
    }

    async fn bench(&self, arguments: &str) -> anyhow::Result<Ran> {
        let arguments: Vec<&str> = ["bench", "mpi"].into_iter().chain(arguments.split_whitespace()).collect();
        run_with(self.folder.path(), &self.environment()?, &arguments).await
    }

    /// True when a process still names the private folder.
    fn has_server(&self) -> anyhow::Result<bool> {
        let path = self.private.to_str().context("path")?;
        // A process may end while it is looked at.
        let command_line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut lines = fs::read_dir("/proc")?.flatten().map(command_line);
        Ok(lines.any(|line| String::from_utf8_lossy(&line).contains(path)))
    }

    fn ensure_nothing_is_left(&self) -> anyhow::Result<()> {
        ensure!(!self.has_server()?, "the server still runs");
        let left: Vec<_> = fs::read_dir(&self.private)?.collect();
        ensure!(left.is_empty(), "this is left: {left:?}");
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Map<String, Value>> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_measured_and_compared_and_nothing_is_left() -> anyhow::Result<()> {
    let place = Place::new()?;
    let small = "--people 300 --seconds 1 --json";
    let table = place.bench(&format!("{small} before.json")).await?.well()?;
    ensure!(table.contains("matching, one at a time, p50") && !table.contains("ratio"), "{table}");
    place.ensure_nothing_is_left()?;

    let fields = read(&place.folder.path().join("before.json"))?;
    ensure!(fields["people"] == 300 && fields["database"] == "sqlite");
    let number = |key: &str| fields.get(key).and_then(Value::as_f64).with_context(|| format!("no {key}"));
    for key in [
        "import_wall_s",
        "match_p50_us",
        "match_per_s",
        "match_audited_p50_us",
        "register_batch_per_s",
        "register_one_p50_us",
        "bytes_per_record",
        "peak_rss_mb",
        "match_cpu_us",
    ] {
        ensure!(number(key)? > 0.0, "{key} is {}", number(key)?);
    }
    ensure!(number("match_p50_us")? <= number("match_p99_us")?);
    ensure!(number("register_one_p50_us")? <= number("register_one_p95_us")?);
    let imported = number("import_linked")? + number("import_founded")?;
    ensure!(imported == 300.0, "{imported} records were imported");
    let fed = number("feed_attached")? + number("feed_new_person")? + number("feed_review")?;
    ensure!(fed == 300.0, "{fed} records were fed");
    ensure!(number("records")? == 600.0);
    let (found, missed) = (number("match_known_certain")?, number("match_known_not_found")?);
    ensure!(found > missed, "{found} known people were found and {missed} not");
    ensure!(number("match_stranger_certain")? < number("match_stranger_not_found")?);
    ensure!(fields["match_histogram_us_v2"].as_str().is_some_and(|text| !text.is_empty()));

    let table = place.bench(&format!("{small} now.json --compare before.json")).await?.well()?;
    ensure!(table.contains("before") && table.contains("ratio"), "{table}");
    let (_, error) = place.bench(&format!("{small} now.json --compare absent.json")).await?.badly()?;
    ensure!(error.contains("absent.json") && error.contains("makes such a file"), "{error}");
    place.ensure_nothing_is_left()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bench_that_is_interrupted_ends_its_server() -> anyhow::Result<()> {
    let place = Place::new()?;
    let arguments = ["bench", "mpi", "--people", "300", "--seconds", "600"];
    let mut command = command(place.folder.path(), &place.environment()?, &arguments)?;
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut bench = quiet.kill_on_drop(true).spawn()?;
    let began = Instant::now();
    while !place.has_server()? {
        ensure!(began.elapsed() < PATIENCE, "the bench starts no server");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = bench.id().context("the bench has ended")?.to_string();
    ensure!(Command::new("kill").args(["-INT", &pid]).status().await?.success());
    let ended = tokio::time::timeout(PATIENCE, bench.wait()).await.context("the bench does not end")??;
    ensure!(ended.code() == Some(1), "{ended:?}");
    place.ensure_nothing_is_left()
}
