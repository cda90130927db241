use signpost_common::{
    hash::Blinder,
    id::{DocumentId, EventId},
};
use signpost_proto::{
    audit::v1::DocumentDisclosure,
    common::v1::{Caller, RecordReference, Role},
};

use super::*;

/// A fetch of one document of two, by somebody whose name and request are as bad as they may be.
fn fetched() -> Event {
    let document = |released| DocumentDisclosure {
        document_id: DocumentId::generate().to_string(),
        custodian: "north".into(),
        released,
        rule_ids: vec!["network:opt-out".into()],
        ..DocumentDisclosure::default()
    };
    Event {
        event_id: EventId::generate().to_string(),
        kind: EventKind::Fetch.into(),
        action: "/signpost.locator.v1.RecordLocatorService/FetchDocument".into(),
        outcome: EventOutcome::Success.into(),
        caller: Some(Caller {
            member_id: "coast".into(),
            user: "dr. <O'Brien> & \"co\"".into(),
            role: Role::Physician.into(),
            purpose: PurposeOfUse::Etreat.into(),
            ..Caller::default()
        }),
        person_id: "person-1".into(),
        patient_records: vec![RecordReference { member_id: "north".into(), local_id: "MRN-778".into() }],
        documents: vec![document(true), document(false)],
        request_id: "a]\\\"\nb".into(),
        occurred_at: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 123_456_000 }),
        ..Event::default()
    }
}

fn told(event: Event) -> Entry<'static> {
    let blinder = Blinder::new(&[7; 32]).unwrap();
    entry("log.example/a", 41, convert::entry(Some(event), &blinder).unwrap().leaf).unwrap()
}

fn codes<'a>(value: &'a serde_json::Value, path: &str) -> Vec<&'a str> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(|item| item.pointer(path)?.as_str()).collect()
}

#[test]
fn a_fetch_is_a_disclosure_in_the_terms_of_balp() {
    let entry = told(fetched());
    let found = fhir::audit_event(&entry).unwrap();
    assert_eq!(
        found["meta"]["profile"][0],
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source"
    );
    assert_eq!(
        (&found["type"]["code"], &found["subtype"][0]["code"]),
        (&"110106".into(), &"disclose".into())
    );
    assert_eq!((&found["action"], &found["outcome"]), (&"R".into(), &"0".into()));
    assert_eq!(found["recorded"], "2026-01-01T00:00:00.123456Z");
    assert_eq!(found["purposeOfEvent"][0]["coding"][0]["code"], "ETREAT");
    let agents = codes(&found["agent"], "/type/coding/0/code");
    assert_eq!(agents, ["110153", "110152", "IRCP", "159541003"]);
    assert_eq!(found["agent"][0]["who"], found["source"]["observer"], "the source tells of itself");
    assert_eq!(found["agent"][2]["purposeOfUse"][0]["coding"][0]["code"], "ETREAT");
    let values = codes(&found["entity"], "/what/identifier/value");
    assert_eq!(values[..3], ["41", "person-1", "a]\\\"\nb"]);
    assert_eq!(found["entity"][0]["detail"][0]["valueString"], hex::encode(entry.hash));
    let token = format!("{:016x}", entry.subjects[0]);
    assert_eq!(found["entity"][1]["detail"][0]["valueString"], token);
    let documents =
        codes(&found["entity"], "/what/type").into_iter().filter(|kind| *kind == "DocumentReference");
    assert_eq!(documents.count(), 2);
    assert!(!found.to_string().contains("MRN-778"));
}

