//! The handlers of models: learn, look, promote, discard.

use signpost_common::{
    clock,
    db::Attempt,
    id::RecordRef,
    rpc::{self, Context, page, status},
};
use signpost_proto::{
    audit::v1::EventKind,
    mpi::v1::{self as proto, ModelState, matching_model_service_server::MatchingModelService},
};
use tonic::{Request, Response, Status};

use crate::{
    convert,
    error::Error,
    retrain,
    service::{Service, decider},
    store::model::{ModelChange, StoredModel},
};

const SERVICE: &str = "/signpost.mpi.v1.MatchingModelService";

/// Most characters of a model's name.
const VERSION_CHARS_MAX: usize = 64;

impl Service {
    /// Reads a model's name, and records what is to be done with it before it is done.
    async fn changing(
        &self,
        context: &Context,
        action: &str,
        version: &str,
        request_id: &str,
    ) -> Result<(), Status> {
        version_of(version)?;
        rpc::request_id(request_id)?;
        let action = format!("{SERVICE}/{action}");
        self.audit.change(context, EventKind::Identity, &action, version, request_id).await
    }

    /// Returns a model with what it would change.
    async fn shown(&self, model: StoredModel) -> Result<Option<proto::Model>, Status> {
        let counts = self.store.model_change_counts(&model.version).await?.into_iter();
        let count = |(before, after, records)| proto::ModelChangeCount { before, after, records };
        Ok(Some(proto::Model { changes: counts.map(count).collect(), ..proto::Model::from(model) }))
    }
}

fn version_of(version: &str) -> Result<(), Status> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if version.is_empty() || version.len() > VERSION_CHARS_MAX || !version.chars().all(allowed) {
        return Err(status::invalid("version", "must be 1 to 64 letters, digits, `.`, `-` and `_`"));
    }
    Ok(())
}

impl From<StoredModel> for proto::Model {
    fn from(model: StoredModel) -> Self {
        Self {
            version: model.version,
            state: model.state.into(),
            created_at: Some(clock::micros_to_proto(model.created_us)),
            promoted_at: model.promoted_us.map(clock::micros_to_proto),
            records: model.records,
            step: model.progress.step,
            done: model.progress.done,
            total: model.progress.total,
            changes: vec![],
            failure: model.failure,
            compared_with: model.compared_with,
            pending: model.pending,
            decided_by: model.decided.0,
            decided_why: model.decided.1,
        }
    }
}

fn change_to_proto(reference: &RecordRef, change: ModelChange) -> proto::ModelChange {
    let ModelChange { record, person, before, after, candidate, probability } = change;
    proto::ModelChange {
        record_id: record.to_string(),
        record: Some(convert::reference_to_proto(reference)),
        person_id: person.to_string(),
        before,
        after,
        candidate_person_id: candidate.map(|id| id.to_string()).unwrap_or_default(),
        probability,
    }
}

#[tonic::async_trait]
impl MatchingModelService for Service {
    async fn train_model(
        &self,
        request: Request<proto::TrainModelRequest>,
    ) -> Result<Response<proto::TrainModelResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        let version = &message.version;
        self.changing(&context, "TrainModel", version, &message.request_id).await?;
        let attempt = Attempt::new(&context.actor(), "TrainModel", &message.request_id, &message);
        let (now_us, in_force) = (self.now_us(), self.index().model.version.clone());
        let alive_us = retrain::alive_us(now_us);
        let begun = self.store.begin_model(version, &in_force, alive_us, now_us, attempt.as_ref()).await?;
        // A repeated request finds what the first one began.
        if begun.state == ModelState::Training && begun.created_us == now_us {
            self.lifecycle.spawn(retrain::train(self.clone(), version.clone()));
        }
        Ok(Response::new(proto::TrainModelResponse { model: Some(begun.into()) }))
    }

    async fn get_model(
        &self,
        request: Request<proto::GetModelRequest>,
    ) -> Result<Response<proto::GetModelResponse>, Status> {
        let proto::GetModelRequest { version } = request.into_inner();
        let model = match version.is_empty() {
            true => self.store.model_in_force().await?,
            false => self.store.model(&version).await?,
        };
        let model = self.shown(model.ok_or(Error::ModelUnknown)?).await?;
        Ok(Response::new(proto::GetModelResponse { model }))
    }

    async fn list_models(
        &self,
        request: Request<proto::ListModelsRequest>,
    ) -> Result<Response<proto::ListModelsResponse>, Status> {
        let proto::ListModelsRequest { page_size, page_token } = request.into_inner();
        let limit = page::size(page_size)?;
        let before = page::number(b"models", &page_token)?.unwrap_or(i64::MAX);
        let mut models = self.store.models(before, limit + 1).await?;
        let next_page_token = page::cut(b"models", &mut models, limit, |model| model.row.to_string());
        let models = models.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListModelsResponse { models, next_page_token }))
    }

    async fn list_model_changes(
        &self,
        request: Request<proto::ListModelChangesRequest>,
    ) -> Result<Response<proto::ListModelChangesResponse>, Status> {
        let proto::ListModelChangesRequest { version, page_size, page_token } = request.into_inner();
        let limit = page::size(page_size)?;
        let query = format!("model-changes {version}");
        let after = page::number(query.as_bytes(), &page_token)?.unwrap_or(0);
        self.store.model(&version).await?.ok_or(Error::ModelUnknown)?;
        let mut changes = self.store.model_changes(&version, after, limit + 1).await?;
        let next_page_token = page::cut(query.as_bytes(), &mut changes, limit, |(at, ..)| at.to_string());
        let change = |(_, reference, change)| change_to_proto(&reference, change);
        let changes = changes.into_iter().map(change).collect();
        Ok(Response::new(proto::ListModelChangesResponse { changes, next_page_token }))
    }

    async fn promote_model(
        &self,
        request: Request<proto::PromoteModelRequest>,
    ) -> Result<Response<proto::PromoteModelResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        convert::reason(&message.reason)?;
        self.changing(&context, "PromoteModel", &message.version, &message.request_id).await?;
        let actor = context.actor();
        let attempt = Attempt::new(&actor, "PromoteModel", &message.request_id, &message);
        let by = decider(self, &actor, &message.reason);
        let model = self.store.promote_model(&message.version, &by, attempt.as_ref()).await?;
        self.promoted.notify_one();
        Ok(Response::new(proto::PromoteModelResponse { model: self.shown(model).await? }))
    }

    async fn discard_model(
        &self,
        request: Request<proto::DiscardModelRequest>,
    ) -> Result<Response<proto::DiscardModelResponse>, Status> {
        let context = Context::of(&request)?;
        let message = request.into_inner();
        convert::reason(&message.reason)?;
        self.changing(&context, "DiscardModel", &message.version, &message.request_id).await?;
        let actor = context.actor();
        let attempt = Attempt::new(&actor, "DiscardModel", &message.request_id, &message);
        let by = decider(self, &actor, &message.reason);
        let model = self.store.discard_model(&message.version, &by, attempt.as_ref()).await?;
        Ok(Response::new(proto::DiscardModelResponse { model: self.shown(model).await? }))
    }
}
