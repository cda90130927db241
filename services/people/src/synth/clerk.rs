//! Writes one row: what a source, with its habits and its slips, makes of a person on a day.

use jiff::civil::Date;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{
    Cells, dates,
    draw::{chance, choose, word},
    names::Sex,
    rates,
    sources::{MiddleHabit, PhoneStyle, Punctuation, Source, SuffixHabit},
    spelling,
    world::{CalledBy, OWN_PHONE_AGE, Person, PersonId, Suffix, World},
};

/// Between values in a cell that lists several.
const LIST_SEPARATOR: char = '|';

const NEWBORN_BOYS: [&str; 8] =
    ["BABY BOY", "BABYBOY", "BB", "NEWBORN", "BABY", "BOY", "INFANT BOY", "NEWBORN MALE"];
const NEWBORN_GIRLS: [&str; 8] =
    ["BABY GIRL", "BABYGIRL", "BG", "NEWBORN", "BABY", "GIRL", "INFANT GIRL", "NEWBORN FEMALE"];
const NEWBORN_OF_MOTHER: f64 = 0.15;
const UNKNOWN_FAMILIES: [&str; 5] = ["UNKNOWN", "UNK", "NOT GIVEN", "XXX", "NO NAME"];
const PLACEHOLDER_PHONES: [u64; 4] = [9_999_999_999, 0, 1_111_111_111, 5_555_555_555];
const PLACEHOLDER_IDS: [&str; 5] = ["999-99-9999", "000-00-0000", "123-45-6789", "111-11-1111", "999999999"];
const ADULT: i16 = 18;

/// A clerk of a source with a person in front of them.
pub(super) struct Clerk<'a> {
    world: &'a World,
    source: &'a Source,
    person: &'a Person,
    on: Date,
    rng: ChaCha8Rng,
}

impl<'a> Clerk<'a> {
    /// Returns a clerk who writes the person down on the day.
    pub(super) fn new(world: &'a World, source: &'a Source, id: PersonId, on: Date, rng: ChaCha8Rng) -> Self {
        Self { world, source, person: world.person(id), on, rng }
    }

    /// Returns a row of a person who is there to ask.
    pub(super) fn patient(mut self) -> Cells {
        let mut cells = Cells::default();
        self.names(&mut cells);
        cells.birth_date = self.birth_date();
        cells.sex = self.sex();
        self.address(&mut cells);
        cells.phone = self.phone();
        cells.email = self.email();
        cells.national_id = self.national_id();
        self.write_as_usual(&mut cells);
        cells
    }

    /// Returns the row of a child without a given name: the mother's family name, address and telephone.
    pub(super) fn newborn(mut self) -> Cells {
        let mut cells = Cells::default();
        let mother = self.person.mother.map_or(self.person, |mother| self.world.person(mother));
        let called = if self.person.sex == Sex::Male { NEWBORN_BOYS } else { NEWBORN_GIRLS };
        cells.given = match self.person.birth_order {
            0 if chance(&mut self.rng, NEWBORN_OF_MOTHER) => format!("{} {}", called[2], mother.given),
            0 => word(&mut self.rng, &called).to_owned(),
            order => {
                let letter = char::from(b'A' + order - 1);
                if chance(&mut self.rng, 0.5) {
                    format!("TWIN {letter}")
                } else {
                    format!("{} {letter}", called[0])
                }
            }
        };
        cells.family = mother.families.at(self.on).cloned().unwrap_or_default();
        cells.birth_date = self.person.birth.to_string();
        cells.sex = self.sex();
        self.address(&mut cells);
        if !self.is_missing(self.source.missing.phone) {
            let number = self.own_number(mother);
            cells.phone = number.map(|number| self.written(number)).unwrap_or_default();
        }
        self.write_as_usual(&mut cells);
        cells
    }

