//! Draws names: given by sex, cohort and tradition, family with a long tail of rare ones.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;

use super::{
    draw::{Pool, chance, choose, word},
    spelling, words,
};

/// Shares of the traditions, in thousandths.
const TRADITIONS: [(Tradition, u32); 4] = [
    (Tradition::General, 770),
    (Tradition::Hispanic, 140),
    (Tradition::EastAsian, 50),
    (Tradition::SouthAsian, 40),
];
/// Last year of birth of each cohort, with the flatness of its names: fashions have become broader.
const COHORTS: [(i16, u32); 4] = [(1944, 7), (1974, 10), (1999, 14), (i16::MAX, 22)];
/// Flatness of family names: with it the first of them names about 0.8 % of all.
const FAMILY_SHIFT: u32 = 9;
const SMALL_LIST_SHIFT: u32 = 12;

/// Share of the general families with a name from no list.
const RARE_FAMILY: f64 = 0.58;
const RARE_WITH_MIDDLE: f64 = 0.45;
const RARE_WITH_PREFIX: f64 = 0.06;
const RARE_HYPHENATED: f64 = 0.01;
/// Share of the Spanish-speaking families with a name from no list.
const RARE_HISPANIC: f64 = 0.15;
const DOUBLE_HISPANIC: f64 = 0.35;
const HISPANIC_PARTICLE: f64 = 0.03;
const GENERAL_GIVEN: f64 = 0.35;
/// Share of given names spelt in a way of the parents' own.
const OWN_SPELLING: f64 = 0.07;
/// Share of given names from another cohort's fashion.
const OUT_OF_FASHION: f64 = 0.12;
const USUAL_MIDDLE: f64 = 0.35;
const TWIN_SAME_INITIAL: f64 = 0.3;
const TWIN_ALIKE: f64 = 0.1;
/// Letters that names alike in sound begin or end with in common.
const ALIKE_LETTERS: usize = 3;
const TWIN_TRIES: usize = 60;

/// Sex as the world knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sex {
    Female,
    Male,
}

/// Where a family takes its names from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tradition {
    General,
    Hispanic,
    EastAsian,
    SouthAsian,
}

type Words = Pool<&'static str>;

/// Given names of both sexes.
#[derive(Debug)]
struct Givens {
    female: Words,
    male: Words,
}

impl Givens {
    fn new(female: &'static str, male: &'static str, shift: u32) -> Self {
        Self { female: ranked(female, shift), male: ranked(male, shift) }
    }

    fn of(&self, sex: Sex) -> &Words {
        match sex {
            Sex::Female => &self.female,
            Sex::Male => &self.male,
        }
    }
}

