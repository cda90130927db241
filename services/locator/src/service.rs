//! The handlers: convert, call, stream.

use std::{collections::HashSet, time::Duration};

use signpost_common::{
    lifecycle::Lifecycle,
    rpc::{self, Context, status},
};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    locator::v1::{
        DocumentFailure, FetchDocumentRequest, FetchDocumentResponse, FetchHistoryRequest,
        FetchHistoryResponse, HistoryCompletion, LocateRequest, LocateResponse, fetch_document_response,
        fetch_history_response, record_locator_service_server::RecordLocatorService,
    },
    mpi::v1::list_person_records_request::By,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    clients::{Clients, DOCUMENTS_MAX, Decided},
    convert,
    domain::rank,
    error::Error,
    even,
    fetch::{self, Opened, Order, Part},
    locate,
};

/// Most messages that wait to be read by the caller: one, so that what is stopped stops at once. Then the source waits.
const PARTS_MAX: usize = 1;

/// Longest time for one document of a history.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Service {
    pub(crate) clients: Clients,
    pub(crate) lifecycle: Lifecycle,
}

type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl RecordLocatorService for Service {
    type LocateStream = Answers<LocateResponse>;

    async fn locate(&self, request: Request<LocateRequest>) -> Result<Response<Self::LocateStream>, Status> {
        let context = Context::of(&request)?;
        rpc::request_id(&request.get_ref().request_id)?;
        let located = locate::prepare(&self.clients, &context, request.into_inner()).await?;
        let (sender, answers) = mpsc::channel(PARTS_MAX);
        self.lifecycle.spawn(locate::send(self.clients.clone(), context, located, sender));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    type FetchDocumentStream = Answers<FetchDocumentResponse>;

    async fn fetch_document(
        &self,
        request: Request<FetchDocumentRequest>,
    ) -> Result<Response<Self::FetchDocumentStream>, Status> {
        let context = Context::of(&request)?;
        rpc::request_id(&request.get_ref().request_id)?;
        let FetchDocumentRequest { document_id, emergency_session_id, request_id } = request.into_inner();
        let action = "/signpost.locator.v1.RecordLocatorService/FetchDocument";
        let order = Order { action, document_id, emergency_session_id, request_id };
        let opened = fetch::open(&self.clients, &context, &order).await?;
        let (sender, answers) = mpsc::channel(PARTS_MAX);
        self.lifecycle.spawn(send_document(self.clients.clone(), context, order, opened, sender));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    type FetchHistoryStream = Answers<FetchHistoryResponse>;

    async fn fetch_history(
        &self,
        request: Request<FetchHistoryRequest>,
    ) -> Result<Response<Self::FetchHistoryStream>, Status> {
        let context = Context::of(&request)?;
        rpc::request_id(&request.get_ref().request_id)?;
        let FetchHistoryRequest { person_id, filter, emergency_session_id, request_id } =
            request.into_inner();
        let began = Instant::now();
        let action = "/signpost.locator.v1.RecordLocatorService/FetchHistory";
        let person = self.clients.person(&context, By::PersonId(person_id)).await?;
        let (mut decided, mut truncated) = (vec![], false);
        if let Some(person) = &person {
            let entries = self.clients.documents(&context, person, filter).await?;
            truncated = entries.len() >= DOCUMENTS_MAX;
            decided = self.clients.decide(&context, person, entries, &emergency_session_id, false).await?;
        }
        // What was asked is recorded here; each release is recorded when its document is opened.
        let found = person.is_some();
        let person = person.unwrap_or_default();
        let event = Event {
            kind: EventKind::Locate.into(),
            action: action.to_owned(),
            outcome: if found { EventOutcome::Success } else { EventOutcome::Refused }.into(),
            reason: if found { String::new() } else { Error::PersonUnknown.reason().to_owned() },
            person_id: person.id,
            patient_records: person.records,
            emergency_session_id: emergency_session_id.clone(),
            request_id: request_id.clone(),
            ..Event::default()
        };
        self.clients.audit.append(&context, event).await?;
        if !found {
            return Err(Error::PersonUnknown.into());
        }
        let permitted = decided.into_iter().filter(Decided::permitted).map(|decided| decided.entry).collect();
        let orders = rank::rank(permitted).into_iter().map(|ranked| {
            let custodian = convert::custodian(&ranked.entry);
            let order = Order {
                action,
                document_id: ranked.entry.document_id,
                emergency_session_id: emergency_session_id.clone(),
                request_id: request_id.clone(),
            };
            (order, custodian)
        });
        let orders: Vec<_> = orders.collect();
        if orders.is_empty() {
            truncated = false;
            even::out(began, even::STEP).await;
        }
        let (sender, answers) = mpsc::channel(PARTS_MAX);
        let completion = HistoryCompletion { truncated, ..HistoryCompletion::default() };
        self.lifecycle.spawn(send_history(self.clients.clone(), context, orders, completion, sender));
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// Sends one document; an error takes the place of the trailer.
async fn send_document(
    clients: Clients,
    context: Context,
    order: Order,
    opened: Opened,
    answers: mpsc::Sender<Result<FetchDocumentResponse, Status>>,
) {
    use fetch_document_response::Message;
    let wrap = |part| {
        let message = match part {
            Part::Header(header) => Message::Header(header),
            Part::Chunk(chunk) => Message::Chunk(chunk),
            Part::Trailer(trailer) => Message::Trailer(trailer),
        };
        FetchDocumentResponse { message: Some(message) }
    };
    if let Err(failure) = fetch::relay(&clients, &context, &order, opened, &answers, wrap).await {
        answers.send(Err(failure)).await.ok();
    }
}

/// Sends every document of a history; one that fails is named and the others go on.
async fn send_history(
    clients: Clients,
    context: Context,
    orders: Vec<(Order, String)>,
    mut completion: HistoryCompletion,
    answers: mpsc::Sender<Result<FetchHistoryResponse, Status>>,
) {
    use fetch_history_response::Message;
    let wrap = |part| {
        let message = match part {
            Part::Header(header) => Message::Header(header),
            Part::Chunk(chunk) => Message::Chunk(chunk),
            Part::Trailer(trailer) => Message::Trailer(trailer),
        };
        FetchHistoryResponse { message: Some(message) }
    };
    let mut silent: HashSet<String> = HashSet::new();
    for (order, custodian) in orders {
        // Each document has its time; a member that let one pass is not waited for again.
        let context = Context { deadline: Instant::now() + DOCUMENT_TIMEOUT, ..context.clone() };
        let opened = match silent.contains(&custodian) {
            true => Err(Error::Source { member: custodian.clone(), reason: "SOURCE_TIMED_OUT" }.into()),
            false => fetch::open(&clients, &context, &order).await,
        };
        let sent = match opened {
            Ok(opened) => fetch::relay(&clients, &context, &order, opened, &answers, wrap).await,
            Err(failure) => Err(failure),
        };
        match sent {
            Ok(true) => completion.fetched += 1,
            Ok(false) => return,
            Err(failure) => {
                completion.failed += 1;
                let reason = status::reason(&failure);
                if reason == "SOURCE_TIMED_OUT" {
                    silent.insert(custodian.clone());
                }
                let failure = DocumentFailure { document_id: order.document_id, custodian, reason };
                let message = FetchHistoryResponse { message: Some(Message::Failure(failure)) };
                if answers.send(Ok(message)).await.is_err() {
                    return;
                }
            }
        }
    }
    answers.send(Ok(FetchHistoryResponse { message: Some(Message::Completion(completion)) })).await.ok();
}