    /// Returns the row of a person who is not able to say who they are.
    pub(super) fn unidentified(mut self) -> Cells {
        const GUESS_WITHIN: i16 = 8;
        let male = self.person.sex == Sex::Male;
        let (given, family) = match self.rng.random_range(0..6) {
            0..3 => (if male { "JOHN" } else { "JANE" }, "DOE"),
            3 => ("UNKNOWN", "UNKNOWN"),
            4 => (if male { "UNIDENTIFIED MALE" } else { "UNIDENTIFIED FEMALE" }, ""),
            _ => ("", "UNKNOWN"),
        };
        let guess = self.person.birth.year() + self.rng.random_range(-GUESS_WITHIN..=GUESS_WITHIN);
        let birth_date = match self.rng.random_range(0..3) {
            0 => "1900-01-01".to_owned(),
            1 => String::new(),
            _ => format!("{:04}-01-01", guess.min(self.on.year())),
        };
        let sex = if male { "M" } else { "F" };
        Cells {
            given: given.to_owned(),
            family: family.to_owned(),
            birth_date,
            sex: sex.to_owned(),
            ..Cells::default()
        }
    }

    /// Says whether a slip happens, at the rate and the carelessness of the source.
    fn slips(&mut self, rate: f64) -> bool {
        chance(&mut self.rng, rate * self.source.carelessness)
    }

    fn is_missing(&mut self, share: f64) -> bool {
        chance(&mut self.rng, share)
    }

    fn lists_more(&mut self) -> bool {
        self.source.lists && chance(&mut self.rng, rates::CELL_LISTS)
    }

    fn names(&mut self, cells: &mut Cells) {
        let person = self.person;
        let (mut given, mut middle) = (person.given.clone(), person.middle.clone());
        let (nickname, first) = match person.called_by {
            CalledBy::Nickname => (rates::NICKNAME_USUAL, rates::MIDDLE_FIRST_ELSE),
            CalledBy::Middle => (rates::NICKNAME_ELSE, rates::MIDDLE_FIRST_USUAL),
            CalledBy::Given => (rates::NICKNAME_ELSE, rates::MIDDLE_FIRST_ELSE),
        };
        let nicknames = self.world.names.nicknames(&given);
        if !middle.is_empty() && chance(&mut self.rng, first) {
            std::mem::swap(&mut given, &mut middle);
        } else if !nicknames.is_empty() && chance(&mut self.rng, nickname) {
            given = word(&mut self.rng, nicknames).to_owned();
        }
        if self.slips(rates::MIDDLE_MISSING) {
            middle.clear();
        } else if self.slips(rates::MIDDLE_WRONG) {
            middle = self.miswrite(&middle);
        }
        if self.is_missing(self.source.missing.given) {
            given.clear();
        } else if self.slips(rates::INITIAL_ONLY) {
            given.truncate(given.chars().next().map_or(0, char::len_utf8));
        }
        cells.given = self.maybe_miswritten(given);
        let family = self.family();
        cells.family = self.maybe_miswritten(family);
        if chance(&mut self.rng, rates::SUFFIX_KNOWN) {
            cells.suffix = suffix(&mut self.rng, person.suffix).to_owned();
        }
        if self.slips(rates::NAMES_SWAPPED) {
            std::mem::swap(&mut cells.given, &mut cells.family);
        }
        cells.middle = middle;
    }

    /// Returns the family name as the source knows it, which may be that of before, or half of it.
    fn family(&mut self) -> String {
        let families = &self.person.families;
        let now = families.at(self.on).map_or(self.person.maiden(), String::as_str);
        if self.slips(rates::FAMILY_UNKNOWN) {
            return word(&mut self.rng, &UNKNOWN_FAMILIES).to_owned();
        }
        if let Some(before) = families.before(self.on, rates::FAMILY_STALE_YEARS)
            && chance(&mut self.rng, rates::FAMILY_STALE)
        {
            return before.clone();
        }
        if self.lists_more()
            && let Some(before) = families.before(self.on, i16::MAX)
        {
            return format!("{now}{LIST_SEPARATOR}{before}");
        }
        let is_particle = |half: &str| half.len() <= 3 || half == "Van Der" || half.starts_with("De ");
        match now.split_once(['-', ' ']) {
            Some((one, other)) if !is_particle(one) && chance(&mut self.rng, rates::FAMILY_HALVED) => {
                if chance(&mut self.rng, 0.6) {
                    one.to_owned()
                } else {
                    other.to_owned()
                }
            }
            _ => now.to_owned(),
        }
    }

