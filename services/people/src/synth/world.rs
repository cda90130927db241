//! The world as it is, before anyone writes it down: people with their histories, places, relations.

use jiff::civil::Date;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{
    Relation,
    draw::{chance, choose, day_in, first_of},
    names::{Names, Sex, Tradition},
    places::{Atlas, Place},
    spelling,
};

/// First year of which the sources keep records.
pub(super) const FIRST_YEAR: i16 = 2004;
/// Year in which the records end; nothing changes any more in it.
pub(super) const LAST_YEAR: i16 = 2026;
/// Age at which people have a telephone and an e-mail address of their own.
pub(super) const OWN_PHONE_AGE: i16 = 15;

const WITH_MIDDLE: f64 = 0.74;
const WITH_MIDDLE_BEFORE_1945: f64 = 0.64;
const NEVER_A_MOBILE: f64 = 0.06;
const WITH_EMAIL: f64 = 0.8;
const REASSIGNED_NUMBER: f64 = 0.08;
const CALLED_BY_NICKNAME: f64 = 0.14;
const CALLED_BY_MIDDLE: f64 = 0.025;
/// Share of births that are of twins; a person is then a twin about twice as often.
const TWIN_BIRTH: f64 = 0.0155;
const TWINS_OF_ONE_SEX: f64 = 0.66;
const TWINS_SAME_MIDDLE: f64 = 0.06;
/// Share of first sons, and of first daughters, named after the parent.
const SON_LIKE_FATHER: f64 = 0.036;
const DAUGHTER_LIKE_MOTHER: f64 = 0.004;
/// Share of the men whose fathers live elsewhere named after them.
const JUNIOR_FROM_ELSEWHERE: f64 = 0.02;
const NAMESAKE_SAME_MIDDLE: f64 = 0.6;
const BOTH_HALVES: f64 = 0.35;
const EMAIL_DOMAINS: [&str; 9] = [
    "mail.example",
    "mail.example",
    "mail.example",
    "post.example",
    "post.example",
    "inbox.example",
    "web.example.net",
    "home.example.com",
    "work.example.org",
];

/// A person, by place in the list.
pub(super) type PersonId = u32;

/// Something that is so from a day on.
#[derive(Debug, Clone)]
pub(super) struct Dated<T> {
    from: Date,
    value: T,
}

/// What a person has had one after the other, oldest first.
#[derive(Debug, Clone)]
pub(super) struct History<T>(Vec<Dated<T>>);

impl<T> History<T> {
    fn new() -> Self {
        Self(vec![])
    }

    /// Says that it is so from the day on.
    pub(super) fn push(&mut self, from: Date, value: T) {
        self.0.push(Dated { from, value });
    }

    /// Returns what was so on the day; nothing before it began.
    pub(super) fn at(&self, on: Date) -> Option<&T> {
        self.0.iter().rev().find(|entry| entry.from <= on).map(|entry| &entry.value)
    }

    /// Returns what was so before the present one, if that began less than so many years before the day.
    pub(super) fn before(&self, on: Date, years: i16) -> Option<&T> {
        let now = self.0.iter().rposition(|entry| entry.from <= on)?;
        let recent = on.year() - self.0[now].from.year() < years;
        self.0[..now].last().filter(|_| recent).map(|entry| &entry.value)
    }

    /// Returns the first of all.
    pub(super) fn first(&self) -> Option<&T> {
        self.0.first().map(|entry| &entry.value)
    }

    /// Returns the latest.
    pub(super) fn latest(&self) -> Option<&T> {
        self.0.last().map(|entry| &entry.value)
    }
}

/// What stands behind a name to tell a son from his father.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suffix {
    None,
    Senior,
    Junior,
    Third,
}

/// What people call a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CalledBy {
    Given,
    Nickname,
    Middle,
}

