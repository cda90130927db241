//! Who is written down where and when: one plan for each row, in the order of the file.

use jiff::civil::Date;
use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    draw::{Pool, chance, day_between, days_after, first_of},
    rates,
    sources::Source,
    world::{FIRST_YEAR, LAST_YEAR, OWN_PHONE_AGE, PersonId, World},
};

/// Weights of the numbers of visits, from one.
const VISITS: [u32; 10] = [37, 26, 15, 8, 5, 3, 2, 2, 1, 1];
/// Month and day with which the last year ends.
const LAST_DAY: (i8, i8) = (6, 30);
const NEWBORN_DAYS: i32 = 3;
/// Share of the later visits at a source that has seen the person before.
const RETURNS: f64 = 0.4;
const TRIES: usize = 4;
/// The largest step from one medical record number to the next.
const MRN_STEP: u32 = 9;
const FIRST_MRN: u32 = 10_000;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first of a registration.
    First,
    /// A later encounter under the number of the first.
    Again { first: u32, on: Date },
    /// A child without a given name, a few days old.
    Newborn,
    /// A person whom nobody could identify.
    Unidentified,
    /// Nobody.
    Test,
}

/// A row before it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Number of the random stream of the row.
    pub(super) stream: u32,
    pub(super) person: PersonId,
    pub(super) source: u8,
    pub(super) kind: Kind,
    pub(super) on: Date,
    /// Which registration; once all are known, its medical record number.
    pub(super) mrn: u32,
}

/// A patient as known to one source under one number.
#[derive(Debug, Clone, Copy)]
struct Registration {
    number: u32,
    source: u8,
    first: u32,
    on: Date,
}

/// Plans all rows, in random order.
pub(super) fn plan(world: &World, sources: &[Source], rng: &mut ChaCha8Rng) -> Vec<Plan> {
    let mut planner = Planner::new(world, sources);
    for id in 0..world.people.len() as PersonId {
        planner.visits(rng, id);
    }
    planner.test_rows(rng);
    let mut plans = planner.plans;
    number_registrations(&mut plans, planner.registrations, sources.len(), rng);
    plans.shuffle(rng);
    plans
}

struct Planner<'a> {
    world: &'a World,
    sources: &'a [Source],
    visits: Pool<u32>,
    /// Sources by nearness to a state; hospitals alone in the second.
    near: Vec<(Pool<u8>, Pool<u8>)>,
    plans: Vec<Plan>,
    registrations: u32,
}

impl<'a> Planner<'a> {
    fn new(world: &'a World, sources: &'a [Source]) -> Self {
        let near = (0..world.atlas.states())
            .map(|state| {
                let weight = |hospital: bool| {
                    let open =
                        sources.iter().enumerate().filter(move |(_, source)| !hospital || source.hospital);
                    Pool::weighted(open.map(|(at, source)| (at as u8, source.weight(state))))
                };
                (weight(false), weight(true))
            })
            .collect();
        let visits = Pool::weighted((1..).zip(VISITS));
        Self { world, sources, visits, near, plans: vec![], registrations: 0 }
    }

    /// Plans the rows of a person.
    fn visits(&mut self, rng: &mut ChaCha8Rng, id: PersonId) {
        let person = self.world.person(id);
        let end = Date::new(LAST_YEAR, LAST_DAY.0, LAST_DAY.1).unwrap_or(Date::MAX);
        let first = first_of(FIRST_YEAR).max(person.birth);
        let last = person.death.unwrap_or(end).min(end).max(first);
        let state = self.world.atlas.state_of(self.world.city_of(id));
        if first > first_of(FIRST_YEAR) && chance(rng, rates::NEWBORN) {
            let on = days_after(person.birth, rng.random_range(0..=NEWBORN_DAYS));
            self.add_new(id, *self.near[state].1.draw(rng), Kind::Newborn, on);
        }
        let mut known: Vec<Registration> = vec![];
        let count = *self.visits.draw(rng);
        let mut days: Vec<Date> = (0..count).map(|_| day_between(rng, first, last)).collect();
        days.sort_unstable();
        for on in days {
            let grown = person.age(on.year()) >= OWN_PHONE_AGE;
            if grown && !known.is_empty() && chance(rng, rates::UNIDENTIFIED) {
                self.add_new(id, *self.near[state].1.draw(rng), Kind::Unidentified, on);
            } else {
                self.visit(rng, id, on, state, &mut known);
            }
        }
    }

    /// Plans one visit: at a source that knows the person already, or at another.
    fn visit(
        &mut self,
        rng: &mut ChaCha8Rng,
        id: PersonId,
        on: Date,
        state: usize,
        known: &mut Vec<Registration>,
    ) {
        let mut source = *self.near[state].0.draw(rng);
        for _ in 0..TRIES {
            if !known.is_empty() && chance(rng, RETURNS) {
                source = known[rng.random_range(0..known.len())].source;
            }
            let habits = &self.sources[usize::from(source)];
            match known.iter().find(|registration| registration.source == source) {
                None => break,
                Some(_) if chance(rng, habits.registers_again) => break,
                Some(&before) if habits.row_for_each_encounter => {
                    let kind = Kind::Again { first: before.first, on: before.on };
                    return self.add(id, source, kind, on, before.number);
                }
                Some(_) => source = *self.near[state].0.draw(rng),
            }
        }
        let first = self.plans.len() as u32;
        let number = self.add_new(id, source, Kind::First, on);
        known.push(Registration { number, source, first, on });
    }

    /// Adds rows of nobody; each is an entity of its own, behind the people.
    fn test_rows(&mut self, rng: &mut ChaCha8Rng) {
        let first = first_of(FIRST_YEAR);
        let rows = (0..self.plans.len()).filter(|_| chance(rng, rates::TEST_ROW)).count();
        for row in 0..rows {
            let source = rng.random_range(0..self.sources.len()) as u8;
            let on = day_between(rng, first, first_of(LAST_YEAR));
            self.add_new((self.world.people.len() + row) as PersonId, source, Kind::Test, on);
        }
    }

    fn add_new(&mut self, id: PersonId, source: u8, kind: Kind, on: Date) -> u32 {
        let number = self.registrations;
        self.registrations += 1;
        self.add(id, source, kind, on, number);
        number
    }

    fn add(&mut self, person: PersonId, source: u8, kind: Kind, on: Date, mrn: u32) {
        let stream = self.plans.len() as u32;
        self.plans.push(Plan { stream, person, source, kind, on, mrn });
    }
}

/// Gives each registration its number: in each source they rise with time.
fn number_registrations(plans: &mut [Plan], registrations: u32, sources: usize, rng: &mut ChaCha8Rng) {
    let mut firsts: Vec<(Date, u32, u8)> = plans
        .iter()
        .filter(|plan| !matches!(plan.kind, Kind::Again { .. }))
        .map(|plan| (plan.on, plan.mrn, plan.source))
        .collect();
    firsts.sort_unstable();
    let mut next = vec![FIRST_MRN; sources];
    let mut numbers = vec![0; registrations as usize];
    for (_, registration, source) in firsts {
        let mrn = &mut next[usize::from(source)];
        *mrn += rng.random_range(1..=MRN_STEP);
        numbers[registration as usize] = *mrn;
    }
    for plan in plans {
        plan.mrn = numbers[plan.mrn as usize];
    }
}
