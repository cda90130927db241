//! The FEBRL people: 5,000 synthetic records, of which 3,000 are corrupted duplicates of the other 2,000.

use std::path::Path;

use anyhow::{Context, ensure};
use signpost::config::Matching;
use signpost_proto::common::v1::{Address, Demographics, HumanName, Identifier};
use tokio::process::Command;

use crate::binary;

/// One record.
#[derive(Debug, Clone)]
pub struct Person {
    /// Record id, for instance `rec-12-dup-0`.
    pub id: String,
    /// The person it is of.
    pub truth: u32,
    /// True when it is a corrupted duplicate.
    pub is_duplicate: bool,
    /// What an emergency department may learn of the person: all that the record says but the national identifier.
    pub demographics: Demographics,
    /// The national identifier, which the members' own records have.
    pub identifier: Identifier,
}

/// Reads the people.
pub fn read(data: &Path) -> anyhow::Result<Vec<Person>> {
    let path = data.join("people/febrl3.csv");
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path)?;
    reader.records().map(|row| person(&row?)).collect()
}

impl Person {
    /// Returns what the member's own record says.
    pub fn record(&self) -> Demographics {
        Demographics { identifiers: vec![self.identifier.clone()], ..self.demographics.clone() }
    }
}

/// Learns a model of these people, as an operator would of the network's own, and returns settings that use it.
pub async fn matching(folder: &Path, people: &[Person]) -> anyhow::Result<Matching> {
    let (records, model) = (folder.join("records.csv"), folder.join("model.json"));
    let mut file = csv::Writer::from_path(&records)?;
    file.write_record([
        "record_id",
        "given",
        "family",
        "birth_date",
        "address",
        "city",
        "state",
        "postcode",
        "national_id",
    ])?;
    for Person { id, demographics, identifier, .. } in people {
        let (name, address) = (&demographics.names[0], &demographics.addresses[0]);
        let Address { line, city, state, postcode } = address;
        let (given, birth_date) = (&name.given[0], &demographics.birth_date);
        file.write_record([
            id,
            given,
            &name.family,
            birth_date,
            line,
            city,
            state,
            postcode,
            &identifier.value,
        ])?;
    }
    file.flush()?;
    let mut train = Command::new(binary()?);
    train.args(["people", "train", "--input"]).arg(&records).arg("--model").arg(&model);
    let trained = train.output().await?;
    ensure!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    // One user looks for hundreds of people within seconds.
    Ok(Matching {
        model,
        population: people.len() as u64,
        region: "AU".into(),
        user_per_minute: 0,
        member_per_minute: 0,
    })
}

fn person(row: &csv::StringRecord) -> anyhow::Result<Person> {
    let cell = |i: usize| row.get(i).unwrap_or_default().to_owned();
    let id = cell(0);
    let number = id.split('-').nth(1).and_then(|text| text.parse().ok());
    let name = HumanName { given: vec![cell(1)], family: cell(2), ..HumanName::default() };
    let address = Address {
        line: format!("{} {} {}", cell(3), cell(4), cell(5)).trim().to_owned(),
        city: cell(6),
        state: cell(8),
        postcode: cell(7),
    };
    // Corrupted dates may be ones that never were: an EHR does not send those.
    let date = cell(9);
    let date = match (date.get(..4), date.get(4..6), date.get(6..8)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => String::new(),
    };
    let date = if date.parse::<jiff::civil::Date>().is_ok() { date } else { String::new() };
    Ok(Person {
        truth: number.with_context(|| format!("{id} names nobody"))?,
        is_duplicate: id.contains("dup"),
        demographics: Demographics {
            names: vec![name],
            birth_date: date,
            addresses: vec![address],
            ..Demographics::default()
        },
        identifier: Identifier { system: "urn:febrl:soc-sec-id".into(), value: cell(10) },
        id,
    })
}
