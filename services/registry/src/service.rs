//! The handlers: authorise, convert, call, convert.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use prost::Message;
use signpost_common::{
    clock::SharedClock,
    db::Attempt,
    id::MemberId,
    lifecycle::Lifecycle,
    rpc::{
        self, Context, page, status,
        watch::{self, Watch, Watchers},
    },
};
use signpost_proto::registry::v1::{
    self as proto, document_registry_service_server::DocumentRegistryService,
    register_documents_response::Result as ItemResult,
};
use tokio::sync::Notify;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    convert,
    domain::{Registered, score},
    error::Error,
    scoreboard::Scoreboard,
    store::Store,
    watch::Seen,
};

/// Most items of a stream that are written in one transaction.
const BATCH_MAX: usize = 256;

pub(crate) struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: SharedClock,
    pub(crate) lifecycle: Lifecycle,
    /// Told when this process has changed something.
    pub(crate) changed: Arc<Notify>,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) scoreboard: Arc<Scoreboard>,
}

impl Service {
    fn now_us(&self) -> i64 {
        self.clock.now().as_microsecond()
    }
}

/// Returns whose pointers the caller sees: services of the exchange see all (`None`), members their own.
fn sees(context: &Context) -> Result<Option<MemberId>, Status> {
    if context.inside { Ok(None) } else { convert::member(context).map(Some) }
}

/// Returns whose pointers the caller oversees: the operator all (`None`), members their own.
fn oversees(context: &Context) -> Result<Option<MemberId>, Status> {
    if context.operator { Ok(None) } else { convert::member(context).map(Some) }
}

/// Days that a scoreboard looks back when it is not said.
const DAYS_DEFAULT: u32 = 7;

fn attempt(
    context: &Context,
    method: &str,
    request_id: &str,
    body: &impl Message,
) -> Result<Option<Attempt>, Status> {
    rpc::request_id(request_id)?;
    Ok(Attempt::new(&context.actor(), method, request_id, body))
}

fn registered(registered: Registered) -> proto::RegisterDocumentResponse {
    proto::RegisterDocumentResponse { document_id: registered.id.to_string(), replayed: registered.replayed }
}

type Item = Result<proto::RegisterDocumentsRequest, Status>;
type ItemAnswer = Result<proto::RegisterDocumentsResponse, Status>;

/// Writes what was read of a stream and returns one answer an item. An error of the stream comes last.
async fn register_batch(store: &dyn Store, own: &MemberId, items: Vec<Item>, now_us: i64) -> Vec<ItemAnswer> {
    let mut end = None;
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ok(proto::RegisterDocumentsRequest { item, entry }) => {
                read.push((item, convert::registration(entry, own)));
            }
            Err(status) => end = Some(Err(status)),
        }
    }
    let registrations: Vec<_> = read.iter().filter_map(|(_, one)| one.as_ref().ok()).cloned().collect();
    let mut results = match store.register(&registrations, now_us).await {
        Ok(results) => results.into_iter(),
        Err(error) => return vec![Err(error.into())],
    };
    let answers = read.into_iter().map(|(item, one)| {
        let result = match one {
            Ok(_) => results.next().unwrap_or(Err(Error::DocumentUnknown)).map_err(Status::from),
            Err(status) => Err(status),
        };
        let result = match result {
            Ok(done) => ItemResult::Registered(registered(done)),
            Err(status) => ItemResult::Error(proto::ItemError {
                reason: status::reason(&status),
                field: status::field(&status),
                message: status.message().to_owned(),
            }),
        };
        Ok(proto::RegisterDocumentsResponse { item, result: Some(result) })
    });
    answers.chain(end).collect()
}

#[tonic::async_trait]
impl DocumentRegistryService for Service {
    type RegisterDocumentsStream = BoxStream<'static, ItemAnswer>;
    type WatchDocumentsStream = ReceiverStream<Result<proto::WatchDocumentsResponse, Status>>;

