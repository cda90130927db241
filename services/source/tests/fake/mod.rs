//! A registry in memory, by the rules of the real one, which can be made to fail.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Arc, Mutex},
};

use futures_util::{Stream, StreamExt, stream};
use signpost_common::{
    id::DocumentId,
    rpc::{Transport, Unreachable, status},
};
use signpost_proto::registry::v1::{
    self as proto, DocumentEntry, DocumentStatus,
    document_registry_service_server::{DocumentRegistryService, DocumentRegistryServiceServer},
    register_documents_response::Result as ItemResult,
};
use tonic::{Request, Response, Status, Streaming, service::Routes};
use tower::{ServiceExt, util::BoxCloneSyncService};

/// A type code that it refuses.
pub(crate) const REFUSED_CODE: &str = "0-0";

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Does nothing and says that it cannot.
    Down,
    /// Does what it is asked, and then the answer is lost.
    Mute,
    /// Never answers.
    Silent,
}

#[derive(Default)]
struct Kept {
    documents: Vec<DocumentEntry>,
    by_unique_id: HashMap<String, usize>,
    attempts: HashMap<String, (Vec<u8>, String)>,
    mood: Mood,
    offered: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Kept>>);

impl Fake {
    pub(crate) fn transport(&self) -> Transport {
        let routes = Routes::new(DocumentRegistryServiceServer::new(self.clone()));
        type Call = tonic::codegen::http::Request<tonic::body::Body>;
        let service = ServiceExt::<Call>::map_err(routes.prepare(), Unreachable::new);
        BoxCloneSyncService::new(service)
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.kept().mood = mood;
    }

    /// Registers a document around the source.
    pub(crate) fn insert(&self, entry: DocumentEntry) {
        self.kept().add(entry, "").unwrap();
    }

    /// Returns everything that was registered, oldest first.
    pub(crate) fn documents(&self) -> Vec<DocumentEntry> {
        self.kept().documents.clone()
    }

    /// Returns the unique ids of what is current, sorted.
    pub(crate) fn current(&self) -> Vec<String> {
        let current = |entry: &DocumentEntry| entry.status() == DocumentStatus::Current;
        let mut ids: Vec<_> =
            self.documents().into_iter().filter(current).map(|entry| entry.unique_id).collect();
        ids.sort();
        ids
    }

    pub(crate) fn document(&self, unique_id: &str) -> DocumentEntry {
        self.documents().into_iter().find(|entry| entry.unique_id == unique_id).expect("registered")
    }

    /// Returns how many registrations and replacements were asked for.
    pub(crate) fn offered(&self) -> u64 {
        self.kept().offered
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    async fn before<T>(&self, request: &Request<T>) -> Result<(), Status> {
        assert!(request.metadata().get("authorization").is_some(), "every call carries a token");
        let mood = self.kept().mood;
        match mood {
            Mood::Down => Err(status::unavailable("DATABASE_UNAVAILABLE", "down")),
            Mood::Silent => std::future::pending().await,
            Mood::Well | Mood::Mute => Ok(()),
        }
    }

    fn answer<T>(&self, answer: T) -> Result<Response<T>, Status> {
        match self.kept().mood {
            Mood::Mute => Err(Status::unavailable("the connection broke")),
            _ => Ok(Response::new(answer)),
        }
    }
}

impl Kept {
    fn add(&mut self, mut entry: DocumentEntry, replaces: &str) -> Result<(String, bool), Status> {
        self.offered += 1;
        if entry.type_code.as_ref().is_some_and(|coding| coding.code == REFUSED_CODE) {
            return Err(status::invalid("entry.type_code.code", "is refused"));
        }
        entry.replaces_document_id = replaces.to_owned();
        if let Some(stored) = self.by_unique_id.get(&entry.unique_id).map(|place| &self.documents[*place]) {
            let same = DocumentEntry {
                document_id: stored.document_id.clone(),
                status: stored.status,
                replaces_document_id: stored.replaces_document_id.clone(),
                replaced_by_document_id: stored.replaced_by_document_id.clone(),
                ..entry
            };
            if same != *stored {
                return Err(status::already_exists("NON_IDENTICAL_ENTRY", "other facts"));
            }
            return Ok((stored.document_id.clone(), true));
        }
        entry.document_id = DocumentId::generate().to_string();
        entry.set_status(DocumentStatus::Current);
        self.by_unique_id.insert(entry.unique_id.clone(), self.documents.len());
        self.documents.push(entry.clone());
        Ok((entry.document_id, false))
    }

    fn find(&mut self, document_id: &str) -> Result<&mut DocumentEntry, Status> {
        let found = self.documents.iter_mut().find(|entry| entry.document_id == document_id);
        found.ok_or_else(|| status::not_found("DOCUMENT_UNKNOWN", "there is no such document"))
    }

