//! Draws from lists and chances: whole numbers and IEEE products only, so one seed gives one world anywhere.

use jiff::{ToSpan, civil::Date};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

const DAYS_IN_YEAR: i32 = 365;

/// Says yes with the given probability.
pub(super) fn chance(rng: &mut ChaCha8Rng, probability: f64) -> bool {
    rng.random_bool(probability.clamp(0.0, 1.0))
}

/// Returns one of the list, each as likely.
pub(super) fn choose<'a, T>(rng: &mut ChaCha8Rng, list: &'a [T]) -> &'a T {
    &list[rng.random_range(0..list.len())]
}

/// Returns one of the words, each as likely.
pub(super) fn word(rng: &mut ChaCha8Rng, words: &[&'static str]) -> &'static str {
    words[rng.random_range(0..words.len())]
}

/// Returns a day of the year, each as likely.
pub(super) fn day_in(rng: &mut ChaCha8Rng, year: i16) -> Date {
    days_after(first_of(year), rng.random_range(0..DAYS_IN_YEAR))
}

/// Returns a day from the first to the last, each as likely; the first when they are out of order.
pub(super) fn day_between(rng: &mut ChaCha8Rng, first: Date, last: Date) -> Date {
    let span = last.since(first).map_or(0, |span| span.get_days());
    if span > 0 { days_after(first, rng.random_range(0..=span)) } else { first }
}

/// Returns the day so many days later.
pub(super) fn days_after(date: Date, days: i32) -> Date {
    date.saturating_add(days.days())
}

/// Returns the first of January.
pub(super) fn first_of(year: i16) -> Date {
    Date::new(year, 1, 1).unwrap_or(Date::MAX)
}

/// Things to draw from, some more often than others.
#[derive(Debug)]
pub(super) struct Pool<T> {
    items: Vec<T>,
    /// Running total of the weights, one for each item.
    ends: Vec<u32>,
}

impl<T> Pool<T> {
    /// Returns a pool of items, each with its weight.
    pub(super) fn weighted(entries: impl IntoIterator<Item = (T, u32)>) -> Self {
        let mut total = 0;
        let (items, ends) = entries
            .into_iter()
            .map(|(item, weight)| {
                total += weight;
                (item, total)
            })
            .unzip();
        Self { items, ends }
    }

    /// Returns a pool in which an item's weight falls as one over its rank; a greater shift makes it flatter.
    pub(super) fn ranked(items: impl IntoIterator<Item = T>, shift: u32) -> Self {
        const TOP_WEIGHT: u32 = 1_000_000;
        Self::weighted((shift + 1..).zip(items).map(|(rank, item)| (item, TOP_WEIGHT / rank)))
    }

    /// Returns one of the items.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> &T {
        let total = *self.ends.last().expect("invariant: no pool is empty");
        let at = rng.random_range(0..total);
        &self.items[self.ends.partition_point(|&end| end <= at)]
    }
}