#[test]
fn what_failed_and_what_the_exchange_did_follow_no_profile() {
    let refused = Event { outcome: EventOutcome::Refused.into(), reason: "NO_CONSENT".into(), ..fetched() };
    let found = fhir::audit_event(&told(refused)).unwrap();
    assert_eq!((&found["outcome"], &found["outcomeDesc"]), (&"8".into(), &"NO_CONSENT".into()));
    assert!(found.get("meta").is_none());
    let own = Caller { exchange: true, ..Caller::default() };
    let probe = Event { kind: EventKind::AuditRead.into(), caller: Some(own), ..fetched() };
    let found = fhir::audit_event(&told(probe)).unwrap();
    assert_eq!(found["type"]["code"], "110101");
    assert_eq!(found["agent"].as_array().unwrap().len(), 1);
    assert_eq!(found["agent"][0]["requestor"], true);
}

#[test]
fn every_kind_has_a_class_and_one_requestor() {
    for kind in (1..).map_while(|number| EventKind::try_from(number).ok()) {
        let found = fhir::audit_event(&told(Event { kind: kind.into(), ..fetched() })).unwrap();
        assert!(found["type"]["code"].is_string(), "{kind:?}");
        let requestors = found["agent"].as_array().unwrap().iter().filter(|agent| agent["requestor"] == true);
        assert_eq!(requestors.count(), 1, "{kind:?}");
        assert!(syslog::line(&told(Event { kind: kind.into(), ..fetched() })).is_some());
    }
}

#[test]
fn a_line_of_syslog_is_one_line_with_what_is_needed() {
    let entry = told(fetched());
    let line = syslog::line(&entry).unwrap();
    let head = "<85>1 2026-01-01T00:00:00.123456Z log.example/a signpost - DICOM+RFC3881 [signpost@32473 sequence=\"41\" ";
    assert!(line.starts_with(head), "{line}");
    assert!(line.contains("requestId=\"a\\]\\\\\\\"\u{fffd}b\"] \u{feff}<AuditMessage>"), "{line}");
    assert!(!line.contains('\n') && !line.contains("MRN-778"));
    let (_, message) = line.split_once('\u{feff}').unwrap();
    let document = roxmltree::Document::parse(message).unwrap();
    let of = |name| document.descendants().filter(move |node| node.has_tag_name(name)).collect::<Vec<_>>();
    let users: Vec<_> = of("ActiveParticipant").iter().filter_map(|node| node.attribute("UserID")).collect();
    assert_eq!(users, ["log.example/a", "coast", "dr. <O'Brien> & \"co\""]);
    assert_eq!(of("EventID")[0].attribute("csd-code"), Some("110106"));
    assert_eq!(of("PurposeOfUse")[0].attribute("csd-code"), Some("ETREAT"));
    let objects: Vec<_> = of("ParticipantObjectIdentification")
        .iter()
        .filter_map(|node| node.attribute("ParticipantObjectID"))
        .collect();
    assert_eq!(objects.len(), 4, "person, record, two documents");
    let query = syslog::line(&told(Event { kind: EventKind::Locate.into(), ..fetched() })).unwrap();
    assert!(query.contains("<EventID csd-code=\"110112\" codeSystemName=\"DCM\""), "{query}");
    let failed = Event { outcome: EventOutcome::Failed.into(), ..fetched() };
    assert!(syslog::line(&told(failed)).unwrap().starts_with("<84>1 "));
}

#[test]
fn an_entry_that_cannot_be_read_is_told_of() {
    assert!(entry("log", 7, vec![0]).is_none());
    let now = Timestamp::from_second(1_767_225_600).unwrap();
    let entry = unreadable("log", 7, &[0], now);
    let event = fhir::audit_event(&entry).unwrap();
    assert_eq!((&event["id"], &event["outcome"]), (&"unreadable-7".into(), &"4".into()));
    assert_eq!(event["outcomeDesc"], "ENTRY_UNREADABLE");
    let hash = hex::encode(merkle::leaf_hash(&[0]));
    assert!(event.to_string().contains(&hash), "{event}");
    let line = syslog::line(&entry).unwrap();
    assert!(line.contains("reason=\"ENTRY_UNREADABLE\"") && line.contains(&hash), "{line}");
}
