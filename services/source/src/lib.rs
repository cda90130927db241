//! The reference adapter that a member runs: a folder of documents, served to the exchange.
//!
//! The folder's index file says which document belongs to which patient; a document that it does not name is not
//! served, and nothing outside the folder ever is. The index is read again when its file changes. Consent is not its
//! matter: only the exchange's locator may call it, after it decided.
//!
//! When it is told where the exchange is, the adapter also keeps the registry in step with the folder: it registers
//! what comes, supersedes what changes and withdraws what goes. Then a document is served under the unique id that
//! its present bytes and facts were registered under, and under no other. What it did is kept in a state folder; the
//! work to do always follows from folder and state, so it may be killed at any moment.

use std::{path::PathBuf, sync::Arc, time::Duration};

use signpost_common::{id::MemberId, lifecycle::Lifecycle};
use signpost_proto::source::v1::document_source_service_server::DocumentSourceServiceServer;
use tonic::service::Routes;

pub mod index;

mod convert;
mod domain;
mod error;
mod exchange;
mod folder;
mod service;
mod state;
mod sync;
mod watch;

pub use error::Error;
pub use exchange::Exchange;

/// How long a file must stay as it is before it counts as written.
pub const SETTLE: Duration = Duration::from_secs(1);

/// What is served, and for whom.
#[derive(Debug)]
pub struct Config {
    /// Folder of the documents, with `index.csv` in it.
    pub folder: PathBuf,
    /// The member whose documents these are.
    pub member_id: MemberId,
}

/// How documents are registered.
pub struct Registration {
    /// Folder for what was registered; private to one process.
    pub state: PathBuf,
    /// How often the whole folder is looked at, whatever events say.
    pub rescan: Duration,
    /// How long a file must stay as it is before it counts as written: [`SETTLE`].
    pub settle: Duration,
    /// Where documents are registered, and in whose name.
    pub exchange: Exchange,
    /// Owns the task that does it.
    pub lifecycle: Lifecycle,
}

/// Reads the index and returns the service. With a registration, the registry is kept in step from now on.
pub fn build(config: Config, registration: Option<Registration>) -> Result<Routes, Error> {
    let Config { folder, member_id } = config;
    let folder = Arc::new(folder::Folder::open(folder)?);
    let registered = match registration {
        Some(registration) => Some(sync::start(registration, folder.clone(), member_id.clone())?),
        None => None,
    };
    let service = service::Service::new(folder, member_id, registered);
    Ok(Routes::new(DocumentSourceServiceServer::new(service)))
}
