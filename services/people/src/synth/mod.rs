//! Makes a synthetic population and the records that a dozen sources keep of it.
//!
//! A world is simulated first: families, moves, weddings, births, telephone numbers, over some twenty years.
//! Then each source writes down those who visit it, with its own habits and its own slips. The same options
//! give the same bytes on any machine. Nobody in it is real; telephone numbers are well formed, and may be
//! somebody's.
//!
//! Absent on purpose: what happens to people's health, and any link between the records but the truth.

mod clerk;
mod dates;
mod draw;
mod founding;
mod names;
mod places;
mod rates;
mod sources;
mod spelling;
#[cfg(test)]
mod tests;
mod timeline;
mod visits;
mod words;
mod world;

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

use jiff::civil::Date;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::{
    clerk::Clerk,
    sources::Source,
    visits::{Kind, Plan},
    world::World,
};
use crate::columns::Column;

/// Name of the file of records.
pub const RECORDS_FILE: &str = "records.csv";
/// Name of the file that says whose each record is.
pub const TRUTH_FILE: &str = "truth.csv";
/// Name of the file of relations between people.
pub const RELATIONS_FILE: &str = "relations.csv";

/// Which cells a later encounter keeps or changes together, in their order.
const KEPT_TOGETHER: [usize; 13] = [0, 0, 0, 0, 1, 2, 3, 3, 3, 3, 4, 5, 6];
const KEPT_GROUPS: usize = 7;
/// Rows between two words on the progress.
const PROGRESS_EVERY: usize = 4096;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// About how many people.
    pub people: usize,
    /// What the chances are drawn from.
    pub seed: u64,
}

/// Why a population could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be made.
    #[error("creating {name}")]
    Create {
        /// Name of the file.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A row could not be written.
    #[error("writing {name}")]
    Write {
        /// Name of the file.
        name: &'static str,
        /// Why.
        source: csv::Error,
    },
}

/// A true person, or the nobody of a test row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(u32);

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{:07}", self.0)
    }
}

/// A row of a source, by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(u32);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{:07}", self.0)
    }
}

/// What two people are to each other, where their records are easily taken for one person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// Born of one mother on one day.
    Twin,
    /// Parent and child of the same given and family name.
    SameName,
    /// Children of one mother.
    Sibling,
    /// Married, now or once.
    Spouse,
    /// Parent and child.
    Parent,
}

impl Relation {
    /// Returns every relation, in the order of the summary.
    pub const ALL: [Self; 5] = [Self::Twin, Self::SameName, Self::Sibling, Self::Spouse, Self::Parent];

    /// Returns the word for it in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Twin => "twin",
            Self::SameName => "same_name",
            Self::Sibling => "sibling",
            Self::Spouse => "spouse",
            Self::Parent => "parent",
        }
    }
}

/// What a source wrote down of a person, as text; empty where it did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    /// Given name.
    pub given: String,
    /// Middle name or its initial.
    pub middle: String,
    /// Family name.
    pub family: String,
    /// Such as Jr.
    pub suffix: String,
    /// Date of birth: year, month, day.
    pub birth_date: String,
    /// F or M.
    pub sex: String,
    /// House number, street and unit.
    pub address: String,
    /// City.
    pub city: String,
    /// Code of the state.
    pub state: String,
    /// Postcode.
    pub postcode: String,
    /// Telephone number.
    pub phone: String,
    /// E-mail address.
    pub email: String,
    /// National identifier.
    pub national_id: String,
}

impl Cells {
    fn each_mut(&mut self) -> [&mut String; 13] {
        let Self {
            given,
            middle,
            family,
            suffix,
            birth_date,
            sex,
            address,
            city,
            state,
            postcode,
            phone,
            email,
            national_id,
        } = self;
        [
            given,
            middle,
            family,
            suffix,
            birth_date,
            sex,
            address,
            city,
            state,
            postcode,
            phone,
            email,
            national_id,
        ]
    }
}

/// A record of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the file.
    pub id: RecordId,
    /// Whose it is.
    pub entity: EntityId,
    /// Name of the source.
    pub source: &'static str,
    /// Medical record number at the source.
    pub mrn: String,
    /// Day of the encounter.
    pub recorded_on: Date,
    /// What was written down.
    pub cells: Cells,
}

/// How much was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// People, and the nobodies of test rows.
    pub entities: u64,
    /// Rows.
    pub records: u64,
    /// Pairs of people for each of [`Relation::ALL`].
    pub relations: [u64; Relation::ALL.len()],
}

/// A population: the world, its sources, and a plan for each row. Rows are written when asked for.
#[derive(Debug)]
pub struct Population {
    world: World,
    sources: Vec<Source>,
    plans: Vec<Plan>,
    base: ChaCha8Rng,
}

/// Makes a population.
pub fn generate(options: Options) -> Population {
    let base = ChaCha8Rng::seed_from_u64(options.seed);
    let mut rng = base.clone();
    let mut world = World::new(&mut rng, options.people);
    founding::found(&mut world, &mut rng, options.people * timeline::BEGIN_PERCENT / 100);
    timeline::pass(&mut world, &mut rng);
    world.order_relations();
    let sources = sources::open(&mut rng);
    let plans = visits::plan(&world, &sources, &mut rng);
    Population { world, sources, plans, base }
}

