//! Directives: recorded, listed, taken back, and as FHIR Consent.

use std::{io::Read, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use signpost_common::{clock, rpc::token};
use signpost_proto::{
    common::v1::{RecordReference, Role},
    consent::v1::{
        CreateDirectiveRequest, Directive, Effect, ExportConsentRequest, FhirVersion, ImportConsentRequest,
        ListDirectivesRequest, Match, Relationship, RevokeDirectiveRequest,
    },
};
use tonic::{Code, Status};

use super::{Desk, Limit, refused};
use crate::cli::{
    Who, named_purpose, named_role, request_id,
    steward::{code, moment, shown_time},
    table,
};

/// Largest file that is read as a consent, as the exchange takes it.
const CONSENT_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    #[command(flatten)]
    who: Who,
    /// The patient: their local id at your organisation
    patient: String,
    /// To this organisation only; may be given several times, as all that follow
    #[arg(long = "to", value_name = "MEMBER")]
    requesters: Vec<String>,
    /// To this role only
    #[arg(long = "to-role", value_name = "ROLE")]
    roles: Vec<String>,
    /// For this purpose of use only
    #[arg(long = "for", value_name = "PURPOSE")]
    purposes: Vec<String>,
    /// What this member holds only
    #[arg(long = "custodian", value_name = "MEMBER")]
    custodians: Vec<String>,
    /// What bears this label only
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Documents of this type only (LOINC)
    #[arg(long = "type", value_name = "CODE")]
    type_codes: Vec<String>,
    /// This document only
    #[arg(long = "document", value_name = "ID")]
    document_ids: Vec<String>,
    /// Emergency access goes past it
    #[arg(long)]
    overridable: bool,
    /// Holds from this time [default: at once]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Holds until this time [default: for good]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// It is the word of who acts for the patient: a parent, a guardian, a proxy
    #[arg(long)]
    by_representative: bool,
    /// Identifies the attempt, so that it is made once however often it is tried
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl New {
    /// Returns what the directive speaks of.
    fn matches(&self) -> anyhow::Result<Match> {
        let role = |text: &String| named_role(text).map(i32::from);
        let purpose = |text: &String| named_purpose(text).map(i32::from);
        Ok(Match {
            requesters: self.requesters.clone(),
            roles: self.roles.iter().map(role).collect::<Result<_, _>>()?,
            purposes: self.purposes.iter().map(purpose).collect::<Result<_, _>>()?,
            custodians: self.custodians.clone(),
            labels: self.labels.clone(),
            type_codes: self.type_codes.clone(),
            document_ids: self.document_ids.clone(),
            ..Match::default()
        })
    }

    pub(super) async fn run(self, effect: Effect) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::Clerk)?;
        let directive = Directive {
            patient: Some(patient(&self.who, &self.patient)),
            effect: effect.into(),
            r#match: Some(self.matches()?),
            overridable: self.overridable,
            valid_from: self.from.map(clock::to_proto),
            valid_to: self.until.map(clock::to_proto),
            grantor: match self.by_representative {
                true => Relationship::Representative,
                false => Relationship::Unspecified,
            }
            .into(),
            ..Directive::default()
        };
        let request_id = self.request_id.unwrap_or_else(request_id);
        let request = CreateDirectiveRequest { directive: Some(directive), request_id: request_id.clone() };
        let created = desk.client.consent().create_directive(desk.request(request)?).await;
        recorded(created.map_err(|e| not_known(&e, &request_id))?.into_inner().directive)
    }
}

fn patient(who: &Who, local_id: &str) -> RecordReference {
    RecordReference { member_id: who.member.clone(), local_id: local_id.to_owned() }
}

/// Says how to go on after an attempt of which nobody knows what came.
fn not_known(error: &Status, request_id: &str) -> anyhow::Error {
    let said = refused(error);
    match error.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown => anyhow::anyhow!(
            "{said:#}\nit may be recorded or not; the same with --request-id {request_id} records it once"
        ),
        _ => said,
    }
}

fn recorded(directive: Option<Directive>) -> anyhow::Result<ExitCode> {
    println!("directive {}", directive.context("the answer holds no directive")?.directive_id);
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    who: Who,
    /// The patient: their local id at your organisation
    patient: String,
    #[command(flatten)]
    limit: Limit,
}

impl List {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::Clerk)?;
        let directives = self.limit.list(async |page_size, page_token| {
            let patient = Some(patient(&self.who, &self.patient));
            let request = ListDirectivesRequest { patient, page_size, page_token };
            let listed = desk.client.consent().list_directives(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            Ok((listed.directives, listed.next_page_token))
        });
        let none = format!(
            "{} directed nothing at {}; what the same person directed at another member counts, too",
            self.patient, self.who.member
        );
        Ok(directives.await?.show(&none, show_directives))
    }
}

