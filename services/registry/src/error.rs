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
    /// The document has replaced so many others that another replacement could not name them all.
    #[error("the document stands for 200 that it replaced: register a new document instead")]
    ReplacedTooOften,
    /// A related document is none of the caller's.
    #[error("must be one of the custodian's own documents")]
    RelatedUnknown(usize),
    /// A related document belongs to another patient.
    #[error("must be a document of the same patient")]
    RelatedPatientDiffers(usize),
    /// A related document was replaced or withdrawn.
    #[error("must be a current document")]
    RelatedNotCurrent(usize),
    /// So many documents append or transform one that no more may.
    #[error("has 1000 related documents, which is the most")]
    RelatedTooMany(usize),
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
            Error::ReplacedTooOften => status::precondition("DOCUMENT_REPLACED_TOO_OFTEN", text),
            Error::RelatedUnknown(at)
            | Error::RelatedPatientDiffers(at)
            | Error::RelatedNotCurrent(at)
            | Error::RelatedTooMany(at) => {
                status::invalid(&format!("entry.relations[{at}].document_id"), text)
            }
        }
    }
}