impl Population {
    /// Returns the records, in the order of the file.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record> + '_ {
        self.plans.iter().enumerate().map(|(at, plan)| self.record(at, plan))
    }

    /// Returns pairs of people with what they are to each other; each pair of people once.
    pub fn relations(&self) -> impl ExactSizeIterator<Item = (EntityId, EntityId, Relation)> + '_ {
        self.world.relations.iter().map(|&(one, other, relation)| (EntityId(one), EntityId(other), relation))
    }

    /// Returns how much there is.
    pub fn summary(&self) -> Summary {
        let tests = self.plans.iter().filter(|plan| plan.kind == Kind::Test).count();
        let mut relations = [0; Relation::ALL.len()];
        for (_, _, relation) in &self.world.relations {
            relations[*relation as usize] += 1;
        }
        Summary {
            entities: (self.world.people.len() + tests) as u64,
            records: self.plans.len() as u64,
            relations,
        }
    }

    fn record(&self, at: usize, plan: &Plan) -> Record {
        let source = &self.sources[usize::from(plan.source)];
        Record {
            id: RecordId(at as u32 + 1),
            entity: EntityId(plan.person),
            source: source.name,
            mrn: source.mrn(plan.mrn),
            recorded_on: plan.on,
            cells: self.cells(plan, source),
        }
    }

    fn cells(&self, plan: &Plan, source: &Source) -> Cells {
        let clerk = |stream, on| Clerk::new(&self.world, source, plan.person, on, self.stream(stream));
        match plan.kind {
            Kind::First => clerk(plan.stream, plan.on).patient(),
            Kind::Newborn => clerk(plan.stream, plan.on).newborn(),
            Kind::Unidentified => clerk(plan.stream, plan.on).unidentified(),
            Kind::Test => clerk::test_row(&mut self.stream(plan.stream)),
            Kind::Again { first, on } => {
                let mut cells = clerk(plan.stream, plan.on).patient();
                let mut before = clerk(first, on).patient();
                let mut rng = self.stream(plan.stream);
                let kept: [bool; KEPT_GROUPS] =
                    std::array::from_fn(|_| draw::chance(&mut rng, rates::CELLS_KEPT));
                let both = cells.each_mut().into_iter().zip(before.each_mut());
                for ((now, before), group) in both.zip(KEPT_TOGETHER) {
                    if kept[group] {
                        std::mem::swap(now, before);
                    }
                }
                cells
            }
        }
    }

    /// Returns the chances of one row, which do not depend on other rows.
    fn stream(&self, number: u32) -> ChaCha8Rng {
        let mut rng = self.base.clone();
        rng.set_stream(u64::from(number) + 1);
        rng
    }
}

/// Makes a population and writes it to three files in the directory, saying how many rows of all are done.
pub fn write(options: Options, out_dir: &Path, progress: &dyn Fn(u64, u64)) -> Result<Summary, Error> {
    let population = generate(options);
    let summary = population.summary();
    let mut records = Table::create(out_dir, RECORDS_FILE, &Column::ALL.map(Column::name))?;
    let mut truth = Table::create(out_dir, TRUTH_FILE, &["record_id", "entity_id"])?;
    for (done, record) in population.records().enumerate() {
        if done % PROGRESS_EVERY == 0 {
            progress(done as u64, summary.records);
        }
        let id = record.id.to_string();
        truth.row(&[&id, &record.entity.to_string()])?;
        records.row(&row(&record, &id, &record.recorded_on.to_string()))?;
    }
    let mut relations = Table::create(out_dir, RELATIONS_FILE, &["entity_a", "entity_b", "relation"])?;
    for (one, other, relation) in population.relations() {
        relations.row(&[&one.to_string(), &other.to_string(), relation.as_str()])?;
    }
    for table in [records, truth, relations] {
        table.finish()?;
    }
    progress(summary.records, summary.records);
    Ok(summary)
}

fn row<'a>(record: &'a Record, id: &'a str, recorded_on: &'a str) -> [&'a str; Column::ALL.len()] {
    let Record { id: _, entity: _, source, mrn, recorded_on: _, cells } = record;
    let Cells {
        given,
        middle,
        family,
        suffix,
        birth_date,
        sex,
        address,
        city,
        state,
        postcode,
        phone,
        email,
        national_id,
    } = cells;
    [
        id,
        source,
        mrn,
        recorded_on,
        given,
        middle,
        family,
        suffix,
        birth_date,
        sex,
        address,
        city,
        state,
        postcode,
        phone,
        email,
        national_id,
    ]
}

/// A file of rows.
struct Table {
    name: &'static str,
    writer: csv::Writer<BufWriter<File>>,
}

impl Table {
    fn create(out_dir: &Path, name: &'static str, columns: &[&str]) -> Result<Self, Error> {
        let file = File::create(out_dir.join(name)).map_err(|source| Error::Create { name, source })?;
        let mut table = Self { name, writer: csv::Writer::from_writer(BufWriter::new(file)) };
        table.row(columns)?;
        Ok(table)
    }

    fn row(&mut self, cells: &[&str]) -> Result<(), Error> {
        self.writer.write_record(cells).map_err(|source| Error::Write { name: self.name, source })
    }

    fn finish(mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|source| Error::Write { name: self.name, source: source.into() })
    }
}
