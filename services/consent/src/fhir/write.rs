//! A directive, written as a consent.

use serde_json::{Map, Value, json};
use signpost_common::id::{DocumentId, MemberId};

use super::{
    DIRECTIVE_POLICY, Fault, MEMBER_SYSTEM, OVERRIDABLE_URL, Version, policy, provision::label_system,
    system, time,
};
use crate::domain::{
    Criterion, Directive, Effect, Grantor, Matcher, Validity,
    vocabulary::{LABELS, purpose_code},
};

/// Writes a directive. What FHIR has no element for is a fault; of the signature and of who took it down nothing is written.
pub fn write(directive: &Directive, version: Version) -> Result<Value, Vec<Fault>> {
    let mut faults = vec![];
    let effect = directive.effect;
    let agrees = effect == Effect::Permit && directive.matcher == policy::clinicians_treat();
    let scope = match version {
        _ if agrees => Map::new(),
        Version::R5 if !directive.matcher.is_everything() => {
            faults.push(Fault::new(
                "match",
                "cannot be written: the root of an R5 Consent speaks of everything; R4 can say it",
            ));
            Map::new()
        }
        Version::R4 | Version::R5 => matcher(&mut faults, version, "match", &directive.matcher),
    };
    let exceptions = exceptions(&mut faults, version, directive);
    let mut consent = head(&mut faults, version, directive);
    let policy = if agrees { policy::BASIC_NORMAL } else { DIRECTIVE_POLICY };
    let mut root = scope;
    match version {
        Version::R4 => {
            consent.insert("policy".into(), json!([{ "uri": policy }]));
            root.insert("type".into(), decision(effect).into());
        }
        Version::R5 => {
            consent.insert("policyBasis".into(), json!({ "url": policy }));
            root.insert("decision".into(), decision(effect).into());
        }
    }
    let Validity { from_us, to_us, revoked_us: _ } = directive.validity;
    if from_us.is_some() || to_us.is_some() {
        match time::write_period(from_us, to_us) {
            Some(period) => drop(root.insert("period".into(), period)),
            None => faults.push(Fault::new("valid_from", OUT_OF_REACH)),
        }
    }
    if !exceptions.is_empty() {
        root.insert("provision".into(), exceptions.into());
    }
    match version {
        Version::R4 => drop(consent.insert("provision".into(), root.into())),
        Version::R5 => consent.extend(root),
    }
    if faults.is_empty() { Ok(consent.into()) } else { Err(faults) }
}

const OUT_OF_REACH: &str = "cannot be written: FHIR has the years 1 to 9999";

fn decision(effect: Effect) -> &'static str {
    match effect {
        Effect::Permit => "permit",
        Effect::Deny => "deny",
    }
}

/// Writes who consents to what since when, and all that does not say what is permitted.
fn head(faults: &mut Vec<Fault>, version: Version, directive: &Directive) -> Map<String, Value> {
    let system = format!("{MEMBER_SYSTEM}{}", directive.patient.member_id);
    let value = directive.patient.local_id();
    let patient = json!({ "type": "Patient", "identifier": { "system": system, "value": value } });
    let grantor = match directive.grantor {
        Grantor::Patient => patient.clone(),
        Grantor::Representative => {
            json!({ "type": "RelatedPerson", "display": "Representative of the patient" })
        }
    };
    let given = time::write_moment(directive.created_us, directive.created_us % 1_000_000 == 0);
    let given = given.unwrap_or_else(|| {
        faults.push(Fault::new("created_at", OUT_OF_REACH));
        String::new()
    });
    let status = if directive.validity.revoked_us.is_some() { "inactive" } else { "active" };
    let mut head = json!({
        "resourceType": "Consent",
        "status": status,
        "identifier": [{ "system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", directive.id) }],
        "category": [concept(Some(system::LOINC), "59284-0")],
    });
    match version {
        Version::R4 => {
            head["scope"] = concept(Some(system::SCOPE), "patient-privacy");
            head["patient"] = patient;
            head["performer"] = json!([grantor]);
            head["dateTime"] = given.into();
        }
        Version::R5 => {
            head["subject"] = patient;
            head["grantor"] = json!([grantor]);
            head["date"] = given.get(..10).unwrap_or_default().into();
        }
    }
    if directive.overridable {
        head["extension"] = json!([{ "url": OVERRIDABLE_URL, "valueBoolean": true }]);
    }
    match head {
        Value::Object(head) => head,
        _ => Map::new(),
    }
}

fn exceptions(faults: &mut Vec<Fault>, version: Version, directive: &Directive) -> Vec<Value> {
    let opposite = decision(directive.effect.inverted());
    let write = |(i, exception): (usize, &Matcher)| {
        let field = format!("exceptions[{i}]");
        if exception.is_everything() {
            faults.push(Fault::new(&field, "cannot be written: it states nothing"));
        }
        let mut provision = matcher(faults, version, &field, exception);
        if version == Version::R4 {
            provision.insert("type".into(), opposite.into());
        }
        provision.into()
    };
    directive.exceptions.iter().enumerate().map(write).collect()
}

