//! Writes birth dates, with what goes wrong in writing them.

use jiff::civil::Date;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{
    draw::{chance, choose, word},
    rates, spelling,
};

const PLACEHOLDERS: [&str; 5] = ["1900-01-01", "1900-01-01", "1970-01-01", "1901-01-01", "1800-01-01"];
const IMPOSSIBLE: [&str; 4] = ["02-30", "04-31", "00-00", "13-01"];
const TRIES: usize = 10;

/// Returns the date as it is written down: right, mostly.
pub(super) fn written(rng: &mut ChaCha8Rng, birth: Date, carelessness: f64) -> String {
    let slips = |rng: &mut ChaCha8Rng, rate: f64| chance(rng, rate * carelessness);
    if slips(rng, rates::DATE_PLACEHOLDER) {
        word(rng, &PLACEHOLDERS).to_owned()
    } else if slips(rng, rates::DATE_IMPOSSIBLE) {
        format!("{:04}-{}", birth.year(), word(rng, &IMPOSSIBLE))
    } else if slips(rng, rates::DATE_SWAPPED) {
        date(birth.year(), birth.day(), birth.month()).unwrap_or(birth).to_string()
    } else if slips(rng, rates::DATE_DIGIT) {
        one_digit_wrong(rng, birth)
    } else if slips(rng, rates::DATE_YEAR) {
        let year = birth.year() + choose(rng, &[-10, -1, -1, 1, 1, 10]);
        date(year, birth.month(), birth.day()).unwrap_or(birth).to_string()
    } else if slips(rng, rates::DATE_MONTH) {
        date(birth.year(), rng.random_range(1..=12), birth.day()).unwrap_or(birth).to_string()
    } else {
        birth.to_string()
    }
}

/// Returns the date with one digit changed to give another date, not of another century.
fn one_digit_wrong(rng: &mut ChaCha8Rng, birth: Date) -> String {
    let text = birth.to_string();
    let (century, rest) = text.split_at(2);
    for _ in 0..TRIES {
        let wrong = format!("{century}{}", spelling::change_digit(rng, rest));
        if wrong.parse::<Date>().is_ok() {
            return wrong;
        }
    }
    text
}

fn date(year: i16, month: i8, day: i8) -> Option<Date> {
    Date::new(year, month, day).ok()
}
