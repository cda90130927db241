//! What goes wrong in the registry, and what callers see of it.

use signpost_common::{db, rpc::status};
use tonic::Status;

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] db::Error),
    /// There is no such pointer, or it is not the caller's.
    #[error("there is no such document")]
    DocumentUnknown,
    /// The pointer was replaced or withdrawn.
    #[error("the document is not current")]
    NotCurrent,
    /// The unique id stands for other bytes.
    #[error("the unique id stands for a document with another hash")]
    NonIdenticalHash,
    /// The unique id stands for other facts.
    #[error("the unique id stands for a document with other facts")]
    NonIdenticalEntry,
    /// The newer document is registered already, and not as a replacement of this one.
    #[error("the newer document is registered already, and not as a replacement of this one")]
    NotItsReplacement,
    /// The newer document belongs to another patient.
    #[error("must be the patient of the document to replace")]
    PatientDiffers,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Database(error) => status::database(&error),
            Error::DocumentUnknown => status::not_found("DOCUMENT_UNKNOWN", text),
            Error::NotCurrent => status::precondition("DOCUMENT_NOT_CURRENT", text),
            Error::NonIdenticalHash => status::already_exists("NON_IDENTICAL_HASH", text),
            Error::NonIdenticalEntry => status::already_exists("NON_IDENTICAL_ENTRY", text),
            Error::NotItsReplacement => status::already_exists("DOCUMENT_EXISTS", text),
            Error::PatientDiffers => status::invalid("entry.patient.local_id", text),
        }
    }
}
