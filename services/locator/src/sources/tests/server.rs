//! An HTTPS server in this process that answers each path as it is told.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future, stream, stream::BoxStream};
use http::{HeaderMap, Request, Response};
use http_body_util::StreamBody;
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Who vouches for names.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&pair).unwrap().der().clone();
        Self { issuer: Issuer::new(params, pair), certificate }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }

    fn issue(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&pair, &self.issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(pair.serialize_der()).unwrap())
    }

    /// Returns a client that trusts this authority and was certified by that one.
    pub(super) fn client(&self, certified_by: &Self) -> Arc<ClientConfig> {
        let (chain, key) = certified_by.issue("exchange");
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = config.with_client_auth_cert(chain, key).unwrap();
        // As for gRPC.
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// Returns a server of this name, which asks for a client's certificate or does not.
    pub(super) fn server(&self, name: &str, protocols: &[&str], asks: bool) -> Arc<ServerConfig> {
        let (chain, key) = self.issue(name);
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), provider()).build().unwrap();
        let config =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).unwrap();
        let config =
            if asks { config.with_client_cert_verifier(verifier) } else { config.with_no_client_auth() };
        let mut config = config.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// What comes of a body: after which time, and `None` for a connection that is cut.
pub(super) type Piece = (Duration, Option<Bytes>);

/// An answer; without a status there is none.
#[derive(Clone, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) pieces: Vec<Piece>,
}

impl Answer {
    pub(super) fn new(content_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let headers =
            vec![("content-type", content_type.to_owned()), ("content-length", bytes.len().to_string())];
        Self { status: 200, headers, pieces: vec![(Duration::ZERO, Some(bytes))] }
    }

    pub(super) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

/// What was asked for.
pub(super) struct Asked {
    pub(super) path_and_query: String,
    pub(super) headers: HeaderMap,
    /// True when a client's certificate came along.
    pub(super) certified: bool,
}

pub(super) struct Server {
    pub(super) port: u16,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Body = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

fn body(pieces: Vec<Piece>) -> Body {
    let pieces = stream::iter(pieces).then(async |(time, piece)| {
        tokio::time::sleep(time).await;
        piece.map(Frame::data).ok_or_else(|| io::Error::other("cut"))
    });
    StreamBody::new(pieces.boxed())
}

impl Server {
    /// Starts it. A path that it was not told of is not found.
    pub(super) async fn start(tls: Arc<ServerConfig>, answers: Vec<(&str, Answer)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, asked) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<Asked>>>::default());
        let answers = answers.into_iter().map(|(path, answer)| (path.to_owned(), answer));
        let answers: Arc<HashMap<String, Answer>> = Arc::new(answers.collect());
        let (counted, noted) = (connections.clone(), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Relaxed);
                let (answers, noted) = (answers.clone(), noted.clone());
                let handshake = TlsAcceptor::from(tls.clone()).accept(tcp);
                tokio::spawn(async move {
                    let Ok(connection) = handshake.await else { return };
                    let certified = connection.get_ref().1.peer_certificates().is_some();
                    let serve = service_fn(|request: Request<Incoming>| {
                        let path_and_query = request.uri().path_and_query().unwrap().to_string();
                        let answer = answers.get(request.uri().path());
                        let answer = answer.cloned().unwrap_or(Answer::status(404));
                        let headers = request.headers().clone();
                        noted.lock().unwrap().push(Asked { path_and_query, headers, certified });
                        reply(answer)
                    });
                    // Clients that leave are as it should be.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(connection), serve)
                        .await;
                });
            }
        });
        Self { port, connections, asked, task }
    }

    pub(super) fn connected(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Returns paths and queries in the order in which they were asked for.
    pub(super) fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.path_and_query.clone()).collect()
    }
}

async fn reply(answer: Answer) -> Result<Response<Body>, Infallible> {
    let Answer { status, headers, pieces } = answer;
    if status == 0 {
        future::pending::<()>().await;
    }
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(body(pieces)).unwrap())
}
