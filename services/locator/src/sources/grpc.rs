//! `signpost.source.v1.DocumentSourceService`.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use signpost_common::rpc::{Context, Transport, client, reload::ClientTls, status};
use signpost_proto::{
    common::v1::RecordReference,
    directory::v1::Endpoint,
    source::v1::{
        CheckDocumentsRequest, RetrieveDocumentRequest, RetrieveDocumentResponse, RetrieveHeader,
        document_source_service_client::DocumentSourceServiceClient, retrieve_document_response::Message,
    },
};
use tonic::{Code, Status, Streaming};

use super::{Announced, Chunks, Connector, Failure};

/// A source that speaks Signpost's own protocol.
pub(super) struct Grpc(DocumentSourceServiceClient<Transport>);

impl Grpc {
    pub(super) fn new(endpoint: &Endpoint, tls: ClientTls) -> Result<Self, Failure> {
        let transport = client::remote(&endpoint.uri, &endpoint.tls_server_name, tls);
        transport
            .map(|transport| Self(DocumentSourceServiceClient::new(transport)))
            .map_err(|_| Failure::EndpointInvalid)
    }
}

fn failure(error: &Status) -> Failure {
    match error.code() {
        Code::NotFound => Failure::HasNot,
        Code::DeadlineExceeded | Code::Cancelled => Failure::TimedOut,
        Code::PermissionDenied | Code::Unauthenticated => Failure::Refused,
        Code::FailedPrecondition if status::reason(error) == "MASKING_UNSUPPORTED" => Failure::CannotMask,
        Code::Unavailable => Failure::Unreachable,
        _ => Failure::Failed,
    }
}

#[async_trait]
impl Connector for Grpc {
    async fn retrieve(
        &self,
        context: &Context,
        wanted: &RetrieveDocumentRequest,
    ) -> Result<(Announced, Chunks), Failure> {
        let retrieved = self.0.clone().retrieve_document(context.request(wanted.clone())).await;
        let mut messages = retrieved.map_err(|error| failure(&error))?.into_inner();
        let first = messages.message().await.map_err(|error| failure(&error))?;
        let Some(Message::Header(header)) = first.and_then(|first| first.message) else {
            return Err(Failure::WrongForm);
        };
        let RetrieveHeader { unique_id, mime_type, size_bytes, masked_labels } = header;
        let announced = Announced { unique_id, mime_type, size_bytes: Some(size_bytes), masked_labels };
        Ok((announced, chunks(messages)))
    }

    async fn check(&self, context: &Context, patients: &[RecordReference]) -> Result<Vec<String>, Failure> {
        let request = CheckDocumentsRequest { patients: patients.to_vec() };
        let checked = self.0.clone().check_documents(context.request(request)).await;
        Ok(checked.map_err(|error| failure(&error))?.into_inner().unique_ids)
    }
}

/// Returns what follows the header.
fn chunks(messages: Streaming<RetrieveDocumentResponse>) -> Chunks {
    stream::unfold(messages, |mut messages| async {
        let chunk = match messages.message().await {
            Ok(None) => return None,
            Ok(Some(RetrieveDocumentResponse { message: Some(Message::Chunk(chunk)) })) => Ok(chunk),
            Ok(Some(_)) => Err(Failure::WrongForm),
            Err(error) if error.code() == Code::DeadlineExceeded => Err(Failure::TimedOut),
            Err(_) => Err(Failure::BrokeOff),
        };
        Some((chunk, messages))
    })
    .boxed()
}
