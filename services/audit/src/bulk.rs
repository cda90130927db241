//! Events straight into a log's database, without a server: for measuring logs of millions.

use signpost_common::{db, hash::Blinder};
use signpost_proto::audit::v1::Event;
use tonic::Status;

use crate::{
    convert,
    domain::merkle::{Hash, Subtree},
    error::Error,
    signing::Signer,
    store::{self, Kept, Store},
};

/// A log's database.
pub struct Bulk {
    store: Box<dyn Store>,
    blinder: Blinder,
}

impl Bulk {
    /// Opens it.
    pub async fn open(location: &db::Location, blinder: Blinder) -> Result<Self, db::Error> {
        Ok(Self { store: store::open(location).await?, blinder })
    }

    /// Returns the number of events.
    pub async fn size(&self) -> Result<u64, Status> {
        Ok(self.store.size().await?)
    }

    /// Appends events in one transaction.
    pub async fn append(&self, events: Vec<Event>) -> Result<(), Status> {
        let entries = events.into_iter().map(|event| convert::entry(Some(event), &self.blinder));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        for place in self.store.append(&entries).await? {
            place?;
        }
        Ok(())
    }

    /// Signs what the log is, after the checkpoint that is kept. It proves nothing: who serves a log does.
    pub async fn sign(&self, signer: &Signer, now_us: i64) -> Result<(), Status> {
        let size = self.store.size().await?;
        let before = self.store.last_checkpoint().await?.map_or(0, |kept| kept.size);
        let root: Option<Hash> = self.store.hashes(&[Subtree::whole(size)]).await?.pop();
        let root = root.ok_or(Error::NotDurable)?;
        if size > before {
            let note = signer.checkpoint(size, root);
            self.store.keep_checkpoint(before, &Kept { size, note, signed_us: now_us }).await?;
        }
        Ok(())
    }
}
