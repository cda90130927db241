//! Admission: the one place where it is found out who calls, and whether they may.
//!
//! [`Admit`] stands before the services on the wire; [`AdmitInside`] before the same services when they are called
//! in this process, where the caller is a service of the exchange by construction. Both hand the handler a
//! [`Context`] and hold the call to its deadline, up to the first message of a stream. A refusal names the check that failed, and is audited.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use opentelemetry::{KeyValue, metrics::Histogram};
use prost::Message;
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::Caller,
    directory::v1::MemberKind,
};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tower::{Layer, Service};
use tracing::Instrument;

use super::{
    CALLER_METADATA, Context, DEADLINE_DEFAULT,
    access::{self, Rule},
    audit::AuditTrail,
    identity::Identities,
    server::Peer,
    status, token,
};
use crate::{clock::SharedClock, telemetry};

/// Longest deadline that a caller may ask for.
const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// Decides on calls from the wire.
#[derive(Clone)]
pub struct Admission(Arc<Parts>);

struct Parts {
    identities: Box<dyn Identities>,
    audit: Option<AuditTrail>,
    clock: SharedClock,
    duration: Histogram<f64>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission")
    }
}

impl Admission {
    /// Admits members that `identities` knows; refusals go to `audit`, where there is one.
    pub fn new(identities: impl Identities, audit: Option<AuditTrail>, clock: SharedClock) -> Self {
        let duration = opentelemetry::global::meter("signpost")
            .f64_histogram("rpc.server.duration")
            .with_unit("s")
            .with_description("Time until a call was answered, or its stream began")
            .build();
        Self(Arc::new(Parts { identities: Box::new(identities), audit, clock, duration }))
    }

    /// Finds out who calls, and whether they may. On refusal says also who it seemed to be.
    async fn admit(
        &self,
        method: &str,
        peer: &Peer,
        headers: &HeaderMap,
    ) -> Result<Context, (Caller, Status)> {
        let mut seen = Caller::default();
        let result = self.identify(method, peer, headers, &mut seen).await;
        result.map_err(|status| (seen, status))
    }

    async fn identify(
        &self,
        method: &str,
        peer: &Peer,
        headers: &HeaderMap,
        seen: &mut Caller,
    ) -> Result<Context, Status> {
        let rule = access::rule(method)
            .ok_or_else(|| status::error(Code::Unimplemented, "METHOD_UNKNOWN", "there is no such method"))?;
        let certificate = match peer {
            Peer::Certificate(facts) => facts,
            Peer::NoCertificate => {
                return Err(status::unauthenticated(
                    "CERTIFICATE_MISSING",
                    "the connection has no client certificate",
                ));
            }
            Peer::NoMember => {
                return Err(status::unauthenticated(
                    "CERTIFICATE_WITHOUT_MEMBER",
                    "the client certificate names no member",
                ));
            }
        };
        if certificate.not_after <= self.0.clock.now() {
            return Err(status::unauthenticated("CERTIFICATE_EXPIRED", "the client certificate has expired"));
        }
        if rule.open {
            let caller = Caller { member_id: certificate.member_id.to_string(), ..Caller::default() };
            return Ok(Context { caller, inside: false, operator: false, deadline: deadline(headers) });
        }
        let party = self.0.identities.resolve(certificate).await.map_err(|error| {
            tracing::error!(code = ?error.code(), "directory does not answer");
            status::unavailable("DIRECTORY_UNAVAILABLE", "the directory does not answer: nobody is admitted")
        })?;
        let party = party.ok_or_else(|| {
            status::unauthenticated(
                "MEMBER_UNKNOWN",
                "the client certificate is not that of an active member",
            )
        })?;
        seen.member_id = party.member_id.to_string();
        let forwarded = headers.get(CALLER_METADATA);
        if party.kind == MemberKind::Exchange {
            inside(rule)?;
            let caller = match forwarded {
                Some(_) => forwarded_caller(headers)?,
                None => Context::exchange(party.member_id.as_str()).caller,
            };
            return Ok(Context { caller, inside: true, operator: false, deadline: deadline(headers) });
        }
        if forwarded.is_some() {
            return Err(status::denied(
                "CALLER_FORGED",
                "only services of the exchange may forward a caller",
            ));
        }
        let operator = party.kind == MemberKind::Operator;
        let context = |caller| Context { caller, inside: false, operator, deadline: deadline(headers) };
        let bearer = bearer(headers);
        let caller = token::verify(bearer, &party, &certificate.fingerprint, self.0.clock.now());
        let caller = caller.map_err(|refusal| match refusal {
            token::Refusal::PurposeNotGranted => status::denied(refusal.reason(), refusal.to_string()),
            _ => status::unauthenticated(refusal.reason(), refusal.to_string()),
        })?;
        *seen = caller.clone();
        if !rule.permits(party.kind, caller.role()) {
            return Err(status::denied("ROLE_NOT_PERMITTED", "the user's role may not call this method"));
        }
        Ok(context(caller))
    }

