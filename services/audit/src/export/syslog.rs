//! Syslog (RFC 5424) with the audit message of DICOM (PS3.15, A.5), as IHE ATNA demands.

use std::fmt::Write;

use signpost_common::{clock, rpc::token};
use signpost_proto::{
    audit::v1::EventKind,
    common::v1::{PurposeOfUse, Role},
};

use super::{Code, DCM, Entry, REST, class, outcome, purpose_name};

/// Facility 10: security and authorisation.
const FACILITY: u8 = 10;

/// Severity of what was done: notice.
const NOTICE: u8 = 5;

/// Severity of what was refused or failed: warning.
const WARNING: u8 = 4;

/// Longest name of a host.
const HOST_MAX: usize = 255;

/// Element of structured data: the number is the one for documentation (RFC 5612).
const ELEMENT: &str = "signpost@32473";

/// Writes an entry as one line, without its end; none when it has no time.
pub fn line(entry: &Entry<'_>) -> Option<String> {
    let Entry { log, sequence, hash, event, .. } = entry;
    let at = event.occurred_at.as_ref().and_then(clock::from_proto)?;
    let time = at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
    let severity = if outcome(event) == "0" { NOTICE } else { WARNING };
    let priority = FACILITY * 8 + severity;
    let host: String = log.chars().filter(char::is_ascii_graphic).take(HOST_MAX).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let kind = event.kind().as_str_name().trim_start_matches("EVENT_KIND_").to_ascii_lowercase();
    let caller = event.caller.clone().unwrap_or_default();
    let parameters = [
        ("sequence", sequence.to_string()),
        ("leafHash", hex::encode(hash)),
        ("eventId", event.event_id.clone()),
        ("kind", kind),
        ("action", event.action.clone()),
        ("reason", event.reason.clone()),
        ("member", caller.member_id.clone()),
        ("requestId", event.request_id.clone()),
    ];
    let mut data = String::new();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        write!(data, " {name}=\"{}\"", parameter(value)).ok()?;
    }
    let message = message(entry)?;
    // The mark before the message says that it is UTF-8.
    Some(format!("<{priority}>1 {time} {host} signpost - DICOM+RFC3881 [{ELEMENT}{data}] \u{feff}{message}"))
}

