//! Eight processes of the index on one database: they race, and nobody becomes two persons, and no two become one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use futures_util::{future::try_join_all, stream};
use signpost::{client::Client, config::Service};
use signpost_proto::{
    common::v1::{Demographics, HumanName, Identifier, Role},
    mpi::v1::{
        FeedPatientsRequest, FeedPatientsResponse, GetPersonRequest, LinkEventKind, ListReviewTasksRequest,
        RegisterPatientRequest, RegisterPatientResponse, WatchIdentityChangesRequest,
        feed_patients_response::Result as ItemResult, get_person_request::By,
    },
};
use signpost_tests::{Cluster, MEMBERS, Process, Topology, operator, postgres, soak, system};

/// Processes of the index.
const PROCESSES: usize = 8;

/// Two persons of one name that records of the name alone may belong to.
const PAIRS: usize = 25;

/// A person like nobody else: name, birth date, and an identifier of its own where it is told.
fn somebody(number: usize, identifier: Option<usize>) -> Demographics {
    let letters: String =
        (0..5).map(|place| char::from(b'a' + (number / 7usize.pow(place) % 7) as u8 * 3)).collect();
    let family = format!("Mc{letters}son");
    let identifiers = identifier.map(|value| Identifier {
        system: "http://hl7.org/fhir/sid/us-ssn".into(),
        value: format!("{:09}", (218_364_905 + 76_543_217 * value) % 1_000_000_000),
    });
    Demographics {
        names: vec![HumanName { given: vec!["Jane".into()], family, ..HumanName::default() }],
        birth_date: format!("{}-{:02}-{:02}", 1920 + number % 97, 1 + number % 12, 1 + number % 28),
        identifiers: identifiers.into_iter().collect(),
        ..Demographics::default()
    }
}

struct Replicas {
    cluster: Cluster,
    /// A client of each process, each in the name of a member.
    clients: Vec<Client>,
    _processes: Vec<Process>,
}

async fn replicas() -> anyhow::Result<Option<Replicas>> {
    let Some(_) = postgres() else { return Ok(None) };
    let cluster = Cluster::builder(Topology::SixProcesses).without_sources().start().await?;
    let mut clients = vec![cluster.client(MEMBERS[0], Service::Mpi)?];
    let mut processes = vec![];
    for number in 1..PROCESSES {
        let (process, endpoint) = cluster.replica(Service::Mpi).await?;
        processes.push(process);
        clients.push(cluster.client_at(MEMBERS[number % MEMBERS.len()], endpoint)?);
    }
    Ok(Some(Replicas { cluster, clients, _processes: processes }))
}

/// Feeds records to a process and returns what became of each.
async fn feed(
    client: &Client,
    records: Vec<(String, Demographics)>,
) -> anyhow::Result<Vec<RegisterPatientResponse>> {
    let items = records.into_iter().zip(0..).map(|((local_id, demographics), item)| FeedPatientsRequest {
        item,
        record: Some(RegisterPatientRequest {
            local_id,
            demographics: Some(demographics),
            request_id: String::new(),
        }),
    });
    let request = client.request(&system(), stream::iter(items.collect::<Vec<_>>()))?;
    let mut answers = client.mpi().feed_patients(request).await?.into_inner();
    let mut registered = vec![];
    while let Some(FeedPatientsResponse { result, .. }) = answers.message().await? {
        match result {
            Some(ItemResult::Registered(response)) => registered.push(response),
            other => anyhow::bail!("an item was refused: {other:?}"),
        }
    }
    Ok(registered)
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_make_one_person_of_each_newcomer() -> anyhow::Result<()> {
    let Some(replicas) = replicas().await? else { return Ok(()) };
    let newcomers = if soak() { 2_000 } else { 300 };
    let feeds = replicas.clients.iter().enumerate().map(|(process, client)| {
        // Each in an order of its own, so that they meet everywhere.
        let mut numbers: Vec<usize> = (0..newcomers).collect();
        numbers.rotate_left(process * newcomers / PROCESSES / 4);
        let record = |number: &usize| (format!("{process}-{number}"), somebody(*number, Some(*number)));
        let records = numbers.iter().map(record).collect();
        async move { anyhow::Ok((numbers, feed(client, records).await?)) }
    });
    let mut persons: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for (numbers, registered) in try_join_all(feeds).await? {
        ensure!(numbers.len() == registered.len(), "an item was not answered");
        for (number, registered) in numbers.into_iter().zip(registered) {
            persons.entry(number).or_default().insert(registered.person_id);
        }
    }
    for (number, of_one) in &persons {
        assert_eq!(of_one.len(), 1, "newcomer {number}");
    }
    let all: BTreeSet<_> = persons.values().flatten().collect();
    assert_eq!(all.len(), newcomers);
    println!("{newcomers} newcomers of {PROCESSES} processes at once are {} persons", all.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bridges_two_persons_is_asked_and_never_joins_them() -> anyhow::Result<()> {
    let Some(replicas) = replicas().await? else { return Ok(()) };
    let two = |pair: usize| [2 * pair, 2 * pair + 1].map(|identifier| somebody(pair, Some(identifier)));
    let known = (0..PAIRS).flat_map(|pair| two(pair).map(|person| (pair, person))).zip(0..);
    let known = known.map(|((_, person), number)| (format!("known-{number}"), person)).collect();
    let known = feed(&replicas.clients[0], known).await?;
    let persons: BTreeSet<_> = known.iter().map(|registered| registered.person_id.clone()).collect();
    assert_eq!(persons.len(), 2 * PAIRS, "identifiers tell them apart");
    let feeds = replicas.clients.iter().enumerate().map(|(process, client)| {
        let records = (0..PAIRS).map(|pair| (format!("{process}-{pair}"), somebody(pair, None))).collect();
        feed(client, records)
    });
    try_join_all(feeds).await?;
    let stewards = replicas.cluster.client("operator", Service::Mpi)?;
    let steward = operator(Role::Steward);
    for registered in &known {
        let by = Some(By::PersonId(registered.person_id.clone()));
        let request = stewards.request(&steward, GetPersonRequest { by, as_of: None })?;
        let person = stewards.mpi().get_person(request).await?.into_inner().person.context("no person")?;
        assert_eq!(person.person_id, registered.person_id, "it stands for itself");
    }
    let list = ListReviewTasksRequest { reason: "TWO_PERSONS".into(), ..ListReviewTasksRequest::default() };
    let listed = stewards.mpi().list_review_tasks(stewards.request(&steward, list)?).await?.into_inner();
    let asked: i64 = listed.counts.iter().map(|count| count.tasks).sum();
    ensure!(asked >= PAIRS as i64, "only {asked} questions");
    let request = stewards.request(&steward, WatchIdentityChangesRequest::default())?;
    let mut changes = stewards.mpi().watch_identity_changes(request).await?.into_inner();
    for _ in 0..known.len() + PROCESSES * PAIRS {
        let event = changes.message().await?.and_then(|change| change.event).context("no decision")?;
        let new = matches!(event.kind(), LinkEventKind::Create | LinkEventKind::Link);
        assert!(new && event.from_person_id.is_empty(), "nobody was moved: {:?}", event.kind());
    }
    Ok(())
}
