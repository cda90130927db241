//! Whoever steals the disk learns nothing of a patient, whichever service wrote there.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use signpost::config::Service;
use signpost_proto::{
    common::v1::{Address, Demographics, HumanName, Identifier},
    mpi::v1::RegisterPatientRequest,
};
use signpost_tests::{Cluster, Process, Topology, find::locate, physician, postgres, system};

/// Values that could only come from a patient's data: as they were sent, and as they are compared.
const SECRETS: [&str; 10] = [
    "Zebediah",
    "Quillfeather",
    "1931-12-30",
    "19311230",
    "Xylophone",
    "5550177",
    "zeb@quill",
    "078-05-4711",
    "078054711",
    "quillfeather",
];

fn person() -> Demographics {
    let name =
        HumanName { given: vec!["Zebediah".into()], family: "Quillfeather".into(), ..HumanName::default() };
    Demographics {
        names: vec![name],
        birth_date: "1931-12-30".into(),
        addresses: vec![Address { line: "7 Xylophone Crossing".into(), ..Address::default() }],
        phones: vec!["617-5550177".into()],
        emails: vec!["zeb@quill.example".into()],
        identifiers: vec![Identifier { system: "urn:ssn".into(), value: "078-05-4711".into() }],
        ..Demographics::default()
    }
}

/// A patient comes, changes, is looked for by name and by identifier alone.
async fn visit(cluster: &Cluster) -> anyhow::Result<()> {
    let client = cluster.client("north", Service::Mpi)?;
    for (attempt, emails) in [("r1", vec![]), ("r2", person().emails)] {
        let request = RegisterPatientRequest {
            local_id: "MRN-1".into(),
            demographics: Some(Demographics { emails, ..person() }),
            request_id: attempt.into(),
        };
        client.mpi().register_patient(client.request(&system(), request)?).await?;
    }
    let client = cluster.client("north", Service::Locator)?;
    let identified =
        Demographics { names: person().names, identifiers: person().identifiers, ..Demographics::default() };
    for demographics in [person(), identified] {
        let located = locate(&client, &physician(), &demographics).await?;
        ensure!(!located.person.person_id.is_empty(), "the patient is found by what is sealed");
    }
    Ok(())
}

fn shows_nothing(bytes: &[u8], what: &str) -> anyhow::Result<()> {
    for secret in SECRETS {
        for form in [secret.to_owned(), hex::encode(secret)] {
            let shown = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            ensure!(!shown, "{secret} stands in {what}");
        }
    }
    Ok(())
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_sqlite_show_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    visit(&cluster).await?;
    let files = files(&cluster.config().data_dir)?;
    ensure!(
        files.iter().any(|file| file.ends_with("mpi.sqlite-wal")),
        "the write-ahead log is looked at, too"
    );
    for file in files {
        shows_nothing(&std::fs::read(&file)?, &file.display().to_string())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_postgres_shows_nothing() -> anyhow::Result<()> {
    if postgres().is_none() {
        return Ok(());
    }
    let cluster = Cluster::builder(Topology::SixProcesses).without_sources().start().await?;
    visit(&cluster).await?;
    let dumped = Command::new(pg_dump()?).arg(cluster.config().database.expose()).output()?;
    ensure!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    ensure!(dumped.stdout.windows(5).any(|window| window == b"MRN-1"), "the dump holds the record");
    shows_nothing(&dumped.stdout, "the dump")
}

/// The client that belongs to the server: beside it, when it is not in the path.
fn pg_dump() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for version in files(Path::new("/usr/lib/postgresql")).unwrap_or_default() {
        folders.push(version.join("bin"));
    }
    let found = folders.into_iter().map(|folder| folder.join("pg_dump")).find(|file| file.exists());
    found.context("pg_dump is missing: install the client of PostgreSQL")
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_while_the_exchange_runs() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    visit(&cluster).await?;
    let rotate = |config: &signpost::config::Config, name: &str| {
        let file = cluster.dir().join(name);
        std::fs::write(&file, toml::to_string(config)?)?;
        let output = Command::new(signpost_tests::binary()?)
            .args(["--config".as_ref(), file.as_os_str(), "keys".as_ref(), "rotate".as_ref()])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let table = rotate(cluster.config(), "rotate.toml")?;
    ensure!(table.contains("values sealed anew"), "{table}");
    visit(&cluster).await?;
    // Another key-encryption key takes over, and the exchange needs the old one no more.
    let mut config = cluster.config().clone();
    config.sealing_keys_before = vec![config.sealing_key.clone()];
    config.sealing_key = cluster.dir().join("other.key");
    std::fs::write(&config.sealing_key, "5".repeat(64))?;
    std::fs::set_permissions(&config.sealing_key, Permissions::from_mode(0o600))?;
    rotate(&config, "other.toml")?;
    config.sealing_keys_before = vec![];
    cluster.take_process(Service::Locator)?.kill().await?;
    let file = cluster.dir().join("after.toml");
    std::fs::write(&file, toml::to_string(&config)?)?;
    let file = file.to_str().context("a path")?;
    let (process, _) = Process::serve(&["--config", file, "serve"], std::process::Stdio::null()).await?;
    visit(&cluster).await?;
    process.kill().await
}
