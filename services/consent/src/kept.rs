//! Past decisions as they are stored: what was asked, what was known, what came of it.

use prost::Message;
use signpost_common::id::DecisionId;
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::{self as proto, EmergencyReason},
};

use crate::{
    convert,
    domain::{Decision, DocumentFacts, Emergency, Request, Requester},
    store::policy::Kept,
};

/// The stored form. Fields are only ever added.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(string, tag = "1")]
    person_id: String,
    #[prost(string, tag = "2")]
    member_id: String,
    #[prost(enumeration = "Role", tag = "3")]
    role: i32,
    #[prost(enumeration = "PurposeOfUse", tag = "4")]
    purpose: i32,
    #[prost(enumeration = "proto::Relationship", repeated, tag = "5")]
    relationships: Vec<i32>,
    #[prost(int64, tag = "6")]
    decided_us: i64,
    #[prost(string, tag = "7")]
    session_id: String,
    #[prost(enumeration = "EmergencyReason", tag = "8")]
    emergency_reason: i32,
    #[prost(string, tag = "9")]
    policy_version: String,
    #[prost(string, repeated, tag = "10")]
    directives: Vec<String>,
    #[prost(message, repeated, tag = "11")]
    documents: Vec<proto::DocumentFacts>,
    #[prost(message, repeated, tag = "12")]
    decisions: Vec<proto::Decision>,
    /// Documents that emergency access was for; none for all.
    #[prost(message, optional, tag = "13")]
    scope: Option<proto::Match>,
}

/// Writes a decision to be stored.
pub(crate) fn encode(kept: &Kept) -> Vec<u8> {
    let Kept { id: _, person_id, request, policy_version, directives, documents } = kept;
    let Request { requester, now_us, emergency, scope } = request;
    let (session_id, reason) = match emergency {
        Emergency::Open(session, reason) => (session.to_string(), *reason),
        Emergency::None | Emergency::Supposed => (String::new(), EmergencyReason::Unspecified),
    };
    let stored = Stored {
        person_id: person_id.clone(),
        member_id: requester.member_id.to_string(),
        role: requester.role.into(),
        purpose: requester.purpose.into(),
        relationships: requester.relationships.iter().map(convert::relationship_to_proto).collect(),
        decided_us: *now_us,
        session_id,
        emergency_reason: reason.into(),
        policy_version: policy_version.clone(),
        directives: directives.iter().map(ToString::to_string).collect(),
        documents: documents.iter().map(|(facts, _)| facts.into()).collect(),
        decisions: documents.iter().map(|(_, decision)| decision.clone().into()).collect(),
        scope: (!scope.is_everything()).then(|| scope.into()),
    };
    stored.encode_to_vec()
}

/// Reads a decision; `None` when it is not what [`encode`] made.
pub(crate) fn decode(id: DecisionId, bytes: &[u8]) -> Option<Kept> {
    let stored = Stored::decode(bytes).ok()?;
    let emergency = match stored.session_id.as_str() {
        "" => Emergency::None,
        session => Emergency::Open(session.parse().ok()?, stored.emergency_reason()),
    };
    let requester = Requester {
        member_id: stored.member_id.parse().ok()?,
        role: stored.role(),
        purpose: stored.purpose(),
        relationships: convert::relationships("", &stored.relationships).ok()?,
    };
    let scope = convert::scope("", stored.scope.as_ref()).ok()?;
    let read = |(facts, decision)| -> Option<(DocumentFacts, Decision)> {
        Some((convert::document("", facts).ok()?, convert::decision(decision)?))
    };
    let documents = stored.documents.into_iter().zip(stored.decisions).map(read);
    Some(Kept {
        id,
        person_id: stored.person_id,
        request: Request { requester, now_us: stored.decided_us, emergency, scope },
        policy_version: stored.policy_version,
        directives: stored.directives.iter().map(|id| id.parse().ok()).collect::<Option<_>>()?,
        documents: documents.collect::<Option<_>>()?,
    })
}
