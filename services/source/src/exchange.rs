//! The calls to the exchange's registry, in the name of the member.

use std::time::Duration;

use futures_util::stream;
use signpost_common::{
    clock::SharedClock,
    hash::sha256,
    id::DocumentId,
    rpc::{
        Transport, status,
        token::{Signer, User},
    },
};
use signpost_proto::{
    common::v1::{PurposeOfUse, RecordReference, Role},
    registry::v1::{
        self as proto, DocumentEntry, DocumentFilter, DocumentStatus,
        document_registry_service_client::DocumentRegistryServiceClient,
        register_documents_response::Result as ItemResult,
    },
};
use tonic::{Code, Request, Status};

use crate::domain::{Record, Row};

/// Longest time for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Most records of patients that one search names.
const PATIENTS_MAX: usize = 200;

const PAGE_SIZE: i32 = 500;

/// The exchange's registry, and how the member calls it.
#[derive(Clone)]
pub struct Exchange {
    /// Way to the registry.
    pub registry: Transport,
    /// Signs the member's tokens.
    pub signer: Signer,
    /// Name of the user that tokens state; its role is that of a system.
    pub user: String,
    /// Tells the time.
    pub clock: SharedClock,
}

/// Why one document was refused for good, where others may not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) field: String,
}

impl Refusal {
    /// True when something else is there than was thought, so that looking may help.
    pub(crate) fn is_conflict(&self) -> bool {
        ["NON_IDENTICAL_HASH", "NON_IDENTICAL_ENTRY", "DOCUMENT_EXISTS", "DOCUMENT_NOT_CURRENT"]
            .contains(&self.reason.as_str())
            || self.is_unknown()
    }

    /// True when the exchange has no such pointer.
    pub(crate) fn is_unknown(&self) -> bool {
        self.reason == "DOCUMENT_UNKNOWN"
    }

    /// Reads an error; what may pass when it is tried again is given back.
    fn of(status: Status) -> Result<Self, Status> {
        match status.code() {
            Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::NotFound
            | Code::OutOfRange => Ok(Self { reason: status::reason(&status), field: status::field(&status) }),
            _ => Err(status),
        }
    }
}

/// What came of one document.
pub(crate) type Answer<T> = Result<T, Refusal>;

/// A registered pointer, and whether it was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) document_id: DocumentId,
    pub(crate) replayed: bool,
}

fn document_id(text: &str) -> Result<DocumentId, Status> {
    text.parse().map_err(|_| Status::internal("the exchange answered with what is no id of a document"))
}

fn settled<T>(answer: Result<T, Status>) -> Result<Answer<T>, Status> {
    answer.map(Ok).or_else(|status| Refusal::of(status).map(Err))
}

async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let answered = tokio::time::timeout(CALL_TIMEOUT, call).await;
    answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("the exchange did not answer in time")))
}

