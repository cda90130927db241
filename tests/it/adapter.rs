//! A member's source that registers by itself: a folder changes, and the exchange finds and fetches what is in it.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use signpost::{
    client,
    config::{Config, Service},
    pki::KID,
    wiring::{self, Running},
};
use signpost_common::rpc::status;
use signpost_proto::{
    locator::v1::Pointer,
    registry::v1::{DocumentStatus, GetDocumentRequest},
};
use signpost_source::index::{COLUMNS, REPLACES};
use signpost_tests::{
    Cluster, Process, Topology,
    find::{fetch, locate},
    physician,
    scenario::{person, record},
    system,
};
use tokio::time::Instant;

/// Longest time from a change of the folder to its being found.
const IN_STEP: Duration = Duration::from_secs(60);

/// Rows of the person's documents: unique id, file, labels, and what they replace.
fn write_index(folder: &Path, rows: &[(&str, &str, &str, &str)]) -> anyhow::Result<()> {
    let aside = folder.join("index.new");
    let mut index = csv::Writer::from_path(&aside)?;
    index.write_record(COLUMNS.iter().chain([&REPLACES]))?;
    for ((unique_id, file, labels, replaces), minute) in rows.iter().zip(0..60) {
        // At one moment they would be copies of one another.
        let time = &format!("2025-03-01T09:{minute:02}:00Z");
        let row = [
            "P1",
            unique_id,
            file,
            "text/plain",
            "34133-9",
            "",
            "",
            time,
            time,
            labels,
            "Hospital",
            replaces,
        ];
        index.write_record(row)?;
    }
    index.flush()?;
    Ok(std::fs::rename(aside, folder.join("index.csv"))?)
}

/// Returns the configuration of north's source, which registers at the exchange.
fn config(cluster: &Cluster) -> Config {
    let mut config = cluster.config().clone();
    config.listen = "127.0.0.1:0".into();
    config.tls = client::files(&cluster.pki(), "north");
    config.source.member_id = "north".into();
    config.source.folder = cluster.documents("north");
    config.source.state = cluster.dir().join("state");
    config.source.registry.uri = cluster.endpoint(Service::Registry);
    config.source.registry.token_key = cluster.pki().join("north/token.pem");
    config.source.registry.kid = KID.into();
    config
}

async fn serve(cluster: &Cluster) -> anyhow::Result<Running> {
    let running = wiring::start(&config(cluster), &[Service::Source]).await?;
    cluster.set_endpoint("north", &format!("https://{}", running.address)).await?;
    Ok(running)
}

/// A cluster whose north holds nothing yet of person 1.
async fn cluster(topology: Topology) -> anyhow::Result<Cluster> {
    let cluster = Cluster::builder(topology).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    client.mpi().register_patient(client.request(&system(), record(1))?).await?;
    std::fs::create_dir_all(cluster.documents("north"))?;
    write_index(&cluster.documents("north"), &[])?;
    Ok(cluster)
}

