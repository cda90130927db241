//! A synthetic population: households, people, their source records at several members, and their documents.
//!
//! The same seed gives the same population. Nobody in it is real: names and streets are drawn from lists, phone
//! numbers from those set aside for fiction.

use std::fmt::Write;

use jiff::{ToSpan, civil::Date};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;
use signpost_proto::common::v1::{Address, AdministrativeSex, Demographics, HumanName};

const FEMALE: &str = "Mary Linda Susan Karen Nancy Lisa Betty Helen Sandra Donna Carol Ruth Sharon Michelle Laura Sarah \
    Kimberly Deborah Jessica Shirley Cynthia Angela Melissa Brenda Amy Anna Rebecca Virginia Kathleen Pamela Martha \
    Debra Amanda Stephanie Carolyn Christine Marie Janet Catherine Frances Ann Joyce Diane Alice Julie Heather \
    Teresa Doris Gloria Evelyn Jean Cheryl Mildred Katherine Joan Ashley Judith Rose Janice Kelly Nicole Judy \
    Christina Kathy Theresa Beverly Denise Tammy Irene Lori Rachel Marilyn Andrea Kathryn Louise Sara Anne \
    Jacqueline Wanda Bonnie Julia Ruby Lois Tina Phyllis Norma Paula Diana Annie Lillian Emily Robin Peggy Crystal \
    Gladys Rita Dawn Connie Florence Tracy Edna Tiffany Carmen Rosa Cindy Grace Wendy Victoria Edith Fatima Aisha \
    Mei Yuki Priya Ananya Lucia Sofia Ingrid Olga Chloe";
const MALE: &str = "James Robert Michael William David Richard Charles Joseph Thomas Christopher Daniel Paul Mark Donald \
    George Kenneth Steven Edward Brian Ronald Anthony Kevin Jason Matthew Gary Timothy Jose Larry Jeffrey Frank \
    Scott Eric Stephen Andrew Raymond Gregory Joshua Jerry Dennis Walter Patrick Peter Harold Douglas Henry Carl \
    Arthur Ryan Roger Joe Juan Jack Albert Jonathan Justin Terry Gerald Keith Samuel Willie Ralph Lawrence Nicholas \
    Roy Benjamin Bruce Brandon Adam Harry Fred Wayne Billy Steve Louis Jeremy Aaron Randy Howard Eugene Carlos \
    Russell Bobby Victor Martin Ernest Phillip Todd Jesse Craig Alan Shawn Clarence Sean Philip Chris Johnny Earl \
    Jimmy Antonio Danny Bryan Tony Luis Mike Stanley Leonard Nathan Dale Manuel Rodney Omar Yusuf Wei Hiroshi Raj \
    Arjun Mateo Diego Lars Ivan Kwame";
const FAMILY: &str = "Smith Johnson Williams Jones Brown Davis Miller Wilson Moore Taylor Anderson Thomas Jackson White \
    Harris Martin Thompson Garcia Martinez Robinson Clark Rodriguez Lewis Lee Walker Hall Allen Young Hernandez King \
    Wright Lopez Hill Scott Green Adams Baker Gonzalez Nelson Carter Mitchell Perez Roberts Turner Phillips Campbell \
    Parker Evans Edwards Collins Stewart Sanchez Morris Rogers Reed Cook Morgan Bell Murphy Bailey Rivera Cooper \
    Richardson Cox Howard Ward Torres Peterson Gray Ramirez Watson Brooks Kelly Sanders Price Bennett Wood Barnes \
    Ross Henderson Coleman Jenkins Perry Powell Long Patterson Hughes Flores Washington Butler Simmons Foster \
    Bryant Alexander Russell Griffin Diaz Hayes Myers Ford Hamilton Graham Sullivan Wallace Woods Cole West Jordan \
    Owens Reynolds Fisher Ellis Harrison Gibson Mcdonald Cruz Marshall Ortiz Gomez Murray Freeman Wells Webb Simpson \
    Stevens Tucker Porter Hunter Hicks Crawford Henry Boyd Mason Morales Kennedy Warren Dixon Ramos Reyes Burns \
    Gordon Shaw Holmes Rice Robertson Hunt Black Daniels Palmer Mills Nichols Grant Knight Ferguson Stone Hawkins \
    Dunn Perkins Hudson Spencer Gardner Stephens Payne Pierce Berry Matthews Arnold Wagner Willis Ray Watkins Olson \
    Carroll Duncan Snyder Hart Cunningham Bradley Lane Andrews Ruiz Harper Fox Riley Armstrong Carpenter Weaver \
    Greene Lawrence Elliott Chavez Sims Austin Peters Kelley Franklin Lawson Okafor Nguyen Tran Kim Patel Singh \
    Kaur Haddad Silva Kowalski Novak Schmidt Jensen Larsen Rossi Moreau Yamamoto Chen Wang Ahmed";