fn show_directives(directives: &[Directive]) {
    let mut rows =
        table(&["directive", "by", "effect", "what", "in an emergency", "from", "until", "revoked"]);
    for directive in directives {
        let what = said(directive.r#match.as_ref());
        let overridable = directive.overridable && directive.effect() == Effect::Deny;
        rows.add_row([
            directive.directive_id.clone(),
            match directive.grantor() {
                Relationship::Representative => "representative",
                _ => "patient",
            }
            .to_owned(),
            code(directive.effect().as_str_name(), "EFFECT_"),
            match directive.exceptions.len() {
                0 => what,
                1 => format!("{what}, with an exception"),
                many => format!("{what}, with {many} exceptions"),
            },
            if overridable { "yields" } else { "" }.to_owned(),
            shown_time(directive.valid_from.as_ref().or(directive.created_at.as_ref())),
            shown_time(directive.valid_to.as_ref()),
            shown_time(directive.revoked_at.as_ref()),
        ]);
    }
    println!("{rows}");
}

/// Says in a few words what a directive speaks of.
fn said(of: Option<&Match>) -> String {
    let of = of.cloned().unwrap_or_default();
    let purposes: Vec<_> = of.purposes().map(|p| token::purpose_code(p).to_owned()).collect();
    let roles: Vec<_> = of.roles().map(|role| code(role.as_str_name(), "ROLE_")).collect();
    let period = of.service_from.is_some() || of.service_to.is_some();
    let parts = [
        ("to ", of.requesters),
        ("to ", roles),
        ("for ", purposes),
        ("label ", of.labels),
        ("held by ", of.custodians),
        ("type ", of.type_codes),
        ("category ", of.class_codes),
        ("written at ", of.authors),
        ("document ", of.document_ids),
    ];
    let parts = parts.into_iter().filter(|(_, values)| !values.is_empty());
    let mut parts: Vec<_> = parts.map(|(word, values)| format!("{word}{}", values.join(" or "))).collect();
    if period {
        parts.push("a period of service".to_owned());
    }
    if !of.relationships.is_empty() {
        parts.push("to some relationships".to_owned());
    }
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Revoke {
    #[command(flatten)]
    who: Who,
    /// The directive, as `list` names it
    directive: String,
}

impl Revoke {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::Clerk)?;
        let request = RevokeDirectiveRequest { directive_id: self.directive, request_id: request_id() };
        let revoked = desk.client.consent().revoke_directive(desk.request(request)?).await;
        let revoked = revoked.map_err(|e| refused(&e))?.into_inner().directive.unwrap_or_default();
        println!("{} is revoked, {}", revoked.directive_id, shown_time(revoked.revoked_at.as_ref()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Release of FHIR.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Fhir {
    R4,
    R5,
}

impl From<Fhir> for i32 {
    fn from(fhir: Fhir) -> Self {
        match fhir {
            Fhir::R4 => FhirVersion::R4.into(),
            Fhir::R5 => FhirVersion::R5.into(),
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    #[command(flatten)]
    who: Who,
    /// The patient: their local id at your organisation
    patient: String,
    /// File with the resource, JSON
    file: PathBuf,
    /// Release of FHIR
    #[arg(long, value_enum, default_value = "r4")]
    fhir: Fhir,
    /// Identifies the attempt, so that it is made once however often it is tried
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl Import {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let reading = || format!("reading {}", self.file.display());
        let mut resource = String::new();
        let file = std::fs::File::open(&self.file).with_context(reading)?;
        file.take(CONSENT_BYTES_MAX + 1).read_to_string(&mut resource).with_context(reading)?;
        let desk = Desk::of(&self.who, Role::Clerk)?;
        let request_id = self.request_id.unwrap_or_else(request_id);
        let request = ImportConsentRequest {
            patient: Some(patient(&self.who, &self.patient)),
            version: self.fhir.into(),
            resource,
            request_id: request_id.clone(),
        };
        let imported = desk.client.consent().import_consent(desk.request(request)?).await;
        recorded(imported.map_err(|e| not_known(&e, &request_id))?.into_inner().directive)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    who: Who,
    /// The directive, as `list` names it
    directive: String,
    /// Release of FHIR
    #[arg(long, value_enum, default_value = "r4")]
    fhir: Fhir,
}

impl Export {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = Desk::of(&self.who, Role::Clerk)?;
        let request = ExportConsentRequest { directive_id: self.directive, version: self.fhir.into() };
        let exported = desk.client.consent().export_consent(desk.request(request)?).await;
        println!("{}", exported.map_err(|e| refused(&e))?.into_inner().resource);
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use signpost_proto::common::v1::PurposeOfUse;

    use super::*;

    #[test]
    fn a_directive_is_said_in_a_few_words() {
        assert_eq!(said(None), "everything");
        let narrow = Match {
            requesters: vec!["mesa".into(), "harbor".into()],
            labels: vec!["PSY".into()],
            purposes: vec![PurposeOfUse::Treat.into()],
            ..Match::default()
        };
        assert_eq!(said(Some(&narrow)), "to mesa or harbor, for TREAT, label PSY");
    }
}