    async fn register_document(
        &self,
        request: Request<proto::RegisterDocumentRequest>,
    ) -> Result<Response<proto::RegisterDocumentResponse>, Status> {
        let context = Context::of(&request)?;
        // The unique id makes a retry safe, whatever its request id.
        let proto::RegisterDocumentRequest { entry, request_id: _ } = request.into_inner();
        let registration = convert::registration(entry, &convert::member(&context)?)?;
        let results = self.store.register(&[registration], self.now_us()).await?;
        self.changed.notify_waiters();
        let result = results.into_iter().next().unwrap_or(Err(Error::DocumentUnknown))?;
        Ok(Response::new(registered(result)))
    }

    async fn register_documents(
        &self,
        request: Request<Streaming<proto::RegisterDocumentsRequest>>,
    ) -> Result<Response<Self::RegisterDocumentsStream>, Status> {
        let context = Context::of(&request)?;
        let own = Arc::new(convert::member(&context)?);
        let (store, clock, changed) = (self.store.clone(), self.clock.clone(), self.changed.clone());
        let answers = request.into_inner().ready_chunks(BATCH_MAX).then(move |items| {
            let (store, own, now_us) = (store.clone(), own.clone(), clock.now().as_microsecond());
            let changed = changed.clone();
            async move {
                let answers = register_batch(&*store, &own, items, now_us).await;
                changed.notify_waiters();
                stream::iter(answers)
            }
        });
        Ok(Response::new(answers.flatten().boxed()))
    }

    async fn replace_document(
        &self,
        request: Request<proto::ReplaceDocumentRequest>,
    ) -> Result<Response<proto::ReplaceDocumentResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        let attempt = attempt(&context, "ReplaceDocument", &request.request_id, &request)?;
        let proto::ReplaceDocumentRequest { document_id, entry, request_id: _ } = request;
        let old = convert::document_id("document_id", &document_id)?;
        let new = convert::registration(entry, &convert::member(&context)?)?;
        let id = self.store.replace(&old, &new, attempt.as_ref(), self.now_us()).await?;
        self.changed.notify_waiters();
        Ok(Response::new(proto::ReplaceDocumentResponse { document_id: id.to_string() }))
    }

    async fn deprecate_document(
        &self,
        request: Request<proto::DeprecateDocumentRequest>,
    ) -> Result<Response<proto::DeprecateDocumentResponse>, Status> {
        let context = Context::of(&request)?;
        // Withdrawing again changes nothing, whatever the request id.
        let proto::DeprecateDocumentRequest { document_id, request_id: _ } = request.into_inner();
        let id = convert::document_id("document_id", &document_id)?;
        let document = self.store.deprecate(&convert::member(&context)?, &id, self.now_us()).await?;
        self.changed.notify_waiters();
        Ok(Response::new(proto::DeprecateDocumentResponse { entry: Some(convert::entry(document)?) }))
    }

    async fn get_document(
        &self,
        request: Request<proto::GetDocumentRequest>,
    ) -> Result<Response<proto::GetDocumentResponse>, Status> {
        let own = sees(&Context::of(&request)?)?;
        let proto::GetDocumentRequest { document_id, as_of } = request.into_inner();
        let id = convert::document_id("document_id", &document_id)?;
        let document = self.store.document(&id, convert::time("as_of", as_of.as_ref())?).await?;
        let visible = document.filter(|d| own.is_none_or(|own| d.pointer.patient.member_id == own));
        let entry = convert::entry(visible.ok_or(Error::DocumentUnknown)?)?;
        Ok(Response::new(proto::GetDocumentResponse { entry: Some(entry) }))
    }

    async fn search_documents(
        &self,
        request: Request<proto::SearchDocumentsRequest>,
    ) -> Result<Response<proto::SearchDocumentsResponse>, Status> {
        let own = sees(&Context::of(&request)?)?;
        let mut request = request.into_inner();
        let limit = page::size(std::mem::take(&mut request.page_size))?;
        let page_token = std::mem::take(&mut request.page_token);
        let bound = request.encode_to_vec();
        let after = page::position(&bound, &page_token)?;
        let after = after.as_deref().map(convert::position).transpose()?;
        let query = convert::query(request.patients, request.filter, request.as_of, own.as_ref())?;
        let mut documents = self.store.search(&query, after.as_ref(), limit + 1).await?;
        let place = |document: &crate::domain::Document| convert::position_to_text(&document.position());
        let next_page_token = page::cut(&bound, &mut documents, limit, place);
        let entries = convert::entries(documents)?;
        Ok(Response::new(proto::SearchDocumentsResponse { entries, next_page_token }))
    }

    async fn count_documents(
        &self,
        request: Request<proto::CountDocumentsRequest>,
    ) -> Result<Response<proto::CountDocumentsResponse>, Status> {
        let own = sees(&Context::of(&request)?)?;
        let proto::CountDocumentsRequest { patients, filter } = request.into_inner();
        let query = convert::query(patients, filter, None, own.as_ref())?;
        let count = self.store.count(&query).await?.unsigned_abs();
        Ok(Response::new(proto::CountDocumentsResponse { count }))
    }

    async fn report_retrieval(
        &self,
        request: Request<proto::ReportRetrievalRequest>,
    ) -> Result<Response<proto::ReportRetrievalResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        let attempt = attempt(&context, "ReportRetrieval", &request.request_id, &request)?;
        let (id, report) = convert::report(request)?;
        let liveness = self.store.report(&id, &report, attempt.as_ref(), self.now_us()).await?;
        self.changed.notify_waiters();
        Ok(Response::new(proto::ReportRetrievalResponse { liveness: liveness.into() }))
    }

    async fn watch_documents(
        &self,
        request: Request<proto::WatchDocumentsRequest>,
    ) -> Result<Response<Self::WatchDocumentsStream>, Status> {
        let context = Context::of(&request)?;
        let log = Seen { store: self.store.clone(), custodian: oversees(&context)? };
        let query = log.query().await?;
        let last = self.store.last_change().await?;
        let after = watch::position(&query, &request.get_ref().resume_token, last)?;
        let place = self.watchers.place_of(&context.caller.member_id)?;
        let watch = Watch { log, query, after, changed: self.changed.clone(), place };
        Ok(Response::new(watch.run(&self.lifecycle)))
    }

    async fn list_probes(
        &self,
        request: Request<proto::ListProbesRequest>,
    ) -> Result<Response<proto::ListProbesResponse>, Status> {
        let limit = request.get_ref().limit;
        let limit = page::size(limit).map_err(|_| status::invalid("limit", "must not be negative"))?;
        let entries = convert::entries(self.store.probes(limit).await?)?;
        Ok(Response::new(proto::ListProbesResponse { entries }))
    }

    async fn get_scoreboard(
        &self,
        request: Request<proto::GetScoreboardRequest>,
    ) -> Result<Response<proto::GetScoreboardResponse>, Status> {
        let custodian = oversees(&Context::of(&request)?)?;
        let days = match request.get_ref().days {
            0 => DAYS_DEFAULT,
            days @ 1..=score::DAYS_MAX => days,
            _ => return Err(status::invalid("days", "must be at most 90")),
        };
        let scores = self.scoreboard.scores(&*self.store, custodian, days, self.now_us()).await?;
        let scores = scores.iter().map(|(member_id, score)| convert::score(member_id, score)).collect();
        Ok(Response::new(proto::GetScoreboardResponse { scores }))
    }
}

