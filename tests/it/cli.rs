//! The command line, as people use it: real processes, real files; what they print and how they end.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use signpost::config::Service;
use signpost_proto::{
    common::v1::RecordReference,
    consent::v1::{CreateDirectiveRequest, Directive, Effect, Match},
    mpi::v1::{GetPersonRequest, get_person_request::By},
};
use signpost_tests::{Cluster, DocumentFile, Process, Topology, patient, system, write_index};

use crate::command::{Ran, run, run_with};

/// A document id that nobody gave.
const UNKNOWN: &str = "01a2035c-2b37-7179-9aa7-7dd86f89df2f";

/// Runs a command of a member against the cluster.
async fn call(cluster: &Cluster, member: &str, arguments: &[&str]) -> anyhow::Result<Ran> {
    let endpoint = cluster.endpoint(Service::Locator);
    let party = ["--as", member, "--pki", "pki", "--endpoint", &endpoint];
    run(cluster.dir(), &[arguments, &party].concat()).await
}

/// Returns the line that holds a text.
fn line<'a>(out: &'a str, text: &str) -> anyhow::Result<&'a str> {
    let found = out.lines().find(|line| line.contains(text));
    found.with_context(|| format!("no line holds {text:?}: {out}"))
}

/// Returns the numbers under the header of the first table.
fn counts(out: &str) -> anyhow::Result<Vec<u64>> {
    let row = out.lines().nth(1).with_context(|| format!("no table: {out}"))?;
    row.split_whitespace().map(|cell| cell.parse().with_context(|| format!("no counts: {out}"))).collect()
}

/// Returns the person that an answer names.
fn person(out: &str) -> anyhow::Result<&str> {
    line(out, "person ")?.split(' ').nth(1).context("no person")
}

/// Returns the ids of the documents in the table of an answer, in their order.
fn documents(out: &str) -> Vec<&str> {
    let rows = out.lines().skip_while(|line| !line.trim_start().starts_with("#  document")).skip(1);
    rows.map_while(|row| row.split_whitespace().nth(1).filter(|id| id.len() == UNKNOWN.len())).collect()
}

