//! The listener: TLS 1.3, bounded handshakes, bounded connections, a soft stop.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use opentelemetry::{KeyValue, global, metrics::Counter};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, body::Body, service::Routes, transport::Server};
use tower::util::MapResponseLayer;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    admit::Admission,
    connection::{Connection, Counts, Peer},
    reload::Live,
    seat::Seats,
    status,
    tls::Distrust,
};
use crate::lifecycle::Lifecycle;

/// Longest time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most handshakes at once; more wait in the listen queue.
const HANDSHAKES_MAX: usize = 1024;

/// Most handshakes at once from one address; more are turned away, since who is slow on purpose would hold up all others.
const HANDSHAKES_PER_ADDRESS_MAX: usize = 256;

/// Most connections at once; more wait in the listen queue.
const CONNECTIONS_MAX: usize = 8192;

/// Most streams of one connection at once.
const STREAMS_MAX: u32 = 512;

/// Most streams of one connection that may be reset by protocol errors: then the connection ends.
const RESETS_MAX: usize = 128;

/// Most streams of one connection that its client may have reset before they were looked at (CVE-2023-44487): then the
/// connection ends.
const PENDING_RESETS_MAX: usize = 32;

/// Largest list of headers.
const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// Most bytes of one stream, and of one connection, that wait to be read.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A port that is bound, with the certificates in force.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Live,
}

impl Listener {
    /// Binds an address; port 0 takes any free one.
    pub async fn bind(address: &str, tls: Live) -> io::Result<Self> {
        Ok(Self { tcp: TcpListener::bind(address).await?, tls })
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
        let door = Door::new(self.tls, sender, admission.clone());
        lifecycle.spawn(accept(self.tcp, door, lifecycle.clone()));
        Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_local_error_reset_streams(Some(RESETS_MAX))
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
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

/// What new connections go through.
struct Door {
    tls: Live,
    sender: mpsc::Sender<io::Result<Connection>>,
    admission: Admission,
    addresses: Counts<IpAddr>,
    seats: Arc<Seats>,
    handshakes: Counter<u64>,
}

async fn accept(tcp: TcpListener, door: Arc<Door>, lifecycle: Lifecycle) {
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
        let Some(counted) = door.addresses.take(address.ip()) else {
            door.count("TOO_MANY_HANDSHAKES");
            continue;
        };
        let door = door.clone();
        lifecycle.spawn(async move {
            let _counted = (permit, counted);
            door.enter(stream, address, place).await;
        });
    }
}

impl Door {
    fn new(tls: Live, sender: mpsc::Sender<io::Result<Connection>>, admission: Admission) -> Arc<Self> {
        let handshakes = global::meter("signpost")
            .u64_counter("tls.handshakes")
            .with_description("Connections, by what became of their handshakes")
            .build();
        let addresses = Counts::new(HANDSHAKES_PER_ADDRESS_MAX);
        Arc::new(Self { tls, sender, admission, addresses, seats: Seats::new(), handshakes })
    }

    fn count(&self, outcome: &'static str) {
        self.handshakes.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// Shakes hands, and hands the connection on when that goes well.
    async fn enter(&self, stream: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
        let outcome = match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.handshake(stream, place)).await {
            Ok(Ok(Some(connection))) => {
                self.sender.send(Ok(connection)).await.ok();
                "OK"
            }
            Ok(Ok(None)) => "TOO_MANY_CONNECTIONS",
            Ok(Err(error)) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
                let distrust = cause.and_then(Distrust::of);
                tracing::warn!(%address, %error, reason = distrust.map(Distrust::reason), "TLS handshake failed");
                if let Some(distrust) = distrust {
                    self.admission.audit_handshake(distrust).await;
                }
                distrust.map_or("FAILED", Distrust::reason)
            }
            Err(_) => "TIMED_OUT",
        };
        if matches!(outcome, "TIMED_OUT" | "TOO_MANY_CONNECTIONS") {
            tracing::warn!(%address, outcome, "a connection was turned away");
        }
        self.count(outcome);
    }

    /// Returns nothing when its certificate has as many connections as it may have.
    async fn handshake(
        &self,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
    ) -> io::Result<Option<Connection>> {
        stream.set_nodelay(true)?;
        let current = self.tls.current();
        let stream = TlsAcceptor::from(current.credentials.server.clone()).accept(stream).await?;
        let peer = Peer::of(stream.get_ref().1.peer_certificates(), &self.tls, current.generation);
        let seat = self.seats.take(&peer);
        Ok(seat.map(|seat| Connection::new(stream, peer, seat, place)))
    }
}
