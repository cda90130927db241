//! Emergency access and its reviews.

use signpost_common::{
    db::Attempt,
    id::SessionId,
    rpc::{Context, page, status},
};
use signpost_proto::{
    audit::v1::EventOutcome,
    consent::v1::{self as proto, emergency_access_service_server::EmergencyAccessService},
};
use tonic::{Request, Response, Status};

use super::{Service, position};
use crate::{
    convert,
    domain::{Session, notice::Notice},
    error::Error,
};

impl Service {
    /// Returns a session that passes, or says that there is none.
    async fn known_session(
        &self,
        id: SessionId,
        may_know: impl Fn(&Session) -> bool,
    ) -> Result<Session, Error> {
        self.store.session(id).await?.filter(may_know).ok_or(Error::SessionUnknown)
    }
}

#[tonic::async_trait]
impl EmergencyAccessService for Service {
    async fn open_emergency_access(
        &self,
        request: Request<proto::OpenEmergencyAccessRequest>,
    ) -> Result<Response<proto::OpenEmergencyAccessResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        convert::required_request_id(&request.request_id)?;
        let attempt = Attempt::new(&context.actor(), "OpenEmergencyAccess", &request.request_id, &request);
        let request_id = request.request_id.clone();
        let session = convert::new_session(&context, request, self.now_us())?;
        if let Some(attempt) = &attempt
            && let Some(id) = self.store.replayed(attempt).await?
        {
            let id = convert::parsed("request_id", &id)?;
            let session = Some(self.known_session(id, |_| true).await?.into());
            return Ok(Response::new(proto::OpenEmergencyAccessResponse { session }));
        }
        let per_day = self.emergency_per_user_per_day;
        let outcome = match self.store.may_open(&session, per_day).await? {
            true => EventOutcome::Success,
            false => EventOutcome::Refused,
        };
        let method = "OpenEmergencyAccess";
        let records = self.changing_session(&context, method, &session, outcome, &request_id).await?;
        let notices = Notice::opened(&session, &convert::records(records)?);
        let attempt = attempt.as_ref();
        match self.store.open_session(&session, &notices, per_day, attempt).await {
            Ok(session) => {
                Ok(Response::new(proto::OpenEmergencyAccessResponse { session: Some(session.into()) }))
            }
            Err(refused) => {
                if outcome == EventOutcome::Success {
                    let failed = EventOutcome::Failed;
                    self.changing_session(&context, method, &session, failed, &request_id).await?;
                }
                Err(refused.into())
            }
        }
    }

    async fn close_emergency_access(
        &self,
        request: Request<proto::CloseEmergencyAccessRequest>,
    ) -> Result<Response<proto::CloseEmergencyAccessResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::CloseEmergencyAccessRequest { session_id, request_id } = request.into_inner();
        convert::request_id(&request_id)?;
        let id = convert::parsed("session_id", &session_id)?;
        let caller = &context.caller;
        let session = self.known_session(id, |s| s.opened_by(&caller.member_id, &caller.user)).await?;
        self.changing_session(&context, "CloseEmergencyAccess", &session, EventOutcome::Success, &request_id)
            .await?;
        let session = self.store.close_session(id, self.now_us()).await?;
        self.settle().await;
        Ok(Response::new(proto::CloseEmergencyAccessResponse { session: Some(session.into()) }))
    }

    async fn list_emergency_reviews(
        &self,
        request: Request<proto::ListEmergencyReviewsRequest>,
    ) -> Result<Response<proto::ListEmergencyReviewsResponse>, Status> {
        let context = Context::of(&request)?;
        let proto::ListEmergencyReviewsRequest { include_completed, page_size, page_token } =
            request.into_inner();
        let member_id = convert::member_id(&context)?;
        let member_id = (!context.operator).then_some(&member_id);
        let limit = page::size(page_size)?;
        let query = format!("reviews {member_id:?} {include_completed}");
        let after = position(query.as_bytes(), &page_token)?;
        let mut rows = self.store.sessions(member_id, include_completed, after.as_ref(), limit + 1).await?;
        let next_page_token =
            page::cut(query.as_bytes(), &mut rows, limit, |s| format!("{}/{}", s.opened_us, s.id));
        let sessions = rows.into_iter().map(convert::reviewed).collect();
        Ok(Response::new(proto::ListEmergencyReviewsResponse { sessions, next_page_token }))
    }

    async fn complete_emergency_review(
        &self,
        request: Request<proto::CompleteEmergencyReviewRequest>,
    ) -> Result<Response<proto::CompleteEmergencyReviewResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        convert::request_id(&request.request_id)?;
        let id = convert::parsed("session_id", &request.session_id)?;
        let review = convert::review(&context, &request)?;
        let caller = &context.caller;
        let may_know = |s: &Session| context.operator || s.member_id.as_str() == caller.member_id;
        let session = self.known_session(id, may_know).await?;
        if session.opened_by(&caller.member_id, &caller.user) {
            return Err(status::denied("OWN_SESSION", "nobody reviews an emergency session of their own"));
        }
        if session.review.as_ref().is_some_and(|found| *found != review) {
            return Err(Error::ReviewCompleted.into());
        }
        let (method, outcome) = ("CompleteEmergencyReview", EventOutcome::Success);
        self.changing_session(&context, method, &session, outcome, &request.request_id).await?;
        let session = self.store.review_session(id, &review, self.now_us()).await?;
        self.settle().await;
        let session = Some(convert::reviewed(session));
        Ok(Response::new(proto::CompleteEmergencyReviewResponse { session }))
    }
}
