//! People for tests and benches: families with records that vary as a clerk's do, the same for every run of a seed.

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use signpost_linkage::{Address, Date, Identifier, Name, Packed, Record, Region, Sex, prepare};

const GIRLS: [&str; 24] = [
    "Mary",
    "Patricia",
    "Jennifer",
    "Elizabeth",
    "Barbara",
    "Susan",
    "Jessica",
    "Sarah",
    "Karen",
    "Nancy",
    "Emma",
    "Olivia",
    "Sophia",
    "Amelia",
    "Hannah",
    "Margaret",
    "Rosa",
    "Lucia",
    "Aisha",
    "Mei",
    "Priya",
    "Fatima",
    "Anna",
    "Julia",
];
const BOYS: [&str; 24] = [
    "James", "Robert", "John", "Michael", "David", "William", "Richard", "Joseph", "Thomas", "Charles",
    "Liam", "Noah", "Oliver", "Lucas", "Mateo", "Daniel", "Samuel", "Jose", "Ahmed", "Wei", "Arjun", "Omar",
    "Peter", "Paul",
];
const BEGINNINGS: [&str; 24] = [
    "Ander", "Black", "Car", "Dal", "Ever", "Fern", "Gar", "Hol", "Irv", "John", "Kel", "Lam", "Mar", "Nor",
    "Ols", "Pat", "Quin", "Rob", "Sander", "Thom", "Under", "Val", "Wil", "Young",
];
const ENDINGS: [&str; 20] = [
    "son", "ton", "ley", "well", "ford", "man", "berg", "stein", "ez", "ini", "ski", "ova", "wood", "field",
    "worth", "by", "ham", "land", "ings", "er",
];
const STREETS: [&str; 20] = [
    "Main",
    "Oak",
    "Elm",
    "Maple",
    "Cedar",
    "Washington",
    "Lake",
    "Hill",
    "Park",
    "Walnut",
    "Spring",
    "North",
    "Ridge",
    "Church",
    "Willow",
    "Mill",
    "River",
    "Sunset",
    "Highland",
    "Jackson",
];
const KINDS: [(&str, &str); 4] = [("Street", "St"), ("Avenue", "Ave"), ("Road", "Rd"), ("Lane", "Ln")];

/// A record, with the number of the person that it is of.
pub(crate) struct Known {
    pub(crate) person: u32,
    pub(crate) record: Record,
}

/// Makes about so many records of families: parents, children, twins now and then, sons of their father's name.
pub(crate) fn people(records: usize, seed: u64) -> Vec<Known> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut known = vec![];
    let mut person = 0;
    while known.len() < records {
        for member in family(&mut random) {
            let copies = [1, 1, 2, 3][random.random_range(0..4)];
            for copy in 0..copies {
                let mut record = member.clone();
                if copy > 0 {
                    vary(&mut record, &mut random);
                }
                known.push(Known { person, record });
            }
            person += 1;
        }
    }
    known.truncate(records);
    known
}

/// Normalises records.
pub(crate) fn packed(people: &[Known]) -> Vec<Packed> {
    people.iter().map(|known| prepare(&known.record, Region::US)).collect()
}

fn family(random: &mut SmallRng) -> Vec<Record> {
    let surname = format!("{}{}", pick(&BEGINNINGS, random), pick(&ENDINGS, random));
    let (written, _) = KINDS[random.random_range(0..KINDS.len())];
    let home = Address {
        line: format!("{} {} {written}", random.random_range(1..2000), pick(&STREETS, random)),
        city: format!("{}ville", pick(&STREETS, random)),
        state: "MA".into(),
        postcode: format!("{:05}", random.random_range(1000..1400)),
        recorded_on: None,
    };
    let phone = number("617", random);
    let year = random.random_range(1940..1990);
    let mut members = vec![];
    let mut add = |sex, given: &str, birth: Date, random: &mut SmallRng| {
        let digits = random.random_range(100_000_000u32..899_999_999);
        members.push(Record {
            names: vec![Name {
                given: vec![given.into(), initial(random)],
                family: surname.clone(),
                ..Name::default()
            }],
            birth_dates: vec![birth],
            sex: Some(sex),
            addresses: vec![home.clone()],
            phones: vec![phone.clone()],
            identifiers: vec![Identifier { system: "ssn".into(), value: digits.to_string() }],
            ..Record::default()
        });
    };
    let father = pick(&BOYS, random);
    add(Sex::Male, father, date(year, random), random);
    add(Sex::Female, pick(&GIRLS, random), date(year + random.random_range(0..6), random), random);
    for _ in 0..random.random_range(0..3) {
        let birth = date(year + random.random_range(20..36), random);
        let twins = random.random_bool(0.1);
        let given = if random.random_bool(0.1) { father } else { pick(&BOYS, random) };
        add(Sex::Male, given, birth, random);
        if twins {
            add(Sex::Female, pick(&GIRLS, random), birth, random);
        }
    }
    members
}

/// Writes a record as another clerk would.
fn vary(record: &mut Record, random: &mut SmallRng) {
    for _ in 0..random.random_range(0..4) {
        match random.random_range(0..9) {
            0 => misspell(&mut record.names[0].family, random),
            1 => misspell(&mut record.names[0].given[0], random),
            2 => record.names[0].given.truncate(1),
            3 => record
                .birth_dates
                .iter_mut()
                .for_each(|date| (date.month, date.day) = (date.day.min(12), date.month)),
            4 => record.phones = vec![number("212", random)],
            5 => record.identifiers.clear(),
            6 => record.addresses[0].line = record.addresses[0].line.to_uppercase(),
            7 => {
                let line = format!("{} {} Ave", random.random_range(1..2000), pick(&STREETS, random));
                record.addresses = vec![Address { line, postcode: "02139".into(), ..Address::default() }];
            }
            _ => record
                .names
                .push(Name { family: pick(&BEGINNINGS, random).into(), ..record.names[0].clone() }),
        }
    }
}

fn misspell(text: &mut String, random: &mut SmallRng) {
    let place = random.random_range(1..text.len().max(2));
    match random.random_range(0..3) {
        0 if place < text.len() => drop(text.remove(place)),
        1 => text.insert(place.min(text.len()), 'e'),
        _ => text.push('s'),
    }
}

fn date(year: u16, random: &mut SmallRng) -> Date {
    Date { year, month: random.random_range(1..13), day: random.random_range(1..29) }
}

fn number(area: &str, random: &mut SmallRng) -> String {
    format!("{area} {} {:04}", random.random_range(200..999), random.random_range(0..10_000))
}

fn initial(random: &mut SmallRng) -> String {
    char::from(random.random_range(b'A'..=b'Z')).into()
}

fn pick<'a>(list: &[&'a str], random: &mut SmallRng) -> &'a str {
    list.choose(random).copied().unwrap_or_default()
}
