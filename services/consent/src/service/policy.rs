//! The policy of the network: drafted, checked, simulated, activated, taken back.

use std::collections::HashMap;

use signpost_common::{
    clock,
    db::Attempt,
    id::{DirectiveId, RecordRef},
    rpc::{Context, page, status, status::invalid},
};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    consent::v1::{self as proto, policy_service_server::PolicyService, simulate_policy_request},
};
use tonic::{Request, Response, Status};

use super::Service;
use crate::{
    convert,
    document::{Document, NetworkDefault, Problem},
    domain::{self, Policy, Rule},
    error::Error,
    store::policy::{Actor, Draft, Kept, StoredPolicy},
};

/// Decisions that are read at once for a simulation.
const REPLAYED_AT_ONCE: i64 = 500;

/// Most decisions that a simulation lists; it counts all.
const FLIPS_MAX: usize = 1000;

const SERVICE: &str = "/signpost.consent.v1.PolicyService";

impl Service {
    fn actor(&self, context: &Context) -> Actor {
        Actor { by: context.actor(), now_us: self.now_us() }
    }

    /// Records that the policy is changed or tried on what was decided, before it is.
    async fn changing_policy(
        &self,
        context: &Context,
        method: &str,
        version: &str,
        request_id: &str,
    ) -> Result<(), Status> {
        let event = Event {
            kind: EventKind::Consent.into(),
            action: format!("{SERVICE}/{method}"),
            outcome: EventOutcome::Success.into(),
            object_id: version.to_owned(),
            request_id: request_id.to_owned(),
            ..Event::default()
        };
        self.audit.append(context, event).await
    }

    /// Records that somebody reads what was or would be decided on a patient.
    pub(super) async fn reading(
        &self,
        context: &Context,
        person_id: &str,
        decision_id: &str,
        records: &[RecordRef],
    ) -> Result<(), Status> {
        let event = Event {
            kind: EventKind::Decision.into(),
            action: "/signpost.consent.v1.ConsentService/ExplainDecision".to_owned(),
            outcome: EventOutcome::Success.into(),
            object_id: decision_id.to_owned(),
            person_id: person_id.to_owned(),
            patient_records: records.iter().map(convert::record_to_proto).collect(),
            ..Event::default()
        };
        self.audit.append(context, event).await
    }

    /// Puts a version in force and waits until nothing is released under the one before.
    async fn put_in_force(
        &self,
        context: &Context,
        method: &str,
        version: &str,
        attempt: Option<&Attempt>,
        request_id: &str,
    ) -> Result<StoredPolicy, Status> {
        self.store.policy(version).await?.ok_or(Error::PolicyUnknown)?;
        self.changing_policy(context, method, version, request_id).await?;
        let stored = self.store.activate(version, &self.actor(context), attempt).await?;
        self.settle().await;
        Ok(stored)
    }

    /// Replays what was decided since a moment under another policy.
    async fn simulate(&self, policy: &Policy, since_us: i64) -> Result<proto::SimulatePolicyResponse, Error> {
        let mut response = proto::SimulatePolicyResponse::default();
        let mut below = None;
        loop {
            let page = self.store.decisions(since_us, below.as_ref(), REPLAYED_AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(response) };
            below = Some((last.request.now_us, last.id.to_string()));
            let mut ids: Vec<DirectiveId> = page.iter().flat_map(|kept| kept.directives.clone()).collect();
            ids.sort_unstable();
            ids.dedup();
            let directives = self.store.directives_of(&ids).await?;
            let directives: HashMap<DirectiveId, Rule> =
                directives.into_iter().map(|directive| (directive.id, directive.as_it_stood())).collect();
            for kept in &page {
                replay(policy, kept, &directives, &mut response);
            }
        }
    }
}

fn replay(
    policy: &Policy,
    kept: &Kept,
    directives: &HashMap<DirectiveId, Rule>,
    response: &mut proto::SimulatePolicyResponse,
) {
    let patient: Vec<Rule> = kept.directives.iter().filter_map(|id| directives.get(id).cloned()).collect();
    let facts: Vec<_> = kept.documents.iter().map(|(facts, _)| facts.clone()).collect();
    let after = domain::decide(policy, &patient, &kept.request, &facts);
    for ((_, before), after) in kept.documents.iter().zip(after) {
        response.replayed += 1;
        if before.effect == after.effect {
            continue;
        }
        response.differing += 1;
        if response.flips.len() < FLIPS_MAX {
            response.flips.push(proto::PolicyFlip {
                decision_id: kept.id.to_string(),
                document_id: before.document.to_string(),
                decided_at: Some(clock::micros_to_proto(kept.request.now_us)),
                before: convert::effect_to_proto(before.effect),
                after: convert::effect_to_proto(after.effect),
                rule_before: before.rule_ids.join(" "),
                rule_after: after.rule_ids.join(" "),
                member_id: kept.request.requester.member_id.to_string(),
                purpose: kept.request.requester.purpose.into(),
            });
        }
    }
}

/// Reads a document or says what is wrong with its first lines.
fn read(field: &str, source: &str) -> Result<Document, Status> {
    Document::parse(source).map_err(|problems| {
        let told: Vec<String> = problems
            .iter()
            .take(5)
            .map(|problem| format!("line {}: {}", problem.line, problem.message))
            .collect();
        let more = problems.len().saturating_sub(told.len());
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        invalid(field, format!("{}{more}", told.join("; ")))
    })
}

impl From<Problem> for proto::PolicyProblem {
    fn from(Problem { line, message }: Problem) -> Self {
        Self { line, message }
    }
}

