//! What happens while the sources keep records, year by year: births, weddings, divorces, moves, deaths.

use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    draw::{chance, choose, day_in},
    founding::{MOTHER_AGES, wed},
    names::Sex,
    world::{FIRST_YEAR, LAST_YEAR, OWN_PHONE_AGE, PersonId, World},
};

/// People there are at the beginning for each hundred people in all.
pub(super) const BEGIN_PERCENT: usize = 81;

const LEAVES_HOME: f64 = 0.16;
const LEAVING_AGES: std::ops::RangeInclusive<i16> = 18..=35;
const TO_DORMITORY: f64 = 0.2;
const STUDENT_AGES: std::ops::RangeInclusive<i16> = 18..=22;
const COURTS: f64 = 0.09;
const COURTING_AGES: std::ops::RangeInclusive<i16> = 21..=48;
const MOST_YEARS_APART: i16 = 8;
const DIVORCES: f64 = 0.014;
const BACK_TO_MAIDEN_NAME: f64 = 0.35;
const BIRTH_IF_MARRIED: f64 = 0.105;
const BIRTH_IF_SINGLE: f64 = 0.022;
const MOST_CHILDREN: usize = 5;
const NEW_NUMBER: f64 = 0.045;
const TO_NURSING_HOME: f64 = 0.05;
const NURSING_AGE: i16 = 79;
const TO_SHELTER: f64 = 0.0006;
const SAME_CITY: f64 = 0.6;
const SAME_STATE: f64 = 0.9;
/// Probability of a move in a year, up to the age of the head of the household.
const MOVES: [(i16, f64); 4] = [(29, 0.2), (44, 0.09), (64, 0.045), (i16::MAX, 0.02)];
/// Probability of death in a year, up to the age.
const DEATHS: [(i16, f64); 7] =
    [(39, 0.001), (54, 0.003), (64, 0.008), (74, 0.018), (84, 0.05), (94, 0.14), (i16::MAX, 0.35)];

/// People looking for a spouse in a year.
#[derive(Debug, Default)]
struct Singles {
    women: Vec<PersonId>,
    men: Vec<PersonId>,
}

/// Lets all years of the records pass.
pub(super) fn pass(world: &mut World, rng: &mut ChaCha8Rng) {
    let mut children: Vec<Vec<PersonId>> = vec![];
    for year in FIRST_YEAR..LAST_YEAR {
        let mut singles = Singles::default();
        for id in 0..world.people.len() as PersonId {
            live(world, rng, id, year, &mut singles, &mut children);
        }
        pair(world, rng, singles, year);
    }
}

/// Lets a year of a life pass.
fn live(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    id: PersonId,
    year: i16,
    singles: &mut Singles,
    children: &mut Vec<Vec<PersonId>>,
) {
    let person = world.person(id);
    let (age, sex, spouse) = (person.age(year), person.sex, person.spouse);
    if person.death.is_some() || age < 0 {
        return;
    }
    if chance(rng, by_age(&DEATHS, age)) {
        return die(world, rng, id, year);
    }
    if age == OWN_PHONE_AGE {
        let day = day_in(rng, year);
        world.equip(rng, id, day);
    }
    if sex == Sex::Female && MOTHER_AGES.contains(&age) {
        give_birth(world, rng, id, year, children);
    }
    if age < *LEAVING_AGES.start() {
        return;
    }
    if chance(rng, NEW_NUMBER) && world.person(id).mobiles.latest().is_some() {
        let day = day_in(rng, year);
        world.change_number(rng, id, day);
    }
    if sex == Sex::Male && spouse.is_some() && chance(rng, DIVORCES) {
        divorce(world, rng, id, year);
    }
    go(world, rng, id, year);
    if spouse.is_none() && COURTING_AGES.contains(&age) && chance(rng, COURTS) {
        match sex {
            Sex::Female => singles.women.push(id),
            Sex::Male => singles.men.push(id),
        }
    }
}

fn by_age(table: &[(i16, f64)], age: i16) -> f64 {
    table.iter().find(|(last, _)| age <= *last).map_or(0.0, |(_, probability)| *probability)
}

fn die(world: &mut World, rng: &mut ChaCha8Rng, id: PersonId, year: i16) {
    let birth = world.person(id).birth;
    let person = world.person_mut(id);
    person.death = Some(day_in(rng, year).max(birth));
    let (spouse, household) = (person.spouse.take(), person.household);
    if let Some(spouse) = spouse {
        world.person_mut(spouse).spouse = None;
    }
    world.households[household as usize].members.retain(|&member| member != id);
}