/// Returns line, reason and field of every row of a file of rejects.
fn rejects(path: &Path) -> anyhow::Result<Vec<(u64, String, String)>> {
    let mut reader = csv::Reader::from_path(path)?;
    ensure!(reader.headers()? == vec!["line", "reason", "field", "message"]);
    let row = |row: Result<csv::StringRecord, csv::Error>| {
        let row = row?;
        ensure!(!row[3].is_empty(), "a line without a message");
        Ok((row[0].parse()?, row[1].to_owned(), row[2].to_owned()))
    };
    reader.into_records().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_comes_from_nothing_to_a_running_exchange() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path();
    let made = ["pki", "--member", "north=North Hospital", "--member", "west"];
    let out = run(folder, &made).await?.well()?;
    for id in ["exchange", "operator", "north", "west"] {
        line(&out, &format!("made {id} in "))?;
    }
    assert!(run(folder, &made).await?.well()?.contains("nothing to do"), "what is there is kept");
    for secret in ["ca.key", "blinding.key", "exchange/key.pem", "north/token.pem"] {
        let mode = fs::metadata(folder.join(".signpost/pki").join(secret))?.permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read {secret}");
    }

    // What is printed is a file that gives the same configuration.
    let shown = run_with(folder, &[("SIGNPOST_LISTEN", "127.0.0.1:0")], &["config"]).await?.well()?;
    let table: toml::Table = shown.parse()?;
    assert_eq!(table["listen"].as_str(), Some("127.0.0.1:0"));
    fs::write(folder.join("signpost.toml"), &shown)?;
    assert_eq!(run(folder, &["config"]).await?.well()?, shown);
    fs::write(folder.join("other.toml"), "reflection = true\n")?;
    let other = run(folder, &["config", "--config", "other.toml"]).await?.well()?;
    assert!(other.contains("reflection = true") && other.contains("127.0.0.1:7443"), "{other}");

    let out = run(folder, &["migrate"]).await?.well()?;
    let services = ["mpi", "registry", "consent", "directory", "audit"];
    assert_eq!(out, services.map(|name| format!("{name} is up to date\n")).concat());
    for name in services {
        assert!(folder.join(".signpost/data").join(name).with_extension("sqlite").is_file());
    }
    assert_eq!(run(folder, &["migrate"]).await?.well()?, out);

    // The same paths, from the folder of the tests.
    let absolute = shown.replace(".signpost/", &format!("{}/.signpost/", folder.display()));
    let file = folder.join("absolute.toml");
    fs::write(&file, absolute)?;
    let file = file.to_str().context("path")?;
    let (process, address) = Process::serve(&["serve", "--config", file], Stdio::inherit()).await?;
    let endpoint = format!("https://{address}");
    for more in [vec![], vec!["--service", "audit"]] {
        let asked = [["health", "--endpoint", &endpoint].as_slice(), &more].concat();
        line(&run(folder, &asked).await?.well()?, "is serving")?;
    }
    ensure!(process.terminate().await?, "the exchange does not stop well");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_not_known_is_named() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    for (text, key) in [("listne = \"127.0.0.1:1\"\n", "listne"), ("[tls]\ncrt = \"a.pem\"\n", "tls.crt")] {
        fs::write(dir.path().join("signpost.toml"), text)?;
        for command in ["config", "migrate", "serve", "health"] {
            let (out, err) = run(dir.path(), &[command]).await?.badly()?;
            assert!(out.is_empty() && err.contains(key) && err.contains("signpost.toml"), "{command}: {err}");
        }
    }
    fs::remove_file(dir.path().join("signpost.toml"))?;
    for (name, key) in [("SIGNPOST_LISTNE", "LISTNE"), ("SIGNPOST_TLS__CRT", "TLS.CRT")] {
        let (_, err) = run_with(dir.path(), &[(name, "x")], &["config"]).await?.badly()?;
        assert!(err.contains(key) && err.contains("SIGNPOST_"), "{err}");
    }
    let (_, err) = run(dir.path(), &["config", "--config", "absent.toml"]).await?.badly()?;
    assert!(err.contains("absent.toml"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_never_printed() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let urls = [
        "postgres://signpost:hunter2@127.0.0.1:1/exchange",
        "postgresql://127.0.0.1:1/exchange?user=signpost&password=hunter2",
        // Mistyped, which is when people look at their configuration.
        "postgress://signpost:hunter2@127.0.0.1:1/exchange",
        "Postgres://signpost:hunter2@127.0.0.1:1/exchange",
        " postgres://signpost:hunter2@127.0.0.1:1/exchange",
    ];
    for url in urls {
        fs::write(dir.path().join("signpost.toml"), format!("database = {url:?}\n"))?;
        let from_file = run(dir.path(), &["config"]).await?;
        fs::remove_file(dir.path().join("signpost.toml"))?;
        let from_variable = run_with(dir.path(), &[("SIGNPOST_DATABASE", url)], &["config"]).await?;
        for Ran { code, out, err } in [from_file, from_variable] {
            assert!(!out.contains("hunter2") && !err.contains("hunter2"), "{url:?}: {out}{err}");
            assert!(code != Some(0) || out.contains("[redacted]"), "{url:?}: {out}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_is_not_healthy() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    run(dir.path(), &["pki"]).await?.well()?;
    // One takes connections and stays silent; the other takes none.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?;
    let addresses = [silent.local_addr()?, closed.local_addr()?];
    drop(closed);
    for address in addresses {
        let began = Instant::now();
        let health = ["health", "--endpoint", &format!("https://{address}")];
        let (_, err) = run(dir.path(), &health).await?.badly()?;
        assert!(began.elapsed() < Duration::from_secs(6), "it took {:?}", began.elapsed());
        assert!(err.starts_with("error: "), "{err}");
    }
    Ok(())
}

/// Rows that are refused: the line of the file they stand on, the row, and what is said of it.
const BAD: [(u64, &[u8], &str, &str); 6] = [
    (5, b"M5,,,1970-01-01,female,Boston,38", "INVALID_FIELD", "demographics.names"),
    (9, b"M9,Ada,Abara,1980-02-30,female,Boston,38", "INVALID_FIELD", "demographics.birth_date"),
    (14, b"M14,Ada,Abara", "MALFORMED_LINE", ""),
    (15, b"M15,Ada,Abara,1970-01-01,female,Boston,38,39,40", "MALFORMED_LINE", ""),
    (22, b",Ada,Abara,1970-01-01,female,Boston,38", "INVALID_FIELD", "local_id"),
    // Latin 1.
    (27, b"M27,J\xF6rg,Abara,1970-01-01,male,Boston,38", "MALFORMED_LINE", ""),
];

/// Makes a file of thirty rows, with local id, family name and birth date of those that are good.
fn people() -> (Vec<u8>, Vec<[String; 3]>) {
    let given = ["Ada", "Bela", "Chidi", "Dana", "Elif", "Farid"];
    let family = ["Castillo", "Brandt", "Okafor", "Dubois", "Eriksen"];
    let mut file = b"mrn,given,family,birth_date,sex,city,shoe_size".to_vec();
    let mut good = vec![];
    for line in 2..32_u64 {
        file.push(b'\n');
        if let Some((_, row, ..)) = BAD.iter().find(|(bad, ..)| *bad == line) {
            file.extend(*row);
            continue;
        }
        let [g, f] = [given.len(), family.len()].map(|len| usize::try_from(line).unwrap_or(0) % len);
        let date = format!("19{}-{:02}-{:02}", 30 + 2 * line, line % 12 + 1, line % 28 + 1);
        file.extend(format!("M{line},{},{},{date},female,Boston,38", given[g], family[f]).into_bytes());
        good.push([format!("M{line}"), family[f].to_owned(), date]);
    }
    (file, good)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_imported_and_every_bad_line_is_named() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let folder = cluster.dir();
    let (file, good) = people();
    fs::write(folder.join("people.csv"), &file)?;
    let import = ["import", "people", "people.csv", "--rejects", "rejects.csv"];

    let ran = call(&cluster, "north", &import).await?;
    assert!(ran.err.contains("shoe_size") && !ran.err.contains("mrn"), "an unknown column: {}", ran.err);
    let (out, _) = ran.badly()?;
    assert_eq!(counts(&out)?, [24, 0, 24, 0, 0, 6], "{out}");
    for (at, _, reason, field) in BAD {
        let named =
            |row: &str| row.split_whitespace().next() == Some(&at.to_string()) && row.contains(reason);
        assert!(out.lines().any(|row| named(row) && row.contains(field)), "line {at} is not named: {out}");
    }
    let expected = BAD.map(|(line, _, reason, field)| (line, reason.to_owned(), field.to_owned()));
    assert_eq!(rejects(&folder.join("rejects.csv"))?, expected);

    let client = cluster.client("north", Service::Mpi)?;
    for [local_id, family, birth_date] in &good {
        let by = By::Record(RecordReference { member_id: "north".into(), local_id: local_id.clone() });
        let request = client.request(&system(), GetPersonRequest { by: Some(by), as_of: None })?;
        let found = client.mpi().get_person(request).await?.into_inner().person.context(local_id.clone())?;
        let demographics = found.demographics.context("no demographics")?;
        assert_eq!((&demographics.names[0].family, &demographics.birth_date), (family, birth_date));
    }

    let (out, _) = call(&cluster, "north", &import).await?.badly()?;
    assert_eq!(counts(&out)?, [24, 0, 0, 0, 24, 6], "the same again changes nothing: {out}");

    // What was refused is corrected; what the earlier run left is not to be mistaken for a result of this one.
    let is_good = |row: &&[u8]| !BAD.iter().any(|(_, bad, ..)| bad == row);
    let corrected: Vec<_> = file.split(|byte| *byte == b'\n').filter(is_good).collect();
    fs::write(folder.join("people.csv"), corrected.join(b"\n".as_slice()))?;
    let out = call(&cluster, "north", &import).await?.well()?;
    assert_eq!(counts(&out)?, [24, 0, 0, 0, 24, 0], "{out}");
    let left = rejects(&folder.join("rejects.csv")).unwrap_or_default();
    assert!(left.is_empty(), "rejects of an earlier run are still there");

    fs::write(folder.join("people.csv"), "given,family\nAda,Castillo\n")?;
    let (_, err) = call(&cluster, "north", &import).await?.badly()?;
    assert!(err.contains("mrn") && err.contains("record_id"), "a file without identifiers: {err}");
    let (_, err) = call(&cluster, "north", &["import", "people", "absent.csv"]).await?.badly()?;
    assert!(err.contains("absent.csv"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_counted_as_an_editor_counts_them() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let refused = async |what: &str, path: &str| {
        let import = ["import", what, path, "--rejects", "rejects.csv"];
        call(&cluster, "north", &import).await?.badly()?;
        let rejects = rejects(&cluster.dir().join("rejects.csv"))?;
        anyhow::Ok(rejects.into_iter().map(|(line, ..)| line).collect::<Vec<_>>())
    };
    let refused_of = async |file: &str| {
        fs::write(cluster.dir().join("people.csv"), file)?;
        refused("people", "people.csv").await
    };
    // A cell may hold a line break, a file an empty line, and Excel writes a byte order mark and ends lines with CRLF.
    let quoted =
        "mrn,given,family,birth_date\nM1,Ada,Castillo,1970-01-01\nM2,Ada,\"Cas\ntillo\",1970-01-01\nM3\n";
    assert_eq!(refused_of(quoted).await?, [3, 5]);
    assert_eq!(refused_of("mrn,given,family,birth_date\n\nM1,,,\n\n\nM2,,,\n").await?, [3, 6]);
    let excel = "\u{feff}mrn,given,family,birth_date\r\nM1,Ada,Castillo,1970-01-01\r\nM2,,,\r\nM3\r\n";
    assert_eq!(refused_of(excel).await?, [3, 4]);
    let folder = cluster.dir().join("held");
    fs::create_dir(&folder)?;
    write_index(&folder, &[file_of("N1", "absent.txt", "10160-0")])?;
    let index = fs::read_to_string(folder.join("index.csv"))?.replace('\n', "\r\n");
    fs::write(folder.join("index.csv"), index)?;
    assert_eq!(refused("documents", "held").await?, [2]);
    Ok(())
}

fn file_of(local_id: &str, file: &str, type_code: &str) -> DocumentFile {
    DocumentFile {
        local_id: local_id.into(),
        file: file.into(),
        mime_type: "text/plain".into(),
        type_code: type_code.into(),
        labels: "N".into(),
    }
}

/// What `locate` is told of Jane, by someone who hears the name and an old address.
const JANE: [&str; 6] = [
    "locate",
    "--given=Jayne",
    "--family=Doe",
    "--birth-date=1984-07-19",
    "--address=12 Chestnut St",
    "--postcode=78701",
];

const ALLERGIES: &[u8] = b"Penicillin: anaphylaxis, 2009.\n";
const MEDICATION: &[u8] = b"Apixaban 5 mg twice daily.\n";

/// Starts an exchange to which north and south have told, by commands, what they hold of Jane.
async fn hospitals() -> anyhow::Result<Cluster> {
    let mut cluster = Cluster::builder(Topology::OneProcess).start().await?;
    let held = [
        ("north", "N1", "allergies.txt", "48765-2", ALLERGIES),
        ("south", "S1", "pills.txt", "10160-0", MEDICATION),
    ];
    for (member, local_id, file, type_code, content) in held {
        let folder = cluster.documents(member);
        fs::write(folder.join(file), content)?;
        write_index(&folder, &[file_of(local_id, file, type_code)])?;
        cluster.serve_documents(member).await?;
        let row = format!("{local_id},Jane,Doe,1984-07-19,12 Chestnut Street,Austin,78701\n");
        let people = format!("mrn,given,family,birth_date,address,city,postcode\n{row}");
        fs::write(cluster.dir().join("people.csv"), people)?;
        call(&cluster, member, &["import", "people", "people.csv"]).await?.well()?;
        let folder = folder.to_str().context("path")?;
        let out = call(&cluster, member, &["import", "documents", folder]).await?.well()?;
        ensure!(counts(&out)? == [1, 1, 0, 0], "{out}");
    }
    Ok(cluster)
}

/// Returns the files of a folder, by name.
fn files(folder: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_registered_once_and_a_missing_file_is_refused() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let folder = cluster.dir().join("held");
    fs::create_dir(&folder)?;
    let names = ["a.txt", "b.txt", "absent.txt", "c.txt"];
    write_index(&folder, &names.map(|name| file_of("N1", name, "10160-0")))?;
    for name in names.iter().filter(|name| **name != "absent.txt") {
        fs::write(folder.join(name), name)?;
    }
    let import = ["import", "documents", "held", "--rejects", "rejects.csv"];
    for counted in [[3, 3, 0, 1], [3, 0, 3, 1]] {
        let (out, _) = call(&cluster, "north", &import).await?.badly()?;
        assert_eq!(counts(&out)?, counted, "{out}");
        let refused = line(&out, "FILE_UNREADABLE")?;
        assert_eq!(refused.split_whitespace().next(), Some("4"), "the line of the missing file: {refused}");
        let expected = [(4, "FILE_UNREADABLE".to_owned(), String::new())];
        assert_eq!(rejects(&cluster.dir().join("rejects.csv"))?, expected);
    }
    fs::write(folder.join("absent.txt"), "here")?;
    let out = call(&cluster, "north", &import).await?.well()?;
    assert_eq!(counts(&out)?, [4, 1, 3, 0], "{out}");
    let (_, err) = call(&cluster, "north", &["import", "documents", "nowhere"]).await?.badly()?;
    assert!(err.contains("nowhere"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_located_can_be_fetched() -> anyhow::Result<()> {
    let cluster = hospitals().await?;
    let out = call(&cluster, "west", &JANE).await?.well()?;
    line(&out, "2 documents; 2 of 2 members answered")?;
    let [allergies, medication] = documents(&out)[..] else { bail!("not two documents: {out}") };
    for (id, member, code, bytes) in
        [(allergies, "north", "48765-2", ALLERGIES), (medication, "south", "10160-0", MEDICATION)]
    {
        let row = line(&out, id)?;
        for cell in [member, code, "2025-03-01", &bytes.len().to_string()] {
            assert!(row.split_whitespace().any(|found| found == cell), "{cell} is not in {row}");
        }
        let printed = call(&cluster, "west", &["fetch", id, "--out", "fetched.txt"]).await?.well()?;
        assert!(printed.contains("fetched.txt") && printed.contains("verified"), "{printed}");
        ensure!(fs::read(cluster.dir().join("fetched.txt"))? == bytes, "the bytes differ");
    }

    let all = ["fetch", "--person", person(&out)?, "--out", "all"];
    line(&call(&cluster, "west", &all).await?.well()?, "2 documents fetched, 0 failed")?;
    let folder = cluster.dir().join("all");
    assert_eq!(files(&folder)?, BTreeSet::from([allergies.into(), medication.into()]));
    assert_eq!(fs::read(folder.join(allergies))?, ALLERGIES);
    assert_eq!(fs::read(folder.join(medication))?, MEDICATION);

    // Schemas are brought up to date under a running exchange, which does not mind.
    assert_eq!(run(cluster.dir(), &["migrate", "--config", "all.toml"]).await?.well()?.lines().count(), 5);
    assert_eq!(documents(&call(&cluster, "west", &JANE).await?.well()?), [allergies, medication]);
    line(&run(cluster.dir(), &["health", "--config", "all.toml"]).await?.well()?, "is serving")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_too_little_is_told_what_is_missing() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    let (out, err) = call(&cluster, "west", &["locate", "--given=Jane", "--family=Doe"]).await?.badly()?;
    assert!(out.is_empty() && err.contains("InvalidArgument") && err.contains("birth date"), "{err}");
    let (_, err) = call(&cluster, "west", &["locate", "--birth-date", "1984-07-19"]).await?.badly()?;
    assert!(err.contains("InvalidArgument") && err.contains("names"), "{err}");
    let (_, err) = call(&cluster, "nobody", &JANE).await?.badly()?;
    assert!(err.contains("nobody"), "a member without keys: {err}");
    let out = call(&cluster, "west", &JANE).await?.well()?;
    line(&out, "nobody is known who fits")?;
    let elsewhere = ["--as", "west", "--pki", "pki", "--endpoint", "https://127.0.0.1:1"];
    let (_, err) = run(cluster.dir(), &[JANE.as_slice(), &elsewhere].concat()).await?.badly()?;
    assert!(err.contains("is the exchange running"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_had_leaves_no_file() -> anyhow::Result<()> {
    let mut cluster = hospitals().await?;
    fs::create_dir(cluster.dir().join("out"))?;
    let located = call(&cluster, "west", &JANE).await?.well()?;
    let [allergies, medication] = documents(&located)[..] else { bail!("not two documents: {located}") };

    let fetch = async |cluster: &Cluster, id: &str| {
        let (_, err) = call(cluster, "west", &["fetch", id, "--out", "out/fetched.txt"]).await?.badly()?;
        let left = files(&cluster.dir().join("out"))?;
        ensure!(left.is_empty(), "{left:?} is left behind");
        anyhow::Ok(err)
    };
    let err = fetch(&cluster, UNKNOWN).await?;
    assert!(err.contains("NotFound (DOCUMENT_UNKNOWN): there is no such document"), "{err}");
    // Of the same size: only the hash tells.
    fs::write(cluster.documents("north").join("allergies.txt"), ALLERGIES.to_ascii_uppercase())?;
    let err = fetch(&cluster, allergies).await?;
    assert!(err.contains("north") && !err.contains("NotFound"), "{err}");
    // An answer that is there already is not lost to one that does not come.
    fs::write(cluster.dir().join("kept.txt"), "kept")?;
    call(&cluster, "west", &["fetch", allergies, "--out", "kept.txt"]).await?.badly()?;
    assert_eq!(fs::read(cluster.dir().join("kept.txt"))?, b"kept");

    cluster.stop_source("south").await?;
    let err = fetch(&cluster, medication).await?;
    assert!(err.contains("Unavailable") && err.contains("south"), "{err}");
    let all = ["fetch", "--person", person(&located)?, "--out", "out"];
    let (out, _) = call(&cluster, "west", &all).await?.badly()?;
    line(&out, "0 documents fetched, 2 failed")?;
    assert!(line(&out, allergies)?.contains("north") && line(&out, medication)?.contains("south"), "{out}");
    assert!(files(&cluster.dir().join("out"))?.is_empty(), "half a document is left behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_stopped_is_named() -> anyhow::Result<()> {
    let mut cluster = hospitals().await?;
    cluster.stop_source("south").await?;
    let out = call(&cluster, "west", &JANE).await?.well()?;
    assert!(line(&out, "could not be reached")?.starts_with("south "), "{out}");
    line(&out, "1 of 2 members answered")?;
    assert_eq!(documents(&out).len(), 2, "that there is a document is known without its custodian: {out}");
    assert!(!out.contains("north could"), "{out}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_opens_what_a_directive_denies() -> anyhow::Result<()> {
    let cluster = hospitals().await?;
    let allergies = documents(&call(&cluster, "west", &JANE).await?.well()?)[0].to_owned();
    let client = cluster.client("north", Service::Consent)?;
    let directive = Directive {
        patient: Some(RecordReference { member_id: "north".into(), local_id: "N1".into() }),
        effect: Effect::Deny.into(),
        r#match: Some(Match { requesters: vec!["west".into()], ..Match::default() }),
        overridable: true,
        ..Directive::default()
    };
    let request = CreateDirectiveRequest { directive: Some(directive), request_id: "deny".into() };
    client.consent().create_directive(client.request(&patient("N1"), request)?).await?;

    let out = call(&cluster, "west", &JANE).await?.well()?;
    line(&out, "0 documents; 0 of 0 members answered")?;
    line(&out, "under emergency access could show more")?;
    assert!(documents(&out).is_empty(), "{out}");
    let fetch = ["fetch", &allergies, "--out", "allergies.txt"];
    let (_, err) = call(&cluster, "west", &fetch).await?.badly()?;
    assert!(err.contains("DOCUMENT_UNKNOWN"), "what is withheld is as if it were not there: {err}");

    let open = async |more: &[&str]| {
        let who = ["emergency", person(&out)?, "--user", "dr.lee"];
        call(&cluster, "west", &[who.as_slice(), more].concat()).await
    };
    let (_, err) = open(&["--text", "found unconscious", "--reason", "curious"]).await?.badly()?;
    assert!(err.contains("curious") && err.contains("life-threatening"), "{err}");
    let (_, err) = open(&["--text", "why not"]).await?.badly()?;
    assert!(err.contains("InvalidArgument") && err.contains("reason_text"), "{err}");
    let opened = open(&["--text", "found unconscious at the roadside"]).await?.well()?;
    let session = line(&opened, "emergency session ")?.rsplit(' ').next().context("no session")?;
    line(&opened, "reviewed by a privacy officer")?;

    let emergency = ["--emergency", session, "--user", "dr.lee"];
    let out = call(&cluster, "west", &[JANE.as_slice(), &emergency].concat()).await?.well()?;
    assert_eq!(documents(&out).len(), 2, "{out}");
    assert!(out.contains(&allergies), "{out}");
    call(&cluster, "west", &[fetch.as_slice(), &emergency].concat()).await?.well()?;
    assert_eq!(fs::read(cluster.dir().join("allergies.txt"))?, ALLERGIES);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_story() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let out = run(dir.path(), &["demo", "--people", "300", "--dir", "demo"]).await?.well()?;
    let chapter = |number: u32| {
        let rest = out
            .split_once(&format!("\n{number}. "))
            .with_context(|| format!("no chapter {number}: {out}"))?
            .1;
        anyhow::Ok(rest.split_once(&format!("\n{}. ", number + 1)).map_or(rest, |(chapter, _)| chapter))
    };
    line(&out, "302 people")?;

    let located = chapter(2)?;
    assert_eq!(documents(located).len(), 3, "{located}");
    for (kind, member) in
        [("Allergies", "general-boston"), ("medication", "hill-austin"), ("EKG", "lakeside-chicago")]
    {
        assert!(line(located, member)?.contains(kind), "{located}");
    }
    line(located, "3 documents; 3 of 3 members answered")?;
    for withheld in ["Progress note", "11506-3", "PSY"] {
        assert!(!located.contains(withheld), "what is withheld is named: {located}");
    }
    assert!(!out.contains("Not for everyone."), "what is withheld is shown: {out}");

    line(chapter(3)?, "Penicillin")?;
    line(chapter(3)?, "Apixaban")?;
    let (before, after) = chapter(4)?.split_once("opens emergency access").context("nobody opens it")?;
    line(before, "0 documents; ")?;
    line(before, "under emergency access could show more")?;
    line(after, "Insulin glargine")?;
    line(chapter(5)?, "NotFound (DOCUMENT_UNKNOWN): there is no such document")?;
    let looked: Vec<_> = chapter(6)?.lines().filter(|line| line.starts_with("- ")).collect();
    assert_eq!(looked.len(), 4, "{looked:?}");
    assert!(looked.iter().all(|line| line.contains("dr.lee (physician) at mesa-denver")), "{looked:?}");
    assert!(looked[0].contains("was refused"), "the newest first: {looked:?}");
    assert!(looked[3].contains("was shown 3 documents; 1 was withheld"), "{looked:?}");
    assert!(!chapter(6)?.contains("Roe"), "Jane reads of others: {looked:?}");

    // What a demo made, the next may replace; nothing else.
    run(dir.path(), &["demo", "--people", "3", "--dir", "demo"]).await?.well()?;
    fs::create_dir(dir.path().join("mine"))?;
    fs::write(dir.path().join("mine/thesis.txt"), "years of work")?;
    let (out, err) = run(dir.path(), &["demo", "--people", "3", "--dir", "mine"]).await?.badly()?;
    assert!(out.is_empty() && err.contains("mine") && err.contains("--dir"), "{err}");
    assert_eq!(files(&dir.path().join("mine"))?, BTreeSet::from(["thesis.txt".into()]));
    Ok(())
}