    /// Records a refusal. A refusal stands even when it cannot be recorded.
    async fn audit_refusal(&self, method: &str, peer: &Peer, caller: Caller, refusal: &Status) {
        let reason = status::reason(refusal);
        tracing::warn!(method, member = caller.member_id, reason, "call refused");
        let Some(audit) = &self.0.audit else { return };
        let event = Event {
            kind: EventKind::Refusal.into(),
            action: method.to_owned(),
            outcome: EventOutcome::Refused.into(),
            reason,
            // Whom the certificate names, whether or not the directory knows it.
            object_id: match peer {
                Peer::Certificate(facts) => facts.member_id.to_string(),
                Peer::NoMember | Peer::NoCertificate => String::new(),
            },
            ..Event::default()
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        let context = Context { caller, inside: false, operator: false, deadline };
        // The trail logs its own failure.
        audit.append(&context, event).await.ok();
    }
}

fn inside(rule: &Rule) -> Result<(), Status> {
    if rule.exchange {
        Ok(())
    } else {
        Err(status::denied("ROLE_NOT_PERMITTED", "services of the exchange may not call this method"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(http::header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn forwarded_caller(headers: &HeaderMap) -> Result<Caller, Status> {
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

fn deadline(headers: &HeaderMap) -> Instant {
    Instant::now() + timeout(headers).unwrap_or(DEADLINE_DEFAULT).min(DEADLINE_MAX)
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs an admitted call up to its deadline.
async fn run<S>(
    inner: &mut S,
    mut request: Request<Body>,
    context: Context,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let deadline = context.deadline;
    request.extensions_mut().insert(context);
    match tokio::time::timeout_at(deadline, inner.call(request)).await {
        Ok(response) => response,
        Err(_) => {
            let late = status::error(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the deadline has passed");
            Ok(late.into_http())
        }
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Admit<S> {
        Admit { inner, admission: self.clone() }
    }
}

/// Admission of calls from the wire.
#[derive(Debug, Clone)]
pub struct Admit<S> {
    inner: S,
    admission: Admission,
}

impl<S> Service<Request<Body>> for Admit<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.inner.poll_ready(cx))?;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let admission = self.admission.clone();
        // What is no method of ours is not repeated in logs and labels: a stranger may have made it up.
        let method = access::rule(request.uri().path()).map_or("unknown", |rule| rule.method);
        let span = tracing::info_span!("rpc", method);
        telemetry::adopt(&span, request.headers());
        Box::pin(
            async move {
                let began = Instant::now();
                let peer = request.extensions().get::<Peer>().cloned().unwrap_or(Peer::NoCertificate);
                let response = match admission.admit(method, &peer, request.headers()).await {
                    Ok(context) => run(&mut inner, request, context).await,
                    Err((caller, refusal)) => {
                        admission.audit_refusal(method, &peer, caller, &refusal).await;
                        Ok(refusal.into_http())
                    }
                };
                let code = match &response {
                    Ok(response) => {
                        Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code())
                    }
                    Err(_) => Code::Internal,
                };
                let labels = [KeyValue::new("method", method), KeyValue::new("code", format!("{code:?}"))];
                admission.0.duration.record(began.elapsed().as_secs_f64(), &labels);
                response
            }
            .instrument(span),
        )
    }
}

/// Admission of calls in this process.
#[derive(Debug, Clone)]
pub struct AdmitInside<S>(S);

impl<S> AdmitInside<S> {
    /// Stands before a service.
    pub fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S> Service<Request<Body>> for AdmitInside<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.0.clone();
        let mut inner = std::mem::replace(&mut self.0, clone);
        Box::pin(async move {
            let headers = request.headers();
            let rule = access::rule(request.uri().path()).ok_or_else(|| {
                status::error(Code::Unimplemented, "METHOD_UNKNOWN", "there is no such method")
            });
            let admitted = rule.and_then(inside).and_then(|()| forwarded_caller(headers));
            match admitted {
                Ok(caller) => {
                    let deadline = deadline(headers);
                    let context = Context { caller, inside: true, operator: false, deadline };
                    run(&mut inner, request, context).await
                }
                Err(refusal) => Ok(refusal.into_http()),
            }
        })
    }
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
