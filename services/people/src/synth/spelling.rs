//! What becomes of a word that is typed, scanned or heard: pure functions from one spelling to another.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::draw::{chance, choose};

/// Keys and those beside them.
const NEIGHBOURS: [(char, &str); 36] = [
    ('a', "sqwz"),
    ('b', "vghn"),
    ('c', "xdfv"),
    ('d', "serfcx"),
    ('e', "wsdr"),
    ('f', "drtgvc"),
    ('g', "ftyhbv"),
    ('h', "gyujnb"),
    ('i', "ujko"),
    ('j', "huikmn"),
    ('k', "jiolm"),
    ('l', "kop"),
    ('m', "njk"),
    ('n', "bhjm"),
    ('o', "iklp"),
    ('p', "ol"),
    ('q', "wa"),
    ('r', "edft"),
    ('s', "awedxz"),
    ('t', "rfgy"),
    ('u', "yhji"),
    ('v', "cfgb"),
    ('w', "qase"),
    ('x', "zsdc"),
    ('y', "tghu"),
    ('z', "asx"),
    ('0', "9"),
    ('1', "2"),
    ('2', "13"),
    ('3', "24"),
    ('4', "35"),
    ('5', "46"),
    ('6', "57"),
    ('7', "68"),
    ('8', "79"),
    ('9', "80"),
];

/// Shapes that a scanner takes for one another.
const LOOKALIKES: [(&str, &str); 16] = [
    ("O", "0"),
    ("o", "0"),
    ("l", "1"),
    ("I", "1"),
    ("S", "5"),
    ("B", "8"),
    ("rn", "m"),
    ("m", "rn"),
    ("cl", "d"),
    ("d", "cl"),
    ("vv", "w"),
    ("w", "vv"),
    ("h", "b"),
    ("e", "c"),
    ("u", "v"),
    ("i", "l"),
];

/// Spellings of one sound.
const SOUNDALIKES: [(&str, &str); 40] = [
    ("ph", "f"),
    ("f", "ph"),
    ("ie", "y"),
    ("y", "ie"),
    ("y", "i"),
    ("ck", "k"),
    ("k", "ck"),
    ("c", "k"),
    ("k", "c"),
    ("ch", "k"),
    ("ai", "ay"),
    ("ay", "ai"),
    ("ei", "ie"),
    ("ee", "ea"),
    ("ea", "ee"),
    ("ey", "y"),
    ("s", "z"),
    ("z", "s"),
    ("x", "ks"),
    ("th", "t"),
    ("gh", "g"),
    ("ou", "u"),
    ("oo", "u"),
    ("nn", "n"),
    ("n", "nn"),
    ("ll", "l"),
    ("l", "ll"),
    ("tt", "t"),
    ("t", "tt"),
    ("ss", "s"),
    ("s", "ss"),
    ("rr", "r"),
    ("er", "ar"),
    ("en", "an"),
    ("on", "en"),
    ("son", "sen"),
    ("mann", "man"),
    ("au", "aw"),
    ("sch", "sh"),
    ("j", "g"),
];

/// Letters with marks, and without.
const MARKED: [(char, char); 18] = [
    ('á', 'a'),
    ('é', 'e'),
    ('í', 'i'),
    ('ó', 'o'),
    ('ú', 'u'),
    ('ü', 'u'),
    ('ñ', 'n'),
    ('ç', 'c'),
    ('è', 'e'),
    ('Á', 'A'),
    ('É', 'E'),
    ('Í', 'I'),
    ('Ó', 'O'),
    ('Ú', 'U'),
    ('Ü', 'U'),
    ('Ñ', 'N'),
    ('Ç', 'C'),
    ('È', 'E'),
];

/// Share of typing errors that spare the first letter.
const FIRST_LETTER_SPARED: f64 = 0.9;

/// Returns the text with one slip of the fingers.
pub(super) fn mistype(rng: &mut ChaCha8Rng, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.len() < 2 {
        return text.to_owned();
    }
    let from = usize::from(chance(rng, FIRST_LETTER_SPARED));
    let at = rng.random_range(from..letters.len());
    match rng.random_range(0..10) {
        0..3 => letters[at] = neighbour(rng, letters[at]),
        3 => {
            let extra = neighbour(rng, letters[at]);
            letters.insert(at, extra);
        }
        4..7 => {
            letters.remove(at);
        }
        7 => letters.insert(at, letters[at].to_ascii_lowercase()),
        _ => transpose(&mut letters, at),
    }
    letters.into_iter().collect()
}

