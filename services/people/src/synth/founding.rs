//! The people there are when the sources begin: couples with children and grandchildren, and singles.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{
    Relation,
    draw::{chance, day_between, day_in, days_after, first_of},
    names::Sex,
    world::{FIRST_YEAR, OWN_PHONE_AGE, PersonId, World},
};

const OLDEST_FOUNDER: i16 = 1920;
const YOUNGEST_FOUNDER: i16 = 1983;
const FOUNDED_BY_COUPLE: f64 = 0.66;
const FOUNDED_BY_MOTHER: f64 = 0.1;
/// Ages between which women have children.
pub(super) const MOTHER_AGES: std::ops::RangeInclusive<i16> = 19..=41;
const BIRTH_IN_YEAR: f64 = 0.17;
const MOST_CHILDREN: usize = 6;
/// How much less likely each child makes the next.
const FEWER_AFTER_EACH: f64 = 0.72;
const DIVORCED: f64 = 0.18;
const LEFT_HOME: f64 = 0.9;
const CHILD_MARRIED: f64 = 0.62;
const LEAVING_AGE: i16 = 20;
const MARRYING_AGES: std::ops::RangeInclusive<i16> = 21..=31;
const HUSBAND_OLDER_BY: std::ops::RangeInclusive<i16> = -3..=6;
const STAYS_IN_CITY: f64 = 0.5;

const TAKES_HIS_NAME: f64 = 0.7;
const HYPHENATES: f64 = 0.08;

/// Fills the world with so many people or a few more.
pub(super) fn found(world: &mut World, rng: &mut ChaCha8Rng, people: usize) {
    while world.people.len() < people {
        let birth_year = rng.random_range(OLDEST_FOUNDER..=YOUNGEST_FOUNDER);
        let city = world.atlas.any_city(rng);
        let kind: f64 = rng.random();
        if kind < FOUNDED_BY_COUPLE {
            let husband = world.newcomer(rng, Sex::Male, birth_year, city);
            couple(world, rng, husband);
        } else if kind < FOUNDED_BY_COUPLE + FOUNDED_BY_MOTHER {
            let mother = world.newcomer(rng, Sex::Female, birth_year, city);
            let mut children = vec![];
            raise(world, rng, mother, None, birth_year + *MOTHER_AGES.start(), &mut children);
            send_out(world, rng, &children);
        } else {
            let sex = if chance(rng, 0.5) { Sex::Female } else { Sex::Male };
            world.newcomer(rng, sex, birth_year, city);
        }
    }
}

/// Marries the person to someone from elsewhere, and raises their children until the records begin.
fn couple(world: &mut World, rng: &mut ChaCha8Rng, one: PersonId) {
    let (sex, birth_year) = (world.person(one).sex, world.person(one).birth.year());
    let older = rng.random_range(HUSBAND_OLDER_BY);
    let latest = FIRST_YEAR - LEAVING_AGE;
    let (other_sex, other_year) = match sex {
        Sex::Male => (Sex::Female, (birth_year + older).min(latest)),
        Sex::Female => (Sex::Male, birth_year - older),
    };
    let city = world.city_of(one);
    let other = world.newcomer(rng, other_sex, other_year, city);
    let (husband, wife) = if sex == Sex::Male { (one, other) } else { (other, one) };
    let later_birth = birth_year.max(other_year);
    let wed_year = (later_birth + rng.random_range(MARRYING_AGES)).min(FIRST_YEAR - 1);
    wed(world, rng, husband, wife, wed_year);
    let mut children = vec![];
    raise(world, rng, wife, Some(husband), wed_year, &mut children);
    if chance(rng, DIVORCED) {
        let city = world.city_of(husband);
        let parted = day_between(rng, first_of(wed_year + 1), first_of(FIRST_YEAR));
        world.live_alone(rng, husband, city, parted);
        world.person_mut(husband).spouse = None;
        world.person_mut(wife).spouse = None;
    }
    send_out(world, rng, &children);
}

/// Marries two people in the year: one household, and for most wives another name.
pub(super) fn wed(world: &mut World, rng: &mut ChaCha8Rng, husband: PersonId, wife: PersonId, year: i16) {
    let day = day_in(rng, year);
    let city = world.city_of(husband);
    let left = world.person(wife).household as usize;
    let household = world.live_alone(rng, husband, city, day);
    let young = |id: &PersonId| {
        let person = world.person(*id);
        person.mother == Some(wife) && person.age(year) < OWN_PHONE_AGE
    };
    let children: Vec<PersonId> = world.households[left].members.iter().copied().filter(young).collect();
    for id in std::iter::once(wife).chain(children) {
        world.join(id, household, day);
    }
    let his = world.person(husband).family().to_owned();
    let choice: f64 = rng.random();
    if choice < TAKES_HIS_NAME {
        world.person_mut(wife).families.push(day, his);
    } else if choice < TAKES_HIS_NAME + HYPHENATES {
        let both = format!("{}-{his}", world.person(wife).family());
        if !his.contains([' ', '-']) && both.matches('-').count() == 1 {
            world.person_mut(wife).families.push(day, both);
        }
    }
    world.person_mut(husband).spouse = Some(wife);
    world.person_mut(wife).spouse = Some(husband);
    world.relations.push((husband, wife, Relation::Spouse));
}

/// Gives the mother children, from the year to the first year of the records.
fn raise(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    mother: PersonId,
    father: Option<PersonId>,
    from: i16,
    children: &mut Vec<PersonId>,
) {
    let born = world.person(mother).birth.year();
    let mut probability = BIRTH_IN_YEAR;
    let last = (born + MOTHER_AGES.end()).min(FIRST_YEAR - 1);
    for year in from.max(born + MOTHER_AGES.start())..=last {
        if children.len() < MOST_CHILDREN && chance(rng, probability) {
            let birth = day_in(rng, year);
            world.bear(rng, mother, father, birth, children);
            probability *= FEWER_AFTER_EACH;
        }
    }
    for &child in children.iter() {
        if world.person(child).age(FIRST_YEAR) >= OWN_PHONE_AGE {
            world.equip(rng, child, first_of(FIRST_YEAR));
        }
    }
}

/// Has the grown children leave home, alone or for a household of their own.
fn send_out(world: &mut World, rng: &mut ChaCha8Rng, children: &[PersonId]) {
    for &child in children {
        let age = world.person(child).age(FIRST_YEAR);
        if age <= LEAVING_AGE || !chance(rng, LEFT_HOME) {
            continue;
        }
        let home = world.city_of(child);
        let city = if chance(rng, STAYS_IN_CITY) { home } else { world.atlas.city_near(rng, home) };
        let left = days_after(world.person(child).birth, 365 * i32::from(LEAVING_AGE));
        world.live_alone(rng, child, city, left);
        if age > *MARRYING_AGES.start() + 2 && chance(rng, CHILD_MARRIED) {
            couple(world, rng, child);
        }
    }
}
