//! What goes wrong in the directory, and what callers see of it.

use signpost_common::{db, rpc::status};
use tonic::Status;

/// Why the directory did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] db::Error),
    /// There is no such member.
    #[error("there is no such member")]
    MemberUnknown,
    /// Another member has the id.
    #[error("a member with this id and other facts is there already")]
    MemberExists,
    /// The certificate belongs to another member.
    #[error("the certificate is registered for another member")]
    CertificateTaken,
    /// There is no such certificate.
    #[error("there is no such certificate")]
    CertificateUnknown,
    /// The key id stands for another key.
    #[error("the key id stands for another key")]
    TokenKeyExists,
    /// There is no such key.
    #[error("there is no such key")]
    TokenKeyUnknown,
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
            Error::MemberUnknown => status::not_found("MEMBER_UNKNOWN", text),
            Error::MemberExists => status::already_exists("MEMBER_EXISTS", text),
            Error::CertificateTaken => status::already_exists("CERTIFICATE_TAKEN", text),
            Error::CertificateUnknown => status::not_found("CERTIFICATE_UNKNOWN", text),
            Error::TokenKeyExists => status::already_exists("TOKEN_KEY_EXISTS", text),
            Error::TokenKeyUnknown => status::not_found("TOKEN_KEY_UNKNOWN", text),
        }
    }
}