/// A person with all that changes over a life.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) sex: Sex,
    pub(super) tradition: Tradition,
    pub(super) birth: Date,
    pub(super) death: Option<Date>,
    pub(super) given: String,
    pub(super) middle: String,
    pub(super) suffix: Suffix,
    pub(super) called_by: CalledBy,
    pub(super) families: History<String>,
    pub(super) homes: History<u32>,
    pub(super) mobiles: History<u64>,
    pub(super) email: String,
    pub(super) national_id: u32,
    pub(super) mother: Option<PersonId>,
    pub(super) father: Option<PersonId>,
    pub(super) spouse: Option<PersonId>,
    /// Which of twins, from 1; 0 for a single birth.
    pub(super) birth_order: u8,
    pub(super) household: u32,
    pub(super) employer: u16,
}

impl Person {
    /// Returns the age in whole years of the calendar.
    pub(super) fn age(&self, year: i16) -> i16 {
        year - self.birth.year()
    }

    /// Returns the family name at birth.
    pub(super) fn maiden(&self) -> &str {
        self.families.first().map_or("", String::as_str)
    }

    /// Returns the present family name.
    pub(super) fn family(&self) -> &str {
        self.families.latest().map_or("", String::as_str)
    }
}

/// People who live together.
#[derive(Debug)]
pub(super) struct Household {
    pub(super) members: Vec<PersonId>,
    pub(super) home: u32,
}

/// The world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) names: Names,
    pub(super) atlas: Atlas,
    pub(super) people: Vec<Person>,
    pub(super) places: Vec<Place>,
    pub(super) households: Vec<Household>,
    pub(super) relations: Vec<(PersonId, PersonId, Relation)>,
    /// Telephones of employers.
    pub(super) workplaces: Vec<u64>,
    pub(super) dormitories: Vec<u32>,
    pub(super) nursing_homes: Vec<u32>,
    pub(super) shelters: Vec<u32>,
    /// Mobile numbers given up, to be given to someone else.
    freed_numbers: Vec<u64>,
}

impl World {
    /// Returns a world without people, with buildings enough for so many.
    pub(super) fn new(rng: &mut ChaCha8Rng, people: usize) -> Self {
        let atlas = Atlas::new(rng);
        let mut places = vec![];
        let mut build = |rng: &mut ChaCha8Rng, people_each: usize| -> Vec<u32> {
            (0..people / people_each + 2)
                .map(|_| {
                    let city = atlas.any_city(rng);
                    places.push(atlas.institution(rng, city));
                    places.len() as u32 - 1
                })
                .collect()
        };
        let dormitories = build(rng, 3_000);
        let nursing_homes = build(rng, 2_500);
        let shelters = build(rng, 20_000);
        let workplaces = (0..people / 150 + 4)
            .map(|_| {
                let city = atlas.any_city(rng);
                atlas.phone(rng, city)
            })
            .collect();
        Self {
            names: Names::new(),
            atlas,
            people: vec![],
            places,
            households: vec![],
            relations: vec![],
            workplaces,
            dormitories,
            nursing_homes,
            shelters,
            freed_numbers: vec![],
        }
    }

    /// Puts the relations in order, and keeps one for each two people: couples may marry again.
    pub(super) fn order_relations(&mut self) {
        self.relations.sort_unstable();
        self.relations.dedup_by_key(|(one, other, _)| (*one, *other));
    }

    /// Returns the person.
    pub(super) fn person(&self, id: PersonId) -> &Person {
        &self.people[id as usize]
    }

    /// Returns the person, to change.
    pub(super) fn person_mut(&mut self, id: PersonId) -> &mut Person {
        &mut self.people[id as usize]
    }

    /// Returns the city the person lives in now.
    pub(super) fn city_of(&self, id: PersonId) -> usize {
        let home = self.households[self.person(id).household as usize].home;
        self.places[home as usize].city
    }

    /// Adds a home in the city.
    pub(super) fn build(&mut self, rng: &mut ChaCha8Rng, city: usize) -> u32 {
        self.places.push(self.atlas.home(rng, city));
        self.places.len() as u32 - 1
    }

