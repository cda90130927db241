//! Directives: what members send, what is stored, what is shown.

use prost::Message;
use signpost_common::{
    clock,
    id::DirectiveId,
    rpc::{Context, status::invalid},
};
use signpost_proto::{common::v1::Role, consent::v1 as proto};
use tonic::Status;

use super::{
    effect_to_proto, list, micros, parsed, patient_at, printable, purpose, record_to_proto, relationship,
    relationship_to_proto, role, signature,
};
use crate::domain::{Criterion, Directive, Effect, Grantor, Matcher, Validity};

const EXCEPTIONS_MAX: usize = 16;
const CODE_CHARS_MAX: usize = 64;
const LABEL_CHARS_MAX: usize = 256;

pub(super) fn matcher(field: &str, from: &proto::Match) -> Result<Matcher, Status> {
    let proto::Match {
        requesters,
        roles,
        purposes,
        custodians,
        type_codes,
        class_codes,
        labels,
        document_ids,
        service_from,
        service_to,
        relationships,
        authors,
    } = from;
    let at = |name: &str| format!("{field}.{name}");
    let code = |field: &str, text: &String| printable(field, text, CODE_CHARS_MAX);
    let long = |field: &str, text: &String| printable(field, text, LABEL_CHARS_MAX);
    let label = |field: &str, text: &String| long(field, text).map(|label| label.to_uppercase());
    let from_us = micros(&at("service_from"), service_from.as_ref())?;
    let to_us = micros(&at("service_to"), service_to.as_ref())?;
    if let (Some(from_us), Some(to_us)) = (from_us, to_us)
        && to_us <= from_us
    {
        return Err(invalid(&at("service_to"), "must be after service_from"));
    }
    Ok(Matcher::new([
        Criterion::Requesters(list(&at("requesters"), requesters, |f, v| parsed(f, v))?),
        Criterion::Roles(list(&at("roles"), roles, role)?),
        Criterion::Purposes(list(&at("purposes"), purposes, purpose)?),
        Criterion::Relationships(list(&at("relationships"), relationships, relationship)?),
        Criterion::Custodians(list(&at("custodians"), custodians, |f, v| parsed(f, v))?),
        Criterion::Authors(list(&at("authors"), authors, long)?),
        Criterion::TypeCodes(list(&at("type_codes"), type_codes, code)?),
        Criterion::ClassCodes(list(&at("class_codes"), class_codes, code)?),
        Criterion::Labels(list(&at("labels"), labels, label)?),
        Criterion::Documents(list(&at("document_ids"), document_ids, |f, v| parsed(f, v))?),
        Criterion::Period { from_us, to_us },
    ]))
}

fn exceptions(field: &str, all: &[proto::Match]) -> Result<Vec<Matcher>, Status> {
    if all.len() > EXCEPTIONS_MAX {
        return Err(invalid(field, format!("must have at most {EXCEPTIONS_MAX} items")));
    }
    let read = |(i, exception)| {
        let field = format!("{field}[{i}]");
        match matcher(&field, exception)? {
            empty if empty.is_everything() => Err(invalid(&field, "must state something")),
            matcher => Ok(matcher),
        }
    };
    all.iter().enumerate().map(read).collect()
}

impl From<&Matcher> for proto::Match {
    fn from(matcher: &Matcher) -> Self {
        fn texts<T: ToString>(list: &[T]) -> Vec<String> {
            list.iter().map(ToString::to_string).collect()
        }
        let mut to = Self::default();
        for criterion in matcher.criteria() {
            match criterion {
                Criterion::Requesters(list) => to.requesters = texts(list),
                Criterion::Roles(list) => to.roles = list.iter().map(|role| *role as i32).collect(),
                Criterion::Purposes(list) => {
                    to.purposes = list.iter().map(|purpose| *purpose as i32).collect()
                }
                Criterion::Relationships(list) => {
                    to.relationships = list.iter().map(relationship_to_proto).collect();
                }
                Criterion::Custodians(list) => to.custodians = texts(list),
                Criterion::Authors(list) => to.authors = list.clone(),
                Criterion::TypeCodes(list) => to.type_codes = list.clone(),
                Criterion::ClassCodes(list) => to.class_codes = list.clone(),
                Criterion::Labels(list) => to.labels = list.clone(),
                Criterion::Documents(list) => to.document_ids = texts(list),
                Criterion::Period { from_us, to_us } => {
                    to.service_from = from_us.map(clock::micros_to_proto);
                    to.service_to = to_us.map(clock::micros_to_proto);
                }
                // Directives have neither.
                Criterion::Emergency(_) | Criterion::Consent => {}
            }
        }
        to
    }
}