impl From<StoredPolicy> for proto::PolicyVersion {
    fn from(stored: StoredPolicy) -> Self {
        let activated = stored.activated.as_ref();
        Self {
            version: stored.version,
            drafted_at: Some(clock::micros_to_proto(stored.drafted_us)),
            activated_at: activated.map(|activation| clock::micros_to_proto(activation.at_us)),
            active: stored.active,
            summary: stored.summary,
            sha256: stored.sha256,
            drafted_by: stored.drafted_by,
            activated_by: activated.map(|activation| activation.by.clone()).unwrap_or_default(),
        }
    }
}

#[tonic::async_trait]
impl PolicyService for Service {
    async fn draft_policy(
        &self,
        request: Request<proto::DraftPolicyRequest>,
    ) -> Result<Response<proto::DraftPolicyResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        convert::request_id(&request.request_id)?;
        let Document { name, summary, .. } = read("source", &request.source)?;
        let attempt = Attempt::new(&context.actor(), "DraftPolicy", &request.request_id, &request);
        self.changing_policy(&context, "DraftPolicy", &name, &request.request_id).await?;
        let draft = Draft { name, summary, source: request.source };
        let stored = self.store.draft_policy(&draft, &self.actor(&context), attempt.as_ref()).await?;
        Ok(Response::new(proto::DraftPolicyResponse { version: Some(stored.into()) }))
    }

    async fn validate_policy(
        &self,
        request: Request<proto::ValidatePolicyRequest>,
    ) -> Result<Response<proto::ValidatePolicyResponse>, Status> {
        let problems = Document::parse(&request.get_ref().source).err().unwrap_or_default();
        let problems = problems.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ValidatePolicyResponse { problems }))
    }

    async fn simulate_policy(
        &self,
        request: Request<proto::SimulatePolicyRequest>,
    ) -> Result<Response<proto::SimulatePolicyResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::SimulatePolicyRequest { policy, since } = request.into_inner();
        let since_us = convert::micros("since", since.as_ref())?.unwrap_or(i64::MIN);
        let policy = match policy.ok_or_else(|| invalid("policy", "must be a version or a document"))? {
            simulate_policy_request::Policy::Version(version) => self.rulebook.version(&version).await?,
            simulate_policy_request::Policy::Source(source) => {
                read("source", &source)?.policy("simulated").into()
            }
        };
        self.changing_policy(&context, "SimulatePolicy", &policy.version, "").await?;
        Ok(Response::new(self.simulate(&policy, since_us).await?))
    }

    async fn activate_policy(
        &self,
        request: Request<proto::ActivatePolicyRequest>,
    ) -> Result<Response<proto::ActivatePolicyResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        convert::request_id(&request.request_id)?;
        let attempt = Attempt::new(&context.actor(), "ActivatePolicy", &request.request_id, &request);
        let (version, attempt) = (&request.version, attempt.as_ref());
        let stored =
            self.put_in_force(&context, "ActivatePolicy", version, attempt, &request.request_id).await?;
        Ok(Response::new(proto::ActivatePolicyResponse { version: Some(stored.into()) }))
    }

    async fn rollback_policy(
        &self,
        request: Request<proto::RollbackPolicyRequest>,
    ) -> Result<Response<proto::RollbackPolicyResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        convert::required_request_id(&request.request_id)?;
        let attempt = Attempt::new(&context.actor(), "RollbackPolicy", &request.request_id, &request);
        let done = match &attempt {
            Some(attempt) => self.store.replayed(attempt).await?,
            None => None,
        };
        let version = match (done, request.version.as_str()) {
            (Some(done), _) => done,
            (None, "") => self.store.previous().await?.ok_or(Error::PolicyFirst)?,
            (None, version) => version.to_owned(),
        };
        let request_id = &request.request_id;
        let stored =
            self.put_in_force(&context, "RollbackPolicy", &version, attempt.as_ref(), request_id).await?;
        Ok(Response::new(proto::RollbackPolicyResponse { version: Some(stored.into()) }))
    }

    async fn get_policy_version(
        &self,
        request: Request<proto::GetPolicyVersionRequest>,
    ) -> Result<Response<proto::GetPolicyVersionResponse>, Status> {
        let stored = match request.get_ref().version.as_str() {
            "" => self.store.activated(None).await?,
            version => self.store.policy(version).await?,
        };
        let default = match request.get_ref().version.as_str() {
            "" => Some(self.network_default),
            version => NetworkDefault::of_version(version),
        };
        let response = match (stored, default) {
            (Some(stored), _) => {
                let source = stored.source.clone();
                proto::GetPolicyVersionResponse { version: Some(stored.into()), source }
            }
            // What is shipped holds as long as nothing was activated.
            (None, Some(default)) => {
                let in_force = default == self.network_default;
                let version = proto::PolicyVersion {
                    version: default.version(),
                    active: in_force && self.store.activated(None).await?.is_none(),
                    ..Default::default()
                };
                proto::GetPolicyVersionResponse {
                    version: Some(version),
                    source: default.source().to_owned(),
                }
            }
            (None, None) => return Err(Error::PolicyUnknown.into()),
        };
        Ok(Response::new(response))
    }

    async fn list_policy_versions(
        &self,
        request: Request<proto::ListPolicyVersionsRequest>,
    ) -> Result<Response<proto::ListPolicyVersionsResponse>, Status> {
        let proto::ListPolicyVersionsRequest { page_size, page_token } = request.into_inner();
        let limit = page::size(page_size)?;
        let below = match page::position(b"policies", &page_token)? {
            None => i64::MAX,
            Some(number) => {
                number.parse().map_err(|_| status::invalid("page_token", "is not one of ours"))?
            }
        };
        let mut rows = self.store.policies(below, limit + 1).await?;
        let next_page_token = page::cut(b"policies", &mut rows, limit, |stored| stored.number.to_string());
        let versions = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListPolicyVersionsResponse { versions, next_page_token }))
    }
}