    fn maybe_miswritten(&mut self, name: String) -> String {
        if self.slips(rates::NAME_TYPED) {
            spelling::mistype(&mut self.rng, &name)
        } else if self.slips(rates::NAME_SCANNED) {
            spelling::misread(&mut self.rng, &name)
        } else if self.slips(rates::NAME_HEARD) {
            spelling::respell(&mut self.rng, &name)
        } else {
            name
        }
    }

    fn miswrite(&mut self, name: &str) -> String {
        match self.rng.random_range(0..4) {
            0..2 => spelling::mistype(&mut self.rng, name),
            2 => spelling::misread(&mut self.rng, name),
            _ => spelling::respell(&mut self.rng, name),
        }
    }

    fn birth_date(&mut self) -> String {
        if self.is_missing(self.source.missing.birth_date) {
            return String::new();
        }
        let carelessness = self.source.carelessness;
        dates::written(&mut self.rng, self.person.birth, carelessness)
    }

    fn sex(&mut self) -> String {
        if self.is_missing(self.source.missing.sex) {
            return String::new();
        }
        let male = (self.person.sex == Sex::Male) != self.slips(rates::SEX_WRONG);
        if male { "M" } else { "F" }.to_owned()
    }

    fn address(&mut self, cells: &mut Cells) {
        let homes = &self.person.homes;
        let Some(&now) = homes.at(self.on).or(homes.first()) else { return };
        if self.is_missing(self.source.missing.address) {
            return;
        }
        let before = homes.before(self.on, rates::ADDRESS_STALE_YEARS).copied();
        let stale = before.filter(|_| chance(&mut self.rng, rates::ADDRESS_STALE));
        let place = &self.world.places[stale.unwrap_or(now) as usize];
        let short = self.source.short_words;
        let with_unit = !self.slips(rates::UNIT_DROPPED);
        let mut line = place.line(short, with_unit);
        if self.slips(rates::HOUSE_NUMBER) {
            let number = place.number.to_string();
            let rest = line.split_off(number.len());
            line = spelling::change_digit(&mut self.rng, &number) + &rest;
        }
        if self.slips(rates::ADDRESS_TYPED) {
            line = spelling::mistype(&mut self.rng, &line);
        }
        if self.lists_more()
            && let Some(before) = before
        {
            line = format!("{line}{LIST_SEPARATOR}{}", self.world.places[before as usize].line(short, true));
        }
        cells.address = line;
        cells.city = self.world.atlas.city(place.city).name.clone();
        if self.slips(rates::CITY_TYPED) {
            cells.city = spelling::mistype(&mut self.rng, &cells.city);
        }
        cells.state = self.world.atlas.state_code(place.city).to_owned();
        let postcode = if self.slips(rates::POSTCODE_NEIGHBOUR) {
            self.world.atlas.postcode(&mut self.rng, place.city)
        } else {
            place.postcode
        };
        cells.postcode = format!("{postcode:05}");
        if self.slips(rates::POSTCODE_DIGIT) {
            cells.postcode = spelling::change_digit(&mut self.rng, &cells.postcode);
        }
        if self.slips(rates::POSTCODE_MISSING) {
            cells.postcode.clear();
        }
    }

