//! Directives and decisions.

use signpost_common::{
    db::Attempt,
    id::DirectiveId,
    rpc::{Context, page, status},
};
use signpost_proto::{
    audit::v1::EventOutcome,
    common::v1::Role,
    consent::v1::{self as proto, consent_service_server::ConsentService},
};
use tonic::{Request, Response, Status};

use super::{Service, own, position};
use crate::{
    convert,
    domain::{Directive, Grantor},
    error::Error,
};

impl Service {
    /// Checks that the network knows the labels of a directive: one that is misspelt would protect nothing.
    async fn check_labels(&self, directive: &Directive) -> Result<(), Status> {
        let policy = self.rulebook.in_force().await?;
        let matchers = std::iter::once(("directive.match.labels".to_owned(), &directive.matcher));
        let exceptions = directive.exceptions.iter().enumerate();
        let exceptions =
            exceptions.map(|(i, matcher)| (format!("directive.exceptions[{i}].labels"), matcher));
        for (field, matcher) in matchers.chain(exceptions) {
            if let Some(label) = matcher.labels().iter().find(|label| !policy.knows(label)) {
                return Err(status::invalid(
                    &field,
                    format!("{label:?} is no label of HL7 or of this network"),
                ));
            }
        }
        Ok(())
    }

    /// Records a directive of one of the caller's own patients; a repetition returns what the first attempt made.
    async fn record(
        &self,
        context: &Context,
        method: &str,
        directive: Directive,
        attempt: Option<Attempt>,
        request_id: &str,
    ) -> Result<Directive, Status> {
        self.check_labels(&directive).await?;
        if !own(context, &directive.patient) {
            return Err(not_your_own(context));
        }
        let replayed = match &attempt {
            Some(attempt) => self.store.replayed(attempt).await?,
            None => None,
        };
        let directive = match replayed {
            Some(id) => self.own_directive(context, convert::parsed("request_id", &id)?).await?,
            None => {
                // An index that does not answer keeps no patient from a directive.
                if matches!(self.patients.knows(context, &directive.patient).await, Ok(false)) {
                    return Err(Error::RecordUnknown.into());
                }
                let record =
                    |outcome| self.changing_directive(context, method, &directive, outcome, request_id);
                record(EventOutcome::Success).await?;
                match self.store.create_directive(&directive, attempt.as_ref()).await {
                    Ok(created) => created,
                    Err(refused) => {
                        record(EventOutcome::Failed).await?;
                        return Err(refused.into());
                    }
                }
            }
        };
        // A repetition too: the first attempt may not have been answered yet.
        if directive.may_deny() {
            self.settle().await;
        }
        Ok(directive)
    }

    /// Returns a directive that the caller may know of.
    async fn own_directive(&self, context: &Context, id: DirectiveId) -> Result<Directive, Error> {
        let directive = self.store.directive(id).await?;
        directive.filter(|d| own(context, &d.patient)).ok_or(Error::DirectiveUnknown)
    }
}

fn not_your_own(context: &Context) -> Status {
    let text = match context.is(&[Role::Patient, Role::Representative]) {
        true => "the patient must be the one that your token names as its user",
        false => "directives are those of your own organisation's patients",
    };
    status::denied("NOT_YOUR_OWN", text)
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
        let recorded = self.record(&context, "CreateDirective", directive, attempt, &request_id).await?;
        Ok(Response::new(proto::CreateDirectiveResponse { directive: Some(recorded.into()) }))
    }

    async fn import_consent(
        &self,
        request: Request<proto::ImportConsentRequest>,
    ) -> Result<Response<proto::ImportConsentResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        convert::required_request_id(&request.request_id)?;
        let attempt = Attempt::new(&context.actor(), "ImportConsent", &request.request_id, &request);
        let directive = convert::imported(&context, &request, self.now_us())?;
        let recorded =
            self.record(&context, "ImportConsent", directive, attempt, &request.request_id).await?;
        Ok(Response::new(proto::ImportConsentResponse { directive: Some(recorded.into()) }))
    }

    async fn export_consent(
        &self,
        request: Request<proto::ExportConsentRequest>,
    ) -> Result<Response<proto::ExportConsentResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::ExportConsentRequest { directive_id, version } = request.into_inner();
        let id = convert::parsed("directive_id", &directive_id)?;
        let directive = self.own_directive(&context, id).await?;
        let resource = convert::exported(&directive, version)?;
        Ok(Response::new(proto::ExportConsentResponse { resource }))
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
            return Err(not_your_own(&context));
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
        if context.is(&[Role::Representative]) && directive.grantor == Grantor::Patient {
            let text = "what the patient said themselves is not taken back by who acts for them";
            return Err(status::denied("NOT_YOUR_OWN", text));
        }
        let outcome = EventOutcome::Success;
        self.changing_directive(&context, "RevokeDirective", &directive, outcome, &request_id).await?;
        let directive = self.store.revoke_directive(id, self.now_us()).await?;
        self.settle().await;
        Ok(Response::new(proto::RevokeDirectiveResponse { directive: Some(directive.into()) }))
    }

    async fn decide(
        &self,
        request: Request<proto::DecideRequest>,
    ) -> Result<Response<proto::DecideResponse>, Status> {
        let context = Context::of(&request)?;
        Ok(Response::new(self.decide_all(&context, request.into_inner()).await?))
    }

    async fn explain_decision(
        &self,
        request: Request<proto::ExplainDecisionRequest>,
    ) -> Result<Response<proto::ExplainDecisionResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        let explained = match request.decision_id.as_str() {
            "" => self.explain_now(&context, request).await?,
            _ => self.explain_past(&context, request).await?,
        };
        Ok(Response::new(explained))
    }
}