/// Encodes what a directive speaks of, to be stored.
pub(crate) fn payload(matcher: &Matcher, exceptions: &[Matcher]) -> Vec<u8> {
    let exceptions = exceptions.iter().map(Into::into).collect();
    let directive = proto::Directive { r#match: Some(matcher.into()), exceptions, ..Default::default() };
    directive.encode_to_vec()
}

/// Reads what was stored; `None` when it is not what [`payload`] made.
pub(crate) fn from_payload(bytes: &[u8]) -> Option<(Matcher, Vec<Matcher>)> {
    let proto::Directive { r#match, exceptions: all, .. } = proto::Directive::decode(bytes).ok()?;
    Some((matcher("match", &r#match?).ok()?, exceptions("exceptions", &all).ok()?))
}

/// Reads a directive to create.
pub(crate) fn new_directive(
    context: &Context,
    from: Option<proto::Directive>,
    now_us: i64,
) -> Result<Directive, Status> {
    let proto::Directive {
        directive_id,
        patient,
        effect,
        r#match,
        exceptions: all,
        overridable,
        valid_from,
        valid_to,
        created_at: _,
        revoked_at: _,
        grantor,
        signature,
    } = from.ok_or_else(|| invalid("directive", "must be set"))?;
    if !directive_id.is_empty() {
        return Err(invalid("directive.directive_id", "must be empty on creation"));
    }
    let effect = match proto::Effect::try_from(effect) {
        Ok(proto::Effect::Permit) => Effect::Permit,
        Ok(proto::Effect::Deny) => Effect::Deny,
        Ok(proto::Effect::Unspecified) | Err(_) => {
            return Err(invalid("directive.effect", "must be to permit or to deny"));
        }
    };
    let from_us = micros("directive.valid_from", valid_from.as_ref())?;
    let to_us = micros("directive.valid_to", valid_to.as_ref())?;
    if to_us.is_some_and(|to_us| to_us <= from_us.unwrap_or(now_us).max(now_us)) {
        return Err(invalid("directive.valid_to", "must be after now, and after valid_from"));
    }
    if overridable && effect == Effect::Permit {
        return Err(invalid("directive.overridable", "is of a denial: emergency access goes past no permit"));
    }
    let directive = Directive {
        id: DirectiveId::generate(),
        patient: patient_at("directive.patient", context, patient)?,
        effect,
        matcher: matcher("directive.match", &r#match.unwrap_or_default())?,
        exceptions: exceptions("directive.exceptions", &all)?,
        overridable,
        validity: Validity { from_us, to_us, revoked_us: None },
        created_us: now_us,
        created_by: context.actor(),
        grantor: self::grantor(context, grantor)?,
        signature: None,
    };
    match signature {
        None => Ok(directive),
        Some(signature) => signature::verified(directive, signature),
    }
}

/// Reads who grants. Nobody speaks for the other of patient and representative.
fn grantor(context: &Context, from: i32) -> Result<Grantor, Status> {
    use proto::Relationship::{Representative, Self_, Unspecified};
    let field = "directive.grantor";
    match (context.caller.role(), proto::Relationship::try_from(from)) {
        (Role::Representative, Ok(Unspecified | Representative)) => Ok(Grantor::Representative),
        (Role::Representative, _) => Err(invalid(field, "must be RELATIONSHIP_REPRESENTATIVE, as you are")),
        (_, Ok(Unspecified | Self_)) => Ok(Grantor::Patient),
        (Role::Patient, _) => Err(invalid(field, "must be RELATIONSHIP_SELF, as you are")),
        (_, Ok(Representative)) => Ok(Grantor::Representative),
        _ => Err(invalid(field, "must be RELATIONSHIP_SELF or RELATIONSHIP_REPRESENTATIVE")),
    }
}

fn grantor_to_proto(grantor: Grantor) -> i32 {
    match grantor {
        Grantor::Patient => proto::Relationship::Self_.into(),
        Grantor::Representative => proto::Relationship::Representative.into(),
    }
}

impl From<Directive> for proto::Directive {
    fn from(directive: Directive) -> Self {
        let Directive {
            id,
            patient,
            effect,
            matcher,
            exceptions,
            overridable,
            validity: Validity { from_us, to_us, revoked_us },
            created_us,
            created_by: _,
            grantor,
            signature,
        } = directive;
        Self {
            directive_id: id.to_string(),
            patient: Some(record_to_proto(&patient)),
            effect: effect_to_proto(effect),
            r#match: Some((&matcher).into()),
            exceptions: exceptions.iter().map(Into::into).collect(),
            overridable,
            valid_from: from_us.map(clock::micros_to_proto),
            valid_to: to_us.map(clock::micros_to_proto),
            created_at: Some(clock::micros_to_proto(created_us)),
            revoked_at: revoked_us.map(clock::micros_to_proto),
            grantor: grantor_to_proto(grantor),
            signature: signature.map(|signature| proto::DirectiveSignature {
                statement: signature.statement,
                public_key: signature.public_key,
                signature: signature.signature,
            }),
        }
    }
}
