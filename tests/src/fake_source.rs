//! A document source that does what a test tells it, right or wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, stream, stream::BoxStream};
use signpost::client;
use signpost_common::{
    clock,
    lifecycle::Lifecycle,
    rpc::{
        Context, admit::Admission, identity::FixedIdentities, limits::Limits, reload::Live, server::Listener,
        tls,
    },
};
use signpost_proto::source::v1::{
    CheckDocumentsRequest, CheckDocumentsResponse, RetrieveDocumentRequest, RetrieveDocumentResponse,
    RetrieveHeader,
    document_source_service_server::{DocumentSourceService, DocumentSourceServiceServer},
    retrieve_document_response::Message,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tonic::{Request, Response, Status, service::Routes};

use crate::Cluster;

/// What a source does next with a document that it was asked for.
#[derive(Debug, Clone)]
pub enum Step {
    /// Announces a document.
    Header(RetrieveHeader),
    /// Sends bytes.
    Chunk(Vec<u8>),
    /// Does the step before again, for good.
    Again,
    /// Sends an empty chunk every millisecond, for good.
    Nothings,
    /// Waits.
    Wait(Duration),
    /// Says nothing more.
    Hang,
    /// Fails.
    Fail(Status),
}

/// A running source.
#[derive(Debug)]
pub struct FakeSource {
    address: SocketAddr,
    state: Arc<State>,
    cut: Arc<Notify>,
    lifecycle: Lifecycle,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
struct State {
    steps: Mutex<Vec<Step>>,
    /// `None` hangs.
    holds: Mutex<Option<Vec<String>>>,
    open: Arc<AtomicUsize>,
    checks: AtomicUsize,
    connections: Arc<AtomicUsize>,
}

impl FakeSource {
    /// Starts a source with a member's certificate, and has the directory name it as the member's.
    pub async fn start(cluster: &Cluster, member: &str) -> anyhow::Result<Self> {
        let source = Self::start_with(&client::files(&cluster.pki(), member)).await?;
        cluster.set_endpoint(member, &source.uri()).await?;
        Ok(source)
    }

    /// Starts a source with any certificate. It hangs until it is told what to do.
    pub async fn start_with(files: &tls::Files) -> anyhow::Result<Self> {
        let (lifecycle, state) = (Lifecycle::new(), Arc::<State>::default());
        let listener = Listener::bind("127.0.0.1:0", Live::read(files)?).await?;
        let behind = listener.address()?;
        let routes = Routes::new(DocumentSourceServiceServer::new(Fake(state.clone())));
        let identities = FixedIdentities(vec!["exchange".parse()?]);
        let admission = Admission::new(identities, None, Limits::default(), clock::system());
        let serving = listener.serve(routes, admission, lifecycle.clone());
        let serving = tokio::spawn(async { serving.await.unwrap_or_default() });
        let line = TcpListener::bind("127.0.0.1:0").await?;
        let (address, cut) = (line.local_addr()?, Arc::<Notify>::default());
        let passing = pass(line, behind, cut.clone(), state.connections.clone());
        let tasks = [serving, tokio::spawn(passing)];
        Ok(Self { address, state, cut, lifecycle, tasks })
    }

    /// Returns where it is.
    pub fn uri(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Sets what it does with any document that it is asked for.
    pub fn plays(&self, steps: impl IntoIterator<Item = Step>) {
        let mut all = self.state.steps.lock().unwrap_or_else(PoisonError::into_inner);
        *all = steps.into_iter().collect();
    }

    /// Sets which documents it says that it holds; it says nothing before.
    pub fn holds(&self, unique_ids: &[&str]) {
        let ids = unique_ids.iter().map(|id| (*id).to_owned()).collect();
        *self.state.holds.lock().unwrap_or_else(PoisonError::into_inner) = Some(ids);
    }

    /// Breaks every connection, as a network does.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// Returns how many documents it is sending.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Returns how many connections were made to it.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Returns how often it was asked what it holds.
    pub fn checks(&self) -> usize {
        self.state.checks.load(Ordering::SeqCst)
    }
}

impl Drop for FakeSource {
    fn drop(&mut self) {
        self.lifecycle.stop();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Passes connections on, until they are cut.
async fn pass(line: TcpListener, behind: SocketAddr, cut: Arc<Notify>, made: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = line.accept().await {
        made.fetch_add(1, Ordering::SeqCst);
        let cut = cut.clone();
        connections.spawn(async move {
            let Ok(mut far) = TcpStream::connect(behind).await else { return };
            tokio::select! {
                () = cut.notified() => {}
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            }
        });
    }
}

struct Fake(Arc<State>);

/// Counts a document for as long as it is sent.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Sent = Result<RetrieveDocumentResponse, Status>;

/// What is left to do.
struct Left {
    at: usize,
    steps: Vec<Step>,
    _open: Open,
}

impl Left {
    /// Does what the steps say until something is to be sent.
    async fn next(mut self) -> Option<(Sent, Option<Self>)> {
        let sent = |message| Ok(RetrieveDocumentResponse { message: Some(message) });
        loop {
            if matches!(self.steps.get(self.at), Some(Step::Again)) {
                self.at -= 1;
                // Others have their turn.
                tokio::task::yield_now().await;
            }
            let step = self.steps.get(self.at)?.clone();
            self.at += 1;
            match step {
                Step::Header(header) => return Some((sent(Message::Header(header)), Some(self))),
                Step::Chunk(bytes) => return Some((sent(Message::Chunk(bytes.into())), Some(self))),
                Step::Nothings => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    self.at -= 1;
                    return Some((sent(Message::Chunk(Vec::new().into())), Some(self)));
                }
                Step::Fail(status) => return Some((Err(status), None)),
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Hang => std::future::pending().await,
                Step::Again => {}
            }
        }
    }
}

/// Plays up to the deadline that the caller told: most servers of gRPC hold all of a call to it.
fn play(left: Left, deadline: Instant) -> impl Stream<Item = Sent> {
    stream::unfold(Some(left), move |left| async move {
        let next = tokio::time::timeout_at(deadline, left?.next()).await;
        next.unwrap_or_else(|_| Some((Err(Status::deadline_exceeded("too late")), None)))
    })
}

#[tonic::async_trait]
impl DocumentSourceService for Fake {
    type RetrieveDocumentStream = BoxStream<'static, Result<RetrieveDocumentResponse, Status>>;

    async fn retrieve_document(
        &self,
        request: Request<RetrieveDocumentRequest>,
    ) -> Result<Response<Self::RetrieveDocumentStream>, Status> {
        let mut steps = self.0.steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if steps.is_empty() {
            steps.push(Step::Hang);
        }
        let deadline = Context::of(&request)?.deadline;
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let left = Left { at: 0, steps, _open: Open(self.0.open.clone()) };
        Ok(Response::new(Box::pin(play(left, deadline))))
    }

    async fn check_documents(
        &self,
        _: Request<CheckDocumentsRequest>,
    ) -> Result<Response<CheckDocumentsResponse>, Status> {
        self.0.checks.fetch_add(1, Ordering::SeqCst);
        let holds = self.0.holds.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match holds {
            Some(unique_ids) => Ok(Response::new(CheckDocumentsResponse { unique_ids })),
            None => std::future::pending().await,
        }
    }
}
