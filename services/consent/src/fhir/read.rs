//! A consent, read as what a directive says.

use serde_json::Value;

use super::{
    EXCEPTIONS_MAX, Fault, Implicit, Imported, JSON_BYTES_MAX, OVERRIDABLE_URL, Version, implicit,
    json::{Faults, Object, Reference, Strict, concept},
    provision, system, time,
};
use crate::domain::{Effect, Grantor, Matcher, Validity};

/// Elements that describe a consent of either version and do not change what it permits, or are read below.
const BOTH: [&str; 11] = [
    "resourceType",
    "id",
    "meta",
    "language",
    "text",
    "contained",
    "extension",
    "identifier",
    "status",
    "category",
    "provision",
];
const R4: [&str; 9] = [
    "scope",
    "patient",
    "dateTime",
    "performer",
    "organization",
    "sourceAttachment",
    "sourceReference",
    "policy",
    "policyRule",
];
const R5: [&str; 12] = [
    "subject",
    "date",
    "period",
    "grantor",
    "manager",
    "controller",
    "sourceAttachment",
    "sourceReference",
    "regulatoryBasis",
    "policyBasis",
    "policyText",
    "decision",
];

/// Categories (consentcategorycodes) of consents to something other than that data be shared, or only in emergencies.
const OTHER_CATEGORIES: [&str; 8] = ["acd", "dnr", "emrgonly", "hcd", "polst", "research", "rsdid", "rsreid"];

/// What the rules of a consent come to.
struct Rules {
    effect: Effect,
    matcher: Matcher,
    exceptions: Vec<Matcher>,
    validity: Validity,
    /// Whether emergency access goes past it, when nothing else says so.
    overridable: bool,
}

/// A policy of PCF that is named, and where.
struct Named {
    path: String,
    says: Implicit,
}

/// Reads a consent. All faults that are found are returned, each with its path.
pub fn read(json: &str, version: Version) -> Result<Imported, Vec<Fault>> {
    let mut faults = Faults::default();
    let imported = parse(&mut faults, json).and_then(|value| consent(&mut faults, version, &value));
    match imported {
        Some(imported) if faults.0.is_empty() => Ok(imported),
        _ => Err(faults.0),
    }
}

fn parse(faults: &mut Faults, json: &str) -> Option<Value> {
    if json.len() > JSON_BYTES_MAX {
        return faults.refuse("Consent", "must have at most a megabyte");
    }
    match serde_json::from_str(json) {
        Ok(Strict(value)) => Some(value),
        Err(error) => {
            let why = if error.is_data() { "a field is stated twice" } else { "it cannot be read" };
            let (line, column) = (error.line(), error.column());
            faults.refuse("Consent", &format!("must be JSON: {why} at line {line}, column {column}"))
        }
    }
}

fn consent(faults: &mut Faults, version: Version, value: &Value) -> Option<Imported> {
    let own: &[&str] = match version {
        Version::R4 => &R4,
        Version::R5 => &R5,
    };
    let object = Object::read(faults, "Consent", value, &[&BOTH, own].concat())?;
    let fixed = |faults: &mut Faults, name: &str, wanted: &str| match object.required(faults, name) {
        Some((_, Value::String(text))) if text == wanted => {}
        Some((path, _)) => faults.add(&path, &format!("must be {wanted}")),
        None => {}
    };
    fixed(faults, "resourceType", "Consent");
    fixed(faults, "status", "active");
    purpose_of_consent(faults, version, &object);
    let overridable = overridable(faults, &object);
    let (subject, granting, given) = match version {
        Version::R4 => ("patient", "performer", "dateTime"),
        Version::R5 => ("subject", "grantor", "date"),
    };
    let patient = patient(faults, &object, subject);
    let grantor = grantor(faults, &object, granting, patient.as_deref());
    let given = object.field(given).and_then(|(path, value)| time::read_moment(faults, &path, value));
    let rules = match version {
        Version::R4 => rules_r4(faults, &object),
        Version::R5 => rules_r5(faults, &object),
    };
    let rules = rules?;
    Some(Imported {
        patient: patient?,
        effect: rules.effect,
        matcher: rules.matcher,
        exceptions: rules.exceptions,
        overridable: overridable.unwrap_or(rules.overridable),
        validity: rules.validity,
        grantor: grantor?,
        given_us: given.map(|given| given.begin_us),
    })
}

