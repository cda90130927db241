//! `signpost fetch`: one document, or all that may be seen of a person.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use signpost_common::hash::Sha256;
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    locator::v1::{
        DocumentTrailer, FetchDocumentRequest, FetchHistoryRequest, fetch_document_response,
        fetch_history_response,
    },
};
use tokio::{fs::File, io::AsyncWriteExt};
use tonic::{Code, Status};

use super::{Bars, Who, counted, explain, request_id};
use crate::client::Client;

/// How often a document that breaks off is gone on with.
const RESUMED_MAX: usize = 3;

#[derive(Debug, Args)]
pub(super) struct Fetch {
    #[command(flatten)]
    who: Who,
    /// Document to fetch, as `locate` names it
    #[arg(required_unless_present = "person")]
    document: Option<String>,
    /// Fetch everything of this person instead
    #[arg(long, conflicts_with = "document")]
    person: Option<String>,
    /// File to write, or the folder for everything of a person [default: the document's id]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Emergency session to apply
    #[arg(long, default_value = "", value_name = "SESSION")]
    emergency: String,
}

impl Fetch {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match (&self.person, &self.document) {
            (Some(person), _) => self.history(person).await,
            (None, Some(document)) => self.document(document).await,
            (None, None) => bail!("name a document or a --person"),
        }
    }

    fn request<T>(&self, client: &Client, message: T) -> anyhow::Result<tonic::Request<T>> {
        let purpose = if self.emergency.is_empty() { PurposeOfUse::Treat } else { PurposeOfUse::Etreat };
        client.request(&self.who.user(Role::Physician, purpose)?, message)
    }

    /// Fetches a document; one that breaks off is gone on with where it did.
    async fn document(&self, document: &str) -> anyhow::Result<ExitCode> {
        let client = self.who.client()?;
        let path = self.out.clone().unwrap_or_else(|| PathBuf::from(document));
        let mut file = Partial::create(&path).await?;
        for resumed in 0.. {
            match self.part(&client, document, &mut file).await? {
                Ok(trailer) => {
                    let hash = file.complete(&trailer).await?;
                    println!("{}: {} bytes, SHA-256 {hash} verified", path.display(), trailer.size_bytes);
                    return Ok(ExitCode::SUCCESS);
                }
                Err(broke_off) if resumed == RESUMED_MAX || file.size_bytes == 0 => {
                    return Err(explain(&broke_off).context("the document broke off; nothing was kept"));
                }
                Err(_) => eprintln!("broke off after {} bytes; going on", file.size_bytes),
            }
        }
        Ok(ExitCode::FAILURE)
    }

    /// Fetches what of a document is not in the file yet. Returns the trailer, or how it broke off.
    async fn part(
        &self,
        client: &Client,
        document: &str,
        file: &mut Partial,
    ) -> anyhow::Result<Result<DocumentTrailer, Status>> {
        use fetch_document_response::Message;
        let request = FetchDocumentRequest {
            document_id: document.to_owned(),
            emergency_session_id: self.emergency.clone(),
            request_id: request_id(),
            offset_bytes: file.size_bytes,
            size_limit_bytes: 0,
        };
        let request = self.request(client, request)?;
        let mut answer = match client.locator().fetch_document(request).await {
            Ok(answer) => answer.into_inner(),
            Err(error) => return Err(explain(&error)),
        };
        loop {
            let message = match answer.message().await {
                Ok(Some(message)) => message.message,
                Ok(None) => return Ok(Err(Status::unavailable("it ended without a trailer"))),
                // Whatever else ends it would do so again.
                Err(error) if matches!(error.code(), Code::Unavailable | Code::Unknown) => {
                    return Ok(Err(error));
                }
                Err(error) => return Err(explain(&error)),
            };
            match message {
                Some(Message::Header(header)) if header.offset_bytes == 0 => {
                    header.notices.iter().for_each(|notice| println!("{notice}"));
                }
                Some(Message::Chunk(chunk)) => file.write(&chunk).await?,
                Some(Message::Trailer(trailer)) => return Ok(Ok(trailer)),
                Some(Message::Header(_)) | None => {}
            }
        }
    }

    async fn history(&self, person: &str) -> anyhow::Result<ExitCode> {
        use fetch_history_response::Message;
        let client = self.who.client()?;
        let request = FetchHistoryRequest {
            person_id: person.to_owned(),
            emergency_session_id: self.emergency.clone(),
            request_id: request_id(),
            ..FetchHistoryRequest::default()
        };
        let request = self.request(&client, request)?;
        let mut answer = client.locator().fetch_history(request).await.map_err(|e| explain(&e))?.into_inner();
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from(person));
        tokio::fs::create_dir_all(&folder).await.with_context(|| format!("making {}", folder.display()))?;
        let (mut current, bars): (Option<Partial>, _) = (None, Bars::default());
        while let Some(message) = answer.message().await.map_err(|e| explain(&e))? {
            match message.message {
                Some(Message::Header(header)) => {
                    current = Some(Partial::create(&folder.join(&header.document_id)).await?);
                }
                Some(Message::Chunk(chunk)) => {
                    current.as_mut().context("bytes without a header")?.write(&chunk).await?;
                }
                Some(Message::Trailer(trailer)) => {
                    let file = current.take().context("a trailer without a header")?;
                    let path = file.path.clone();
                    file.complete(&trailer).await?;
                    println!("{}: {} bytes, SHA-256 verified", path.display(), trailer.size_bytes);
                }
                Some(Message::Failure(failure)) => {
                    current = None;
                    println!("{} at {}: {}", failure.document_id, failure.custodian, failure.reason);
                }
                Some(Message::Progress(progress)) => {
                    bars.show("fetching documents", progress.done.into(), progress.total.into());
                }
                Some(Message::Completion(completion)) => {
                    bars.end();
                    let fetched = counted(completion.fetched, "document", "documents");
                    println!("{fetched} fetched, {} failed", completion.failed);
                    if completion.truncated {
                        println!("there are more documents than one call looks at");
                    }
                    return Ok(if completion.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
                }
                None => {}
            }
        }
        bail!("the history broke off; documents that were named above are complete")
    }
}

/// A file that gets its name only when it is complete, so that no half document looks like a whole one.
pub(super) struct Partial {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    hash: Sha256,
    size_bytes: u64,
}

impl Partial {
    pub(super) async fn create(path: &Path) -> anyhow::Result<Self> {
        let partial = path.with_added_extension("partial");
        let file = File::create(&partial).await.with_context(|| format!("writing {}", partial.display()))?;
        Ok(Self { path: path.to_owned(), partial, file, hash: Sha256::default(), size_bytes: 0 })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.hash.update(bytes);
        self.size_bytes += bytes.len() as u64;
        self.file.write_all(bytes).await.with_context(|| format!("writing {}", self.partial.display()))
    }

    /// Gives the file its name when it is what the trailer says; returns its hash.
    pub(super) async fn complete(mut self, trailer: &DocumentTrailer) -> anyhow::Result<String> {
        let sha256 = self.hash.clone().finish();
        ensure!(
            trailer.sha256 == sha256[..] && trailer.size_bytes == self.size_bytes,
            "what came is not what was sent; nothing was kept"
        );
        self.file.flush().await?;
        tokio::fs::rename(&self.partial, &self.path)
            .await
            .with_context(|| format!("naming {}", self.path.display()))?;
        Ok(hex::encode(sha256))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already when it was completed.
        std::fs::remove_file(&self.partial).ok();
    }
}