/// Locates person 1 until what is found is as it should be, and returns it.
async fn located(
    cluster: &Cluster,
    what: &str,
    wanted: impl Fn(&[Pointer]) -> bool,
) -> anyhow::Result<Vec<Pointer>> {
    let client = cluster.client("west", Service::Locator)?;
    let until = Instant::now() + IN_STEP;
    loop {
        let pointers = locate(&client, &physician(), &person(1)).await?.pointers;
        if wanted(&pointers) {
            return Ok(pointers);
        }
        ensure!(Instant::now() < until, "{what}: {} documents are found", pointers.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn fetched(cluster: &Cluster, document_id: &str) -> anyhow::Result<Vec<u8>> {
    let client = cluster.client("west", Service::Locator)?;
    Ok(fetch(&client, &physician(), document_id, "").await?.bytes)
}

async fn status_of(cluster: &Cluster, document_id: &str) -> anyhow::Result<DocumentStatus> {
    let client = cluster.client("north", Service::Registry)?;
    let request = GetDocumentRequest { document_id: document_id.into(), ..GetDocumentRequest::default() };
    let found = client.registry().get_document(client.request(&system(), request)?).await?;
    Ok(found.into_inner().entry.context("no entry")?.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_into_a_folder_is_found_and_fetched_until_it_is_taken_out() -> anyhow::Result<()> {
    let cluster = cluster(Topology::InProcess).await?;
    let folder = cluster.documents("north");
    let source = serve(&cluster).await?;

    std::fs::write(folder.join("allergies.txt"), "penicillin")?;
    write_index(&folder, &[("urn:allergies", "allergies.txt", "N", "")])?;
    let first = located(&cluster, "a file and its row", |found| found.len() == 1).await?.remove(0);
    assert_eq!(fetched(&cluster, &first.document_id).await?, b"penicillin");

    std::fs::write(folder.join("allergies.txt"), "penicillin, latex")?;
    let changed = |found: &[Pointer]| found.len() == 1 && found[0].document_id != first.document_id;
    let second = located(&cluster, "another file", changed).await?.remove(0);
    assert_eq!(fetched(&cluster, &second.document_id).await?, b"penicillin, latex");
    assert_eq!(status_of(&cluster, &first.document_id).await?, DocumentStatus::Superseded);
    let refused = fetched(&cluster, &first.document_id).await.err().context("the older bytes are gone")?;
    assert!(!status::reason(&refused.downcast::<tonic::Status>()?).is_empty());

    std::fs::write(folder.join("summary.txt"), "all of it")?;
    write_index(&folder, &[("urn:summary", "summary.txt", "N", "urn:allergies")])?;
    let replaced = |found: &[Pointer]| found.len() == 1 && found[0].document_id != second.document_id;
    let third = located(&cluster, "a row that replaces", replaced).await?.remove(0);
    assert_eq!(fetched(&cluster, &third.document_id).await?, b"all of it");
    assert_eq!(status_of(&cluster, &second.document_id).await?, DocumentStatus::Superseded);

    write_index(&folder, &[])?;
    located(&cluster, "a row that is gone", <[Pointer]>::is_empty).await?;
    assert_eq!(status_of(&cluster, &third.document_id).await?, DocumentStatus::Deprecated);
    source.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_killed_while_the_exchange_is_away_loses_nothing() -> anyhow::Result<()> {
    let mut cluster = cluster(Topology::OneProcess).await?;
    let folder = cluster.documents("north");
    let file = cluster.dir().join("source.toml");
    std::fs::write(&file, config(&cluster).shown()?)?;
    let arguments = ["serve", "--config", file.to_str().context("path")?, "--only", "source"];
    let start = || Process::serve(&arguments, std::process::Stdio::inherit());

    let rows: Vec<_> = (0..50).map(|n| (format!("urn:{n}"), format!("{n}.txt"))).collect();
    let rows: Vec<_> = rows.iter().map(|(id, file)| (id.as_str(), file.as_str(), "N", "")).collect();
    for (unique_id, file, ..) in &rows {
        std::fs::write(folder.join(file), unique_id)?;
    }
    write_index(&folder, &rows)?;
    // Killed again and again, at moments that fall anywhere in what it does.
    for wait_ms in [900, 1_100, 1_200, 1_300, 1_500] {
        let (source, _) = start().await?;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        source.kill().await?;
    }
    let (source, address) = start().await?;
    cluster.set_endpoint("north", &format!("https://{address}")).await?;
    let found = located(&cluster, "all files", |found| found.len() == rows.len()).await?;
    let documents: Vec<_> = found.into_iter().map(|pointer| pointer.document_id).collect();

    cluster.take_process(Service::Registry)?.kill().await?;
    std::fs::write(folder.join("0.txt"), "changed")?;
    write_index(&folder, &rows[..40])?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    source.kill().await?;
    let (source, address) = start().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.restart(Service::Registry).await?;
    cluster.set_endpoint("north", &format!("https://{address}")).await?;
    let found = located(&cluster, "what is left", |found| {
        let new = found.iter().filter(|pointer| !documents.contains(&pointer.document_id));
        found.len() == 40 && new.count() == 1
    });
    for pointer in found.await? {
        let bytes = fetched(&cluster, &pointer.document_id).await?;
        assert!(bytes == b"changed" || bytes.starts_with(b"urn:"));
    }
    ensure!(source.terminate().await?, "the source ends well when it is asked to");
    Ok(())
}
