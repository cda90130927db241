//! Members' HTTPS servers: one GET at a time, with the exchange's certificate.
//!
//! A connection goes to the host that the directory names, past any proxy, and its certificate must carry the name that the
//! directory names. Redirects are answers like any other. Every body is bounded or streamed. A URL tells of a patient and is
//! in no log and no error.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body_util::{BodyDataStream, BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        Client, Error,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, pki_types::ServerName};
use signpost_common::{
    rpc::client::{CONNECT_TIMEOUT, resolve},
    telemetry,
};
use tokio::net::TcpStream;
use tonic::metadata::MetadataMap;
use tower::{BoxError, ServiceExt, util::BoxCloneSyncService};

use super::{Chunks, Failure};

/// Most bytes of the head of a response.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Most headers of a response.
const HEADERS_MAX: usize = 100;

/// Most connections to one member that are kept for the next call.
const IDLE_MAX: usize = 8;

/// How long they are kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type Connect = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// A member's HTTPS server.
pub(super) struct Https(Client<Connect, Empty<Bytes>>);

impl Https {
    /// Connects when it is first used. `server_name` is the name that the server's certificate must carry.
    pub(super) fn new(server_name: &str, tls: &ClientConfig) -> Result<Self, Failure> {
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| Failure::EndpointInvalid)?;
        let mut client = Client::builder(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http1_max_headers(HEADERS_MAX)
            .http2_max_header_list_size(HEAD_BYTES_MAX as u32)
            .http2_initial_stream_window_size(1 << 20)
            .http2_initial_connection_window_size(4 << 20)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(5));
        Ok(Self(client.build(connector(name, tls))))
    }

    /// Asks for a resource, until the head of the answer has come.
    pub(super) async fn get(&self, uri: Uri, accept: &str) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Empty::<Bytes>::new());
        let mut metadata = MetadataMap::new();
        telemetry::inject(&mut metadata);
        *request.headers_mut() = metadata.into_headers();
        let accept = HeaderValue::from_str(accept).map_err(|_| Failure::WrongForm)?;
        request.headers_mut().insert(ACCEPT, accept);
        *request.uri_mut() = uri;
        // A connection that was kept may have been closed meanwhile; to ask again harms nothing.
        let response = match self.0.request(request.clone()).await {
            Err(error) if !error.is_connect() && failure(&error) == Failure::Unreachable => {
                self.0.request(request).await
            }
            response => response,
        };
        let response = response.map_err(|error| failure(&error))?;
        answered(response.status())?;
        // None was asked for.
        match response.headers().get(CONTENT_ENCODING) {
            Some(encoding) if encoding != "identity" => Err(Failure::WrongForm),
            _ => Ok(response),
        }
    }
}

fn connector(name: ServerName<'static>, tls: &ClientConfig) -> Connect {
    // A name may lead anywhere.
    let resolver =
        tower::service_fn(|name: Name| async move { resolve(name.as_str(), 0).await.map(Vec::into_iter) });
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // The builder names the protocols itself.
    let mut tls = tls.clone();
    tls.alpn_protocols.clear();
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .with_server_name_resolver(FixedServerNameResolver::new(name))
        .enable_all_versions()
        .wrap_connector(tcp);
    let within = move |uri| {
        let connecting = https.clone().oneshot(uri);
        async { tokio::time::timeout(CONNECT_TIMEOUT, connecting).await? }
    };
    BoxCloneSyncService::new(tower::service_fn(within))
}

fn failure(error: &Error) -> Failure {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    match cause {
        Some(cause) if cause.is_parse() => Failure::WrongForm,
        _ => Failure::Unreachable,
    }
}

fn answered(status: StatusCode) -> Result<(), Failure> {
    Err(match status.as_u16() {
        200 => return Ok(()),
        // Also redirects: where a document lies comes from the directory alone.
        ..=399 => Failure::WrongForm,
        404 | 410 => Failure::HasNot,
        401 | 403 => Failure::Refused,
        408 | 504 => Failure::TimedOut,
        _ => Failure::Failed,
    })
}

/// Returns a MIME type without parameters, in lower case.
pub(super) fn essence(mime_type: &str) -> String {
    mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns the type of what is sent, without parameters; empty when it is not said.
pub(super) fn sent_type(headers: &HeaderMap) -> String {
    let sent = headers.get(CONTENT_TYPE).and_then(|sent| sent.to_str().ok());
    essence(sent.unwrap_or_default())
}

/// Reads a body of at most so many bytes.
pub(super) async fn whole(body: Incoming, bytes_max: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::WrongForm),
        Err(_) => Err(Failure::BrokeOff),
    }
}

/// Returns a body as it comes.
pub(super) fn chunks(body: Incoming) -> Chunks {
    BodyDataStream::new(body).map(|chunk| chunk.map_err(|_| Failure::BrokeOff)).boxed()
}