#[cfg(test)]
mod tests {
    use signpost_common::db::Location;
    use signpost_proto::common::v1::{Coding, RecordReference};

    use super::*;
    use crate::store;

    #[tokio::test]
    async fn what_was_read_before_a_stream_broke_is_kept() {
        let store = store::open(&Location::Memory).await.unwrap();
        let entry = proto::DocumentEntry {
            unique_id: "u".into(),
            patient: Some(RecordReference { member_id: String::new(), local_id: "1".into() }),
            type_code: Some(Coding { code: "34133-9".into(), ..Coding::default() }),
            mime_type: "text/plain".into(),
            size_bytes: 1,
            sha256: vec![1; 32],
            ..proto::DocumentEntry::default()
        };
        let item = proto::RegisterDocumentsRequest { item: 1, entry: Some(entry) };
        let own = "north".parse().unwrap();
        let broken = vec![Ok(item.clone()), Err(Status::cancelled("gone"))];
        let answers = register_batch(&*store, &own, broken, 1).await;
        assert!(answers[0].is_ok() && answers[1].is_err() && answers.len() == 2);
        let again = register_batch(&*store, &own, vec![Ok(item)], 1).await.remove(0).unwrap();
        assert!(matches!(again.result, Some(ItemResult::Registered(done)) if done.replayed));
    }
}
