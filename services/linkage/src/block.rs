//! Blocking: which records are worth comparing.
//!
//! Keys are compound, so that blocks stay small at any population: a lone surname never blocks. A record is compared
//! with those that share at least one key. Name pairs are unordered, so that swapped names meet; so are day and month.

use rphonetic::{DoubleMetaphone, Encoder};

use crate::{normalize::Prepared, record::Date};

/// A blocking key: the pass it belongs to and its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Pass, a stable name.
    pub pass: &'static str,
    /// Parts, in order.
    pub parts: Vec<String>,
}

/// Most keys of one record: what is beyond is from records with very many names or addresses.
pub const KEYS_MAX: usize = 128;

/// Returns the blocking keys of a record, each once, in a stable order.
pub fn keys(record: &Prepared) -> Vec<Key> {
    let mut keys = vec![];
    let mut add = |pass, parts: &[&str]| {
        if parts.iter().all(|part| !part.is_empty()) {
            keys.push(Key { pass, parts: parts.iter().map(|part| (*part).to_owned()).collect() });
        }
    };
    let given: Vec<String> = record.given.iter().map(|name| sound(name)).collect();
    let family: Vec<String> = record.family.iter().map(|name| sound(name)).collect();
    let names = || given.iter().chain(&family);
    if let Some(date) = record.birth_date {
        let (day, year, month_day) = date_parts(date);
        names().for_each(|name| add("birth+name", &[&day, name]));
        let initials =
            |names: &[String]| names.iter().filter_map(|name| name.get(..1)).map(str::to_owned).collect();
        let (given, family): (Vec<String>, Vec<String>) = (initials(&record.given), initials(&record.family));
        pairs(&given, &family).for_each(|(a, b)| add("birth+initials", &[&day, a, b]));
        record.places.iter().for_each(|place| add("birth+postcode", &[&day, &place.postcode]));
        record.phones.iter().for_each(|phone| add("birth+phone", &[&day, phone]));
        for (a, b) in pairs(&given, &family) {
            add("names+year", &[a, b, &year]);
            add("names+month-day", &[a, b, &month_day]);
        }
    }
    for place in &record.places {
        pairs(&given, &family).for_each(|(a, b)| add("names+postcode", &[a, b, &place.postcode]));
        // House number and street, without what follows; initials tell members of a household apart.
        let street: Vec<_> = place.line.split(' ').take(3).collect();
        let street = if street.len() == 3 { street.join(" ") } else { String::new() };
        let initials = record.given.iter().chain(&record.family).filter_map(|name| name.get(..1));
        initials.for_each(|initial| add("address+initial", &[&street, initial]));
    }
    for phone in &record.phones {
        record.given.iter().filter_map(|name| name.get(..1)).for_each(|i| add("phone+initial", &[phone, i]));
    }
    record.emails.iter().for_each(|email| add("email", &[email]));
    record.identifiers.iter().for_each(|id| add("identifier", &[&id.system, &id.value]));
    keys.sort();
    keys.dedup();
    keys.truncate(KEYS_MAX);
    keys
}

/// Unordered pairs of a given and a family name.
fn pairs<'a>(given: &'a [String], family: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
    given.iter().flat_map(move |g| {
        family.iter().map(move |f| if g <= f { (g.as_str(), f.as_str()) } else { (f.as_str(), g.as_str()) })
    })
}

fn date_parts(date: Date) -> (String, String, String) {
    let (low, high) = (date.day.min(date.month), date.day.max(date.month));
    (format!("{}-{low}-{high}", date.year), date.year.to_string(), format!("{low}-{high}"))
}

/// Returns how a name sounds; names in other scripts stand for themselves.
fn sound(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    if letters.len() < name.chars().count() && letters.len() < 2 {
        return name.to_owned();
    }
    let code = DoubleMetaphone::default().encode(&letters);
    if code.is_empty() { letters } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        normalize::prepare,
        record::{Name, Record},
    };

    fn person(given: &str, family: &str, birth_date: &str) -> Vec<Key> {
        let name = Name { given: vec![given.into()], family: family.into(), ..Name::default() };
        let birth_date = Date::parse(birth_date);
        keys(&prepare(&Record { names: vec![name], birth_date, ..Record::default() }))
    }

    fn meet(a: &[Key], b: &[Key]) -> bool {
        a.iter().any(|key| b.contains(key))
    }

    #[test]
    fn variants_meet() {
        let jane = person("Jane", "Smith", "1980-03-04");
        assert!(meet(&jane, &person("Jayne", "Smyth", "1980-03-04")));
        assert!(meet(&jane, &person("Smith", "Jane", "1980-03-04")), "swapped names");
        assert!(meet(&jane, &person("Jane", "Smith", "1980-04-03")), "swapped day and month");
        assert!(meet(&jane, &person("Jane", "Brown", "1980-03-04")), "married");
        assert!(meet(&jane, &person("Jane", "Smith", "1981-03-04")), "another year");
        assert!(!meet(&jane, &person("Robert", "Brown", "1955-07-08")));
    }

    #[test]
    fn a_lone_name_makes_no_key() {
        let name = Name { given: vec!["Jane".into()], family: "Smith".into(), ..Name::default() };
        assert!(keys(&prepare(&Record { names: vec![name], ..Record::default() })).is_empty());
    }
}
