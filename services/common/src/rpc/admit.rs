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

use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use opentelemetry::{KeyValue, metrics::Histogram};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::Caller,
    directory::v1::{CertificateState, MemberKind},
};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::Instrument;

use super::{
    CALLER_METADATA, Context,
    access::{self, Rule},
    audit::AuditTrail,
    connection::{Activity, Info, Peer},
    headers::{bearer, deadline, forwarded_caller},
    identity::{Identities, Party},
    limits::{Gate, Limits, Places},
    pem::Facts,
    replay::{self, Use},
    status, stream,
    tls::Distrust,
    token,
};
use crate::{clock::SharedClock, telemetry};

/// How often it is asked, while an answer flows, whether it still may.
const JUDGE_EVERY: Duration = Duration::from_secs(1);

/// How long an answer flows on while the directory does not say.
const UNANSWERED_MAX: Duration = Duration::from_secs(10);

/// Decides on calls from the wire.
#[derive(Clone)]
pub struct Admission(Arc<Parts>);

struct Parts {
    identities: Box<dyn Identities>,
    audit: Option<AuditTrail>,
    clock: SharedClock,
    gate: Gate,
    duration: Histogram<f64>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission")
    }
}

impl Admission {
    /// Admits members that `identities` knows, within limits; refusals go to `audit`, where there is one.
    pub fn new(
        identities: impl Identities,
        audit: Option<AuditTrail>,
        limits: Limits,
        clock: SharedClock,
    ) -> Self {
        let duration = opentelemetry::global::meter("signpost")
            .f64_histogram("rpc.server.duration")
            .with_unit("s")
            .with_description("Time until a call was answered, or its stream began")
            .build();
        let (identities, gate) = (Box::new(identities), Gate::new(limits));
        Self(Arc::new(Parts { identities, audit, clock, gate, duration }))
    }

    /// Finds out who calls, and whether they may. On refusal says also who it seemed to be.
    async fn admit(&self, method: &str, peer: &Peer, headers: &HeaderMap) -> Result<Admitted, Refused> {
        let mut seen = Seen::default();
        let result = self.identify(method, peer, headers, &mut seen).await;
        result.map_err(|status| Refused { seen, status })
    }

    async fn identify(
        &self,
        method: &str,
        peer: &Peer,
        headers: &HeaderMap,
        seen: &mut Seen,
    ) -> Result<Admitted, Status> {
        let rule = access::rule(method)
            .ok_or_else(|| status::error(Code::Unimplemented, "METHOD_UNKNOWN", "there is no such method"))?;
        let shown = match peer {
            Peer::Certificate(shown) => shown,
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
        distrusted(shown.holds(self.0.clock.now()))?;
        let certificate = &shown.facts;
        if rule.open {
            // Whose the certificate is, nobody was asked.
            let counted = hex::encode(certificate.fingerprint);
            self.0.gate.member(&counted)?;
            let caller = Caller { member_id: certificate.member_id.to_string(), ..Caller::default() };
            let context = Context { caller, inside: false, operator: false, deadline: deadline(headers) };
            return Ok(Admitted { context, token: None, counted: Some(counted), proven: false });
        }
        let resolved = self.0.identities.resolve(certificate).await.map_err(unanswered)?;
        let party = resolved.map_err(|state| unknown(state, seen))?;
        seen.caller.member_id = party.member_id.to_string();
        seen.found = true;
        match party.kind {
            MemberKind::Exchange => from_inside(rule, &party, headers),
            _ => self.user(rule, &party, certificate, headers, seen).await,
        }
    }

    /// Finds out for which user a member calls.
    async fn user(
        &self,
        rule: &Rule,
        party: &Party,
        certificate: &Facts,
        headers: &HeaderMap,
        seen: &mut Seen,
    ) -> Result<Admitted, Status> {
        self.0.gate.member(party.member_id.as_str())?;
        if headers.contains_key(CALLER_METADATA) {
            return Err(status::denied(
                "CALLER_FORGED",
                "only services of the exchange may forward a caller",
            ));
        }
        let operator = party.kind == MemberKind::Operator;
        let bearer = bearer(headers);
        let verified = token::verify(bearer, party, &certificate.fingerprint, self.0.clock.now());
        let token::Verified { caller, used } = verified.map_err(|refusal| match refusal {
            token::Refusal::PurposeNotGranted => status::denied(refusal.reason(), refusal.to_string()),
            _ => token_refused(refusal),
        })?;
        seen.caller = caller.clone();
        self.0.gate.user(&caller.member_id, &caller.user)?;
        if !rule.permits(party.kind, caller.role()) {
            return Err(status::denied("ROLE_NOT_PERMITTED", "the user's role may not call this method"));
        }
        let context = Context { caller, inside: false, operator, deadline: deadline(headers) };
        let counted = Some(party.member_id.to_string());
        // Last, so that only what would be admitted is remembered.
        let token = match rule.only_looks() {
            true => Some(used),
            false => self.clone().use_token(used).await.map(|()| None)?,
        };
        Ok(Admitted { context, token, counted, proven: true })
    }

    /// Uses a token, which counts once.
    async fn use_token(self, used: Use) -> Result<(), Status> {
        match self.0.identities.use_token(used).await.map_err(unanswered)? {
            true => Ok(()),
            false => Err(token_refused(token::Refusal::Replayed)),
        }
    }

    /// Runs an admitted call, and uses its token meanwhile. A token that does not count ends the call, and nothing of it is
    /// recorded but the refusal.
    async fn run<S>(
        &self,
        inner: &mut S,
        request: Request<Body>,
        admitted: Admitted,
    ) -> Result<Result<Response<Body>, S::Error>, Refused>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let Admitted { context, token, .. } = admitted;
        let Some(token) = token else { return Ok(run(inner, request, context).await) };
        let caller = context.caller.clone();
        let using = replay::using(self.clone().use_token(token));
        let answered = replay::during(using.clone(), run(inner, request, context)).map(Ok);
        let refused = |status| Refused { seen: Seen { caller, cause: None, found: true }, status };
        tokio::try_join!(using, answered).map(|((), answer)| answer).map_err(refused)
    }