/// Escapes a value of structured data (RFC 5424, 6.3.3). A line has no line feeds in it.
fn parameter(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' | ']' => out.extend(['\\', c]),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Escapes a value of XML.
fn xml(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn code(element: &str, (system, code, name): (&str, &str, &str)) -> String {
    let system = if system == DCM { "DCM" } else { system };
    let (system, code, name) = (xml(system), xml(code), xml(name));
    format!("<{element} csd-code=\"{code}\" codeSystemName=\"{system}\" originalText=\"{name}\"/>")
}

fn message(entry: &Entry<'_>) -> Option<String> {
    let Entry { log, event, .. } = entry;
    let (class, outcome) = (class(event), outcome(event));
    let at = event.occurred_at.as_ref().and_then(clock::from_proto)?;
    let mut out = format!(
        "<AuditMessage><EventIdentification EventActionCode=\"{}\" EventDateTime=\"{at}\" EventOutcomeIndicator=\"{outcome}\">",
        class.action
    );
    // DICOM has codes of its own for what FHIR calls a restful operation.
    let kind = match (class.kind.0, event.kind()) {
        (REST, EventKind::Consent) => (DCM, "110110", "Patient Record"),
        (REST, _) => (DCM, "110112", "Query"),
        _ => class.kind,
    };
    out += &code("EventID", kind);
    out += &class.subtype.map(|subtype| code("EventTypeCode", subtype)).unwrap_or_default();
    if !event.reason.is_empty() {
        write!(out, "<EventOutcomeDescription>{}</EventOutcomeDescription>", xml(&event.reason)).ok()?;
    }
    let purpose = event.caller.as_ref().map(|caller| caller.purpose()).unwrap_or_default();
    if purpose != PurposeOfUse::Unspecified {
        let system = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
        out += &code("PurposeOfUse", (system, token::purpose_code(purpose), purpose_name(purpose)));
    }
    out += "</EventIdentification>";
    participants(&mut out, entry);
    write!(out, "<AuditSourceIdentification AuditSourceID=\"{}\">", xml(log)).ok()?;
    out += "<AuditSourceTypeCode csd-code=\"4\"/></AuditSourceIdentification>";
    objects(&mut out, entry);
    out += "</AuditMessage>";
    Some(out)
}

fn participants(out: &mut String, entry: &Entry<'_>) {
    let Entry { log, event, .. } = entry;
    let caller = event.caller.clone().unwrap_or_default();
    let mut add = |id: &str, requestor: bool, address: &str, role: (&str, &str, &str)| {
        let network = match address {
            "" => String::new(),
            uri => format!(" NetworkAccessPointID=\"{}\" NetworkAccessPointTypeCode=\"5\"", xml(uri)),
        };
        *out += &format!(
            "<ActiveParticipant UserID=\"{}\" UserIsRequestor=\"{requestor}\"{network}>{}</ActiveParticipant>",
            xml(id),
            code("RoleIDCode", role)
        );
    };
    let (source, destination) = ((DCM, "110153", "Source Role ID"), (DCM, "110152", "Destination Role ID"));
    let (own, other) = match event.kind() {
        EventKind::Fetch => (source, destination),
        _ => (destination, source),
    };
    add(log, caller.exchange, &format!("urn:signpost:log:{log}"), own);
    if !caller.exchange {
        let member = if caller.member_id.is_empty() { "unknown" } else { &caller.member_id };
        add(member, caller.user.is_empty(), &format!("urn:signpost:member:{member}"), other);
    }
    if !caller.user.is_empty() {
        let role = match caller.role() {
            Role::Unspecified => "unknown".to_owned(),
            role => token::role_name(role),
        };
        add(&caller.user, true, "", ("urn:signpost:role", &role, &role));
    }
}

fn objects(out: &mut String, entry: &Entry<'_>) {
    let Entry { event, subjects, .. } = entry;
    let mut add = |id: &str, kind: u8, role: &str, id_type: Code, details: &[(&str, &str)]| {
        let role = match role {
            "" => String::new(),
            role => format!(" ParticipantObjectTypeCodeRole=\"{role}\""),
        };
        let details = details.iter().filter(|(_, value)| !value.is_empty());
        let details: String = details
            .map(|(name, value)| {
                // DICOM has values as base64.
                use base64::{Engine, prelude::BASE64_STANDARD};
                let value = BASE64_STANDARD.encode(value);
                format!("<ParticipantObjectDetail type=\"{name}\" value=\"{value}\"/>")
            })
            .collect();
        *out += &format!(
            "<ParticipantObjectIdentification ParticipantObjectID=\"{}\" ParticipantObjectTypeCode=\"{kind}\"{role}>{}{details}</ParticipantObjectIdentification>",
            xml(id),
            code("ParticipantObjectIDTypeCode", id_type),
        );
    };
    let patient: Code = ("RFC-3881", "2", "Patient Number");
    if !event.person_id.is_empty() {
        add(&event.person_id, 1, "1", patient, &[("person", "person")]);
    }
    for token in subjects {
        add(&format!("{token:016x}"), 1, "1", patient, &[("record-hash", "record-hash")]);
    }
    for document in &event.documents {
        let released = if document.released { "true" } else { "false" };
        let rules = document.rule_ids.join(" ");
        let details = [
            ("custodian", document.custodian.as_str()),
            ("released", released),
            ("rules", &rules),
            ("decision", &document.decision_id),
        ];
        add(&document.document_id, 2, "3", ("RFC-3881", "9", "Report Number"), &details);
    }
    let others = [("emergency-session", &event.emergency_session_id), ("object", &event.object_id)];
    for (name, id) in others.into_iter().filter(|(_, id)| !id.is_empty()) {
        add(id, 2, "", ("urn:signpost:entity", name, name), &[]);
    }
}