    /// Founds a household of nobody.
    pub(super) fn found(&mut self, home: u32) -> u32 {
        self.households.push(Household { members: vec![], home });
        self.households.len() as u32 - 1
    }

    /// Has the person live in the household from the day on, and in no other.
    pub(super) fn join(&mut self, id: PersonId, household: u32, from: Date) {
        let old = self.person(id).household;
        if let Some(old) = self.households.get_mut(old as usize) {
            old.members.retain(|&member| member != id);
        }
        let new = &mut self.households[household as usize];
        new.members.push(id);
        let home = new.home;
        let person = self.person_mut(id);
        person.household = household;
        person.homes.push(from, home);
    }

    /// Has the whole household move.
    pub(super) fn relocate(&mut self, household: u32, home: u32, from: Date) {
        self.households[household as usize].home = home;
        let members = std::mem::take(&mut self.households[household as usize].members);
        for &id in &members {
            self.person_mut(id).homes.push(from, home);
        }
        self.households[household as usize].members = members;
    }

    /// Adds a person with a family name, who lives nowhere yet.
    pub(super) fn add(
        &mut self,
        rng: &mut ChaCha8Rng,
        sex: Sex,
        birth: Date,
        tradition: Tradition,
        family: String,
    ) -> PersonId {
        const NOWHERE: u32 = u32::MAX;
        let given = self.names.given(rng, tradition, sex, birth.year());
        let share = if birth.year() < 1945 { WITH_MIDDLE_BEFORE_1945 } else { WITH_MIDDLE };
        let middle = self.names.middle(rng, tradition, sex, birth.year());
        let middle = if middle != given && chance(rng, share) { middle } else { String::new() };
        let called_by = match rng.random::<f64>() {
            x if x < CALLED_BY_NICKNAME => CalledBy::Nickname,
            x if x < CALLED_BY_NICKNAME + CALLED_BY_MIDDLE && !middle.is_empty() => CalledBy::Middle,
            _ => CalledBy::Given,
        };
        let mut families = History::new();
        families.push(birth, family);
        self.people.push(Person {
            sex,
            tradition,
            birth,
            death: None,
            given,
            middle,
            suffix: Suffix::None,
            called_by,
            families,
            homes: History::new(),
            mobiles: History::new(),
            email: String::new(),
            national_id: national_id(rng),
            mother: None,
            father: None,
            spouse: None,
            birth_order: 0,
            household: NOWHERE,
            employer: rng.random_range(0..self.workplaces.len().min(usize::from(u16::MAX))) as u16,
        });
        self.people.len() as PersonId - 1
    }

    /// Gives the person a mobile number and an e-mail address of their own.
    pub(super) fn equip(&mut self, rng: &mut ChaCha8Rng, id: PersonId, from: Date) {
        if !chance(rng, NEVER_A_MOBILE) {
            self.change_number(rng, id, from);
        }
        if chance(rng, WITH_EMAIL) {
            let email = email(rng, self.person(id));
            self.person_mut(id).email = email;
        }
    }

    /// Gives the person a new mobile number, now and then one that was a stranger's.
    pub(super) fn change_number(&mut self, rng: &mut ChaCha8Rng, id: PersonId, from: Date) {
        let city = self.city_of(id);
        let number = if !self.freed_numbers.is_empty() && chance(rng, REASSIGNED_NUMBER) {
            let at = rng.random_range(0..self.freed_numbers.len());
            self.freed_numbers.swap_remove(at)
        } else {
            self.atlas.phone(rng, city)
        };
        if let Some(&old) = self.person(id).mobiles.latest() {
            self.freed_numbers.push(old);
        }
        self.person_mut(id).mobiles.push(from, number);
    }

