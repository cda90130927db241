//! Models that the index learns from its own records: train, look, promote, discard.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use signpost_common::rpc::page;
use signpost_people::{output, report::changes};
use signpost_proto::mpi::v1::{
    self as mpi, DiscardModelRequest, GetModelRequest, ListModelChangesRequest, ListModelsRequest,
    ModelChange, ModelState, PromoteModelRequest, TrainModelRequest,
};

use super::{
    Bars, request_id,
    steward::{Desk, Staff, code, refused, shown_record, shown_time},
    table,
};

/// How often it is asked how far a model is.
const ASK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum Model {
    /// Begin to learn a model from the records of the index; nothing changes before it is promoted
    Train(Train),
    /// List models, the latest first
    List(List),
    /// Show a model, with how far it is and what it would change
    Show(Show),
    /// List the decisions that come out otherwise under a model
    Changes(Changes),
    /// Put a model in force, and decide anew where it decides otherwise; what a steward decided stands
    Promote(Promote),
    /// Give a model up that was not promoted
    Discard(Discard),
}

impl Model {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Train(train) => train.run().await,
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Changes(changes) => changes.run().await,
            Self::Promote(promote) => promote.run().await,
            Self::Discard(discard) => discard.run().await,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Train {
    #[command(flatten)]
    staff: Staff,
    /// Name of the model: 1 to 64 letters, digits, `.`, `-` and `_`, used for no other
    version: String,
    /// Wait until it is learnt, and show what it would change
    #[arg(long)]
    wait: bool,
}

impl Train {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let request = TrainModelRequest { version: self.version.clone(), request_id: request_id() };
        let begun = desk.models().train_model(desk.request(request)?).await;
        let begun =
            begun.map_err(|e| refused(&e))?.into_inner().model.context("the answer holds no model")?;
        if !self.wait {
            println!("{} is being learnt; `signpost model show {0}` tells how far it is", begun.version);
            return Ok(ExitCode::SUCCESS);
        }
        let bars = Bars::default();
        let learnt = learnt(&desk, &self.version, &bars).await;
        bars.end();
        let model = learnt?;
        match model.state() {
            ModelState::Failed => bail!("{} was not learnt: {}", model.version, failure(&model.failure)),
            ModelState::Discarded => bail!("{} was discarded meanwhile", model.version),
            _ => show(&model),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn going_on(version: &str) -> String {
    format!("the exchange goes on without you; `signpost model show {version}` tells how far it is")
}

/// Says why a model was not learnt, and what to do.
fn failure(reason: &str) -> String {
    let next = match reason {
        "TOO_FEW_RECORDS" => "; feed more records first, then learn one under another name",
        _ => "; the log of the exchange says more; learn one under another name",
    };
    format!("{reason}{next}")
}

/// Waits until a model is learnt, or is not.
async fn learnt(desk: &Desk, version: &str, bars: &Bars) -> anyhow::Result<mpi::Model> {
    loop {
        let model = get(desk, version).await.with_context(|| going_on(version))?;
        if model.state() != ModelState::Training {
            return Ok(model);
        }
        progress(&model, bars);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Waits until all that a model decides otherwise is decided anew.
async fn carried_out(desk: &Desk, version: &str, bars: &Bars) -> anyhow::Result<mpi::Model> {
    loop {
        let model = get(desk, version).await.with_context(|| going_on(version))?;
        if model.state() != ModelState::InForce {
            bail!("{version} is not in force any more: another model was promoted");
        }
        if model.pending == 0 {
            return Ok(model);
        }
        progress(&model, bars);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn progress(model: &mpi::Model, bars: &Bars) {
    let [done, total] = [model.done, model.total].map(|records| u64::try_from(records).unwrap_or(0));
    // What has not moved says nothing of how long it will take.
    bars.show(doing(&model.step), done, if done == 0 { 0 } else { total });
}

fn doing(step: &str) -> &'static str {
    match step {
        "READ" => "reading records",
        "BLOCK" => "finding pairs",
        "LEARN" => "learning the model",
        "COMPARE" => "comparing decisions",
        "CARRY_OUT" => "deciding anew",
        _ => "waiting",
    }
}

async fn get(desk: &Desk, version: &str) -> anyhow::Result<mpi::Model> {
    let request = desk.request(GetModelRequest { version: version.to_owned() })?;
    let answer = desk.models().get_model(request).await.map_err(|e| refused(&e))?;
    answer.into_inner().model.context("the answer holds no model")
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    staff: Staff,
}

impl List {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let (mut models, mut page_token) = (vec![], String::new());
        loop {
            let request = ListModelsRequest { page_size: page::SIZE_MAX, page_token };
            let listed = desk.models().list_models(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            models.extend(listed.models);
            page_token = listed.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        show_models(&models);
        Ok(ExitCode::SUCCESS)
    }
}

fn show_models(models: &[mpi::Model]) {
    let mut rows =
        table(&["model", "state", "begun", "promoted", "records", "compared with", "decided by", "failure"]);
    for model in models {
        rows.add_row([
            model.version.clone(),
            code(model.state().as_str_name(), "MODEL_STATE_"),
            shown_time(model.created_at.as_ref()),
            shown_time(model.promoted_at.as_ref()),
            model.records.to_string(),
            model.compared_with.clone(),
            model.decided_by.clone(),
            model.failure.clone(),
        ]);
    }
    println!("{rows}");
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    staff: Staff,
    /// Model [default: the one in force]
    #[arg(default_value = "", hide_default_value = true)]
    version: String,
}

impl Show {
    async fn run(self) -> anyhow::Result<ExitCode> {
        show(&get(&self.staff.desk()?, &self.version).await?);
        Ok(ExitCode::SUCCESS)
    }
}

fn show(model: &mpi::Model) {
    show_models(std::slice::from_ref(model));
    if !model.step.is_empty() {
        let of = if model.total > 0 { format!(" of {}", model.total) } else { String::new() };
        println!("\n{}: {}{of} records", doing(&model.step), model.done);
    }
    if !model.decided_why.is_empty() {
        println!("\nreason: {}", model.decided_why);
    }
    if model.pending > 0 {
        println!("\n{} of its changes wait to be carried out", model.pending);
    }
    show_counts(model);
}

fn show_counts(model: &mpi::Model) {
    match (model.changes.is_empty(), model.state()) {
        (true, ModelState::Ready) => println!("\nit changes nothing"),
        (true, _) => {}
        (false, _) => {
            let mut rows = table(&["before", "after", "records"]);
            for count in &model.changes {
                rows.add_row([count.before.clone(), count.after.clone(), count.records.to_string()]);
            }
            println!("\n{rows}");
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Changes {
    #[command(flatten)]
    staff: Staff,
    /// Model
    version: String,
    /// Most decisions to list
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Write a report to look at before it is promoted, one HTML page without patient data
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Changes {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let report: Vec<_> = self.report.as_deref().map(|path| ("--report", path)).into_iter().collect();
        output::check(&[], &report)?;
        let desk = self.staff.desk()?;
        let model = get(&desk, &self.version).await?;
        let changes = self.list(&desk).await?;
        if let Some(path) = &self.report {
            write_report(path, &model, &changes)?;
        }
        if model.changes.is_empty() && changes.is_empty() {
            println!("{} changes nothing", model.version);
            return Ok(ExitCode::SUCCESS);
        }
        show_changes(&changes);
        let all: i64 = model.changes.iter().map(|count| count.records).sum();
        if usize::try_from(all).is_ok_and(|all| all > changes.len()) {
            println!("\nthe first {} of {all} are shown; --limit N shows more", changes.len());
        }
        show_counts(&model);
        Ok(ExitCode::SUCCESS)
    }

    /// Returns changes up to the limit.
    async fn list(&self, desk: &Desk) -> anyhow::Result<Vec<ModelChange>> {
        let limit = self.limit as usize;
        let (mut changes, mut page_token) = (vec![], String::new());
        loop {
            let left = i32::try_from(limit - changes.len()).unwrap_or(i32::MAX);
            let page_size = left.min(page::SIZE_MAX);
            let request = ListModelChangesRequest { version: self.version.clone(), page_size, page_token };
            let listed = desk.models().list_model_changes(desk.request(request)?).await;
            let listed = listed.map_err(|e| refused(&e))?.into_inner();
            changes.extend(listed.changes);
            page_token = listed.next_page_token;
            if page_token.is_empty() || changes.len() >= limit {
                return Ok(changes);
            }
        }
    }
}

fn show_changes(changes: &[ModelChange]) {
    let mut rows = table(&["record", "person", "before", "after", "candidate", "probability"]);
    for change in changes {
        rows.add_row([
            shown_record(change.record.as_ref()),
            change.person_id.clone(),
            change.before.clone(),
            change.after.clone(),
            change.candidate_person_id.clone(),
            if change.candidate_person_id.is_empty() {
                String::new()
            } else {
                format!("{:.6}", change.probability)
            },
        ]);
    }
    println!("{rows}");
}

/// Writes a page. Members' own ids of patients are left out: they are patient data.
fn write_report(path: &Path, model: &mpi::Model, changes: &[ModelChange]) -> anyhow::Result<()> {
    let count = |count: &mpi::ModelChangeCount| changes::Count {
        before: count.before.clone(),
        after: count.after.clone(),
        records: u64::try_from(count.records).unwrap_or(0),
    };
    let change = |change: &ModelChange| changes::Change {
        record_id: change.record_id.clone(),
        person_id: change.person_id.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
        candidate_person_id: change.candidate_person_id.clone(),
        probability: change.probability,
    };
    let page = changes::html(changes::Facts {
        version: &model.version,
        compared_with: &model.compared_with,
        records: u64::try_from(model.records).unwrap_or(0),
        counts: &model.changes.iter().map(count).collect::<Vec<_>>(),
        changes: &changes.iter().map(change).collect::<Vec<_>>(),
    })?;
    Ok(output::write(path, &page)?)
}

#[derive(Debug, Args)]
pub(super) struct Promote {
    #[command(flatten)]
    staff: Staff,
    /// Model; one that is ready, or that was in force before
    version: String,
    /// Why, for the record: at most 500 characters, without patient data
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Wait until everything that it decides otherwise is decided anew
    #[arg(long)]
    wait: bool,
}

impl Promote {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let Self { version, reason, wait, .. } = self;
        let request = PromoteModelRequest { version: version.clone(), reason, request_id: request_id() };
        let promoted = desk.models().promote_model(desk.request(request)?).await;
        let mut model =
            promoted.map_err(|e| refused(&e))?.into_inner().model.context("the answer holds no model")?;
        if wait {
            let bars = Bars::default();
            let waited = carried_out(&desk, &version, &bars).await;
            bars.end();
            model = waited?;
        }
        show(&model);
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(super) struct Discard {
    #[command(flatten)]
    staff: Staff,
    /// Model; one that was never in force
    version: String,
    /// Why, for the record: at most 500 characters, without patient data
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Discard {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let desk = self.staff.desk()?;
        let Self { version, reason, .. } = self;
        let request = DiscardModelRequest { version, reason, request_id: request_id() };
        let discarded = desk.models().discard_model(desk.request(request)?).await;
        show(&discarded.map_err(|e| refused(&e))?.into_inner().model.context("the answer holds no model")?);
        Ok(ExitCode::SUCCESS)
    }
}
