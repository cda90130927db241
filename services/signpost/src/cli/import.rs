//! Import: what a member knows, from files, with a progress bar and a report of every line that was refused.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use csv::StringRecord;
use indicatif::{ProgressBar, ProgressStyle};
use signpost_common::rows::{Row, Rows};
use signpost_proto::{
    common::v1::{Address, AdministrativeSex, Demographics, HumanName, Identifier, PurposeOfUse, Role},
    mpi::v1::{self as mpi, FeedPatientsRequest, RegisterPatientRequest},
    registry::v1::{self as registry, RegisterDocumentsRequest},
};
use signpost_source::index::{Index, hash_file};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Who, explain, onboard, table};

/// Items under way at once.
const UNDER_WAY_MAX: usize = 1024;

/// Most refused lines that are shown; all of them go to `--rejects`.
const SHOWN_MAX: usize = 20;

/// What lines of an identifier without a named authority are called.
const NATIONAL_ID_SYSTEM: &str = "urn:signpost:national-id";

#[derive(Debug, Subcommand)]
pub(super) enum Import {
    /// Source records from a CSV file
    ///
    /// The header names columns, in any order: record_id or mrn (one is needed: the patient's identifier at the
    /// member), given, middle, family, suffix, birth_date (YYYY-MM-DD), sex (female, male, other), address, city,
    /// state, postcode, phone, email, national_id. Columns source and recorded_on may be there and are not read.
    /// Several values in one cell are split by `|`. With --bulk the file goes into the database of the configuration at once,
    /// for all members: column source names the member, and mrn is needed.
    People(People),
    /// Pointers to documents from a folder with index.csv, as `serve --only source` serves it
    Documents(Files),
}

