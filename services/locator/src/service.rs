//! The handlers: convert, call, stream.

use futures_util::poll;
use signpost_common::{
    lifecycle::Lifecycle,
    rpc::{self, Context, status},
};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    locator::v1::{
        BuildSummaryRequest, BuildSummaryResponse, FetchDocumentRequest, FetchDocumentResponse,
        FetchHistoryRequest, FetchHistoryResponse, GetLocateRunRequest, GetLocateRunResponse,
        ListDocumentsRequest, ListDocumentsResponse, ListLocateRunsRequest, ListLocateRunsResponse,
        LocateRequest, LocateResponse, fetch_document_response,
        record_locator_service_server::RecordLocatorService,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    clients::Clients,
    fetch::{self, Opened, Order, Part},
    history::{self, Wanted},
    list, locate,
    runs::{self, UnderWay},
    summary,
};

/// Most messages that wait to be read by the caller: one, so that what is stopped stops at once. Then the source waits.
const PARTS_MAX: usize = 1;

/// Most messages of a locate that wait to be read: they were in the audit log as one before the first was sent.
const POINTERS_AHEAD_MAX: usize = 64;

pub(crate) struct Service {
    pub(crate) clients: Clients,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) under_way: UnderWay,
}

type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl RecordLocatorService for Service {
    type LocateStream = Answers<LocateResponse>;

    async fn locate(&self, request: Request<LocateRequest>) -> Result<Response<Self::LocateStream>, Status> {
        let context = admitted(&request)?;
        rpc::request_id(&request.get_ref().request_id)?;
        let _under_way = self.under_way.begin(&context, &request.get_ref().request_id);
        let located = locate::prepare(&self.clients, &context, request.into_inner()).await?;
        let (sender, answers) = mpsc::channel(POINTERS_AHEAD_MAX);
        let mut sending = Box::pin(locate::send(self.clients.clone(), context, located, sender));
        // What is ready goes with the first frame. Only what waits for members, or for a slow reader, needs a task.
        if poll!(&mut sending).is_pending() {
            self.lifecycle.spawn(sending);
        }
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Result<Response<ListDocumentsResponse>, Status> {
        let context = admitted(&request)?;
        rpc::request_id(&request.get_ref().request_id)?;
        list::list(&self.clients, &context, request.into_inner()).await.map(Response::new)
    }

    async fn get_locate_run(
        &self,
        request: Request<GetLocateRunRequest>,
    ) -> Result<Response<GetLocateRunResponse>, Status> {
        let context = Context::of(&request)?;
        let GetLocateRunRequest { request_id } = request.into_inner();
        rpc::request_id(&request_id)?;
        runs::get(&self.clients, &context, &self.under_way, &request_id).await.map(Response::new)
    }

    async fn list_locate_runs(
        &self,
        request: Request<ListLocateRunsRequest>,
    ) -> Result<Response<ListLocateRunsResponse>, Status> {
        let context = Context::of(&request)?;
        runs::list(&self.clients, &context, request.into_inner()).await.map(Response::new)
    }

    type FetchDocumentStream = Answers<FetchDocumentResponse>;

    async fn fetch_document(
        &self,
        request: Request<FetchDocumentRequest>,
    ) -> Result<Response<Self::FetchDocumentStream>, Status> {
        let context = admitted(&request)?;
        rpc::request_id(&request.get_ref().request_id)?;
        let FetchDocumentRequest {
            document_id,
            emergency_session_id,
            request_id,
            offset_bytes,
            size_limit_bytes,
        } = request.into_inner();
        let action = "/signpost.locator.v1.RecordLocatorService/FetchDocument";
        let order =
            Order { action, document_id, emergency_session_id, request_id, offset_bytes, size_limit_bytes };
        let begun = fetch::begin(&self.clients, &context, order).await?;
        let opened = fetch::release(&self.clients, &context, begun).await?;
        let (sender, answers) = mpsc::channel(PARTS_MAX);
        self.lifecycle.spawn(send_document(self.clients.clone(), context, opened, sender));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    type FetchHistoryStream = Answers<FetchHistoryResponse>;

    async fn fetch_history(
        &self,
        request: Request<FetchHistoryRequest>,
    ) -> Result<Response<Self::FetchHistoryStream>, Status> {
        let context = admitted(&request)?;
        rpc::request_id(&request.get_ref().request_id)?;
        let FetchHistoryRequest { person_id, filter, emergency_session_id, request_id } =
            request.into_inner();
        let action = "/signpost.locator.v1.RecordLocatorService/FetchHistory";
        let wanted = Wanted { action, person_id, filter, emergency_session_id, request_id };
        let history = history::ask(&self.clients, &context, &wanted).await?;
        let (sender, answers) = mpsc::channel(PARTS_MAX);
        self.lifecycle.spawn(history::send(self.clients.clone(), context, wanted, history, sender));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    type BuildSummaryStream = Answers<BuildSummaryResponse>;

    async fn build_summary(
        &self,
        request: Request<BuildSummaryRequest>,
    ) -> Result<Response<Self::BuildSummaryStream>, Status> {
        let context = admitted(&request)?;
        rpc::request_id(&request.get_ref().request_id)?;
        let BuildSummaryRequest { person_id, emergency_session_id, request_id } = request.into_inner();
        let action = "/signpost.locator.v1.RecordLocatorService/BuildSummary";
        let wanted = Wanted { action, person_id, filter: None, emergency_session_id, request_id };
        let history = history::ask(&self.clients, &context, &wanted).await?;
        let (sender, answers) = mpsc::channel(PARTS_MAX);
        self.lifecycle.spawn(summary::send(self.clients.clone(), context, wanted, history, sender));
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// Returns who calls. Patients, and who acts for them, ask for their own and for nothing else.
fn admitted<T>(request: &Request<T>) -> Result<Context, Status> {
    let context = Context::of(request)?;
    let is_patient = context.is(&[Role::Patient, Role::Representative]);
    if is_patient && context.caller.purpose() != PurposeOfUse::Patrqt {
        let text = "patients, and who acts for them, ask with the purpose PATRQT";
        return Err(status::denied("PURPOSE_NOT_PERMITTED", text));
    }
    Ok(context)
}

/// Sends one document; an error takes the place of the trailer.
async fn send_document(
    clients: Clients,
    context: Context,
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
    if let Err(failure) = fetch::relay(&clients, &context, opened, &answers, wrap).await {
        answers.send(Err(failure)).await.ok();
    }
}
