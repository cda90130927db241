//! How to reach a service: a channel over mTLS, or a call in this process.

use std::{sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    service::Routes,
    transport::{Endpoint, Uri},
};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use super::{Transport, Unreachable, admit::AdmitInside};

/// Longest time to connect and shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why an address is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not `https://host:port`.
    #[error("{0:?} is not of the form https://host:port")]
    Address(String),
    /// It is not a name that a certificate can carry.
    #[error("{0:?} is not a server name")]
    ServerName(String),
}

/// Parses an address of the form `https://host:port`.
pub fn address(text: &str) -> Result<Uri, Error> {
    let wrong = || Error::Address(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let bare = uri.path().trim_matches('/').is_empty() && uri.query().is_none();
    let complete = uri.scheme_str() == Some("https") && uri.host().is_some() && uri.port().is_some();
    if bare && complete { Ok(uri) } else { Err(wrong()) }
}

/// Makes a channel that connects when it is first used. `server_name` is the name that the server's certificate
/// must carry.
pub fn remote(uri: &str, server_name: &str, tls: Arc<ClientConfig>) -> Result<Transport, Error> {
    let uri = address(uri)?;
    let server_name = ServerName::try_from(server_name.to_owned())
        .map_err(|_| Error::ServerName(server_name.to_owned()))?;
    let connector = TlsConnector::from(tls);
    let connect = tower::service_fn(move |uri: Uri| {
        let (connector, server_name) = (connector.clone(), server_name.clone());
        async move {
            // IPv6 literals stand in brackets in a URI and without them in an address.
            let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let tcp = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
            tcp.set_nodelay(true)?;
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(server_name, tcp).await?))
        }
    });
    let channel = Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .connect_with_connector_lazy(connect);
    Ok(BoxCloneSyncService::new(channel.map_err(Unreachable::new)))
}

/// Makes a transport to routes in this process.
pub fn in_process(routes: Routes) -> Transport {
    let service = ServiceBuilder::new().layer_fn(AdmitInside::new).service(routes.prepare());
    BoxCloneSyncService::new(service.map_err(Unreachable::new))
}
