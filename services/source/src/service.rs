//! The handlers, and the index that they read.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use futures_util::{Stream, StreamExt, stream};
use signpost_common::{
    id::MemberId,
    rpc::{Context, status, status::invalid},
};
use signpost_proto::source::v1::{
    self as proto, RetrieveDocumentResponse, document_source_service_server::DocumentSourceService,
    retrieve_document_response::Message,
};
use tokio::{fs::File, io::AsyncReadExt, sync::Mutex, task::spawn_blocking};
use tonic::{Request, Response, Status};

use crate::{
    convert,
    error::Error,
    index::{self, Index},
};

const CHUNK_BYTES: usize = 64 << 10;

/// What tells one state of the index file from another.
type Stamp = (SystemTime, u64);

pub(crate) struct Service {
    folder: PathBuf,
    member_id: MemberId,
    current: Mutex<(Stamp, Arc<Index>)>,
}

impl Service {
    pub(crate) fn open(folder: PathBuf, member_id: MemberId) -> Result<Self, Error> {
        let stamp = stamp(&folder)?;
        let index = load(&folder)?;
        Ok(Self { folder, member_id, current: Mutex::new((stamp, index)) })
    }

    /// Returns the index as its file says now. When the file cannot be read, nothing is served: it may have
    /// withdrawn a document.
    async fn index(&self) -> Result<Arc<Index>, Error> {
        let mut current = self.current.lock().await;
        let (folder, known) = (self.folder.clone(), current.0);
        let changed = blocking(move || {
            // The stamp first: what is written between the two is read at the next call.
            let stamp = stamp(&folder)?;
            if stamp == known { Ok(None) } else { Ok(Some((stamp, load(&folder)?))) }
        });
        if let Some(changed) = changed.await? {
            *current = changed;
        }
        Ok(current.1.clone())
    }
}

fn stamp(folder: &Path) -> Result<Stamp, Error> {
    let path = folder.join(index::FILE);
    let read = || -> io::Result<Stamp> {
        let metadata = path.metadata()?;
        Ok((metadata.modified()?, metadata.len()))
    };
    read().map_err(|error| Error::Index(path.clone(), error))
}

fn load(folder: &Path) -> Result<Arc<Index>, Error> {
    let index = Index::load(folder)?;
    for problem in &index.problems {
        tracing::warn!(line = problem.line, reason = problem.reason, "row of the index left out");
    }
    tracing::info!(documents = index.entries().count(), "index read");
    Ok(Arc::new(index))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Document(io::Error::other(error))),
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<RetrieveDocumentResponse, Status>> + Send>>;

fn message(message: Message) -> RetrieveDocumentResponse {
    RetrieveDocumentResponse { message: Some(message) }
}

/// Streams exactly as many bytes as the header announced, one chunk in memory at a time.
fn chunks(
    file: File,
    size_bytes: u64,
) -> impl Stream<Item = Result<RetrieveDocumentResponse, Status>> + Send {
    stream::try_unfold((file, size_bytes), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let wanted = left.min(CHUNK_BYTES as u64);
        let read = (&mut file).take(wanted).read_to_end(&mut chunk).await.map_err(Error::Document)? as u64;
        if read < wanted {
            return Err(Error::DocumentChanged.into());
        }
        Ok(Some((message(Message::Chunk(chunk.into())), (file, left - read))))
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
        let index = self.index().await?;
        let (path, mime_type) = {
            let (index, unique_id) = (index.clone(), unique_id.clone());
            blocking(move || {
                let entry = index.find(&local_id, &unique_id).ok_or(Error::DocumentUnknown)?;
                let path = index.resolve(entry).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Error::DocumentUnknown,
                    _ => Error::Document(error),
                })?;
                Ok((path, entry.mime_type.clone()))
            })
            .await?
        };
        let file = File::open(path).await.map_err(Error::Document)?;
        let size_bytes = file.metadata().await.map_err(Error::Document)?.len();
        let header = message(Message::Header(proto::RetrieveHeader {
            unique_id,
            mime_type,
            size_bytes,
            masked_labels: vec![],
        }));
        let messages = stream::iter([Ok(header)]).chain(chunks(file, size_bytes));
        Ok(Response::new(Box::pin(messages)))
    }

    async fn check_documents(
        &self,
        request: Request<proto::CheckDocumentsRequest>,
    ) -> Result<Response<proto::CheckDocumentsResponse>, Status> {
        Context::of(&request)?;
        let patients = convert::own_patients(&self.member_id, request.into_inner())?;
        let index = self.index().await?;
        let unique_ids = blocking(move || {
            let all = patients.iter().flat_map(|local_id| index.of_patient(local_id));
            let there = all.filter(|entry| index.resolve(entry).is_ok());
            Ok(there.map(|entry| entry.unique_id.clone()).collect())
        });
        Ok(Response::new(proto::CheckDocumentsResponse { unique_ids: unique_ids.await? }))
    }
}