/// Everything names are drawn from.
#[derive(Debug)]
pub(super) struct Names {
    traditions: Pool<Tradition>,
    /// Given names by cohort.
    cohorts: Vec<Givens>,
    middles: Givens,
    /// Given and family names of the traditions other than the general.
    givens: [Givens; 3],
    families: [Words; 4],
    starts: Words,
    family_middles: Words,
    ends: Words,
    nicknames: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Names {
    /// Returns the names; they are the same for every seed.
    pub(super) fn new() -> Self {
        use words::*;
        let cohorts = [
            (FEMALE_BEFORE_1945, MALE_BEFORE_1945),
            (FEMALE_BEFORE_1975, MALE_BEFORE_1975),
            (FEMALE_BEFORE_2000, MALE_BEFORE_2000),
            (FEMALE_SINCE_2000, MALE_SINCE_2000),
        ];
        Self {
            traditions: Pool::weighted(TRADITIONS),
            cohorts: cohorts
                .into_iter()
                .zip(COHORTS)
                .map(|((female, male), (_, shift))| Givens::new(female, male, shift))
                .collect(),
            middles: Givens::new(FEMALE_MIDDLES, MALE_MIDDLES, 3),
            givens: [
                Givens::new(FEMALE_HISPANIC, MALE_HISPANIC, SMALL_LIST_SHIFT),
                Givens::new(FEMALE_EAST_ASIAN, MALE_EAST_ASIAN, SMALL_LIST_SHIFT),
                Givens::new(FEMALE_SOUTH_ASIAN, MALE_SOUTH_ASIAN, SMALL_LIST_SHIFT),
            ],
            families: [
                ranked(FAMILIES, FAMILY_SHIFT),
                ranked(FAMILIES_HISPANIC, SMALL_LIST_SHIFT),
                ranked(FAMILIES_EAST_ASIAN, 3),
                ranked(FAMILIES_SOUTH_ASIAN, SMALL_LIST_SHIFT),
            ],
            starts: ranked(FAMILY_STARTS, 40),
            family_middles: ranked(FAMILY_MIDDLES, 8),
            ends: ranked(FAMILY_ENDS, 12),
            nicknames: nicknames(),
        }
    }

    /// Returns a tradition, each as often as it is among families.
    pub(super) fn tradition(&self, rng: &mut ChaCha8Rng) -> Tradition {
        *self.traditions.draw(rng)
    }

    /// Returns a family name.
    pub(super) fn family(&self, rng: &mut ChaCha8Rng, tradition: Tradition) -> String {
        let listed = |rng: &mut ChaCha8Rng| (*self.families[tradition as usize].draw(rng)).to_owned();
        match tradition {
            Tradition::General if chance(rng, RARE_FAMILY) => self.rare_family(rng),
            Tradition::Hispanic if chance(rng, RARE_HISPANIC) => format!("{}ez", self.rare_stem(rng)),
            Tradition::Hispanic if chance(rng, DOUBLE_HISPANIC) => format!("{} {}", listed(rng), listed(rng)),
            Tradition::Hispanic if chance(rng, HISPANIC_PARTICLE) => format!("De La {}", listed(rng)),
            _ => listed(rng),
        }
    }

    fn rare_family(&self, rng: &mut ChaCha8Rng) -> String {
        let mut name = self.rare_stem(rng);
        let end = self.ends.draw(rng);
        if name.ends_with(&end[..1]) {
            name.pop();
        }
        name.push_str(end);
        if chance(rng, RARE_WITH_PREFIX) {
            return format!("{}{name}", word(rng, &words::FAMILY_PREFIXES));
        }
        if chance(rng, RARE_HYPHENATED) {
            return format!("{name}-{}", self.families[0].draw(rng));
        }
        name
    }

    fn rare_stem(&self, rng: &mut ChaCha8Rng) -> String {
        let start = self.starts.draw(rng);
        let middle = if chance(rng, RARE_WITH_MIDDLE) { self.family_middles.draw(rng) } else { "" };
        format!("{start}{middle}")
    }

    /// Returns a given name in fashion in the year of birth.
    pub(super) fn given(
        &self,
        rng: &mut ChaCha8Rng,
        tradition: Tradition,
        sex: Sex,
        birth_year: i16,
    ) -> String {
        let general = tradition == Tradition::General || chance(rng, GENERAL_GIVEN);
        let givens = match (general, tradition) {
            (false, Tradition::Hispanic) => &self.givens[0],
            (false, Tradition::EastAsian) => &self.givens[1],
            (false, Tradition::SouthAsian) => &self.givens[2],
            _ if chance(rng, OUT_OF_FASHION) => choose(rng, &self.cohorts),
            _ => &self.cohorts[COHORTS.partition_point(|(last, _)| *last < birth_year)],
        };
        let name = givens.of(sex).draw(rng);
        if chance(rng, OWN_SPELLING) { spelling::respell(rng, name) } else { (*name).to_owned() }
    }

    /// Returns a middle name.
    pub(super) fn middle(
        &self,
        rng: &mut ChaCha8Rng,
        tradition: Tradition,
        sex: Sex,
        birth_year: i16,
    ) -> String {
        if chance(rng, USUAL_MIDDLE) {
            (*self.middles.of(sex).draw(rng)).to_owned()
        } else {
            self.given(rng, tradition, sex, birth_year)
        }
    }

    /// Returns a given name for the twin of a child: another name, often with its initial or its sound.
    pub(super) fn twin(
        &self,
        rng: &mut ChaCha8Rng,
        tradition: Tradition,
        sex: Sex,
        birth_year: i16,
        first: &str,
    ) -> String {
        let (alike, same_initial) = (chance(rng, TWIN_ALIKE), chance(rng, TWIN_SAME_INITIAL));
        let fits = |name: &str| {
            !is_respelt(name, first)
                && !self.nicknames(name).contains(&first)
                && !self.nicknames(first).contains(&name)
                && (!alike || shared_ends(name, first) >= ALIKE_LETTERS)
                && (!same_initial || name.chars().next() == first.chars().next())
        };
        let mut name = self.given(rng, tradition, sex, birth_year);
        for _ in 0..TWIN_TRIES {
            if fits(&name) {
                break;
            }
            name = self.given(rng, tradition, sex, birth_year);
        }
        name
    }

    /// Returns what people of the given name are called; nothing for most names.
    pub(super) fn nicknames(&self, given: &str) -> &[&'static str] {
        self.nicknames.get(given).map_or(&[], Vec::as_slice)
    }
}

/// Returns how many letters two names begin with in common, or end with if that is more.
fn shared_ends(one: &str, other: &str) -> usize {
    let front = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let back = one.chars().rev().zip(other.chars().rev()).take_while(|(a, b)| a == b).count();
    front.max(back)
}

/// True when one name is a spelling of the other, which no parents give to twins; "Hayden" and "Jayden" are not, nor are
/// "Eric" and "Erica".
fn is_respelt(one: &str, other: &str) -> bool {
    let vowels = |name: &str| name.to_lowercase().matches(['a', 'e', 'i', 'o', 'u', 'y']).collect::<String>();
    if vowels(one) != vowels(other) {
        return false;
    }
    let front = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let back = one.chars().rev().zip(other.chars().rev()).take_while(|(a, b)| a == b).count();
    front > 0 && front + back + 1 >= one.chars().count().min(other.chars().count())
}

fn ranked(list: &'static str, shift: u32) -> Words {
    Pool::ranked(list.split_whitespace(), shift)
}

fn nicknames() -> BTreeMap<&'static str, Vec<&'static str>> {
    let entry = |entry: &'static str| {
        let mut names = entry.split_whitespace();
        Some((names.next()?, names.collect()))
    };
    words::NICKNAMES.split(',').filter_map(entry).collect()
}
