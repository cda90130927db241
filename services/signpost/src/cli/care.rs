//! Commands of an emergency department: locate, and emergency access.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use signpost_common::clock;
use signpost_proto::{
    common::v1::{Address, Demographics, HumanName, Identifier, PurposeOfUse, RecordReference, Role},
    consent::v1::{EmergencyReason, Match, OpenEmergencyAccessRequest},
    locator::v1::{
        Completion, LocateRequest, PersonMatch, PersonOutcome, Pointer, SourceOutcome, SourceState,
        locate_request::Subject, locate_response::Message,
    },
};
use tonic::Code;

use super::{DEFAULT_USER, Who, counted, explain, request_id, table};

#[derive(Debug, Args)]
pub(super) struct Locate {
    #[command(flatten)]
    who: Who,
    /// Given name
    #[arg(long)]
    given: Option<String>,
    /// Family name
    #[arg(long)]
    family: Option<String>,
    /// Birth date, YYYY-MM-DD
    #[arg(long, default_value = "", value_name = "DATE")]
    birth_date: String,
    /// House number and street
    #[arg(long, default_value = "")]
    address: String,
    /// City
    #[arg(long, default_value = "")]
    city: String,
    /// Postal code
    #[arg(long, default_value = "")]
    postcode: String,
    /// Phone number
    #[arg(long)]
    phone: Option<String>,
    /// Identifier with its authority, as `SYSTEM|VALUE`
    #[arg(long, value_name = "IDENTIFIER")]
    identifier: Option<String>,
    /// Local id of the patient at your own organisation, instead of demographics
    #[arg(long, conflicts_with_all = ["given", "family", "birth_date", "address", "city", "postcode", "phone", "identifier"], value_name = "ID")]
    local_id: Option<String>,
    /// Emergency session to apply
    #[arg(long, default_value = "", value_name = "SESSION")]
    emergency: String,
    /// How long to wait for members, in milliseconds
    #[arg(long, default_value_t = 2000, value_name = "MS")]
    wait_ms: u32,
}

impl Locate {
    fn subject(&self) -> anyhow::Result<Subject> {
        if let Some(local_id) = &self.local_id {
            let record = RecordReference { member_id: String::new(), local_id: local_id.clone() };
            return Ok(Subject::Record(record));
        }
        let name = HumanName {
            given: self.given.iter().cloned().collect(),
            family: self.family.clone().unwrap_or_default(),
            ..HumanName::default()
        };
        let address = Address {
            line: self.address.clone(),
            city: self.city.clone(),
            state: String::new(),
            postcode: self.postcode.clone(),
        };
        let identifier = self.identifier.as_deref().map(|text| {
            let (system, value) = text.split_once('|').context("--identifier must be SYSTEM|VALUE")?;
            anyhow::Ok(Identifier { system: system.into(), value: value.into() })
        });
        Ok(Subject::Demographics(Demographics {
            names: if name == HumanName::default() { vec![] } else { vec![name] },
            birth_date: self.birth_date.clone(),
            addresses: if address == Address::default() { vec![] } else { vec![address] },
            phones: self.phone.iter().cloned().collect(),
            identifiers: identifier.transpose()?.into_iter().collect(),
            ..Demographics::default()
        }))
    }

    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.who.client()?;
        let purpose = if self.emergency.is_empty() { PurposeOfUse::Treat } else { PurposeOfUse::Etreat };
        let request_id = request_id();
        let request = LocateRequest {
            subject: Some(self.subject()?),
            emergency_session_id: self.emergency.clone(),
            request_id: request_id.clone(),
            source_timeout_ms: self.wait_ms,
            ..LocateRequest::default()
        };
        let mut request = client.request(&self.who.user(Role::Physician, purpose)?, request)?;
        request.set_timeout(Duration::from_millis(u64::from(self.wait_ms) + 10_000));
        // Who does not know what became of it need not guess.
        let unknown = |error: anyhow::Error| {
            error.context(format!("`signpost run {request_id}` says what became of it"))
        };
        let failed = |error: tonic::Status| match error.code() {
            Code::DeadlineExceeded | Code::Unknown | Code::Cancelled => unknown(explain(&error)),
            _ => explain(&error),
        };
        let mut answer = client.locator().locate(request).await.map_err(failed)?.into_inner();
        let (mut pointers, mut sources) = (vec![], vec![]);
        while let Some(message) = answer.message().await.map_err(failed)? {
            match message.message {
                Some(Message::Person(person)) => show_person(&person),
                Some(Message::Pointer(pointer)) => pointers.push(pointer),
                Some(Message::Source(source)) => sources.push(source),
                Some(Message::Completion(completion)) => {
                    show_pointers(&pointers);
                    show_sources(&sources);
                    show_completion(&completion);
                    return Ok(ExitCode::SUCCESS);
                }
                None => {}
            }
        }
        let text = "the answer broke off before its statement of completeness: it is not to be relied on";
        Err(unknown(anyhow!(text)))
    }
}

