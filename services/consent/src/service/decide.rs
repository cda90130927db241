//! Deciding, and explaining what was decided.

use std::sync::Arc;

use signpost_common::{
    clock,
    id::DecisionId,
    rpc::{Context, status},
};
use signpost_proto::consent::v1 as proto;
use tonic::Status;

use super::{LEASE, Service};
use crate::{
    convert::{self, Question},
    domain::{self, DocumentFacts, Emergency, Matcher, Policy, Request, Rule},
    error::Error,
    store::policy::Kept,
};

impl Service {
    /// Returns whether emergency access is open for the caller, and for which documents.
    async fn emergency(
        &self,
        context: &Context,
        question: &Question,
        now_us: i64,
    ) -> Result<(Emergency, Matcher), Error> {
        let Some(id) = question.session_id else {
            return Ok((Emergency::None, Matcher::default()));
        };
        let caller = &context.caller;
        let session = self.store.session(id).await?.ok_or(Error::SessionInvalid)?;
        if !session.serves(question.person_id, &caller.member_id, &caller.user, now_us) {
            return Err(Error::SessionInvalid);
        }
        Ok((Emergency::Open(id, session.reason), session.scope))
    }

    /// Decides for the caller, and keeps the question with its answers.
    pub(super) async fn decide_all(
        &self,
        context: &Context,
        request: proto::DecideRequest,
    ) -> Result<proto::DecideResponse, Status> {
        let again = request.again;
        let question = Question::try_from(request)?;
        let now_us = self.now_us();
        let requester = convert::requester(context, &question.records)?;
        let (emergency, scope) = self.emergency(context, &question, now_us).await?;
        let request = Request { requester, now_us, emergency, scope };
        let standing = self.rulebook.standing(&question.records, now_us).await?;
        let decisions = domain::decide(&standing.policy, &standing.patient, &request, &question.documents);
        let epoch = standing.epoch.directives.saturating_add(standing.epoch.policy);
        let policy_version = standing.policy.version.clone();
        let mut decision_id = String::new();
        if !again && !decisions.is_empty() {
            let id = DecisionId::generate();
            decision_id = id.to_string();
            let in_force = standing.patient.iter().filter(|rule| rule.validity.holds(now_us));
            let directives = in_force.filter_map(|rule| rule.id.parse().ok()).collect();
            let documents = question.documents.into_iter().zip(decisions.iter().cloned()).collect();
            let (person_id, policy_version) = (question.person_id.to_string(), policy_version.clone());
            self.keeper.keep(Kept { id, person_id, request, policy_version, directives, documents }).await;
        }
        Ok(proto::DecideResponse {
            decisions: decisions.into_iter().map(Into::into).collect(),
            policy_version,
            epoch,
            lease_ms: u32::try_from(LEASE.as_millis()).unwrap_or(u32::MAX),
            decision_id,
        })
    }

    /// Explains what would be decided now.
    pub(super) async fn explain_now(
        &self,
        context: &Context,
        request: proto::ExplainDecisionRequest,
    ) -> Result<proto::ExplainDecisionResponse, Status> {
        let now_us = self.now_us();
        let (requester, version) = (request.requester.clone(), request.policy_version.clone());
        let question = Question::try_from(request)?;
        let asked = match requester {
            Some(supposed) => convert::supposed(&supposed, now_us)?,
            None => {
                let (emergency, scope) = self.emergency(context, &question, now_us).await?;
                let requester = convert::requester(context, &question.records)?;
                Request { requester, now_us, emergency, scope }
            }
        };
        // What a patient directed is read here, unless the exchange itself asks.
        if !context.inside {
            self.reading(context, &question.person_id.to_string(), "", &question.records).await?;
        }
        let standing = self.rulebook.standing(&question.records, now_us).await?;
        let policy = match version.as_str() {
            "" => standing.policy,
            version => self.rulebook.version(version).await?,
        };
        let document =
            question.documents.first().ok_or_else(|| status::invalid("document", "must be set"))?;
        Ok(explained(&policy, &standing.patient, &asked, document))
    }

    /// Explains a decision of the past, from what was known then.
    pub(super) async fn explain_past(
        &self,
        context: &Context,
        request: proto::ExplainDecisionRequest,
    ) -> Result<proto::ExplainDecisionResponse, Status> {
        let id = convert::parsed("decision_id", &request.decision_id)?;
        let kept = self.store.decision(id).await?.ok_or(Error::DecisionUnknown)?;
        let named = request.document.map(|document| document.document_id).unwrap_or_default();
        let mut documents = kept.documents.iter().map(|(facts, _)| facts);
        let document = match named.as_str() {
            "" if kept.documents.len() == 1 => documents.next(),
            "" => {
                return Err(status::invalid(
                    "document.document_id",
                    "must be one of the decision's documents",
                ));
            }
            named => documents.find(|facts| facts.id.to_string() == named),
        };
        let document = document.ok_or(Error::DecisionUnknown)?;
        let version = match request.policy_version.as_str() {
            "" => &kept.policy_version,
            version => version,
        };
        let asked = match &request.requester {
            Some(supposed) => convert::supposed(supposed, kept.request.now_us)?,
            None => kept.request.clone(),
        };
        let policy = self.rulebook.version(version).await?;
        let patient = self.directives_then(&kept).await?;
        self.reading(context, &kept.person_id, &kept.id.to_string(), &[]).await?;
        Ok(explained(&policy, &patient, &asked, document))
    }

    /// Returns the directives that a decision rested on, as they stood then.
    async fn directives_then(&self, kept: &Kept) -> Result<Arc<[Rule]>, Error> {
        let directives = self.store.directives_of(&kept.directives).await?;
        Ok(directives.into_iter().map(domain::Directive::as_it_stood).collect())
    }
}

fn explained(
    policy: &Policy,
    patient: &[Rule],
    request: &Request,
    document: &DocumentFacts,
) -> proto::ExplainDecisionResponse {
    let (decision, rules) = domain::explain(policy, patient, request, document);
    proto::ExplainDecisionResponse {
        decision: Some(decision.into()),
        rules: rules.into_iter().map(Into::into).collect(),
        policy_version: policy.version.clone(),
        decided_at: Some(clock::micros_to_proto(request.now_us)),
    }
}
