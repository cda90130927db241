//! Directives and decisions.

use signpost_common::{
    db::Attempt,
    id::DirectiveId,
    rpc::{Context, page, status},
};
use signpost_proto::consent::v1::{self as proto, consent_service_server::ConsentService};
use tonic::{Request, Response, Status};

use super::{Service, own, position};
use crate::{
    convert::{self, Question},
    domain::{self, Directive, Requester, Snapshot},
    error::Error,
};

impl Service {
    /// Returns a directive that the caller may know of.
    async fn own_directive(&self, context: &Context, id: DirectiveId) -> Result<Directive, Error> {
        let directive = self.store.directive(id).await?;
        directive.filter(|d| own(context, &d.patient)).ok_or(Error::DirectiveUnknown)
    }

    /// Gathers all that a decision rests on.
    async fn snapshot(
        &self,
        context: &Context,
        question: &Question,
    ) -> Result<(Requester, Snapshot, i64), Status> {
        let requester = convert::requester(context)?;
        let now_us = self.now_us();
        let standing = self.store.standing(&question.records, now_us).await?;
        let rules = standing.directives.into_iter().map(Into::into);
        let mut snapshot = Snapshot::new(rules, self.network_default, now_us);
        if let Some(id) = question.session_id {
            let caller = &context.caller;
            let session = self.store.session(id).await?;
            let serves = session
                .is_some_and(|s| s.serves(question.person_id, &caller.member_id, &caller.user, now_us));
            snapshot.emergency = Some(if serves { id } else { return Err(Error::SessionInvalid.into()) });
        }
        Ok((requester, snapshot, standing.epoch))
    }
}

#[tonic::async_trait]
impl ConsentService for Service {
    async fn create_directive(
        &self,
        request: Request<proto::CreateDirectiveRequest>,
    ) -> Result<Response<proto::CreateDirectiveResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        convert::required_request_id(&request.request_id)?;
        let attempt = Attempt::new(&context.actor(), "CreateDirective", &request.request_id, &request);
        let proto::CreateDirectiveRequest { directive, request_id } = request;
        let directive = convert::new_directive(&context, directive, self.now_us())?;
        if !own(&context, &directive.patient) {
            return Err(status::denied("NOT_YOUR_OWN", "directives are taken down for one's own patients"));
        }
        if let Some(attempt) = &attempt
            && let Some(id) = self.store.replayed(attempt).await?
        {
            let id = convert::parsed("request_id", &id)?;
            let directive = Some(self.own_directive(&context, id).await?.into());
            return Ok(Response::new(proto::CreateDirectiveResponse { directive }));
        }
        self.changing_directive(&context, "CreateDirective", &directive, &request_id).await?;
        let directive = self.store.create_directive(&directive, attempt.as_ref()).await?;
        Ok(Response::new(proto::CreateDirectiveResponse { directive: Some(directive.into()) }))
    }

    async fn get_directive(
        &self,
        request: Request<proto::GetDirectiveRequest>,
    ) -> Result<Response<proto::GetDirectiveResponse>, Status> {
        let context = Context::of(&request)?;
        let id = convert::parsed("directive_id", &request.get_ref().directive_id)?;
        let directive = self.own_directive(&context, id).await?;
        Ok(Response::new(proto::GetDirectiveResponse { directive: Some(directive.into()) }))
    }

    async fn list_directives(
        &self,
        request: Request<proto::ListDirectivesRequest>,
    ) -> Result<Response<proto::ListDirectivesResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::ListDirectivesRequest { patient, page_size, page_token } = request.into_inner();
        let patient = convert::patient(&context, patient)?;
        if !own(&context, &patient) {
            return Err(Error::DirectiveUnknown.into());
        }
        let limit = page::size(page_size)?;
        let query = format!("directives {}/{}", patient.member_id, patient.local_id());
        let before = position(query.as_bytes(), &page_token)?;
        let mut rows = self.store.directives(&patient, before.as_ref(), limit + 1).await?;
        let next_page_token =
            page::cut(query.as_bytes(), &mut rows, limit, |d| format!("{}/{}", d.created_us, d.id));
        let directives = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListDirectivesResponse { directives, next_page_token }))
    }

    async fn revoke_directive(
        &self,
        request: Request<proto::RevokeDirectiveRequest>,
    ) -> Result<Response<proto::RevokeDirectiveResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::RevokeDirectiveRequest { directive_id, request_id } = request.into_inner();
        convert::request_id(&request_id)?;
        let id = convert::parsed("directive_id", &directive_id)?;
        let directive = self.own_directive(&context, id).await?;
        self.changing_directive(&context, "RevokeDirective", &directive, &request_id).await?;
        let directive = self.store.revoke_directive(id, self.now_us()).await?;
        Ok(Response::new(proto::RevokeDirectiveResponse { directive: Some(directive.into()) }))
    }

    async fn decide(
        &self,
        request: Request<proto::DecideRequest>,
    ) -> Result<Response<proto::DecideResponse>, Status> {
        let context = Context::of(&request)?;
        let question = Question::try_from(request.into_inner())?;
        let (requester, snapshot, epoch) = self.snapshot(&context, &question).await?;
        let decisions = domain::decide(&snapshot, &requester, &question.documents);
        Ok(Response::new(proto::DecideResponse {
            decisions: decisions.into_iter().map(Into::into).collect(),
            policy_version: snapshot.policy_version.to_owned(),
            epoch,
        }))
    }

    async fn explain_decision(
        &self,
        request: Request<proto::ExplainDecisionRequest>,
    ) -> Result<Response<proto::ExplainDecisionResponse>, Status> {
        let context = Context::of(&request)?;
        let question = Question::try_from(request.into_inner())?;
        let (requester, snapshot, _) = self.snapshot(&context, &question).await?;
        let document =
            question.documents.first().ok_or_else(|| status::invalid("document", "must be set"))?;
        let (decision, rules) = domain::explain(&snapshot, &requester, document);
        let rules = rules.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ExplainDecisionResponse { decision: Some(decision.into()), rules }))
    }
}
