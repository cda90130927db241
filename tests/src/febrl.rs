//! The FEBRL people: 5,000 synthetic records, of which 3,000 are corrupted duplicates of the other 2,000.

use std::path::Path;

use anyhow::Context;
use signpost_proto::common::v1::{Address, Demographics, HumanName, Identifier};

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