#[derive(Debug, Args)]
pub(super) struct Files {
    #[command(flatten)]
    who: Who,
    /// CSV file of people, or folder of documents with index.csv
    path: PathBuf,
    /// Write refused lines to this CSV file: line, reason, field, message
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct People {
    #[command(flatten)]
    who: Option<Who>,
    /// CSV file of people
    #[arg(required_unless_present = "bulk")]
    path: Option<PathBuf>,
    /// Take these CSV files into the database itself, before the exchange is online; run by the operator
    ///
    /// Records of all members are linked with one another and with those that are there, in one go. What was cut short is
    /// finished by the same command. Exit code 1 says that rows were left out; all others were taken in.
    #[arg(long, num_args = 1.., value_name = "FILE", conflicts_with_all = ["member", "path"])]
    bulk: Vec<PathBuf>,
    /// Model that links the records [default: that of the setting `matching.model`]
    #[arg(long, value_name = "FILE", requires = "bulk")]
    model: Option<PathBuf>,
    /// Write refused lines to this CSV file: line, reason, field, message; with --bulk file, line, reason
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

impl People {
    async fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        let Self { who, path, bulk, model, rejects } = self;
        match (who, path) {
            (Some(who), Some(path)) => people(Files { who, path, rejects }).await,
            _ => onboard::run(config, &bulk, model.as_deref(), rejects.as_deref()).await,
        }
    }
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reject {
    line: u64,
    reason: String,
    field: String,
    message: String,
}

impl Reject {
    fn new(line: u64, reason: &str, message: impl Into<String>) -> Self {
        Self { line, reason: reason.into(), field: String::new(), message: message.into() }
    }

    /// Says what is wrong, with the field.
    pub(super) fn reason(&self) -> String {
        if self.field.is_empty() { self.message.clone() } else { format!("{}: {}", self.field, self.message) }
    }

    /// A line that the exchange refused. Its message begins with the field, which has a column of its own here.
    fn refused(line: u64, reason: String, field: String, message: &str) -> Self {
        let message = message.strip_prefix(&format!("{field}: ")).unwrap_or(message).to_owned();
        Self { line, reason, field, message }
    }
}

impl Import {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        match self {
            Self::People(people) => people.run(config).await,
            Self::Documents(files) => documents(files).await,
        }
    }
}

fn bar(total: u64, unit: &str) -> ProgressBar {
    let template = format!("{{bar:40}} {{percent:>3}}% {{msg}} {unit} {{elapsed}} (ETA {{eta}})");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

async fn people(files: Files) -> anyhow::Result<ExitCode> {
    let client = files.who.client()?;
    let user = files.who.user(Role::System, PurposeOfUse::Hoperat)?;
    let reading = || format!("reading {}", files.path.display());
    let file = File::open(&files.path).with_context(reading)?;
    let bar = bar(file.metadata()?.len(), "records");
    let (items, stream) = mpsc::channel(UNDER_WAY_MAX);
    let (rejects, mut rejected) = mpsc::unbounded_channel();
    let (path, progress) = (files.path.clone(), bar.clone());
    // Reading blocks; it waits when the exchange is slower than the disk.
    let reader = tokio::task::spawn_blocking(move || read_people(file, &path, &progress, &items, &rejects));
    let request = client.request(&user, ReceiverStream::new(stream))?;
    let mut counts = Counts::default();
    let mut refused = vec![];
    let mut answers = client.mpi().feed_patients(request).await.map_err(|e| explain(&e))?.into_inner();
    while let Some(answer) = answers.message().await.map_err(|e| interrupted(&counts, &explain(&e)))? {
        match answer.result {
            Some(mpi::feed_patients_response::Result::Registered(done)) => counts.add(done.outcome()),
            Some(mpi::feed_patients_response::Result::Error(error)) => {
                refused.push(Reject::refused(answer.item, error.reason, error.field, &error.message));
            }
            None => {}
        }
        bar.set_message(counts.total().to_string());
    }
    reader.await??;
    while let Some(reject) = rejected.recv().await {
        refused.push(reject);
    }
    bar.finish_and_clear();
    let mut rows = table(&["records", "attached", "new persons", "to review", "unchanged", "refused"]);
    let Counts { attached, new, review, unchanged } = counts;
    rows.add_row([counts.total(), attached, new, review, unchanged, refused.len() as u64]);
    println!("{rows}");
    report(refused, files.rejects.as_deref())
}

/// What was acknowledged is durable; running the import again is safe.
fn interrupted(counts: &Counts, error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}; {} records were stored; the import may be run again", counts.total())
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    attached: u64,
    new: u64,
    review: u64,
    unchanged: u64,
}

impl Counts {
    fn add(&mut self, outcome: mpi::LinkOutcome) {
        match outcome {
            mpi::LinkOutcome::Attached => self.attached += 1,
            mpi::LinkOutcome::NewPerson => self.new += 1,
            mpi::LinkOutcome::Review => self.review += 1,
            mpi::LinkOutcome::Unchanged | mpi::LinkOutcome::Unspecified => self.unchanged += 1,
        }
    }

    fn total(self) -> u64 {
        self.attached + self.new + self.review + self.unchanged
    }
}

const COLUMNS: [&str; 16] = [
    "record_id",
    "mrn",
    "given",
    "middle",
    "family",
    "suffix",
    "birth_date",
    "sex",
    "address",
    "city",
    "state",
    "postcode",
    "phone",
    "email",
    "national_id",
    "source",
];

fn read_people(
    file: File,
    path: &Path,
    progress: &ProgressBar,
    items: &mpsc::Sender<FeedPatientsRequest>,
    rejects: &mpsc::UnboundedSender<Reject>,
) -> anyhow::Result<()> {
    let reading = || format!("reading {}", path.display());
    let mut rows = Rows::new(BufReader::new(file));
    let header = rows.next_row().with_context(reading)?.and_then(|row| row.cells.ok()).unwrap_or_default();
    let columns = Columns::new(&header).with_context(reading)?;
    let unknown: Vec<_> = Columns::unknown(&header).collect();
    if !unknown.is_empty() {
        progress.suspend(|| eprintln!("columns that are not known and not read: {}", unknown.join(", ")));
    }
    while let Some(Row { line, end, cells }) = rows.next_row().with_context(reading)? {
        progress.set_position(end);
        let malformed = |why: &str| Reject::new(line, "MALFORMED_LINE", why);
        match cells.map_err(malformed).and_then(|cells| columns.record(line, &cells)) {
            Ok(record) => {
                if items.blocking_send(FeedPatientsRequest { item: line, record: Some(record) }).is_err() {
                    // The feed ended early; its error says why.
                    return Ok(());
                }
            }
            Err(reject) => {
                rejects.send(reject).ok();
            }
        }
    }
    Ok(())
}

/// Where a file has its columns.
pub(super) struct Columns {
    count: usize,
    id: usize,
    places: [Option<usize>; COLUMNS.len()],
}

impl Columns {
    fn new(header: &StringRecord) -> anyhow::Result<Self> {
        let place = |name: &str| header.iter().position(|column| column == name);
        let id = place("mrn").or_else(|| place("record_id"));
        let id = id.context("the header must have a column `mrn` or `record_id`")?;
        Ok(Self { count: header.len(), id, places: COLUMNS.map(place) })
    }

