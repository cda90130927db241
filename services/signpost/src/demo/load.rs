//! The synthetic population: documents into the members' folders, records and pointers into the exchange.

use std::{
    fmt, fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{future::try_join_all, stream};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::{Date, date};
use signpost_common::hash::sha256;
use signpost_proto::{
    common::v1::{Address, AdministrativeSex, Demographics, HumanName},
    mpi::v1::{FeedPatientsRequest, LinkOutcome, RegisterPatientRequest, feed_patients_response},
    registry::v1::{DocumentEntry, RegisterDocumentsRequest, register_documents_response},
};
use signpost_source::index::{COLUMNS, Entry};

use super::{
    Options,
    world::{self, MEMBERS, World},
};
use crate::population::{self, Document, SourceRecord};

/// What every member has to tell the exchange.
pub(super) struct Population {
    people: usize,
    records: Vec<Vec<SourceRecord>>,
    entries: Vec<Vec<DocumentEntry>>,
    generated: Duration,
}

/// What was loaded, and how long it took.
pub(super) struct Loaded {
    people: usize,
    records: u64,
    attached: u64,
    review: u64,
    documents: u64,
    generated: Duration,
    records_took: Duration,
    documents_took: Duration,
    /// Demographics of some people, to locate.
    pub(super) samples: Vec<Demographics>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
        writeln!(
            f,
            "{} people, their documents written in {:.1} s",
            self.people,
            self.generated.as_secs_f64()
        )?;
        writeln!(
            f,
            "{} source records fed and linked in {:.1} s ({:.0} a second): {} joined a person known already, {} wait for a steward",
            self.records,
            self.records_took.as_secs_f64(),
            rate(self.records, self.records_took),
            self.attached,
            self.review,
        )?;
        write!(
            f,
            "{} pointers registered in {:.1} s ({:.0} a second)",
            self.documents,
            self.documents_took.as_secs_f64(),
            rate(self.documents, self.documents_took),
        )
    }
}

/// Makes the population and writes every member's documents with their index.
pub(super) fn generate(options: &Options) -> anyhow::Result<Population> {
    let began = Instant::now();
    let mut records: Vec<Vec<SourceRecord>> = vec![vec![]; MEMBERS.len()];
    for record in story().into_iter().chain(population::generate(options.people, MEMBERS.len(), options.seed))
    {
        records[record.member].push(record);
    }
    let write = |(id, name): (&str, &str), records: &[SourceRecord]| {
        let folder = world::documents(&options.dir, id);
        write_documents(&folder, name, records).with_context(|| format!("writing {}", folder.display()))
    };
    // Thousands of small files: the members write theirs at the same time.
    let entries = std::thread::scope(|scope| {
        let members = MEMBERS.iter().zip(&records);
        let writers: Vec<_> =
            members.map(|((id, name, _), records)| scope.spawn(move || write((id, name), records))).collect();
        let written = |writer: std::thread::ScopedJoinHandle<'_, _>| match writer.join() {
            Ok(entries) => entries,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        writers.into_iter().map(written).collect::<anyhow::Result<_>>()
    })?;
    Ok(Population { people: options.people + 2, records, entries, generated: began.elapsed() })
}

