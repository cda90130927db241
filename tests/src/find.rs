//! Locate and fetch, as a member's software does it.

use anyhow::{Context, bail};
use signpost::client::Client;
use signpost_common::rpc::token::User;
use signpost_proto::{
    common::v1::Demographics,
    locator::v1::{
        Completion, DocumentHeader, DocumentTrailer, FetchDocumentRequest, LocateRequest, PersonOutcome,
        Pointer, SourceOutcome, fetch_document_response, locate_request::Subject, locate_response,
    },
};

/// A whole answer.
#[derive(Debug)]
pub struct Located {
    /// Who it is.
    pub person: PersonOutcome,
    /// What may be seen.
    pub pointers: Vec<Pointer>,
    /// How members answered.
    pub sources: Vec<SourceOutcome>,
    /// How complete it is.
    pub completion: Completion,
}

/// Locates by demographics.
pub async fn locate(client: &Client, user: &User, demographics: &Demographics) -> anyhow::Result<Located> {
    let subject = Some(Subject::Demographics(demographics.clone()));
    locate_with(client, user, LocateRequest { subject, ..LocateRequest::default() }).await
}

/// Locates, and checks that the messages come in the order that the contract promises.
pub async fn locate_with(client: &Client, user: &User, request: LocateRequest) -> anyhow::Result<Located> {
    use locate_response::Message;
    let mut messages = client.locator().locate(client.request(user, request)?).await?.into_inner();
    let Some(Message::Person(person)) = messages.message().await?.and_then(|first| first.message) else {
        bail!("the first message is not the person");
    };
    let (mut pointers, mut sources) = (vec![], vec![]);
    while let Some(message) = messages.message().await? {
        match message.message.context("an empty message")? {
            Message::Person(_) => bail!("the person comes twice"),
            Message::Pointer(pointer) => pointers.push(pointer),
            Message::Source(source) => sources.push(source),
            Message::Completion(completion) => {
                if messages.message().await?.is_some() {
                    bail!("something follows the completion");
                }
                return Ok(Located { person, pointers, sources, completion });
            }
        }
    }
    bail!("there is no completion")
}

/// A whole document.
#[derive(Debug)]
pub struct Fetched {
    /// What was announced.
    pub header: DocumentHeader,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What was verified.
    pub trailer: DocumentTrailer,
}

/// Fetches a document.
pub async fn fetch(
    client: &Client,
    user: &User,
    document_id: &str,
    session: &str,
) -> anyhow::Result<Fetched> {
    use fetch_document_response::Message;
    let request = FetchDocumentRequest {
        document_id: document_id.into(),
        emergency_session_id: session.into(),
        request_id: String::new(),
    };
    let mut messages = client.locator().fetch_document(client.request(user, request)?).await?.into_inner();
    let Some(Message::Header(header)) = messages.message().await?.and_then(|first| first.message) else {
        bail!("the first message is not the header");
    };
    let mut bytes = vec![];
    while let Some(message) = messages.message().await? {
        match message.message.context("an empty message")? {
            Message::Header(_) => bail!("the header comes twice"),
            Message::Chunk(chunk) if chunk.len() <= 64 << 10 => bytes.extend_from_slice(&chunk),
            Message::Chunk(_) => bail!("a chunk is larger than 64 KiB"),
            Message::Trailer(trailer) => return Ok(Fetched { header, bytes, trailer }),
        }
    }
    bail!("there is no trailer")
}
