//! The listener: TLS 1.3, bounded handshakes, bounded connections, a soft stop.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code,
    body::Body,
    service::Routes,
    transport::{Server, server::Connected},
};
use tower::util::MapResponseLayer;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    admit::Admission,
    pem::{self, Facts},
    status,
};
use crate::lifecycle::Lifecycle;

/// Longest time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most handshakes at once; more wait in the listen queue.
const HANDSHAKES_MAX: usize = 256;

/// Most connections at once; more wait in the listen queue.
const CONNECTIONS_MAX: usize = 8192;

/// Most streams of one connection at once.
const STREAMS_MAX: u32 = 1024;

/// Most streams of one connection that may be reset by protocol errors.
const RESETS_MAX: usize = 1024;

/// Largest list of headers.
const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub enum Peer {
    /// It showed a certificate that verified and names a member.
    Certificate(Arc<Facts>),
    /// It showed a certificate that verified and names no member.
    NoMember,
    /// It showed no certificate.
    NoCertificate,
}

/// A port that is bound, with the TLS configuration in force. The configuration can be swapped.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
}

impl Listener {
    /// Binds an address; port 0 takes any free one.
    pub async fn bind(address: &str, tls: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self { tcp: TcpListener::bind(address).await?, tls: Arc::new(ArcSwap::new(tls)) })
    }

    /// Returns the address that was bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves routes until the soft stop; then lets calls under way finish.
    pub async fn serve(
        self,
        routes: Routes,
        admission: Admission,
        lifecycle: Lifecycle,
    ) -> Result<(), tonic::transport::Error> {
        let (sender, incoming) = mpsc::channel(64);
        let stopping = lifecycle.stopping();
        lifecycle.spawn(accept(self.tcp, self.tls, sender, lifecycle.clone()));
        Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_local_error_reset_streams(Some(RESETS_MAX))
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .layer(admission)
            .layer(MapResponseLayer::new(|response: http::Response<_>| response.map(Body::new)))
            .layer(CatchPanicLayer::custom(panicked))
            .add_routes(routes.prepare())
            .serve_with_incoming_shutdown(ReceiverStream::new(incoming), stopping)
            .await
    }
}

/// Answers for a handler that panicked, without what it said: that may hold patient data.
fn panicked(_: Box<dyn std::any::Any + Send>) -> http::Response<Body> {
    tracing::error!("a handler panicked");
    status::error(Code::Internal, "INTERNAL", "the service made a mistake; it has been logged").into_http()
}

async fn accept(
    tcp: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    sender: mpsc::Sender<io::Result<Connection>>,
    lifecycle: Lifecycle,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stopping = lifecycle.stopping();
    tokio::pin!(stopping);
    loop {
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        let Ok(place) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = &mut stopping => return,
            accepted = tcp.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most often: let some close.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let acceptor = TlsAcceptor::from(tls.load_full());
        let sender = sender.clone();
        lifecycle.spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(acceptor, stream, place)).await {
                Ok(Ok(connection)) => {
                    sender.send(Ok(connection)).await.ok();
                }
                Ok(Err(error)) => tracing::warn!(%address, %error, "TLS handshake failed"),
                Err(_) => tracing::warn!(%address, "TLS handshake timed out"),
            }
        });
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    place: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let peer = match certificate.map(pem::facts) {
        None => Peer::NoCertificate,
        Some(Ok(facts)) => Peer::Certificate(Arc::new(facts)),
        Some(Err(_)) => Peer::NoMember,
    };
    Ok(Connection { stream, peer, _place: place })
}

/// A connection after its handshake.
#[derive(Debug)]
struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