/// Swaps the letter and the next, or the one before at the end, leaving the capital where it stood.
fn transpose(letters: &mut [char], at: usize) {
    let first = at.min(letters.len() - 2);
    let capital = letters[first].is_uppercase();
    letters.swap(first, first + 1);
    if capital {
        letters[first] = letters[first].to_ascii_uppercase();
        letters[first + 1] = letters[first + 1].to_ascii_lowercase();
    }
}

fn neighbour(rng: &mut ChaCha8Rng, letter: char) -> char {
    let small = letter.to_ascii_lowercase();
    let Some((_, beside)) = NEIGHBOURS.iter().find(|(key, _)| *key == small) else {
        return letter;
    };
    let struck = char::from(*choose(rng, beside.as_bytes()));
    if letter.is_uppercase() { struck.to_ascii_uppercase() } else { struck }
}

/// Returns the text with one shape taken for another, as a scanner does; as it was when there is none.
pub(super) fn misread(rng: &mut ChaCha8Rng, text: &str) -> String {
    replace_one(rng, text, &LOOKALIKES)
}

/// Returns the text spelt by ear: one sound written another way; as it was when there is none.
pub(super) fn respell(rng: &mut ChaCha8Rng, text: &str) -> String {
    replace_one(rng, text, &SOUNDALIKES)
}

/// Applies one of the rules that fit, at one of the places where it fits; never to the first letter.
fn replace_one(rng: &mut ChaCha8Rng, text: &str, rules: &[(&str, &str)]) -> String {
    let start = text.chars().next().map_or(0, char::len_utf8);
    let (head, tail) = text.split_at(start);
    let fits: Vec<(usize, &str, &str)> = rules
        .iter()
        .flat_map(|(from, to)| tail.match_indices(from).map(move |(at, _)| (at, *from, *to)))
        .collect();
    if fits.is_empty() {
        return text.to_owned();
    }
    let (at, from, to) = *choose(rng, &fits);
    format!("{head}{}{to}{}", &tail[..at], &tail[at + from.len()..])
}

/// Returns the text with one digit changed; as it was when it has none.
pub(super) fn change_digit(rng: &mut ChaCha8Rng, text: &str) -> String {
    let places: Vec<usize> = digit_places(text);
    if places.is_empty() {
        return text.to_owned();
    }
    let at = *choose(rng, &places);
    let old = text.as_bytes()[at] - b'0';
    let new = (old + rng.random_range(1..10)) % 10;
    format!("{}{new}{}", &text[..at], &text[at + 1..])
}

/// Returns the text with two digits that follow each other swapped.
pub(super) fn swap_digits(rng: &mut ChaCha8Rng, text: &str) -> String {
    let places = digit_places(text);
    if places.len() < 2 {
        return text.to_owned();
    }
    let first = rng.random_range(0..places.len() - 1);
    let mut letters: Vec<char> = text.chars().collect();
    if letters.len() == text.len() {
        letters.swap(places[first], places[first + 1]);
    }
    letters.into_iter().collect()
}

fn digit_places(text: &str) -> Vec<usize> {
    text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).map(|(at, _)| at).collect()
}

/// Returns the text without the marks on its letters.
pub(super) fn unmarked(text: &str) -> String {
    let plain = |letter| MARKED.iter().find(|(marked, _)| *marked == letter).map_or(letter, |pair| pair.1);
    if text.is_ascii() { text.to_owned() } else { text.chars().map(plain).collect() }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_slip_changes_little() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..500 {
            assert!(mistype(&mut rng, "Margaret").len().abs_diff(8) <= 1);
            assert!(misread(&mut rng, "Margaret").len().abs_diff(8) <= 1);
            assert!(respell(&mut rng, "Margaret").starts_with('M'));
            assert_ne!(change_digit(&mut rng, "617-555"), "617-555");
        }
        assert_eq!(misread(&mut rng, "Xx"), "Xx");
        assert_eq!(swap_digits(&mut rng, "a1b2"), "a2b1");
        assert_eq!(unmarked("Muñoz Ángel"), "Munoz Angel");
    }
}