impl Exchange {
    fn client(&self) -> DocumentRegistryServiceClient<Transport> {
        DocumentRegistryServiceClient::new(self.registry.clone())
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let user = User {
            name: self.user.clone(),
            role: Role::System,
            purpose: PurposeOfUse::Hoperat,
            encounter: String::new(),
        };
        let token = self.signer.sign(&self.signer.claims(&user, self.clock.now()));
        let bearer = token.ok().and_then(|token| format!("Bearer {token}").parse().ok());
        let bearer = bearer.ok_or_else(|| Status::internal("a token could not be signed"))?;
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer);
        request.set_timeout(CALL_TIMEOUT);
        Ok(request)
    }

    /// Registers pointers, in one stream; answers in the same order.
    pub(crate) async fn register(
        &self,
        entries: Vec<DocumentEntry>,
    ) -> Result<Vec<Answer<Registered>>, Status> {
        let wanted = entries.len();
        let items = entries
            .into_iter()
            .zip(0..)
            .map(|(entry, item)| proto::RegisterDocumentsRequest { item, entry: Some(entry) });
        let request = self.request(stream::iter(items.collect::<Vec<_>>()))?;
        let mut client = self.client();
        let call = async {
            let mut stream = client.register_documents(request).await?.into_inner();
            let mut answers = Vec::with_capacity(wanted);
            while let Some(answer) = stream.message().await? {
                if answer.item != answers.len() as u64 {
                    return Err(Status::internal("the exchange answers in another order"));
                }
                answers.push(item(answer.result)?);
            }
            Ok(answers)
        };
        let answers = in_time(call).await?;
        if answers.len() != wanted {
            return Err(Status::internal("the exchange did not answer for every document"));
        }
        Ok(answers)
    }

    /// Supersedes a pointer. The same again is the same attempt, also after a restart.
    pub(crate) async fn replace(
        &self,
        old: &Record,
        row: &Row,
        entry: DocumentEntry,
    ) -> Result<Answer<DocumentId>, Status> {
        let request_id = attempt(&old.document_id, &entry, row);
        let request = proto::ReplaceDocumentRequest {
            document_id: old.document_id.to_string(),
            entry: Some(entry),
            request_id,
        };
        let request = self.request(request)?;
        match settled(in_time(self.client().replace_document(request)).await)? {
            Ok(answer) => document_id(&answer.into_inner().document_id).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Withdraws a pointer.
    pub(crate) async fn withdraw(&self, id: &DocumentId) -> Result<Answer<()>, Status> {
        let request = proto::DeprecateDocumentRequest {
            document_id: id.to_string(),
            request_id: format!("withdraw-{id}"),
        };
        let request = self.request(request)?;
        Ok(settled(in_time(self.client().deprecate_document(request)).await)?.map(drop))
    }

    /// Returns all pointers of the member to documents of some patients, in whatever state.
    pub(crate) async fn find(&self, patients: &[String]) -> Result<Vec<DocumentEntry>, Status> {
        let statuses = [DocumentStatus::Current, DocumentStatus::Superseded, DocumentStatus::Deprecated];
        let filter =
            DocumentFilter { statuses: statuses.map(i32::from).to_vec(), ..DocumentFilter::default() };
        let mut found = vec![];
        for patients in patients.chunks(PATIENTS_MAX) {
            let mut search = proto::SearchDocumentsRequest {
                patients: patients.iter().map(|local_id| own(local_id)).collect(),
                filter: Some(filter.clone()),
                page_size: PAGE_SIZE,
                ..proto::SearchDocumentsRequest::default()
            };
            loop {
                let request = self.request(search.clone())?;
                let page = in_time(self.client().search_documents(request)).await?.into_inner();
                found.extend(page.entries);
                if page.next_page_token.is_empty() {
                    break;
                }
                search.page_token = page.next_page_token;
            }
        }
        Ok(found)
    }
}

/// Names a patient of the member that calls.
fn own(local_id: &str) -> RecordReference {
    RecordReference { member_id: String::new(), local_id: local_id.to_owned() }
}

fn item(result: Option<ItemResult>) -> Result<Answer<Registered>, Status> {
    match result {
        Some(ItemResult::Registered(done)) => {
            let document_id = document_id(&done.document_id)?;
            Ok(Ok(Registered { document_id, replayed: done.replayed }))
        }
        Some(ItemResult::Error(error)) if error.reason.ends_with("_UNAVAILABLE") => {
            Err(Status::unavailable(error.reason))
        }
        Some(ItemResult::Error(error)) => Ok(Err(Refusal { reason: error.reason, field: error.field })),
        None => Err(Status::internal("the exchange answered with nothing")),
    }
}

/// Names the attempt to supersede a pointer by what it is to be superseded by.
fn attempt(old: &DocumentId, entry: &DocumentEntry, row: &Row) -> String {
    let old = old.to_string();
    let parts = [old.as_bytes(), &entry.sha256, &row.patient, &row.facts, entry.unique_id.as_bytes()];
    format!("replace-{}", hex::encode(sha256(&parts.concat())))
}
