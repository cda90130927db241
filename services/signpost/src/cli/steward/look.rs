//! Looking at what is known: a person, what was decided, and why.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use signpost_common::{clock, rpc::page};
use signpost_people::report::Reason;
use signpost_proto::{
    common::v1::{Address, AdministrativeSex, Demographics, HumanName, Identifier, NameUse},
    mpi::v1::{
        self as mpi, ExplainMatchRequest, ExplainMatchResponse, GetPersonRequest, KnownValue,
        ListLinkEventsRequest, get_person_request, list_link_events_request,
    },
};

use super::{Staff, code, moment, reference, refused, show_events, shown_record, shown_time};
use crate::cli::{counted, table};

#[derive(Debug, Args)]
pub(in crate::cli) struct History {
    #[command(flatten)]
    staff: Staff,
    #[command(flatten)]
    of: Of,
    /// Most decisions to list
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Whose decisions.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// Decisions on this record: its id or MEMBER/LOCAL
    #[arg(long)]
    record: Option<String>,
    /// Decisions by which records came to this person or left it: its id or MEMBER/LOCAL of one of its records
    #[arg(long)]
    person: Option<String>,
}

impl History {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let of = match (&self.of.record, &self.of.person) {
            (Some(record), _) => list_link_events_request::Of::RecordId(desk.record(record).await?),
            (None, person) => {
                let person = desk.person(person.as_deref().unwrap_or_default()).await?;
                list_link_events_request::Of::PersonId(person)
            }
        };
        let limit = self.limit as usize;
        let (mut events, mut page_token) = (vec![], String::new());
        loop {
            let left = i32::try_from(limit - events.len()).unwrap_or(i32::MAX);
            let page_size = left.min(page::SIZE_MAX);
            let request = ListLinkEventsRequest { of: Some(of.clone()), page_size, page_token };
            let listed = desk.mpi().list_link_events(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            events.extend(listed.events);
            page_token = listed.next_page_token;
            if page_token.is_empty() || events.len() >= limit {
                break;
            }
        }
        if events.is_empty() {
            println!(
                "nothing was decided; a person is followed by the id that it has now, which `person` shows"
            );
            return Ok(ExitCode::SUCCESS);
        }
        show_events(&events);
        if !page_token.is_empty() {
            println!("the latest {} are shown; --limit N shows more", events.len());
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    staff: Staff,
    /// Two records to compare: ids or MEMBER/LOCAL
    #[arg(
        num_args = 2,
        required_unless_present = "decision",
        conflicts_with = "decision",
        value_name = "RECORD"
    )]
    records: Vec<String>,
    /// Explain this decision, by the model of its day: its position, as `history` shows it
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(i64).range(1..))]
    decision: Option<i64>,
}

impl Explain {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let request = match (self.decision, &self.records[..]) {
            (None, [left, right]) => ExplainMatchRequest {
                left_record_id: desk.record(left).await?,
                right_record_id: desk.record(right).await?,
                sequence: 0,
            },
            (decision, _) => {
                let sequence = decision.context("name two records or a --decision")?;
                ExplainMatchRequest { sequence, ..ExplainMatchRequest::default() }
            }
        };
        let explained = desk.mpi().explain_match(desk.request(request)?).await;
        show_explanation(&explained.map_err(|e| refused(&e))?.into_inner());
        Ok(ExitCode::SUCCESS)
    }
}

