//! FHIR R4 and IHE MHD: DocumentReferences, and the attachments they point to.
//!
//! What MHD calls Find Document References (ITI-67) and Retrieve Document (ITI-68) are a search and a read of FHIR; both are
//! asked in the same way. A document is released only when its DocumentReference has the unique id and its subject is known
//! to be the patient; what the server points to is followed only below its base. Left out on purpose: masking, which such
//! servers cannot be asked for, writing, documents of more than one attachment (the first counts), and the systems of
//! identifiers, since unique ids and local ids are registered without any.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use http::Uri;
use rustls::ClientConfig;
use signpost_common::rpc::{Context, client};
use signpost_proto::{
    common::v1::RecordReference, directory::v1::Endpoint, source::v1::RetrieveDocumentRequest,
};
use tokio::time::timeout_at;

use self::{base::Base, json::Place};
use super::{
    Announced, Chunks, Connector, Failure,
    https::{self, Https},
};

mod base;
mod json;

/// Most bytes of an answer to a search.
const BUNDLE_BYTES_MAX: usize = 4 << 20;

/// Most bytes of a Binary in JSON, and of a document that is itself JSON: both are held to be read.
const JSON_BYTES_MAX: usize = 16 << 20;

/// Most patients that one search asks for; their ids are in its URL.
const PATIENTS_AT_ONCE: usize = 20;

/// Most pages of one search.
const PAGES_MAX: usize = 10;

/// Most unique ids that a member may hold of a person; they are remembered for a while.
const UNIQUE_IDS_MAX: usize = 10_000;

const FHIR_JSON: &str = "application/fhir+json";

/// A source that is a FHIR server.
pub(super) struct Fhir {
    base: Base,
    https: Https,
}

impl Fhir {
    pub(super) fn new(endpoint: &Endpoint, tls: &ClientConfig) -> Result<Self, Failure> {
        client::base(&endpoint.uri).map_err(|_| Failure::EndpointInvalid)?;
        let base = Base::parse(&endpoint.uri).ok_or(Failure::EndpointInvalid)?;
        Ok(Self { base, https: Https::new(&endpoint.tls_server_name, tls)? })
    }

    /// Returns the answer to a search.
    async fn search(&self, uri: Uri) -> Result<Bytes, Failure> {
        let (head, body) = self.https.get(uri, FHIR_JSON).await?.into_parts();
        match is_json(&https::sent_type(&head.headers)) {
            true => https::whole(body, BUNDLE_BYTES_MAX).await,
            false => Err(Failure::WrongForm),
        }
    }

    /// Finds a document, and asks for it until it begins to come.
    async fn open(&self, unique_id: &str, local_id: &str) -> Result<(Announced, Chunks), Failure> {
        let parameters = [
            ("identifier", &*token(unique_id)),
            ("patient.identifier", &*token(local_id)),
            ("status", "current"),
            ("_include", "DocumentReference:patient"),
        ];
        let uri = self.base.search("DocumentReference", &parameters).ok_or(Failure::WrongForm)?;
        let bytes = self.search(uri).await?;
        let attachment = json::searchset(&bytes)?.document(&self.base, unique_id, local_id)?;
        drop(bytes);
        let (mime_type, place) = attachment.ok_or(Failure::HasNot)?.place()?;
        let (size_bytes, chunks) = match place {
            Place::Inline(bytes) => held(bytes),
            Place::At(url) => {
                let uri = self.base.within(&url).ok_or(Failure::WrongForm)?;
                self.read(uri, &mime_type).await?
            }
        };
        let (unique_id, masked_labels) = (unique_id.to_owned(), vec![]);
        Ok((Announced { unique_id, mime_type, size_bytes, masked_labels }, chunks))
    }

    /// Reads an attachment: raw as it comes, or out of a Binary. Returns its size where that is stated.
    async fn read(&self, uri: Uri, mime_type: &str) -> Result<(Option<u64>, Chunks), Failure> {
        let accept = format!("{mime_type}, {FHIR_JSON};q=0.5");
        let (head, body) = self.https.get(uri, &accept).await?.into_parts();
        let (sent, wanted) = (https::sent_type(&head.headers), https::essence(mime_type));
        if !is_json(&sent) {
            let size_bytes = http_body::Body::size_hint(&body).exact();
            return if sent == wanted {
                Ok((size_bytes, https::chunks(body)))
            } else {
                Err(Failure::WrongForm)
            };
        }
        // A Binary, or a document that is itself JSON, as any FHIR document is.
        let bytes = https::whole(body, JSON_BYTES_MAX).await?;
        match json::binary(&bytes)? {
            Some((inside, document)) if https::essence(&inside) == wanted => Ok(held(document)),
            None if sent == wanted => Ok(held(bytes)),
            _ => Err(Failure::WrongForm),
        }
    }

    /// Returns the unique ids of what a member holds of patients.
    async fn held_of(&self, patients: &[RecordReference]) -> Result<Vec<String>, Failure> {
        let mut unique_ids = vec![];
        for patients in patients.chunks(PATIENTS_AT_ONCE) {
            let tokens: Vec<_> = patients.iter().map(|patient| token(&patient.local_id)).collect();
            let parameters = [
                ("patient.identifier", &*tokens.join(",")),
                ("status", "current"),
                ("_elements", "masterIdentifier,identifier,status"),
                ("_count", "200"),
            ];
            let first = self.base.search("DocumentReference", &parameters).ok_or(Failure::WrongForm)?;
            let mut next = Some(first);
            for page in 0.. {
                let Some(uri) = next else { break };
                if page == PAGES_MAX {
                    return Err(Failure::WrongForm);
                }
                let bytes = self.search(uri).await?;
                let bundle = json::searchset(&bytes)?;
                unique_ids.extend(bundle.unique_ids()?);
                if unique_ids.len() > UNIQUE_IDS_MAX {
                    return Err(Failure::WrongForm);
                }
                next = match bundle.next() {
                    Some(url) => Some(self.base.within(url).ok_or(Failure::WrongForm)?),
                    None => None,
                };
            }
        }
        Ok(unique_ids)
    }
}

/// Returns a document whose bytes are at hand.
fn held(bytes: Bytes) -> (Option<u64>, Chunks) {
    (Some(bytes.len() as u64), stream::once(future::ready(Ok(bytes))).boxed())
}

fn is_json(mime_type: &str) -> bool {
    matches!(mime_type, FHIR_JSON | "application/json")
}

/// Returns a value as a search takes it (FHIR R4, search, "Escaping Search Parameters").
fn token(value: &str) -> String {
    let mut token = String::with_capacity(value.len());
    for letter in value.chars() {
        if matches!(letter, '\\' | '|' | ',' | '$') {
            token.push('\\');
        }
        token.push(letter);
    }
    token
}

#[async_trait]
impl Connector for Fhir {
    async fn retrieve(
        &self,
        context: &Context,
        wanted: &RetrieveDocumentRequest,
    ) -> Result<(Announced, Chunks), Failure> {
        if !wanted.mask_labels.is_empty() {
            return Err(Failure::CannotMask);
        }
        let patient = wanted.patient.as_ref().ok_or(Failure::HasNot)?;
        let opened = self.open(&wanted.unique_id, &patient.local_id);
        timeout_at(context.deadline, opened).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn check(&self, context: &Context, patients: &[RecordReference]) -> Result<Vec<String>, Failure> {
        timeout_at(context.deadline, self.held_of(patients)).await.unwrap_or(Err(Failure::TimedOut))
    }
}
