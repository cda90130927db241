//! The handlers.

use std::{io, pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt, stream};
use signpost_common::{
    hash::Sha256,
    id::MemberId,
    rpc::{Context, status, status::invalid},
};
use signpost_proto::source::v1::{
    self as proto, RetrieveDocumentResponse, document_source_service_server::DocumentSourceService,
    retrieve_document_response::Message,
};
use tokio::{fs::File, io::AsyncReadExt};
use tonic::{Request, Response, Status};

use crate::{
    convert,
    domain::{Hash, Record, Stamp, version},
    error::Error,
    folder::{Folder, blocking, stamp},
    index::{Entry, Index},
    sync::Registered,
};

const CHUNK_BYTES: usize = 64 << 10;

pub(crate) struct Service {
    folder: Arc<Folder>,
    member_id: MemberId,
    /// `None` when somebody else registers.
    registered: Option<Arc<Registered>>,
}

/// What a document's file must be to be served: in this state, with these bytes.
type Expected = Option<(Stamp, Hash)>;

impl Service {
    pub(crate) fn new(folder: Arc<Folder>, member_id: MemberId, registered: Option<Arc<Registered>>) -> Self {
        Self { folder, member_id, registered }
    }

    /// Opens a document of a patient: its file, its size, its MIME type, and the hash that its bytes must have.
    async fn open(&self, local_id: String, unique_id: String) -> Result<Opened, Error> {
        let (_, index) = self.folder.index().await?;
        let registered = self.registered.clone();
        let found = blocking(move || {
            let (entry, expected) = find(&index, registered.as_deref(), &local_id, &unique_id)?;
            let path = index.resolve(entry).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Error::DocumentUnknown,
                _ => Error::Document(error),
            })?;
            Ok((path, entry.mime_type.clone(), expected))
        });
        let (path, mime_type, expected) = found.await.inspect_err(|error| self.look_again(error))?;
        let file = File::open(path).await.map_err(Error::Document)?;
        let found = stamp(&file.metadata().await.map_err(Error::Document)?);
        if expected.is_some_and(|(stamp, _)| stamp != found) {
            self.look_again(&Error::DocumentChanged);
            return Err(Error::DocumentChanged);
        }
        let size_bytes = found.size_bytes;
        Ok(Opened { file, size_bytes, mime_type, sha256: expected.map(|(_, sha256)| sha256) })
    }

    /// What is served is behind the folder: the registry must be brought in step first.
    fn look_again(&self, error: &Error) {
        if let (Some(registered), Error::DocumentChanged) = (&self.registered, error) {
            registered.look_again();
        }
    }
}

struct Opened {
    file: File,
    size_bytes: u64,
    mime_type: String,
    sha256: Option<Hash>,
}

/// Finds a patient's document. When it is registered from here, it must be the version that is current, and all that
/// was registered of it must still be so.
fn find<'a>(
    index: &'a Index,
    registered: Option<&Registered>,
    local_id: &str,
    unique_id: &str,
) -> Result<(&'a Entry, Expected), Error> {
    let Some(registered) = registered else {
        return Ok((index.find(local_id, unique_id).ok_or(Error::DocumentUnknown)?, None));
    };
    let (row, version) = version::parse(unique_id);
    let entry = index.find(local_id, row).ok_or(Error::DocumentUnknown)?;
    let record = registered.record(row).ok_or(Error::DocumentUnregistered)?;
    if !record.is_current() || record.version != version || record.patient != convert::patient(local_id) {
        return Err(Error::DocumentUnknown);
    }
    let Record { facts, sha256, seen, .. } = record;
    let seen = seen.filter(|seen| seen.path == entry.path && facts == convert::facts(entry));
    let seen = seen.ok_or(Error::DocumentChanged)?;
    Ok((entry, Some((seen.stamp, sha256))))
}

type Messages = Pin<Box<dyn Stream<Item = Result<RetrieveDocumentResponse, Status>> + Send>>;

fn message(message: Message) -> RetrieveDocumentResponse {
    RetrieveDocumentResponse { message: Some(message) }
}

/// Streams exactly as many bytes as the header announced, one chunk in memory at a time. Where it is known what the
/// bytes must be, the last of them come only when they are.
fn chunks(opened: Opened) -> impl Stream<Item = Result<RetrieveDocumentResponse, Status>> + Send {
    let Opened { file, size_bytes, mime_type: _, sha256 } = opened;
    stream::try_unfold((file, size_bytes, Sha256::default()), move |(mut file, left, mut hash)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let wanted = left.min(CHUNK_BYTES as u64);
        let read = (&mut file).take(wanted).read_to_end(&mut chunk).await.map_err(Error::Document)? as u64;
        if read < wanted {
            return Err(Error::DocumentChanged.into());
        }
        if let Some(sha256) = sha256 {
            hash.update(&chunk);
            if left == read && hash.clone().finish() != sha256 {
                return Err(Error::DocumentChanged.into());
            }
        }
        Ok(Some((message(Message::Chunk(chunk.into())), (file, left - read, hash))))
    })
}

#[tonic::async_trait]
impl DocumentSourceService for Service {
    type RetrieveDocumentStream = Messages;

    async fn retrieve_document(
        &self,
        request: Request<proto::RetrieveDocumentRequest>,
    ) -> Result<Response<Messages>, Status> {
        Context::of(&request)?;
        let proto::RetrieveDocumentRequest { unique_id, patient, mask_labels } = request.into_inner();
        if !mask_labels.is_empty() {
            let text = "this source serves documents whole and cannot mask parts of them";
            return Err(status::precondition("MASKING_UNSUPPORTED", text));
        }
        let patient = patient.ok_or_else(|| invalid("patient", "must be set"))?;
        let local_id =
            convert::own_patient(&self.member_id, "patient", patient)?.ok_or(Error::DocumentUnknown)?;
        let opened = self.open(local_id, unique_id.clone()).await?;
        let header = message(Message::Header(proto::RetrieveHeader {
            unique_id,
            mime_type: opened.mime_type.clone(),
            size_bytes: opened.size_bytes,
            masked_labels: vec![],
        }));
        let messages = stream::iter([Ok(header)]).chain(chunks(opened));
        Ok(Response::new(Box::pin(messages)))
    }

    async fn check_documents(
        &self,
        request: Request<proto::CheckDocumentsRequest>,
    ) -> Result<Response<proto::CheckDocumentsResponse>, Status> {
        Context::of(&request)?;
        let patients = convert::own_patients(&self.member_id, request.into_inner())?;
        let (_, index) = self.folder.index().await?;
        let registered = self.registered.clone();
        let unique_ids = blocking(move || {
            let all = patients.iter().flat_map(|local_id| index.of_patient(local_id));
            let there = all.filter(|entry| index.resolve(entry).is_ok());
            Ok(there.filter_map(|entry| registered_as(entry, registered.as_deref())).collect())
        });
        Ok(Response::new(proto::CheckDocumentsResponse { unique_ids: unique_ids.await? }))
    }
}

/// Returns the unique id that an entry's document can be had under.
fn registered_as(entry: &Entry, registered: Option<&Registered>) -> Option<String> {
    let Some(registered) = registered else { return Some(entry.unique_id.clone()) };
    let record = registered.record(&entry.unique_id)?;
    let held = record.is_current() && record.patient == convert::patient(&entry.local_id);
    held.then(|| version::name(&entry.unique_id, record.version))
}