    fn replace(&mut self, request: proto::ReplaceDocumentRequest) -> Result<String, Status> {
        use prost::Message;
        let body = request.encode_to_vec();
        let proto::ReplaceDocumentRequest { document_id, entry, request_id } = request;
        assert!(!request_id.is_empty() && request_id.len() <= 128);
        match self.attempts.get(&request_id) {
            Some((before, newer)) if *before == body => return Ok(newer.clone()),
            Some(_) => return Err(status::already_exists("REQUEST_ID_REUSED", "another request")),
            None => {}
        }
        let entry = entry.expect("an entry");
        let old = self.find(&document_id)?;
        if old.patient != entry.patient {
            return Err(status::invalid("entry.patient.local_id", "must be the same"));
        }
        if old.status() != DocumentStatus::Current {
            return Err(status::precondition("DOCUMENT_NOT_CURRENT", "the document is not current"));
        }
        let (newer, replayed) = self.add(entry, &document_id)?;
        if replayed {
            return Err(status::already_exists("DOCUMENT_EXISTS", "is there"));
        }
        let old = self.find(&document_id)?;
        old.set_status(DocumentStatus::Superseded);
        old.replaced_by_document_id.clone_from(&newer);
        self.attempts.insert(request_id, (body, newer.clone()));
        Ok(newer)
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in the fake"))
}

#[tonic::async_trait]
impl DocumentRegistryService for Fake {
    type RegisterDocumentsStream = Answers<proto::RegisterDocumentsResponse>;
    type WatchDocumentsStream = Answers<proto::WatchDocumentsResponse>;

    async fn register_documents(
        &self,
        request: Request<Streaming<proto::RegisterDocumentsRequest>>,
    ) -> Result<Response<Self::RegisterDocumentsStream>, Status> {
        self.before(&request).await?;
        let items: Vec<_> = request.into_inner().collect().await;
        let mut answers = vec![];
        for proto::RegisterDocumentsRequest { item, entry } in items.into_iter().map(Result::unwrap) {
            let result = match self.kept().add(entry.expect("an entry"), "") {
                Ok((document_id, replayed)) => {
                    ItemResult::Registered(proto::RegisterDocumentResponse { document_id, replayed })
                }
                Err(status) => ItemResult::Error(proto::ItemError {
                    reason: status::reason(&status),
                    field: status::field(&status),
                    message: status.message().to_owned(),
                }),
            };
            answers.push(Ok(proto::RegisterDocumentsResponse { item, result: Some(result) }));
        }
        self.answer(Box::pin(stream::iter(answers)))
    }

    async fn replace_document(
        &self,
        request: Request<proto::ReplaceDocumentRequest>,
    ) -> Result<Response<proto::ReplaceDocumentResponse>, Status> {
        self.before(&request).await?;
        let document_id = self.kept().replace(request.into_inner())?;
        self.answer(proto::ReplaceDocumentResponse { document_id })
    }

    async fn deprecate_document(
        &self,
        request: Request<proto::DeprecateDocumentRequest>,
    ) -> Result<Response<proto::DeprecateDocumentResponse>, Status> {
        self.before(&request).await?;
        let entry = {
            let mut kept = self.kept();
            let entry = kept.find(&request.into_inner().document_id)?;
            entry.set_status(DocumentStatus::Deprecated);
            entry.clone()
        };
        self.answer(proto::DeprecateDocumentResponse { entry: Some(entry) })
    }

    async fn search_documents(
        &self,
        request: Request<proto::SearchDocumentsRequest>,
    ) -> Result<Response<proto::SearchDocumentsResponse>, Status> {
        self.before(&request).await?;
        let request = request.into_inner();
        assert!((1..=200).contains(&request.patients.len()));
        let patients: HashSet<_> = request.patients.iter().map(|patient| &patient.local_id).collect();
        let asked = |entry: &&DocumentEntry| patients.contains(&entry.patient.as_ref().unwrap().local_id);
        let all: Vec<_> = self.kept().documents.iter().filter(asked).cloned().collect();
        // Pages of one, so that they are turned.
        let at: usize = request.page_token.parse().unwrap_or(0);
        let next_page_token = if at + 1 < all.len() { (at + 1).to_string() } else { String::new() };
        let entries = all.into_iter().skip(at).take(1).collect();
        self.answer(proto::SearchDocumentsResponse { entries, next_page_token })
    }

    async fn register_document(
        &self,
        _: Request<proto::RegisterDocumentRequest>,
    ) -> Result<Response<proto::RegisterDocumentResponse>, Status> {
        not_here()
    }

    async fn get_document(
        &self,
        _: Request<proto::GetDocumentRequest>,
    ) -> Result<Response<proto::GetDocumentResponse>, Status> {
        not_here()
    }

    async fn count_documents(
        &self,
        _: Request<proto::CountDocumentsRequest>,
    ) -> Result<Response<proto::CountDocumentsResponse>, Status> {
        not_here()
    }

    async fn report_retrieval(
        &self,
        _: Request<proto::ReportRetrievalRequest>,
    ) -> Result<Response<proto::ReportRetrievalResponse>, Status> {
        not_here()
    }

    async fn watch_documents(
        &self,
        _: Request<proto::WatchDocumentsRequest>,
    ) -> Result<Response<Self::WatchDocumentsStream>, Status> {
        not_here()
    }

    async fn list_probes(
        &self,
        _: Request<proto::ListProbesRequest>,
    ) -> Result<Response<proto::ListProbesResponse>, Status> {
        not_here()
    }

    async fn get_scoreboard(
        &self,
        _: Request<proto::GetScoreboardRequest>,
    ) -> Result<Response<proto::GetScoreboardResponse>, Status> {
        not_here()
    }
}
