//! Errors as callers see them: a code, a stable reason, and the fields at fault (AIP-193).

use std::{fmt::Display, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::db;

/// Domain of every reason.
pub const DOMAIN: &str = "signpost";

const NO_METADATA: [(String, String); 0] = [];

/// Makes an error with a stable reason, upper snake case.
pub fn error(code: Code, reason: &str, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, NO_METADATA);
    Status::with_error_details(code, message, details)
}

/// The caller is not who it says, or does not say.
pub fn unauthenticated(reason: &str, message: impl Into<String>) -> Status {
    error(Code::Unauthenticated, reason, message)
}

/// The caller may not do this.
pub fn denied(reason: &str, message: impl Into<String>) -> Status {
    error(Code::PermissionDenied, reason, message)
}

/// There is no such thing, or the caller may not know of it.
pub fn not_found(reason: &str, message: impl Into<String>) -> Status {
    error(Code::NotFound, reason, message)
}

/// The state of things does not allow it.
pub fn precondition(reason: &str, message: impl Into<String>) -> Status {
    error(Code::FailedPrecondition, reason, message)
}

/// Something else is there under the same id.
pub fn already_exists(reason: &str, message: impl Into<String>) -> Status {
    error(Code::AlreadyExists, reason, message)
}

/// A later release builds this.
pub fn unimplemented(what: &str) -> Status {
    error(Code::Unimplemented, "NOT_BUILT", format!("{what} is part of the contract and not built yet"))
}

/// It may work when tried again after a while.
pub fn unavailable(reason: &str, message: impl Into<String>) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, NO_METADATA);
    details.set_retry_info(Some(Duration::from_millis(500)));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// The caller asks too often; it may again after a while.
pub fn exhausted(reason: &str, message: impl Into<String>, retry_after: Duration) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, NO_METADATA);
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// A caller, `subject`, has asked for as much as it may; there is room again after a while.
pub fn quota(reason: &str, subject: &str, message: impl Into<String>, retry_after: Duration) -> Status {
    let message = message.into();
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, NO_METADATA);
    details.set_retry_info(Some(retry_after));
    details.add_quota_failure_violation(subject, message.clone());
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Returns after how long a call may be made again; `None` when that is not said.
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// Names what the library says of a message that cannot be read, which it takes for its own mistake.
pub fn named(status: &Status) -> Option<Status> {
    let text = status.message();
    Some(match status.code() {
        Code::Internal if text.starts_with("failed to decode Protobuf message") => {
            error(Code::InvalidArgument, "MESSAGE_MALFORMED", "the message is not of the form of its type")
        }
        Code::Internal if text.starts_with("protocol error: received message with") => {
            let text = "the message is said to be compressed, and nothing compressed is taken";
            error(Code::Unimplemented, "COMPRESSION_UNSUPPORTED", text)
        }
        Code::Unimplemented if text.starts_with("Content is compressed with") => {
            error(Code::Unimplemented, "COMPRESSION_UNSUPPORTED", "nothing compressed is taken")
        }
        Code::OutOfRange if text.contains("message length too large") => {
            error(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "the message is longer than 4 MiB")
        }
        _ => return None,
    })
}

/// A field of the request is wrong.
///
/// `field` is its path in the request, for instance `demographics.names[0].family`.
pub fn invalid(field: &str, message: impl Display) -> Status {
    let mut details = ErrorDetails::with_error_info("INVALID_FIELD", DOMAIN, NO_METADATA);
    details.add_bad_request_violation(field, message.to_string());
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {message}"), details)
}

/// Returns the reason of an error, empty when it has none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Returns the path of the first field at fault, empty when none is named.
pub fn field(status: &Status) -> String {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    violations.and_then(|v| v.into_iter().next()).map(|v| v.field).unwrap_or_default()
}

/// Logs a failure of the database and hides it from the caller.
pub fn database(error: &db::Error) -> Status {
    if let db::Error::RequestIdReused = error {
        return already_exists("REQUEST_ID_REUSED", error.to_string());
    }
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(%error, cause, "database failed");
    if let db::Error::Sealing(_) = error {
        let message =
            "the service has not the key for its data: its operator must restart it with the sealing key";
        return unavailable("SEALING_KEY_UNAVAILABLE", message);
    }
    unavailable("DATABASE_UNAVAILABLE", "the service cannot reach its data; try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_field_is_named() {
        let status = invalid("names[0].family", "must not be empty");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(field(&status), "names[0].family");
        assert_eq!(reason(&status), "INVALID_FIELD");
    }

    #[test]
    fn database_text_does_not_leave() {
        let status = database(&db::Error::Database(sqlx::Error::Protocol("secret".into())));
        assert!(!status.message().contains("secret"));
        assert!(status.get_details_retry_info().is_some());
    }
}