/// Refuses what is no consent to share data.
fn purpose_of_consent(faults: &mut Faults, version: Version, object: &Object<'_>) {
    if version == Version::R4
        && let Some((path, scope)) = object.required(faults, "scope")
    {
        let codings = concept(faults, &path, scope);
        if !codings.iter().any(|(_, c)| c.system == Some(system::SCOPE) && c.code == "patient-privacy") {
            faults.add(&path, "must be patient-privacy");
        }
    }
    for (path, category) in object.list(faults, "category") {
        // A category without a code describes, so that it is no fault.
        let codings = concept(&mut Faults::default(), "", category);
        let other = |c: &str| OTHER_CATEGORIES.contains(&c);
        if codings.iter().any(|(_, c)| c.system == Some(system::CATEGORY) && other(c.code)) {
            faults.add(&path, "must not be that of another kind of consent");
        }
    }
}

/// Reads our own extension. Others cannot change what is permitted: those that can are modifiers.
fn overridable(faults: &mut Faults, object: &Object<'_>) -> Option<bool> {
    let mut found = None;
    for (path, value) in object.list(faults, "extension") {
        if value.get("url").and_then(Value::as_str) != Some(OVERRIDABLE_URL) {
            continue;
        }
        let extension = Object::read(faults, &path, value, &["id", "url", "valueBoolean"])?;
        match (extension.field("valueBoolean"), found) {
            (_, Some(_)) => faults.add(&path, "must not be there twice"),
            (Some((_, Value::Bool(yes))), None) => found = Some(*yes),
            _ => faults.add(&extension.at("valueBoolean"), "must be true or false"),
        }
    }
    found
}

fn patient(faults: &mut Faults, object: &Object<'_>, name: &str) -> Option<String> {
    let (path, value) = object.required(faults, name)?;
    let reference = Reference::read(faults, &path, value)?;
    match reference.text() {
        Some(text) if reference.kind == Some("Patient") => Some(text),
        _ => faults.refuse(&path, "must refer to a Patient"),
    }
}

/// Reads who consents: the patient, or others for them.
fn grantor(faults: &mut Faults, object: &Object<'_>, name: &str, patient: Option<&str>) -> Option<Grantor> {
    object.required(faults, name)?;
    let mut grantor = None;
    for (path, value) in object.list(faults, name) {
        let reference = Reference::read(faults, &path, value)?;
        let found = match reference.kind {
            Some("Patient") if reference.text().as_deref() == patient => Grantor::Patient,
            Some("Patient") => return faults.refuse(&path, "must be the patient of the consent"),
            Some("RelatedPerson") => Grantor::Representative,
            _ => return faults.refuse(&path, "must refer to a Patient or a RelatedPerson"),
        };
        if grantor.is_some_and(|grantor| grantor != found) {
            return faults.refuse(&path, "must be of the same type as the others");
        }
        grantor = Some(found);
    }
    grantor
}

fn rules_r4(faults: &mut Faults, object: &Object<'_>) -> Option<Rules> {
    let mut named = vec![];
    for (path, value) in object.list(faults, "policy") {
        let policy = Object::read(faults, &path, value, &["id", "authority", "uri"])?;
        named.extend(policy.text(faults, "uri").and_then(|uri| names(policy.at("uri"), uri)));
    }
    let rule = object.field("policyRule");
    if let Some((path, value)) = &rule {
        let before = named.len();
        let codings = concept(faults, path, value);
        named.extend(
            codings.into_iter().find_map(|(path, coding)| names(format!("{path}.code"), coding.code)),
        );
        if named.len() == before {
            faults.add(path, "must be a policy that IHE PCF names");
        }
    }
    let named = one(faults, named)?;
    let Some((path, value)) = object.field("provision") else {
        return match named {
            Some(named) => Some(of_policy(named.says, Validity::default())),
            None => faults.refuse("Consent.provision", "must be present, or a policy of IHE PCF be named"),
        };
    };
    if let Some((path, _)) = rule {
        faults.add(&path, "must not stand next to a provision, which says what holds");
    }
    let known = provision::known(Version::R4, &["type", "period", "provision"]);
    let root = Object::read(faults, &path, value, &known)?;
    let validity = validity(faults, &root);
    let effect = effect(faults, &root, "type");
    let matcher = provision::matcher(faults, Version::R4, &root);
    let exceptions = exceptions(faults, Version::R4, &root, effect);
    agreed(faults, named, Rules { effect: effect?, matcher, exceptions, validity, overridable: false })
}

