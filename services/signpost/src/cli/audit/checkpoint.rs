//! Fetching checkpoints: each is verified before it is kept.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail, ensure};
use clap::Args;
use signpost_audit::domain::{
    checkpoint::{self, Verifier},
    merkle::{self, Hash},
};
use signpost_common::rpc::{status, token::User};
use signpost_proto::{
    audit::v1::{GetCheckpointRequest, GetConsistencyProofRequest, WatchCheckpointsRequest},
    common::v1::{PurposeOfUse, Role},
};
use tonic::{Code, Status};

use super::{
    super::{Who, explain},
    kept::Kept,
    keys,
};
use crate::client::Client;

/// How long a follower waits before it asks again after the exchange was away.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(in crate::cli) struct Checkpoint {
    #[command(flatten)]
    who: Who,
    /// Folder to keep checkpoints in; the new one must continue the last one there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on, and keep each checkpoint as it is made
    #[arg(long, requires = "out")]
    follow: bool,
    /// Verifier key, or a file with it; may be given several times [default: audit.pub in --pki]
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
}

/// Who fetches, and what is known so far.
struct Follower {
    client: Client,
    user: User,
    keys: Vec<Verifier>,
    kept: Option<Kept>,
    last: Option<checkpoint::Checkpoint>,
}

impl Checkpoint {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let keys = keys(&self.keys, self.who.pki.join("audit.pub"))?;
        let kept = self.out.as_deref().map(Kept::new).transpose()?;
        let last = kept.as_ref().map(|kept| kept.last(&keys)).transpose()?.flatten();
        let (client, user) = (self.who.client()?, self.who.user(Role::System, PurposeOfUse::Hoperat)?);
        let mut follower = Follower { client, user, keys, kept, last };
        if self.follow {
            tokio::select! {
                error = follower.follow() => return Err(error),
                asked = tokio::signal::ctrl_c() => asked?,
            }
        } else {
            follower.fetch().await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Follower {
    async fn fetch(&mut self) -> anyhow::Result<()> {
        let request = self.client.request(&self.user, GetCheckpointRequest {})?;
        let answer = self.client.audit().get_checkpoint(request).await.map_err(|e| explain(&e))?.into_inner();
        ensure!(!answer.checkpoint.is_empty(), "nothing was signed yet: ask again in a second");
        self.take(&answer.checkpoint).await?.map_err(|error| explain(&error))
    }

    /// Keeps checkpoints until one is wrong, or nothing more is to be had.
    async fn follow(&mut self) -> anyhow::Error {
        loop {
            match self.stream().await {
                Ok(end) if goes_on(&end) => tokio::time::sleep(AGAIN).await,
                Ok(end) => return explain(&end),
                Err(error) => return error,
            }
        }
    }

    async fn stream(&mut self) -> anyhow::Result<Status> {
        let after_size = self.last.as_ref().map_or(0, |last| last.size);
        let request = WatchCheckpointsRequest { resume_token: String::new(), after_size };
        let request = self.client.request(&self.user, request)?;
        let mut checkpoints = match self.client.audit().watch_checkpoints(request).await {
            Ok(checkpoints) => checkpoints.into_inner(),
            Err(end) => return Ok(end),
        };
        loop {
            match checkpoints.message().await {
                Ok(Some(next)) if next.checkpoint.is_empty() => {}
                Ok(Some(next)) => {
                    if let Err(end) = self.take(&next.checkpoint).await? {
                        return Ok(end);
                    }
                }
                Ok(None) => return Ok(status::unavailable("RESUME", "the stream ended")),
                Err(end) => return Ok(end),
            }
        }
    }

    /// Verifies a checkpoint and keeps it. Fails when it is wrong; what the exchange says when it does not answer is no failure.
    async fn take(&mut self, note: &str) -> anyhow::Result<Result<(), Status>> {
        let new =
            checkpoint::Checkpoint::verify(note, &self.keys).context("the checkpoint of the exchange")?;
        if let Some(last) = &self.last {
            match self.continues(last, &new).await? {
                Ok(()) => {}
                Err(end) => return Ok(Err(end)),
            }
        }
        if let Some(kept) = &self.kept {
            kept.keep(&new, note)?;
        }
        println!("{} entries, root {}, signed by {}", new.size, hex::encode(new.root), new.origin);
        self.last = Some(new);
        Ok(Ok(()))
    }

    /// Fails when the log of the new checkpoint is not that of the last one, grown.
    async fn continues(
        &self,
        last: &checkpoint::Checkpoint,
        new: &checkpoint::Checkpoint,
    ) -> anyhow::Result<Result<(), Status>> {
        let (first_size, second_size) = (last.size, new.size);
        ensure!(
            last.origin == new.origin,
            "the log is called {} and was called {}: it is another one",
            new.origin,
            last.origin
        );
        if second_size < first_size {
            bail!("the log has {second_size} entries and had {first_size}: it was truncated");
        }
        let path = if first_size == second_size {
            vec![]
        } else {
            let request = GetConsistencyProofRequest { first_size, second_size };
            let request = self.client.request(&self.user, request)?;
            match self.client.audit().get_consistency_proof(request).await {
                Ok(proof) => proof.into_inner().path,
                Err(end) if end.code() == Code::Unavailable => return Ok(Err(end)),
                Err(error) => return Err(explain(&error)),
            }
        };
        let path: Option<Vec<Hash>> = path.into_iter().map(|hash| hash.try_into().ok()).collect();
        let path = path.context("the proof of the exchange is of no use")?;
        let proved = merkle::verify_consistency(first_size, second_size, &last.root, &new.root, &path);
        ensure!(
            proved,
            "the log of {second_size} entries does not continue the one of {first_size} that is kept: it was changed"
        );
        Ok(Ok(()))
    }
}

/// True when the exchange may be asked again.
fn goes_on(end: &Status) -> bool {
    end.code() == Code::Unavailable
}
