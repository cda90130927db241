//! FHIR R4 AuditEvent, after IHE BALP.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use signpost_common::{clock, rpc::token};
use signpost_proto::{
    audit::v1::{DocumentDisclosure, EventKind, EventOutcome},
    common::v1::{PurposeOfUse, Role},
};

use super::{Code, DCM, Entry, class, outcome, purpose_name};

const PROFILES: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/";
const REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ENTITY_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const BALP_ENTITY: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
const SNOMED: &str = "http://snomed.info/sct";

fn coding((system, code, display): Code) -> Value {
    json!({ "system": system, "code": code, "display": display })
}

fn concept(code: Code) -> Value {
    json!({ "coding": [coding(code)] })
}

fn identified(kind: &str, value: &str) -> Value {
    json!({ "identifier": { "system": format!("urn:signpost:{kind}"), "value": value } })
}

fn detail(name: &str, value: impl Into<String>) -> Value {
    json!({ "type": name, "valueString": value.into() })
}

/// Writes an entry as one AuditEvent; none when it has no time.
pub fn audit_event(entry: &Entry<'_>) -> Option<Value> {
    let Entry { log, event, .. } = entry;
    let class = class(event);
    let at = event.occurred_at.as_ref().and_then(clock::from_proto)?;
    let mut resource = json!({
        "resourceType": "AuditEvent",
        "id": event.event_id,
        "type": coding(class.kind),
        "action": class.action,
        "recorded": at.to_string(),
        "outcome": outcome(event),
        "agent": agents(entry),
        "source": {
            "site": log,
            "observer": identified("log", log),
            "type": [coding((SOURCE_TYPE, "4", "Application Server"))],
        },
        "entity": entities(entry),
    });
    let mut put = |name: &str, value: Value| {
        if let Some(fields) = resource.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
    };
    if let Some(subtype) = class.subtype {
        put("subtype", json!([coding(subtype)]));
    }
    if let Some(profile) = class.profile.filter(|_| follows(entry)) {
        put("meta", json!({ "profile": [format!("{PROFILES}{profile}")] }));
    }
    if !event.reason.is_empty() {
        put("outcomeDesc", json!(event.reason));
    }
    let purpose = event.caller.as_ref().map(|caller| caller.purpose()).unwrap_or_default();
    if purpose != PurposeOfUse::Unspecified {
        put("purposeOfEvent", json!([purpose_of_use(purpose)]));
    }
    Some(resource)
}

/// True when an entry has all that its profile demands: it succeeded, and it is about a patient whom it names.
fn follows(entry: &Entry<'_>) -> bool {
    let released = entry.event.documents.iter().any(|document| document.released);
    let known = !entry.event.person_id.is_empty() || !entry.subjects.is_empty();
    let disclosed = entry.event.kind() != EventKind::Fetch || released;
    entry.event.outcome() == EventOutcome::Success && known && disclosed
}

fn purpose_of_use(purpose: PurposeOfUse) -> Value {
    let code = token::purpose_code(purpose);
    json!({ "coding": [{ "system": REASON, "code": code, "display": purpose_name(purpose) }] })
}

/// Returns who took part: the exchange, the member that called, its user, and who holds what was released.
fn agents(entry: &Entry<'_>) -> Vec<Value> {
    let Entry { log, event, .. } = entry;
    let caller = event.caller.clone().unwrap_or_default();
    let network = |address: String| json!({ "address": address, "type": "5" });
    let (source, destination) = ((DCM, "110153", "Source Role ID"), (DCM, "110152", "Destination Role ID"));
    // Of a query the caller is the source, of a disclosure the exchange.
    let (own_role, other_role) = match event.kind() {
        EventKind::Fetch => (source, destination),
        _ => (destination, source),
    };
    let alone = caller.exchange || caller.member_id.is_empty();
    let mut agents = vec![json!({
        "type": concept(own_role),
        "who": identified("log", log),
        "requestor": alone && caller.exchange,
        "network": network(format!("urn:signpost:log:{log}")),
    })];
    let member = if caller.member_id.is_empty() { "unknown" } else { &caller.member_id };
    if !caller.exchange {
        agents.push(json!({
            "type": concept(other_role),
            "who": identified("member", member),
            "requestor": caller.user.is_empty(),
            "network": network(format!("urn:signpost:member:{member}")),
        }));
    }
    if !caller.user.is_empty() {
        let mut user = json!({
            "type": concept((PARTICIPATION, "IRCP", "information recipient")),
            "who": identified(&format!("member:{member}:user"), &caller.user),
            "requestor": true,
        });
        if caller.role() != Role::Unspecified {
            let role = json!({ "system": "urn:signpost:role", "code": token::role_name(caller.role()) });
            user["role"] = json!([{ "coding": [role] }]);
        }
        if caller.purpose() != PurposeOfUse::Unspecified {
            user["purposeOfUse"] = json!([purpose_of_use(caller.purpose())]);
        }
        agents.push(user);
    }
    if event.kind() == EventKind::Fetch {
        let released = event.documents.iter().filter(|document| document.released);
        let mut custodians: Vec<_> = released.map(|document| document.custodian.as_str()).collect();
        custodians.sort_unstable();
        custodians.dedup();
        agents.extend(custodians.into_iter().map(|custodian| {
            json!({
                "type": concept((SNOMED, "159541003", "Record keeping/library clerk")),
                "who": identified("member", custodian),
                "requestor": false,
            })
        }));
    }
    agents
}