    /// Answers a call that is refused. Of who is refused again and again not every time is recorded, and the answer is held
    /// back: a flood must cost others nothing.
    async fn refuse(&self, method: &str, info: &Info, refused: Refused) -> Response<Body> {
        let gate = &self.0.gate;
        // Another connection may have another certificate.
        if status::reason(&refused.status).starts_with("CERTIFICATE_") {
            info.activity.end();
        }
        if refused.seen.cause.is_some() {
            info.activity.disprove();
        }
        // A member's refusals are told for it alone: others may hold certificates that name it.
        let whose = match &info.peer {
            Peer::Certificate(shown) if refused.seen.found => shown.facts.member_id.to_string(),
            Peer::Certificate(shown) => hex::encode(shown.facts.fingerprint),
            Peer::NoMember | Peer::NoCertificate => String::new(),
        };
        let answer = refused.status.clone();
        let wait = match gate.tells(&whose) {
            Some(untold) => {
                if untold > 0 {
                    tracing::warn!(untold, "refusals were not recorded one by one");
                }
                self.audit_refusal(method, &info.peer, refused).await;
                status::retry_after(&answer).filter(|_| answer.code() == Code::ResourceExhausted)
            }
            None => Some(Duration::MAX),
        };
        if let Some(wait) = wait {
            gate.hold(wait).await;
        }
        answer.into_http()
    }

    /// Completes when whom an answer goes to may not have it any more: the certificate has ended or was revoked, or its member
    /// was suspended.
    async fn judge(self, method: &'static str, info: Info, caller: Caller) -> Status {
        let Peer::Certificate(shown) = &info.peer else { return std::future::pending().await };
        let open = access::rule(method).is_none_or(|rule| rule.open);
        let mut answered = Instant::now();
        loop {
            tokio::time::sleep(JUDGE_EVERY).await;
            let mut seen = Seen { caller: caller.clone(), ..Seen::default() };
            let mut verdict = distrusted(shown.holds(self.0.clock.now()));
            if verdict.is_ok() && !open {
                verdict = match self.0.identities.resolve(&shown.facts).await {
                    Ok(resolved) => {
                        answered = Instant::now();
                        resolved.map(drop).map_err(|state| unknown(state, &mut seen))
                    }
                    // The next calls are refused at once. What flows is given a little time.
                    Err(error) if answered.elapsed() >= UNANSWERED_MAX => Err(unanswered(error)),
                    Err(_) => Ok(()),
                };
            }
            if let Err(status) = verdict {
                self.audit_refusal(method, &info.peer, Refused { seen, status: status.clone() }).await;
                return status;
            }
        }
    }

    /// Finds places for a call that was admitted, and for its connection.
    async fn places(&self, activity: &Activity, admitted: &Admitted) -> Result<Places, Refused> {
        let Admitted { context, counted, proven, .. } = admitted;
        let places = if *proven && !activity.prove() {
            // The others may be in use for long.
            activity.end();
            let text = "this member has as many connections as it may have: use those";
            let subject = format!("member:{}", context.caller.member_id);
            Err(status::quota("TOO_MANY_CONNECTIONS", &subject, text, Duration::from_secs(1)))
        } else {
            self.0.gate.places(counted.as_deref()).await
        };
        places.map_err(|status| {
            let seen = Seen { caller: context.caller.clone(), cause: None, found: *proven };
            Refused { seen, status }
        })
    }