fn write_documents(
    folder: &Path,
    name: &str,
    records: &[SourceRecord],
) -> anyhow::Result<Vec<DocumentEntry>> {
    fs::create_dir_all(folder)?;
    let mut index = csv::Writer::from_path(folder.join("index.csv"))?;
    index.write_record(COLUMNS)?;
    let mut entries = vec![];
    for record in records {
        for document in &record.documents {
            let file = format!("{}-{}.json", record.local_id, document.kind.0);
            let moment = document.service_date.at(9, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC)?.timestamp();
            index.write_record([
                &record.local_id,
                &document.unique_id,
                &file,
                "application/fhir+json",
                document.kind.0,
                document.kind.1,
                "",
                &moment.to_string(),
                &moment.to_string(),
                document.labels,
                name,
            ])?;
            fs::write(folder.join(&file), &document.content)?;
            let entry = Entry {
                line: entries.len() as u64 + 2,
                local_id: record.local_id.clone(),
                unique_id: document.unique_id.clone(),
                path: file.into(),
                mime_type: "application/fhir+json".into(),
                type_code: document.kind.0.into(),
                type_display: document.kind.1.into(),
                class_code: String::new(),
                creation_time: Some(moment),
                service_start_time: Some(moment),
                labels: document.labels.split('|').map(str::to_owned).collect(),
                author_institution: name.into(),
            };
            let bytes = document.content.as_bytes();
            entries.push(entry.to_document_entry(bytes.len() as u64, sha256(bytes)));
        }
    }
    index.flush()?;
    Ok(entries)
}

const ALLERGIES: (&str, &str) = ("48765-2", "Allergies");
const MEDICATION: (&str, &str) = ("10160-0", "History of medication use");

/// The people of the story: Jane, whose history is spread over three members, and John, who is found unconscious.
fn story() -> Vec<SourceRecord> {
    let home = || address("440 Beacon Street", "Boston", "MA", "02115");
    let before = address("12 Chestnut Street", "Austin", "TX", "78701");
    let (jane, john) = (usize::MAX, usize::MAX - 1);
    let allergies = "Penicillin: anaphylaxis, 2009. Latex: rash.";
    let medication = "Apixaban 5 mg twice daily. Metoprolol 50 mg daily.";
    let (ekg, note) = (("11524-6", "EKG study"), ("11506-3", "Progress note"));
    let lived = address("7 Prospect Road", "Chicago", "IL", "60605");
    let man = AdministrativeSex::Male;
    vec![
        record(
            world::HOME,
            "B-1984",
            jane,
            jane_doe(home(), "(617) 555-0119"),
            vec![document("boston-allergies", ALLERGIES, date(2025, 11, 3), "N", allergies)],
        ),
        record(
            world::BEFORE,
            "A-0719",
            jane,
            jane_doe(before, "(512) 555-0142"),
            vec![document("austin-medication", MEDICATION, date(2025, 6, 21), "N", medication)],
        ),
        record(
            world::CLINIC,
            "L-22",
            jane,
            jane_doe(home(), "(617) 555-0119"),
            vec![
                document("chicago-ekg", ekg, date(2025, 2, 9), "N", "Atrial fibrillation."),
                document("chicago-note", note, date(2025, 2, 10), "R|PSY", "Not for everyone."),
            ],
        ),
        record(
            world::CLINIC,
            "L-61",
            john,
            someone("John", "Roe", "1961-02-11", man, lived, None),
            vec![document(
                "john-medication",
                MEDICATION,
                date(2025, 12, 1),
                "N",
                "Insulin glargine 20 units daily.",
            )],
        ),
    ]
}

fn jane_doe(address: Address, phone: &str) -> Demographics {
    someone("Jane", "Doe", "1984-07-19", AdministrativeSex::Female, address, Some(phone))
}

fn someone(
    given: &str,
    family: &str,
    birth_date: &str,
    sex: AdministrativeSex,
    address: Address,
    phone: Option<&str>,
) -> Demographics {
    Demographics {
        names: vec![HumanName { given: vec![given.into()], family: family.into(), ..HumanName::default() }],
        birth_date: birth_date.into(),
        sex: sex.into(),
        addresses: vec![address],
        phones: phone.into_iter().map(str::to_owned).collect(),
        ..Demographics::default()
    }
}

fn record(
    member: &str,
    local_id: &str,
    truth: usize,
    demographics: Demographics,
    documents: Vec<Document>,
) -> SourceRecord {
    let member = MEMBERS.iter().position(|(id, ..)| *id == member).unwrap_or_default();
    SourceRecord { member, local_id: local_id.into(), truth, demographics, documents }
}

