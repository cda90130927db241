//! Names: given, middle, family and suffix, and the words that stand where nobody's name is known.

use super::words;
use crate::record::Name;

/// Words that a clerk writes for a child who has no name yet.
const NEWBORN: &[&str] = &[
    "baby",
    "babyboy",
    "babygirl",
    "babya",
    "babyb",
    "bb",
    "bg",
    "boy",
    "boya",
    "boyb",
    "girl",
    "girla",
    "girlb",
    "infant",
    "infantmale",
    "infantfemale",
    "nb",
    "newborn",
    "newbornboy",
    "newborngirl",
    "twin",
    "twina",
    "twinb",
    "triplet",
    "male",
    "female",
];

/// Words that a clerk writes for somebody unknown, or for nobody.
const UNIDENTIFIED: &[&str] = &[
    "anon",
    "anonymous",
    "donotuse",
    "duplicate",
    "fnu",
    "lnu",
    "missing",
    "nfn",
    "nln",
    "nmn",
    "none",
    "noname",
    "notgiven",
    "null",
    "patient",
    "test",
    "testing",
    "testpatient",
    "trauma",
    "unidentified",
    "unk",
    "unknown",
    "unnamed",
    "xx",
    "xxx",
    "xxxx",
    "zztest",
    "zzztest",
];

const SUFFIXES: &[(&str, u8)] = &[
    ("jr", 1),
    ("junior", 1),
    ("jnr", 1),
    ("sr", 2),
    ("senior", 2),
    ("snr", 2),
    ("ii", 3),
    ("2nd", 3),
    ("iii", 4),
    ("3rd", 4),
    ("iv", 5),
    ("4th", 5),
];

/// Suffixes of the second of a name: "Jr" and "II".
pub(crate) const SECOND: [u8; 2] = [1, 3];

/// Particles of family names, which many unlike names share.
const PARTICLES: &[&str] = &[
    "al", "bin", "d", "da", "de", "del", "della", "den", "der", "di", "do", "dos", "du", "el", "ibn", "la",
    "las", "le", "los", "mac", "mc", "o", "san", "santa", "st", "ten", "van", "von", "y",
];

/// Marks between the halves of a double name.
const HYPHENS: [char; 4] = ['-', '\u{2010}', '\u{2011}', '\u{2013}'];

/// A name, normalised.
#[derive(Default)]
pub(super) struct Names {
    pub(super) given: String,
    /// A double given name in one word: "Anne-Marie" is written "Annemarie", too.
    pub(super) double: String,
    pub(super) middle: Vec<String>,
    /// Words of the family name, without what follows from the suffix.
    pub(super) family: Vec<String>,
    /// Number of the suffix, 0 for none.
    pub(super) suffix: u8,
    pub(super) newborn: bool,
    /// Which of several children a newborn is, 0 for one of several; nothing when nothing says so.
    pub(super) birth_order: Option<u8>,
    pub(super) unidentified: bool,
}

/// Normalises a name.
pub(super) fn name(name: &Name) -> Names {
    let mut given: Vec<String> = name.given.iter().flat_map(|text| words(text)).collect();
    let mut family: Vec<String> = words(&name.family);
    family.extend(words(&name.maternal));
    let unknown = |word: &String| UNIDENTIFIED.contains(&unnumbered(word));
    let test = |word: &String| word.contains("test") || word == "patient" || word == "duplicate";
    if given.iter().take(2).chain(family.iter().take(2)).any(|word| unknown(word) && test(word)) {
        return Names { unidentified: true, ..Names::default() };
    }
    let mut names = Names { suffix: suffix(&words(&name.suffix).concat()), ..Names::default() };
    let (before, mut written) = (given.len() + family.len(), family.len());
    given.retain(|word| !unknown(word));
    family.retain(|word| !unknown(word));
    // "Smith Jr" is a family name with a suffix that was typed into it.
    while written > 1 {
        let Some(typed) = family.last().map(|word| suffix(word)).filter(|suffix| *suffix > 0) else { break };
        names.suffix = if names.suffix == 0 { typed } else { names.suffix };
        family.pop();
        written -= 1;
    }
    names.newborn = newborn(&mut given, &mut family, &mut names.birth_order);
    names.unidentified = before > 0 && given.is_empty() && family.is_empty() && !names.newborn;
    let typed = name.given.first().map(|text| text.trim()).unwrap_or_default();
    let parts = words(typed);
    let hyphens = parts.len() > 1 && typed.contains(HYPHENS) && !typed.contains(' ');
    names.double = if hyphens && given.starts_with(&parts) { parts.concat() } else { String::new() };
    let mut given = given.into_iter();
    names.given = given.next().unwrap_or_default();
    names.middle = given.collect();
    names.family = family;
    names
}

/// Takes the words for a child without a name out of a name; true when there were any. "Twin B" and "Baby Girl 2" say
/// which of several it is.
fn newborn(given: &mut Vec<String>, family: &mut Vec<String>, birth_order: &mut Option<u8>) -> bool {
    let marks = |word: &String| NEWBORN.contains(&unnumbered(word));
    let mut taken = vec![];
    if given.first().is_some_and(marks) {
        taken.append(given);
    }
    // "Boy" alone is a family name, "Baby Boy" is none.
    while family.first().is_some_and(marks) && (family.len() > 1 || !taken.is_empty()) {
        taken.push(family.remove(0));
    }
    for word in &taken {
        let order = match word.as_str() {
            "a" | "1" | "babya" | "boya" | "girla" | "twina" => 1,
            "b" | "2" | "babyb" | "boyb" | "girlb" | "twinb" => 2,
            "c" | "3" => 3,
            "twin" | "triplet" => 0,
            _ => continue,
        };
        *birth_order = Some(birth_order.unwrap_or(0).max(order));
    }
    !taken.is_empty()
}

/// Returns a word without the number that stands behind it, as in "Newborn1".
fn unnumbered(word: &str) -> &str {
    word.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// True for the name that is given to people whom nobody can identify.
pub(super) fn is_john_doe(given: &str, family: &[String]) -> bool {
    matches!(given, "john" | "jane" | "jon" | "johnny") && family.len() == 1 && family[0] == "doe"
}

/// Returns the words of a family name that tell families apart when one of them stands alone.
pub(super) fn tokens(family: &[String]) -> impl Iterator<Item = &String> {
    let several = family.len() > 1;
    family.iter().filter(move |word| several && word.len() > 2 && !PARTICLES.contains(&word.as_str()))
}

fn suffix(word: &str) -> u8 {
    SUFFIXES.iter().find(|(written, _)| *written == word).map_or(0, |(_, number)| *number)
}
