//! What goes wrong in the audit log, and what callers see of it.

use signpost_common::{db, rpc::status};
use tonic::Status;

/// Why the log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] db::Error),
    /// The event may not be durable.
    #[error("the event could not be made durable")]
    NotDurable,
    /// The database takes too long.
    #[error("the database did not answer in time")]
    TooSlow,
    /// The journal failed.
    #[error("using the journal")]
    Journal(#[source] std::io::Error),
    /// The event id stands for another event.
    #[error("the event id stands for another event")]
    EventIdReused,
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
            Error::NotDurable | Error::TooSlow | Error::Journal(_) => {
                status::unavailable("LOG_UNAVAILABLE", text)
            }
            Error::EventIdReused => status::already_exists("EVENT_ID_REUSED", text),
        }
    }
}
