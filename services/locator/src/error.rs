//! What goes wrong in the locator, and what callers see of it.

use signpost_common::rpc::status;
use tonic::{Code, Status};

/// Why the locator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The document does not exist, or the caller may not see it: the two are one answer.
    #[error("there is no such document")]
    DocumentUnknown,
    /// What was permitted when a release began is permitted no longer.
    #[error("the release was stopped: it is no longer permitted as it was; ask again")]
    Stopped,
    /// There is no such person, or the caller may not know of it.
    #[error("there is no such person")]
    PersonUnknown,
    /// More records are linked to one person than can be checked for directives.
    #[error("too many records are linked to this person to decide on; a steward must look")]
    TooManyRecords,
    /// A service of the exchange failed.
    #[error("the {0} does not answer; try again")]
    Service(&'static str),
    /// The member that holds the document does not answer.
    #[error("the member {member} cannot serve the document: {reason}")]
    Source {
        /// The member.
        member: String,
        /// Stable reason.
        reason: &'static str,
    },
    /// What the member sent is not what was registered.
    #[error("the member {member} sent something else than was registered: {reason}")]
    NotAsRegistered {
        /// The member.
        member: String,
        /// Stable reason.
        reason: &'static str,
    },
}

impl Error {
    /// Returns the stable reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::DocumentUnknown => "DOCUMENT_UNKNOWN",
            Self::Stopped => "NO_LONGER_PERMITTED",
            Self::PersonUnknown => "PERSON_UNKNOWN",
            Self::TooManyRecords => "TOO_MANY_RECORDS",
            Self::Service(_) => "SERVICE_UNAVAILABLE",
            Self::Source { reason, .. } | Self::NotAsRegistered { reason, .. } => reason,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (text, reason) = (error.to_string(), error.reason());
        match error {
            Error::DocumentUnknown | Error::PersonUnknown => status::not_found(reason, text),
            Error::Stopped => status::error(Code::Aborted, reason, text),
            Error::TooManyRecords => status::precondition(reason, text),
            Error::Service(_) | Error::Source { .. } => status::unavailable(reason, text),
            Error::NotAsRegistered { .. } => status::error(Code::DataLoss, reason, text),
        }
    }
}

/// Turns another service's error into the caller's: what the caller can mend passes, the rest says who failed.
pub(crate) fn of(service: &'static str) -> impl Fn(Status) -> Status {
    move |error| match error.code() {
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::DeadlineExceeded
        | Code::ResourceExhausted => error,
        code => {
            tracing::error!(service, ?code, reason = status::reason(&error), "service failed");
            Error::Service(service).into()
        }
    }
}
