//! How to reach a service: a channel over mTLS, or a call in this process.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::TryFutureExt;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    service::Routes,
    transport::{Channel, Endpoint, Uri},
};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use super::{Transport, Unreachable, admit::AdmitInside, reload::ClientTls};

/// Where a cloud tells its machines of themselves, besides a link-local address.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Longest time to connect and shake hands.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why an address is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not `https://host:port`.
    #[error("{0:?} is not of the form https://host:port")]
    Address(String),
    /// It is not `https://host:port/path`.
    #[error("{0:?} is not of the form https://host:port/path, of letters, digits and -._~ in the path")]
    Base(String),
    /// It is an address at which no member is.
    #[error(
        "{0:?} is no address of a server: link-local, multicast and unspecified addresses are refused, and numbers that are no \
         plain address"
    )]
    Host(String),
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
    if bare && complete { of_a_server(uri) } else { Err(wrong()) }
}

/// Refuses addresses at which no server of another organisation can be, but perhaps something that trusts its neighbours, such as
/// the metadata service of a cloud (169.254.169.254).
fn of_a_server(uri: Uri) -> Result<Uri, Error> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let refused = match host.parse::<IpAddr>() {
        Ok(address) => !is_of_a_server(address),
        // What resolves names reads it as an address all the same: 2852039166, 0xa9fea9fe, 169.254.43518.
        Err(_) => ends_in_a_number(host),
    };
    if refused { Err(Error::Host(host.to_owned())) } else { Ok(uri) }
}

/// True when a host is an address and no name (WHATWG URL, "ends in a number").
fn ends_in_a_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let decimal = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    decimal || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// True for addresses at which a server of another organisation can be.
fn is_of_a_server(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_link_local() || v4.is_multicast() || v4.is_unspecified() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            let own =
                v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified() || v6 == METADATA_V6;
            // What a gateway makes an IPv4 address of (RFC 6052, 2.1).
            let gateway = v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
            let [.., a, b, c, d] = v6.octets();
            !own && (!gateway || is_of_a_server(IpAddr::from([a, b, c, d])))
        }
    }
}

/// Finds the addresses of a host, except those at which no server of another organisation can be: a name may lead anywhere.
///
/// # Errors
/// With `PermissionDenied` when none is left.
pub async fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    let addresses: Vec<_> = found.filter(|address| is_of_a_server(address.ip())).collect();
    if addresses.is_empty() {
        let text = "the host has no address at which a server may be";
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, text));
    }
    Ok(addresses)
}

/// Parses a base URL of the form `https://host:port/path`. Its path is of characters that every parser reads the same way, so
/// that what lies within the base is beyond doubt.
pub fn base(text: &str) -> Result<Uri, Error> {
    let wrong = || Error::Base(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let plain = |part: &str| {
        let letters = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        letters && !part.is_empty() && part != "." && part != ".."
    };
    let path = uri.path().trim_end_matches('/').trim_start_matches('/');
    let path_is_plain = path.is_empty() || path.split('/').all(plain);
    let slashes = uri.path().contains("//");
    // The parser drops a fragment.
    let extra = text.contains(['#', '?', '@', '\\']);
    let complete = uri.scheme_str() == Some("https") && uri.host().is_some() && uri.port_u16().is_some();
    if complete && path_is_plain && !slashes && !extra { of_a_server(uri) } else { Err(wrong()) }
}

/// Makes a channel that connects when it is first used. `server_name` is the name that the server's certificate
/// must carry. When other certificates come into force, calls go over a new connection, and those under way finish on the old.
pub fn remote(uri: &str, server_name: &str, tls: impl Into<ClientTls>) -> Result<Transport, Error> {
    let uri = address(uri)?;
    let server_name = ServerName::try_from(server_name.to_owned())
        .map_err(|_| Error::ServerName(server_name.to_owned()))?;
    let tls = tls.into();
    if let ClientTls::Fixed(_) = tls {
        return Ok(BoxCloneSyncService::new(channel(uri, server_name, tls).map_err(Unreachable::new)));
    }
    let known: Arc<Mutex<Option<(u64, Channel)>>> = Arc::default();
    let call = move |request| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = tls.generation();
        let channel = match &*known {
            Some((of, channel)) if *of == generation => channel.clone(),
            _ => {
                let channel = channel(uri.clone(), server_name.clone(), tls.clone());
                *known = Some((generation, channel.clone()));
                channel
            }
        };
        channel.oneshot(request).map_err(Unreachable::new)
    };
    Ok(BoxCloneSyncService::new(tower::service_fn(call)))
}

fn channel(uri: Uri, server_name: ServerName<'static>, tls: ClientTls) -> Channel {
    let connect = tower::service_fn(move |uri: Uri| {
        let (connector, server_name) = (TlsConnector::from(tls.config()), server_name.clone());
        async move {
            // IPv6 literals stand in brackets in a URI and without them in an address.
            let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let addresses = resolve(host, uri.port_u16().unwrap_or(443)).await?;
            let tcp = TcpStream::connect(&addresses[..]).await?;
            tcp.set_nodelay(true)?;
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(server_name, tcp).await?))
        }
    });
    Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .connect_with_connector_lazy(connect)
}

/// Makes a transport to routes in this process.
pub fn in_process(routes: Routes) -> Transport {
    let service = ServiceBuilder::new().layer_fn(AdmitInside::new).service(routes.prepare());
    BoxCloneSyncService::new(service.map_err(Unreachable::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_leads_to_a_neighbour_is_refused_as_an_address_and_once_resolved() {
        for host in [
            "2852039166",
            "0xa9fea9fe",
            "169.254.43518",
            "0251.0376.0251.0376",
            "0xa9.0xfe.43518",
            "169.254.169.254",
        ] {
            assert!(matches!(address(&format!("https://{host}:443")), Err(Error::Host(_))), "{host}");
            assert!(matches!(base(&format!("https://{host}:443/fhir")), Err(Error::Host(_))), "{host}");
            let refused = resolve(host, 443).await.unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "{host}: {refused}");
        }
        for host in ["169.254.169.254.", "[64:ff9b::a9fe:a9fe]", "0x", "a.0x7f", "1"] {
            assert!(matches!(address(&format!("https://{host}:443")), Err(Error::Host(_))), "{host}");
        }
        for host in [
            "127.0.0.1",
            "10.0.0.7",
            "[::1]",
            "[64:ff9b::a00:7]",
            "cafe.de",
            "0x7.example",
            "1.example",
            "decade",
        ] {
            address(&format!("https://{host}:443")).unwrap();
        }
        assert!(resolve("localhost", 443).await.unwrap().iter().all(|address| address.ip().is_loopback()));
    }
}