    fn phone(&mut self) -> String {
        if self.is_missing(self.source.missing.phone) {
            return String::new();
        }
        if self.slips(rates::PHONE_PLACEHOLDER) {
            let number = *choose(&mut self.rng, &PLACEHOLDER_PHONES);
            return self.written(number);
        }
        let adult = self.person.age(self.on.year()) >= ADULT;
        if adult && self.slips(rates::PHONE_OF_WORK) {
            return self.written(self.world.workplaces[usize::from(self.person.employer)]);
        }
        let number =
            if self.has_own_number() { self.own_number(self.person) } else { self.number_of_parent() };
        let Some(number) = number else { return String::new() };
        let mut text = self.written(number);
        if self.slips(rates::PHONE_DIGIT) {
            text = spelling::change_digit(&mut self.rng, &text);
        }
        if self.lists_more()
            && let Some(line) = self.landline(self.person).filter(|&line| line != number)
        {
            let line = self.written(line);
            text = format!("{text}{LIST_SEPARATOR}{line}");
        }
        text
    }

    fn has_own_number(&self) -> bool {
        self.person.age(self.on.year()) > OWN_PHONE_AGE
    }

    /// Returns the mobile number or the landline of a grown person, which may be that of before.
    fn own_number(&mut self, person: &Person) -> Option<u64> {
        if person.spouse.is_some() && self.slips(rates::PHONE_OF_SPOUSE) {
            let spouse = person.spouse.map(|spouse| self.world.person(spouse));
            return spouse.and_then(|spouse| spouse.mobiles.at(self.on)).copied();
        }
        let stale = person.mobiles.before(self.on, rates::PHONE_STALE_YEARS);
        if let Some(&stale) = stale.filter(|_| chance(&mut self.rng, rates::PHONE_STALE)) {
            return Some(stale);
        }
        let mobile = person.mobiles.at(self.on).copied();
        let landline = self.landline(person);
        if chance(&mut self.rng, self.source.landlines) { landline.or(mobile) } else { mobile.or(landline) }
    }

    fn landline(&self, person: &Person) -> Option<u64> {
        let home = person.homes.at(self.on).or(person.homes.first())?;
        self.world.places[*home as usize].landline
    }

