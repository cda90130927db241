//! What goes wrong in the adapter, and what callers see of it.

use std::{io, path::PathBuf};

use signpost_common::rpc::status;
use tonic::Status;

/// Why the adapter did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error("reading the folder {0}")]
    Folder(PathBuf, #[source] io::Error),
    /// The index file cannot be read.
    #[error("reading the index {0}")]
    Index(PathBuf, #[source] io::Error),
    /// The index file begins with another header.
    #[error("the index {0} does not begin with the header {header}", header = crate::index::COLUMNS.join(","))]
    Header(PathBuf),
    /// The folder for the state is of no use.
    #[error("opening the folder of the state {0}")]
    State(PathBuf, #[source] io::Error),
    /// The state would lie among the documents.
    #[error("the folder of the state {0} must not be inside the folder of documents")]
    StateServed(PathBuf),
    /// The patient has no such document.
    #[error("the patient has no such document here")]
    DocumentUnknown,
    /// A document cannot be read.
    #[error("reading a document")]
    Document(#[source] io::Error),
    /// A document ended before it should.
    #[error("the document changed while it was read; try again")]
    DocumentChanged,
    /// A document is not registered yet.
    #[error("the document is not registered yet; try again")]
    DocumentUnregistered,
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::DocumentUnknown => status::not_found("DOCUMENT_UNKNOWN", error.to_string()),
            Error::DocumentChanged => status::unavailable("DOCUMENT_CHANGED", error.to_string()),
            Error::DocumentUnregistered => status::unavailable("DOCUMENT_UNREGISTERED", error.to_string()),
            Error::Document(cause) => {
                tracing::error!(kind = ?cause.kind(), "document could not be read");
                status::unavailable("DOCUMENT_UNREADABLE", "the document cannot be read now; try again")
            }
            Error::Folder(..)
            | Error::Index(..)
            | Error::Header(_)
            | Error::State(..)
            | Error::StateServed(_) => {
                tracing::error!(%error, "index could not be read");
                status::unavailable("INDEX_UNREADABLE", "the index of documents cannot be read; try again")
            }
        }
    }
}