fn show_explanation(explained: &ExplainMatchResponse) {
    if let Some(event) = &explained.event {
        show_events(std::slice::from_ref(event));
        println!("compared with record {}", explained.other_record_id);
        if explained.changed_since {
            println!("one of the two was sent again since: what is compared is what they say now");
        }
        println!();
    }
    let mut rows = table(&["field", "agreement", "bits"]);
    let bits = |bits: f64| format!("{bits:+.2}");
    let mut row = |field: &str, level: &str, weight: f64| {
        rows.add_row([field, level, &bits(weight)]);
    };
    row("prior", "before anything is compared", explained.prior_bits);
    for part in &explained.fields {
        row(&part.field, &part.level, part.bits);
        if part.frequency_bits != 0.0 {
            row("", "how frequent the value is", part.frequency_bits);
        }
    }
    if explained.calibration_bits != 0.0 {
        row("calibration", "", explained.calibration_bits);
    }
    row("total", "", explained.total_bits);
    println!("{rows}\n");
    let ExplainMatchResponse { probability, same, household, unrelated, rule, model_version, .. } = explained;
    println!("probability {probability:.6} that they are one person");
    println!("before calibration: same {same:.6}, of one household {household:.6}, unrelated {unrelated:.6}");
    println!("rule {rule}");
    if let Some(reason) = Reason::of_code(rule) {
        println!("{} {}", reason.meaning(), reason.advice());
    }
    println!("model {model_version}");
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Person {
    #[command(flatten)]
    staff: Staff,
    /// Person: its id, or MEMBER/LOCAL of one of its records
    #[arg(value_name = "PERSON")]
    person: String,
    /// As the links were at this time or date; what a record says is what it says now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    as_of: Option<Timestamp>,
}

impl Person {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        use get_person_request::By;
        let desk = self.staff.desk()?;
        let by = match reference(&self.person) {
            Some(record) => By::Record(record),
            None => By::PersonId(self.person.clone()),
        };
        let request = GetPersonRequest { by: Some(by), as_of: self.as_of.map(clock::to_proto) };
        let answer = desk.mpi().get_person(desk.request(request)?).await.map_err(|e| refused(&e))?;
        let person = answer.into_inner().person.context("the answer holds no person")?;
        let records = counted(person.record_count, "record", "records");
        let mpi::Person { person_id, created_at, values, .. } = &person;
        println!("person {person_id} ({records}, known since {} UTC)\n", shown_time(created_at.as_ref()));
        let (best, others): (Vec<_>, Vec<_>) = values.iter().partition(|value| value.best);
        show_values("best value", &best);
        if !others.is_empty() {
            println!();
            show_values("also known", &others);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show_values(header: &str, values: &[&KnownValue]) {
    let mut rows = table(&["field", header, "source", "stated"]);
    for value in values {
        rows.add_row([
            value.field.clone(),
            value.value.as_ref().map(shown_value).unwrap_or_default(),
            shown_record(value.source.as_ref()),
            shown_time(value.stated_at.as_ref()),
        ]);
    }
    println!("{rows}");
}

/// Writes a value as people do; its other fields are empty.
fn shown_value(value: &Demographics) -> String {
    let Demographics {
        names,
        birth_date,
        sex: _,
        addresses,
        phones,
        emails,
        identifiers,
        multiple_birth_order,
        mother,
    } = value;
    let mut texts: Vec<String> = names.iter().chain(mother).map(shown_name).collect();
    texts.push(birth_date.clone());
    if value.sex() != AdministrativeSex::Unspecified {
        texts.push(code(value.sex().as_str_name(), "ADMINISTRATIVE_SEX_"));
    }
    for Address { line, city, state, postcode } in addresses {
        texts.push(joined(&[line, city, state, postcode], ", "));
    }
    texts.extend(phones.iter().chain(emails).cloned());
    texts.extend(identifiers.iter().map(|Identifier { system, value }| format!("{system}|{value}")));
    if *multiple_birth_order > 0 {
        texts.push(multiple_birth_order.to_string());
    }
    texts.retain(|text| !text.is_empty());
    texts.join("; ")
}

fn shown_name(name: &HumanName) -> String {
    let HumanName { given, family, suffix, r#use: _, maternal_family } = name;
    let given = given.join(" ");
    let former = if name.r#use() == NameUse::Prior { "(former)" } else { "" };
    joined(&[&given, family, maternal_family, suffix, former], " ")
}

fn joined(parts: &[&str], separator: &str) -> String {
    let parts: Vec<_> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_people_do() {
        let name = HumanName {
            given: vec!["Ana".into(), "María".into()],
            family: "García".into(),
            maternal_family: "Lorca".into(),
            suffix: String::new(),
            r#use: NameUse::Prior.into(),
        };
        let shown = shown_value(&Demographics { names: vec![name], ..Demographics::default() });
        assert_eq!(shown, "Ana María García Lorca (former)");
        let address = Address { line: "7 Elm St".into(), postcode: "02115".into(), ..Address::default() };
        let shown = shown_value(&Demographics { addresses: vec![address], ..Demographics::default() });
        assert_eq!(shown, "7 Elm St, 02115");
        let sex = AdministrativeSex::Female.into();
        assert_eq!(shown_value(&Demographics { sex, ..Demographics::default() }), "female");
    }
}
