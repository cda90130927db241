//! What a provision speaks of, as the criteria of a directive.

use std::str::FromStr;

use serde_json::Value;
use signpost_common::id::{DocumentId, MemberId};
use signpost_proto::common::v1::PurposeOfUse;

use super::{
    AUTHOR_CHARS_MAX, CODE_CHARS_MAX, CONFIDENTIALITY, LIST_MAX, Version,
    json::{Coding, Faults, Object, Reference, coding, concept},
    system, time,
};
use crate::domain::{
    Criterion, Matcher,
    vocabulary::{LABELS, PURPOSES},
};

/// Elements of a provision that say what it speaks of, next to those that its place has.
pub(super) fn known(version: Version, also: &[&'static str]) -> Vec<&'static str> {
    let both = ["id", "actor", "action", "securityLabel", "purpose", "code", "dataPeriod", "data"];
    let own: &[&str] = match version {
        Version::R4 => &["class"],
        Version::R5 => &["documentType", "resourceType"],
    };
    [&both, own, also].concat()
}

/// Reads what a provision speaks of.
pub(super) fn matcher(faults: &mut Faults, version: Version, object: &Object<'_>) -> Matcher {
    for (path, value) in object.list(faults, "action") {
        action(faults, &path, value);
    }
    let class_codes = match version {
        Version::R4 => codes(faults, object, "class"),
        Version::R5 => {
            for (path, value) in object.list(faults, "resourceType") {
                resource_type(faults, &path, value);
            }
            codes(faults, object, "documentType")
        }
    };
    let Actors { requesters, custodians, authors } = actors(faults, object);
    let (documents, authored_by) = data(faults, object);
    if !authors.is_empty() && !authored_by.is_empty() {
        faults.add(&object.at("data"), "must not name authors again: both would have to hold");
    }
    let (from_us, to_us) = match object.field("dataPeriod") {
        None => (None, None),
        Some((path, value)) => time::period(faults, &path, value).unwrap_or_default(),
    };
    Matcher::new([
        Criterion::Requesters(requesters),
        Criterion::Purposes(purposes(faults, object)),
        Criterion::Custodians(custodians),
        Criterion::Authors([authors, authored_by].concat()),
        Criterion::TypeCodes(type_codes(faults, object)),
        Criterion::ClassCodes(class_codes),
        Criterion::Labels(labels(faults, object)),
        Criterion::Documents(documents),
        Criterion::Period { from_us, to_us },
    ])
}

/// To be shown a document is all that may be permitted or denied here.
fn action(faults: &mut Faults, path: &str, value: &Value) {
    let known = |coding: &Coding<'_>| {
        coding.system == Some(system::ACTION) && ["access", "disclose"].contains(&coding.code)
    };
    let codings = concept(faults, path, value);
    if !codings.iter().any(|(_, coding)| known(coding)) {
        faults.add(path, "must be to access or to disclose: nothing else is decided here");
    }
}

/// All that is decided here is about documents, so to name them says nothing more.
fn resource_type(faults: &mut Faults, path: &str, value: &Value) {
    if coding(faults, path, value).is_some_and(|coding| coding.code != "DocumentReference") {
        faults.add(&format!("{path}.code"), "must be DocumentReference: nothing else is decided here");
    }
}

fn purposes(faults: &mut Faults, object: &Object<'_>) -> Vec<PurposeOfUse> {
    let mut purposes = vec![];
    for (path, value) in object.list(faults, "purpose") {
        let Some(coding) = coding(faults, &path, value) else { continue };
        let known = PURPOSES.iter().find(|(code, ..)| *code == coding.code);
        match known.filter(|_| coding.system == Some(system::PURPOSE)) {
            Some((_, purpose, _)) => purposes.push(*purpose),
            None => faults.add(&path, "must be a purpose of use of HL7 v3 ActReason that is known here"),
        }
    }
    purposes
}

fn labels(faults: &mut Faults, object: &Object<'_>) -> Vec<String> {
    let mut labels = vec![];
    for (path, value) in object.list(faults, "securityLabel") {
        let Some(Coding { system, code }) = coding(faults, &path, value) else { continue };
        if system == Some(label_system(code)) && LABELS.binary_search(&code).is_ok() {
            labels.push(code.to_owned());
        } else {
            faults.add(&path, "must be a label of HL7 v3 Confidentiality or ActCode that is known here");
        }
    }
    labels
}

/// Returns the system that a label is of.
pub(super) fn label_system(label: &str) -> &'static str {
    if CONFIDENTIALITY.contains(&label) { system::CONFIDENTIALITY } else { system::ACT_CODE }
}

/// Codes are compared here without their systems. Those of LOINC cannot be mistaken for others.
fn code(faults: &mut Faults, path: &str, coding: Coding<'_>) -> Option<String> {
    if coding.system.is_some_and(|system| system != system::LOINC) {
        return faults.refuse(&format!("{path}.system"), "must be that of LOINC, or be left out");
    }
    if !printable(coding.code, CODE_CHARS_MAX) {
        return faults.refuse(&format!("{path}.code"), "must be printable, of at most 64 characters");
    }
    Some(coding.code.to_owned())
}