    /// Finds the columns of a file with the records of many members.
    pub(super) fn of_all_members(header: &StringRecord) -> anyhow::Result<Self> {
        for needed in ["source", "mrn"] {
            let named = header.iter().any(|column| column == needed);
            anyhow::ensure!(named, "the header must have a column `{needed}`");
        }
        Self::new(header)
    }

    /// Returns the columns that are not known.
    pub(super) fn unknown(header: &StringRecord) -> impl Iterator<Item = &str> {
        header.iter().filter(|column| !COLUMNS.contains(column) && *column != "recorded_on")
    }

    /// Returns the member whose record a row is.
    pub(super) fn source<'a>(&self, row: &'a StringRecord) -> &'a str {
        let at = COLUMNS.iter().position(|name| *name == "source").and_then(|place| self.places[place]);
        at.and_then(|at| row.get(at)).unwrap_or_default()
    }

    pub(super) fn record(&self, line: u64, row: &StringRecord) -> Result<RegisterPatientRequest, Reject> {
        if row.len() != self.count {
            let message = format!("has {} cells where the header has {}", row.len(), self.count);
            return Err(Reject::new(line, "MALFORMED_LINE", message));
        }
        let cell = |column: &str| {
            let at = COLUMNS.iter().position(|name| *name == column).and_then(|i| self.places[i]);
            at.and_then(|at| row.get(at)).unwrap_or_default()
        };
        let demographics = demographics(cell).ok_or_else(|| Reject {
            field: "sex".to_owned(),
            ..Reject::new(line, "INVALID_FIELD", "must be female, male, other or empty")
        })?;
        Ok(RegisterPatientRequest {
            local_id: row.get(self.id).unwrap_or_default().to_owned(),
            demographics: Some(demographics),
            request_id: String::new(),
        })
    }
}

/// Reads what is known of a person; `None` when the sex cannot be read.
pub(crate) fn demographics<'a>(cell: impl Fn(&str) -> &'a str) -> Option<Demographics> {
    let values = |column: &str| -> Vec<String> {
        cell(column).split('|').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect()
    };
    let given = [values("given"), values("middle")].concat();
    let mut families = values("family").into_iter();
    let current = HumanName {
        given: given.clone(),
        family: families.next().unwrap_or_default(),
        suffix: cell("suffix").to_owned(),
        ..HumanName::default()
    };
    let further = families.map(|family| HumanName { given: given.clone(), family, ..HumanName::default() });
    let names = std::iter::once(current).filter(|name| *name != HumanName::default()).chain(further);
    let address = Address {
        line: cell("address").to_owned(),
        city: cell("city").to_owned(),
        state: cell("state").to_owned(),
        postcode: cell("postcode").to_owned(),
    };
    let sex = match cell("sex").to_ascii_lowercase().as_str() {
        "female" | "f" => AdministrativeSex::Female,
        "male" | "m" => AdministrativeSex::Male,
        "other" | "o" => AdministrativeSex::Other,
        "" => AdministrativeSex::Unspecified,
        _ => return None,
    };
    let identifier = |value| Identifier { system: NATIONAL_ID_SYSTEM.to_owned(), value };
    Some(Demographics {
        names: names.collect(),
        birth_date: cell("birth_date").to_owned(),
        sex: sex.into(),
        addresses: if address == Address::default() { vec![] } else { vec![address] },
        phones: values("phone"),
        emails: values("email"),
        identifiers: values("national_id").into_iter().map(identifier).collect(),
        multiple_birth_order: 0,
        mother: None,
    })
}