pub(crate) fn show_person(person: &PersonOutcome) {
    match person.r#match() {
        PersonMatch::Certain => {
            println!("person {} (probability {:.6})", person.person_id, person.probability)
        }
        PersonMatch::MoreAttributesNeeded => {
            println!("more is needed to say who this is; any of: {}", person.attributes_needed.join(", "));
        }
        PersonMatch::NotFound | PersonMatch::Unspecified => println!("nobody is known who fits"),
    }
}

pub(crate) fn show_pointers(pointers: &[Pointer]) {
    if pointers.is_empty() {
        return;
    }
    let mut rows = table(&["#", "document", "held by", "type", "date", "bytes", "why"]);
    for pointer in pointers {
        let kind = pointer.type_code.clone().unwrap_or_default();
        let time = pointer.service_start_time.or(pointer.creation_time);
        let time = time.as_ref().and_then(clock::from_proto);
        rows.add_row([
            // A list has no ranks.
            if pointer.rank == 0 { String::new() } else { pointer.rank.to_string() },
            pointer.document_id.clone(),
            pointer.custodian.clone(),
            if kind.display.is_empty() { kind.code } else { kind.display },
            time.map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default(),
            pointer.size_bytes.to_string(),
            match pointer.copies.len() {
                0 => pointer.rank_reasons.join(" "),
                1 => format!("{} (and a copy)", pointer.rank_reasons.join(" ")),
                copies => format!("{} (and {copies} copies)", pointer.rank_reasons.join(" ")),
            },
        ]);
    }
    println!("{rows}");
}

pub(crate) fn show_sources(sources: &[SourceOutcome]) {
    for source in sources {
        if !source.missing_document_ids.is_empty() {
            println!(
                "{} says that it no longer has {}",
                source.member_id,
                source.missing_document_ids.join(", ")
            );
        }
        let state = match (source.state(), source.reason.as_str()) {
            (SourceState::Answered, _) => continue,
            (SourceState::TimedOut, _) => "did not answer in time",
            (SourceState::Refused, _) => "refused to answer",
            (SourceState::NotAsked, "NO_ENDPOINT") => "serves no documents and was not asked",
            (SourceState::NotAsked, "CIRCUIT_OPEN") => "did not answer the last times and was not asked",
            (SourceState::NotAsked, _) => "was not asked",
            (SourceState::Unavailable | SourceState::Unspecified, _) => "could not be reached",
        };
        println!("{} {state} ({}, {} ms)", source.member_id, source.reason, source.elapsed_ms);
    }
}

pub(crate) fn show_completion(completion: &Completion) {
    let Completion { asked, answered, pointers, truncated, emergency_could_show_more, degraded, .. } =
        completion;
    let documents = counted(*pointers, "document", "documents");
    println!("{documents}; {answered} of {} answered", counted(*asked, "member", "members"));
    if *degraded {
        println!("not everybody could be asked: there may be more, or less, than is shown");
    }
    if *truncated {
        println!("there are more documents than were asked for");
    }
    if *emergency_could_show_more {
        println!("in an emergency, asking again under emergency access could show more");
    }
}

#[derive(Debug, Args)]
pub(super) struct Emergency {
    #[command(flatten)]
    who: Who,
    /// Person, as `locate` names it
    person: String,
    /// Why: unconscious, life-threatening, danger-to-others
    #[arg(long, default_value = "unconscious")]
    reason: String,
    /// Why, in words, 10 to 500 characters, without patient data
    #[arg(long)]
    text: String,
    /// How long, in minutes
    #[arg(long, default_value_t = 60, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=240))]
    minutes: u32,
    /// Documents with this label only; may be given several times [default: all]
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
}

impl Emergency {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let reason = match self.reason.as_str() {
            "unconscious" => EmergencyReason::Unconscious,
            "life-threatening" => EmergencyReason::LifeThreatening,
            "danger-to-others" => EmergencyReason::DangerToOthers,
            other => bail!("{other:?} is not a reason: unconscious, life-threatening or danger-to-others"),
        };
        if self.who.user == DEFAULT_USER {
            bail!("emergency access belongs to a person, who answers for it: name them with --user");
        }
        let client = self.who.client()?;
        let request = OpenEmergencyAccessRequest {
            person_id: self.person.clone(),
            reason: reason.into(),
            reason_text: self.text.clone(),
            ttl_seconds: self.minutes.saturating_mul(60),
            request_id: request_id(),
            scope: (!self.labels.is_empty())
                .then(|| Match { labels: self.labels.clone(), ..Match::default() }),
        };
        let request = client.request(&self.who.user(Role::Physician, PurposeOfUse::Etreat)?, request)?;
        let answer = client.emergency().open_emergency_access(request).await.map_err(|e| explain(&e))?;
        let session = answer.into_inner().session.context("the answer holds no session")?;
        let until = session.expires_at.as_ref().and_then(clock::from_proto);
        println!("emergency session {}", session.session_id);
        if let Some(until) = until {
            println!("open until {until}; it will be reviewed by a privacy officer");
        }
        Ok(ExitCode::SUCCESS)
    }
}
