//! The log for other programs: FHIR AuditEvent after IHE BALP, syslog with ATNA messages, or raw, to be verified again.
//!
//! Nothing is added to what the log knows: a patient's records are keyed hashes, a patient who calls is one, and what a caller
//! asked for is its method alone. Hashes mean nothing without the blinding key.

use jiff::Timestamp;
use signpost_common::clock;
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::{Caller, PurposeOfUse},
};

use crate::{
    convert,
    domain::merkle::{self, Subtree},
    raw,
    store::{Error, Scan},
};

pub mod fhir;
pub mod syslog;

/// Checkpoints that are read at once.
const NOTES: i64 = 1_000;

/// An entry of the log, to be told to others.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Name of the log.
    pub log: &'a str,
    /// Position.
    pub sequence: u64,
    /// Hash of the entry.
    pub hash: merkle::Hash,
    /// The event.
    pub event: Event,
    /// Keyed hashes of the patient's records.
    pub subjects: Vec<i64>,
}

/// A code with its system and its name.
type Code = (&'static str, &'static str, &'static str);

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const REST: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
const LIFECYCLE: &str = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle";
const AUTHORIZATION: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";

/// How an event is classed by others.
#[derive(Debug, Clone, Copy)]
struct Class {
    /// What kind of event it is.
    kind: Code,
    /// Which of that kind.
    subtype: Option<Code>,
    /// Create, read, update, delete or execute.
    action: &'static str,
    /// BALP profile that it follows when it succeeded.
    profile: Option<&'static str>,
}

/// Reads an entry.
pub fn entry(log: &str, sequence: u64, leaf: Vec<u8>) -> Option<Entry<'_>> {
    let hash = merkle::leaf_hash(&leaf);
    let event = convert::event(&leaf).ok()?;
    let subjects = convert::entry_of(leaf)?.subjects;
    Some(Entry { log, sequence, hash, event, subjects })
}

/// Returns what stands for an entry that cannot be read: an event of this moment that says so.
pub fn unreadable<'a>(log: &'a str, sequence: u64, leaf: &[u8], now: Timestamp) -> Entry<'a> {
    let event = Event {
        event_id: format!("unreadable-{sequence}"),
        kind: EventKind::AuditRead.into(),
        action: "export".to_owned(),
        outcome: EventOutcome::Failed.into(),
        reason: "ENTRY_UNREADABLE".to_owned(),
        caller: Some(Caller { exchange: true, ..Caller::default() }),
        occurred_at: Some(clock::to_proto(now)),
        ..Event::default()
    };
    Entry { log, sequence, hash: merkle::leaf_hash(leaf), event, subjects: vec![] }
}

fn class(event: &Event) -> Class {
    let method = event.action.rsplit('/').next().unwrap_or_default();
    let alert =
        |subtype| Class { kind: (DCM, "110113", "Security Alert"), subtype, action: "E", profile: None };
    match event.kind() {
        EventKind::Locate | EventKind::Unspecified => Class {
            kind: (REST, "rest", "Restful Operation"),
            subtype: Some((INTERACTION, "search", "search")),
            action: "E",
            profile: Some("IHE.BasicAudit.PatientQuery"),
        },
        EventKind::Fetch => Class {
            kind: (DCM, "110106", "Export"),
            subtype: Some((LIFECYCLE, "disclose", "Disclose Record Lifecycle Event")),
            action: "R",
            profile: Some("IHE.BasicAudit.PrivacyDisclosure.Source"),
        },
        EventKind::Decision => {
            alert(Some((AUTHORIZATION, "AuthZ-Consent", "Authorization Decision using Roles and Consent")))
        }
        EventKind::Identity => Class {
            kind: (DCM, "110110", "Patient Record"),
            subtype: Some((INTERACTION, "update", "update")),
            action: "U",
            profile: None,
        },
        EventKind::Pointer => Class {
            kind: (DCM, "110107", "Import"),
            subtype: Some((INTERACTION, "create", "create")),
            action: "C",
            profile: None,
        },
        EventKind::Consent => Class {
            kind: (REST, "rest", "Restful Operation"),
            subtype: Some((INTERACTION, "update", "update")),
            action: "U",
            profile: None,
        },
        EventKind::Emergency if method == "CloseEmergencyAccess" => {
            alert(Some((DCM, "110138", "Emergency Override Stopped")))
        }
        EventKind::Emergency => alert(Some((DCM, "110127", "Emergency Override Started"))),
        EventKind::Directory => alert(Some((DCM, "110137", "User Security Attributes Changed"))),
        EventKind::Refusal => alert(Some((DCM, "110126", "Node Authentication"))),
        EventKind::AuditRead => {
            Class { kind: (DCM, "110101", "Audit Log Used"), subtype: None, action: "R", profile: None }
        }
    }
}

/// Returns how an event ended, in the codes of DICOM and FHIR.
fn outcome(event: &Event) -> &'static str {
    match event.outcome() {
        EventOutcome::Success => "0",
        EventOutcome::Failed => "4",
        EventOutcome::Refused | EventOutcome::Unspecified => "8",
    }
}

/// Returns what HL7 calls a purpose.
fn purpose_name(purpose: PurposeOfUse) -> &'static str {
    match purpose {
        PurposeOfUse::Unspecified => "",
        PurposeOfUse::Treat => "treatment",
        PurposeOfUse::Etreat => "Emergency Treatment",
        PurposeOfUse::Hpaymt => "healthcare payment",
        PurposeOfUse::Hoperat => "healthcare operations",
        PurposeOfUse::Pubhlth => "public health",
        PurposeOfUse::Hresch => "healthcare research",
        PurposeOfUse::Patrqt => "patient requested",
        PurposeOfUse::Btg => "break the glass",
    }
}

/// Returns the first lines of a raw export: what is before its first entry, and what was signed up to its end.
pub async fn raw_head(scan: &dyn Scan, first: u64, end: u64) -> Result<Vec<raw::Line>, Error> {
    let parts = Subtree::whole(first).parts();
    let known = scan.nodes(&parts).await?;
    let before = parts.iter().map(|node| known.get(node).map(hex::encode));
    let before =
        before.collect::<Option<_>>().ok_or(signpost_common::db::Error::Corrupt("node of the log"))?;
    let mut lines = vec![raw::Line::Head(raw::Head { first, end, before })];
    let mut after = first.saturating_sub(1);
    loop {
        let page = scan.checkpoints(after, NOTES).await?;
        let Some(last) = page.last() else { return Ok(lines) };
        after = last.size;
        let within = page.into_iter().filter(|kept| kept.size <= end);
        lines.extend(within.map(|kept| raw::Line::Checkpoint(raw::Signed { checkpoint: kept.note })));
        if after >= end {
            return Ok(lines);
        }
    }
}

#[cfg(test)]
mod tests;