fn matcher(faults: &mut Vec<Fault>, version: Version, field: &str, matcher: &Matcher) -> Map<String, Value> {
    let has_documents = matcher.criteria().iter().any(|c| matches!(c, Criterion::Documents(_)));
    let mut to = Map::new();
    for criterion in matcher.criteria() {
        match element(version, criterion, has_documents) {
            Ok((name, Value::Array(items))) => match to.entry(name).or_insert_with(|| json!([])) {
                Value::Array(all) => all.extend(items),
                other => *other = items.into(),
            },
            Ok((name, value)) => drop(to.insert(name.to_owned(), value)),
            Err((name, reason)) => faults.push(Fault::new(format!("{field}.{name}"), reason)),
        }
    }
    to
}

/// Returns the element of a provision that says what a criterion does, or the field that cannot be written and why.
fn element(
    version: Version,
    criterion: &Criterion,
    has_documents: bool,
) -> Result<(&'static str, Value), (&'static str, &'static str)> {
    Ok(match criterion {
        Criterion::Requesters(members) => {
            ("actor", each(members, |member| actor("IRCP", organization(member))))
        }
        Criterion::Custodians(members) => {
            ("actor", each(members, |member| actor("CST", organization(member))))
        }
        // Data of a list are met by either, and authors next to documents must be met too.
        Criterion::Authors(names) if has_documents => {
            ("actor", each(names, |name| actor("AUT", author(name))))
        }
        Criterion::Authors(names) => ("data", each(names, |name| data("authoredby", author(name)))),
        Criterion::Documents(documents) => {
            let reference =
                |document: &DocumentId| json!({ "reference": format!("DocumentReference/{document}") });
            ("data", each(documents, |document| data("instance", reference(document))))
        }
        Criterion::Purposes(purposes) => {
            let codes: Vec<_> = purposes.iter().map(|purpose| purpose_code(*purpose)).collect();
            if codes.contains(&"") {
                return Err(("purposes", "cannot be written: a purpose is not specified"));
            }
            ("purpose", each(&codes, |code| coding(Some(system::PURPOSE), code)))
        }
        Criterion::Labels(labels) => {
            if labels.iter().any(|label| LABELS.binary_search(&label.as_str()).is_err()) {
                return Err(("labels", "cannot be written: a label is none of HL7's"));
            }
            ("securityLabel", each(labels, |label| coding(Some(label_system(label)), label)))
        }
        Criterion::TypeCodes(codes) => ("code", each(codes, |code| concept(code_system(code), code))),
        Criterion::ClassCodes(codes) => {
            let name = if version == Version::R4 { "class" } else { "documentType" };
            (name, each(codes, |code| coding(code_system(code), code)))
        }
        Criterion::Period { from_us, to_us } => {
            ("dataPeriod", time::write_period(*from_us, *to_us).ok_or(("service_from", OUT_OF_REACH))?)
        }
        Criterion::Roles(_) => return Err(("roles", NO_ELEMENT)),
        Criterion::Relationships(_) => return Err(("relationships", NO_ELEMENT)),
        Criterion::Emergency(_) => return Err(("emergency", NO_ELEMENT)),
        Criterion::Consent => return Err(("consent", NO_ELEMENT)),
    })
}

const NO_ELEMENT: &str = "cannot be written: FHIR Consent has no element for it";

fn each<T>(items: &[T], write: impl Fn(&T) -> Value) -> Value {
    items.iter().map(write).collect()
}

fn coding(system: Option<&str>, code: &str) -> Value {
    match system {
        Some(system) => json!({ "system": system, "code": code }),
        None => json!({ "code": code }),
    }
}

fn concept(system: Option<&str>, code: &str) -> Value {
    json!({ "coding": [coding(system, code)] })
}

/// Codes have no system here. One that has the form of LOINC's is written as one of theirs.
fn code_system(code: &str) -> Option<&'static str> {
    let (number, check) = code.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (number.len() <= 7 && check.len() == 1 && digits(number) && digits(check)).then_some(system::LOINC)
}

fn actor(role: &str, reference: Value) -> Value {
    json!({ "role": concept(Some(system::PARTICIPATION), role), "reference": reference })
}

fn data(meaning: &str, reference: Value) -> Value {
    json!({ "meaning": meaning, "reference": reference })
}

fn organization(member: &MemberId) -> Value {
    json!({ "reference": format!("Organization/{member}") })
}

/// Refers to an institution by its name, as a reference where the name may be the id of a resource.
fn author(name: &str) -> Value {
    let is_id = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if is_id {
        json!({ "reference": format!("Organization/{name}") })
    } else {
        json!({ "type": "Organization", "identifier": { "value": name } })
    }
}