/// Returns what it was about: the entry itself, the patient, the request, documents, and what else was concerned.
fn entities(entry: &Entry<'_>) -> Vec<Value> {
    let Entry { log, sequence, hash, event, subjects } = entry;
    let own = |code: &str| json!({ "system": "urn:signpost:entity", "code": code });
    let mut entities = vec![json!({
        "type": own("log-entry"),
        "what": identified(&format!("log:{log}"), &sequence.to_string()),
        "detail": [detail("leaf-hash", hex::encode(hash))],
    })];
    let tokens: Vec<_> = subjects.iter().map(|token| format!("{token:016x}")).collect();
    let person = match (event.person_id.as_str(), tokens.first()) {
        ("", None) => None,
        ("", Some(token)) => Some(identified("record-hash", token)),
        (person, _) => Some(identified("person", person)),
    };
    if let Some(mut what) = person {
        what["type"] = json!("Patient");
        let mut patient = json!({
            "type": coding((ENTITY_TYPE, "1", "Person")),
            "role": coding((ENTITY_ROLE, "1", "Patient")),
            "what": what,
        });
        if !tokens.is_empty() {
            patient["detail"] = tokens.into_iter().map(|token| detail("record-hash", token)).collect();
        }
        entities.push(patient);
    }
    if !event.request_id.is_empty() {
        let kind = json!({ "system": BALP_ENTITY, "code": "XrequestId" });
        entities.push(json!({ "type": kind, "what": { "identifier": { "value": event.request_id } } }));
    }
    if !event.trace_id.is_empty() {
        entities.push(json!({ "type": own("trace"), "what": identified("trace", &event.trace_id) }));
    }
    if event.kind() == EventKind::Locate {
        // What was asked for would be the patient's data: only the method is kept.
        entities.push(json!({
            "type": coding((ENTITY_TYPE, "2", "System Object")),
            "role": coding((ENTITY_ROLE, "24", "Query")),
            "description": event.action,
            "query": BASE64_STANDARD.encode(&event.action),
        }));
    } else {
        entities.push(json!({ "type": own("method"), "name": event.action }));
    }
    entities.extend(event.documents.iter().map(document));
    let others = [("emergency-session", &event.emergency_session_id), ("object", &event.object_id)];
    let others = others.into_iter().filter(|(_, id)| !id.is_empty());
    entities.extend(others.map(|(kind, id)| json!({ "type": own(kind), "what": identified(kind, id) })));
    entities
}

fn document(document: &DocumentDisclosure) -> Value {
    let DocumentDisclosure { document_id, custodian, released, rule_ids, obligations, decision_id } =
        document;
    let mut what = identified("document", document_id);
    what["type"] = json!("DocumentReference");
    let mut details =
        vec![detail("custodian", custodian), detail("released", if *released { "true" } else { "false" })];
    details.extend(rule_ids.iter().map(|rule| detail("rule", rule)));
    details.extend(obligations.iter().map(|obligation| detail("obligation", obligation)));
    details.extend((!decision_id.is_empty()).then(|| detail("decision", decision_id)));
    details.retain(|detail| detail["valueString"] != "");
    json!({
        "type": coding((ENTITY_TYPE, "2", "System Object")),
        "role": coding((ENTITY_ROLE, "3", "Report")),
        "what": what,
        "detail": details,
    })
}