fn rules_r5(faults: &mut Faults, object: &Object<'_>) -> Option<Rules> {
    let mut named = None;
    if let Some((path, value)) = object.field("policyBasis") {
        let basis = Object::read(faults, &path, value, &["id", "reference", "url"])?;
        let by_url = basis.text(faults, "url").and_then(|url| names(basis.at("url"), url));
        let by_reference = basis.field("reference").and_then(|(path, value)| {
            let reference = Reference::read(faults, &path, value)?;
            names(format!("{path}.reference"), reference.reference?)
        });
        named = one(faults, by_url.into_iter().chain(by_reference).collect())?;
    }
    let validity = validity(faults, object);
    if object.field("decision").is_none() && object.field("provision").is_none() {
        return match named {
            Some(named) => Some(of_policy(named.says, validity)),
            None => faults.refuse("Consent.decision", "must be present, or a policy of IHE PCF be named"),
        };
    }
    let effect = effect(faults, object, "decision");
    let exceptions = exceptions(faults, Version::R5, object, effect);
    let matcher = Matcher::default();
    agreed(faults, named, Rules { effect: effect?, matcher, exceptions, validity, overridable: false })
}

fn names(path: String, policy: &str) -> Option<Named> {
    implicit(policy).map(|says| Named { path, says })
}

fn one(faults: &mut Faults, mut named: Vec<Named>) -> Option<Option<Named>> {
    let last = named.pop();
    match &last {
        Some(last) if named.iter().any(|named| named.says != last.says) => {
            faults.refuse(&last.path, "must not name a second policy of IHE PCF")
        }
        _ => Some(last),
    }
}

fn of_policy(says: Implicit, validity: Validity) -> Rules {
    let Implicit { effect, matcher, exceptions, overridable } = says;
    Rules { effect, matcher, exceptions, validity, overridable }
}

/// A permit agrees to the policy that it names (IHE PCF 3:5.8.1, policy.uri and provision.type): where it states no scope of
/// its own, it has that of the policy. A denial rejects the policy and stands as it is.
fn agreed(faults: &mut Faults, named: Option<Named>, rules: Rules) -> Option<Rules> {
    match named {
        Some(named) if rules.effect == Effect::Permit && named.says.effect == Effect::Deny => {
            faults.refuse(&named.path, "must not be a policy that denies what the consent permits")
        }
        Some(named) if rules.effect == Effect::Permit && rules.matcher.is_everything() => {
            Some(Rules { matcher: named.says.matcher, ..rules })
        }
        _ => Some(rules),
    }
}

fn validity(faults: &mut Faults, object: &Object<'_>) -> Validity {
    let period = object.field("period").and_then(|(path, value)| time::period(faults, &path, value));
    let (from_us, to_us) = period.unwrap_or_default();
    Validity { from_us, to_us, revoked_us: None }
}

fn effect(faults: &mut Faults, object: &Object<'_>, name: &str) -> Option<Effect> {
    let (path, value) = object.required(faults, name)?;
    match value.as_str() {
        Some("permit") => Some(Effect::Permit),
        Some("deny") => Some(Effect::Deny),
        _ => faults.refuse(&path, "must be permit or deny"),
    }
}

fn exceptions(
    faults: &mut Faults,
    version: Version,
    root: &Object<'_>,
    base: Option<Effect>,
) -> Vec<Matcher> {
    let all = root.list(faults, "provision");
    if all.len() > EXCEPTIONS_MAX {
        faults.add(&root.at("provision"), &format!("must have at most {EXCEPTIONS_MAX} items"));
        return vec![];
    }
    let read = |(path, value): (String, &Value)| exception(faults, version, &path, value, base);
    all.into_iter().filter_map(read).collect()
}

/// Reads an exception. In R4 it states that it says the opposite; what says the same is a consent of its own.
fn exception(
    faults: &mut Faults,
    version: Version,
    path: &str,
    value: &Value,
    base: Option<Effect>,
) -> Option<Matcher> {
    let also: &[&str] = match version {
        Version::R4 => &["type", "period", "provision"],
        Version::R5 => &["period", "provision"],
    };
    let object = Object::read(faults, path, value, &provision::known(version, also))?;
    if version == Version::R4
        && let Some(effect) = effect(faults, &object, "type")
        && base == Some(effect)
    {
        faults.add(&object.at("type"), "must be the opposite of the provision that it is in");
    }
    if let Some((path, _)) = object.field("period") {
        faults.add(&path, "must not be there: an exception holds as long as its consent");
    }
    if let Some((path, _)) = object.field("provision") {
        faults.add(&path, "must not be there: exceptions have one level");
    }
    let matcher = provision::matcher(faults, version, &object);
    if matcher.is_everything() {
        return faults.refuse(path, "must state what it speaks of");
    }
    Some(matcher)
}