    /// Adds the child, or the twins, of a mother to her household.
    pub(super) fn bear(
        &mut self,
        rng: &mut ChaCha8Rng,
        mother: PersonId,
        father: Option<PersonId>,
        birth: Date,
        siblings: &mut Vec<PersonId>,
    ) {
        let twins = chance(rng, TWIN_BIRTH);
        let first = self.child(rng, mother, father, birth, siblings);
        siblings.push(first);
        if twins {
            let second = self.child(rng, mother, father, birth, siblings);
            self.make_twins(rng, first, second);
            self.tell_apart(rng, second, siblings);
            siblings.push(second);
        }
    }

    fn child(
        &mut self,
        rng: &mut ChaCha8Rng,
        mother: PersonId,
        father: Option<PersonId>,
        birth: Date,
        siblings: &[PersonId],
    ) -> PersonId {
        let sex = if chance(rng, 0.51) { Sex::Male } else { Sex::Female };
        let family = self.family_of_child(rng, mother, father, siblings);
        let tradition = self.person(father.unwrap_or(mother)).tradition;
        let id = self.add(rng, sex, birth, tradition, family);
        self.tell_apart(rng, id, siblings);
        let namesake = match sex {
            Sex::Male => father.filter(|_| chance(rng, SON_LIKE_FATHER)),
            Sex::Female => chance(rng, DAUGHTER_LIKE_MOTHER).then_some(mother),
        };
        let after_twin = siblings.last().is_some_and(|&other| self.person(other).birth == birth);
        let first_of_sex = !after_twin && !siblings.iter().any(|&other| self.person(other).sex == sex);
        let namesake = namesake
            .filter(|&parent| first_of_sex && self.person(parent).family() == self.person(id).family());
        if let Some(parent) = namesake {
            self.name_after(rng, id, parent);
        }
        let person = self.person_mut(id);
        person.mother = Some(mother);
        person.father = father;
        for parent in [Some(mother), father].into_iter().flatten() {
            let same = namesake == Some(parent);
            self.relations.push((parent, id, if same { Relation::SameName } else { Relation::Parent }));
        }
        for &other in siblings {
            self.relations.push((other, id, Relation::Sibling));
        }
        let household = self.person(mother).household;
        self.join(id, household, birth);
        id
    }