    fn parent(&mut self) -> Option<&'a Person> {
        let (mother, father) = (self.person.mother, self.person.father);
        let parent = if chance(&mut self.rng, rates::PARENT_IS_MOTHER) {
            mother.or(father)
        } else {
            father.or(mother)
        };
        parent.map(|parent| self.world.person(parent))
    }

    fn number_of_parent(&mut self) -> Option<u64> {
        let landline = self.landline(self.person);
        if landline.is_some() && !chance(&mut self.rng, rates::PHONE_OF_PARENT) {
            return landline;
        }
        let parent = self.parent()?;
        parent.mobiles.at(self.on).copied().or(landline)
    }

    fn written(&self, number: u64) -> String {
        let (area, exchange, line) = (number / 10_000_000, number / 10_000 % 1_000, number % 10_000);
        match self.source.phone {
            PhoneStyle::Brackets => format!("({area:03}) {exchange:03}-{line:04}"),
            PhoneStyle::Dashes => format!("{area:03}-{exchange:03}-{line:04}"),
            PhoneStyle::Digits => format!("{area:03}{exchange:03}{line:04}"),
            PhoneStyle::Dots => format!("{area:03}.{exchange:03}.{line:04}"),
            PhoneStyle::International => format!("+1 {area:03} {exchange:03} {line:04}"),
        }
    }

    fn email(&mut self) -> String {
        if self.is_missing(self.source.missing.email) {
            return String::new();
        }
        let person = if self.has_own_number() {
            self.person
        } else {
            match self.parent() {
                Some(parent) if chance(&mut self.rng, rates::EMAIL_OF_PARENT) => parent,
                _ => return String::new(),
            }
        };
        if self.slips(rates::EMAIL_TYPED) {
            spelling::mistype(&mut self.rng, &person.email)
        } else {
            person.email.clone()
        }
    }

    fn national_id(&mut self) -> String {
        let child = self.person.age(self.on.year()) < ADULT;
        if self.is_missing(self.source.missing.national_id)
            || (child && !chance(&mut self.rng, rates::ID_KNOWN_OF_CHILD))
        {
            return String::new();
        }
        if self.slips(rates::ID_PLACEHOLDER) {
            return word(&mut self.rng, &PLACEHOLDER_IDS).to_owned();
        }
        let relative = self.person.spouse.or(self.person.mother);
        let relative = relative.filter(|_| self.slips(rates::ID_OF_RELATIVE));
        let id = relative.map_or(self.person, |relative| self.world.person(relative)).national_id;
        let text = format!("{:03}-{:02}-{:04}", id / 1_000_000, id / 10_000 % 100, id % 10_000);
        if self.slips(rates::ID_DIGIT) {
            spelling::change_digit(&mut self.rng, &text)
        } else if self.slips(rates::ID_SWAPPED) {
            spelling::swap_digits(&mut self.rng, &text)
        } else {
            text
        }
    }

    /// Puts the cells into the form the source writes.
    fn write_as_usual(&self, cells: &mut Cells) {
        match self.source.middle {
            MiddleHabit::Full => {}
            MiddleHabit::Initial => {
                cells.middle.truncate(cells.middle.chars().next().map_or(0, char::len_utf8));
            }
            MiddleHabit::Never => cells.middle.clear(),
            MiddleHabit::WithGiven => {
                if !cells.middle.is_empty() && !cells.given.is_empty() {
                    cells.given = format!("{} {}", cells.given, cells.middle);
                    cells.middle.clear();
                }
            }
        }
        match self.source.suffix {
            SuffixHabit::Own => {}
            SuffixHabit::Never => cells.suffix.clear(),
            SuffixHabit::WithFamily => {
                if !cells.suffix.is_empty() && !cells.family.is_empty() {
                    cells.family = format!("{} {}", cells.family, cells.suffix);
                    cells.suffix.clear();
                }
            }
        }
        for name in [&mut cells.given, &mut cells.middle, &mut cells.family] {
            if !self.source.marks_kept {
                *name = spelling::unmarked(name);
            }
            match self.source.punctuation {
                Punctuation::Kept => {}
                Punctuation::Dropped => name.retain(|letter| !matches!(letter, '\'' | '-' | '.')),
                Punctuation::Spaced => *name = name.replace(['\'', '-'], " "),
            }
        }
        if self.source.upper_case {
            let texts = [
                &mut cells.given,
                &mut cells.middle,
                &mut cells.family,
                &mut cells.suffix,
                &mut cells.address,
                &mut cells.city,
            ];
            for text in texts {
                *text = text.to_uppercase();
            }
        }
    }
}

/// Returns a row of nobody.
pub(super) fn test_row(rng: &mut ChaCha8Rng) -> Cells {
    let (given, family) = *choose(
        rng,
        &[
            ("TEST", "PATIENT"),
            ("PATIENT", "TEST"),
            ("ZZTEST", "ZZTEST"),
            ("Mickey", "Mouse"),
            ("Test", "Testing"),
        ],
    );
    let text = |text: &str| text.to_owned();
    Cells {
        given: text(given),
        family: text(family),
        birth_date: text(word(rng, &["1900-01-01", "1970-01-01", "2000-01-01", "1980-01-01", ""])),
        sex: text(word(rng, &["M", "F", ""])),
        address: text(word(rng, &["123 Main St", "1 Test Street", ""])),
        phone: text(word(rng, &["555-555-5555", "999-999-9999", ""])),
        national_id: text(word(rng, &PLACEHOLDER_IDS)),
        ..Cells::default()
    }
}

fn suffix(rng: &mut ChaCha8Rng, suffix: Suffix) -> &'static str {
    match suffix {
        Suffix::None => "",
        Suffix::Senior => word(rng, &["Sr", "Sr.", "SR"]),
        Suffix::Junior => word(rng, &["Jr", "Jr.", "JR", "II"]),
        Suffix::Third => word(rng, &["III", "III", "3rd"]),
    }
}
