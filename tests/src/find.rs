//! Locate and fetch, as a member's software does it.

use std::time::Duration;

use anyhow::{Context, bail};
use signpost::{client::Client, config::Service};
use signpost_common::rpc::{status, token::User};
use signpost_proto::{
    audit::v1::{Event, EventKind, SearchEventsRequest},
    common::v1::{Demographics, PurposeOfUse, Role},
    locator::v1::{
        Completion, DocumentHeader, DocumentTrailer, FetchDocumentRequest, LocateRequest, PersonOutcome,
        Pointer, SourceOutcome, fetch_document_response, locate_request::Subject, locate_response,
    },
};
use tonic::{Code, Status};

use crate::{Cluster, user};

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
        ..FetchDocumentRequest::default()
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

/// What came of a fetch, however it ended.
#[derive(Debug)]
pub struct Attempt {
    /// What was announced.
    pub header: Option<DocumentHeader>,
    /// The bytes that came.
    pub bytes: Vec<u8>,
    /// What ended it.
    pub ended: Result<DocumentTrailer, Status>,
}

impl Attempt {
    /// Returns code and reason of its failure.
    pub fn failure(&self) -> Option<(Code, String)> {
        self.ended.as_ref().err().map(|failure| (failure.code(), status::reason(failure)))
    }

    /// True when nothing was released, not even a header.
    pub fn shows_nothing(&self) -> bool {
        self.header.is_none() && self.bytes.is_empty() && self.ended.is_err()
    }
}

/// Fetches within a deadline, and fails when the stream is stuck after it.
pub async fn attempt(
    client: &Client,
    user: &User,
    request: FetchDocumentRequest,
    deadline: Duration,
) -> anyhow::Result<Attempt> {
    let mut request = client.request(user, request)?;
    request.set_timeout(deadline);
    let attempt = tokio::time::timeout(deadline + Duration::from_secs(3), attempt_it(client, request));
    attempt.await.context("the stream is stuck")?
}

async fn attempt_it(
    client: &Client,
    request: tonic::Request<FetchDocumentRequest>,
) -> anyhow::Result<Attempt> {
    use fetch_document_response::Message;
    let (mut header, mut bytes) = (None, vec![]);
    let mut messages = match client.locator().fetch_document(request).await {
        Ok(messages) => messages.into_inner(),
        Err(refusal) => return Ok(Attempt { header, bytes, ended: Err(refusal) }),
    };
    loop {
        match messages.message().await {
            Ok(message) => match message.and_then(|message| message.message) {
                None => bail!("there is no trailer, and no failure"),
                Some(Message::Header(_)) if header.is_some() => bail!("the header comes twice"),
                Some(Message::Header(announced)) => header = Some(announced),
                Some(Message::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
                Some(Message::Trailer(trailer)) => return Ok(Attempt { header, bytes, ended: Ok(trailer) }),
            },
            Err(failure) => return Ok(Attempt { header, bytes, ended: Err(failure) }),
        }
    }
}

/// Returns the status that a call ended in.
pub fn failed<T>(answer: anyhow::Result<T>) -> anyhow::Result<Status> {
    answer.map(drop).err().context("it was answered")?.downcast()
}

/// Someone who oversees what is seen.
pub fn officer() -> User {
    user("officer", Role::PrivacyOfficer, PurposeOfUse::Hoperat)
}

/// Returns what the audit log has of a member's locates and fetches under a request id, newest first.
pub async fn logged(cluster: &Cluster, member: &str, request_id: &str) -> anyhow::Result<Vec<Event>> {
    let client = cluster.client(member, Service::Audit)?;
    let request = SearchEventsRequest {
        kinds: vec![EventKind::Locate.into(), EventKind::Fetch.into()],
        member_id: member.into(),
        request_id: request_id.into(),
        ..SearchEventsRequest::default()
    };
    let found = client.audit().search_events(client.request(&officer(), request)?).await?.into_inner();
    Ok(found.events.into_iter().filter_map(|logged| logged.event).collect())
}