/// True when a text is one that a directive may have.
pub(super) fn printable(text: &str, chars_max: usize) -> bool {
    let count = text.chars().count();
    count > 0
        && count <= chars_max
        && !text.chars().any(signpost_common::text::is_unfit)
        && text.trim() == text
}

fn codes(faults: &mut Faults, object: &Object<'_>, name: &str) -> Vec<String> {
    let mut codes = vec![];
    for (path, value) in object.list(faults, name) {
        if let Some(coding) = coding(faults, &path, value) {
            codes.extend(code(faults, &path, coding));
        }
    }
    codes
}

fn type_codes(faults: &mut Faults, object: &Object<'_>) -> Vec<String> {
    let mut codes = vec![];
    for (path, value) in object.list(faults, "code") {
        for (path, coding) in concept(faults, &path, value) {
            codes.extend(code(faults, &path, coding));
        }
    }
    if codes.len() > LIST_MAX {
        faults.add(&object.at("code"), &format!("must have at most {LIST_MAX} codes"));
    }
    codes
}

/// Who asks, who holds, who wrote: of each kind one must hold, and all kinds.
#[derive(Default)]
struct Actors {
    requesters: Vec<MemberId>,
    custodians: Vec<MemberId>,
    authors: Vec<String>,
}

fn actors(faults: &mut Faults, object: &Object<'_>) -> Actors {
    let mut actors = Actors::default();
    for (path, value) in object.list(faults, "actor") {
        actor(faults, &path, value, &mut actors);
    }
    actors
}

fn actor(faults: &mut Faults, path: &str, value: &Value, actors: &mut Actors) -> Option<()> {
    let object = Object::read(faults, path, value, &["id", "role", "reference"])?;
    let (role_path, role) = object.required(faults, "role")?;
    let (path, reference) = object.required(faults, "reference")?;
    let codings = concept(faults, &role_path, role);
    let mut roles = codings.iter().filter(|(_, role)| role.system == Some(system::PARTICIPATION));
    match roles.next().map(|(_, role)| role.code) {
        Some("IRCP") => actors.requesters.push(organization(faults, &path, reference)?),
        Some("CST") => actors.custodians.push(organization(faults, &path, reference)?),
        Some("AUT") => actors.authors.push(author(faults, &path, reference)?),
        _ => faults.add(&role_path, "must be IRCP, CST or AUT of HL7 v3 ParticipationType"),
    }
    Some(())
}

fn organization(faults: &mut Faults, path: &str, value: &Value) -> Option<MemberId> {
    id(faults, path, value, "Organization", "must be Organization/ and the id of a member")
}

fn id<T: FromStr>(faults: &mut Faults, path: &str, value: &Value, kind: &str, wanted: &str) -> Option<T> {
    let reference = Reference::read(faults, path, value)?;
    match reference.id_of(kind).and_then(|id| id.parse().ok()) {
        Some(id) => Some(id),
        None => faults.refuse(&format!("{path}.reference"), wanted),
    }
}

/// An author is known here by the name of the institution, which is the id of a reference or the value of an identifier.
fn author(faults: &mut Faults, path: &str, value: &Value) -> Option<String> {
    let reference = Reference::read(faults, path, value)?;
    let name = match (reference.reference, reference.identifier) {
        (Some(_), _) => reference.id_of("Organization"),
        (None, Some((None, value))) if reference.kind == Some("Organization") => Some(value),
        _ => None,
    };
    match name.filter(|name| printable(name, AUTHOR_CHARS_MAX)) {
        Some(name) => Some(name.to_owned()),
        None => faults.refuse(
            path,
            "must refer to an Organization by its name here, in the reference or an identifier",
        ),
    }
}

/// Reads documents that are named, or who wrote those that are meant. A list of both would be met by either.
fn data(faults: &mut Faults, object: &Object<'_>) -> (Vec<DocumentId>, Vec<String>) {
    let (mut documents, mut authors) = (vec![], vec![]);
    for (path, value) in object.list(faults, "data") {
        let known = ["id", "meaning", "reference"];
        let Some(item) = Object::read(faults, &path, value, &known) else { continue };
        let (Some(_), Some((path, reference))) =
            (item.required(faults, "meaning"), item.required(faults, "reference"))
        else {
            continue;
        };
        let wanted = "must be DocumentReference/ and the id of a document";
        match item.text(faults, "meaning") {
            Some("instance") => {
                documents.extend(id::<DocumentId>(faults, &path, reference, "DocumentReference", wanted))
            }
            Some("authoredby") => authors.extend(author(faults, &path, reference)),
            _ => {
                faults.add(&item.at("meaning"), "must be instance or authoredby: relations are not followed")
            }
        }
    }
    if !documents.is_empty() && !authors.is_empty() {
        faults.add(&object.at("data"), "must not mix documents and authors: one of them would be enough");
    }
    (documents, authors)
}