const STREETS: &str = "Main Oak Pine Maple Cedar Elm Washington Lake Hill Walnut Spring North Ridge Church Willow Mill \
    Sunset Railroad Jackson Cherry Forest River Center Meadow Chestnut Highland Franklin Broad Park Prospect Spruce \
    Lincoln Jefferson Madison Adams Monroe Dogwood Hickory Locust Poplar Birch Laurel Canyon Summit Valley";
const STREET_KINDS: [&str; 6] = ["Street", "Avenue", "Road", "Drive", "Lane", "Court"];
const CITIES: [(&str, &str, u32); 12] = [
    ("Boston", "MA", 2108),
    ("Worcester", "MA", 1602),
    ("Lowell", "MA", 1850),
    ("Austin", "TX", 78701),
    ("Houston", "TX", 77002),
    ("Dallas", "TX", 75201),
    ("Chicago", "IL", 60601),
    ("Aurora", "IL", 60502),
    ("Peoria", "IL", 61602),
    ("Denver", "CO", 80202),
    ("Boulder", "CO", 80301),
    ("Pueblo", "CO", 81001),
];

/// Kinds of documents: LOINC code and text.
pub const DOCUMENT_TYPES: [(&str, &str); 8] = [
    ("48765-2", "Allergies"),
    ("10160-0", "History of medication use"),
    ("11450-4", "Problem list"),
    ("18842-5", "Discharge summary"),
    ("11506-3", "Progress note"),
    ("18748-4", "Diagnostic imaging study"),
    ("11524-6", "EKG study"),
    ("34117-2", "History and physical note"),
];

const ALLERGENS: [&str; 6] =
    ["Penicillin", "Peanut", "Latex", "Sulfonamide", "Aspirin", "No known allergies"];
const DRUGS: [&str; 6] = [
    "Metformin 500 mg",
    "Lisinopril 10 mg",
    "Atorvastatin 20 mg",
    "Apixaban 5 mg",
    "Sertraline 50 mg",
    "Albuterol",
];

/// A source record at one member, with its documents there.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    /// Which member, from 0.
    pub member: usize,
    /// The patient's identifier there.
    pub local_id: String,
    /// Person it is truly of.
    pub truth: usize,
    /// What the member knows.
    pub demographics: Demographics,
    /// Documents it holds.
    pub documents: Vec<Document>,
}

/// A document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Unique id.
    pub unique_id: String,
    /// LOINC code and text of the type.
    pub kind: (&'static str, &'static str),
    /// When the service was.
    pub service_date: Date,
    /// Labels.
    pub labels: &'static str,
    /// The document: FHIR R4, JSON.
    pub content: String,
}

/// A person as they are, before anyone writes it down.
struct Truth {
    given: String,
    middle: String,
    family: String,
    birth_date: Date,
    sex: AdministrativeSex,
    phone: String,
}

/// Makes the source records of `people` people at `members` members.
pub fn generate(people: usize, members: usize, seed: u64) -> Vec<SourceRecord> {
    let mut rng = StdRng::seed_from_u64(seed);
    let words = |list: &'static str| list.split_whitespace().collect::<Vec<_>>();
    let lists =
        Lists { female: words(FEMALE), male: words(MALE), family: words(FAMILY), streets: words(STREETS) };
    let mut records = vec![];
    let mut truth = 0;
    while truth < people {
        let home = address(&mut rng, &lists);
        let family = pick(&mut rng, &lists.family);
        for _ in 0..rng.random_range(1..=4).min(people - truth) {
            let person = person(&mut rng, &lists, &family);
            let visits = match rng.random_range(0..100) {
                0..70 => 1,
                70..92 => 2,
                _ => 3,
            };
            let mut places: Vec<usize> = (0..members).collect();
            for visit in 0..visits.min(members) {
                let member = places.swap_remove(rng.random_range(0..places.len()));
                let address =
                    if visit > 0 && rng.random_bool(0.3) { address(&mut rng, &lists) } else { home.clone() };
                let demographics = written_down(&mut rng, &person, address);
                let local_id = format!("MRN{truth:06}{visit}");
                let documents = documents(&mut rng, member, &local_id);
                records.push(SourceRecord { member, local_id, truth, demographics, documents });
            }
            truth += 1;
        }
    }
    records
}

struct Lists {
    female: Vec<&'static str>,
    male: Vec<&'static str>,
    family: Vec<&'static str>,
    streets: Vec<&'static str>,
}

