//! The reference adapter that a member runs: a folder of documents, served to the exchange.
//!
//! The folder's index file says which document belongs to which patient; a document that it does not name is not
//! served, and nothing outside the folder ever is. The adapter keeps no state: the index is read again when its file
//! changes. Consent is not its matter: only the exchange's locator may call it, after it decided.

use std::path::PathBuf;

use signpost_common::id::MemberId;
use signpost_proto::source::v1::document_source_service_server::DocumentSourceServiceServer;
use tonic::service::Routes;

pub mod index;

mod convert;
mod error;
mod service;

pub use error::Error;

/// What is served, and for whom.
#[derive(Debug)]
pub struct Config {
    /// Folder of the documents, with `index.csv` in it.
    pub folder: PathBuf,
    /// The member whose documents these are.
    pub member_id: MemberId,
}

/// Reads the index and returns the service.
pub fn build(config: Config) -> Result<Routes, Error> {
    let service = service::Service::open(config.folder, config.member_id)?;
    Ok(Routes::new(DocumentSourceServiceServer::new(service)))
}
