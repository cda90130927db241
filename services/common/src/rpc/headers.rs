//! What the headers of a call say of it: its token, in whose name it is, by when it is to be answered.

use std::time::Duration;

use http::HeaderMap;
use prost::Message;
use signpost_proto::common::v1::Caller;
use tokio::time::Instant;
use tonic::{Status, metadata::MetadataMap};

use super::{CALLER_METADATA, DEADLINE_DEFAULT, status};

/// Longest deadline that a caller may ask for.
const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// Returns the token of a call.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(http::header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Reads in whose name a service of the exchange calls.
pub(super) fn forwarded_caller(headers: &HeaderMap) -> Result<Caller, Status> {
    let wrong = || status::unauthenticated("CALLER_MALFORMED", "the forwarded caller cannot be read");
    let mut one = HeaderMap::with_capacity(1);
    one.insert(CALLER_METADATA, headers.get(CALLER_METADATA).ok_or_else(wrong)?.clone());
    let metadata = MetadataMap::from_headers(one);
    let value = metadata.get_bin(CALLER_METADATA).ok_or_else(wrong)?;
    Caller::decode(value.to_bytes().map_err(|_| wrong())?).map_err(|_| wrong())
}

/// Reads `grpc-timeout`: digits and a unit (gRPC over HTTP/2, Requests).
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = (digits.len() <= 8).then(|| digits.parse().ok()).flatten()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Returns when the answer is no longer wanted.
pub(super) fn deadline(headers: &HeaderMap) -> Instant {
    Instant::now() + timeout(headers).unwrap_or(DEADLINE_DEFAULT).min(DEADLINE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            timeout(&headers)
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        for bad in ["", "S", "1", "x", "123456789S", "-1S", "1é"] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_bytes(bad.as_bytes()).unwrap());
            assert_eq!(timeout(&headers), None, "{bad}");
        }
    }
}
