//! The rules of a call: who calls, by when, under which trace; and what an error looks like.
//!
//! Every call goes through the same steps, whether the callee is in this process or behind mTLS: the caller
//! is verified ([`admit`]), checked against the table of who may call what ([`access`]), and handed to the
//! handler as a [`Context`]. Clients hold a [`Transport`] and cannot tell the two apart.

use std::time::Duration;

use jiff::Timestamp;
use prost::Message;
use signpost_proto::common::v1::{Caller, PurposeOfUse, Role};
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tower::util::BoxCloneSyncService;

use crate::telemetry;

pub mod access;
pub mod admit;
pub mod audit;
pub mod client;
pub mod connection;
mod headers;
pub mod identity;
pub mod limits;
pub mod page;
pub mod pem;
pub mod reload;
pub mod replay;
mod seat;
mod sending;
pub mod server;
pub mod status;
mod stream;
pub mod tls;
pub mod token;
pub mod watch;

/// What every generated client is built on: a channel, or a service in this process.
pub type Transport =
    BoxCloneSyncService<http::Request<tonic::body::Body>, http::Response<tonic::body::Body>, Unreachable>;

/// Why a call did not reach its service: UNAVAILABLE, or DEADLINE_EXCEEDED when its time ran out.
///
/// Left to itself the transport reports the same cut connection as one of three codes, as it happens.
#[derive(Debug, thiserror::Error)]
#[error("reaching the service")]
pub struct Unreachable(#[source] tonic::Status);

impl Unreachable {
    /// Wraps what the transport says.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let cause = cause.into();
        let mut root: &dyn std::error::Error = &*cause;
        loop {
            if root.is::<tonic::TimeoutExpired>() {
                return Self(tonic::Status::deadline_exceeded("the deadline has passed"));
            }
            let Some(next) = root.source() else { break };
            root = next;
        }
        // A library may say where to read on, which helps nobody here.
        let root = root.to_string();
        let root = root.split(": http").next().unwrap_or(&root);
        Self(tonic::Status::unavailable(format!("the service cannot be reached: {root}")))
    }
}

/// Metadata that carries the verified caller between services of the exchange.
pub const CALLER_METADATA: &str = "signpost-caller-bin";

/// Longest time a call may take when it does not say.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);

/// What is known of a call once it has been admitted.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who calls, as it was verified.
    pub caller: Caller,
    /// True when the call came from a service of the exchange, which may have forwarded someone else's.
    pub inside: bool,
    /// True when the caller belongs to the operator of the exchange.
    pub operator: bool,
    /// When the answer is no longer wanted.
    pub deadline: Instant,
}

impl Context {
    /// Makes the context of work that a service of the exchange does by itself.
    pub fn exchange(service: &str) -> Self {
        let caller = Caller {
            member_id: format!("exchange-{service}"),
            user: service.to_owned(),
            role: Role::System.into(),
            purpose: PurposeOfUse::Hoperat.into(),
            encounter: String::new(),
            exchange: true,
        };
        Self { caller, inside: true, operator: false, deadline: Instant::now() + DEADLINE_DEFAULT }
    }

    /// Takes the context that admission put into a request.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, tonic::Status> {
        // Absent only when a service is reached around the admission layer.
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(|| status::unauthenticated("NOT_ADMITTED", "the call did not go through admission"))
    }

    /// Makes a request to another service on behalf of the same caller.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let caller = MetadataValue::from_bytes(&self.caller.encode_to_vec());
        request.metadata_mut().insert_bin(CALLER_METADATA, caller);
        request.set_timeout(self.deadline.saturating_duration_since(Instant::now()));
        telemetry::inject(request.metadata_mut());
        request
    }

    /// Returns the same context with an earlier deadline.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + limit), ..self.clone() }
    }

    /// Returns who calls, as `member/user`.
    pub fn actor(&self) -> String {
        format!("{}/{}", self.caller.member_id, self.caller.user)
    }

    /// True when the caller acts as one of these roles.
    pub fn is(&self, roles: &[Role]) -> bool {
        roles.contains(&self.caller.role())
    }
}

/// Longest request id, in characters.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Checks the id of an attempt; empty when the sender gives none.
pub fn request_id(text: &str) -> Result<(), tonic::Status> {
    if text.chars().count() > REQUEST_ID_CHARS_MAX || text.chars().any(crate::text::is_unfit) {
        let text = "must be at most 128 characters, none of them a control or invisible one";
        return Err(status::invalid("request_id", text));
    }
    Ok(())
}

/// Returns a moment as stored: microseconds since 1970 UTC.
pub fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}
