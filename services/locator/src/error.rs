//! What goes wrong in the locator, and what callers see of it.

use signpost_common::rpc::status;
use tonic::{Code, Status};

use crate::sources::Failure;

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
    /// The caller's deadline came first.
    #[error("the deadline has passed")]
    TooLate,
    /// A service of the exchange failed.
    #[error("the {0} does not answer; try again")]
    Service(&'static str),
    /// The member that holds the document serves none.
    #[error("the member {0} does not serve documents")]
    NoSource(String),
    /// The member that holds the document does not answer.
    #[error("the member {member} cannot serve the document: {}", failure.reason())]
    Source {
        /// The member.
        member: String,
        /// Why.
        failure: Failure,
    },
    /// The document is larger than the caller takes, or than any may be.
    #[error("the document is larger than {0} bytes")]
    TooLarge(u64),
    /// A document whose bytes may change, or that is masked, cannot be gone on with.
    #[error("the document's bytes are not those that were registered, and cannot be sent from an offset on")]
    OffsetUnsupported,
    /// The document ends before the offset.
    #[error("must be at most the size of the document")]
    OffsetBeyond,
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
            Self::TooLate => "DEADLINE_EXCEEDED",
            Self::Service(_) => "SERVICE_UNAVAILABLE",
            Self::NoSource(_) => "SOURCE_WITHOUT_ENDPOINT",
            Self::Source { failure, .. } => failure.reason(),
            Self::TooLarge(_) => "DOCUMENT_TOO_LARGE",
            Self::OffsetUnsupported => "OFFSET_UNSUPPORTED",
            Self::OffsetBeyond => "OFFSET_BEYOND",
            Self::NotAsRegistered { reason, .. } => reason,
        }
    }
}

impl Error {
    /// True when it says something of the document that was asked for, and not of the caller or the exchange.
    pub(crate) fn tells_of_document(&self) -> bool {
        match self {
            Self::Source { failure, .. } => failure.tells_of_document(),
            Self::NoSource(_) | Self::NotAsRegistered { .. } => true,
            _ => false,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (text, reason) = (error.to_string(), error.reason());
        match error {
            Error::DocumentUnknown | Error::PersonUnknown => status::not_found(reason, text),
            Error::Stopped => status::error(Code::Aborted, reason, text),
            Error::TooLate => status::error(Code::DeadlineExceeded, reason, text),
            Error::TooManyRecords | Error::TooLarge(_) | Error::OffsetUnsupported => {
                status::precondition(reason, text)
            }
            Error::OffsetBeyond => status::invalid("offset_bytes", text),
            // What came is of the wrong form: asking again does not mend it.
            Error::Source { failure: Failure::WrongForm, .. } => status::error(Code::DataLoss, reason, text),
            Error::Service(_) | Error::NoSource(_) | Error::Source { .. } => {
                status::unavailable(reason, text)
            }
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