fn document(
    id: &str,
    kind: (&'static str, &'static str),
    service_date: Date,
    labels: &'static str,
    finding: &str,
) -> Document {
    let unique_id = format!("urn:signpost:story:{id}");
    let content = population::content(kind, &service_date, finding);
    Document { unique_id, kind, service_date, labels, content }
}

fn address(line: &str, city: &str, state: &str, postcode: &str) -> Address {
    Address { line: line.into(), city: city.into(), state: state.into(), postcode: postcode.into() }
}

/// Feeds every member's records, then its pointers, all members at once.
pub(super) async fn feed(world: &World, population: Population) -> anyhow::Result<Loaded> {
    let Population { people, records, entries, generated } = population;
    let count = |lists: usize| ProgressBar::new(lists as u64).with_style(style());
    let samples =
        records[0].iter().step_by(7).take(2_000).map(|record| record.demographics.clone()).collect();

    let began = Instant::now();
    let bar = count(records.iter().map(Vec::len).sum()).with_message("records");
    let fed = MEMBERS.iter().zip(records).map(|((id, ..), records)| feed_records(world, id, records, &bar));
    let fed = try_join_all(fed).await?;
    bar.finish_and_clear();
    let records_took = began.elapsed();

    let began = Instant::now();
    let bar = count(entries.iter().map(Vec::len).sum()).with_message("pointers");
    let registered =
        MEMBERS.iter().zip(entries).map(|((id, ..), entries)| feed_documents(world, id, entries, &bar));
    let documents = try_join_all(registered).await?.into_iter().sum();
    bar.finish_and_clear();
    let documents_took = began.elapsed();

    let total = |pick: fn(&Fed) -> u64| fed.iter().map(pick).sum();
    Ok(Loaded {
        people,
        records: total(|fed| fed.records),
        attached: total(|fed| fed.attached),
        review: total(|fed| fed.review),
        documents,
        generated,
        records_took,
        documents_took,
        samples,
    })
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {percent:>3}% {pos} of {len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[derive(Default)]
struct Fed {
    records: u64,
    attached: u64,
    review: u64,
}

async fn feed_records(
    world: &World,
    member: &str,
    records: Vec<SourceRecord>,
    bar: &ProgressBar,
) -> anyhow::Result<Fed> {
    let client = world.member(member)?;
    let items = records.into_iter().zip(1..).map(|(record, item)| FeedPatientsRequest {
        item,
        record: Some(RegisterPatientRequest {
            local_id: record.local_id,
            demographics: Some(record.demographics),
            request_id: String::new(),
        }),
    });
    let request = client.request(&world::system(), stream::iter(items.collect::<Vec<_>>()))?;
    let mut answers = client.mpi().feed_patients(request).await?.into_inner();
    let mut fed = Fed::default();
    while let Some(answer) = answers.message().await? {
        let Some(feed_patients_response::Result::Registered(registered)) = answer.result else {
            anyhow::bail!("a record of the population was refused");
        };
        fed.records += 1;
        fed.attached += u64::from(registered.outcome() == LinkOutcome::Attached);
        fed.review += u64::from(registered.outcome() == LinkOutcome::Review);
        bar.inc(1);
    }
    Ok(fed)
}

async fn feed_documents(
    world: &World,
    member: &str,
    entries: Vec<DocumentEntry>,
    bar: &ProgressBar,
) -> anyhow::Result<u64> {
    let client = world.member(member)?;
    let items = entries
        .into_iter()
        .zip(1..)
        .map(|(entry, item)| RegisterDocumentsRequest { item, entry: Some(entry) });
    let request = client.request(&world::system(), stream::iter(items.collect::<Vec<_>>()))?;
    let mut answers = client.registry().register_documents(request).await?.into_inner();
    let mut registered = 0;
    while let Some(answer) = answers.message().await? {
        let Some(register_documents_response::Result::Registered(_)) = answer.result else {
            anyhow::bail!("a pointer of the population was refused");
        };
        registered += 1;
        bar.inc(1);
    }
    Ok(registered)
}
