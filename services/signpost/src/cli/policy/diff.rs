//! What differs between two policies.

use std::process::ExitCode;

use clap::Args;
use signpost_consent::document::{Change, Changes, changes};

use super::{
    file::{self, Named, Policy},
    offline::wrapped,
    online::stored,
};
use crate::cli::steward::Staff;

/// The exit code of diff(1) when something differs.
const DIFFERENT: u8 = 1;

/// The exit code of diff(1) when there is nothing to compare.
const TROUBLE: u8 = 2;

#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    #[command(flatten)]
    staff: Staff,
    /// What it was: FILE, NAME@NUMBER or a template
    before: Named,
    /// What it is now: FILE, NAME@NUMBER or a template
    after: Named,
}

impl Diff {
    pub(super) async fn run(self) -> ExitCode {
        match self.compare().await {
            Ok(Some(changes)) if changes.is_empty() => ExitCode::SUCCESS,
            Ok(Some(changes)) => {
                show(&changes);
                DIFFERENT.into()
            }
            Ok(None) => TROUBLE.into(),
            Err(error) => {
                eprintln!("error: {error:#}");
                TROUBLE.into()
            }
        }
    }

    /// Compares the two, unless problems of a document were told.
    async fn compare(&self) -> anyhow::Result<Option<Changes>> {
        let (before, after) = (self.side(&self.before).await?, self.side(&self.after).await?);
        let both = before.zip(after);
        Ok(both.map(|(before, after)| changes(&before.document, &after.document)))
    }

    async fn side(&self, named: &Named) -> anyhow::Result<Option<Policy>> {
        match named {
            Named::Version(version) => {
                let (_, source) = stored(&self.staff.operator()?, version).await?;
                Ok(file::policy(version, source))
            }
            _ => file::local(named),
        }
    }
}

fn show(changes: &Changes) {
    for said in &changes.document {
        println!("{}", wrapped(said, 0));
    }
    for (id, change) in &changes.rules {
        match change {
            Change::Removed(told) => println!("- {id}\n{}", wrapped(told, 4)),
            Change::Added(told) => println!("+ {id}\n{}", wrapped(told, 4)),
            Change::Changed(said) => {
                println!("~ {id}");
                said.iter().for_each(|said| println!("{}", wrapped(said, 4)));
            }
        }
    }
}