fn give_birth(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    mother: PersonId,
    year: i16,
    children: &mut Vec<Vec<PersonId>>,
) {
    let father = world.person(mother).spouse;
    if !chance(rng, if father.is_some() { BIRTH_IF_MARRIED } else { BIRTH_IF_SINGLE }) {
        return;
    }
    let at = mother as usize;
    if children.len() <= at {
        children.resize_with(at + 1, Vec::new);
    }
    let mut siblings = std::mem::take(&mut children[at]);
    if siblings.is_empty() {
        siblings = born_before(world, mother);
    }
    if siblings.len() < MOST_CHILDREN {
        let birth = day_in(rng, year);
        world.bear(rng, mother, father, birth, &mut siblings);
    }
    children[at] = siblings;
}

/// Returns the children of the mother who live with her.
fn born_before(world: &World, mother: PersonId) -> Vec<PersonId> {
    let household = world.person(mother).household;
    let members = &world.households[household as usize].members;
    members.iter().copied().filter(|&id| world.person(id).mother == Some(mother)).collect()
}

/// Parts a couple: he leaves, and some wives take back their name.
fn divorce(world: &mut World, rng: &mut ChaCha8Rng, husband: PersonId, year: i16) {
    let Some(wife) = world.person_mut(husband).spouse.take() else { return };
    let day = day_in(rng, year);
    let city = new_city(world, rng, husband);
    world.live_alone(rng, husband, city, day);
    let back = chance(rng, BACK_TO_MAIDEN_NAME);
    let wife = world.person_mut(wife);
    wife.spouse = None;
    if back && wife.family() != wife.maiden() {
        let maiden = wife.maiden().to_owned();
        wife.families.push(day, maiden);
    }
}

/// Has the person leave home, or the household move, as it comes.
fn go(world: &mut World, rng: &mut ChaCha8Rng, id: PersonId, year: i16) {
    let person = world.person(id);
    let (age, household) = (person.age(year), person.household);
    let here = &world.households[household as usize];
    let (head, alone) = (here.members.first() == Some(&id), here.members.len() == 1);
    let settled = world.places[here.home as usize].institution && age >= NURSING_AGE;
    if !head && person.spouse.is_none() && LEAVING_AGES.contains(&age) && chance(rng, LEAVES_HOME) {
        let day = day_in(rng, year);
        if STUDENT_AGES.contains(&age) && chance(rng, TO_DORMITORY) {
            let home = *choose(rng, &world.dormitories);
            let room = world.found(home);
            world.join(id, room, day);
        } else {
            let city = new_city(world, rng, id);
            world.live_alone(rng, id, city, day);
        }
    } else if age >= NURSING_AGE && !settled && chance(rng, TO_NURSING_HOME) {
        enter(world, rng, id, year, |world| &world.nursing_homes);
    } else if alone && chance(rng, TO_SHELTER) {
        enter(world, rng, id, year, |world| &world.shelters);
    } else if head && !settled && chance(rng, by_age(&MOVES, age)) {
        let city = new_city(world, rng, id);
        let home = world.build(rng, city);
        let day = day_in(rng, year);
        world.relocate(household, home, day);
    }
}

/// Has the person live in one of the buildings for many.
fn enter(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    id: PersonId,
    year: i16,
    buildings: fn(&World) -> &Vec<u32>,
) {
    let home = *choose(rng, buildings(world));
    let room = world.found(home);
    let day = day_in(rng, year);
    world.join(id, room, day);
}

fn new_city(world: &World, rng: &mut ChaCha8Rng, id: PersonId) -> usize {
    let city = world.city_of(id);
    match rng.random::<f64>() {
        x if x < SAME_CITY => city,
        x if x < SAME_STATE => world.atlas.city_near(rng, city),
        _ => world.atlas.any_city(rng),
    }
}

/// Weds those of about one age in one state.
fn pair(world: &mut World, rng: &mut ChaCha8Rng, mut singles: Singles, year: i16) {
    let key = |id: &PersonId| (world.atlas.state_of(world.city_of(*id)), world.person(*id).birth.year());
    for people in [&mut singles.women, &mut singles.men] {
        people.shuffle(rng);
        people.sort_by_cached_key(key);
    }
    let (mut woman, mut man) = (0, 0);
    let mut couples = vec![];
    while let (Some(hers), Some(his)) = (singles.women.get(woman), singles.men.get(man)) {
        let (her_key, his_key) = (key(hers), key(his));
        let together = her_key.0 == his_key.0 && (her_key.1 - his_key.1).abs() <= MOST_YEARS_APART;
        if together && !related(world, *his, *hers) {
            couples.push((*his, *hers));
        }
        woman += usize::from(together || her_key < his_key);
        man += usize::from(together || his_key <= her_key);
    }
    for (his, hers) in couples {
        wed(world, rng, his, hers, year);
    }
}

fn related(world: &World, man: PersonId, woman: PersonId) -> bool {
    let (his, hers) = (world.person(man), world.person(woman));
    (his.mother.is_some() && his.mother == hers.mother)
        || his.mother == Some(woman)
        || hers.father == Some(man)
}
