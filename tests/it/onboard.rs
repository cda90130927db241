//! A network begins: the records of all members are imported at once, then the exchange serves.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, ensure};
use csv::StringRecord;
use signpost::config::Service;
use signpost_proto::{
    common::v1::{Demographics, HumanName, Role},
    mpi::v1::{LinkEventKind, MatchOutcome, MatchPatientRequest, WatchIdentityChangesRequest},
};
use signpost_tests::{Cluster, Topology, find::locate, operator, physician};

use crate::command::run;

const PATIENCE: Duration = Duration::from_secs(20);

/// Synthetic records as those of three members, with some rows that cannot be read.
async fn records(cluster: &Cluster) -> anyhow::Result<Vec<StringRecord>> {
    let folder = cluster.dir();
    run(folder, &["people", "synth", "--people", "150", "--seed", "11", "--out", "."]).await?.well()?;
    let mut reader = csv::Reader::from_path(folder.join("records.csv"))?;
    let mut writer = csv::Writer::from_path(folder.join("all.csv"))?;
    writer.write_record(reader.headers()?)?;
    let mut rows = vec![];
    for (place, row) in reader.records().enumerate() {
        let row = row?;
        let mut cells: Vec<&str> = row.iter().collect();
        cells[1] = ["north", "south", "west"][place % 3];
        cells[2] = cells[0];
        writer.write_record(&cells)?;
        rows.push(cells.into_iter().collect());
    }
    for (source, mrn) in [("", "1"), ("North", "1"), ("north", "")] {
        let mut cells = vec![""; 17];
        (cells[1], cells[2], cells[4]) = (source, mrn, "Ann");
        writer.write_record(&cells)?;
    }
    writer.flush()?;
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_imported_is_found() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::OneProcess).without_sources().start().await?;
    cluster.take_process(Service::Locator)?.kill().await?;
    let rows = records(&cluster).await?;
    let config = cluster.dir().join("import.toml");
    fs::write(&config, toml::to_string(cluster.config())?)?;
    let config = config.to_str().context("a path")?;
    let import = ["--config", config, "import", "people", "--bulk", "all.csv", "--rejects", "rejects.csv"];
    let (table, err) = run(cluster.dir(), &import).await?.badly()?;
    ensure!(table.contains("persons founded"), "{table}");
    for reason in ["source must not be empty", "source must be lower case letters", "mrn must not be empty"] {
        ensure!(err.contains(reason), "{reason:?} is not in {err}");
    }
    // Synthetic records have dates that never were, too, which the service takes from nobody.
    let rejected = fs::read_to_string(cluster.dir().join("rejects.csv"))?.lines().count() - 1;
    ensure!((3..20).contains(&rejected), "{rejected} rows were rejected");
    let imported = rows.len() + 3 - rejected;
    let (again, _) = run(cluster.dir(), &import).await?.badly()?;
    let line = again.lines().last().context("a line")?;
    let sums: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    ensure!(
        sums == [imported, 0, 0, 0, imported, 0, rejected, 0],
        "the second run changed something: {again}"
    );

    cluster.restart(Service::Locator).await?;
    let client = cluster.client("north", Service::Mpi)?;
    let mut found = 0;
    let asked = rows.iter().step_by(7).collect::<Vec<_>>();
    for row in &asked {
        let request = MatchPatientRequest { demographics: Some(demographics(row)) };
        let matched = client.mpi().match_patient(client.request(&physician(), request)?).await;
        found += usize::from(matched.is_ok_and(|answer| answer.get_ref().outcome() == MatchOutcome::Certain));
    }
    ensure!(found * 10 >= asked.len() * 7, "only {found} of {} are found", asked.len());
    let client = cluster.client("west", Service::Locator)?;
    let mut located = 0;
    for row in &asked {
        let answer = locate(&client, &physician(), &demographics(row)).await;
        located += usize::from(answer.is_ok_and(|located| !located.person.person_id.is_empty()));
    }
    ensure!(located >= found, "the locator finds {located}, the index {found}");

    // The log of decisions begins with the import and has every record once.
    let client = cluster.client("operator", Service::Mpi)?;
    let request = WatchIdentityChangesRequest { resume_token: String::new() };
    let user = operator(Role::Steward);
    let mut changes =
        client.mpi().watch_identity_changes(client.request(&user, request)?).await?.into_inner();
    let (mut seen, mut persons) = (BTreeSet::new(), BTreeSet::new());
    while seen.len() < imported {
        let change = tokio::time::timeout(PATIENCE, changes.message()).await.context("no change comes")??;
        let event = change.and_then(|change| change.event).context("the stream ended")?;
        let founds = event.kind() == LinkEventKind::Create;
        ensure!(
            founds == persons.insert(event.to_person_id.clone()),
            "a person begins with its first record"
        );
        ensure!(seen.insert(event.record_id.clone()), "a record was decided on twice");
    }
    ensure!(persons.len() < imported, "nobody was joined");
    Ok(())
}

/// What somebody knows who asks: the record as it was written.
fn demographics(row: &StringRecord) -> Demographics {
    let cell = |place: usize| row.get(place).unwrap_or_default().to_owned();
    let first = |place: usize| cell(place).split('|').next().unwrap_or_default().to_owned();
    let filled = |text: String| Some(text).filter(|text| !text.is_empty()).into_iter().collect();
    let name = HumanName { given: filled(first(4)), family: first(6), ..HumanName::default() };
    Demographics {
        names: vec![name],
        birth_date: cell(8),
        phones: filled(first(14)),
        emails: filled(first(15)),
        addresses: vec![signpost_proto::common::v1::Address {
            line: cell(10),
            city: cell(11),
            state: cell(12),
            postcode: cell(13),
        }],
        ..Demographics::default()
    }
}