/// Picks from a list, the first entries more often, as names are.
fn pick(rng: &mut StdRng, list: &[&'static str]) -> String {
    let skewed = rng.random::<f64>().powf(1.6);
    let place = (skewed * list.len() as f64) as usize;
    list.get(place).copied().unwrap_or_default().to_owned()
}

fn address(rng: &mut StdRng, lists: &Lists) -> Address {
    let (city, state, postcode) = *CITIES.choose(rng).unwrap_or(&CITIES[0]);
    let street = pick(rng, &lists.streets);
    let kind = STREET_KINDS.choose(rng).copied().unwrap_or_default();
    Address {
        line: format!("{} {street} {kind}", rng.random_range(1..2000)),
        city: city.to_owned(),
        state: state.to_owned(),
        postcode: format!("{:05}", postcode + rng.random_range(0..20)),
    }
}

fn person(rng: &mut StdRng, lists: &Lists, family: &str) -> Truth {
    let female = rng.random_bool(0.5);
    let given = if female { &lists.female } else { &lists.male };
    let days = rng.random_range(0..90 * 365);
    let birth_date = jiff::civil::date(1934, 1, 1).checked_add(days.days()).unwrap_or(Date::ZERO);
    Truth {
        given: pick(rng, given),
        middle: if rng.random_bool(0.6) { pick(rng, given) } else { String::new() },
        family: if rng.random_bool(0.85) { family.to_owned() } else { pick(rng, &lists.family) },
        birth_date,
        sex: if female { AdministrativeSex::Female } else { AdministrativeSex::Male },
        phone: format!("({}) 555-{:04}", rng.random_range(201..990), rng.random_range(100..200)),
    }
}

/// What a clerk makes of a person: mostly right.
fn written_down(rng: &mut StdRng, person: &Truth, address: Address) -> Demographics {
    let mut given = vec![person.given.clone()];
    if !person.middle.is_empty() && rng.random_bool(0.7) {
        given.push(person.middle.clone());
    }
    if rng.random_bool(0.04) {
        given[0] = mistyped(rng, &given[0]);
    }
    let family = if rng.random_bool(0.04) { mistyped(rng, &person.family) } else { person.family.clone() };
    Demographics {
        names: vec![HumanName { given, family, ..HumanName::default() }],
        birth_date: person.birth_date.to_string(),
        sex: person.sex.into(),
        addresses: vec![address],
        phones: if rng.random_bool(0.8) { vec![person.phone.clone()] } else { vec![] },
        ..Demographics::default()
    }
}

/// Swaps two letters, or drops one.
fn mistyped(rng: &mut StdRng, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.len() < 4 {
        return text.to_owned();
    }
    let at = rng.random_range(1..letters.len() - 1);
    if rng.random_bool(0.5) {
        letters.swap(at, at + 1);
    } else {
        letters.remove(at);
    }
    letters.into_iter().collect()
}

fn documents(rng: &mut StdRng, member: usize, local_id: &str) -> Vec<Document> {
    let count = if rng.random_bool(0.25) { 2 } else { 1 };
    let mut documents: Vec<Document> = vec![];
    for _ in 0..count {
        let kind = *DOCUMENT_TYPES.choose(rng).unwrap_or(&DOCUMENT_TYPES[0]);
        let unique_id = format!("urn:signpost:synthetic:{member}:{local_id}:{}", documents.len());
        let service_date =
            jiff::civil::date(2018, 1, 1).checked_add(rng.random_range(0..2900).days()).unwrap_or(Date::ZERO);
        let finding = match kind.0 {
            "48765-2" => ALLERGENS.choose(rng),
            "10160-0" => DRUGS.choose(rng),
            _ => None,
        };
        let content = content(kind, &service_date, finding.copied().unwrap_or("unremarkable"));
        documents.push(Document { unique_id, kind, service_date, labels: "N", content });
    }
    documents
}

/// Makes a small FHIR R4 document: a composition with one section.
pub fn content(kind: (&str, &str), date: &Date, finding: &str) -> String {
    let (code, title) = kind;
    let coding = json!({ "coding": [{ "system": "http://loinc.org", "code": code, "display": title }] });
    let mut narrative = String::new();
    write!(narrative, "<div xmlns=\"http://www.w3.org/1999/xhtml\">{finding}</div>").ok();
    let composition = json!({
        "resourceType": "Composition",
        "status": "final",
        "type": coding,
        "date": date.to_string(),
        "title": title,
        "author": [{ "display": "Synthetic" }],
        "section": [{ "title": title, "text": { "status": "generated", "div": narrative } }],
    });
    json!({ "resourceType": "Bundle", "type": "document", "entry": [{ "resource": composition }] })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_population() {
        let print = |seed| {
            let records = generate(50, 4, seed);
            let line =
                |r: &SourceRecord| format!("{} {} {}", r.member, r.local_id, r.demographics.birth_date);
            records.iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(print(1), print(1));
        assert_ne!(print(1), print(2));
    }

    #[test]
    fn everyone_has_a_record_and_nobody_two_at_one_member() {
        let records = generate(500, 4, 7);
        let mut seen = std::collections::HashSet::new();
        assert!(records.iter().all(|record| seen.insert((record.truth, record.member))));
        let people: std::collections::HashSet<_> = records.iter().map(|record| record.truth).collect();
        assert_eq!(people.len(), 500);
    }
}