    /// Records a refusal, and which check failed. A refusal stands even when it cannot be recorded.
    async fn audit_refusal(&self, method: &str, peer: &Peer, refused: Refused) {
        let Refused { seen: Seen { caller, cause, .. }, status } = refused;
        let reason = match cause {
            // The caller learns that it is not admitted, the operator why.
            Some(CertificateState::MemberSuspended) => "MEMBER_SUSPENDED".to_owned(),
            Some(state) => state.as_str_name().replace("_STATE_", "_"),
            None => status::reason(&status),
        };
        let check = status.message();
        tracing::warn!(method, member = caller.member_id, ?peer, reason, check, "call refused");
        let Some(audit) = &self.0.audit else { return };
        let event = Event {
            kind: EventKind::Refusal.into(),
            action: method.to_owned(),
            outcome: EventOutcome::Refused.into(),
            reason,
            // Whom the certificate names, whether or not the directory knows it.
            object_id: match peer {
                Peer::Certificate(shown) => shown.facts.member_id.to_string(),
                Peer::NoMember | Peer::NoCertificate => String::new(),
            },
            ..Event::default()
        };
        record(audit, caller, event).await;
    }

    /// Records that a connection was refused for its certificate.
    pub(super) async fn audit_handshake(&self, distrust: Distrust) {
        let Some(audit) = self.0.audit.as_ref().filter(|_| self.0.gate.tells("").is_some()) else { return };
        let event = Event {
            kind: EventKind::Refusal.into(),
            action: "handshake".into(),
            outcome: EventOutcome::Refused.into(),
            reason: distrust.reason().into(),
            ..Event::default()
        };
        record(audit, Caller::default(), event).await;
    }
}

async fn record(audit: &AuditTrail, caller: Caller, event: Event) {
    let deadline = Instant::now() + Duration::from_secs(5);
    let context = Context { caller, inside: false, operator: false, deadline };
    // The trail logs its own failure.
    audit.append(&context, event).await.ok();
}

/// Who a call seems to come from, as far as it was found out.
#[derive(Default)]
struct Seen {
    caller: Caller,
    /// What the directory says of a certificate that it does not admit.
    cause: Option<CertificateState>,
    /// True when the directory says that the certificate is the member's.
    found: bool,
}

/// A call that was admitted.
struct Admitted {
    context: Context,
    /// Its token, when it is used while the call is under way: the answer waits for both.
    token: Option<Use>,
    /// By what it is counted: its member, or its certificate where nobody knows whose it is; nothing inside of the exchange.
    counted: Option<String>,
    /// True when the directory says that the certificate is the caller's.
    proven: bool,
}

/// A call that was refused.
struct Refused {
    seen: Seen,
    status: Status,
}

fn distrusted(holds: Result<(), Distrust>) -> Result<(), Status> {
    holds.map_err(|distrust| status::unauthenticated(distrust.reason(), distrust.to_string()))
}

fn unknown(state: CertificateState, seen: &mut Seen) -> Status {
    seen.cause = Some(state);
    status::unauthenticated("MEMBER_UNKNOWN", "the client certificate is not that of an active member")
}

fn token_refused(refusal: token::Refusal) -> Status {
    status::unauthenticated(refusal.reason(), refusal.to_string())
}

fn unanswered(error: Status) -> Status {
    tracing::error!(code = ?error.code(), "directory does not answer");
    status::unavailable("DIRECTORY_UNAVAILABLE", "the directory does not answer: nobody is admitted")
}

fn inside(rule: &Rule) -> Result<(), Status> {
    if rule.exchange {
        Ok(())
    } else {
        Err(status::denied("ROLE_NOT_PERMITTED", "services of the exchange may not call this method"))
    }
}

/// Finds out in whose name a service of the exchange calls.
fn from_inside(rule: &Rule, party: &Party, headers: &HeaderMap) -> Result<Admitted, Status> {
    inside(rule)?;
    let caller = match headers.contains_key(CALLER_METADATA) {
        true => forwarded_caller(headers)?,
        false => Context::exchange(party.member_id.as_str()).caller,
    };
    let context = Context { caller, inside: true, operator: false, deadline: deadline(headers) };
    Ok(Admitted { context, token: None, counted: None, proven: true })
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
        Ok(response) => response.map(|response| {
            let status = Status::from_header_map(response.headers());
            status.and_then(|status| status::named(&status)).map_or(response, Status::into_http)
        }),
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
                let info = request.extensions().get::<Info>().cloned();
                let info =
                    info.unwrap_or_else(|| Info { peer: Peer::NoCertificate, activity: Activity::begin() });
                let under_way = info.activity.call();
                let admitted = match admission.admit(method, &info.peer, request.headers()).await {
                    Ok(admitted) => {
                        let places = admission.places(&info.activity, &admitted).await;
                        places.map(|places| (admitted, places))
                    }
                    Err(refused) => Err(refused),
                };
                let mut answer = None;
                let response = match admitted {
                    Ok((admitted, mut places)) => {
                        answer = places.answer.take();
                        info.activity.admitted();
                        let caller = admitted.context.caller.clone();
                        let judged = admission.clone().judge(method, info.clone(), caller);
                        match admission.run(&mut inner, request, admitted).await {
                            Ok(response) => {
                                response.map(|response| response.map(|body| stream::until(body, judged)))
                            }
                            Err(refused) => Ok(admission.refuse(method, &info, refused).await),
                        }
                    }
                    Err(refused) => Ok(admission.refuse(method, &info, refused).await),
                };
                let kept = (under_way, answer);
                let response = response.map(|response| response.map(|body| info.activity.answer(body, kept)));
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