    /// Renames a child who was given the name of a brother or a sister.
    fn tell_apart(&mut self, rng: &mut ChaCha8Rng, id: PersonId, siblings: &[PersonId]) {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            let child = self.person(id);
            if !siblings.iter().any(|&other| self.person(other).given == child.given) {
                return;
            }
            let given = self.names.given(rng, child.tradition, child.sex, child.birth.year());
            self.person_mut(id).given = given;
        }
    }

    fn family_of_child(
        &self,
        rng: &mut ChaCha8Rng,
        mother: PersonId,
        father: Option<PersonId>,
        siblings: &[PersonId],
    ) -> String {
        if let Some(&eldest) = siblings.first() {
            return self.person(eldest).maiden().to_owned();
        }
        let Some(father) = father.map(|father| self.person(father)) else {
            return self.person(mother).maiden().to_owned();
        };
        if father.tradition == Tradition::Hispanic && chance(rng, BOTH_HALVES) {
            let half = |family: &str| family.split(' ').next().unwrap_or_default().to_owned();
            return format!("{} {}", half(father.maiden()), half(self.person(mother).maiden()));
        }
        father.maiden().to_owned()
    }

    fn name_after(&mut self, rng: &mut ChaCha8Rng, id: PersonId, parent: PersonId) {
        let elder = self.person_mut(parent);
        let suffix = match elder.suffix {
            Suffix::Junior | Suffix::Third => Suffix::Third,
            Suffix::None | Suffix::Senior => {
                elder.suffix = Suffix::Senior;
                Suffix::Junior
            }
        };
        let (given, middle) = (elder.given.clone(), elder.middle.clone());
        let person = self.person_mut(id);
        person.given = given;
        person.suffix = suffix;
        if chance(rng, NAMESAKE_SAME_MIDDLE) {
            person.middle = middle;
        }
        if person.sex == Sex::Female {
            person.suffix = Suffix::None;
        }
    }

    /// Makes the second the twin of the first.
    pub(super) fn make_twins(&mut self, rng: &mut ChaCha8Rng, first: PersonId, second: PersonId) {
        let elder = self.person(first);
        let (birth, tradition, middle) = (elder.birth, elder.tradition, elder.middle.clone());
        let sex = match (elder.sex, chance(rng, TWINS_OF_ONE_SEX)) {
            (sex, true) => sex,
            (Sex::Female, false) => Sex::Male,
            (Sex::Male, false) => Sex::Female,
        };
        let given = self.names.twin(rng, tradition, sex, birth.year(), &elder.given);
        let own_middle = self.names.middle(rng, tradition, sex, birth.year());
        let same_middle = chance(rng, TWINS_SAME_MIDDLE);
        let siblings = self.relations.pop_if(|(a, b, _)| (*a, *b) == (first, second));
        debug_assert!(siblings.is_none_or(|(_, _, relation)| relation == Relation::Sibling));
        self.relations.push((first, second, Relation::Twin));
        self.person_mut(first).birth_order = 1;
        let person = self.person_mut(second);
        person.birth_order = 2;
        person.sex = sex;
        person.suffix = Suffix::None;
        person.given = given;
        if !person.middle.is_empty() {
            person.middle = if same_middle { middle } else { own_middle };
        }
    }

    /// Adds a grown person from elsewhere, now and then with a twin who lives alone.
    pub(super) fn newcomer(
        &mut self,
        rng: &mut ChaCha8Rng,
        sex: Sex,
        birth_year: i16,
        city: usize,
    ) -> PersonId {
        let tradition = self.names.tradition(rng);
        let family = self.names.family(rng, tradition);
        let birth = day_in(rng, birth_year);
        let id = self.add(rng, sex, birth, tradition, family.clone());
        self.live_alone(rng, id, city, birth);
        if sex == Sex::Male && chance(rng, JUNIOR_FROM_ELSEWHERE) {
            self.person_mut(id).suffix = Suffix::Junior;
        }
        if chance(rng, TWIN_BIRTH) {
            let twin = self.add(rng, sex, birth, tradition, family);
            self.make_twins(rng, id, twin);
            let home = self.atlas.city_near(rng, city);
            self.live_alone(rng, twin, home, birth);
            self.equip(rng, twin, first_of(FIRST_YEAR));
        }
        self.equip(rng, id, first_of(FIRST_YEAR));
        id
    }

    /// Has the person move into a new home alone.
    pub(super) fn live_alone(&mut self, rng: &mut ChaCha8Rng, id: PersonId, city: usize, from: Date) -> u32 {
        let home = self.build(rng, city);
        let household = self.found(home);
        self.join(id, household, from);
        household
    }
}

/// Returns a number of nine digits such as the authority gives out.
fn national_id(rng: &mut ChaCha8Rng) -> u32 {
    const NEVER_GIVEN: u32 = 666;
    loop {
        let area: u32 = rng.random_range(1..900);
        if area != NEVER_GIVEN {
            return (area * 100 + rng.random_range(1..100)) * 10_000 + rng.random_range(1..10_000);
        }
    }
}

fn email(rng: &mut ChaCha8Rng, person: &Person) -> String {
    let plain = |name: &str| -> String {
        spelling::unmarked(name)
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_lowercase()
    };
    let (given, family) = (plain(&person.given), plain(person.family()));
    let initial: String = given.chars().take(1).collect();
    let name = match rng.random_range(0..4) {
        0 => format!("{given}.{family}"),
        1 => format!("{initial}{family}"),
        2 => format!("{given}{family}"),
        _ => format!("{given}_{family}"),
    };
    let digits = match rng.random_range(0..6) {
        0 => String::new(),
        1 => format!("{:02}", person.birth.year() % 100),
        _ => rng.random_range(1..1000).to_string(),
    };
    format!("{name}{digits}@{}", choose(rng, &EMAIL_DOMAINS))
}