async fn documents(files: Files) -> anyhow::Result<ExitCode> {
    let client = files.who.client()?;
    let user = files.who.user(Role::System, PurposeOfUse::Hoperat)?;
    let index = Index::load(&files.path)?;
    let mut refused: Vec<Reject> =
        index.problems.iter().map(|p| Reject::new(p.line, "MALFORMED_LINE", p.reason.clone())).collect();
    let bar = bar(index.entries().count() as u64, "documents");
    let (items, stream) = mpsc::channel(UNDER_WAY_MAX);
    let (rejects, mut rejected) = mpsc::unbounded_channel();
    let progress = bar.clone();
    let reader = tokio::task::spawn_blocking(move || {
        for entry in index.entries() {
            progress.inc(1);
            match index.resolve(entry).and_then(|path| hash_file(&path)) {
                Ok((size_bytes, sha256)) => {
                    let entry_message = entry.to_document_entry(size_bytes, sha256);
                    let item = RegisterDocumentsRequest { item: entry.line, entry: Some(entry_message) };
                    if items.blocking_send(item).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let reject = Reject::new(
                        entry.line,
                        "FILE_UNREADABLE",
                        format!("the file cannot be read: {error}"),
                    );
                    rejects.send(reject).ok();
                }
            }
        }
    });
    let request = client.request(&user, ReceiverStream::new(stream))?;
    let mut answers =
        client.registry().register_documents(request).await.map_err(|e| explain(&e))?.into_inner();
    let (mut new, mut known) = (0u64, 0u64);
    while let Some(answer) = answers.message().await.map_err(|e| explain(&e))? {
        match answer.result {
            Some(registry::register_documents_response::Result::Registered(done)) if done.replayed => {
                known += 1
            }
            Some(registry::register_documents_response::Result::Registered(_)) => new += 1,
            Some(registry::register_documents_response::Result::Error(error)) => {
                refused.push(Reject::refused(answer.item, error.reason, error.field, &error.message));
            }
            None => {}
        }
        bar.set_message((new + known).to_string());
    }
    reader.await?;
    while let Some(reject) = rejected.recv().await {
        refused.push(reject);
    }
    bar.finish_and_clear();
    let mut rows = table(&["documents", "new", "known", "refused"]);
    rows.add_row([new + known, new, known, refused.len() as u64]);
    println!("{rows}");
    report(refused, files.rejects.as_deref())
}

/// Shows what was refused, and writes all of it to a file when one is named. Refused lines fail the command.
fn report(mut refused: Vec<Reject>, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    refused.sort_by_key(|reject| reject.line);
    if let Some(path) = file {
        let mut writer =
            csv::Writer::from_path(path).with_context(|| format!("writing {}", path.display()))?;
        writer.write_record(["line", "reason", "field", "message"])?;
        for reject in &refused {
            writer.write_record([
                &reject.line.to_string(),
                &reject.reason,
                &reject.field,
                &reject.message,
            ])?;
        }
        writer.flush()?;
    }
    if refused.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["line", "reason", "field", "message"]);
    for reject in refused.iter().take(SHOWN_MAX) {
        rows.add_row([&reject.line.to_string(), &reject.reason, &reject.field, &reject.message]);
    }
    println!("{rows}");
    if refused.len() > SHOWN_MAX {
        println!("and {} more", refused.len() - SHOWN_MAX);
    }
    if file.is_none() {
        println!("--rejects FILE writes them all");
    }
    Ok(ExitCode::FAILURE)
}
